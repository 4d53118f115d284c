"""Answers kept between runs: a small SQLite file, content-addressed audio beside it.

A key names everything an answer depends on, so an entry never goes stale; failures are never put in.
The cache is a convenience: when it can't be read or written, work goes on without it.
"""

from __future__ import annotations

import json
import sqlite3
import time
import warnings
from pathlib import Path

from evalkit.records import JSON, digest_of

COMMIT_EVERY = 200
COMMIT_SECONDS = 2.0


class Cache:
    """A key-value store of JSON values, shared between runs and processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._db: sqlite3.Connection | None = None
        self._waiting: dict[str, str] = {}
        self._committed = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(folder / "cache.sqlite", timeout=5.0, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as exc:
            self._give_up(exc)

    @staticmethod
    def key(kind: str, *parts: JSON) -> str:
        """The key of an answer: its kind ("response", "chat", "transcript") and all it depends on."""
        return f"{kind}:{digest_of(list(parts))}"

    def get(self, key: str) -> JSON | None:
        """The value, or None."""
        if self._db is None:
            return None
        try:
            if (waiting := self._waiting.get(key)) is not None:
                return json.loads(waiting)
            found = self._db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
            return json.loads(found[0]) if found else None
        except (sqlite3.Error, ValueError) as exc:
            self._give_up(exc)
            return None

    def put(self, key: str, value: JSON) -> None:
        """Keep a value; written to disk now and then, and at `close`."""
        if self._db is None:
            return
        self._waiting[key] = json.dumps(value)
        try:
            if len(self._waiting) >= COMMIT_EVERY or time.monotonic() - self._committed > COMMIT_SECONDS:
                self.commit()
        except sqlite3.Error as exc:
            self._give_up(exc)

    def commit(self) -> None:
        """Write out what waits, in one short transaction: others that write must not have to wait for us.

        Raises:
            sqlite3.Error: the disk is full, or the file locked for long; what waits is kept.
        """
        if self._db is None or not self._waiting:
            return
        # Swapped first: a thread that puts meanwhile must not be forgotten.
        values, self._waiting = self._waiting, {}
        try:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", values.items())
        except sqlite3.Error:
            self._waiting = values | self._waiting
            raise
        self._committed = time.monotonic()

    def audio_path(self, sha256: str) -> Path:
        """Where speech with this digest is kept."""
        return self.folder / "audio" / sha256[:2] / f"{sha256}.flac"

    def close(self) -> None:
        if self._db is None:
            return
        try:
            self.commit()
            self._db.close()
        except sqlite3.Error as exc:
            self._give_up(exc)
        self._db = None

    def _give_up(self, exc: Exception) -> None:
        self._db = None
        warnings.warn(f"the cache in {self.folder} can't be used ({exc}); going on without it", stacklevel=3)
