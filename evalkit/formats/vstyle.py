"""VStyle's metadata JSONL: responses by path, and once judged `gemini_score` and `gemini_raw`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalkit.formats import Converted, Format, Head, Reading, answer_of, id_of, without
from evalkit.formats._records import bad, records

REMEDY = "Each line of a VStyle file is an object with id, ability, instruct_text and response_audio_path."
NAMELESS = "a record without id or ability"
REPEATED = "a record whose id stood before"
_HAN = re.compile(r"[\u3400-\u9fff]")


def sniff(head: Head) -> bool:
    """Abilities and instructions in VStyle's names."""
    return {"ability", "instruct_text"} <= head.columns


def likely(head: Head) -> list[str]:
    """The language of most of the first instructions."""
    texts = [str(r.get("instruct_text")) for r in head.records]
    chinese = sum(bool(_HAN.search(t)) for t in texts)
    return ["vstyle/zh" if 2 * chinese > len(texts) else "vstyle/en"]


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """One model's responses; a judged row brings the judge's last reply along.

    As in the public scorer, a record without id or ability doesn't count, and of those that share an id the
    first does (VStyle sheet section 6).

    Raises:
        UsageError: a line that holds another model's response than the lines before.
    """
    task = reading.task or likely(reading.head)[0]
    model: Any = None
    seen: set[str] = set()
    for line, record in records(path, REMEDY):
        key = id_of(record.get("id")) if record.get("id") and record.get("ability") else None
        if key is None or key in seen:
            yield Converted(line, task=task, left_out=NAMELESS if key is None else REPEATED)
            continue
        seen.add(key)
        name = record.get("model_name") or "unknown_model"
        model = model or name
        if name != model:
            what = f"a response of {name!r}, the lines before hold those of {model!r}"
            raise bad(path, line, what, "A run has one model: split the file by model_name.")
        audio = record.get("response_audio_path")
        row = without(record, "response_audio_path", "response_text", "gemini_score", "gemini_raw")
        yield Converted(
            line,
            task=task,
            id=key,
            text=answer_of(record, reading, "response_text"),
            audio=audio.strip() or None if isinstance(audio, str) else None,
            row=row,
            judge=_reply(record),
        )


def _reply(record: dict[str, Any]) -> str | None:
    """The reply that a judged row's score was read from; none that can be read where judging failed."""
    if "gemini_score" not in record:
        return None
    score, raw = record["gemini_score"], record.get("gemini_raw")
    try:
        float(score)
    except (TypeError, ValueError):
        return ""  # "API failed: ...": a number inside that sentence counts for nothing
    written = f"{score:g}" if isinstance(score, float) else str(score).strip()
    if isinstance(raw, str) and written in raw:
        return raw
    return f"[[{written}]]"  # the reply is lost, or another one: the public scorer's mean is over the scores


FORMAT = Format(
    name="vstyle",
    about="VStyle's metadata, raw or scored (the judge's replies are recorded ones)",
    files="metadata.jsonl, metadata_with_score.jsonl",
    known_by="ability and instruct_text; Chinese instructions are vstyle/zh",
    tasks=("vstyle/en", "vstyle/zh"),
    sniff=sniff,
    read=read,
    likely=likely,
    tells_task=True,
)
