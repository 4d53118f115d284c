"""MMAU-Pro: questions about one or several recordings, closed, open and instruction following (Table 3).

Rules, data and what the report used: MMAU-Pro sheet. `single-audio` is the report's (its footnote: one audio
per item, 4,849 of 5,305); `full` is the whole set. What a row is follows from its `category`, never from
whether it has options. Protocols: `official` (closed: the option nearest by embedding; open: a judge's overall
mark / 5, unreadable marks are 3; rules for instructions) and `strict` (closed: our letter-or-option rule; a
judge's reply that can't be read is unscored; an empty answer is wrong). The total weighs every item alike.

The audio comes as data.zip: unpacked beside test.parquet, so that `data/<uuid>.wav` is there, it is read with
--data-dir.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks._choices import no_words, report_prompt
from evalkit.interfaces import Judge, Roles
from evalkit.pools import Strata
from evalkit.records import Gap, Modality, Sample, Turn
from evalkit.sources import HubData, Row
from evalkit.task import Cell, Metric, Suite, Task, Variant
from judges.branch import Branch
from judges.choices import StrictChoice
from judges.embedders import open_embedder
from judges.embedding_match import EmbeddingMatch
from judges.manner import manner_of
from judges.missing import OrMissing
from judges.mmau_pro_if import MISSING, InstructionRules
from judges.mmau_pro_open import mmau_pro_open_judge

REPO = "gamma-lab-umd/MMAU-Pro"
CLOSED, OPEN, INSTRUCTION = "closed", "open", "instruction-following"
_KINDS = {"open": OPEN, "instruction following": INSTRUCTION}
"""Kinds of the categories that aren't closed (section 2)."""
_META = ("category", "length_type", "sub-cat", "task_identifier", "kwargs")


def _paths(row: Row) -> list[Any]:
    """The row's recordings, in order: `audio_path` is a list."""
    found = row["audio_path"]
    return list(found) if isinstance(found, list | tuple) else [found] if found else []


def single_audio(row: Row) -> bool:
    """The report's footnote: exactly one recording. A row that came with a prediction may not say."""
    return (row.given and row.get("audio_path") is None) or len(_paths(row)) == 1


def to_sample(task: str, row: Row) -> Sample:
    """All recordings in order, then the question, with its options when it is a closed one (section 3)."""
    kind = _KINDS.get(row["category"], CLOSED)
    question = (row.get("question") if row.given else row["question"]) or ""
    options = row.get("choices")
    paths = _paths(row) if row.get("audio_path") or not row.given else []
    meta = {"question": question, "kind": kind, "audios": len(paths)}
    meta |= {k: row[k] for k in _META if row.get(k) is not None}
    if kind == CLOSED:
        meta |= {"options": list(options)} if options is not None else {}
    text = report_prompt(question, options) if kind == CLOSED and options else question
    sample_id = str(row["id"]) if row.get("id") is not None else row.stable_id("question", "audio_path")
    turns, heard = (_turn(row, paths, text),), " ".join(map(str, paths))
    return Sample(sample_id, task, turns, target=row.get("answer"), meta=meta, cluster=heard)


def _turn(row: Row, paths: list[Any], text: str) -> Turn:
    """One user turn; without parts where a row came with a prediction and its recordings are out of reach."""
    heard = [row.turn(partial(row.audio_near, path, "audio_path")).parts for path in paths]
    out_of_reach = row.given and not (heard and all(heard))
    return Turn("user", () if out_of_reach else (*(audio for parts in heard for audio in parts), text))


# --- protocols -----------------------------------------------------------------------------------


def _by_kind(closed: Judge, roles: Roles, *, official: bool) -> Branch:
    opened: Judge = mmau_pro_open_judge(roles.judge, official=official, manner=manner_of(roles))
    opened = opened if official else OrMissing(opened, 0.0)
    return Branch("kind", {CLOSED: closed, OPEN: opened, INSTRUCTION: InstructionRules(official=official)})


def official(roles: Roles) -> list[Judge]:
    """The public rules, and beside them closed questions by letter or option, which is not one of them."""
    nearest = EmbeddingMatch(open_embedder(roles.options.get("embedder")))
    aware = StrictChoice("letter_aware")
    return [_by_kind(nearest, roles, official=True), Branch("kind", {CLOSED: aware})]


def strict(roles: Roles) -> list[Judge]:
    """Our own rules."""
    return [_by_kind(StrictChoice("acc"), roles, official=False)]


def _of(kind: str, name: str, label: str, source: str = "acc") -> Metric:
    """A metric over the samples of one kind only."""
    return Metric(
        name, label, sources=(source,), strata=Strata("kind", {kind: 1.0}), decimals=1, primary=False
    )


TOTAL = Metric("acc", "Accuracy", decimals=1)
OFFICIAL_TOTAL = replace(TOTAL, withhold=True)  # without the embedder it would be that of two kinds of three
PARTS = (
    _of(CLOSED, "closed", "Closed"),
    _of(OPEN, "open", "Open (overall / 5)"),
    _of(INSTRUCTION, "instruction_following", "Instruction following"),
)
LETTER_AWARE = _of(CLOSED, "letter_aware", "Closed, by letter or option (not official)", "letter_aware")


def _missing(sample: Sample, gap: Gap) -> str:
    """What the public scorer makes of an empty cell (sections 4.1 and 4.3); of open ones the sheet is silent."""
    return MISSING if sample.meta.get("kind") == INSTRUCTION else ""


VARIANTS = {
    "official": Variant(
        official,
        (OFFICIAL_TOTAL, *PARTS, LETTER_AWARE),
        "Every item alike: closed by the option nearest in embedding, open by a judge's overall mark / 5, "
        "instructions by rule; a missing answer is the word nan to the rules, and empty elsewhere.",
        missing=_missing,
        roles=("judge",),
    ),
    "strict": Variant(
        strict,
        (TOTAL, *PARTS),
        "Every item alike: closed by letter or option text, open by a judge's overall mark / 5 where it can be "
        "read, instructions by rule; an empty or missing answer is wrong.",
        missing=no_words,
        roles=("judge",),
    ),
}


def _task(subset: str, title: str, expected: int, data: HubData, cells: tuple[Cell, ...] = ()) -> Task:
    return Task(
        name=f"mmau-pro/{subset}",
        title=title,
        modality=Modality.S2T,
        data=data,
        to_sample=to_sample,
        variants=VARIANTS,
        expected=expected,
        groups=("category", "length_type", "sub-cat"),
        cluster="audio",
        cells=cells,
        sheet="MMAU-Pro sheet",
    )


FULL = HubData(REPO, citation="arXiv 2508.13992")
SINGLE = HubData(REPO, citation="arXiv 2508.13992", keep=single_audio)

TASKS = (
    _task("single-audio", "MMAU-Pro", 4849, SINGLE, cells=(Cell("3", "Audio Understanding", "MMAU-Pro"),)),
    _task("full", "MMAU-Pro (all)", 5305, FULL),
)

SUITES = (Suite("mmau-pro", ("mmau-pro/single-audio",), "MMAU-Pro's single-audio items, as in Table 3"),)
