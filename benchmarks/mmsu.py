"""MMSU (MMSU_Bench): spoken language understanding, 47 tasks with options (row MMSU of Table 3).

Not VoiceBench's MMSU (`voicebench/mmsu`). Rules, data and what the report used: MMSU sheet. Protocols:
`official` (the first or second-last character; records without a letter there are left out, blank replies get
the letter of the record before; both are counted) and `strict` (our own letter-or-option rule, nothing left out).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks._choices import letter, no_words, report_prompt
from benchmarks._mmsu_tasks import check_names
from evalkit.errors import UsageError
from evalkit.pools import Strata
from evalkit.records import Audio, Gap, Modality, Sample
from evalkit.sources import HubData, Row
from evalkit.task import Cell, Metric, Suite, Task, Variant
from evalkit.wording import store
from evalkit.wording.extras import MMSU_QUESTION
from judges.choices import StrictChoice
from judges.mmsu_letters import MMSULetters

CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")
PAIR = "category/sub-category"
_META = ("category", "sub-category", "sub-sub-category", "task_name", "linguistics_sub_discipline")

# --- rows to samples -----------------------------------------------------------------------------


LETTER_ONLY = (
    "Listen to the recording and pick the option that answers the question about it. "
    "Reply with a single letter, A, B, C or D, and write nothing else."
)
"""The official instruction's contract in our words."""


def letter_only(question: str, options: Sequence[str | None], instruction: str = LETTER_ONLY) -> str:
    """As the official code puts it: an instruction, the question, the options by line (section 3)."""
    listed = "".join(f"\n{letter(i)}. {option}" for i, option in enumerate(options))
    return f"{instruction}\n\nQuestion: {question}\n{listed}"


def official_words(question: str, options: Sequence[str | None]) -> str:
    """With the official instruction, which the user imported. Raises UsageError when nobody did."""
    if (instruction := store.read(MMSU_QUESTION.sha256)) is None:
        raise UsageError(
            f"--prompt official: MMSU's instruction is not imported yet. Get {MMSU_QUESTION.source}, then: "
            "run_eval.py prompts import PATH; or ask in our words: --prompt letter-only"
        )
    return letter_only(question, options, instruction)


def _hear(row: Row) -> Audio:
    """The parquet column, or the file that the JSON names."""
    if row.get("audio") or not row.get("audio_path"):
        return row.audio()
    path = str(row["audio_path"])
    near = f"audio/{Path(path).name}"
    return row.locate(near) if Path(path).is_absolute() else row.locate(path, near)


def _asking(words: Callable[[str, Sequence[str | None]], str], *, reletter: bool = False) -> Any:
    """Rows to samples that put the question in these words.

    Null options stay at their letters, so that letters are those of the columns; `reletter` leaves them out.
    """

    def convert(task: str, row: Row) -> Sample:
        question = str((row.get("question") if row.given else row["question"]) or "")
        options = [row[c] for c in CHOICES]
        if reletter:
            options = [o for o in options if o is not None]
        meta = {"question": question, "options": options} | {
            k: row[k] for k in _META if row.get(k) is not None
        }
        meta[PAIR] = f"{row.get('category')} / {row.get('sub-category')}"
        key = row.get("id")
        sample_id = row.stable_id("question", "audio_path", *CHOICES) if key is None else str(key)
        turn = row.turn(lambda: _hear(row), words(question, options))
        heard = str(row.get("audio_path") or "")
        return Sample(sample_id, task, (turn,), target=row["answer_gt"], meta=meta, cluster=heard)

    return convert


to_sample = _asking(report_prompt)

# --- protocols -----------------------------------------------------------------------------------


def _missing(sample: Sample, gap: Gap) -> str:
    """No field is an empty reply; null is left out, as any reply without a letter is (section 4, step 1)."""
    return "" if gap == "absent" else "null"


ACC = Metric("acc", "Accuracy", decimals=1)
MACRO = Metric(
    *("acc_macro", "Accuracy (mean of tasks)"),
    sources=("acc",),
    strata=Strata("task_name"),
    decimals=1,
    primary=False,
)
ALL = Metric("official_all", "Accuracy (left out and blank are wrong)", decimals=1, primary=False)
LETTER_AWARE = Metric("letter_aware", "Accuracy (letter or option, not official)", decimals=1, primary=False)

VARIANTS = {
    "official": Variant(
        lambda roles: [MMSULetters(), StrictChoice("letter_aware")],
        (ACC, MACRO, ALL, LETTER_AWARE),
        "The first character, else the second-last one, must be A, B, C or D; other records are left out, and a "
        "blank reply gets the letter of the record before.",
        missing=_missing,
    ),
    "strict": Variant(
        lambda roles: [StrictChoice("acc")],
        (ACC, MACRO),
        "One letter or one option's text must be named; an answer that can't be read, or is missing, is wrong.",
        missing=no_words,
    ),
}

TASKS = (
    Task(
        name="mmsu/all",
        title="MMSU",
        modality=Modality.S2T,
        data=HubData(
            "ddwang2000/MMSU",
            splits=("train",),
            licence="MIT",
            citation="arXiv 2506.04779",
            files=("mmsu*.json", "MMSU*.json", "mmsu*.jsonl"),
            media=("audio/*",),
        ),
        to_sample=to_sample,
        variants=VARIANTS,
        expected=5000,
        groups=("category", PAIR, "sub-category", "sub-sub-category", "task_name"),
        cluster="audio",
        cells=(Cell("3", "Audio Understanding", "MMSU"),),
        sheet="MMSU sheet",
        prompts={
            "report": to_sample,
            "letter-only": _asking(letter_only),
            "official": _asking(official_words),
            "reletter": _asking(report_prompt, reletter=True),
        },
        check=check_names,
    ),
)

SUITES = (Suite("mmsu", ("mmsu/all",), "MMSU, all 47 tasks, as in Table 3"),)
