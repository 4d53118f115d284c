"""The vocoder: its process, its manners, and what a user reads when something is missing.

The checkout is a stand-in (tests/data/vocoder); torch, HyperPyYAML and the process are real.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.errors import RunnerError, UsageError
from evalkit.records import Audio
from evalkit.runners.fun_audio_chat.speech import vocoder_worker as worker
from evalkit.runners.fun_audio_chat.speech.speaker import PUBLISHED_SHA256, Speaker
from evalkit.runners.fun_audio_chat.speech.vocoder import WORKER, Vocoder
from evalkit.runners.fun_audio_chat.speech.vocoder_setup import VocoderSetup
from tests.vocoder_fixtures import DATA, make

RAISES, ENDS_ONCE = 6002, 6003
A, B = list(range(10)), list(range(100, 960))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("vocoder"))


@pytest.fixture(scope="module")
def vocoder(places: tuple[Path, Path]) -> Any:
    checkout, weights = map(str, places)
    made = Vocoder(VocoderSetup.of(checkout, weights, device="cpu"))
    yield made
    made.close()


def samples(audio: Audio | None) -> np.ndarray[Any, Any]:
    """The frames of a spoken answer; checks what it says of itself."""
    assert audio is not None and audio.data is not None
    with wave.open(BytesIO(audio.data), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert (audio.sample_rate, audio.seconds, audio.format) == (24_000, len(frames) / 24_000, "wav")
    return frames


# --- speaking -----------------------------------------------------------------------------------------


def test_ids_become_sound(vocoder: Vocoder) -> None:
    """960 samples a token; prints of the checkout are not among them; what is no sound is left out."""
    heard = samples(vocoder.speak(A))
    assert len(heard) == 960 * len(A) and heard.std() > 100
    assert np.array_equal(samples(vocoder.speak([6561, *A[:5], 6562, *A[5:], 6563])), heard)
    assert vocoder.speak([6561] * 10 + [6562] * 5) is None
    assert vocoder.facts["device"] == "cpu" and vocoder.facts["torch"]


def test_an_answer_does_not_depend_on_those_before_it(vocoder: Vocoder) -> None:
    """The stand-in draws from the global generators at every call, as a checkout may."""
    first = [samples(vocoder.speak(ids)) for ids in (A, B, A)]
    again = [samples(vocoder.speak(ids)) for ids in (B, A)]
    assert np.array_equal(first[0], first[2]) and np.array_equal(first[0], again[1])
    assert np.array_equal(first[1], again[0])


def test_long_speech_is_its_blocks_one_after_another(vocoder: Vocoder) -> None:
    """One call per block, joined without a cross-fade; the last two of 1510 tokens are evened out."""
    ids = [k % 5000 for k in range(1510)]
    whole = samples(vocoder.speak(ids))
    parts = [samples(vocoder.speak(ids[a:b])) for a, b in ((0, 750), (750, 1130), (1130, 1510))]
    assert np.array_equal(whole, np.concatenate(parts))


def test_from_many_threads(vocoder: Vocoder) -> None:
    alone = samples(vocoder.speak(A))
    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(lambda k: samples(vocoder.speak(A if k % 2 else A[k:])), range(8)))
    assert all(np.array_equal(heard[k], alone) for k in (1, 3, 5, 7))
    assert [len(heard[k]) for k in (0, 2, 4, 6)] == [960 * (10 - k) for k in (0, 2, 4, 6)]


# --- failing ------------------------------------------------------------------------------------------


def failed(vocoder: Vocoder, ids: list[int]) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        vocoder.speak(ids)
    assert caught.value.kind == "vocoder" and not caught.value.fatal
    return caught.value


def test_what_the_vocoder_cannot_speak_is_that_answers_error(vocoder: Vocoder) -> None:
    """No audio is invented; the message has the number of tokens; the process lives on."""
    vocoder.prepare()
    before = vocoder.pid
    error = failed(vocoder, [5, 6])
    assert "2 tokens" in error.message and "Kernel size" in error.message and not error.retryable
    assert "a token it does not like" in failed(vocoder, [RAISES] * 9).message
    assert len(samples(vocoder.speak(A))) == 9600 and vocoder.pid == before


def test_a_death_is_worth_one_more_try(
    places: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try starts a new process, which makes the sound."""
    once = tmp_path / "once"
    once.touch()
    monkeypatch.setenv("STANDIN_CRASH_ONCE", str(once))
    made = Vocoder(VocoderSetup.of(*map(str, places), device="cpu"))
    try:
        ids = [ENDS_ONCE, 7, 8, 9]
        error = failed(made, ids)
        assert error.retryable and "4 tokens (exit status 4" in error.message and made.pid is None
        assert "its last words: about to end" in error.message
        assert len(samples(made.speak(ids))) == 4 * 960
    finally:
        made.close()
    assert made.pid is None


