"""`--format` and `--out` of `report`, for pages, tables and figures alike."""

from __future__ import annotations

import argparse
from pathlib import Path

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


def folder_of(path: Path) -> Path:
    """The folder that files go into, made where it is missing. Raises UsageError where it can't be."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path}: is a file; what is written are several files, in a folder.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{path} can't be made ({exc.strerror}); name another place with --out.") from None
    return path
