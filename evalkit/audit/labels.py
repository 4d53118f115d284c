"""Files of scores by people (or by a judge): JSONL, CSV or TSV, a file each or one with a column that says who.

Columns are found by usual names or named by the user; words become numbers by a table. What can't be read is left
out and counted, as VStyle does (sheet section 8); a file of which nothing can be read is refused.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.agreement import Rater, rater
from evalkit.errors import UsageError

ID_NAMES = ("id", "sample_id", "key")
LABEL_NAMES = ("label", "score", "mos", "rating", "human")
SCORE_NAMES = ("score", "gemini_score", "judge", "value", "label")
WHO_NAMES = ("annotator", "rater", "annotator_id")
SUFFIXES = (".jsonl", ".csv", ".tsv")
LOOK = 200
"""Rows in which a column has to show up to be taken for one."""

WORDS: Mapping[str, float] = {
    **dict.fromkeys(("yes", "correct", "right", "true", "pass", "good"), 1.0),
    **dict.fromkeys(("no", "incorrect", "wrong", "false", "fail", "bad"), 0.0),
}
"""Labels in words, and what they stand for."""


@dataclass(frozen=True)
class Columns:
    """Which columns to read; empty ones are found by usual names.

    Attributes:
        ids: joined with "_" they are a sample's key.
        label: of the score; several, with commas between them, are as many annotators side by side.
        who: of the annotator's name, where one file holds several.
        group: of what subsets go by.
        words: numbers for labels in words, beside `WORDS`.
        names: names of the score's column that are looked for.
        split: a column may tell annotators apart; False for the file of a judge.
    """

    ids: tuple[str, ...] = ()
    label: str = ""
    who: str = ""
    group: str = ""
    words: Mapping[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = LABEL_NAMES
    split: bool = True


@dataclass
class Labels:
    """What the files held.

    Attributes:
        raters: one per annotator, by name.
        groups: group by key, where rows name one; by the column's name.
        told: what was left out, a line each.
        ids: the columns that made the keys.
    """

    raters: list[Rater] = field(default_factory=list)
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    ids: tuple[str, ...] = ()


def files_of(given: Iterable[str | Path], flag: str = "--human") -> list[Path]:
    """The files named, and the .jsonl, .csv and .tsv files of the folders named. Raises UsageError."""
    found: list[Path] = []
    for name in given:
        path = Path(name)
        held = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES) if path.is_dir() else [path]
        if not held:
            raise UsageError(f"{flag} {path}: the folder holds no .jsonl file (nor .csv), one per annotator")
        found += held
    return found


def rows_of(path: Path, told: list[str]) -> list[dict[str, Any]]:
    """The rows of a file; lines that hold none are told. Raises UsageError when it can't be read."""
    try:
        if path.suffix in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
        return list(_objects(path, told))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise UsageError(f"{path} can't be read: {getattr(exc, 'strerror', None) or exc}") from exc


def _objects(path: Path, told: list[str], shown: int = 3) -> Iterator[dict[str, Any]]:
    broken: list[int] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict):
                yield value
            else:
                broken.append(number)
    if broken:
        lines = ", ".join(map(str, broken[:shown]))
        more = f" and {len(broken) - shown} more" if len(broken) > shown else ""
        told.append(f"{path}: left out, no JSON object: line {lines}{more}")


def column(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str], what: str, flag: str) -> str:
    """The first of these names that the rows have. Raises UsageError when they have none."""
    held = {k for r in rows[:LOOK] for k in r}
    for name in names:
        if name in held:
            return name
    columns = ", ".join(sorted(map(str, held))[:12]) or "none"
    raise UsageError(
        f"{path} has no column {' or '.join(map(repr, names))} for {what}; it has: {columns}. Name it with {flag}."
    )


