"""Pair sensitivity: does a judge tell answers to the same words, spoken with different cues, apart?

Of a pair's two items, the scores are compared with those of the same questions with their answers swapped (two more
calls a pair). Where the sum falls, the answers fitted their cues. Internal-set sheet section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.chat import ChatModel
from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.lalm import LALMJudge

ALONE = (
    "pair-alone: the other item of this pair has no answer to swap with; answer it, or give the pair two items "
    "with different cues"
)
RECORDED = "pair-recorded: recorded replies hold none to swapped answers; bind --lalm-judge"


class PairJudge(Judge):
    """Metric "pair_sensitivity": 1 for a pair whose summed score falls when its answers are swapped, else 0.

    A pair is the first two items, in the data set's order, of a `pair_id` with different cues. The first item's verdict
    has weight 1 and stands for the pair; all others have weight 0.

    Args:
        scorer: gives the scores; its verdicts of this session are used again, earlier ones are asked for (the
            cache of replies knows them).
    """

    asks_model = True
    reads = "audio"
    role = "lalm-judge"
    judges_absence = True
    late = True
    metrics = ("pair_sensitivity",)

    def __init__(self, scorer: LALMJudge) -> None:
        self.scorer = scorer
        scorer.remembers = True
        self.recorded = False
        # What a forecast of the cost looks at: a swapped call is like one of the scorer's.
        self.rubrics, self.hears_name, self.asking = scorer.rubrics, scorer.hears_name, scorer.asking
        self._held: dict[tuple[str, str, str], Verdict] = {}

    @property
    def model(self) -> ChatModel | None:
        """Whom the scorer asks."""
        return self.scorer.model

    async def ready(self) -> None:
        await self.scorer.ready()

    @property
    def signature(self) -> str:
        return f"{self.scorer.signature} swapped"

    def group(self, sample: Sample) -> str:
        return str(sample.meta.get("pair_id") or "")

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """Of an item without a pair: nothing to tell, with weight 0."""
        if self.group(sample):
            return self.unscored(RECORDED)
        return [self._verdict(0.0, 0.0, {"pair": None})]

    async def ask_together(self, members: Sequence[tuple[Sample, Answer]]) -> list[Verdict]:
        """The pair's verdict and those without weight, in order.

        Raises:
            RunnerError: an attempt at one of the scores failed; those that came are kept for the next.
        """
        if self.model is None:
            return self.unscored(RECORDED if self.scorer.recorded else self.scorer.unbound) * len(members)
        first = members[0][0]
        k = next((k for k, (s, _) in enumerate(members) if s.meta.get("cue") != first.meta.get("cue")), None)
        if k is None:
            return self.unscored(ALONE) * len(members)
        (a, to_a), (b, to_b) = members[0], members[k]
        plain = [await self._score(a, to_a), await self._score(b, to_b)]
        swapped = [await self._score(a, to_b), await self._score(b, to_a)]
        lacking = next((v for v in (*plain, *swapped) if v.value is None), None)
        if lacking is not None:
            return self.unscored(f"pair-open: one of the pair's scores is lacking ({lacking.reason})") * len(
                members
            )
        before, after = ([v.value or 0.0 for v in found] for found in (plain, swapped))
        falls = float(sum(after) < sum(before))
        detail: dict[str, JSON] = {
            "pair": self.group(a),
            "items": [a.id, b.id],
            "scores": list(before),
            "swapped": list(after),
            "model": swapped[0].detail.get("model"),
        }
        if any(v.detail.get("meaningful") is False for v in (*plain, *swapped)):
            detail["meaningful"] = False
        self._forget(a, b)
        return [self._verdict(falls, float(i == 0), detail) for i in range(len(members))]

    async def _score(self, sample: Sample, answer: Answer) -> Verdict:
        """The scorer's verdict on this answer to this question, each asked for once. Raises RunnerError."""
        known = self.scorer.given.get((sample.id, answer.response.digest()))
        if known is not None:
            return known
        key = (sample.id, answer.response.sample_id, answer.response.digest())
        if key not in self._held:
            [self._held[key]] = await self.scorer.ask(sample, answer)
        return self._held[key]

    def _forget(self, *samples: Sample) -> None:
        ids = {s.id for s in samples}
        self._held = {k: v for k, v in self._held.items() if k[0] not in ids}

    def _verdict(self, value: float, weight: float, detail: Mapping[str, JSON]) -> Verdict:
        counts = {"weighted": value * weight, "weight": weight}
        return Verdict(self.metrics[0], value, counts=counts, detail=detail)
