"""Gathering spoken answers for an ASR engine: batches of its size, of like length; what is known is not heard again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.cache import Cache
from evalkit.engine.ears import ASR_BATCH, Ears
from evalkit.engine.session import Job, plans_for
from evalkit.interfaces import Runner
from evalkit.records import JSON, Audio, Failure, Modality, Response, Transcript
from evalkit.registry import catalogue
from evalkit.sources import DataOptions

SMOKE = Path(__file__).parent.parent / "benchmarks/smoke"


class Engine:
    """Says the digest of what it hears; `batch` is set where a test wants one."""

    signature = "toy"

    def __init__(self, batch: int | None = None, bad: str = "") -> None:
        self.calls: list[int] = []
        self.bad = bad
        if batch is not None:
            self.batch = batch

    def transcribe(self, audios: Sequence[Audio], language: str | None) -> list[Transcript]:
        self.calls.append(len(audios))
        return [
            Transcript(
                a.digest(), "toy", "", error=Failure("asr-failed", "no") if a.digest() == self.bad else None
            )
            for a in audios
        ]


def spoken(name: str, seconds: float, language: str | None = None) -> tuple[Any, Response]:
    item = SimpleNamespace(
        state=SimpleNamespace(language=language, name="t/t"), sample=SimpleNamespace(id=name)
    )
    audio = Audio(path=f"{name}.flac", sha256=name.split("~")[0] * 8, seconds=seconds)
    return item, Response(name, audio=audio)


async def here(call: Callable[[], list[Transcript]]) -> list[Transcript]:
    return call()


def ears(engine: Engine, cache: Cache | None = None) -> Ears:
    return Ears(engine, cache, here)


def gathered(engine: Engine, answers: Sequence[tuple[Any, Response]]) -> list[list[str]]:
    async def go() -> list[list[str]]:
        queue: asyncio.Queue[tuple[Any, Response]] = asyncio.Queue()
        for answer in answers:
            queue.put_nowait(answer)
        return [[r.sample_id for _, r in batch] for batch in await ears(engine).gather(queue)]

    return asyncio.run(go())


def test_a_window_is_sorted_by_length_and_cut_into_batches_of_one_language() -> None:
    answers = [spoken("a", 9), spoken("b", 1), spoken("c", 5, "zh"), spoken("d", 8), spoken("e", 2)]
    assert gathered(Engine(batch=2), answers) == [["b", "e"], ["d", "a"], ["c"]]


def test_an_engine_that_hears_one_at_a_time_gets_one_at_once() -> None:
    assert gathered(Engine(batch=1), [spoken("a", 9), spoken("b", 1)]) == [["a"]]


def test_an_engine_that_does_not_say_gets_the_usual_number() -> None:
    found = gathered(Engine(), [spoken(f"{i:02}", 1) for i in range(ASR_BATCH + 2)])
    assert [len(b) for b in found] == [ASR_BATCH, 2]


def test_only_what_is_new_is_heard_and_once(tmp_path: Path) -> None:
    engine = Engine(batch=4)
    listening = ears(engine, cache := Cache(tmp_path / "cache"))
    answers = [spoken("a", 1), spoken("b", 1), spoken("a~2", 1)]
    first = asyncio.run(listening.hear(answers))
    assert engine.calls == [2]
    assert [t.audio_sha256 for t in first] == ["a" * 8, "b" * 8, "a" * 8]
    again = asyncio.run(listening.hear([*answers, spoken("c", 1)]))
    assert engine.calls == [2, 1]
    assert [t.audio_sha256 for t in again] == ["a" * 8, "b" * 8, "a" * 8, "c" * 8]
    cache.close()


def test_failures_are_not_kept(tmp_path: Path) -> None:
    engine = Engine(batch=2, bad="b" * 8)
    listening = ears(engine, cache := Cache(tmp_path / "cache"))
    answers = [spoken("a", 1), spoken("b", 1)]
    for calls in ([2], [2, 1]):
        heard = asyncio.run(listening.hear(answers))
        assert engine.calls == calls
        assert [t.error and t.error.kind for t in heard] == [None, "asr-failed"]
    cache.close()


@pytest.mark.parametrize("answers", [0, 1, 3])
def test_an_engine_that_gives_too_few_or_too_many_fails_visibly(answers: int) -> None:
    engine = Engine(batch=2)
    engine.transcribe = lambda audios, language: [Transcript("x", "toy", "")] * answers  # type: ignore[method-assign]
    heard = asyncio.run(ears(engine).hear([spoken("a", 1), spoken("b", 1)]))
    assert [t.error and t.error.kind for t in heard] == ["error", "error"]


class Mute(Runner):
    """Answers nothing; there to be planned for."""

    name = "mute"
    modalities = frozenset({Modality.S2S})

    def identity(self) -> dict[str, JSON]:
        return {"model": "mute"}


@pytest.mark.parametrize("forced", [None, "en"])
def test_a_protocol_may_force_the_language_of_transcripts(forced: str | None, tmp_path: Path) -> None:
    task = catalogue().tasks["ultraeval-audio/llama-questions"]
    name, variant = task.variant(None)
    assert variant.asr_language is None, "the suite lets Whisper detect it"
    task = replace(task, variants={name: replace(variant, asr_language=forced)})
    data = DataOptions(data_dir=str(SMOKE), smoke=True)
    (state,) = plans_for(Job(out=tmp_path, runner=Mute(), model="mute", tasks=(task,), data=data))
    assert state.language == forced
    assert ears(Engine()).key(state) == f"toy|{forced or 'auto'}"


def test_a_batch_is_on_record_before_anybody_waits_for_a_judge_and_when_the_run_is_stopped() -> None:
    """The engine can't be stopped in the middle: what it says then is kept, and not heard again."""
    kept: list[str] = []

    async def go(*, stopped: bool) -> list[Transcript]:
        free = asyncio.Event()

        async def slow(call: Callable[[], list[Transcript]]) -> list[Transcript]:
            await free.wait()
            return call()

        hearing = asyncio.create_task(
            Ears(Engine(), None, slow).hear(
                [spoken("a", 1), spoken("b", 2)], lambda item, t: kept.append(f"{item.sample.id} {t.asr}")
            )
        )
        await asyncio.sleep(0)
        if stopped:
            hearing.cancel()
            await asyncio.sleep(0)
        free.set()
        return await hearing

    assert len(asyncio.run(go(stopped=False))) == 2
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(go(stopped=True))
    assert kept == ["a toy|auto", "b toy|auto"] * 2
