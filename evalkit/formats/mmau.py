"""MMAU's answer file: the data set's JSON array with `model_output` (or `model_prediction`) in each object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.formats import Converted, Format, Head, Reading, answer_of, gap_in, id_of, without
from evalkit.formats._records import records

TASK = "mmau/test-mini"
ANSWERS = ("model_output", "model_prediction")
REMEDY = "An MMAU answer file is a JSON array of the data set's objects, each with model_output."


def sniff(head: Head) -> bool:
    """Choices, their answer and a model's, with none of MMAU-Pro's columns."""
    pro = {"task_identifier", "perceptual_skills", "length_type", "kwargs"}
    return (
        {"choices", "answer"} <= head.columns and bool(head.columns & {*ANSWERS}) and not head.columns & pro
    )


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Rows as the data set has them. An object without an answer has none; the public scorer skips it."""
    for line, record in records(path, REMEDY):
        row = without(record, *ANSWERS)
        yield Converted(
            line,
            task=TASK,
            id=id_of(record.get("id")),
            text=answer_of(record, reading, *ANSWERS),
            row=row,
            lacks=gap_in(record, reading, *ANSWERS),
        )


FORMAT = Format(
    name="mmau",
    about="MMAU's answer JSON",
    files="*.json",
    known_by="choices, answer, and model_output or model_prediction",
    tasks=(TASK,),
    sniff=sniff,
    read=read,
    tells_task=True,
    repeats=True,
)
