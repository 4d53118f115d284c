"""Answers that are judged in groups: they wait until every answer is there, then each group is asked about once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from evalkit.engine.judging import answer_for, to_scores
from evalkit.engine.loading import Item
from evalkit.interfaces import Judge
from evalkit.records import Response, Verdict
from evalkit.store import RunWriter

Asking = Callable[[Judge, Item, Callable[[], Awaitable[list[Verdict]]]], Awaitable[list[Verdict]]]
"""Awaits a call on behalf of a judge about an item (the group's first): retries, failures and the ledger."""


@dataclass(frozen=True)
class Member:
    """One answer of a group."""

    judge: Judge
    item: Item
    response: Response


class Groups:
    """The groups of one pass over the tasks of a run."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, str], list[Member]] = {}

    def take(self, judge: Judge, item: Item, response: Response) -> bool:
        """Let this answer wait for its group; False where the judge judges it alone."""
        key = judge.group(item.sample)
        if not key:
            return False
        place = (item.state.name, item.state.plan.sign(judge), key)
        self._waiting.setdefault(place, []).append(Member(judge, item, response))
        return True

    async def judge(self, run: RunWriter, ask: Asking, at_once: int) -> None:
        """Judge every group that lacks a verdict. Raises as `ask`."""
        gate = asyncio.Semaphore(max(1, at_once))

        async def one(members: Sequence[Member]) -> None:
            async with gate:
                await _judge(run, ask, members)

        waiting, self._waiting = self._waiting, {}
        tasks = [asyncio.create_task(one(m)) for m in waiting.values() if not all(map(_done, m))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()


def _done(member: Member) -> bool:
    judge, item = member.judge, member.item
    signed = item.state.plan.sign(judge)
    return all(item.state.has(item.sample.id, m, signed, item.ref) for m in judge.metrics)


async def _judge(run: RunWriter, ask: Asking, members: Sequence[Member]) -> None:
    """Ask about one group, its answers in the data set's order, and put a verdict on each."""
    members = sorted(members, key=lambda m: m.item.state.seen.get(m.item.sample.id, 0))
    judge, first = members[0].judge, members[0].item
    told = [(m.item.sample, answer_for(judge, m.response, None)) for m in members]
    verdicts = await ask(judge, first, lambda: judge.ask_together(told))
    if len(verdicts) != len(members):  # a failure: it is everybody's
        verdicts = verdicts[:1] * len(members)
    for member, verdict in zip(members, verdicts, strict=True):
        state = member.item.state
        scores = to_scores(state, judge, [verdict], member.response, member.item.ref)
        for score in scores:
            state.note(score)
        # A verdict already on record is written again: the group's may be another since one of its answers changed.
        run.append_scores(state.name, scores)
