"""One digest for all in a checkpoint folder that decides its answers.

18 GB take a while to hash, so the sha256 of each file is kept in the user's cache folder beside what tells that the
file is still the same: its path, size, inode, and times of its content and of its entry. Names are never trusted, not
even those of a hub cache, whose files are called by their sha256.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evalkit.config import cache_dir
from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.shards import weight_files

SEMANTIC = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
"""Files beside the weights that decide answers: which ids a prompt has, what is heard, when a row stops."""

_TELL_FROM = 1_000_000_000
"""Bytes to be hashed from which on a line on stderr says so."""
_THREADS = 8
_PIECE = 1 << 22
_TRIES = 3
_SETTLED_NS = 2_000_000_000
"""A file that changed so lately may change again within the same time stamp: its digest is not kept."""


def digest(folder: Path) -> str:
    """sha256 (hex) over the names and sha256 of every file that decides the answers: weights, configs, tokenizer.

    The first time it reads all weights (with several threads, and a line on stderr); afterwards only files that
    changed. A file added that none of these is (a README) changes nothing.

    Raises:
        UsageError: no weights, or a file that can't be read.
    """
    paths = [p for name in SEMANTIC if (p := folder / name).is_file()] + weight_files(folder)
    sums = file_digests(paths)
    lines = sorted(f"{value}  {path.name}\n" for path, value in zip(paths, sums, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digests(paths: Sequence[Path]) -> list[str]:
    """sha256 (hex) of each file, from the cache where it holds it. Raises UsageError for one that can't be read."""
    try:
        stamps = [_stamp(p) for p in paths]
        known = [_kept(s) for s in stamps]
        new = [i for i, value in enumerate(known) if value is None]
        size = sum(int(stamps[i][1]) for i in new)
        if size >= _TELL_FROM:
            print(
                f"hashing the checkpoint ({size / 1e9:.1f} GB, once: kept in {cache_dir() / 'digests'})",
                file=sys.stderr,
                flush=True,
            )
        stop = threading.Event()
        with ThreadPoolExecutor(min(_THREADS, max(len(new), 1))) as pool:
            jobs = {i: pool.submit(_hash, paths[i], stop) for i in new}
            try:
                found = {i: job.result() for i, job in jobs.items()}
            finally:  # an interrupt waits for no 5 GB
                stop.set()
    except OSError as exc:
        raise UsageError(f"{exc.filename or 'the checkpoint'} can't be read: {exc.strerror or exc}") from exc
    return [found[i] if value is None else value for i, value in enumerate(known)]


Stamp = list[str | int]


def _stamp(path: Path) -> Stamp:
    """What tells that a file is the same as before: path, size, inode and both times."""
    real = path.resolve()
    stat = real.stat()
    return [str(real), stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def _hash(path: Path, stop: threading.Event) -> str:
    """sha256 of a file that nobody changes meanwhile, kept for next time."""
    for _ in range(_TRIES):
        before, began = _stamp(path), time.time_ns()
        total = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                if stop.is_set():
                    return ""
                total.update(piece)
        if _stamp(path) == before:
            if began - max(int(before[3]), int(before[4])) > _SETTLED_NS:
                _keep(before, total.hexdigest())
            return total.hexdigest()
    raise UsageError(f"{path} changes while it is read: wait until it is written")


def _note(stamp: Stamp) -> Path:
    return cache_dir() / "digests" / f"fac-{hashlib.sha256(str(stamp[0]).encode()).hexdigest()[:32]}.json"


def _kept(stamp: Stamp) -> str | None:
    """What the cache holds of a file as it is now; None when nothing."""
    try:
        known = json.loads(_note(stamp).read_text(encoding="utf-8"))
        value = known["sha256"]
        right = known["stamp"] == stamp and isinstance(value, str) and len(value) == 64
        return value if right else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(stamp: Stamp, value: str) -> None:
    """Best effort: a cache that can't be written is no reason to stop."""
    note = _note(stamp)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False, encoding="utf-8") as file:
            json.dump({"stamp": stamp, "sha256": value}, file)
        Path(file.name).replace(note)
    except OSError:
        return
