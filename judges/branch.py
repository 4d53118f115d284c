"""One metric of a task whose samples are of several kinds, each kind with a judge of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict


class Branch(Judge):
    """Hands each sample to the judge of its kind; all of them give the same metric.

    Args:
        key: key of `sample.meta` that names the kind.
        judges: the judge of each kind; they read text. A sample of another kind gets no verdict.
    """

    def __init__(self, key: str, judges: Mapping[str, Judge]) -> None:
        named = {judge.metrics for judge in judges.values()}
        if len(named) != 1 or any(judge.reads != "text" for judge in judges.values()):
            raise ValueError("the judges of a branch read text and give the same metric")
        [self.metrics] = named
        self.key = key
        self.judges = dict(judges)
        self.asks_model = any(judge.asks_model for judge in judges.values())
        self.heavy = not self.asks_model and any(judge.heavy for judge in judges.values())
        self.recorded = any(judge.recorded for judge in judges.values())

    async def ready(self) -> None:
        for judge in self.judges.values():
            await judge.ready()

    @property
    def signature(self) -> str:
        """Each kind with its judge's signature."""
        return ", ".join(f"{kind}={judge.signature}" for kind, judge in self.judges.items())

    def _judge_of(self, sample: Sample) -> Judge | None:
        return self.judges.get(str(sample.meta.get(self.key)))

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        judge = self._judge_of(sample)
        return judge.score(sample, answer) if judge is not None else []

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """As the judge of the sample's kind does. Raises RunnerError when its request fails."""
        judge = self._judge_of(sample)
        if judge is not None and judge.asks_model:
            return await judge.ask(sample, answer)
        if judge is not None and judge.heavy and _in_a_loop():
            return await asyncio.to_thread(judge.score, sample, answer)
        return self.score(sample, answer)


def _in_a_loop() -> bool:
    """Is anything else waiting for this thread? Not where predictions are scored in bulk."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
