"""One connection to the shared cache per process, written out at exit."""

from __future__ import annotations

import atexit
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
