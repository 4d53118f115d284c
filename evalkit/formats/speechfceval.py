"""SpeechFCEval's `predict-*.json`: JSON lines with tools, ground truth and `predict`; `category` tells the task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.formats import Converted, Format, Head, Reading, answer_of, id_of, without
from evalkit.formats._records import records

SUBSETS = {
    "bfcl-single": "bfcl-single",
    "bfcl-parallel": "bfcl-parallel",
    "acebench-single": "acebench-single",
    "acebench-parallel": "acebench-parallel",
    "smartinteract": "smartinteract-single",
}
"""Names in categories, with _ or -, and the tasks they name."""
ANSWERS = ("predict", "model_predict_raw")
"""Where the model's text stands: the first that is there counts."""
ADDED = ("valid_flag", "error_type", "error_reasons", "ground_truth_result")
"""Fields that the public scorer adds in its `record-*.json`."""
REMEDY = "Each line of a predict file is an object with function, ground_truth, dataset_key and predict."


def sniff(head: Head) -> bool:
    """Tools, their right calls, and one of the fields of this data set only."""
    return {"function", "ground_truth"} <= head.columns and bool(
        head.columns & {"dataset_key", "predict", "utterance"}
    )


def subset_of(name: Any) -> str | None:
    """The task that a category, a data set name or a path names, or None."""
    plain = str(name).lower().replace("_", "-")
    found = [task for name, task in SUBSETS.items() if name in plain]
    return f"speech-fc/{found[0]}" if found else None


def likely(head: Head) -> list[str]:
    """The task that the file's name or its folder names."""
    found = subset_of(f"{head.path.parent.name}/{head.path.name}")
    return [found] if found else [f"speech-fc/{s}" for s in SUBSETS.values()]


def _answer(record: dict[str, Any], reading: Reading) -> str | None:
    """What the public scorer reads of a record (sheet, section 2 and 4): no `predict` is an empty answer, one that is
    no text spoils its record. Of the user's own column as everywhere: no value is no answer.
    """
    if reading.column:
        return answer_of(record, reading)
    value = next((record[name] for name in ANSWERS if name in record), "")
    # A call without a name: what can't be decoded, and still shows what stood there.
    return value if isinstance(value, str) else f"<tool_call>{json.dumps({'predict': value})}</tool_call>"


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Rows as the data set has them. Raises UsageError for a file of records none of which has an answer."""
    answered = bool(reading.column)
    for line, record in records(path, REMEDY):
        answered = answered or not record.keys().isdisjoint(ANSWERS)
        row = without(record, *ANSWERS, "model_predict_result", *ADDED)
        yield Converted(
            line,
            task=subset_of(record.get("category")) or subset_of(record.get("dataset")),
            id=id_of(record.get("dataset_key")),
            text=_answer(record, reading),
            row=row,
        )
    if not answered:
        raise UsageError(f"{path} holds no predictions: no record has the field predict. {REMEDY}")


FORMAT = Format(
    name="speechfceval",
    about="SpeechFCEval's predictions (and its record files) for the five function calling sets",
    files="predict-{model}-{data}.json, record-{model}-{data}.json",
    known_by="function, ground_truth, dataset_key",
    tasks=("speech-fc/*",),
    sniff=sniff,
    read=read,
    likely=likely,
    tells_task=True,
    repeats=True,
)