def read_labels(
    paths: Sequence[Path], columns: Columns, flags: tuple[str, str, str] = ("--id", "--label", "--annotator")
) -> Labels:
    """All annotators of these files. Raises UsageError: a file can't be read, or holds no label that can."""
    out = Labels()
    for path in paths:
        rows = rows_of(path, out.told)
        ids = columns.ids or _ids(path, rows, flags[0])
        out.ids = out.ids or ids
        if out.ids != ids:
            raise UsageError(
                f"{path} names samples by {' and '.join(ids)}, the files before it by {' and '.join(out.ids)}; "
                f"say which with {flags[0]}."
            )
        found = (
            [w.strip() for w in columns.label.split(",") if w.strip()] if columns.split else [columns.label]
        )
        found = [w for w in found if w]
        labels = [column(path, rows, [name], "the score", flags[1]) for name in found]
        labels = labels or [column(path, rows, columns.names, "the score", flags[1])]
        if columns.who:
            column(path, rows, [columns.who], "the annotator", flags[2])
        if columns.group:
            column(path, rows, [columns.group], "subsets", "--group")
        held = {k for r in rows[:LOOK] for k in r}
        who = columns.who or next((n for n in WHO_NAMES if n in held), "") if columns.split else ""
        for label in labels:
            for name, mine in _by_who(rows, who, path.stem if len(labels) == 1 else label).items():
                _take(out, path, name, mine, label, ids, columns)
    names = [r.name for r in out.raters]
    for i, one in enumerate(out.raters):  # two files of one name in two folders
        if names.count(one.name) > 1:
            one.name = f"{one.name} #{i + 1}"
    return out


def _ids(path: Path, rows: Sequence[Mapping[str, Any]], flag: str) -> tuple[str, ...]:
    name = column(path, rows, ID_NAMES, "the sample's id", flag)
    both = name == "id" and any("instruct_id" in r for r in rows[:LOOK])
    return ("id", "instruct_id") if both else (name,)


def _by_who(rows: Iterable[dict[str, Any]], who: str, stem: str) -> dict[str, list[dict[str, Any]]]:
    if not who:
        return {stem: list(rows)}
    out: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        out.setdefault(str(row.get(who) or "(nobody named)"), []).append(row)
    return out


def _take(
    out: Labels,
    path: Path,
    name: str,
    rows: Sequence[dict[str, Any]],
    label: str,
    ids: tuple[str, ...],
    columns: Columns,
) -> None:
    """One annotator's rows into `out`."""
    # VStyle's files hold numbers, and what is none is skipped: a word there is no label.
    words = {**({} if "instruct_id" in ids else WORDS), **columns.words}
    found = rater(name, [{**r, label: _number(r.get(label), words)} for r in rows], label, ids)
    if rows and not found.scores:
        seen = [str(r[label]) for r in rows if r.get(label) is not None]
        if seen and found.skipped.keys() <= {f"no number in {label}"}:
            said = ", ".join(repr(s[:40]) for s in dict.fromkeys(seen[:3]))
            raise UsageError(
                f"{path}: the labels in {label!r} are neither numbers nor words that are known ({said}); "
                f"say what they stand for with --map {seen[0][:20]}=1."
            )
    for why, n in found.skipped.items():
        out.told.append(f"{name}: {n} row{'s' * (n != 1)} left out: {why}")
    again = len(rows) - sum(found.skipped.values()) - len(found.scores)
    if again > 0:
        out.told.append(
            f"{name}: {again} row{'s' * (again != 1)} displaced by a later one of the same sample"
        )
    if columns.group:
        groups = out.groups.setdefault(columns.group, {})
        for row in rows:
            key = "_".join(str(row.get(i)) for i in ids)
            if key in found.scores and row.get(columns.group) not in (None, ""):
                groups[key] = str(row[columns.group])
    same = next((r for r in out.raters if r.name == name and not r.scores.keys() & found.scores.keys()), None)
    if same is not None:  # one annotator's work in several files
        same.scores |= found.scores
        same.abilities |= found.abilities
    else:
        out.raters.append(found)


def _number(value: Any, words: Mapping[str, float]) -> Any:
    """A word as its number; anything else as it is."""
    return words.get(value.strip().casefold(), value) if isinstance(value, str) else value


def mapping(given: Sequence[str] | None) -> dict[str, float]:
    """`["partly=0.5"]` as a table. Raises UsageError."""
    out = {}
    for word in given or ():
        name, equals, value = word.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise UsageError(f"--map {word!r}: write --map WORD=NUMBER, e.g. --map partly=0.5")
        out[name.strip().casefold()] = number
    return out
