"""The files below a path: of a checkout, of an archive, or the path itself. Read in memory, nothing is unpacked.

Links lead nowhere, version control is left out, and there is an end to what is read.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from evalkit.errors import UsageError

FILE_LIMIT = 4 << 20
"""Bytes of a file that is read; a longer one holds data, not prompts."""
FILES_LIMIT = 200_000
BYTES_LIMIT = 2 << 30
"""Of one path; of an archive, unpacked."""
CONTENTS_LIMIT = 64 << 20
"""Bytes of a zip file's table of contents: that of a million files."""
_LAST_RECORD = (1 << 16) + 200
"""A zip file's last record and its comment are within so many bytes of the end."""
SKIPPED = frozenset((".git", ".hg", ".svn", "__pycache__", "node_modules"))
ARCHIVES = (".zip", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


_BROKEN = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, ValueError)
"""What unpacking something broken raises."""


@dataclass
class Seen:
    """What was gone through: files read, files left out for their size, files that can't be read, and an early end."""

    files: int = 0
    large: int = 0
    unreadable: list[str] = field(default_factory=list)
    cut_off: str = ""
    _bytes: int = 0

    def full(self, size: int) -> bool:
        """Count a file in; True when that is more than one path may hold."""
        self.files, self._bytes = self.files + 1, self._bytes + size
        if self.files > FILES_LIMIT or self._bytes > BYTES_LIMIT:
            self.cut_off = (
                f"stopped after {FILES_LIMIT:,} files or {BYTES_LIMIT >> 30} GiB; name a part of it"
            )
        return bool(self.cut_off)


def files_below(path: Path, seen: Seen) -> Iterator[tuple[str, bytes]]:
    """(name below the path, content) of every regular file of reasonable size, sorted. Raises UsageError."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as exc:
        raise UsageError(f"there is no checkout, file or archive {str(path)!r} ({_why(exc)})") from exc
    if stat.S_ISDIR(mode):
        yield from _folder(path, seen)
    elif not stat.S_ISREG(mode):
        raise UsageError(f"{str(path)!r} is neither a folder nor a file")
    elif path.name.lower().endswith(ARCHIVES):
        yield from _archive(path, seen)
    else:
        yield from _file(path, path.name, seen)


def _folder(root: Path, seen: Seen) -> Iterator[tuple[str, bytes]]:
    def failed(exc: OSError) -> None:
        seen.unreadable.append(str(exc.filename))

    if not os.access(root, os.R_OK | os.X_OK):
        raise UsageError(f"the folder {str(root)!r} can't be read")
    for folder, folders, names in os.walk(root, onerror=failed):  # doesn't follow links
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        for name in sorted(names):
            path = Path(folder, name)
            if not path.is_symlink():
                yield from _file(path, str(path.relative_to(root)), seen)
                if seen.cut_off:
                    return


def _file(path: Path, name: str, seen: Seen) -> Iterator[tuple[str, bytes]]:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return
        if found.st_size > FILE_LIMIT:
            seen.large += 1
            return
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except OSError:
        seen.unreadable.append(name)
        return
    if not seen.full(len(data)):
        yield name, data


def _archive(path: Path, seen: Seen) -> Iterator[tuple[str, bytes]]:
    members = _zip if path.name.lower().endswith((".zip", ".whl")) else _tar
    try:
        yield from members(path, seen)
    except _BROKEN as exc:
        raise UsageError(f"the archive {str(path)!r} can't be read ({_why(exc)})") from exc


def _wanted(name: str) -> bool:
    return not SKIPPED & set(name.replace("\\", "/").split("/"))


def _contents_size(path: Path) -> int:
    """Bytes of a zip file's table of contents, as its last record tells; 0 where there is none."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LAST_RECORD))
        end = file.read(_LAST_RECORD)
    at, long = end.rfind(b"PK\5\6"), end.rfind(b"PK\6\6")
    size = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
    return int.from_bytes(end[long + 40 : long + 48], "little") if size == 0xFFFFFFFF and long >= 0 else size


def _zip(path: Path, seen: Seen) -> Iterator[tuple[str, bytes]]:
    if (size := _contents_size(path)) > CONTENTS_LIMIT:  # `zipfile` reads it whole, into ten times the memory
        raise ValueError(f"a table of contents of {size >> 20:,} MiB")
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir() or stat.S_ISLNK(member.external_attr >> 16) or not _wanted(member.filename):
                continue
            if member.file_size > FILE_LIMIT:
                seen.large += 1
                continue
            try:
                with archive.open(member) as file:
                    data = file.read(FILE_LIMIT + 1)
            except (
                *_BROKEN,
                RuntimeError,
                NotImplementedError,
            ):  # the last two: a password, an unknown method
                seen.unreadable.append(member.filename)
                continue
            if len(data) > FILE_LIMIT:
                seen.large += 1
            elif seen.full(len(data)):
                return
            else:
                yield member.filename, data


def _tar(path: Path, seen: Seen) -> Iterator[tuple[str, bytes]]:
    passed = 0
    with _unpacked(path) as file, _tar_file(_Sober(file)) as archive:
        for member in archive:
            passed += max(member.size, 0)
            if passed > BYTES_LIMIT:  # what is passed over has to be unpacked, too
                seen.cut_off = f"stopped after {BYTES_LIMIT >> 30} GiB; name a part of it"
                return
            if not member.isreg() or not _wanted(member.name):
                continue
            if member.size > FILE_LIMIT:
                seen.large += 1
                continue
            content = archive.extractfile(member)
            data = content.read(FILE_LIMIT + 1) if content is not None else b""
            if seen.full(len(data)):
                return
            yield member.name, data


def _tar_file(file: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="r:")


def _unpacked(path: Path) -> Any:
    """The tar file's bytes, whatever it is compressed with; by its first bytes, as `tarfile` goes about it."""
    with path.open("rb") as file:
        start = file.read(6)
    for magic, opened in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        if start.startswith(magic):
            return opened(path, "rb")
    return path.open("rb")


class _Sober:
    """A file that isn't read more of at once than a file may hold: `tarfile` reads long names whole, of any length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Raises ValueError for a size that no header has."""
        if not 0 <= size <= FILE_LIMIT + tarfile.RECORDSIZE:
            raise ValueError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _why(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