@pytest.mark.parametrize(
    ("then", "words"), [("exit 3", "exit status 3"), ("exec sleep 60", "0.5 s without an answer (timeout)")]
)
def test_ids_that_end_it_twice_are_given_up(
    places: tuple[Path, Path], tmp_path: Path, then: str, words: str
) -> None:
    """A worker that says it is ready, and then dies or hangs at every request."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '{\"ready\": true}'\n" + f"sleep 0.3; {then}\n")
    python.chmod(0o755)
    made = Vocoder(VocoderSetup.of(*map(str, places), python=str(python), timeout=0.5))
    tries = [failed(made, ids) for ids in (A, A, B[:9])]
    assert [e.retryable for e in tries] == [True, False, True]
    assert all(words in e.message for e in tries) and made.pid is None


def test_it_ends_with_its_parent(places: tuple[Path, Path]) -> None:
    """Closed input is the end, so that a killed harness leaves no process behind."""
    process = subprocess.Popen([sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate(b"", timeout=20)
    assert (process.returncode, out) == (0, b"")


# --- loading ------------------------------------------------------------------------------------------


def test_only_flow_and_vocoder_are_built() -> None:
    """What would import the LLM, the tokenizer or the data pipeline is null; what flow refers to is not."""
    entries = worker.nodes_of((DATA / "weights" / "cosyvoice3.yaml").read_text())
    made = worker.overrides(entries, Path("w"))
    assert made == {
        **dict.fromkeys(("llm", "hifigan", "get_tokenizer", "tokenize", "data_pipeline")),
        "qwen_pretrain_path": str(Path("w") / "CosyVoice-BlankEN"),
    }
    text = "a: !new:x.A\nb: !ref <a>\nflow: !new:x.F\n  y: [!ref '<b[k]>', 1]\nhift: !new:x.H\nc: !new:x.C\n"
    assert worker.overrides(worker.nodes_of(text), Path("w")) == {"c": None}


def test_every_key_of_the_weights_is_accounted_for(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    state = module.state_dict()
    path = tmp_path / "hift.pt"

    def message(**changed: Any) -> str:
        torch.save(changed, path)
        with pytest.raises(worker.Unusable) as caught:
            worker.fill(module, path, "generator.")
        return str(caught.value)

    assert "lacks 0.bias, 0.weight, 1.bias and 1 more" in message(epoch=3)
    assert "has, but the model has not, generator.new" in message(
        **state, **{"generator.generator.new": torch.ones(1)}
    )
    assert "in another shape 1.bias" in message(**{**state, "1.bias": torch.ones(2)})
    torch.save({"generator." + k: torch.ones_like(v) for k, v in state.items()} | {"step": 7}, path)
    worker.fill(module, path, "generator.")
    assert all(bool((p == 1).all()) for p in module.parameters())


def test_weight_norm_of_an_older_torch_fits(tmp_path: Path) -> None:
    """Torch renamed its keys; it takes the old ones, and so does the check."""
    module = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 3))
    torch.save(
        {"bias": torch.ones(3), "weight_g": torch.ones(3, 1), "weight_v": torch.ones(3, 2)}, tmp_path / "h.pt"
    )
    worker.fill(module, tmp_path / "h.pt", "generator.")
    assert torch.allclose(module.weight, torch.full((3, 2), 0.5**0.5))


class _Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("false",)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "spk2info.pt"
    torch.save({"中文女": _Trap()}, path)
    with pytest.raises(worker.Unusable, match="can't be read as speaker embeddings"):
        worker.speaker_of(path, "中文女")


def test_speakers(tmp_path: Path) -> None:
    path = tmp_path / "s.pt"
    good = torch.arange(192.0)[None]
    torch.save({"a": {"embedding": good}, "b": {"embedding": good[0]}, "c": good}, path)
    assert torch.equal(worker.speaker_of(path, "a"), good)
    for voice in ("b", "c"):
        with pytest.raises(worker.Unusable, match=r"no embedding of shape \(1, 192\)"):
            worker.speaker_of(path, voice)
    with pytest.raises(worker.Unusable, match="no voice '中文女'; it has: a, b, c"):
        worker.speaker_of(path, "中文女")


def test_what_a_function_wants_is_looked_at() -> None:
    """CosyVoice's commits differ in arguments; those that are known fit, others are named."""

    def pinned(token: int, embedding: int, finalize: bool) -> None: ...
    def later(
        token: int, embedding: int, streaming: bool = True, finalize: bool = True, **more: Any
    ) -> None: ...
    def unknown(token: int, embedding: int, finalize: bool, cache: int) -> None: ...
    def older(token: int, embedding: int) -> None: ...

    offered = {"token": 1, "embedding": 2, "streaming": False, "finalize": True}
    needed = ("token", "embedding", "finalize")
    assert set(worker.accepted(pinned, offered, needed)) == set(needed)
    assert worker.accepted(later, offered, needed) == offered
    with pytest.raises(worker.Unusable, match="unknown wants 'cache'"):
        worker.accepted(unknown, offered, needed)
    with pytest.raises(worker.Unusable, match="older does not take 'finalize'"):
        worker.accepted(older, offered, needed)


