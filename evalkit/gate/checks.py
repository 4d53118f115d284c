"""The checks on one number: signature, difference, coverage, floor."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.gate.model import Check, first_ids
from evalkit.gate.terms import Terms
from evalkit.gate.verdicts import Verdict, line_of, place, samples_needed
from evalkit.pairs import Group, Paired, incomparable

if TYPE_CHECKING:
    from evalkit.inference import Difference
    from evalkit.segmentfile import TaskSegments

_TESTS = {"mcnemar-exact": "McNemar", "combined-z": "z"}


def test_name(found: Difference) -> str:
    """A test's name for people: "McNemar" of "mcnemar-exact", "permutation" of "permutation(10000)"."""
    bare = re.sub(r"\(.*\)$", "", found.test)
    return _TESTS.get(bare, bare)


def p_text(p: float | None) -> str:
    """ "p = 0.002", "p < 0.001"."""
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def evidence(found: Difference) -> str:
    """ "McNemar p = 0.002; lost 31, won 16"."""
    test = f"{test_name(found)} {p_text(found.p)}" if found.p is not None else ""
    counts = f"lost {found.losses:,}, won {found.wins:,}"
    return "; ".join(x for x in (test, counts) if x)


def signature_check(
    one: Mapping[str, Any], two: Mapping[str, Any], metric: str, group: Group | None, allow: Sequence[str]
) -> tuple[Check | None, list[str]]:
    """Are two numbers comparable? The refusal, or None; and what differs by the policy's leave, in sentences.

    "data" among `allow` covers "n".
    """
    parts = incomparable(one, two, metric, group)
    free = {*allow, "n"} if "data" in allow else set(allow)
    refused = {k: v for k, v in parts.items() if k not in free}
    if refused:
        said = "; ".join(f"{k}: {a or 'none'} against {b or 'none'}" for k, (a, b) in refused.items())
        return Check("signature", "not comparable", f"signatures differ in {said}"), []
    return None, [
        f"{k} differs by leave of the policy: {a or 'none'} against {b or 'none'}"
        for k, (a, b) in parts.items()
    ]


