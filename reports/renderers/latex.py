"""A table as LaTeX (booktabs). One file that compiles as it stands, and that a paper takes in by \\input."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.cells import Cell, Column, Row, Table
from reports.footnotes import Noted, noted
from reports.renderers.common import has_subs, head_groups, heading, interval, second, spans, stubs
from reports.renderers.latex_text import CHARACTER, escaped
from reports.safe import shorten

_HEAD_LIMIT, _STUB_LIMIT, _NOTE_LIMIT = 80, 200, 2000
"""Characters of heads, of what stands before the numbers, of notes: TeX knows no length beyond 5.7 m."""
_TALLEST = 500  # cm, for the same reason

_HEAD = r"""% {name}
% Compile it as it stands (pdflatex, xelatex, lualatex), or \input it: in a document it is the table alone.
% The document's preamble needs: \usepackage{{booktabs,graphicx}}
\providecommand{{{char}}}[2]{{\ifx\Umathchar\undefined{{\tiny[U+#1]}}\else#2\fi}}
\expandafter\ifx\csname @classoptionslist\endcsname\relax
  \documentclass[10pt]{{article}}
  \usepackage[paperwidth={width}cm,paperheight={height}cm,margin=1cm]{{geometry}}
  \usepackage{{booktabs,graphicx}}
  \pagestyle{{empty}}{counter}
  \expandafter\setlength\csname @fptop\endcsname{{0pt}}
  \def\evalkitend{{\end{{document}}}}
  \begin{{document}}
\else
  \let\evalkitend\relax
\fi
"""


def _letters(letters: tuple[str, ...]) -> str:
    # Without a width of their own, so that numbers stay one below the other.
    return f"\\rlap{{\\textsuperscript{{{','.join(letters)}}}}}" if letters else ""


def _cell(table: Table, notes: Noted, row: Row, column: Column, cell: Cell) -> str:
    text = escaped(cell.text)
    if cell.best:
        text = f"\\textbf{{{text}}}"
    elif second(table, cell):
        text = f"\\underline{{{text}}}"
    if shown := interval(table, row, cell):
        text += f" {{\\scriptsize {escaped(shown)}}}"
    text += _letters(notes.at(column, cell))
    return f"\\multicolumn{{{cell.span}}}{{c}}{{{text}}}" if cell.span > 1 else text


def _short(text: str) -> str:
    return escaped(shorten(text, _STUB_LIMIT))


def _stacked(text: str) -> str:
    """A long head on two lines, broken near its middle, at a blank rather than at a hyphen; escaped here."""
    text = shorten(text, _HEAD_LIMIT)
    breaks = [m.end() for m in re.finditer(r"[ -]", text[:-1])]
    if len(text) <= 12 or not breaks:
        return escaped(text)
    cut = min(breaks, key=lambda i: abs(i - len(text) / 2) - 4 * (text[i - 1] == " "))
    return f"\\shortstack{{{escaped(text[:cut].rstrip())}\\\\{escaped(text[cut:])}}}"


def _heads(table: Table, notes: Noted) -> list[str]:
    """The lines above the rows: models, rules under those that several columns stand under, their columns."""
    subs, start = has_subs(table), len(table.stub)
    top, rules, at = list(map(_short, table.stub)), [], start
    for column, width in head_groups(table):
        text = _stacked(column.head) + _letters(notes.over(column))
        top.append(f"\\multicolumn{{{width}}}{{c}}{{{text}}}")
        if width > 1:
            rules.append(f"\\cmidrule(lr){{{at + 1}-{at + width}}}")
        at += width
    lines = [" & ".join(top) + r" \\"]
    if subs:
        below = [f"\\multicolumn{{1}}{{c}}{{{_short(c.sub)}}}" for c in table.columns]
        lines += [" ".join(rules), " & ".join(["{}"] * start + below) + r" \\"] if rules else []
    for head in table.heads:
        lines.append(
            " & ".join([_short(head.label), *["{}"] * (start - 1), *map(escaped, head.texts)]) + r" \\"
        )
    return lines


def _rows(table: Table, notes: Noted) -> list[str]:
    width, lines = len(table.stub) + len(table.columns), []
    for section in table.sections:
        lines.append(r"\midrule")
        if title := heading(section):
            lines += [f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{_short(title)}}}}} \\\\", r"\midrule"]
        for row, before in zip(section.rows, stubs(section), strict=True):
            cells = [_cell(table, notes, row, column, cell) for _, column, cell in spans(row, table.columns)]
            # A line that starts with a bracket would give it to the line's end above: the stub is in braces.
            lines.append(" & ".join([*(_short(b) or "{}" for b in before), *cells]) + r" \\")
    return lines


def _size(table: Table, below: Sequence[str]) -> tuple[int, int]:
    """Width and height of a page (cm) that holds the table at a readable size, with a margin of 1 cm."""
    columns = len(table.columns) * (2.6 if table.intervals else 1.75)
    width = max(17.0, min(3.0 + 3.2 * len(table.stub) + columns, 60.0))
    lines = len(table.rows()) + 2 * len(table.sections) + len(table.heads) + 4
    wrapped = sum(1 + int(len(text) / (width * 6)) for text in below)
    return round(width), round(min(5.0 + 0.52 * lines + 0.42 * wrapped, _TALLEST))


def environment(table: Table) -> str:
    """The table environment: caption, tabular that is never wider than the line, notes."""
    notes = noted(table)
    body = [r"\begin{tabular}{" + "l" * len(table.stub) + "r" * len(table.columns) + "}", r"\toprule"]
    body += [*_heads(table, notes), *_rows(table, notes), r"\bottomrule", r"\end{tabular}%"]
    below = [escaped(shorten(text, _NOTE_LIMIT)) for text in table.notes]
    below += [
        f"\\textsuperscript{{{mark}}}\\,{escaped(shorten(text, _NOTE_LIMIT))}"
        for mark, text in notes.notes.items()
    ]
    name = "table*" if len(table.columns) > 4 else "table"
    caption = ". ".join(t for t in (escaped(table.title), escaped(table.caption).rstrip(".")) if t)
    label = re.sub(r"[^A-Za-z0-9-]+", "-", table.key).strip("-") or "table"
    lines = [
        f"\\begin{{{name}}}[!t]",
        r"\centering\small",
        f"\\caption{{{caption}.}}",
        f"\\label{{tab:{label}}}",
    ]
    # The tabular is measured once and made narrower only when it is wider than the line.
    lines += [r"\sbox0{%", *body, r"}%"]
    lines += [r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"]
    if below:
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
        lines += ["\\par\n".join(below), r"\end{minipage}"]
    return "\n".join([*lines, f"\\end{{{name}}}"]) + "\n"


def latex(table: Table) -> str:
    """The whole file; for several tables see `several`."""
    return several([table], table.name)


def several(tables: Sequence[Table], name: str) -> str:
    """A file of one or more tables, a page each when it is compiled as it stands."""
    sizes = [_size(t, [*t.notes, *noted(t).notes.values()]) for t in tables]
    width, height = max(s[0] for s in sizes), max(s[1] for s in sizes)
    comment = " ".join(escaped(name).split())
    first = tables[0].number
    counter = f"\\setcounter{{table}}{{{int(first) - 1}}}" if first.isdigit() else ""
    head = _HEAD.format(counter=counter, name=comment, width=width, height=height, char=CHARACTER)
    return head + "\\clearpage\n".join(map(environment, tables)) + "\\evalkitend\n"
