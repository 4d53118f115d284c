"""The ledger's file: JSONL that is only ever appended to, and the latest word on each cell.

A line is written whole; a line torn by a kill is ignored on reading (`evalkit.store`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.linefiles import Appender, encode_line, read_lines
from reports.reproduction.lines import Line

LEDGER = "reproductions.jsonl"


@dataclass(frozen=True)
class Ledger:
    """A ledger as read.

    Attributes:
        lines: in order of writing.
        odd: lines that are none of ours (hand-made, or by another evalkit); they are left alone.
    """

    path: Path
    lines: tuple[Line, ...] = ()
    odd: int = 0


def read(path: Path) -> Ledger:
    """Read a ledger; one that isn't there yet is empty.

    Raises:
        UsageError: it can't be read, or is a folder.
    """
    lines, odd = [], 0
    try:
        for _, found in read_lines(path):
            try:
                lines.append(Line.from_json(found))
            except (ValueError, OverflowError):
                odd += 1
    except OSError as exc:
        raise UsageError(f"the ledger {path} can't be read: {exc.strerror or exc}. Check --ledger.") from exc
    return Ledger(path, tuple(lines), odd)


def appendable(path: Path) -> None:
    """May lines be appended, as far as can be told without writing?

    Raises:
        UsageError: it can't be read, or neither it nor its folder can be written.
    """
    read(path)
    real = Path(os.path.realpath(path))
    place = next(p for p in (real, *real.parents) if p.exists())
    if not os.access(place, os.W_OK) or (place != real and not place.is_dir()):
        raise UsageError(f"the ledger {path} can't be written: no permission for {place}. Check --ledger.")


def append(path: Path, lines: Sequence[Line]) -> list[Line]:
    """Append the lines that say something new; returns them.

    A line whose result is the last one on record for its cell and model is not written again: repeating a command
    adds nothing. A result that has changed since, and changed back, is.

    Raises:
        UsageError: the ledger can't be read or isn't a file of lines.
        StoreError: it can't be written; what is there stays whole.
    """
    last = {line.cell: line.digest for line in read(path).lines}
    new: list[Line] = []
    for line in lines:
        if last.get(line.cell) != line.digest:
            last[line.cell] = line.digest
            new.append(line)
    if new:
        appender = Appender(path)
        try:
            appender.append(b"".join(encode_line(line.to_json()) for line in new))
        finally:
            appender.close()
    return new


def latest(lines: Iterable[Line]) -> list[Line]:
    """The latest line of each cell and model, in order of first appearance.

    A partial line (limited, smoke data, incomplete, the demo) displaces no whole one.
    """
    kept: dict[tuple[str, ...], Line] = {}
    for line in lines:
        old = kept.get(line.cell)
        if old is None or old.partial or not line.partial:
            kept[line.cell] = line
    return list(kept.values())


def of_run(root: Path, ledgers: Iterable[Path] | None = None) -> list[Line]:
    """What ledgers hold of one run, the latest of each cell.

    Args:
        ledgers: files to look into; default `reproductions.jsonl` in the current folder, beside the run, and in the
            folder above (a run in `runs/` of a checkout). A ledger that can't be read has nothing to say here.
    """
    home = Path(os.path.realpath(root))
    places = (
        ledgers if ledgers is not None else [d / LEDGER for d in (Path(), home.parent, home.parent.parent)]
    )
    found: list[Line] = []
    for path in dict.fromkeys(Path(os.path.realpath(p)) for p in places):
        try:
            lines = read(path).lines
        except UsageError:
            continue
        found += [x for x in lines if Path(os.path.realpath(path.parent / x.run)) == home]
    return latest(found)
