"""Files that survive a kill: lines that are appended whole or not at all, files that are replaced in one step."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from evalkit.records import JSON

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system calls a full disk."""


class StoreError(Exception):
    """The run directory can't be written (full disk, no permission); what is on disk stays valid."""


_DECODE = json.JSONDecoder().decode
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_line(value: JSON) -> bytes:
    """One JSON line in UTF-8. Lone surrogates, which UTF-8 can't hold, are written as \\u escapes."""
    try:
        return _ENCODE(value).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(byte offset, object) of each whole line; torn lines are passed over."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    offset = 0
    with file:
        for line in file:
            start, offset = offset, offset + len(line)
            if not line.endswith(b"\n"):
                return
            try:
                value = _DECODE(line.decode())  # a third faster than json.loads, which guesses the encoding
            except ValueError:
                continue
            if isinstance(value, dict):
                yield start, value


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, so that a kill leaves the old or the new one.

    Raises:
        StoreError: the disk is full or the folder can't be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "replace"))
        os.chmod(temporary, 0o644)  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as exc:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise store_error(path, exc) from exc


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text (UTF-8, lone surrogates replaced) that takes a file's place once it is whole, however long that takes.

    Something that is no plain file, a device or a pipe, is written straight into.

    Raises:
        OSError: as opening or writing does, with the name of `path`; what was there before is still there.
    """
    path = path.resolve()
    plain = path.is_file() or not path.exists()
    where = path.with_name(f".{path.name[:80]}.{os.getpid()}.{threading.get_ident()}") if plain else path
    try:
        with where.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            yield file
        if plain:
            where.replace(path)
    except BaseException as exc:
        if plain:
            with suppress(OSError):
                where.unlink()
        if isinstance(exc, OSError) and exc.filename in (None, str(where)):
            exc.filename = str(path)
        raise


def store_error(path: Path, exc: OSError) -> StoreError:
    """What to tell of a file that couldn't be written."""
    if exc.errno in FULL:
        return StoreError(
            f"no space left on the disk that holds {path.parent}. Free some and run the same command again."
        )
    return StoreError(f"{path} can't be written: {exc.strerror or exc}")


class Appender:
    """Appends whole lines to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._mend()
        except OSError as exc:
            raise store_error(path, exc) from exc

    def _mend(self) -> None:
        """End a line that a kill left torn, so that the next one starts fresh."""
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")

    def append(self, data: bytes) -> None:
        """Write `data` (whole lines) entirely, or not at all.

        Raises:
            StoreError: full disk; the file is cut back to where it was.
        """
        before = os.fstat(self._fd).st_size
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError as exc:
            os.ftruncate(self._fd, before)
            raise store_error(self.path, exc) from exc

    def close(self) -> None:
        os.close(self._fd)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises StoreError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise store_error(path, exc) from exc
