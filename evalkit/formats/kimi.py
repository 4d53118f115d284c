"""Kimi-Audio-Evalkit's result files: one JSONL for each of its data sets, `subset` telling the tasks apart.

Established fields: index, audio_path, subset, question, audio_content, answer, task_type, then prediction and
real_prompt. How it names a judge's reply is not: any of `REPLIES` is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from evalkit.formats import Converted, Format, Head, Reading, answer_of, gap_in, id_of, replies_of, without
from evalkit.formats._records import bad, records
from evalkit.formats.voicebench import REGIONS

REMEDY = "Each line of a Kimi-Audio-Evalkit file is an object with subset, answer and prediction."
OWN = ("prediction", "real_prompt", "index", "audio_path", "audio_content", "task_type", "subset", "answer")
REPLIES = (
    "judge_text",
    "judge_result",
    "judge_reply",
    "judge_response",
    "judge_output",
    "judge",
    "llm_judge",
)
OAB = {
    "alpaca_eval": ("instruction", "output"),
    "llama_questions": ("Questions", "Answer"),
    "reasoning_qa": ("Prompt", "参考答案"),
    "trivia_qa": ("question", "answer_normalized_aliases"),
    "web_questions": ("question", "answers"),
}
"""OpenAudioBench's subsets: the columns of question and reference in its own CSVs."""
VOICEBENCH = ("alpacaeval_full", "commoneval", "sd-qa", "ifeval", "advbench", "openbookqa", "mmsu")
ASR = {"test_clean": "asr/librispeech-clean", "test_other": "asr/librispeech-other"}
MMAU = ("sound", "music", "speech")
_OPTION = re.compile(r"\(([A-Z])\) ")


def sniff(head: Head) -> bool:
    """A prediction, and one of the fields that only this toolkit writes."""
    return "prediction" in head.columns and bool(head.columns & {"real_prompt", "audio_content", "task_type"})


def task_of(subset: Any) -> str | None:
    """The task a subset names, or None."""
    name = str(subset).lower()
    if name in OAB:
        return f"openaudiobench/{name.replace('_', '-')}"
    if name in VOICEBENCH:
        return f"voicebench/{name}"
    if name in REGIONS:
        return "voicebench/sd-qa" if name == REGIONS[0] else f"voicebench/sd-qa-{name}"
    if name in MMAU:
        return "mmau/test-mini"
    return ASR.get(name.replace("-", "_"))


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Records of one or several tasks. Where the toolkit has no prediction it judges the word null, and so do
    the protocols that stand for it.

    Raises:
        UsageError: a subset that names no task we know, where --task names none either.
    """
    for line, record in records(path, REMEDY):
        task = task_of(record.get("subset")) or reading.task
        if task is None:
            what = f"the subset {record.get('subset')!r} is of no task we know"
            raise bad(path, line, what, "Name its task with --task.")
        text = answer_of(record, reading, "prediction")
        reply = next((record[r] for r in REPLIES if record.get(r) is not None), None)
        yield Converted(
            line,
            task=task,
            id=_id(task, record),
            text=text,
            row=row_of(task, record),
            judge=replies_of(reply),
            lacks=gap_in(record, reading, "prediction"),
        )


def _id(task: str, record: dict[str, Any]) -> str | None:
    """The data set's id: the sound's file name (OpenAudioBench) or its stem; VoiceBench's comes from the row."""
    if task.startswith("voicebench/"):
        return None
    sound = _sound(record)
    name = sound.name if task.startswith("openaudiobench/") else sound.stem
    return id_of(record.get("id")) or name or id_of(record.get("index"))


def _sound(record: dict[str, Any]) -> PurePosixPath:
    """Path of the question's sound, wherever it was written down."""
    return PurePosixPath(str(record.get("audio_path") or "").replace("\\", "/"))


def row_of(task: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record in the data set's own column names."""
    question = record.get("audio_content") or record.get("question")
    answer = record.get("answer")
    benchmark, _, subset = task.partition("/")
    rest = without(record, *OWN, *REPLIES)
    if benchmark == "openaudiobench" and (columns := OAB.get(subset.replace("-", "_"))):
        sound = _sound(record).name
        return (
            rest | {columns[0]: question, columns[1]: answer} | ({"audio_filename": sound} if sound else {})
        )
    if benchmark == "voicebench":
        row = rest | {"prompt": question}
        if answer is not None and subset not in ("alpacaeval_full", "commoneval", "advbench", "ifeval"):
            row["reference"] = answer
        if subset == "ifeval":
            row["instruction_id_list"] = record.get("instruction")
            row["kwargs"] = record.get("instruction_kwargs")
        return row
    if benchmark == "mmau":
        words, options = _options(str(record.get("question") or ""))
        known = {"choices": options, "task": record.get("subset")} | rest
        return known | {"question": words, "answer": answer}
    return rest | {"question": question, "answer": answer, "text": answer, "sentence": answer}


def _options(question: str) -> tuple[str, list[str]]:
    """Question and options of `question`, newline, `(A) one (B) two`; no options where there are none."""
    words, newline, tail = question.rpartition("\n")
    ordered = list(_in_order(_OPTION.finditer(tail)))
    if not newline or not ordered or ordered[0].start():
        return question, []
    ends = [m.start() for m in ordered[1:]] + [len(tail) + 1]
    return words, [tail[m.end() : end - 1] for m, end in zip(ordered, ends, strict=True)]


def _in_order(marks: Iterator[re.Match[str]]) -> Iterator[re.Match[str]]:
    """Those marks that count on from A; a letter in brackets inside an option is passed over."""
    due = "A"
    for mark in marks:
        if mark.group(1) == due:
            yield mark
            due = chr(ord(due) + 1)


FORMAT = Format(
    name="kimi-audio-evalkit",
    about="Kimi-Audio-Evalkit's result files; OpenAudioBench.jsonl holds five tasks",
    files="OpenAudioBench.jsonl, VoiceBench.jsonl, MMAU*.jsonl, ...",
    known_by="prediction, and real_prompt, audio_content or task_type; subset tells the task",
    tasks=("openaudiobench/*", "voicebench/*", "mmau/*", "asr/*"),
    sniff=sniff,
    read=read,
    tells_task=True,
    repeats=True,
)
