"""MMSU's JSONL: the data set's columns without the audio, and `response`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.formats import Converted, Format, Head, Reading, answer_of, gap_in, id_of, without
from evalkit.formats._records import records

TASK = "mmsu/all"
REMEDY = "Each line of an MMSU file is an object with answer_gt, choice_a to choice_d and response."


def sniff(head: Head) -> bool:
    """MMSU's own names of answer and options."""
    return {"answer_gt", "choice_a", "choice_b"} <= head.columns


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Rows as the data set has them, in the file's order (which the public scorer's defect depends on)."""
    for line, record in records(path, REMEDY):
        row = without(record, "response", "audio")
        yield Converted(
            line,
            task=TASK,
            id=id_of(record.get("id")),
            text=answer_of(record, reading, "response"),
            row=row,
            lacks=gap_in(record, reading, "response"),
        )


FORMAT = Format(
    name="mmsu",
    about="MMSU's inference output",
    files="*.jsonl",
    known_by="answer_gt and choice_a to choice_d",
    tasks=(TASK,),
    sniff=sniff,
    read=read,
    tells_task=True,
    repeats=True,
)
