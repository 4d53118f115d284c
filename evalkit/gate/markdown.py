"""A gate's verdict as Markdown: for a job summary, a pull request, a release note."""

from __future__ import annotations

import html
import re

from evalkit.gate import words
from evalkit.gate.model import Outcome, Row
from evalkit.gate.verdicts import Verdict
from reports.safe import visible

LOST = 20
"""Ids of lost samples listed for a number."""
_MARKS: dict[Verdict, str] = {
    "pass": "\u2705",
    "regression": "\u274c",
    "inconclusive": "\u2754",
    "not comparable": "\U0001f6ab",
    "skipped": "\u23ed\ufe0f",
}


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no cell or line ends."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", _flat(text))


def _flat(text: str) -> str:
    return " ".join(visible(text).split())


def markdown(outcome: Outcome) -> str:
    """A headline, the table, and of each number that isn't a pass what was lost."""
    word = words.SHOWN.get(outcome.verdict, outcome.verdict).lower()
    head = f"## Gate: {word} {_MARKS[outcome.verdict]}"
    about = (
        f"Candidate {escaped(outcome.candidate)} against baseline {escaped(outcome.baseline)}: {words.counts(outcome)} "
        f"(exit {outcome.code})."
    )
    level = f"{100 * outcome.policy.level:g} % CI"
    lines = [
        f"| task | metric | baseline | candidate | \u0394 \\[{level}\\] | margin | verdict | why |",
        "|---|---|---:|---:|---|---:|---|---|",
        *(_line(r) for r in outcome.rows),
    ]
    said = [f"- {escaped(n)}" for n in words.notes(outcome)]
    blocks = [head, about, "\n".join(lines), *_lost(outcome)]
    if said:
        blocks.append("\n".join(said))
    return "\n\n".join([*blocks, escaped(words.policy_line(outcome))]) + "\n"


def _line(row: Row) -> str:
    shown = f"**{words.verdict(row)}**" if row.verdict in words.SHOWN else row.verdict
    cells = (
        escaped(row.name),
        escaped(row.label),
        words.number(row.a, row.decimals),
        words.number(row.b, row.decimals),
        escaped(words.change(row)),
        escaped(words.margin(row)),
        f"{_MARKS[row.verdict]} {shown}",
        escaped(words.reason(row)),
    )
    return f"| {' | '.join(cells)} |"


def _lost(outcome: Outcome) -> list[str]:
    """Folded lists of the samples that each failing number lost, as code: an id may name or link anybody."""
    from reports.comparison.markdown import code

    blocks = []
    for row in outcome.rows:
        ids = losses(row)
        if row.verdict in ("pass", "skipped") or not ids:
            continue
        listed = ", ".join(code(i) for i in ids[:LOST])
        more = f" and {len(ids) - LOST:,} more" if len(ids) > LOST else ""
        # Inside the element it is HTML, in which nothing of Markdown is read.
        title = html.escape(f"{_flat(row.name)}: {len(ids):,} samples got worse")
        blocks.append(f"<details><summary>{title}</summary>\n\n{listed}{more}\n\n</details>")
    return blocks


def losses(row: Row) -> list[str]:
    """Ids of the samples that got worse, the farthest first."""
    if row.paired is None:
        return []
    found = gaps(row)
    return [i for gap, i in sorted((g, i) for i, g in found.items() if g < 0)]


def gaps(row: Row) -> dict[str, float]:
    """Each compared sample's own gain, on the printed scale; 0 where a sample alone has no number."""
    import numpy as np

    assert row.paired is not None
    rows = row.paired.rows
    gap = np.nan_to_num(rows.pool.formula(rows.b) - rows.pool.formula(rows.a), nan=0.0) * rows.scale
    gap[np.abs(gap) < 1e-9] = 0.0
    return dict(zip(row.paired.ids, (gap if rows.higher_is_better else -gap).tolist(), strict=True))
