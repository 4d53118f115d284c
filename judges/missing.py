"""What becomes of an answer that lacks the part a judge reads: a value of its own, or out of the denominator.

Duplex sheet section 2 (S2M: text and speech of one answer, each scored; one of them may be missing).
"""

from __future__ import annotations

from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict

MISSING_DROPPED = "missing_dropped"
"""`touched` of an answer without the part to judge: the public scorer takes it out of its denominator."""


def lacks(judge: Judge, answer: Answer) -> bool:
    """Has this answer nothing of what the judge reads? Silent speech is there, and is judged."""
    if judge.reads == "speech":
        return answer.response.audio is None and answer.transcript is None
    return not answer.response.text.strip()


class OrMissing(Judge):
    """Another judge, of text or speech, that also has a verdict on an answer without it.

    Args:
        judge: who judges what is there.
        value: the verdict on what isn't there: 0 for a question answered wrongly, 1 for the lowest rating. None
            leaves it unscored and marks it ``touched="missing_dropped"``.
    """

    judges_absence = True

    def __init__(self, judge: Judge, value: float | None) -> None:
        if judge.reads not in ("text", "speech"):
            raise ValueError("only text and speech can be missing")
        self.judge, self.value = judge, value
        self.metrics, self.reads, self.role = judge.metrics, judge.reads, judge.role
        self.asks_model, self.heavy = judge.asks_model, judge.heavy
        self.recorded = judge.recorded

    async def ready(self) -> None:
        await self.judge.ready()

    @property
    def signature(self) -> str:
        return f"{self.judge.signature},missing={'dropped' if self.value is None else f'{self.value:g}'}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        return self._missing() if lacks(self, answer) else self.judge.score(sample, answer)

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """Nobody is asked about nothing."""
        return self._missing() if lacks(self, answer) else await self.judge.ask(sample, answer)

    def _missing(self) -> list[Verdict]:
        detail = {"missing": self.reads}
        if self.value is not None:
            return [Verdict(m, self.value, detail=detail) for m in self.metrics]
        reason = (
            f"missing-dropped: the answer has no {self.reads}, and this protocol takes it out of the mean"
        )
        return [Verdict(m, None, detail=detail, reason=reason, touched=MISSING_DROPPED) for m in self.metrics]
