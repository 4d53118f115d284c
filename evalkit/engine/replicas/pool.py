"""Who asks which replica: the least busy one; samples of a lost replica go to the others.

A sample that was under way in a replica that died may be what killed it. It is asked again alone, where its death
can be blamed on nobody else; one that goes down with `MOST_LOSSES` replicas is given up.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evalkit.engine.replicas.trouble import Lost, Trouble
from evalkit.errors import RunnerError, UsageError
from evalkit.records import Modality, Response, Sample

MOST_LOSSES = 3
"""With so many replicas a sample may go down, the first time in company, before it is an error."""
MOST_DEATHS = 10
"""So often a replica may die without an answer in between before it is started no more."""
MOST_STARTS = 3
"""So often in a row starting a replica anew may fail before it is given up."""
GATHER = 0.05
"""Seconds without a new sample after which a batch that is not full is sent."""


class Live(Protocol):
    """A replica that is up."""

    where: str
    """Process and machine, for messages."""

    async def answer(self, samples: Sequence[Sample], modality: Modality) -> list[Response] | Trouble:
        """Answers in order, or what went wrong. Raises Lost."""
        ...

    def kill(self) -> None:
        """Make sure that it is gone."""
        ...


@dataclass(eq=False)
class Ticket:
    """A sample that somebody waits for.

    Attributes:
        losses: with how many replicas it went down.
        apart: asked for by itself, for its batch failed.
    """

    sample: Sample
    modality: Modality
    answer: asyncio.Future[Response]
    losses: int = 0
    apart: bool = False

    @property
    def seconds(self) -> float:
        return sum(a.seconds or 0.0 for a in self.sample.audios)

    @property
    def group(self) -> tuple[str, str]:
        """What may share a batch."""
        return self.sample.task, self.modality


@dataclass(eq=False)
class Slot:
    """The place of one replica.

    Attributes:
        number: from 1.
        live: None while it is being started anew.
        room: how many questions (samples, or batches) it may hold at once.
        batch: how many samples it takes at once; 0 for a concurrent runner. Shrinks when memory runs out.
        busy: questions under way.
        held: samples under way.
        alone: is one of them a suspect, which wants no company?
        gone: it is started no more.
        deaths: since its last answer.
    """

    number: int
    live: Live | None
    room: int
    batch: int
    busy: int = 0
    held: int = 0
    alone: bool = False
    gone: bool = False
    deaths: int = 0


@dataclass(eq=False)
class Pool:
    """Hands samples to replicas and answers back.

    Args:
        slots: the replicas, all of them up.
        start: starts the replica of a number anew. Raises Lost, UsageError, RunnerError.
    """

    slots: list[Slot]
    start: Callable[[int], Awaitable[Live]]
    waiting: list[Ticket] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    flush: asyncio.TimerHandle | None = None
    end: RunnerError | None = None

    async def ask(self, sample: Sample, modality: Modality) -> Response:
        """The answer to one sample, from whichever replica has room first.

        Raises:
            RunnerError: the runner's; "replica-lost" for a sample that replicas die of; the same, but fatal, when no
                replica is left.
            UsageError: the runner's.
        """
        if self.end is not None:
            raise self.end
        ticket = Ticket(sample, modality, asyncio.get_running_loop().create_future())
        self.waiting.append(ticket)
        self._dispatch()
        try:
            return await ticket.answer
        finally:
            if ticket in self.waiting:  # nobody waits any more
                self.waiting.remove(ticket)

    async def stop(self) -> None:
        """Wait for no answer any more."""
        if self.flush is not None:
            self.flush.cancel()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    # --- handing out -----------------------------------------------------------------------------

    def _dispatch(self, *, all_of_it: bool = False) -> None:
        """Hand out what can be handed out; of batches only full ones, unless `all_of_it`."""
        while (found := self._next(all_of_it)) is not None:
            slot, tickets = found
            for ticket in tickets:
                self.waiting.remove(ticket)
            slot.busy += 1
            slot.held += len(tickets)
            slot.alone = tickets[0].losses > 0
            assert slot.live is not None
            self._spawn(self._serve(slot, slot.live, tickets))
        if self.flush is not None:
            self.flush.cancel()
            self.flush = None
        if self.waiting and self.slots[0].batch and any(_open(s) for s in self.slots):
            loop = asyncio.get_running_loop()
            self.flush = loop.call_later(GATHER, lambda: self._dispatch(all_of_it=True))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _next(self, all_of_it: bool) -> tuple[Slot, list[Ticket]] | None:
        """A replica with room, and what it is to be asked; None when nothing can be handed out now."""
        suspects = [t for t in self.waiting if t.losses]
        others = [t for t in self.waiting if not t.losses]
        nurse = self._nurse() if suspects else None
        if nurse is not None and _open(nurse) and not nurse.busy:
            return nurse, suspects[:1]
        for slot in sorted((s for s in self.slots if _open(s) and s is not nurse), key=lambda s: s.held):
            if others and (tickets := _batch(others, slot.batch, all_of_it)):
                return slot, tickets
            if suspects and not others and not slot.busy:  # nothing else to do: look after suspects, too
                return slot, suspects[:1]
        return None

    def _nurse(self) -> Slot | None:
        """The replica kept free for suspects: the one that has one, is idle, is coming up, or else is least busy."""
        there = [s for s in self.slots if not s.gone]
        rank = {
            s.number: (not s.alone, s.live is None or s.busy > 0, s.live is not None, s.held) for s in there
        }
        return min(there, key=lambda s: rank[s.number], default=None)

    # --- asking ----------------------------------------------------------------------------------

    async def _serve(self, slot: Slot, live: Live, tickets: list[Ticket]) -> None:
        if slot.live is not live:  # lost since: these never got there
            self._again(tickets)
            self._dispatch()
            return
        try:
            got = await live.answer([t.sample for t in tickets], tickets[0].modality)
        except Lost as exc:
            self._lost(slot, live, tickets, str(exc))
        except Exception as exc:  # what can't be sent, or read
            self._done(slot, live, tickets, Trouble.of(exc))
        else:
            self._done(slot, live, tickets, got)
        self._dispatch()

    def _free(self, slot: Slot, tickets: list[Ticket]) -> None:
        slot.busy -= 1
        slot.held -= len(tickets)
        slot.alone = False

    def _done(self, slot: Slot, live: Live, tickets: list[Ticket], got: list[Response] | Trouble) -> None:
        """An answer, or a failure that the runner told."""
        if slot.live is live:
            self._free(slot, tickets)
            slot.deaths = 0
        if isinstance(got, list):
            for ticket, response in zip(tickets, got, strict=True):
                if not ticket.answer.done():
                    ticket.answer.set_result(response)
            return
        error = got.error()
        final = isinstance(error, UsageError) or error.fatal
        if len(tickets) > 1 and not final:
            # As without replicas: what does not fit is asked in halves from now on, what fails one by one.
            if got.sort == "memory":
                slot.batch = min(slot.batch, (len(tickets) + 1) // 2)
            for ticket in tickets:
                ticket.apart = ticket.apart or got.sort != "memory"
            self._again(tickets)
            return
        if slot.batch and isinstance(error, RunnerError):
            error.retryable = False  # batches have had their second try, one by one
        for ticket in tickets:
            if not ticket.answer.done():
                ticket.answer.set_exception(error)

    def _again(self, tickets: list[Ticket]) -> None:
        self.waiting[:0] = [t for t in tickets if not t.answer.done()]
        if self.end is not None:
            self._turn_away(self.end)

    def _turn_away(self, error: RunnerError) -> None:
        for ticket in self.waiting:
            if not ticket.answer.done():
                ticket.answer.set_exception(error)
        self.waiting.clear()

    # --- losses ----------------------------------------------------------------------------------

    def _lost(self, slot: Slot, live: Live, tickets: list[Ticket], why: str) -> None:
        """A replica died with these samples: they wait for another, the replica is started anew."""
        for ticket in tickets:
            ticket.losses += 1
            if ticket.losses >= MOST_LOSSES and not ticket.answer.done():
                words = f"{ticket.losses} replicas were lost while they answered it, the last of them alone ({why})"
                ticket.answer.set_exception(RunnerError("replica-lost", words))
        self._again(tickets)
        if slot.live is live:  # the first to hear of it
            live.kill()
            slot.live = None
            slot.deaths += 1
            more = slot.deaths < MOST_DEATHS
            n = slot.held
            fate = f"its {n} sample{'s' * (n != 1)} under way {'are' if n != 1 else 'is'} asked again"
            then = (
                "it is started anew" if more else f"it was lost {slot.deaths} times in a row, and is given up"
            )
            _warn(f"replica {slot.number} ({live.where}) was lost: {why}; {fate}, and {then}.")
            slot.busy = slot.held = 0
            slot.alone = False
            if more:
                self._spawn(self._revive(slot))
            else:
                self._give_up(slot)

    async def _revive(self, slot: Slot) -> None:
        for left in reversed(range(MOST_STARTS)):
            try:
                slot.live = await self.start(slot.number)
                break
            except (Lost, UsageError, RunnerError) as exc:
                if not left:
                    _warn(f"replica {slot.number} can't be started anew ({exc}); the run goes on without it.")
        else:
            self._give_up(slot)
        self._dispatch()

    def _give_up(self, slot: Slot) -> None:
        slot.gone = True
        if any(not s.gone for s in self.slots):
            return
        self.end = RunnerError(
            "replica-lost",
            "all replicas were lost, and none can be started anew. What was answered is kept; mend it (the warnings "
            "say how they ended) and run the same command to go on.",
            fatal=True,
        )
        self._turn_away(self.end)


def _open(slot: Slot) -> bool:
    """Can it be asked one more question?"""
    return slot.live is not None and not slot.alone and slot.busy < slot.room


def _batch(waiting: list[Ticket], size: int, all_of_it: bool) -> list[Ticket]:
    """Of the samples waiting, those to ask next: the oldest, and with it those nearest to it in length.

    Args:
        size: of a batch; 0 for a concurrent runner, which is asked one by one.
        all_of_it: is a batch that is not full better than waiting?
    """
    first = waiting[0]
    if not size or first.apart:
        return [first]
    fitting = [t for t in waiting if t.group == first.group and not t.apart]
    if len(fitting) < size and not all_of_it:
        return []
    near = sorted(fitting[1:], key=lambda t: abs(t.seconds - first.seconds))[: size - 1]
    return sorted([first, *near], key=lambda t: t.seconds)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
