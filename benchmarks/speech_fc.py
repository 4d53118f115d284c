"""SpeechFCEval: spoken requests that want function calls (Table 4).

Rules, data and what the report used: speech function calling sheet. The model hears the request and nothing else; the
tools travel with the sample as data, and the runner says how its model is told of them. Protocols: `official` (the
public rule checkers, error codes and leniencies included; our stricter verdict in a column beside it) and `strict`
(that verdict as the headline: see judges/calls/strict.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evalkit.errors import UsageError
from evalkit.records import JSON, Modality, Sample, Turn
from evalkit.sources import HubData, Row
from evalkit.task import Cell, Metric, Overall, Part, Suite, Task, Variant
from judges.calls import CallChecker, StrictCallChecker
from judges.calls.bfcl import Category
from judges.calls.schemas import Style, faults

REPO, SECTION = "FunAudioLLM/SpeechFCEval", "Speech Function Calling"
_KEY = re.compile(r"^(.*?)(?:_\d+)?(?:_speaker(\d+))?$", re.DOTALL)


def to_sample(folder: str, style: Style) -> Callable[[str, Row], Sample]:
    """Rows of one subset: of its metadata.jsonl, or of a prediction file of the public scorer."""

    def convert(task: str, row: Row) -> Sample:
        key = str(row["dataset_key"])
        places = [p for p in (row.get("file_name"), f"wav/{key}.wav", f"wav/{folder}/{key}.wav") if p]
        tools, target = _decoded(row, "function", list), _decoded(row, "ground_truth", list, dict)
        if not all(isinstance(t, dict) for t in tools):
            raise UsageError(f"{row.where}: function holds a tool that is no object")
        source, speaker = _KEY.findall(key)[0]
        meta: dict[str, JSON] = {
            "question": row.get("utterance") or "",
            "source": "normal_atom" if source.startswith("normal_atom_") else source,
        }
        if speaker:
            meta["speaker"] = speaker
        if found := faults(tools, target, style):
            meta["faults"] = found  # the public scorer stops at these; here they cost one record
        turn = row.turn(lambda: row.locate(*places))
        # Three people read the same questions.
        read = key.removesuffix(f"_speaker{speaker}") if speaker else ""
        return Sample(key, task, (turn,), target=target, tools=tuple(tools), meta=meta, cluster=read)

    return convert


def with_time(convert: Callable[[str, Row], Sample]) -> Callable[[str, Row], Sample]:
    """The same, with the record's `time` ("today is ...") as a system turn where it has one."""

    def timed(task: str, row: Row) -> Sample:
        sample, time = convert(task, row), row.get("time")
        if not time or not isinstance(time, str):
            return sample
        return replace(sample, turns=(Turn("system", (time,)), *sample.turns))

    return timed


def _decoded(row: Row, column: str, *kinds: type) -> Any:
    """A column that holds JSON text, or its value already. Raises UsageError naming the row."""
    value = row[column]
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{row.where}: the column {column!r} is no JSON ({exc})") from exc
    if not isinstance(value, kinds):
        raise UsageError(f"{row.where}: the column {column!r} holds neither a list nor an object of calls")
    return value


def _variants(style: Style, category: Category) -> dict[str, Variant]:
    acc = Metric("acc", "Accuracy", rounds=3 if style == "acebench" else None)
    checker = "BFCL-style" if style == "bfcl" else "ACEBench-style"
    return {
        "official": Variant(
            lambda r: [
                CallChecker(style, category, r.options.get("dotted_names", "exact")),
                StrictCallChecker(style, r.options.get("dotted_names", "exact")),
            ],
            (acc, Metric("strict", "Accuracy (strict)", primary=False)),
            f"Right when the calls pass the public {checker} checker; a record it would crash on is wrong (counted).",
        ),
        "strict": Variant(
            lambda r: [StrictCallChecker(style, r.options.get("dotted_names", "exact"))],
            (Metric("strict", "Accuracy (strict)"),),
            f"Right when each {checker} answer has a call of its own, all arguments compared.",
        ),
    }


SETS: tuple[tuple[str, str, str, Style, Category, int, str], ...] = (
    ("acebench-single", "ACEBench_Single", "Speech-ACEBench Single", "acebench", "multiple", 208, "zh"),
    ("acebench-parallel", "ACEBench_Parallel", "Speech-ACEBench Parallel", "acebench", "multiple", 88, "zh"),
    ("bfcl-single", "BFCL_Single", "Speech-BFCL Single", "bfcl", "multiple", 578, "en"),
    ("bfcl-parallel", "BFCL_Parallel", "Speech-BFCL Parallel", "bfcl", "parallel", 372, "en"),
    ("smartinteract-single", "SmartInteract", "Speech-SmartInteract Single", "bfcl", "multiple", 668, "zh"),
)


def _task(
    subset: str, name: str, title: str, style: Style, category: Category, expected: int, language: str
) -> Task:
    folder = f"SpeechFC_{name}"
    convert = to_sample(folder, style)
    return Task(
        name=f"speech-fc/{subset}",
        title=title,
        modality=Modality.S2T,
        data=HubData(
            REPO,
            folder,
            licence="Apache-2.0",
            citation="arXiv 2512.20156",
            files=("{config}/metadata.jsonl",),
            media=("{config}/wav/*.wav", "wav/{config}/*.wav"),
        ),
        to_sample=convert,
        variants=_variants(style, category),
        expected=expected,
        groups=("source", "speaker") if style == "acebench" else ("source",),
        cluster="question" if style == "acebench" else "",
        cells=(Cell("4", SECTION, title, language=language),),
        sheet="speech function calling sheet",
        prompts={"none": convert, "time": with_time(convert)},
        languages=(language,),
    )


TASKS = tuple(_task(*row) for row in SETS)

OVERALLS = (
    Overall(
        "speech-fc",
        "Overall",
        tuple(Part(t.name) for t in TASKS),
        "mean of the five accuracies, each rounded to two decimals",
        round_parts=2,
        cells=(Cell("4", SECTION, "Overall"),),
    ),
)

SUITES = (Suite("speech-fc", tuple(t.name for t in TASKS), "the five subsets of Table 4"),)
