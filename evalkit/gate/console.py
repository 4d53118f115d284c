"""The gate's table on the console: aligned, plain when not a terminal, readable in any encoding."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TextIO

from evalkit.gate import words
from evalkit.gate.model import Outcome, Row
from evalkit.gate.verdicts import Verdict
from reports.safe import visible
from reports.terminal import printable, use_colour, width

_OFF, _BOLD, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
_COLOURS: dict[Verdict, str] = {
    "regression": "\x1b[1;31m",
    "not comparable": "\x1b[35m",
    "inconclusive": "\x1b[33m",
    "pass": "\x1b[32m",
    "skipped": _DIM,
}
_RIGHT = {1, 2}


def table(outcome: Outcome, *, colour: bool = False, columns: int | None = None) -> str:
    """The table, its notes and no summary line. `columns`: of the terminal; a reason that doesn't fit goes below."""
    level = (
        f"{outcome.policy.level:.0%}"
        if outcome.policy.level in (0.9, 0.95, 0.99)
        else f"{outcome.policy.level:g}"
    )
    head = ("task", "baseline", "candidate", f"\u0394 [{level} CI]", "margin", "verdict")
    lines = [head, *(_cells(r) for r in outcome.rows)]
    widths = [max(width(x[i]) for x in lines) for i in range(len(head))]
    out = [_dressed(_padded(head, widths).rstrip(), _BOLD, colour)]
    for row, cells in zip(outcome.rows, lines[1:], strict=True):
        padded = _padded(cells, widths)
        why = visible(words.reason(row)).replace("\n", " ")
        start = padded.rstrip()
        shown = _dressed(start, "", False)
        if colour:
            at = start.rfind(cells[-1])
            shown = start[:at] + _dressed(cells[-1], _COLOURS[row.verdict], True)
        if not why:
            out.append(shown)
        elif columns is None or width(padded) + 2 + width(why) <= columns:
            gap = " " * (width(padded) - width(start))
            out.append(f"{shown}{gap}  {_dressed(f'({why})', _DIM, colour)}")
        else:
            out += [shown, *_wrapped(why, columns, colour)]
    said = [visible(n).replace("\n", " ") for n in words.notes(outcome)]
    return "\n".join([*out, *(f"note: {n}" for n in said)])


def _wrapped(text: str, columns: int, colour: bool) -> list[str]:
    import textwrap

    return [
        _dressed(x, _DIM, colour)
        for x in textwrap.wrap(text, max(30, columns - 4), initial_indent="    ", subsequent_indent="    ")
    ]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        visible(row.name).replace("\n", " "),
        words.number(row.a, row.decimals),
        words.number(row.b, row.decimals),
        words.change(row),
        words.margin(row),
        words.verdict(row),
    )


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    out = []
    for i, (text, wide) in enumerate(zip(cells, widths, strict=True)):
        pad = " " * (wide - width(text))
        out.append(pad + text if i in _RIGHT else text + pad)
    return "  ".join(out)


def _dressed(text: str, code: str, colour: bool) -> str:
    return f"{code}{text}{_OFF}" if colour and code else text


def print_table(outcome: Outcome, stream: TextIO) -> None:
    """Write policy line, table and notes to a stream, in colour and folded to its width if it is a terminal."""
    columns = shutil.get_terminal_size().columns if stream.isatty() else None
    text = f"{words.policy_line(outcome)}\n\n{table(outcome, colour=use_colour(stream), columns=columns)}"
    write(text, stream)


def write(text: str, stream: TextIO) -> None:
    """A text and a line end, as far as the stream's encoding has the characters."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    for character, plain in _PLAIN.items():
        try:
            character.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            text = text.replace(character, plain)
    stream.write(printable(text, encoding) + "\n")


_PLAIN = {"\u0394": "diff", "\u2248": "about", "\u00b7": "-", "\u221e": "inf"}
"""What stands for signs that an encoding lacks."""