def without_value(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """Why there is no fair difference although there are samples, or ""."""
    for who, found in (("baseline", one), ("candidate", two)):
        if found.get("withheld"):
            return f"the {who} withholds its value, because being unscored depends on the verdict"
        if found["value"] is None and found["n_scored"]:
            return f"the {who} has no value: a defect of the public scorer spoils it"
        if found["value"] is None:
            told = [f" ({r['example']})" for r in (found.get("reasons") or {}).values()]
            return f"none of the {who}'s {found['n']:,} samples is scored{''.join(told[:1])}"
    return ""


def difference_check(
    found: Difference | None,
    terms: Terms,
    identical: bool,
    *,
    why: str = "",
    needed: int | None = None,
    power: float = 0.8,
) -> Check:
    """The rule applied to the difference."""
    limit = line_of(terms.rule, terms.margin)
    if identical and found is None:
        # A number that nobody has, of answers that are the same: nothing can have got worse.
        return Check("difference", "pass", f"the same answers in both runs, without a number: {why}")
    if found is None:
        return Check("difference", "inconclusive", why)
    if identical:
        n = f"all {found.n:,} compared samples have the same answer in both runs"
        better = terms.rule == "superiority"
        return Check("difference", "regression" if better else "pass", n, 0.0, limit)
    at = place(found.gain, found.gain_ci, terms.rule, terms.margin)
    words = [evidence(found)]
    if at.note:
        words.append(at.note)
    if terms.rule == "point":
        words = ["by the difference alone", *words]
    elif terms.rule == "superiority" and at.verdict != "pass":
        words.insert(0, "not shown to be better")
    if at.verdict == "inconclusive" and found.gain_ci is not None:
        if found.gain_ci[1] < 0 and terms.rule == "non-inferiority":
            words.append("a significant drop, and perhaps more than the margin")
        else:
            words = [_needs(needed, found, terms, power)]
    return Check("difference", at.verdict, "; ".join(words), found.gain, limit)


def needed_of(found: Difference, terms: Terms, power: float) -> int | None:
    """Samples that would settle it."""
    if found.ci is None:
        return None
    return samples_needed(found, terms.rule, terms.margin, power)


def _needs(needed: int | None, found: Difference, terms: Terms, power: float) -> str:
    if needed is None:
        return f"{found.n:,} samples cannot tell; lost {found.losses:,}, won {found.wins:,}"
    about = _rounded(needed)
    if needed <= found.n:
        # Enough for an equal candidate: this one looks worse than that, or chance was against it.
        enough = f"the margin lies in the interval, although {found.n:,} samples have {power:.0%} power"
        return f"{enough}; {evidence(found)}"
    return f"needs \u2248 {about:,} samples for {power:.0%} power, has {found.n:,}"


def _rounded(n: int) -> int:
    """Two leading digits, up."""
    step = int(10 ** max(0, len(str(n)) - 2))
    return -(-n // step) * step


def lost_samples(
    first: TaskSegments,
    second: TaskSegments,
    paired: Paired,
    allow: Sequence[str],
    two: Mapping[str, Any],
) -> dict[str, str]:
    """Samples scored in the baseline that the candidate has no score for, and why.

    Samples that the candidate doesn't know count, unless the policy lets the data differ and the candidate's run came
    to its end.

    Args:
        two: the number in the candidate's results.
    """
    rows = first.rows.get(paired.metric, {})
    had = {i for i, row in rows.items() if all(map(math.isfinite, row))}
    lost = {i: "errored" if second.failed[i] else "unscored" for i in paired.missing_b if i in had}
    if two.get("n_pending") or not {"data", "n"}.intersection(allow):
        lost |= {i: "not on record" for i in paired.only_a if i in had}
    return dict(sorted(lost.items()))


def coverage_checks(
    terms: Terms, paired: Paired, lost: Mapping[str, str], two: Mapping[str, Any]
) -> list[Check]:
    """Limits on samples without a score."""
    out = []
    had = len(paired.ids) + len(lost)
    if terms.max_lost is not None:
        share = len(lost) / had if had else 0.0
        over = share > terms.max_lost
        words = (
            f"{len(lost):,} of {had:,} samples scored in the baseline have no score in the candidate "
            f"({share:.1%}, limit {terms.max_lost:.1%}): {first_ids(list(lost))}"
            if lost
            else "no sample was lost"
        )
        out.append(Check("max_lost", "regression" if over else "pass", words, share, terms.max_lost))
    if terms.min_scored is not None:
        share = two["n_scored"] / two["n"] if two["n"] else 0.0
        words = f"{two['n_scored']:,} of {two['n']:,} samples are scored ({share:.1%}, at least {terms.min_scored:.1%})"
        short = share < terms.min_scored
        out.append(Check("min_scored", "regression" if short else "pass", words, share, terms.min_scored))
    if terms.max_errors is not None:
        over = two["n_errors"] > terms.max_errors
        words = f"{two['n_errors']:,} requests failed (at most {terms.max_errors:,})"
        out.append(
            Check(
                "max_errors",
                "regression" if over else "pass",
                words,
                float(two["n_errors"]),
                float(terms.max_errors),
            )
        )
    return out


def bound_check(terms: Terms, two: Mapping[str, Any]) -> list[Check]:
    """The candidate's own number against its floor or ceiling."""
    out = []
    for name, sign in (("floor", 1.0), ("ceiling", -1.0)):
        limit = getattr(terms, name)
        if limit is None:
            continue
        value, ci, decimals = two["value"], two.get("ci"), int(two["decimals"])
        if value is None or not math.isfinite(value):
            out.append(Check(name, "inconclusive", f"there is no value to hold against the {name} {limit:g}"))  # type: ignore[arg-type]
            continue
        shown = f"{value:.{decimals}f}"
        side = "below" if sign > 0 else "above"
        if sign * (value - limit) < 0:
            words = f"{shown} is {side} the {name} {limit:g}"
            out.append(Check(name, "regression", words, value, limit))  # type: ignore[arg-type]
        elif terms.bound_by == "interval" and (ci is None or sign * (ci[0 if sign > 0 else 1] - limit) < 0):
            end = (
                "has no interval"
                if ci is None
                else f"may be {ci[0 if sign > 0 else 1]:.{decimals}f}, {side} it"
            )
            words = f"{shown} holds the {name} {limit:g}, but {end}"
            out.append(Check(name, "inconclusive", words, value, limit))  # type: ignore[arg-type]
        else:
            out.append(Check(name, "pass", f"{shown} holds the {name} {limit:g}", value, limit))  # type: ignore[arg-type]
    return out


def settled(terms: Terms, lacking: str) -> Check:
    """The check of a number that is not held against anything: skipped, or missing in the candidate."""
    if terms.skip:
        return Check("present", "skipped", "skipped by the policy")
    if terms.required:
        return Check("present", "regression", f"{lacking}, and the policy requires it")
    if terms.required is False:
        return Check("present", "skipped", f"{lacking}; the policy does not require it")
    return Check("present", "not comparable", lacking)


def as_policy_has_it(check: Check, terms: Terms) -> Check:
    """A check that could not tell, as the policy counts it. One that had no number to hold is no pass by leave."""
    if check.verdict != "inconclusive" or terms.on_inconclusive == "inconclusive":
        return check
    if terms.on_inconclusive == "pass" and (check.value is None or not math.isfinite(check.value)):
        return check
    verdict: Verdict = "regression" if terms.on_inconclusive == "fail" else "pass"
    reason = f"inconclusive, and on_inconclusive is {terms.on_inconclusive}: {check.reason}"
    return replace(check, verdict=verdict, found="inconclusive", reason=reason)
