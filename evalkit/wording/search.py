"""The search: every text of every file below some paths, held against what is wanted."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.wording.literals import SOURCE_LIMIT, literals
from evalkit.wording.trees import FILE_LIMIT, Seen, files_below
from evalkit.wording.wanted import Digests, Wanted

TIME_LIMIT = 600.0
"""Seconds that a search goes on; a toolkit takes a few."""


@dataclass(frozen=True, slots=True)
class Found:
    """A wanted text, and where it stood: file, line (0: the whole file), name there, how it differed there."""

    sha256: str
    what: str
    text: str
    file: str
    line: int
    name: str
    how: str


@dataclass
class Search:
    """What a search came to; `found` by sha256, in the order of what was wanted."""

    found: dict[str, Found] = field(default_factory=dict)
    files: int = 0
    large: int = 0
    unparsed: int = 0
    unreadable: list[str] = field(default_factory=list)
    cut_off: str = ""

    def notes(self) -> list[str]:
        """What a reader should know of what was not read."""
        out = [self.cut_off] if self.cut_off else []
        if self.large:
            out.append(f"{self.large:,} files over {FILE_LIMIT >> 20} MiB were not read")
        if self.unparsed:
            out.append(f"{self.unparsed:,} Python files over {SOURCE_LIMIT >> 20} MiB were searched in part")
        if self.unreadable:
            out.append(f"{len(self.unreadable):,} files can't be read, e.g. {self.unreadable[0]}")
        return out


def search(paths: Sequence[Path], wanted: Iterable[Wanted]) -> Search:
    """Look through checkouts, files and archives. Of several places the one that differs least is kept.

    Raises:
        UsageError: there is no such path, or it can't be read.
    """
    from tqdm import tqdm

    digests, out, found = Digests(wanted), Search(), dict[str, Found]()
    end = time.monotonic() + TIME_LIMIT
    for path in paths:
        seen = Seen()
        bar = tqdm(
            files_below(path, seen), desc=f"read {path.name}", unit=" files", file=sys.stderr, disable=None
        )
        for name, data in bar:
            _look(_printable(name), name, data, digests, found)
            out.unparsed += name.lower().endswith((".py", ".pyi")) and len(data) > SOURCE_LIMIT
            if time.monotonic() > end:
                seen.cut_off = seen.cut_off or f"stopped after {TIME_LIMIT / 60:g} minutes; name a part of it"
                break
        out.files, out.large = out.files + seen.files, out.large + seen.large
        out.unreadable += map(_printable, seen.unreadable)
        out.cut_off = out.cut_off or seen.cut_off
        if time.monotonic() > end:
            break
    out.found = {sha256: found[sha256] for sha256 in digests.wanted if sha256 in found}
    return out


def _look(shown: str, name: str, data: bytes, digests: Digests, found: dict[str, Found]) -> None:
    for literal in literals(name, data):
        for sha256, text, how in digests.match(literal.text):
            before = found.get(sha256)
            if before is None or (len(how), not literal.name) < (len(before.how), not before.name):
                what = digests.wanted[sha256].what
                found[sha256] = Found(sha256, what, text, shown, literal.line, literal.name, how)


def _printable(name: str) -> str:
    """A file's name as it may be printed, whoever chose it."""
    return "".join(c if c.isprintable() else "?" for c in name)
