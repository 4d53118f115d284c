"""UltraEval-Audio's run JSONL: records of type prompt, inference, post_process, eval and error, joined by id.

Failed rows leave the public scorer's denominator; here each is an error on record. The shape of `data` varies:
a plain value, or an object whose `content` is the value. An `inference` may be a JSON string of a spoken answer
(`{"audio": PATH, "text": ...}`); what `post_process` then holds is the transcript.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.formats import Converted, Format, Head, Reading, id_of
from evalkit.formats._records import bad, records

TYPES = ("prompt", "inference", "post_process", "eval", "error")
REMEDY = "Each line of an UltraEval-Audio run is an object with type, id and data."
REFERENCES = {
    "alpaca-eval": "output",
    "llama-questions": "Answer",
    "triviaqa": "answer",
    "web-questions": "answers",
}
FOLDERS = {"alpaca": "alpaca-eval", "llama": "llama-questions", "triv": "triviaqa", "web": "web-questions"}
"""How the folder of a run, named like its data set, hints at the task."""


def sniff(head: Head) -> bool:
    """Records with a type of this suite and an id."""
    return {"type", "id", "data"} <= head.columns and head.records[0].get("type") in TYPES


def likely(head: Head) -> list[str]:
    """The set that the folder or the file's name hints at, spoken and written."""
    found = [name for word, name in FOLDERS.items() if head.says(word)] or list(REFERENCES)
    tails = ["-s2t"] if head.says("s2t") else ["", "-s2m", "-s2t"]
    return [f"ultraeval-audio/{name}{tail}" for name in found for tail in tails]


@dataclass(slots=True)
class _Sample:
    """The records of one id, each with its line."""

    line: int
    parts: dict[str, tuple[int, Any]] = field(default_factory=dict)


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """A prediction for each id: as soon as its eval is there, and at the end what has none.

    Raises:
        UsageError: a record without an id or of an unknown type; two different records of one type and id, or
            any that follows the eval.
    """
    held: dict[str, _Sample] = {}
    done: dict[str, int] = {}
    for line, record in records(path, REMEDY):
        kind, key = record.get("type"), id_of(record.get("id"))
        if kind not in TYPES or key is None:
            what = f"the type {kind!r} is not one of {', '.join(TYPES)}" if key is not None else "no id"
            raise bad(path, line, what, REMEDY)
        if key in done:
            what = f"the id {key!r} had its eval on line {done[key]} already"
            raise bad(path, line, what, "Keep the records of one run only.")
        sample = held.setdefault(key, _Sample(line))
        data = _slim(kind, record.get("data"))
        if kind in sample.parts and kind != "error" and sample.parts[kind][1] != data:
            first = sample.parts[kind][0]
            raise bad(
                path, line, f"another {kind} of the id {key!r} stands on line {first}", "Keep one of them."
            )
        sample.parts[kind] = line, data
        if kind == "eval":
            done[key] = line
            yield _converted(key, held.pop(key), reading)
    for key in list(held):
        yield _converted(key, held.pop(key), reading)


def _slim(kind: str, data: Any) -> Any:
    """What is needed of a record: prompts are the sound only, and evals repeat what was judged."""
    if kind == "prompt":
        return None
    if kind == "eval" and isinstance(data, dict):
        return {k: v for k, v in data.items() if k != "pred"}
    return data["content"] if isinstance(data, dict) and "content" in data else data


def _converted(key: str, sample: _Sample, reading: Reading) -> Converted:
    parts = {kind: data for kind, (_, data) in sample.parts.items()}
    out = Converted(sample.line, id=key, row=_row(reading.task or "", parts.get("eval")))
    if "error" in parts and "eval" not in parts:
        out.error = _failure(parts["error"])
        return out
    answer = _spoken(parts.get("inference"))
    heard = parts.get("post_process")
    if (reading.task or "").endswith("-s2t"):
        out.text = _words(heard) if heard is not None else answer.get("text", answer.get("plain"))
    else:
        out.audio, out.text = answer.get("audio"), answer.get("text", answer.get("plain"))
        if heard is not None and not _is_path(heard, out.audio):
            out.transcript = _words(heard)
    out.judge = _rating(parts.get("eval"))
    if out.text is None and out.audio is None and out.transcript is None:
        stages = ", ".join(parts) or "nothing"
        out.error, out.judge = f"the run holds no answer for it (only {stages})", None
    return out


def _spoken(value: Any) -> dict[str, str]:
    """`audio` and `text` of an answer given as JSON, else the `plain` answer."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {"plain": value}
    if isinstance(value, dict):
        found = {k: str(value[k]) for k in ("audio", "text") if isinstance(value.get(k), str)}
        return found or {"plain": json.dumps(value, ensure_ascii=False)}
    if value is None:
        return {}
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {"audio": plain} if _is_path(plain) else {"plain": plain}


def _is_path(value: Any, audio: str | None = None) -> bool:
    sound = (".wav", ".mp3", ".flac", ".ogg")
    return isinstance(value, str) and (
        value == audio or ("\n" not in value and value.lower().endswith(sound))
    )


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _failure(data: Any) -> str:
    found = (
        next((data[k] for k in ("info", "message", "error") if k in data), data)
        if isinstance(data, dict)
        else data
    )
    return f"the run says: {str(found).strip()[:300] or 'no reason'}"


def _row(task: str, found: Any) -> dict[str, Any]:
    """The reference under the data set's name; a failed row has none, and needs none."""
    reference = found.get("ref") if isinstance(found, dict) else None
    if reference is None and isinstance(found, dict):
        reference = found.get("label", found.get("reference"))
    subset = task.partition("/")[2].removesuffix("-s2t").removesuffix("-s2m")
    names = [REFERENCES[subset]] if subset in REFERENCES else ["text", "sentence", "answer", "reference"]
    row: dict[str, Any] = dict.fromkeys(names, reference)
    question = found.get("question", found.get("instruction")) if isinstance(found, dict) else None
    return row | ({"question": question} if isinstance(question, str) else {})


def _rating(found: Any) -> Any:
    """The judge's reply, or its rating in the form the reply has it; None when no judge was asked."""
    if not isinstance(found, dict):
        return None
    for name in ("judge", "reply", "response", "content"):
        if isinstance(found.get(name), str):
            return found[name]
    rating = found.get("geval")
    return f"[[{rating}]]" if isinstance(rating, int) and not isinstance(rating, bool) else None


FORMAT = Format(
    name="ultraeval-audio",
    about="UltraEval-Audio's run files; rows that failed there are errors here",
    files="res/{model}/{data}/{time}.jsonl",
    known_by="type (prompt, inference, ...), id and data",
    tasks=("ultraeval-audio/*", "asr/*"),
    sniff=sniff,
    read=read,
    likely=likely,
    by_position=True,
)
