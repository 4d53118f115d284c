"""Getting answers out of a runner: one by one with retries, or in batches that shrink when memory runs out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from evalkit.audio import AudioError
from evalkit.engine.judging import as_ids
from evalkit.engine.loading import Item
from evalkit.engine.retry import Retry, attempt
from evalkit.errors import OutOfMemory, RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.records import Failure, Response, Sample
from evalkit.store import RunWriter

T = TypeVar("T")


def check_response(response: object) -> None:
    """Raises RunnerError for what is no answer: a runner may be anybody's."""
    if not isinstance(response, Response):
        raise RunnerError("bad-response", f"the runner gave a {type(response).__name__}, not a Response")
    if not isinstance(response.text, str):
        raise RunnerError("bad-response", f"the runner gave a {type(response.text).__name__} for a text")


def check_batch(got: Sequence[Response], samples: Sequence[Sample]) -> None:
    """Raises RunnerError for what is no answer to a batch: one each, in order."""
    if len(got) != len(samples):
        raise RunnerError("bad-batch", f"the runner gave {len(got)} answers for {len(samples)} samples")
    for response in got:
        check_response(response)
    if len(got) > 1 and [r.sample_id for r in got] != [s.id for s in samples]:  # asked again one by one
        raise RunnerError("bad-batch", "the answers of a batch stand in another order than its samples")


class Generator:
    """Asks the runner; every failure comes back as a response with an error, except fatal ones."""

    def __init__(self, runner: Runner, run: RunWriter, retry: Retry, executor: Executor) -> None:
        self.runner = runner
        self.run = run
        self.retry = retry
        self.executor = executor
        self.batch_size = max(1, runner.batch_size)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.executor, call)

    async def one(self, item: Item) -> Response:
        """Answer one sample, with retries.

        Raises:
            RunnerError: only a fatal one.
            UsageError: the user can mend it (a missing package, a broken predictions file).
        """
        started = time.perf_counter()
        modality = item.state.plan.task.modality
        try:
            response, tries = await attempt(lambda: self.runner.generate(item.sample, modality), self.retry)
            check_response(response)
        except RunnerError as error:
            if error.fatal:
                raise
            return self._failed(item, error, started)
        except UsageError:
            raise
        except Exception as exc:  # a bug in a runner is one failed sample, in plain sight
            return self._failed(
                item, RunnerError("runner-crash", f"{type(exc).__name__}: {str(exc)[:300]}"), started
            )
        if tries > 1:
            response = replace(response, meta={**response.meta, "attempts": tries})
        return await self._kept(item, self._timed(response, started))

    async def batch(self, items: list[Item]) -> list[Response]:
        """Answer a batch; halve it when it does not fit, take it apart when it fails."""
        started = time.perf_counter()
        modality = items[0].state.plan.task.modality
        samples = [i.sample for i in items]
        try:
            got = await self._in_thread(lambda: self.runner.generate_batch(samples, modality))
            check_batch(got, samples)
        except UsageError:
            raise
        except Exception as exc:
            error = (
                exc
                if isinstance(exc, RunnerError)
                else RunnerError("runner-crash", f"{type(exc).__name__}: {exc}")
            )
            if error.fatal:
                raise error from exc
            if len(items) == 1:
                return [self._failed(items[0], error, started)]
            half = (len(items) + 1) // 2
            if isinstance(error, OutOfMemory):
                self.batch_size = min(self.batch_size, half)
            else:
                half = 1
            parts = [items[i : i + half] for i in range(0, len(items), half)]
            return [r for part in parts for r in await self.batch(part)]
        share = (time.perf_counter() - started) / len(items)
        timed = [r if r.timing else replace(r, timing={"generate": share}) for r in got]
        return [await self._kept(i, r) for i, r in zip(items, timed, strict=True)]

    def _timed(self, response: Response, started: float) -> Response:
        if "generate" in response.timing:
            return response
        return replace(response, timing={**response.timing, "generate": time.perf_counter() - started})

    def _failed(self, item: Item, error: RunnerError, started: float) -> Response:
        failure = Failure(error.kind, error.message, error.attempts)
        return Response(item.sample.id, error=failure, timing={"generate": time.perf_counter() - started})

    async def _kept(self, item: Item, response: Response) -> Response:
        """Check what was sent, give the response its sample's id, and move its speech into the run."""
        response = replace(response, sample_id=item.sample.id)
        if response.error is not None:
            return response
        if item.sample.audios and not response.sent and self.runner.name != "replay":
            return response.with_error(
                Failure(
                    "no-audio-sent", "the sample has audio, but the runner says it sent none to the model"
                )
            )
        if response.audio is None:
            if as_ids(response):
                return response
            # A model that was to speak and did not has said nothing; a predictions file just holds none.
            silent = item.state.plan.task.modality.wants_audio and self.runner.name != "replay"
            return replace(response, meta={**response.meta, "speech": "empty"}) if silent else response
        if response.audio.data == b"" or response.audio.seconds == 0:
            return replace(response, audio=None, meta={**response.meta, "speech": "empty"})
        audio = response.audio
        try:
            kept = await self._in_thread(lambda: self.run.keep_speech(audio))
        except AudioError as exc:
            return replace(response, audio=None).with_error(
                Failure("bad-speech", f"the model's speech can't be decoded: {exc}")
            )
        if kept.seconds == 0:
            return replace(response, audio=None, meta={**response.meta, "speech": "empty"})
        return replace(response, audio=kept)
