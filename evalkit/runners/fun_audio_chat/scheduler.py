"""Continuous batching: requests wait, enter a slot, are decoded together, and leave it as soon as they are done.

One worker thread owns the device. A row that finishes frees its slot at once; waiting requests of similar length are
prefilled together into free slots. Out of memory halves the slots, and what was under way starts again: a request has
its own seed, so it comes to the same answer. Source: runner specification, section 12.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch

from evalkit.errors import OutOfMemory, RunnerError
from evalkit.runners.fun_audio_chat.generation import prefill
from evalkit.runners.fun_audio_chat.graphs import Stepper
from evalkit.runners.fun_audio_chat.model import FunAudioChat
from evalkit.runners.fun_audio_chat.requests import Decoding, Generated, Request
from evalkit.runners.fun_audio_chat.rows import Prompt, Rows

GATHER = 0.02
"""Seconds that an idle engine waits for company of the first request."""


@dataclass(eq=False)
class _Job:
    """A request on its way."""

    request: Request
    future: Future[Generated]
    submitted: float = field(default_factory=time.perf_counter)
    entered: float = 0.0
    decoding_from: float = 0.0
    text: list[int] = field(default_factory=list)
    speech: list[int] = field(default_factory=list)
    alone: bool = False

    @property
    def length(self) -> int:
        return len(self.request.ids)

    @property
    def taken(self) -> int:
        """Positions of the language model's cache that it takes."""
        return self.length + max(0, len(self.text) - 1)

    def again(self) -> None:
        """Forget what was generated."""
        self.text, self.speech = [], []


