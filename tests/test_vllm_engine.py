"""The vLLM runner against a stand-in of vLLM's API: many requests at once, errors, what is printed, the mending."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fun_audio_chat_fixtures import DENSE
from vllm_fixtures import answers, asked, lalm
from vllm_stand_in import AsyncLLMEngine, EngineDeadError, install

from evalkit.errors import RunnerError, UsageError
from evalkit.records import Modality, Response
from evalkit.runners.vllm import VllmRunner
from evalkit.runners.vllm.chatter import Chatter, is_memory
from evalkit.runners.vllm.mend import mend

pytest.importorskip("tokenizers", reason='needs tokenizers: pip install "evalkit[local]"')


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[AsyncLLMEngine]:
    return install(monkeypatch)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return lalm(tmp_path / "lalm")


# --- many at once, and trouble -------------------------------------------------------------------


def test_many_are_under_way_at_once(vllm: type[AsyncLLMEngine], other: Path) -> None:
    got = answers(VllmRunner(str(other)), *(asked(f"n{i}", id=f"q{i}") for i in range(50)))
    assert [r.sample_id for r in got if isinstance(r, Response)] == [f"q{i}" for i in range(50)]
    assert [r.text for r in got if isinstance(r, Response)] == [f"user: n{i}" for i in range(50)]
    assert vllm.made[0].most > 20
    assert len(vllm.made) == 1


def test_errors_of_one_sample(vllm: type[AsyncLLMEngine], other: Path) -> None:
    got = answers(
        VllmRunner(str(DENSE), max_model_len="64"),
        asked("x" * 200),
        asked("fine", id="q2"),
    )
    assert isinstance(got[0], RunnerError)
    assert got[0].kind == "prompt-too-long"
    assert "max_model_len" in got[0].message
    assert not got[0].retryable
    assert not got[0].fatal
    broken, aborted = answers(VllmRunner(str(other)), asked("break"), asked("abort", id="q2"))
    assert isinstance(broken, RunnerError)
    assert (broken.kind, "KeyError" in broken.message, broken.retryable) == ("engine", True, True)
    assert isinstance(aborted, RunnerError)
    assert (aborted.kind, aborted.retryable) == ("engine", True)


def test_a_dead_engine_ends_the_run_with_its_cause(
    vllm: type[AsyncLLMEngine], other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.runners.vllm.engine.GRACE", 0.0)
    monkeypatch.setattr(
        vllm, "prints", "(Worker) ERROR torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB\n"
    )
    runner = VllmRunner(str(other))
    runner.prepare(Modality.S2T)
    vllm.made[0].dead = True
    (got,) = answers(runner, asked("hi"))
    assert isinstance(got, RunnerError)
    assert got.fatal
    assert "CUDA out of memory" in got.message
    assert isinstance(got.__cause__, EngineDeadError)


def test_a_cancelled_request_is_taken_back(vllm: type[AsyncLLMEngine], other: Path) -> None:
    runner = VllmRunner(str(other))
    runner.prepare(Modality.S2T)
    vllm.made[0].step = 60.0

    async def go() -> None:
        task = asyncio.create_task(runner.generate(asked("hi"), Modality.S2T))
        while not vllm.made[0].under_way:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not vllm.made[0].aborted:
            await asyncio.sleep(0.005)
        await runner.close()

    started = time.monotonic()
    asyncio.run(asyncio.wait_for(go(), 10))
    assert time.monotonic() - started < 10
    assert vllm.made[0].closed


MEMORY = "(EngineCore) ERROR ValueError: No available memory for the cache blocks. Try increasing it.\n"


@pytest.mark.parametrize(
    ("prints", "error", "said"),
    [
        (
            MEMORY,
            RuntimeError("Engine core initialization failed. See root cause above."),
            "max_model_len.*tensor_parallel=N",
        ),
        (
            "(Worker) KeyError: 'x.weight'\nRuntimeError: Engine core initialization failed.\n",
            RuntimeError("Engine core initialization failed."),
            r"can't load .*KeyError: 'x.weight'",
        ),
        ("", ValueError("unknown architecture"), "can't load .*ValueError: unknown architecture"),
    ],
)
def test_a_start_that_fails_says_why(
    vllm: type[AsyncLLMEngine],
    other: Path,
    monkeypatch: pytest.MonkeyPatch,
    prints: str,
    error: Exception,
    said: str,
) -> None:
    monkeypatch.setattr(vllm, "start_error", error)
    monkeypatch.setattr(vllm, "prints", prints)
    with pytest.raises(UsageError, match=said):
        VllmRunner(str(other)).prepare(Modality.S2T)


def test_what_vllm_prints_never_reaches_stdout(
    vllm: type[AsyncLLMEngine],
    other: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(vllm, "prints", "INFO vLLM is chatting\n")
    runner = VllmRunner(str(other))
    runner.prepare(Modality.S2T)
    print("the result")
    asyncio.run(runner.close())
    time.sleep(0.2)
    out, err = capfd.readouterr()
    assert out == "the result\n"
    assert "INFO vLLM is chatting" in err
    assert os.environ["VLLM_LOGGING_STREAM"] == "ext://sys.stderr"


def test_what_children_print_is_kept_for_messages() -> None:
    chatter = Chatter()
    code = "print('x'); print('(Worker pid=1) ERROR [w.py:9] ValueError: no such weight'); "
    code += "print('RuntimeError: See root cause above')"
    with chatter.captured():
        child = subprocess.Popen([sys.executable, "-c", code])
    child.wait(20)
    end = time.monotonic() + 5
    while not chatter.cause() and time.monotonic() < end:
        time.sleep(0.01)
    assert chatter.cause() == "ValueError: no such weight"


def test_messages_that_speak_of_memory() -> None:
    assert is_memory("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    assert is_memory(
        "Free memory on device (3/79 GiB) is less than desired GPU memory utilization (0.9, 71 GiB)"
    )
    assert is_memory(
        "To serve at least one request with max seq len 262144, 36.0 GiB KV cache is needed, which is larger "
        "than the available KV cache memory"
    )
    assert not is_memory("There is no module or parameter named 'k_proj'")


# --- the mending ---------------------------------------------------------------------------------


class _Mapper:
    """As vLLM's: a stacked pattern is sought anywhere in a name; expressions come before it, prefixes after."""

    def __init__(
        self, *, orig_to_new_stacked: Any, orig_to_new_regex: Any = None, orig_to_new_prefix: Any = None
    ) -> None:
        self.orig_to_new_stacked = orig_to_new_stacked
        self.regex, self.prefix = orig_to_new_regex or {}, orig_to_new_prefix or {}

    def map_name(self, key: str) -> str:
        for pattern, new in self.regex.items():
            key = pattern.sub(new, key)
        for part, (new, _) in self.orig_to_new_stacked.items():
            key = key.replace(part, new, 1) if part in key else key
        for part, new in self.prefix.items():
            key = key.replace(part, new, 1) if key.startswith(part) else key
        return key


STACKED = {f".{part}_proj": (".qkv_proj", part) for part in "qkv"}


def test_mending_adds_the_missing_dot_and_leaves_the_rest() -> None:
    class Attention:
        hf_to_vllm_mapper = _Mapper(orig_to_new_stacked=STACKED)

    assert mend(Attention, _Mapper)
    names = ("q_proj.weight", "k_proj.weight", "v_proj.bias", "out_proj.weight", "out_proj.bias")
    mapped = [Attention.hf_to_vllm_mapper.map_name(n) for n in names]
    assert mapped == [
        "qkv_proj.weight",
        "qkv_proj.weight",
        "qkv_proj.bias",
        "out_proj.weight",
        "out_proj.bias",
    ]
    assert not mend(Attention, _Mapper), "nothing is left to mend"
    assert not mend(object, _Mapper)
