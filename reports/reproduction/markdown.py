"""The ledger as Markdown: a table per table of the report and pair of models, fit for a page of docs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.reproduction.shown import Entry, Sheet
from reports.reproduction.verdicts import REPRODUCED
from reports.safe import visible

HEAD = "| | printed | ours | Δ | 95 % CI | n | verdict |\n|---|---:|---:|---:|---|---:|---|"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\|*_`<>\[\]#~&])", r"\\\1", " ".join(visible(text).split()))


def code(text: str) -> str:
    """Text as code on one line, whatever backticks it holds."""
    shown = " ".join(visible(text).split())
    fence = "`" * (max((len(m) for m in re.findall("`+", shown)), default=0) + 1)
    blank = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{blank}{shown}{blank}{fence}"


def _row(entry: Entry) -> str:
    verdict = f"**{entry.verdict}**" if entry.verdict == REPRODUCED else escaped(entry.verdict)
    cells = (
        *(escaped(entry.label), escaped(entry.printed), entry.ours, entry.delta),
        escaped(entry.interval),
    )
    return f"| {' | '.join(cells)} | {entry.coverage} | {verdict} |"


def _sheet(sheet: Sheet) -> str:
    parts = [f"## {escaped(sheet.title)}", sheet.summary + "."]
    for block in sheet.blocks:
        parts.append(f"**{escaped(block.section)}**")
        parts.append("\n".join([HEAD, *map(_row, block.entries)]))
    if remarks := sheet.remarks:
        parts.append("\n".join(f"- {escaped(rows)}: {escaped(text)}" for rows, text in remarks))
    signed = [(b.section, e.label, e.line.signature) for b in sheet.blocks for e in b.entries if e.line]
    if signed:
        how = [f"- {escaped(f'{s}: {label}')}: {code(signature)}" for s, label, signature in signed]
        parts.append("<details><summary>Signatures</summary>\n\n" + "\n".join(how) + "\n\n</details>")
    parts += [
        f"Added {escaped(date)} by {code(command)} from {code(run)}, {escaped(version)}."
        for date, run, command, version in sheet.sources
    ]
    return "\n\n".join(parts)


def markdown(sheets: Sequence[Sheet]) -> str:
    """All sheets as one document."""
    intro = (
        "# Reproductions\n\n*Reproduced*: the printed number lies in the 95 % interval of ours, and nothing stands "
        "against the comparison. Δ is ours less printed."
    )
    empty = "Nothing is on record yet."
    return "\n\n".join([intro, *(map(_sheet, sheets) if sheets else (empty,))]) + "\n"
