"""Answers that were cut off at the token limit, in words: what was cut was not measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

BESIDE = "answers cut off at the token limit: "
"""How a sentence on a task in several runs begins."""
NAMED = 4


def share(entry: Mapping[str, Any]) -> str:
    """ "12 of 553": of a task's answers on record; "" where results.json, of an older evalkit, has no count."""
    if (k := entry.get("n_truncated")) is None:
        return ""
    head = entry["metrics"][entry["headline"]]
    return f"{k:,} of {entry['n'] - head['n_errors'] - head['n_pending']:,}"


def told(entry: Mapping[str, Any]) -> str:
    """A sentence without a full stop on a task's entry in results.json; "" where no answer was cut off."""
    if not (k := entry.get("n_truncated")):
        return ""
    verb = "was" if k == 1 else "were"
    return f"{share(entry)} answers {verb} cut off at the token limit (max_tokens, max_new_tokens)"


def listed(entries: Mapping[str, Mapping[str, Any]], join: Callable[[list[str]], str]) -> str:
    """The same of several tasks in one line; `join` makes one text of many."""
    if len(entries) == 1:
        ((name, entry),) = entries.items()
        return f"{name}: {told(entry)}"
    found = join([f"{name}: {share(entry)}" for name, entry in entries.items()])
    return f"answers cut off at the token limit (max_tokens, max_new_tokens) in {found}"


def compared(sides: Mapping[str, Mapping[str, Any]]) -> str:
    """The same of a task in several runs, by what a sentence calls them; "" where none has an answer cut off."""
    if not any(entry.get("n_truncated") for entry in sides.values()):
        return ""
    found = ", ".join(f"{share(entry) or 'not on record'} in {name}" for name, entry in sides.items())
    return f"{BESIDE}{found}"


def folded(notes: Sequence[tuple[str, str]]) -> list[str]:
    """Notes with the names they belong to; where most tasks were cut off, those of them become one."""
    cut = [f"{name}: {note.removeprefix(BESIDE)}" for name, note in notes if note.startswith(BESIDE)]
    if len(cut) <= NAMED:
        return [f"{name}: {note}" for name, note in notes]
    others = [f"{name}: {note}" for name, note in notes if not note.startswith(BESIDE)]
    return [*others, f"{BESIDE}{'; '.join(cut[:NAMED])}; and {len(cut) - NAMED} more tasks"]
