"""Continuous batching: requests wait, enter a slot, are decoded together, and leave it as soon as they are done.

One worker thread owns the device. A row that finishes frees its slot at once; waiting requests of similar length are
prefilled together into free slots. Where the caches of longer rows do not fit all slots, the youngest rows wait again;
where memory runs out all the same, the slots are halved and all rows start again. A request has its own seed, so it
comes to the same answer. Source: runner specification, section 12.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch

from evalkit.errors import OutOfMemory, RunnerError
from evalkit.runners.fun_audio_chat.decoding.generation import prefill
from evalkit.runners.fun_audio_chat.decoding.graphs import Stepper
from evalkit.runners.fun_audio_chat.decoding.memory import free_bytes, give_back, ran_out
from evalkit.runners.fun_audio_chat.decoding.rows import Prompt, Rows
from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
from evalkit.runners.fun_audio_chat.requests import Decoding, Generated, Request

GATHER = 0.02
"""Seconds that an idle engine waits for company of the first request."""
PATIENCE = 60.0
"""Seconds after which a request that is decoded in another way than the batch stops others from joining that."""
SPARE = 44
"""Vectors of the model's width that a prompt's position takes while prompts are run, most of them in the speech head:
memory that caches leave alone."""


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
        prefill_tokens: int = 4096,
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
        self.spare = SPARE * prefill_tokens * model.text_embeddings.shape[1] * model.dtype.itemsize

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
        try:
            if self.model.device.type == "cuda":
                torch.cuda.set_device(self.model.device)
            while self._await_work():
                try:
                    self._admit()
                    if self._active:
                        self._step()
                except Exception as exc:
                    trouble = _told(exc) if ran_out(exc) else _as_error(exc)
                else:
                    continue
                # Out here the traceback, and with it what it held on the device, is gone.
                if isinstance(trouble, str):
                    self._shrink(trouble)
                else:
                    self._fail(trouble)
        finally:
            with self._lock:
                died, self._closed = not self._closed, True
                waiting, self._waiting = self._waiting, []
            error = RunnerError("closed", "the model was closed before it answered")
            if died:
                error = RunnerError("runner-crash", "the thread that generates has ended", fatal=True)
            for job in (*self._under_way(), *waiting):
                if died and not job.future.running() and not job.future.set_running_or_notify_cancel():
                    continue  # its asker has gone
                job.future.cancel()
                if not job.future.done():
                    job.future.set_exception(error)

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
            self._entering = self._next_group()
            if not self._entering:
                return
            rows = self._rows_for(self._entering[0].request.decoding)
            self._reserve(max(job.length for job in self._entering) + 1)
            group, start = self._entering, len(self._active)
            if not group:
                return
            for job in group:
                job.entered = time.perf_counter()
            prefill(rows, self._prompts(group), start)
            for job in group:
                job.decoding_from = time.perf_counter()
            self._active += group
            self._entering = []
            self._record(start, len(self._active))

    def _next_group(self) -> list[_Job]:
        with self._lock:
            slots = self._rows.slots if self._rows is not None and self._active else self.slots
            free = slots - len(self._active)
            if not self._waiting or not free:
                return []
            self._waiting = [j for j in self._waiting if not j.future.cancelled()]
            first = self._active[0] if self._active else next(iter(self._waiting), None)
            if first is None:
                return []
            alike = [j for j in self._waiting if j.request.decoding == first.request.decoding]
            if not alike or (self._active and any(j.alone for j in (*self._active, *alike[:1]))):
                return []
            if self._active and free < min(len(alike), max(1, slots // 4)):
                return []  # a prefill holds up everybody: let some more slots fall free
            eldest = self._waiting[0]
            if eldest is not alike[0] and self._active and time.perf_counter() - eldest.submitted > PATIENCE:
                return []  # or those of another decoding would never have their turn
            if alike[0].alone:
                free = 1
            group = _neighbours(alike, 1 if self.invariant else free, self.prefill_tokens)
            taken = set(map(id, group))
            self._waiting = [j for j in self._waiting if id(j) not in taken]
        return [j for j in group if j.future.running() or j.future.set_running_or_notify_cancel()]

    def _rows_for(self, decoding: Decoding) -> Rows:
        under_way = len(self._active) + len(self._entering)
        if self._rows is None or self._rows.decoding != decoding or under_way > self._rows.slots:
            self._drop()  # nobody is in there: those slots were cut, or are for another decoding
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
        """Room for rows of that length, for fewer of them where memory is short."""
        assert self._rows is not None and self._stepper is not None
        if length > self._rows.length:
            self._stepper.forget()
            if (free := free_bytes(self.model.device)) is not None:
                self._cut(self._rows.fitting(length, free - self.spare))
            self._rows.reserve(length)

    def _cut(self, slots: int) -> None:
        """Go on with so many slots; the youngest of those under way who have none wait again."""
        assert self._rows is not None
        back: list[_Job] = []
        while len(self._active) + len(self._entering) > slots:
            if self._entering:
                job = self._entering.pop()
            else:
                youngest = min(self._active, key=lambda j: (len(j.text), -j.submitted))
                job = self._leave(self._active.index(youngest))
            job.again()
            back.append(job)
        with self._lock:
            self._waiting = sorted([*back, *self._waiting], key=lambda j: j.submitted)
        if slots < self._rows.slots:
            self._rows.cut(slots)

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
        for place in reversed(done):
            self._leave(place)

    def _leave(self, place: int) -> _Job:
        """Take a row out; the last one takes its place."""
        assert self._rows is not None
        job, last = self._active[place], self._active.pop()
        if place < len(self._active):
            self._active[place] = last
            self._rows.move(len(self._active), place, last.taken)
        return job

    def _under_way(self) -> list[_Job]:
        """Everybody who has to start again: nothing of the batch is left."""
        tried = [j for j in (*self._active, *self._entering) if not j.future.done()]
        self._active, self._entering = [], []
        for job in tried:
            job.again()
        self._drop()
        return tried

    def _shrink(self, why: str) -> None:
        """Out of memory: half the slots, and everybody under way starts again; alone, a request has failed."""
        slots = self.slots if self._rows is None else self._rows.slots
        tried = self._under_way()
        if slots == 1:
            for job in tried:
                what = f"a prompt of {job.length} tokens does not fit the device's memory even alone: {why}"
                job.future.set_exception(OutOfMemory(what))
            return
        self.slots = slots // 2
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
            self.graphs = self.graphs and not self._stepper.failed
            self._stepper.forget()
        if self._rows is not None:
            self._rows.release()
        self._rows = self._stepper = None
        give_back(self.model.device)


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
