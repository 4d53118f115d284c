"""The comparison on the console: a table per pair of sides, aligned, plain when not a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import TextIO

from reports.cells import number
from reports.comparison import words
from reports.comparison.model import Comparison, Line, Side
from reports.safe import shorten, visible
from reports.terminal import cut, printable, use_colour, width

_BOLD, _DIM, _RED, _GREEN, _AMBER, _OFF = (f"\x1b[{n}m" for n in ("1", "2", "31", "32", "33", "0"))
TASK, METRIC, A, B, DELTA, CI, P, HOLM, VERDICT, N, COUNTS, TEST, EFFECT = range(13)
LEFT = {TASK, METRIC, CI, VERDICT, TEST, EFFECT}
SPARED = (EFFECT, TEST, METRIC, P, N, COUNTS)
"""Columns a narrow terminal goes without, in this order; then long names of tasks are cut."""
SHORTEST = 16
NAMES = 5
"""Sample ids in the list of a line, unless asked for another number."""
TEXT = 60


def console(
    c: Comparison, *, samples: int | None = None, colour: bool = False, columns: int | None = None
) -> str:
    """The comparison as text.

    Args:
        samples: won and lost samples to list per line, with both values; None names a few ids.
        colour: ANSI emphasis.
        columns: width of the terminal; None: no limit.
    """
    if not c.shown:
        return ""
    blocks = []
    shared = words.shared_marks(c)
    for a, b in c.pairs:
        lines = [x for x in c.lines if (x.a, x.b) == (a.key, b.key) and not x.refused]
        if not lines:
            continue
        said = [f"{b.key}: {_name(b)}  against  {a.key}: {_name(a)} (baseline)"]
        if shared:
            said.append(", ".join(words.MARKS[m] for m in shared))
        blocks.append("\n".join([*said, _table(lines, c, shared, colour, columns)]))
        if lists := list(_lists(lines, samples, columns)):
            blocks.append("\n".join(lists))
        blocks.append(words.verdict_sentence(c, a, b))
    notes = [*words.alone(c), *words.cut_off(c), *(words.tests_said(c) if blocks else ())]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes and blocks else ())])


def _name(side: Side) -> str:
    folder = f" [{side.folder}]" if side.folder and side.folder not in side.label else ""
    return visible(side.label) + folder + "".join(f" ({t})" for t in side.tags)


def _cells(line: Line, c: Comparison) -> list[str]:
    d = line.difference
    task = f"{line.task} overall" if line.kind == "overall" else line.task
    if line.group:
        task = f"  {line.group[0]}: {line.group[1]}" if line.paired else line.name
    out = [visible(task), visible(line.label)]
    if d is None:
        values = [number(v, line.decimals) for v in (line.whole_a, line.whole_b)]
        return [*out, *values, "", "", "", "", words.told(line, c.alpha), "", "", "", ""]
    return [
        *out,
        number(d.a, line.decimals),
        number(d.b, line.decimals),
        words.signed(d.delta, line.decimals),
        words.signed_pair(d.ci, line.decimals),
        words.p_text(d.p),
        words.p_text(line.p_holm),
        words.told(line, c.alpha),
        f"{d.n:,}" if d.n else "",
        words.counts(line),
        d.test if d.test != "none" else "",
        words.effect_text(d),
    ]


def _table(
    lines: Sequence[Line], c: Comparison, shared: Sequence[str], colour: bool, columns: int | None
) -> str:
    head = [
        *("task", "metric", lines[0].a, lines[0].b, "\u0394", f"{100 * c.level:g}% CI", "p", "Holm"),
        *("verdict", "n", "won/lost/tied", "test", "effect"),
    ]
    rows = [head, *(_cells(x, c) for x in lines)]
    out = _left_out(rows, columns)
    if columns is not None:
        over = _span(rows, out) - columns
        longest = max(width(r[TASK]) for r in rows)
        if over > 0:
            rows = [[cut(r[TASK], max(SHORTEST, longest - over)), *r[1:]] for r in rows]
    kept = [i for i in range(len(head)) if i not in out]
    widths = [max(width(r[i]) for r in rows) for i in range(len(head))]
    text = [_paint(head, kept, widths, _BOLD if colour else "", None)]
    for line, row in zip(lines, rows[1:], strict=True):
        tone = {"better": _GREEN, "worse": _RED, "undecided": _DIM}.get(line.verdict(c.alpha), _AMBER)
        plain = _paint(row, kept, widths, "", None)
        painted = _paint(row, kept, widths, "", tone) if colour else plain
        remark = "; ".join(visible(r) for r in words.remarks(line, shared))
        if not remark:
            text.append(painted)
            continue
        if columns is not None and width(plain) + 2 + width(remark) > columns:
            text += [painted, f"    {_AMBER * colour}{remark}{_OFF * colour}"]
        else:
            pad = " " * (sum(widths[i] + 2 for i in kept) - width(plain))
            text.append(f"{painted}{pad}{_AMBER * colour}{remark}{_OFF * colour}")
    return "\n".join(t.rstrip() for t in text)


def _left_out(rows: Sequence[Sequence[str]], columns: int | None) -> set[int]:
    """Columns that have nothing to say, and those a narrow terminal has no room for."""
    out = {i for i in range(len(rows[0])) if i > B and not any(r[i] for r in rows[1:])}
    for column in SPARED:
        if columns is None or _span(rows, out) <= columns:
            break
        out.add(column)
    return out


def _span(rows: Sequence[Sequence[str]], out: set[int]) -> int:
    """Columns of the terminal that the table takes."""
    widths = [max(width(r[i]) for r in rows) for i in range(len(rows[0]))]
    return sum(w + 2 for i, w in enumerate(widths) if i not in out) - 2


def _paint(
    row: Sequence[str], kept: Sequence[int], widths: Sequence[int], all_: str, tone: str | None
) -> str:
    cells = []
    for i in kept:
        pad = " " * (widths[i] - width(row[i]))
        text = row[i] + pad if i in LEFT else pad + row[i]
        if tone and i in (DELTA, VERDICT):
            text = tone + text + _OFF
        cells.append(text)
    joined = "  ".join(cells).rstrip()
    return f"{all_}{joined}{_OFF}" if all_ else joined


def _lists(lines: Sequence[Line], samples: int | None, columns: int | None) -> Iterator[str]:
    """Which samples were lost and won: a few ids, or as many as asked for with both values."""
    if samples == 0:
        return
    for line in lines:
        if line.pairs is None or line.kind == "group" or line.difference is None:
            continue
        if samples is None and line.kind != "task":
            continue  # names of a few are told of headlines alone
        where = line.task if line.kind == "task" else f"{line.task} {line.label}"
        for outcome, word in (("loss", "lost"), ("win", "won")):
            places = line.pairs.place(outcome)  # type: ignore[arg-type]
            if not places:
                continue
            shown = places[: samples or NAMES]
            more = len(places) - len(shown)
            tail = f", and {more:,} more" if more else ""
            if samples is None:
                ids = ", ".join(visible(shorten(line.pairs.ids[i], TEXT)) for i in shown)
                text = f"{where}: {word} {len(places):,}: {ids}{tail}".replace("\n", " ")
                yield cut(text, columns) if columns else text
                continue
            yield f"{where}: {word} {len(places):,}{tail and ', the largest change first' + tail}"
            for i in shown:
                a, b = line.pairs.a[i], line.pairs.b[i]
                name = visible(shorten(line.pairs.ids[i], TEXT)).replace("\n", " ")
                yield f"  {name}  {a:g} \u2192 {b:g}"


def print_comparison(c: Comparison, stream: TextIO, *, samples: int | None = None) -> None:
    """Write the tables to a stream, in colour and cut to its width if it is a terminal."""
    columns = shutil.get_terminal_size().columns if stream.isatty() else None
    text = console(c, samples=samples, colour=use_colour(stream), columns=columns)
    if not text:
        return
    encoding = getattr(stream, "encoding", None)
    try:
        text.encode(encoding or "ascii")
    except UnicodeEncodeError:
        text = text.replace("\u0394", "d").replace("\u2192", "->").replace("\u00a0", " ")
    stream.write(printable(text, encoding) + "\n")
