"""One connection to the shared cache per process, written out at exit; judge replies wait until read."""

from __future__ import annotations

import atexit
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from evalkit.cache import Cache
from evalkit.records import JSON


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


@dataclass
class Replies:
    """Judge replies that wait for their verdict: one that can't be read is a failure, and not kept."""

    waiting: list[tuple[Cache, str, JSON]] = field(default_factory=list)

    def keep(self) -> None:
        """They could be read: into the cache with them."""
        for found, key, value in self.waiting:
            found.put(key, value)


_HELD: ContextVar[Replies | None] = ContextVar("replies", default=None)


@contextmanager
def replies_held() -> Iterator[Replies]:
    """Within, replies given to `keep_reply` wait for `Replies.keep`, and are forgotten without it."""
    replies = Replies()
    token = _HELD.set(replies)
    try:
        yield replies
    finally:
        _HELD.reset(token)


def keep_reply(found: Cache, key: str, value: JSON) -> None:
    """Put a judge's reply in the cache, at once or when its verdict is there."""
    replies = _HELD.get()
    if replies is None:
        found.put(key, value)
    else:
        replies.waiting.append((found, key, value))
