"""UltraEval-Audio: spoken questions, spoken answers (four sets of Tables 1, 2 and 7) and speech quality.

Rules, data and what the report used: UltraEval-Audio sheet. The model hears the question and nothing else;
its speech is transcribed and the transcript is scored. The `-s2t` twins score the text stream instead.
Protocols: `official` (a blank reference matches everything, counted; a response without speech is unscored,
as the public scorer drops it), `strict` (a blank reference stays unscored; saying nothing is an answer, and wrong).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from evalkit.interfaces import Judge, Roles
from evalkit.pools import pooled
from evalkit.records import Modality, Sample
from evalkit.sources import HubData, Row
from evalkit.task import Cell, Metric, Overall, Part, Suite, Task, Variant
from judges.asr_wer import AsrWer
from judges.llm_presets import chatbot_judge
from judges.manner import manner_of
from judges.qa_match import ExistMatch
from judges.quality import quality_judges

SECTION = "UltraEval-Audio (S2S)"
QUESTION_COLUMNS = ("question", "Questions", "Question", "instruction", "prompt")

Reads = Literal["text", "speech"]


def to_sample(reference: str, needed: bool = True) -> Callable[[str, Row], Sample]:
    """Rows of one set, whose reference answer stands in column `reference`; a judge may do without it."""

    def convert(task: str, row: Row) -> Sample:
        target = row[reference] if needed else row.get(reference)
        column = next((c for c in QUESTION_COLUMNS if isinstance(row.get(c), str)), None)
        turn = row.user_turn()
        meta = {"question": row[column]} if column else {}
        if row.get("id") is not None:
            sample_id = str(row["id"])
        elif column:
            sample_id = row.stable_id(column, reference)
        else:  # no words to name it by: the sound of the question names it
            sample_id = turn.parts[0].digest()[:12] if turn.parts else row.stable_id(reference)  # type: ignore[union-attr]
        return Sample(sample_id, task, (turn,), target=target, meta=meta)

    return convert


_MOS = Metric("", "", unit="MOS", scale=1.0, lo=1.0, hi=5.0, primary=False)
_ERRORS = Metric("", "", hi=math.inf, higher_is_better=False, primary=False, sources=("asr_wer",))
SPEECH = (
    replace(_ERRORS, name="asr_wer", label="ASR-WER", pool=pooled("errors", "length")),
    replace(_ERRORS, name="asr_wer_mean", label="ASR-WER, mean of answers", pool=pooled("value", "n")),
    replace(
        _ERRORS, name="asr_wer_truncated", label="Truncated answers", pool=pooled("truncated", "told"), hi=1.0
    ),
    replace(_MOS, name="utmos", label="UTMOS"),
    replace(_MOS, name="dnsmos_ovrl", label="DNSMOS P.835 OVRL"),
    replace(_MOS, name="dnsmos_p808", label="DNSMOS P.808"),
)
ON_REQUEST = {
    "distillmos": replace(_MOS, name="distillmos", label="DistillMOS"),
    "dnsmos_personalised": replace(_MOS, name="dnsmos_p_ovrl", label="DNSMOS P.835 OVRL, personalised"),
}
"""Further scores of the sound, by the option that asks for them (`-O distillmos=yes`)."""
ACC = Metric("acc", "Accuracy")
GEVAL = Metric("geval", "G-Eval", unit="0-100", scale=10.0, lo=1.0, hi=10.0)


def speech_judges(roles: Roles) -> list[Judge]:
    """Judges of the sound itself: does it say the text (ASR-WER), and how good is it (UTMOS, DNSMOS)?"""
    return [AsrWer(), *quality_judges(roles.options)]


def speech_on_request(roles: Roles) -> list[Metric]:
    """Scores of the sound that the user's options ask for; `speech_judges` then gives them."""
    return [metric for option, metric in ON_REQUEST.items() if roles.options.get(option) == "yes"]


def _variants(
    answer: Callable[[Roles, Reads, str], Judge], metric: Metric, rule: str, reads: Reads
) -> dict[str, Variant]:
    spoken = reads == "speech"
    roles: tuple[str, ...] = (("judge",) if metric is GEVAL else ()) + (("asr",) if spoken else ())

    def judges(protocol: str) -> Callable[[Roles], Sequence[Judge]]:
        return lambda r: [answer(r, reads, protocol), *(speech_judges(r) if spoken else ())]

    what = "the transcript of the spoken answer" if spoken else "the text answer"
    metrics = (metric, *(SPEECH if spoken else ()))
    return {
        p: Variant(
            judges(p),
            metrics,
            rule.format(what) + tail,
            roles=roles,
            beside=speech_on_request if spoken else None,
        )
        for p, tail in (
            ("official", "" if metric is GEVAL else " A blank reference always matches (counted)."),
            ("strict", "" if metric is GEVAL else " A blank reference leaves the sample unscored."),
        )
    }


def _match(roles: Roles, reads: Reads, protocol: str) -> Judge:
    judge = ExistMatch(reads, "match" if protocol == "official" else "unscored")
    judge.judges_silence = protocol == "strict"
    return judge


def _rating(roles: Roles, reads: Reads, protocol: str) -> Judge:
    judge = chatbot_judge(roles.judge, reads=reads, manner=manner_of(roles))
    judge.judges_silence = protocol == "strict"
    return judge


MATCH_RULE = "Right when the words of a reference stand one after another in {}."
RATING_RULE = "A judge rates {} 1 to 10 without a reference; the score is 10 x the mean rating."

SETS = (
    (
        "alpaca-eval",
        "AlpacaEval",
        "TwinkStart/speech-chatbot-alpaca-eval",
        "output",
        199,
        _rating,
        GEVAL,
        RATING_RULE,
    ),
    ("llama-questions", "Llama Q.", "TwinkStart/llama-questions", "Answer", 300, _match, ACC, MATCH_RULE),
    ("triviaqa", "TriviaQA", "TwinkStart/speech-triavia-qa", "answer", 1024, _match, ACC, MATCH_RULE),
    ("web-questions", "Web Q.", "TwinkStart/speech-web-questions", "answers", 2032, _match, ACC, MATCH_RULE),
)


def _tasks(reads: Reads) -> tuple[Task, ...]:
    spoken = reads == "speech"
    return tuple(
        Task(
            name=f"ultraeval-audio/{subset}{'' if spoken else '-s2t'}",
            title=title if spoken else f"{title} (S2T)",
            modality=Modality.S2S if spoken else Modality.S2T,
            data=HubData(repo, citation="GitHub OpenBMB/UltraEval-Audio"),
            to_sample=to_sample(reference, needed=metric is ACC),
            variants=_variants(judge, metric, rule, reads),
            expected=expected,
            cells=tuple(Cell(t, SECTION, title) for t in "12") if spoken else (),
            sheet="UltraEval-Audio sheet",
        )
        for subset, title, repo, reference, expected, judge, metric, rule in SETS
    )


TASKS = _tasks("speech") + _tasks("text")

OVERALLS = (
    Overall(
        "ultraeval-audio",
        "Overall",
        tuple(Part(t.name) for t in TASKS[:4]),
        "mean of the four scores, each rounded to two decimals",
        round_parts=2,
        cells=tuple(Cell(t, SECTION, "Overall") for t in "12"),
    ),
)

SUITES = (
    Suite("ultraeval-audio", tuple(t.name for t in TASKS[:4]), "the four spoken sets of Tables 1 and 2"),
    Suite("ultraeval-audio-s2t", tuple(t.name for t in TASKS[4:]), "the same questions, answered in text"),
)