class Engine:
    """Generates for many requests at once on one device.

    Args:
        model: from `FunAudioChat.load`.
        slots: most rows decoded together.
        prefill_tokens: most positions, padding included, of prompts run together.
        invariant: prefill one by one and always run all slots: then kernels see the same shapes whatever the batch,
            and not even the last bit of a low-precision answer depends on its neighbours. Slower.
        graphs: replay steps as CUDA graphs; None: where they work.
    """

    def __init__(
        self,
        model: FunAudioChat,
        *,
        slots: int,
        prefill_tokens: int = 8192,
        invariant: bool = False,
        graphs: bool | None = None,
    ) -> None:
        self.model, self.slots = model, max(1, slots)
        self.prefill_tokens, self.invariant = prefill_tokens, invariant
        able = model.device.type == "cuda" and model.config.text_kind == "qwen3"
        self.graphs = able if graphs is None else graphs and able
        self._lock = threading.Condition()
        self._waiting: list[_Job] = []
        self._active: list[_Job] = []
        self._entering: list[_Job] = []
        self._rows: Rows | None = None
        self._stepper: Stepper | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, request: Request) -> Future[Generated]:
        """Ask for an answer.

        Returns:
            A future; it raises RunnerError of kind "out-of-memory", "bad-prompt" or "runner-crash".

        Raises:
            RunnerError: the engine was closed.
        """
        job = _Job(request, Future())
        if (why := self._refused(request)) is not None:
            job.future.set_exception(RunnerError("bad-prompt", why))
            return job.future
        with self._lock:
            if self._closed:
                raise RunnerError("closed", "the model was closed", fatal=True)
            self._waiting.append(job)
            if self._thread is None:
                # A daemon: a second Ctrl-C may end the process while a step is under way.
                self._thread = threading.Thread(target=self._work, name="fun-audio-chat", daemon=True)
                self._thread.start()
            self._lock.notify()
        return job.future

    def close(self) -> None:
        """Stop after the step under way; what has not finished is cancelled. Waits for the worker."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=60)

    def _refused(self, request: Request) -> str | None:
        """Why a request can't be run at all."""
        if not request.ids:
            return "the prompt is empty"
        placeholders = request.ids.count(self.model.config.audio_token_index)
        if (groups := sum(c.groups for c in request.clips)) != placeholders:
            return f"the prompt has {placeholders} audio placeholders, its audio {groups}"
        most = int(self.model.config.text.get("max_position_embeddings") or 0)
        if most and len(request.ids) + request.decoding.max_new_tokens > most:
            return (
                f"the prompt has {len(request.ids)} tokens; with {request.decoding.max_new_tokens} new ones that is "
                f"more than the {most} positions of the model"
            )
        return None

    # --- the worker thread -----------------------------------------------------------------------

    def _work(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.set_device(self.model.device)
        try:
            while self._await_work():
                try:
                    self._admit()
                    if self._active:
                        self._step()
                except torch.OutOfMemoryError as exc:
                    trouble: str | RunnerError = _told(exc)
                except Exception as exc:
                    trouble = _as_error(exc)
                else:
                    continue
                # Out here the traceback, and with it what it held on the device, is gone.
                if isinstance(trouble, str):
                    self._shrink(trouble)
                else:
                    self._fail(trouble)
        finally:
            with self._lock:
                self._closed = True
                left = [*self._under_way(), *self._waiting]
                self._waiting = []
            for job in left:
                job.future.cancel()
                if not job.future.done():
                    job.future.set_exception(RunnerError("closed", "the model was closed before it answered"))

    def _await_work(self) -> bool:
        """Sleep until there is something to do; False when it is over."""
        with self._lock:
            while not self._closed and not self._waiting and not self._active:
                self._lock.wait()
            if not self._active:
                waited = -1
                while not self._closed and waited != len(self._waiting) < self.slots:
                    waited = len(self._waiting)
                    self._lock.wait(GATHER)
            return not self._closed

    def _admit(self) -> None:
        """Let waiting requests into free slots, those of similar length together."""
        while True:
            group = self._next_group()
            if not group:
                return
            rows = self._rows_for(group[0].request.decoding)
            start = len(self._active)
            for job in group:
                job.entered = time.perf_counter()
            self._entering = group
            prompts = self._prompts(group)
            self._reserve(max(job.length for job in group) + 1)
            prefill(rows, prompts, start)
            for job in group:
                job.decoding_from = time.perf_counter()
            self._active += group
            self._entering = []
            self._record(start, len(self._active))

    def _next_group(self) -> list[_Job]:
        with self._lock:
            self._waiting = [j for j in self._waiting if not j.future.cancelled()]
            free = self.slots - len(self._active)
            if not self._waiting or not free:
                return []
            if self._active and free < min(len(self._waiting), max(1, self.slots // 4)):
                return []  # a prefill holds up everybody: let some more slots fall free
            first = self._active[0] if self._active else self._waiting[0]
            alike = [j for j in self._waiting if j.request.decoding == first.request.decoding]
            if not alike or (self._active and any(j.alone for j in (*self._active, *alike[:1]))):
                return []
            if alike[0].alone:
                free = 1
            group = _neighbours(alike, 1 if self.invariant else free, self.prefill_tokens)
            taken = set(map(id, group))
            self._waiting = [j for j in self._waiting if id(j) not in taken]
        return [j for j in group if j.future.running() or j.future.set_running_or_notify_cancel()]

    def _rows_for(self, decoding: Decoding) -> Rows:
        if self._rows is None or self._rows.decoding != decoding or self._rows.slots != self.slots:
            self._drop()
            self._rows = Rows(self.model, decoding, self.slots)
            graphs = self.graphs and decoding.draws == "uniform"
            self._stepper = Stepper(self._rows, graphs=graphs, fixed=self.invariant)
        return self._rows

    def _prompts(self, group: Sequence[_Job]) -> list[Prompt]:
        """The group's prompts on the device; its audio is encoded in one go."""
        device = self.model.device
        with torch.inference_mode():
            vectors = self.model.audio_vectors([c for job in group for c in job.request.clips])
            sizes = [sum(c.groups for c in job.request.clips) for job in group]
            return [
                Prompt(job.request, torch.tensor(job.request.ids, dtype=torch.long, device=device), audio)
                for job, audio in zip(group, vectors.split(sizes), strict=True)
            ]

    def _reserve(self, length: int) -> None:
        assert self._rows is not None and self._stepper is not None
        if length > self._rows.length:
            self._stepper.forget()
            self._rows.reserve(length)

    def _step(self) -> None:
        assert self._stepper is not None
        longest = max(job.taken for job in self._active) + 1
        self._reserve(longest)
        self._stepper.step(len(self._active), longest)
        self._record(0, len(self._active))

    def _record(self, start: int, stop: int) -> None:
        """Put what the latest step said on record; rows that are done leave."""
        assert self._rows is not None
        done: list[int] = []
        for place, (text, stopped, group) in enumerate(self._rows.said(start, stop), start):
            job = self._active[place]
            job.text.append(text)
            job.speech += group
            limit = job.request.decoding.max_new_tokens
            if stopped or len(job.text) >= limit:
                job.future.set_result(_result(job, stopped=stopped))
                done.append(place)
        for place in reversed(done):  # the last row takes the place of one that leaves
            last = self._active.pop()
            if place < len(self._active):
                self._active[place] = last
                self._rows.move(len(self._active), place, last.taken)

    def _under_way(self) -> list[_Job]:
        """Everybody who has to start again: nothing of the batch is left."""
        tried = [*self._active, *self._entering]
        self._active, self._entering = [], []
        for job in tried:
            job.again()
        self._drop()
        return tried

    def _shrink(self, why: str) -> None:
        """Out of memory: half the slots, and everybody under way starts again; alone, a request has failed."""
        tried = self._under_way()
        if self.slots == 1:
            for job in tried:
                what = f"a prompt of {job.length} tokens does not fit the device's memory even alone: {why}"
                job.future.set_exception(OutOfMemory(what))
            return
        self.slots //= 2
        with self._lock:
            self._waiting = [*tried, *self._waiting]

    def _fail(self, error: RunnerError) -> None:
        """A bug, or a device that is lost: each of those under way is tried alone, so that one can't fail others."""
        tried = self._under_way()
        if error.fatal or len(tried) == 1:
            for job in tried:
                job.future.set_exception(error)
            return
        for job in tried:
            job.alone = True
        with self._lock:
            self._waiting = [*tried, *self._waiting]

    def _drop(self) -> None:
        """Free the state of the batch."""
        if self._stepper is not None:
            self._stepper.forget()
        if self._rows is not None:
            self._rows.release()
        self._rows = self._stepper = None
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()


def _neighbours(jobs: Sequence[_Job], most: int, tokens: int) -> list[_Job]:
    """The request that waits longest, and those nearest to it in length, as many as fit."""
    anchor = jobs[0]
    near = sorted(jobs, key=lambda j: abs(j.length - anchor.length))
    group: list[_Job] = []
    longest = 0
    for job in near[:most]:
        longest = max(longest, job.length)
        if group and (len(group) + 1) * longest > tokens:
            break
        group.append(job)
    return sorted(group, key=lambda j: j.length)


def _result(job: _Job, *, stopped: bool) -> Generated:
    now = time.perf_counter()
    timing = {
        "queue": job.entered - job.submitted,
        "prefill": job.decoding_from - job.entered,
        "decode": now - job.decoding_from,
    }
    return Generated(tuple(job.text), tuple(job.speech), "stop" if stopped else "length", timing)


def _told(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:300]


def _as_error(exc: Exception) -> RunnerError:
    """What a request is told of a failure; a device that is lost fails them all."""
    if isinstance(exc, RunnerError):
        return exc
    lost = type(exc).__name__ == "AcceleratorError" or "CUDA error" in str(exc)
    return RunnerError("runner-crash", f"{type(exc).__name__}: {_told(exc)}", fatal=lost)
