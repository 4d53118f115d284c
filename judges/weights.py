"""Model weights that judges load from files: one error, one checksum."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from evalkit import files


class WeightsError(Exception):
    """The weights can't be used: a sentence that names the place and the remedy."""


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file, remembered until its size or time stamp changes. Raises OSError."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    return files.sha256_of(path)
