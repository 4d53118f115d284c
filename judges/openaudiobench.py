"""The five judges of OpenAudioBench: Kimi-Audio-Evalkit's settings and contracts, our wording.

Sources: OpenAudioBench sheet sections 4.1 (rubrics and how they are filled), 4.2 (contracts), 4.3 (decoding) and
7 (defects). No other complete public scorer of the five subsets is known (section 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.chat import ChatModel
from evalkit.interfaces import Answer
from evalkit.records import JSON, Sample, Verdict
from judges.asking import NotJudgeable
from judges.contracts import CONTRACTS
from judges.failures import UNREADABLE
from judges.llm import LLMJudge
from judges.llm_presets import KIMI
from judges.manner import PLAIN, Manner

OABProtocol = Literal["report", "kimi"]

NAN_CELL = "nan_cell"
"""`touched` of a verdict whose judge was shown the word nan in the place of a cell of the data."""
INVALID_DROPPED = "invalid_dropped"
"""`touched` of an unreadable reply: the public scorer takes the item out of its denominator."""
RATING_ABORTS = "rating_aborts"
"""`touched` of a rating outside 1..10: the public scorer stops there and loses the whole run."""

PANDAS_NA = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
"""Cells that pandas' CSV reader takes for a missing value by default (pandas 2 documentation)."""

THRESHOLD = 4
"""Reasoning QA: ratings from here on mean that the answer is right (rubric of section 4.1)."""


@dataclass(frozen=True, slots=True)
class _Subset:
    rubric: str
    metric: str
    reference: bool = True


SUBSETS: dict[str, _Subset] = {
    "alpaca_eval": _Subset("openaudiobench_alpaca", "geval", reference=False),
    "llama_questions": _Subset("openaudiobench_llama", "acc"),
    "reasoning_qa": _Subset("openaudiobench_reasoning", "score20"),
    "trivia_qa": _Subset("openaudiobench_qa", "acc"),
    "web_questions": _Subset("openaudiobench_qa", "acc"),
}


def kimi_cell(text: str) -> str:
    """A cell as Kimi-Audio-Evalkit puts it into its prompt: through pandas, so that "NA" becomes nan.

    OpenAudioBench sheet section 2; the rest is stripped (section 4.1).
    """
    return "nan" if text in PANDAS_NA else text.strip()


def _cells(sample: Sample, reference: bool) -> dict[str, str]:
    """Question and, if wanted, reference as the CSV has them; a short row's missing cell is an empty one."""
    cells = {"question": sample.question}
    if reference:
        target = sample.target
        cells["reference"] = "\n".join(map(str, target)) if isinstance(target, list) else str(target or "")
    return cells


class OABJudge(LLMJudge):
    """One subset's judge.

    Args:
        subset: which one, by its folder name.
        model: whom to ask; None leaves samples unscored, except where replies were recorded.
        protocol: "kimi" reproduces the public scorer's defects and counts them; "report" has none: an empty
            question or reference leaves the sample unscored, and so does a reply that can't be read.
        manner: how the model is asked and read.
    """

    def __init__(
        self,
        subset: str,
        model: ChatModel | None,
        protocol: OABProtocol = "report",
        *,
        manner: Manner = PLAIN,
    ) -> None:
        self.subset, self.kimi = subset, protocol == "kimi"
        super().__init__(
            metric=SUBSETS[subset].metric,
            rubric=manner.rubric(SUBSETS[subset].rubric),
            fields=self._fields,
            contract=CONTRACTS[f"oab-{subset.replace('_', '-')}"],
            model=model,
            asking=KIMI,
            manner=manner,
        )

    @property
    def signature(self) -> str:
        return f"{super().signature}{',pandas-nan,drop-invalid' if self.kimi else ''}"

    def _fields(self, sample: Sample, answer: Answer) -> Mapping[str, str]:
        """What fills the rubric: question and reference stripped, the answer as it is. Section 4.1."""
        cells = _cells(sample, SUBSETS[self.subset].reference)
        filled = {k: kimi_cell(v) if self.kimi else v.strip() for k, v in cells.items()}
        if empty := [k for k, v in filled.items() if not v]:
            raise NotJudgeable(f"no-{empty[0]}: the cell of the {empty[0]} is empty; mend the data")
        return {**filled, "response": answer.text}

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """As in `LLMJudge`, with the public scorer's defects named under its protocol."""
        found = await super().ask(sample, answer)
        if not self.kimi:
            return found
        cells = _cells(sample, SUBSETS[self.subset].reference).values()
        nan = any(c in PANDAS_NA and c != "nan" for c in cells)
        return [replace(v, touched=_defect(v, nan)) for v in found]


def _defect(verdict: Verdict, nan: bool) -> str | None:
    """The defect that decided this verdict; one that came from no reply at all has none."""
    if verdict.code == "judge-out-of-range":
        return RATING_ABORTS
    if verdict.code in UNREADABLE:
        return INVALID_DROPPED
    return NAN_CELL if nan and verdict.value is not None else verdict.touched


class ReasoningJudge(OABJudge):
    """Reasoning QA: one rating 0 to 5, from which both published scales follow.

    Metrics: "score20" (the rating; 20 times its mean is Kimi-Audio-Evalkit's score) and "acc" (1 when the rating
    is `threshold` or more: what the report's own numbers look like). OpenAudioBench sheet section 6. Under G-Eval
    the first is the expected rating, the second the probability that the rating is `threshold` or more: a threshold
    on the expectation would be neither.
    """

    def __init__(
        self,
        model: ChatModel | None,
        protocol: OABProtocol = "report",
        *,
        threshold: int = THRESHOLD,
        manner: Manner = PLAIN,
    ) -> None:
        super().__init__("reasoning_qa", model, protocol, manner=manner)
        self.metrics = ("score20", "acc")
        self.threshold = threshold

    @property
    def signature(self) -> str:
        return f"{super().signature},acc>={self.threshold}"

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        found = await super().ask(sample, answer)
        if len(found) > 1:  # nobody was asked: unscored in both
            return found
        [rated] = found
        right = None if rated.value is None else _reaching(rated, self.threshold)
        detail: dict[str, JSON] = {**rated.detail, "threshold": self.threshold}
        return [rated, replace(rated, metric="acc", value=right, counts=None, detail=detail)]


def _reaching(rated: Verdict, threshold: int) -> float:
    """1 when the rating reaches the threshold, 0 when not; under G-Eval the probability that it does."""
    weighed = rated.detail.get("geval")
    if weighed is None:
        return float((rated.value or 0.0) >= threshold)
    shares: Mapping[str, float] = weighed["distribution"]
    return min(1.0, sum(share for rating, share in shares.items() if float(rating) >= threshold))


def oab_judge(
    subset: str,
    model: ChatModel | None,
    protocol: OABProtocol = "report",
    *,
    threshold: int = THRESHOLD,
    manner: Manner = PLAIN,
) -> OABJudge:
    """The judge of one subset; `threshold` matters to Reasoning QA alone."""
    if subset == "reasoning_qa":
        return ReasoningJudge(model, protocol, threshold=threshold, manner=manner)
    return OABJudge(subset, model, protocol, manner=manner)
