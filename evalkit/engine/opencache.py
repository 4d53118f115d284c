"""One connection to the shared cache per process, written out at exit."""

from __future__ import annotations

import atexit
import sqlite3
import warnings
from functools import cache
from pathlib import Path

from evalkit.cache import Cache


@cache
def _open(folder: Path) -> Cache:
    found = Cache(folder)
    atexit.register(found.close)
    return found


def open_cache(folder: Path | None) -> Cache | None:
    """The cache in `folder`, or None."""
    return _open(folder) if folder is not None else None


def settle(found: Cache | None) -> None:
    """Write out what waits; a cache that can't (full disk) must not hide what the run has to say."""
    try:
        if found is not None:
            found.commit()
    except sqlite3.Error as exc:
        warnings.warn(f"the cache in {found and found.folder} can't be written ({exc})", stacklevel=2)
