"""Every call to a model that helps to score, put on record: who asked for what, what came of it, what it took.

`MeteredChat` is the outermost of the wrappers around a judge's model. Where its calls go is said by `recording`,
what they are for by `asking_for`; without the first nothing is recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from evalkit.chat import Abilities, ChatReply, ChatRequest, abilities_of
from evalkit.engine.wrapped import Wrapped
from evalkit.errors import BUDGET, RunnerError
from evalkit.ledger import ASR, Call, Sink
from evalkit.prices import Price, audio_rate, load_prices
from evalkit.records import JSON, Audio, Transcript
from evalkit.usage import audio_seconds, estimated, tokens_of

PROBE = ChatRequest((("user", "What can you do?" * 4),))
"""Stands for what an endpoint is asked to find out what it can do, whose tokens nobody tells us."""
INTERRUPTED = "interrupted"
"""`error` of a call that was under way when the run was stopped."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a call is for."""

    task: str = ""
    sample_id: str = ""
    metric: str = ""


_SINK: ContextVar[Sink | None] = ContextVar("calls", default=None)
_PURPOSE: ContextVar[Purpose] = ContextVar("purpose", default=Purpose())  # noqa: B039 - frozen


@contextmanager
def recording(sink: Sink) -> Iterator[None]:
    """Within, also in tasks started there, calls are put on record by `sink`."""
    token = _SINK.set(sink)
    try:
        yield
    finally:
        _SINK.reset(token)


@contextmanager
def asking_for(task: str, sample_id: str, metric: str) -> Iterator[None]:
    """Within, calls are for this sample's verdict."""
    token = _PURPOSE.set(Purpose(task, sample_id, metric))
    try:
        yield
    finally:
        _PURPOSE.reset(token)


def clock() -> str:
    """The time in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class MeteredChat(Wrapped):
    """A chat model whose calls are put on record.

    Args:
        role: "judge" or "lalm-judge".
        price: of the model; None: unknown.
    """

    def __init__(self, model: Any, role: str, price: Price | None) -> None:
        super().__init__(model)
        self.role, self.price = role, price
        self._abilities: Abilities | None = None

    async def abilities(self) -> Abilities:
        """What the model can do, asked once; a probe of an endpoint is on record as a call for no sample."""
        if self._abilities is None:
            started = time.perf_counter()
            try:
                self._abilities = await abilities_of(self.model)
            except RunnerError as error:
                self._note(PROBE, started, None, error.kind)
                raise
            # A model in this process isn't asked: it knows.
            if "base_url" in getattr(self.model, "identity", dict)() and getattr(self.model, "probed", True):
                self._note(PROBE, started, ChatReply(("yes",)))
        return self._abilities

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Reply. Raises `RunnerError`."""
        started = time.perf_counter()
        try:
            reply: ChatReply = await self.model.chat(request)
        except RunnerError as error:
            if error.kind != BUDGET and not error.unsent:  # else nobody was asked
                self._note(request, started, None, error.kind)
            raise
        except asyncio.CancelledError:
            self._note(request, started, None, INTERRUPTED)
            raise
        self._note(request, started, reply)
        return reply

    def _note(self, request: ChatRequest, started: float, reply: ChatReply | None, error: str = "") -> None:
        sink, why = _SINK.get(), _PURPOSE.get()
        if sink is None:
            return
        cached = reply is not None and reply.cached
        tokens = guess = usd = None
        if reply is not None and not cached:
            tokens = tokens_of(reply.usage)
            guess = estimated(request, reply, audio_rate(self.price)) if tokens is None else None
            if self.price is not None and (count := tokens or guess) is not None:
                usd = self.price.usd(count)
        heard = sum(s.seconds for s in reply.sent) if reply is not None else 0.0
        sink(
            Call(
                *(clock(), self.role, self.label, why.task, why.sample_id, why.metric),
                cached=cached,
                error=error,
                replies=request.n,
                tokens=tokens,
                estimate=guess,
                audio=heard or audio_seconds(request) or None,
                seconds=time.perf_counter() - started,
                usd=usd,
            )
        )


def note_transcripts(
    engine: str,
    places: Sequence[tuple[str, str]],
    audios: Sequence[Audio],
    heard: Sequence[Transcript],
    seconds: float = 0.0,
    *,
    cached: bool = False,
) -> None:
    """Put a batch of transcriptions on record, one call each.

    Args:
        places: task and sample of each piece.
        seconds: wall time of the batch, shared out by how long the pieces are.
    """
    if (sink := _SINK.get()) is None:
        return
    lengths = [a.seconds for a in audios]
    whole = sum(s or 0.0 for s in lengths)
    at = clock()
    for (task, sample_id), length, transcript in zip(places, lengths, heard, strict=True):
        share = (length or 0.0) / whole if whole else 1 / len(audios)
        error = transcript.error.kind if transcript.error is not None else ""
        sink(
            Call(
                *(at, ASR, engine, task, sample_id),
                cached=cached,
                error=error,
                audio=length,
                seconds=0.0 if cached else seconds * share,
            )
        )


def prices_used(models: Sequence[object]) -> dict[str, JSON]:
    """For the record: the price table's sha256, and each metered model with its price, if there is one."""
    metered = [m for m in models if isinstance(m, MeteredChat)]
    told = {m.label: m.price.to_json() if m.price is not None else {} for m in metered}
    return {
        "sha256": load_prices().sha256 if metered else "",
        "models": [{"model": label, **price} for label, price in told.items()],
    }
