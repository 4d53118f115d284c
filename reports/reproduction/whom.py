"""Which printed model a run is held against: told from its name, or the table's own column."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit import published
from evalkit.errors import UsageError

_SUFFIX = re.compile(r"instruct|chat|hf|latest|\d+(\.\d+)?b|\d{4}|\d{2}|\d{6,8}", re.IGNORECASE)
"""Words at the end of a checkpoint's name that don't make it another model: "-7B-Instruct", "-2025-08-28"."""


def tables() -> tuple[str, ...]:
    """Numbers of the report's tables."""
    return tuple(dict.fromkeys(s.table for s in published.sections()))


def models_of(table: str) -> tuple[str, ...]:
    """The models that a table prints numbers of, in print order.

    Raises:
        UsageError: there is no such table.
    """
    found = published.sections(table)
    if not found:
        raise UsageError(f"the report has no Table {table}; it has: {', '.join(tables())}. Check --table.")
    return tuple(dict.fromkeys(m for s in found for m in s.models))


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "", name.casefold())


def named(name: str, models: Sequence[str]) -> str | None:
    """The printed model that a model's name means ("openai/gpt-audio-2025-08-28": GPT-Audio), or None.

    The last part of the path counts (of a replayed file its name), with or without what only says a size, a date or
    "instruct" at its end; a name that says more ("gpt-audio-mini") is another model.
    """
    known = {_bare(m): m for m in models}
    words = re.split(r"[-_\s:@]+", name.rstrip("/").rpartition("/")[2].removesuffix(".jsonl"))
    while words:
        if found := known.get(_bare("".join(words))):
            return found
        if not _SUFFIX.fullmatch(words[-1]):
            return None
        words.pop()
    return None


def compared_with(table: str, wanted: str | None, names: Sequence[str] = ()) -> tuple[str, str]:
    """The printed model to compare with, and why it.

    Args:
        wanted: the user's choice (--as).
        names: what the model under test is called: its label, its path.

    Raises:
        UsageError: no such table, or the table has no such model.
    """
    models = models_of(table)
    if wanted is not None:
        found = next((m for m in models if _bare(m) == _bare(wanted)), None)
        if found is None:
            raise UsageError(
                f"Table {table} prints no model {wanted!r}; it has: {', '.join(models)}. Check --as."
            )
        return found, "as asked for"
    for name in names:
        if found := named(name, models):
            return found, "told from the model's name"
    known = published.models()
    ours = [m for m in models if m in known and known[m].role == "ours"]
    public = [m for m in ours if known[m].access == "open"]
    if public:
        return public[0], "the table's own model with a public checkpoint; --as names another"
    return (ours or list(models))[-1], "the table's own model; --as names another"
