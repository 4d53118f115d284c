"""MMAU's judge in Kimi-Audio-Evalkit: its settings and contract, our wording (MMAU sheet section 4.4)."""

from __future__ import annotations

from evalkit.chat import ChatModel
from evalkit.interfaces import Answer
from evalkit.records import Sample
from judges.asking import NotJudgeable
from judges.contracts import CONTRACTS
from judges.llm import LLMJudge
from judges.llm_presets import KIMI
from judges.manner import PLAIN, Manner


def _fields(sample: Sample, answer: Answer) -> dict[str, str]:
    """The question with its options in letters, and the right option's text, stripped; the answer is not."""
    question, right = sample.meta.get("judge_question"), sample.target
    if not isinstance(question, str) or not question.strip():
        raise NotJudgeable("no-question: the judge needs the question and its options in words")
    if not isinstance(right, str) or not right.strip():
        raise NotJudgeable("no-reference: the judge needs the right option's text; give the sample a target")
    return {"question": question.strip(), "reference": right.strip(), "response": answer.text}


def mmau_judge(model: ChatModel | None, *, manner: Manner = PLAIN) -> LLMJudge:
    """Metric "acc": does the answer settle on the right option? 1 or 0; one vote at 0.0, read on its last line.

    A reply without yes or no leaves the sample unscored (Kimi's "invalid" takes it out of the denominator).
    """
    return LLMJudge(
        metric="acc",
        rubric=manner.rubric("mmau_choice"),
        fields=_fields,
        contract=CONTRACTS["kimi-collect-acc"],
        model=model,
        asking=KIMI,
        manner=manner,
    )
