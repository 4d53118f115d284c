"""How a task was scored, in lines a reader can check: protocol, wording, judges and how they were asked, data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reports.judging import judging
from reports.runs import RunView

_SETTINGS = ("votes", "temperature", "top_p", "max_tokens", "seed")


@dataclass(frozen=True)
class Note:
    """What, and what is known of it; `code` is set as it stands, in the type of signatures."""

    label: str
    text: str
    code: str = ""


def notes_of(run: RunView, task: str) -> list[Note]:
    """Notes on one task, from results.json and, where it is there, run.json."""
    entry = run.tasks[task]
    known: Mapping[str, Any] = (run.manifest.get("tasks") or {}).get(task) or {}
    return [*_protocol(entry), *_rubrics(known), *_judges(entry, known), *_data(entry)]


def _protocol(entry: Mapping[str, Any]) -> Iterator[Note]:
    default = entry.get("default_protocol", entry["protocol"])
    usual = "" if default == entry["protocol"] else f"; the report's own columns are by {default}"
    yield Note("Protocol", f"{entry['protocol']}{usual}")
    if entry.get("prompt"):
        yield Note("Prompt", f"the question was put as {entry['prompt']!r} has it")


def _rubrics(known: Mapping[str, Any]) -> Iterator[Note]:
    words = {
        "own": "evalkit's wording",
        "official": "the public toolkit's wording",
        "user": "the user's wording",
    }
    for rubric in known.get("rubrics") or ():
        wording = str(rubric).partition(":")[2].partition("@")[0]
        yield Note("Rubric", words.get(wording, wording.replace("-", " ")), str(rubric))


def _judges(entry: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Note]:
    settings = {str(j.get("signature")): j for j in known.get("judges") or () if isinstance(j, Mapping)}
    read: dict[str, list[str]] = {}
    for metric in entry["metrics"].values():
        for judge in metric["judges"]:
            read.setdefault(judge, []).append(str(metric["label"]))
    for judge, labels in read.items():
        found = settings.get(judge, {})
        how = [f"{k.replace('_', ' ')} {found[k]}" for k in _SETTINGS if found.get(k) is not None]
        said = judging([judge])
        parts = [f"gives {', '.join(dict.fromkeys(labels))}", *([said] if said else []), *how]
        yield Note("Judge", "; ".join(parts), judge)
    answered = sorted({a for m in entry["metrics"].values() for a in m.get("answered_by") or ()})
    if answered:
        yield Note("Answered by", ", ".join(answered) + ", as the endpoints name themselves")


def _data(entry: Mapping[str, Any]) -> Iterator[Note]:
    data = entry.get("data") or {}
    parts = [str(data[k]) for k in ("repo", "config") if data.get(k)]
    if data.get("splits"):
        parts.append(" + ".join(map(str, data["splits"])))
    if data.get("licence"):
        parts.append(f"licence: {data['licence']}")
    if parts:
        yield Note("Data", ", ".join(parts), f"revision {data['revision']}" if data.get("revision") else "")
