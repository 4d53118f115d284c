"""Which of two answers is better: a question of `judge-audit`, put in both orders to find a preference for a place.

No benchmark is scored with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit.chat import ChatModel
from evalkit.interfaces import Answer
from evalkit.records import Sample
from judges.asking import Asking, NotJudgeable
from judges.contracts import Contract, Reading
from judges.llm import LLMJudge
from judges.prompts import load_rubric

METRIC = "first_wins"
OTHER = "other"
"""Key of `Sample.meta` that holds the answer to put second."""
VALUES = {"1": 1.0, "2": 0.0, "tie": 0.5}
_CHOICE = re.compile(r"\b(1|2|tie)\b", re.IGNORECASE)


def choice(reply: str) -> float | None:
    """1.0 for the first, 0.0 for the second, 0.5 for neither; None where a reply names none or several."""
    named = {m.lower() for m in _CHOICE.findall(reply[:2000])}
    return VALUES[named.pop()] if len(named) == 1 else None


def _read(replies: Sequence[str]) -> Reading:
    value = choice(replies[0]) if replies else None
    if value is None:
        return Reading(None, (), "judge-unparseable: the reply is none of 1, 2 and tie; read it in detail")
    return Reading(value, (value,))


def pairwise_judge(model: ChatModel | None) -> LLMJudge:
    """Metric "first_wins": is the answer better than the one in ``sample.meta["other"]``? One vote at temperature 0."""

    def fields(sample: Sample, answer: Answer) -> dict[str, str]:
        other = sample.meta.get(OTHER)
        if not isinstance(other, str) or not sample.question.strip():
            raise NotJudgeable(
                "no-pair: two answers are compared to a question in words, and one of them is lacking"
            )
        return {"question": sample.question, "first": answer.text, "second": other}

    return LLMJudge(
        metric=METRIC,
        rubric=load_rubric("audit_pairwise"),
        fields=fields,
        contract=Contract("pairwise", _read, ("1", "2", "tie")),
        model=model,
        asking=Asking(max_tokens=16),
    )
