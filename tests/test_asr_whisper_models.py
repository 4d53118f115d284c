"""The torch engines on real code paths: tiny Whisper models with random weights, saved and loaded as the real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.audio import encode_wav
from evalkit.errors import UsageError
from evalkit.interfaces import Transcriber
from evalkit.records import Audio
from evalkit.runners.asr.engines import make_transcriber
from tests.asr_fixtures import (
    LANGUAGES,
    tiny_ctc,
    tiny_openai_whisper,
    tiny_transformers_whisper,
    torch_or_skip,
)


def noise(seconds: float, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).normal(0, 0.1, int(seconds * 16000)).astype(np.float32)
    return Audio(data=encode_wav(np.clip(samples, -1, 1), 16000), format="wav")


SILENCE = Audio(data=encode_wav(np.zeros(16000, np.float32), 16000), format="wav")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch_or_skip()
    return tiny_transformers_whisper(tmp_path_factory.mktemp("hf") / "tiny")


def made(folder: Path, **options: str) -> Any:
    return make_transcriber(f"transformers/{folder}", {"device": "cpu", **options})


def test_the_pipeline_hears_through_a_folder_and_names_it_by_its_bytes(folder: Path) -> None:
    engine = made(folder)
    assert isinstance(engine, Transcriber)
    engine.prepare()
    again = made(folder)
    assert engine.signature == again.signature
    assert engine.signature.startswith("transformers/tiny@")
    assert engine.signature.endswith(":float32,beam=1,lang=task")
    heard = engine.transcribe([noise(1), SILENCE, Audio(data=b"rubbish")], "de")
    assert heard[0].text
    assert heard[0].error is None
    assert heard[0].language == "de"
    assert heard[1].text == ""
    assert heard[2].error is not None
    assert heard[2].error.kind == "bad-audio"
    assert [t.text for t in again.transcribe([noise(1)], "de")] == [heard[0].text]


def test_batches_hear_the_same_whatever_the_lengths(folder: Path) -> None:
    clips = [noise(s, i) for i, s in enumerate((1.0, 3.0, 0.5, 34.0, 2.0))]
    one, some = made(folder), made(folder, batch="3")
    assert some.signature == one.signature + ",batch=3"
    alone, together = one.transcribe(clips, "en"), some.transcribe(clips, "en")
    assert [t.text for t in together] == [t.text for t in alone]
    assert all(t.text for t in alone)


def test_an_unnamed_language_is_detected_piece_by_piece(folder: Path) -> None:
    torch = torch_or_skip()
    clips = [noise(s, i) for i, s in enumerate((1.0, 2.0, 33.0))]
    engine = made(folder, batch="3")
    heard = engine.transcribe(clips, None)
    assert {t.language for t in heard} <= set(LANGUAGES)
    pipe = engine._loaded()
    from evalkit.audio import decode

    for clip, transcript in zip(clips, heard, strict=True):
        features = pipe.feature_extractor(
            decode(clip)[0][: 30 * 16000], sampling_rate=16000, return_tensors="pt"
        ).input_features
        with torch.no_grad():
            best = int(pipe.model.detect_language(features)[0])
        assert pipe.tokenizer.convert_ids_to_tokens(best) == f"<|{transcript.language}|>"


def test_the_language_option_wins_over_the_tasks(folder: Path) -> None:
    engine = made(folder, language="zh")
    assert engine.transcribe([noise(1)], "en")[0].language == "zh"
    assert engine.signature.endswith("lang=zh")


def test_a_model_that_knows_english_alone_refuses_the_rest(tmp_path: Path) -> None:
    engine = made(tiny_transformers_whisper(tmp_path / "english", multilingual=False))
    assert engine.transcribe([noise(1)], None)[0].language == "en"
    (refused,) = engine.transcribe([noise(1)], "zh")
    assert refused.error is not None
    assert refused.error.kind == "language-unsupported"


def test_windows_instead_of_the_long_form(folder: Path) -> None:
    engine = made(folder, chunk="30", batch="2")
    assert engine.signature.endswith(",batch=2,chunk=30")
    assert engine.transcribe([noise(40)], "en")[0].error is None


def test_other_weights_are_another_engine(folder: Path, tmp_path: Path) -> None:
    other = tiny_transformers_whisper(tmp_path / "tiny", seed=1)
    assert made(folder).signature != made(other).signature


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "int8"}, "dtype is auto, float32, float16 or bfloat16, not 'int8'"),
        ({"batch": "0"}, "batch takes a whole number"),
        ({"revision": "main"}, "revision is for hub ids"),
        ({"compute_type": "int8"}, "no option 'compute_type'; known: device, dtype"),
    ],
)
def test_wrong_options_are_named(folder: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_transcriber(f"transformers/{folder}", options)


def test_folders_without_a_model_and_hubs_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_or_skip()
    with pytest.raises(UsageError, match="holds no transformers model"):
        make_transcriber(f"transformers/{tmp_path}", {})
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    engine: Any = make_transcriber("transformers/nobody/whisper", {"device": "cpu", "revision": "abc"})
    assert engine.signature == "transformers/nobody/whisper@abc:float32,beam=1,lang=task"
    with pytest.raises(
        UsageError, match=r"'nobody/whisper' can't be loaded on cpu as float32.*transformers//PATH"
    ):
        engine.prepare()


def test_a_recogniser_other_than_whisper_is_asked_for_no_language(tmp_path: Path) -> None:
    folder = tiny_ctc(tmp_path / "ctc")
    one, some = made(folder), made(folder, batch="2")
    clips = [noise(1.0), noise(0.7, 1), noise(31, 2)]
    alone = one.transcribe(clips, "en")
    assert [t.error for t in alone] == [None] * 3
    assert alone[0].text
    assert {t.language for t in alone} == {None}
    assert [t.text for t in some.transcribe(clips, None)] == [t.text for t in alone]


def test_the_pipeline_engine_through_the_command_line(folder: Path, tmp_path: Path) -> None:
    """Spoken answers transcribed in batches, the engine by its name on record; a second run hears nothing anew."""
    root = Path(__file__).parent.parent
    task = "ultraeval-audio/llama-questions"
    rows = [
        {"id": i, "text": "Paris", "audio": f"{i}.wav"}
        for i in ("49fcca496f9f", "bb9ded1b2a0d", "58508cf3d2db")
    ]
    for seed, row in enumerate(rows):
        audio = noise(1.0 + seed, seed)
        assert audio.data
        (tmp_path / row["audio"]).write_bytes(audio.data)
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    command = [
        sys.executable,
        "run_eval.py",
        "score",
        str(tmp_path / "p.jsonl"),
        "--task",
        task,
        "--no-report",
    ]
    command += ["--data-dir", "benchmarks/smoke", "--asr", f"transformers/{folder}", "-A", "batch=2"]
    command += ["-A", "device=cpu", "-A", "language=en", "--out"]
    env = {
        **os.environ,
        "EVALKIT_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(root),
        "EVALKIT_OFFLINE": "1",
    }
    heard = []
    for out in ("one", "two"):
        done = subprocess.run(
            [*command, str(tmp_path / out)], cwd=root, env=env, capture_output=True, text=True
        )
        assert done.returncode in (0, 1), done.stderr
        lines = (tmp_path / out / task / "transcripts.jsonl").read_text().splitlines()
        heard.append(sorted((t["audio_sha256"], t["text"], t["asr"]) for t in map(json.loads, lines)))
    assert len(heard[0]) == 3
    assert all(asr == f"{made(folder, batch='2', language='en').signature}|auto" for _, _, asr in heard[0])
    assert heard[0] == heard[1]
    calls = [json.loads(c) for c in (tmp_path / "two/calls.jsonl").read_text().splitlines()]
    assert all(c["cached"] for c in calls if c["role"] == "asr")


# --- openai-whisper ----------------------------------------------------------------------------------------


def test_openai_whisper_reads_a_file_and_names_it_by_its_bytes(tmp_path: Path) -> None:
    file = tiny_openai_whisper(tmp_path / "tiny.pt")
    engine: Any = make_transcriber(f"openai-whisper/{file}", {"device": "cpu", "beam": "1"})
    engine.prepare()
    assert engine.signature.startswith("openai-whisper/tiny.pt@")
    assert engine.signature.endswith(":fp32,beam=1,lang=task")
    heard = engine.transcribe([noise(1), SILENCE], "en")
    assert heard[0].error is None
    assert heard[0].language == "en"
    assert heard[1].text == ""
    assert engine.transcribe([noise(1)], "en")[0].text == heard[0].text
    (found,) = engine.transcribe([noise(1)], None)
    assert found.error is None
    assert found.language


def test_openai_whisper_hears_batches_of_short_pieces(tmp_path: Path) -> None:
    file = tiny_openai_whisper(tmp_path / "tiny.pt")
    clips = [noise(s, i) for i, s in enumerate((1.0, 3.0, 31.0, 0.5))]
    one: Any = make_transcriber(f"openai-whisper/{file}", {"device": "cpu", "beam": "1"})
    some: Any = make_transcriber(f"openai-whisper/{file}", {"device": "cpu", "beam": "1", "batch": "4"})
    assert some.signature == one.signature + ",batch=4"
    for language in ("en", None):
        alone, together = one.transcribe(clips, language), some.transcribe(clips, language)
        assert [t.error for t in together] == [None] * 4
        assert [t.language for t in together] == [t.language for t in alone]
        assert len({t.text for t in alone}) == 4, "nonsense, and of each piece its own"
        for a, b in zip(alone, together, strict=True):
            # Its time stamps are nonsense, too, and by them `transcribe` may leave the end of a window out.
            assert b.text.startswith(a.text[:12])


def test_openai_whisper_with_english_weights_under_any_name(tmp_path: Path) -> None:
    file = tiny_openai_whisper(tmp_path / "mine.pt", multilingual=False)
    (refused,) = make_transcriber(f"openai-whisper/{file}", {"device": "cpu"}).transcribe([noise(1)], "fr")
    assert refused.error is not None
    assert refused.error.kind == "language-unsupported"


def test_openai_whisper_never_fetches_where_the_network_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_or_skip()
    pytest.importorskip("whisper", reason='needs pip install "evalkit[whisper]"')
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine: Any = make_transcriber("openai-whisper/large-v3", {"device": "cpu"})
    with pytest.raises(UsageError, match="not on this machine and the network is forbidden"):
        engine.prepare()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch_or_skip()
    pytest.importorskip("whisper", reason='needs pip install "evalkit[whisper]"')
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(UsageError, match="can't be loaded"):
        make_transcriber(f"openai-whisper/{tmp_path / 'junk.pt'}", {"device": "cpu"}).transcribe(
            [noise(1)], "en"
        )
