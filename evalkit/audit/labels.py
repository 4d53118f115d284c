"""Files of scores by people (or by a judge): JSONL, CSV or TSV, a file each or one with a column that says who.

Columns are found by usual names or named by the user; words become numbers by a table. What can't be read is left
out and counted, as VStyle does (sheet section 8); a file of which nothing can be read is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.audit.agreement import Rater, rater
from evalkit.audit.labelfiles import LOOK, column, rows_of
from evalkit.errors import UsageError

ID_NAMES = ("id", "sample_id", "key")
LABEL_NAMES = ("label", "score", "mos", "rating", "human")
SCORE_NAMES = ("score", "gemini_score", "judge", "value", "label")
WHO_NAMES = ("annotator", "rater", "annotator_id")
WORDS: Mapping[str, float] = {
    **dict.fromkeys(("yes", "correct", "right", "true", "pass", "good"), 1.0),
    **dict.fromkeys(("no", "incorrect", "wrong", "false", "fail", "bad"), 0.0),
}
"""Labels in words, and what they stand for."""
NONE = frozenset(("", "n/a", "na", "nan", "none", "null", "-", "?", "skip", "skipped", "unsure"))
"""Words for no label."""
_OF = re.compile(r"([-+]?\d+(?:[.,]\d+)?)\s*(?:/|of|out of)\s*(\d+)")
_COMMA = re.compile(r"[-+]?\d+,\d+")
_WHOLE = re.compile(r"0*(\d+)(?:\.0+)?")


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


def read_labels(
    paths: Sequence[Path], columns: Columns, flags: tuple[str, str, str] = ("--id", "--label", "--annotator")
) -> Labels:
    """All annotators of these files. Raises UsageError: a file can't be read, or holds no label that can."""
    out = Labels()
    for path in paths:
        rows = rows_of(path, out.told)
        ids = columns.ids or _ids(path, rows, flags[0])
        rows = _named(path, rows, ids, flags[0])
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


def _named(path: Path, rows: list[dict[str, Any]], ids: Sequence[str], flag: str) -> list[dict[str, Any]]:
    """The rows with the columns of the ids called as they are elsewhere ("ID" is "id"). Raises UsageError."""
    held = {k for r in rows[:LOOK] for k in r}
    for name in [i for i in ids if i not in held]:
        other = column(path, rows, [name, name.casefold()], "the sample's id", flag)
        rows = [{**r, name: r.get(other)} for r in rows]
    return rows


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
    known = [] if "instruct_id" in ids else rows
    said = {str(r.get(label)).strip().casefold() for r in known if isinstance(r.get(label), str)}
    strange = sorted(w for w in said if w not in words and w not in NONE and _plain(w) is None)
    if strange and said & words.keys() - columns.words.keys():
        raise UsageError(
            f"{path}: some labels in {label!r} are words that are known, others are not "
            f"({', '.join(repr(w[:40]) for w in strange[:3])}); say what all stand for with --map {strange[0][:20]}=1."
        )
    found = rater(name, [_read(r, label, ids, words) for r in rows], label, ids)
    if "instruct_id" not in ids:
        _without_nan(found, label)
    if rows and not found.scores:
        seen = [str(r[label]) for r in rows if r.get(label) is not None]
        if seen and found.skipped.keys() <= {f"no number in {label}"}:
            shown = ", ".join(repr(s[:40]) for s in dict.fromkeys(seen[:3]))
            raise UsageError(
                f"{path}: the labels in {label!r} are neither numbers nor words that are known ({shown}); "
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


def _read(
    row: dict[str, Any], label: str, ids: tuple[str, ...], words: Mapping[str, float]
) -> dict[str, Any]:
    """A row with its label as a number, where it is one, and ids that are numbers without a point: 1.0 is 1."""
    out = {**row, label: _number(row.get(label), words)}
    for name in ids:
        value = row.get(name)
        if isinstance(value, float) and value.is_integer():
            out[name] = int(value)
        elif isinstance(value, str):
            out[name] = value.strip() or None
    return out


def _number(value: Any, words: Mapping[str, float]) -> Any:
    """A label as a number: a word that is known, "4/5" (4), "3,5" (3.5); anything else as it is."""
    if not isinstance(value, str):
        return value
    word = value.strip().casefold()
    plain = _plain(word)
    return words.get(word, value if plain is None else plain)


def _plain(word: str) -> float | None:
    """A number as people write it, None for anything else."""
    if found := _OF.fullmatch(word):
        word = found[1]
    if _COMMA.fullmatch(word):
        word = word.replace(",", ".")
    try:
        return float(word)
    except ValueError:
        return None


def _without_nan(found: Rater, label: str) -> None:
    """Leave out labels that are no numbers though they read as one."""
    lacking = [k for k, v in found.scores.items() if not math.isfinite(v)]
    for key in lacking:
        del found.scores[key]
    if lacking:
        what = f"no number in {label}"
        found.skipped[what] = found.skipped.get(what, 0) + len(lacking)


def renamed(labels: Labels, known: Iterable[str]) -> None:
    """Call samples as `known` does where the two spell numbers otherwise ("7.0", "007" and "7"), and tell it."""
    held = set(known)
    names: dict[str, str | None] = {}
    for key in sorted(held):
        if plain := _spelled(key):
            names[plain] = None if plain in names else key
    n, example = 0, ""
    for rater_ in labels.raters:
        for key in [k for k in rater_.scores if k not in held]:
            name = names.get(_spelled(key))
            if name is None or name in rater_.scores:
                continue
            rater_.scores[name] = rater_.scores.pop(key)
            if key in rater_.abilities:
                rater_.abilities[name] = rater_.abilities.pop(key)
            for group in labels.groups.values():
                if key in group:
                    group[name] = group[key]
            n, example = n + 1, f"{key!r} is {name!r}"
    if n:
        labels.told.append(f"{n} ids are matched as numbers ({example})")


def _spelled(key: str) -> str:
    """A whole number without point and leading zeros; "" for what is none."""
    found = _WHOLE.fullmatch(key)
    return found[1] if found else ""


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
