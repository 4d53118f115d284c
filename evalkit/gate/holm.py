"""Holm's correction of regressions: what is called one among many differences has to survive all of them.

It can only turn a regression into an inconclusive, never into a pass: a pass needs every number to pass, and such an
intersection is sound without a correction (Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

from evalkit.gate.model import Check, Row
from evalkit.gate.overall import upper_reach
from evalkit.gate.policy import Policy
from evalkit.gate.verdicts import line_of
from evalkit.inference import Difference
from evalkit.pairs import Paired


def corrected(rows: Sequence[Row], policy: Policy, again: Callable[[Paired, float], Difference]) -> list[Row]:
    """The rows with those regressions withdrawn that Holm's correction does not leave.

    Args:
        again: the paired difference at another level.
    """
    out = list(rows)
    if policy.correction != "holm":
        return out
    tested = [
        i
        for i, r in enumerate(out)
        if r.difference is not None and not r.identical and r.terms.rule != "point"
    ]
    suspects = sorted((i for i in tested if _says_regression(out[i])), key=lambda i: _distance(out[i]))
    standing = True
    for rank, i in enumerate(suspects):
        k = len(tested) - rank
        level = 1 - (1 - policy.level) / k
        standing = standing and _holds(out[i], level, again)
        if not standing:
            out[i] = _withdrawn(out[i], len(tested))
    return out


def _difference_of(row: Row) -> Check:
    return next(c for c in row.checks if c.name == "difference")


def _says_regression(row: Row) -> bool:
    check = _difference_of(row)
    return check.verdict == "regression" and check.found is None


def _distance(row: Row) -> float:
    """From the gain to the line, in upper halves of the interval: the most certain regression is the most negative."""
    found = row.difference
    assert found is not None
    gap = found.gain - line_of(row.terms.rule, row.terms.margin)
    reach = upper_reach(found)
    return gap / reach if reach > 0 else math.copysign(math.inf, gap)


def _holds(row: Row, level: float, again: Callable[[Paired, float], Difference]) -> bool:
    """Does the interval at a higher level still lie wholly beyond the line?"""
    found, at = row.difference, line_of(row.terms.rule, row.terms.margin)
    assert found is not None
    if row.paired is None:  # an overall: its interval is as wide as a normal one's would be
        z = NormalDist().inv_cdf
        return found.gain + upper_reach(found) * z(0.5 + level / 2) / z(0.5 + found.level / 2) < at
    interval = again(row.paired, level).gain_ci
    return interval is not None and interval[1] < at


def _withdrawn(row: Row, k: int) -> Row:
    check = _difference_of(row)
    reason = f"beyond the margin alone, but not after Holm's correction over {k} differences; {check.reason}"
    verdict = {"fail": "regression", "pass": "pass"}.get(row.terms.on_inconclusive, "inconclusive")
    new = replace(check, verdict=verdict, reason=reason, found="inconclusive")  # type: ignore[arg-type]
    return replace(row, checks=tuple(new if c is check else c for c in row.checks))
