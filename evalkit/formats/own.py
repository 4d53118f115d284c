"""evalkit's own JSONL: an object a line with `id`, and `text` and/or `audio`; `task` where a file serves several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.formats import Converted, Format, Head, Reading
from evalkit.predictions import PredictionFile

ANSWERS = {"text", "audio", "transcript"}


def sniff(head: Head) -> bool:
    """Objects with an id and an answer in our names."""
    return bool(head.records) and "id" in head.records[0] and bool(head.columns & ANSWERS)


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Every line as it stands; `task` names the task. Raises UsageError as `PredictionFile.parse` does."""
    file = PredictionFile(path)
    for number, _, line in file.lines():
        found = file.parse(line, number)
        yield Converted(
            number,
            task=found.task,
            id=found.id,
            text=found.text,
            audio=found.audio,
            transcript=found.transcript,
            judge=found.judge,
            row=found.row,
            lacks=found.gap,
        )


FORMAT = Format(
    name="evalkit",
    about="evalkit's own predictions, with or without the data set's rows and judge replies",
    files="*.jsonl",
    known_by="objects with id, and text, audio or transcript",
    tasks=("*",),
    sniff=sniff,
    read=read,
)
