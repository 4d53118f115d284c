"""The pipeline: load -> generate -> transcribe -> judge -> append, all stages at once, bounded.

Everything that touches the run directory happens in the event loop's thread; audio is read and decoded,
and local models run, in worker threads. An item is counted as outstanding from the moment it enters until
its last verdict is written; the run is over when the feeder is done and nothing is outstanding.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from evalkit.cache import Cache
from evalkit.engine.answers import Answers
from evalkit.engine.generate import Generator
from evalkit.engine.judging import (
    after,
    answer_for,
    asked,
    crash,
    failed,
    fresh,
    judge_now,
    judged,
    obstacle,
    reference,
    to_scores,
)
from evalkit.engine.loading import Item, items, take
from evalkit.engine.metering import asking_for
from evalkit.engine.opencache import replies_held
from evalkit.engine.progress import Progress
from evalkit.engine.retry import Retry, attempt
from evalkit.engine.standin import skipped, stand_in
from evalkit.engine.state import TaskState
from evalkit.engine.together import Groups
from evalkit.errors import RunnerError
from evalkit.interfaces import Judge, Runner, Transcriber
from evalkit.linefiles import StoreError
from evalkit.records import Response, Transcript, Verdict
from evalkit.runners.replay import ReplayRunner
from evalkit.store import RunWriter

T = TypeVar("T")

HEAVY_AT_ONCE = 2


@dataclass(frozen=True)
class Limits:
    """How much at once.

    Attributes:
        generate: requests under way (concurrent runners).
        judge: answers being judged by models at the same time.
        samples: samples per task, or None for all.
    """

    generate: int = 1
    judge: int = 32
    samples: int | None = None


class Interrupted(Exception):
    """The user asked to stop; everything finished is on disk."""


class Pipeline:
    """One pass over the tasks of a run."""

    def __init__(
        self,
        run: RunWriter,
        runner: Runner,
        states: list[TaskState],
        *,
        asr: Transcriber | None,
        cache: Cache | None,
        fingerprint: str,
        limits: Limits,
        retry: Retry,
        progress: Progress,
    ) -> None:
        self.run, self.runner, self.states = run, runner, states
        self.cache, self.limits, self.retry = cache, limits, retry
        self.progress = progress
        # Replayed answers go by the sample's id, not by what a model would hear: none may stand for another.
        shared = None if runner.name == "replay" else cache
        self.answers = Answers(shared, run, fingerprint) if shared is not None else None
        self.executor = ThreadPoolExecutor(max_workers=6, thread_name_prefix="evalkit")
        # Inference sessions keep buffers per thread: few threads of their own keep memory flat.
        self.lab = ThreadPoolExecutor(max_workers=HEAVY_AT_ONCE, thread_name_prefix="evalkit-heavy")
        self.generator = Generator(runner, run, retry, self.executor)
        width = max(2, limits.generate // 2, 4 * runner.batch_size if runner.is_batch else 0)
        self.to_generate: asyncio.Queue[Item] = asyncio.Queue(width)
        self.ears = None
        if asr is not None:
            from evalkit.engine.ears import Ears

            self.ears = Ears(asr, cache, lambda call: self._thread(call, self.lab))
        heard_at_once = self.ears.window if self.ears else 0
        self.to_transcribe: asyncio.Queue[tuple[Item, Response]] = asyncio.Queue(max(64, heard_at_once))
        self.to_judge: asyncio.Queue[tuple[Item, Response, Transcript | None]] = asyncio.Queue(64)
        self.groups = Groups()
        self.outstanding = 0
        self.idle = asyncio.Event()
        self.cached = 0
        self.requests = 0
        self.first_request = self.last_answer = 0.0

    # --- running ---------------------------------------------------------------------------------

    async def go(self, stop: asyncio.Event) -> None:
        """Run until all is done.

        Raises:
            Interrupted: `stop` was set.
            RunnerError: a fatal one. StoreError, UsageError: as raised below.
        """
        if self.runner.is_batch:
            generators: list[Coroutine[Any, Any, None]] = [self._batches()]
        else:
            generators = [self._requests() for _ in range(max(1, self.limits.generate))]
        feeder = asyncio.create_task(self._feed())
        workers = [asyncio.create_task(c) for c in (*generators, self._transcribe_all())]
        workers += [asyncio.create_task(self._judge_all()) for _ in range(max(1, self.limits.judge))]
        waiter = asyncio.create_task(stop.wait())
        finish = asyncio.create_task(self._finished(feeder))
        everything = [feeder, finish, waiter, *workers]
        try:
            done, _ = await asyncio.wait(
                [finish, waiter, feeder, *workers], return_when=asyncio.FIRST_COMPLETED
            )
            while not (finish in done or waiter in done or any(t.exception() for t in done)):
                rest = [t for t in everything if not t.done()]
                done, _ = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task is not waiter and (error := task.exception()) is not None:
                    raise error
            if waiter in done:
                raise Interrupted
        finally:
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            self.executor.shutdown(wait=True, cancel_futures=True)
            self.lab.shutdown(wait=True, cancel_futures=True)

    async def _finished(self, feeder: asyncio.Task[None]) -> None:
        await asyncio.shield(feeder)
        while self.outstanding:
            self.idle.clear()
            await self.idle.wait()
        await self.groups.judge(self.run, self._ask, self.limits.judge)

    async def _thread(self, call: Callable[[], T], executor: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor or self.executor, call)

    def _leave(self) -> None:
        self.outstanding -= 1
        if not self.outstanding:
            self.idle.set()

    # --- load ------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        for state in self.states:
            most = state.plan.task.expected or 0
            self.progress.plan("generate", min(most, self.limits.samples or most))
        for state in self.states:
            source = items(state, self.limits.samples)
            n = 0
            while chunk := await self._thread(lambda source=source: take(source)):  # type: ignore[misc]
                for item in chunk:
                    n += 1
                    await self._route(item)
            state.plan = replace(state.plan, n=n)

    async def _route(self, item: Item) -> None:
        """Where a loaded sample goes: nowhere (done), to its judges (answered), or to the runner."""
        state, sample = item.state, item.sample
        if (instead := self._instead(item)) is not None:
            # What a protocol says in the model's place is no answer under another protocol.
            item.input = item.instead
        mark = state.answered(sample.id, item.input)
        if mark is not None and (instead is None or mark.answer == instead.digest()):
            item.ref = reference(mark.answer, judged(sample))
            self.progress.plan("generate", -1)
            files = self.run.task(state.name)
            if mark.digest != item.ref or state.moved(sample.id):  # question, target or place changed since
                self._record(item, files.relative(files.response_at(mark)))
            if mark.digest != item.ref or not state.scored(sample.id, item.ref) or state.grouped(sample):
                self.outstanding += 1
                await self._onward(item, files.response_at(mark))
            return
        self.outstanding += 1
        self.progress.expect("generate")
        if item.broken is not None:
            await self._answered(item, Response(sample.id, error=item.broken))
        elif instead is not None:
            await self._answered(item, instead)
        elif self.answers and (known := self.answers.get(item)) is not None:
            self.cached += 1
            await self._answered(item, known, cached=True)
        else:
            await self.to_generate.put(item)

    def _instead(self, item: Item) -> Response | None:
        """What the protocol says in the model's place, if it does."""
        if isinstance(self.runner, ReplayRunner):
            item.broken = None  # the answer is there: nothing about the question's audio undoes it
            return stand_in(item.state, item.sample, *self.runner.lookup(item.sample))
        return skipped(item.state, item.sample) if item.broken is None else None

    # --- generate --------------------------------------------------------------------------------

    async def _requests(self) -> None:
        while True:
            item = await self.to_generate.get()
            self._sending(1)
            response = await self.generator.one(item)
            self.last_answer = time.perf_counter()
            await self._answered(item, response)

    def _sending(self, n: int) -> None:
        self.requests += n
        self.first_request = self.first_request or time.perf_counter()

    @property
    def window(self) -> float:
        """Seconds from the first request to the last answer."""
        return max(0.0, self.last_answer - self.first_request)

    async def _batches(self) -> None:
        """Gather a window, sort it by length, answer it batch by batch."""
        while True:
            window = [await self.to_generate.get()]
            while len(window) < 4 * self.generator.batch_size:
                # A short wait lets the loader fill the window; it costs nothing beside a batch.
                try:
                    window.append(await asyncio.wait_for(self.to_generate.get(), 0.05))
                except TimeoutError:
                    break
            window.sort(key=lambda i: (i.state.name, i.seconds))
            while window:
                size = self.generator.batch_size
                task = window[0].state
                batch = [i for i in window[:size] if i.state is task]
                window = window[len(batch) :]
                self._sending(len(batch))
                responses = await self.generator.batch(batch)
                self.last_answer = time.perf_counter()
                for item, response in zip(batch, responses, strict=True):
                    await self._answered(item, response)

    async def _answered(self, item: Item, response: Response, *, cached: bool = False) -> None:
        """Put an answer on record and send it on."""
        item.drop_audio()
        self._record(item, response)
        self.progress.step("generate", failed=response.error is not None)
        if response.error is not None:
            self._leave()
            return
        if self.answers and not cached and item.broken is None and "skipped" not in response.meta:
            self.answers.put(item, response)
        await self._onward(item, self.run.task(item.state.name).absolute(response))

    def _record(self, item: Item, response: Response) -> None:
        told = judged(item.sample)
        item.ref = reference(response.digest(), told)
        self.run.append_response(
            item.state.name,
            response,
            input=item.input,
            asked=asked(item.state, item.sample, told),
            ref=item.ref,
        )

    # --- transcribe ------------------------------------------------------------------------------

    async def _onward(self, item: Item, response: Response) -> None:
        state = item.state
        if state.inline:
            self._judge_inline(item, response)
            return
        if state.needs_transcript and response.audio is not None:
            if (given := response.meta.get("transcript")) is not None:
                transcript = Transcript(response.audio.digest(), "given", str(given))
                new = state.transcripts.get((transcript.audio_sha256, "given")) != transcript
                await self._heard(item, response, transcript, new=new)
                return
            if self.ears is not None:
                known = state.transcripts.get((response.audio.digest(), self.ears.key(state)))
                if known is None:
                    self.progress.expect("transcribe")
                    await self.to_transcribe.put((item, response))
                    return
                await self._heard(item, response, known, new=False)
                return
        elif state.needs_transcript and (given := response.meta.get("transcript")) is not None:
            await self._heard(item, response, Transcript("", "given", str(given)), new=False)
            return
        await self._heard(item, response, None)

    async def _transcribe_all(self) -> None:
        while self.ears is not None:
            for batch in await self.ears.gather(self.to_transcribe):
                heard = await self.ears.hear(batch, self._keep)
                for (item, response), transcript in zip(batch, heard, strict=True):
                    self.progress.step("transcribe", failed=transcript.error is not None)
                    await self._heard(item, response, transcript, new=False)

    def _keep(self, item: Item, transcript: Transcript) -> None:
        self.run.append_transcript(item.state.name, transcript)
        if transcript.error is None:
            item.state.transcripts[transcript.audio_sha256, transcript.asr] = transcript

    async def _heard(
        self, item: Item, response: Response, transcript: Transcript | None, *, new: bool = True
    ) -> None:
        if transcript is not None and new:
            self._keep(item, transcript)
        self.progress.expect("judge")
        await self.to_judge.put((item, response, transcript))

    # --- judge -----------------------------------------------------------------------------------

    def _judge_inline(self, item: Item, response: Response) -> None:
        digest = item.ref
        scores = [
            score
            for judge in item.state.plan.judges
            for score in to_scores(
                item.state, judge, judge_now(judge, item.sample, response, None), response, digest
            )
        ]
        self.run.append_scores(item.state.name, fresh(item.state, scores))
        self._leave()

    async def _judge_all(self) -> None:
        while True:
            item, response, transcript = await self.to_judge.get()
            digest = item.ref
            failed = False
            for judge in item.state.plan.judges:
                if judge.late and self.groups.take(judge, item, response):
                    continue
                if all(
                    item.state.has(item.sample.id, m, item.state.plan.sign(judge), digest)
                    for m in judge.metrics
                ):
                    continue
                verdicts = await self._verdicts(judge, item, response, transcript)
                failed |= any(v.value is None for v in verdicts)
                scores = to_scores(item.state, judge, verdicts, response, digest)
                self.run.append_scores(item.state.name, fresh(item.state, scores))
            self.progress.step("judge", failed=failed)
            self._leave()

    async def _verdicts(
        self, judge: Judge, item: Item, response: Response, transcript: Transcript | None
    ) -> list[Verdict]:
        sample = item.sample
        if judge.heavy:
            return await self._thread(lambda: judge_now(judge, sample, response, transcript), self.lab)
        if not judge.asks_model:
            return judge_now(judge, sample, response, transcript)
        if (why := obstacle(judge, response, transcript)) is not None:
            return judge.unscored(why)
        answer = answer_for(judge, response, transcript)
        return await self._ask(judge, item, lambda: judge.ask(sample, answer))

    async def _ask(
        self, judge: Judge, item: Item, call: Callable[[], Awaitable[list[Verdict]]]
    ) -> list[Verdict]:
        """The verdicts of a judge's model: tried again, put in the ledger, unscored where they fail for good."""
        try:
            with replies_held() as replies, asking_for(item.state.name, item.sample.id, judge.metrics[0]):
                verdicts, tries = await attempt(call, self.retry)
                if all(v.value is not None for v in verdicts):
                    replies.keep()
        except RunnerError as error:
            return failed(judge, error)
        except StoreError:  # the ledger can't be written
            raise
        except Exception as exc:
            return crash(judge, exc)
        return after(tries, verdicts)
