"""The comparison as Markdown, for pull requests and job summaries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reports.cells import number
from reports.comparison import words
from reports.comparison.model import Comparison, Line
from reports.safe import shorten, visible

LISTED = 10
"""Samples of a list, unless asked for another number."""
TEXT = 80


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no cell or line ends."""
    shown = " ".join(visible(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", shown)


def code(text: str) -> str:
    """Text from a data set as a code span, in which nothing is markup and nobody is mentioned. Not for tables."""
    shown = " ".join(visible(shorten(text, TEXT)).split()) or " "
    fence = "`" * (1 + max([0, *(len(run) for run in re.findall("`+", shown))]))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def markdown(c: Comparison, *, samples: int | None = None) -> str:
    """A section per pair of sides: a sentence, the table, who lost and won; then what was refused, and how to read it.

    Args:
        samples: lost and won samples to list per line.
    """
    blocks = []
    limit = LISTED if samples is None else samples
    for a, b in c.pairs:
        lines = [x for x in c.lines if (x.a, x.b) == (a.key, b.key) and not x.refused]
        blocks.append(f"### {escaped(b.label)} against {escaped(a.label)}")
        blocks.append(escaped(words.verdict_sentence(c, a, b)))
        if lines:
            blocks.append(_table(lines, c))
            blocks += _lists(lines, limit)
    if refused := words.refusals(c):
        remedy = [escaped(words.remedy(c))] if words.remedy(c) else []
        blocks.append(
            "\n".join(["**Not compared**", "", *(f"- {escaped(r)}" for r in refused), "", *remedy]).rstrip()
        )
    blocks += [escaped(f"{said}.") for said in (*words.alone(c), *words.cut_off(c))]
    blocks += [escaped(said) for said in words.tests_said(c)]
    return "\n\n".join(blocks) + "\n"


def _table(lines: Sequence[Line], c: Comparison) -> str:
    head = [
        "task",
        "metric",
        lines[0].a,
        lines[0].b,
        "\u0394",
        f"{100 * c.level:g} % CI",
        "p",
        "Holm",
        "verdict",
    ]
    head += ["n", "won/lost/tied", "test", "effect", "remarks"]
    rule = "|" + "|".join("---:" if i in (2, 3, 4, 6, 7, 9, 10) else "---" for i in range(len(head))) + "|"
    out = ["| " + " | ".join(head) + " |", rule]
    for x in lines:
        d = x.difference
        verdict = words.told(x, c.alpha)
        told = f"**{verdict}**" if verdict in ("WORSE", "better") else verdict
        name = f"{x.name} overall" if x.kind == "overall" else x.name
        cells = [
            escaped(name),
            escaped(x.label),
            number(d.a if d else x.whole_a, x.decimals),
            number(d.b if d else x.whole_b, x.decimals),
            words.signed(d.delta, x.decimals) if d else "",
            escaped(words.signed_pair(d.ci, x.decimals)) if d else "",
            escaped(words.p_text(d.p)) if d else "",
            escaped(words.p_text(x.p_holm)) if d else "",
            told,
            f"{d.n:,}" if d and d.n else "",
            words.counts(x),
            d.test if d and d.test != "none" else "",
            escaped(words.effect_text(d)) if d else "",
            escaped("; ".join(words.remarks(x))),
        ]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def _lists(lines: Sequence[Line], limit: int) -> Iterator[str]:
    for x in lines if limit else ():
        if x.pairs is None or x.kind == "group" or x.difference is None:
            continue
        for outcome, word in (("loss", "lost"), ("win", "won")):
            places = x.pairs.place(outcome)  # type: ignore[arg-type]
            if not places:
                continue
            told = [
                f"{code(x.pairs.ids[i])} {x.pairs.a[i]:g} \u2192 {x.pairs.b[i]:g}" for i in places[:limit]
            ]
            more = f" \u2026 and {len(places) - limit:,} more" if len(places) > limit else ""
            metric = "" if x.kind == "task" else f" {escaped(x.label)}"
            yield f"{escaped(x.task)}{metric}, {word} {len(places):,}: {', '.join(told)}{more}"
