"""Answers that were cut off at the token limit, in words: what was cut was not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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


def compared(sides: Mapping[str, Mapping[str, Any]]) -> str:
    """The same of a task in several runs, by what a sentence calls them; "" where none has an answer cut off."""
    if not any(entry.get("n_truncated") for entry in sides.values()):
        return ""
    found = ", ".join(f"{share(entry) or 'not on record'} in {name}" for name, entry in sides.items())
    return f"answers cut off at the token limit: {found}"
