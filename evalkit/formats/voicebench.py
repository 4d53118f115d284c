"""VoiceBench's output JSONL: the data set's columns without the audio, `response`, and after judging `score`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit.formats import Converted, Format, Head, Reading, answer_of, id_of, replies_of, without
from evalkit.formats._records import records

REMEDY = "Each line of a VoiceBench file is an object with prompt and response."
REGIONS = ("usa", "aus", "gbr", "ind_n", "ind_s", "irl", "kenya", "nga", "nzl", "phl", "zaf")
DOMAINS = (
    *("biology", "business", "chemistry", "economics", "engineering", "health"),
    *("history", "law", "other", "philosophy", "physics", "psychology"),
)
OPEN = ("alpacaeval_full", "commoneval", "advbench", "wildvoice", "alpacaeval")
LETTERS = ("mmsu", "openbookqa")
SPOKEN = ("sd-qa", *(f"sd-qa-{r}" for r in REGIONS[1:]))
KEYED = ("voicebench/ifeval", "voicebench/bbh")
"""Tasks whose rows have a key of their own."""


def sniff(head: Head) -> bool:
    """The words of a request and a response to them."""
    foreign = {"answer_gt", "ability", "real_prompt", "choices", "text"}
    return {"prompt", "response"} <= head.columns and not head.columns & foreign


def likely(head: Head) -> Sequence[str]:
    """Subsets with such columns; the file's name decides among them where it follows VoiceBench's habit."""
    fitting = _fitting(head.records[0] if head.records else {})
    named = [s for s in fitting if _named(head.path.stem, s)]
    longest = [s for s in named if not any(s != t and s in t for t in named)]
    return [f"voicebench/{s}" for s in longest or fitting]


def _fitting(record: dict[str, Any]) -> tuple[str, ...]:
    reference = record.get("reference")
    if "instruction_id_list" in record:
        return ("ifeval",)
    if reference is None:
        return OPEN
    if str(reference) in tuple("ABCD"):
        return LETTERS
    if "id" in record and str(reference).lower() in ("yes", "no", "(a)", "(b)"):
        return ("bbh",)
    return SPOKEN


def _named(stem: str, subset: str) -> bool:
    """Does `{model}-{data}-{split}-{modality}` name this subset?"""
    data, _, region = subset.partition("sd-qa")[2].rpartition("-") if subset in SPOKEN else (subset, "", "")
    if subset in SPOKEN:
        return bool(re.search(rf"(?<![\w]){re.escape(f'sd-qa-{region or REGIONS[0]}')}(?![\w])", stem))
    return bool(re.search(rf"(?<![A-Za-z0-9_]){re.escape(data)}(?![A-Za-z0-9_])", stem))


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Rows as the data set has them; the votes of `score` are recorded judge replies."""
    domain = next((d for d in DOMAINS if re.search(rf"mmsu-{d}(?![a-z])", path.stem)), None)
    for line, record in records(path, REMEDY):
        row = without(record, "response", "score", "audio")
        if domain is not None and reading.task == "voicebench/mmsu":
            row.setdefault("domain", domain)
        text = answer_of(record, reading, "response")
        own = (id_of(record.get("key")) or id_of(record.get("id"))) if reading.task in KEYED else None
        judge = replies_of(record.get("score")) if text is not None else None
        yield Converted(line, id=own, text=text, row=row, judge=judge)


FORMAT = Format(
    name="voicebench",
    about="VoiceBench's output, raw or judged (its votes are recorded judge replies)",
    files="{model}-{data}-{split}-{modality}.jsonl, result-*.jsonl",
    known_by="prompt and response",
    tasks=("voicebench/*",),
    sniff=sniff,
    read=read,
    likely=likely,
    repeats=True,
)
