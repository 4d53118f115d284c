"""`--format` of `report`, for pages, tables and figures alike."""

from __future__ import annotations

import argparse

from evalkit.errors import UsageError


def formats_of(args: argparse.Namespace, default: str, known: tuple[str, ...]) -> list[str]:
    """The formats asked for, each once. Raises UsageError for one that isn't known here."""
    formats = list(dict.fromkeys(f.strip().lower() for f in (args.format or default).split(",") if f.strip()))
    formats = ["latex" if f == "tex" else "md" if f == "markdown" else f for f in formats]
    if unknown := [f for f in formats if f not in known]:
        raise UsageError(f"there is no report format {unknown[0]!r}; known: {', '.join(known)}.")
    if not formats:
        raise UsageError(f"--format names no format; known: {', '.join(known)}.")
    return formats