def test_a_checkout_that_lacks_a_package(places: tuple[Path, Path], tmp_path: Path) -> None:
    """One sentence that names it, from deep inside an import; and no second start is worth it."""
    checkout, weights = places
    copy = tmp_path / "CosyVoice"
    shutil.copytree(checkout, copy)
    flow = copy / "cosyvoice/flow/flow.py"
    flow.write_text("import x_transformers\n" + flow.read_text())
    made = Vocoder(VocoderSetup.of(str(copy), str(weights), device="cpu"))
    with pytest.raises(RunnerError) as caught:
        made.speak(A)
    assert caught.value.fatal and made.pid is None
    assert "needs the Python package x-transformers" in caught.value.message
    assert "python=PATH" in caught.value.message and "\n" not in caught.value.message


def test_other_failed_starts(places: tuple[Path, Path]) -> None:
    for module, words in (("cosyvoice.cli", "no module cosyvoice.cli"), ("hydra.core", "package hydra-core")):
        assert words in worker.reason(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert worker.reason(ValueError("a\nb")) == "ValueError: a b"
    made = Vocoder(VocoderSetup.of(*map(str, places), python="/bin/false"))
    with pytest.raises(RunnerError, match="died while it was starting") as caught:
        made.prepare()
    assert caught.value.retryable
    with pytest.raises(UsageError, match="not tried again"):
        made.prepare()


def test_the_worker_runs_on_other_pythons() -> None:
    """Its file is read by the Python that CosyVoice asks for, which has no evalkit."""
    tree = ast.parse(WORKER.read_text(encoding="utf-8"), feature_version=(3, 9))
    tops = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    tops |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    outside = {t.partition(".")[0] for t in tops} - sys.stdlib_module_names
    assert outside == {"torch", "numpy", "yaml", "hyperpyyaml"}


# --- what the user names ------------------------------------------------------------------------------


def test_identity_names_what_decides_the_sound(places: tuple[Path, Path], tmp_path: Path) -> None:
    """Weights, code and voice, without paths; a changed file is another vocoder."""
    checkout, weights = tmp_path / "c", tmp_path / "w"
    shutil.copytree(places[0], checkout)
    shutil.copytree(places[1], weights)

    def identity(**more: Any) -> dict[str, Any]:
        return dict(VocoderSetup.of(str(checkout), str(weights), **more).identity())

    first = identity()
    assert first == dict(VocoderSetup.of(*map(str, places)).identity()), "a copy elsewhere is the same"
    assert (
        len(first["flow_sha256"]) == 64 and first["speaker"]["published"] is False and first["commit"] is None
    )
    assert identity(voice="中文男") != first
    for path in (weights / "hift.pt", checkout / "cosyvoice/flow/flow.py", weights / "new_spk2info.pt"):
        before = identity()
        path.write_bytes(path.read_bytes() + b"\n")
        assert identity() != before
    subprocess.run(["git", "init", "-q", checkout], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", checkout, *who, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    assert len(identity()["commit"]) == 40


def test_telling_who_speaks_loads_no_torch(places: tuple[Path, Path]) -> None:
    code = (
        "import sys; from evalkit.runners.fun_audio_chat.speech.vocoder import *; "
        "v = Vocoder(VocoderSetup.of(*sys.argv[1:]))"
        "; v.identity(); v.close(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, *places], check=False).returncode == 0


def test_the_published_voice_is_told_from_others() -> None:
    for speaker, told in (
        (Speaker(Path("s.pt"), "中文女", PUBLISHED_SHA256), None),
        (Speaker(Path("s.pt"), "中文男", PUBLISHED_SHA256), "中文女, not by 中文男"),
        (Speaker(Path("s.pt"), "中文女", "0" * 64), "not the published file"),
    ):
        remark = speaker.remark()
        assert (remark is None) == (told is None) and (told or "") in (remark or "")


@pytest.mark.parametrize(
    ("gone", "options", "words"),
    [
        ("", {"cosyvoice": None}, "cosyvoice=DIR"),
        ("", {"vocoder": ""}, "vocoder=DIR"),
        ("c/cosyvoice", {}, "no checkout of CosyVoice"),
        ("c/third_party/Matcha-TTS/matcha", {}, "submodule update --init"),
        ("w/flow.pt", {}, "has no flow.pt"),
        ("w/new_spk2info.pt", {}, "speaker=FILE"),
        ("", {"speaker": "nowhere.pt"}, "no file of speaker embeddings nowhere.pt"),
        ("", {"python": "no-such-python"}, "python=no-such-python"),
        ("", {"device": "tpu"}, "not 'tpu'"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, gone: str, options: dict[str, Any], words: str) -> None:
    shutil.copytree(DATA / "checkout", tmp_path / "c")
    shutil.copytree(DATA / "weights", tmp_path / "w")
    for name in ("flow.pt", "hift.pt", "new_spk2info.pt"):
        (tmp_path / "w" / name).touch()
    if gone and (tmp_path / gone).is_dir():
        shutil.rmtree(tmp_path / gone)
    elif gone:
        (tmp_path / gone).unlink()
    given = {"cosyvoice": str(tmp_path / "c"), "vocoder": str(tmp_path / "w"), **options}
    with pytest.raises(UsageError) as caught:
        VocoderSetup.of(**given)
    assert words in str(caught.value) and "\n" not in str(caught.value)
