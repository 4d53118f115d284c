"""The words of a verdict, alike in every output: numbers with their signs, intervals, reasons, counts."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.gate.model import Outcome, Row
from evalkit.gate.terms import BUILT_IN
from evalkit.gate.verdicts import Verdict, line_of
from evalkit.truncation import folded
from reports.cells import DASH
from reports.cells import number as rounded

MINUS = "\u2212"
SHOWN: dict[Verdict, str] = {"regression": "REGRESSION", "not comparable": "NOT COMPARABLE"}
"""Verdicts that nobody should overlook."""


def number(value: float | None, decimals: int) -> str:
    """ "61.10"; a dash where there is none."""
    return rounded(value, decimals).replace("-", MINUS)


def signed(value: float, decimals: int) -> str:
    """ "+0.40"; zero has no sign, and what has no end is said to have none."""
    if value in (float("inf"), float("-inf")):
        return "+\u221e" if value > 0 else f"{MINUS}\u221e"
    text = rounded(abs(value), decimals)
    return ("" if float(text) == 0 else "+" if value > 0 else MINUS) + text


def change(row: Row) -> str:
    """ "-2.70 [-4.40, -1.00]", candidate less baseline; a dash where nothing was compared."""
    found = row.difference
    if found is None:
        return DASH
    ends = (
        ""
        if found.ci is None
        else f" [{signed(found.ci[0], row.decimals)}, {signed(found.ci[1], row.decimals)}]"
    )
    return signed(found.delta, row.decimals) + ends


def margin(row: Row) -> str:
    """The line the difference is held against, in the direction of the number: "-1" of accuracy, "+0.5" of WER."""
    if row.verdict == "skipped" or not row.metric or row.difference is None:
        return DASH
    gain = line_of(row.terms.rule, row.terms.margin)
    at = gain if row.higher_is_better else -gain
    text = f"{at:+g}".replace("-", MINUS) if at else "0"
    return text if row.terms.rule == "non-inferiority" else f"{text} ({row.terms.rule})"


def verdict(row: Row) -> str:
    """The verdict as tables show it."""
    return SHOWN.get(row.verdict, row.verdict)


def reason(row: Row) -> str:
    """Why, in one line: all that made the verdict; of a pass only what a reader wouldn't expect."""
    if row.verdict == "pass":
        return "; ".join(_beside(row))
    said = list(dict.fromkeys(row.reasons))
    broken = [c.name for c in row.checks if c.verdict == "regression"]
    if broken and row.difference is not None and "difference" not in broken:
        # A limit that broke beside a difference that didn't: say what the difference did.
        said.append(f"the difference itself: {found_verdict(row)}")
    return "; ".join(said)


def _beside(row: Row) -> Iterator[str]:
    for check in row.checks:
        if check.name == "difference":
            if row.identical:
                yield "same answers" if row.difference is not None else "same answers, without a number"
            elif check.found is not None or "within the margin" in check.reason:
                yield check.reason
        elif check.name == "max_lost" and row.kind == "overall" and check.value:
            yield check.reason
    if row.lost:
        yield f"{len(row.lost)} lost, within the limit"


def found_verdict(row: Row) -> str:
    """What the difference alone says."""
    check = next((c for c in row.checks if c.name == "difference"), None)
    return "" if check is None else check.verdict


def counts(outcome: Outcome) -> str:
    """ "1 regression, 1 inconclusive, 14 pass"."""
    return ", ".join(f"{n} {v}" for v, n in outcome.counts.items()) or "nothing to gate"


def policy_line(outcome: Outcome) -> str:
    """Which policy decides, in one line."""
    p = outcome.policy
    at = f"level {p.level:g}, seed {p.seed}, {p.draws:,} draws, correction {p.correction}"
    if outcome.policy_file:
        return f"policy {outcome.policy_file}; {at}"
    of = {(m.unit or "overall") if m.higher_is_better else m.label: m for m in outcome.rows}
    used = [(name, m.terms.margin) for name, m in of.items() if m.terms.source.get("margin") == BUILT_IN]
    margins = ", ".join(f"{amount:g} ({name})" for name, amount in used)
    return f"policy: built in, non-inferiority{f' within {margins}' if margins else ''}; {at}"


def notes(outcome: Outcome) -> list[str]:
    """Sentences about the whole, then about single numbers."""
    nothing = (
        [] if {r.verdict for r in outcome.rows} - {"skipped"} else ["nothing was gated, which is no pass"]
    )
    return [*nothing, *outcome.notes, *folded([(r.name, n) for r in outcome.rows for n in r.notes])]
