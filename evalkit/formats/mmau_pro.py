"""MMAU-Pro's parquet or JSON: the data set's columns, and one with the model's output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.formats import Converted, Format, Head, Reading, answer_of, gap_in, id_of, without
from evalkit.formats._records import records

ANSWERS = (
    "model_output",
    "model_prediction",
    "model_response",
    "prediction",
    "response",
    "output",
    "predicted_answer",
)
"""Names the model's column may have: the public scorer lets its user choose one."""
REMEDY = "An MMAU-Pro file has the data set's columns and one with the model's output."


def sniff(head: Head) -> bool:
    """Columns that only MMAU-Pro has."""
    marks = {"task_identifier", "perceptual_skills", "reasoning_skills", "length_type"}
    return {"category", "question", "answer"} <= head.columns and bool(head.columns & marks)


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Rows as the data set has them. Raises UsageError when no column is known to be the model's."""
    there = reading.head.columns
    if there and reading.column is None and not there & {*ANSWERS}:
        raise UsageError(
            f"{path} has none of the columns {', '.join(ANSWERS)}: name the one with the model's output "
            "with --answer-column NAME."
        )
    if there and reading.column is not None and reading.column not in there:
        raise UsageError(f"{path} has no column {reading.column!r}. Check --answer-column.")
    column = reading.column or next((a for a in ANSWERS if a in there), ANSWERS[0])
    for line, record in records(path, REMEDY):
        row = without(record, column)
        yield Converted(
            line,
            id=id_of(record.get("id")),
            text=answer_of(record, reading, column),
            row=row,
            lacks=gap_in(record, reading, column),
        )


FORMAT = Format(
    name="mmau-pro",
    about="MMAU-Pro's table with the model's output (--answer-column names its column)",
    files="*.parquet, *.json",
    known_by="category, question, answer, and task_identifier or the skills",
    tasks=("mmau-pro/*",),
    sniff=sniff,
    read=read,
    repeats=True,
)
