"""Files as they lie on disk: their digest, and their lines by number."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator
from pathlib import Path

BOM = codecs.BOM_UTF8
"""The byte order mark that some editors put at the start of a text."""


def sha256_of(path: str | Path) -> str:
    """sha256 (hex) of a file, read in pieces. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def numbered_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """(line from 1, bytes) of every line that isn't blank, without a byte order mark. Raises OSError."""
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            line = line.removeprefix(BOM) if number == 1 else line
            if line.strip():
                yield number, line
