"""gate.html: the verdict, its table and picture, and the samples that got worse, both answers side by side, with sound.

It is the page of `compare`, with the gate's verdict in place of the comparison's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.gate import words
from evalkit.gate.model import Outcome, Row
from evalkit.gate.verdicts import ORDER, Verdict
from reports.comparison import Comparison, Line, compare_runs
from reports.comparison.page import WIDTHS, route_of, write_page
from reports.figures import ForestRow, forest_svg

MAX_SAMPLES = 2000
_KINDS: dict[Verdict, str] = {"pass": "good", "regression": "bad", "inconclusive": "open"}


@dataclass(frozen=True)
class RowView:
    """A row of the gate's table in the page. `route`: where its samples are, "" where they aren't in the page."""

    row: Row
    route: str
    verdict: str
    look: str
    change: str
    margin: str
    reason: str


def write_gate_page(outcome: Outcome, path: Path, *, max_audio_mb: float = 24.0) -> Path:
    """Write the page; samples of the gravest verdicts come first, and get the sound first.

    Raises:
        OSError: the file can't be written.
    """
    from markupsafe import Markup

    found = _comparison(outcome)
    routes = {
        _key(x): route_of(x) for x in found.lines if x.pairs is not None and x.kind in ("task", "metric")
    }
    views = [_view(r, routes) for r in outcome.rows]
    picture = [_forest(r) for r in outcome.rows if r.difference is not None]
    return write_page(
        found,
        path,
        title=f"Gate: {outcome.candidate} against {outcome.baseline}",
        max_samples=MAX_SAMPLES,
        max_audio_mb=max_audio_mb,
        template="gate.html.j2",
        more={
            "gate": outcome,
            "rows": views,
            "by_route": {v.route: v for v in views if v.route and v.row.kind in ("task", "metric")},
            "gate_word": words.SHOWN.get(outcome.verdict, outcome.verdict),
            "gate_counts": words.counts(outcome),
            "gate_policy": words.policy_line(outcome),
            "gate_notes": words.notes(outcome),
            "look": _look(outcome.verdict),
            "level": f"{100 * outcome.policy.level:g}",
            "gate_forest": Markup(forest_svg(picture, title="Gains with their margins", ident="gate"))
            if picture
            else "",
            "gate_number": words.number,
        },
    )


def _comparison(outcome: Outcome) -> Comparison:
    """The comparison behind the page: the gated numbers of which a sample got worse or was lost, the gravest first."""
    p = outcome.policy
    compared = [r for r in outcome.rows if r.difference is not None]
    metrics = list(dict.fromkeys(r.metric for r in compared if r.kind == "metric"))
    found = compare_runs(
        [outcome.baseline_dir, outcome.candidate_dir],
        metrics=["headline", *metrics],
        groups=any(r.kind == "group" for r in compared),
        level=p.level,
        draws=p.draws,
        seed=p.seed,
        allow=sorted({a for r in outcome.rows for a in r.terms.allow}),
    )
    graver = {(r.task, r.metric): ORDER.index(r.verdict) for r in outcome.rows if r.group is None}
    for r in outcome.rows:
        if r.group is not None:  # a task's view holds its subsets
            graver[r.task, r.metric] = max(graver.get((r.task, r.metric), 0), ORDER.index(r.verdict))
    kept = [x for x in found.lines if _key(x) in graver and x.difference is not None and _worse(x)]
    kept.sort(key=lambda x: -graver[_key(x)])
    return replace(found, lines=tuple(kept))


def _worse(line: Line) -> bool:
    """Did a sample get worse, or lose its score? Subsets stay beside their task."""
    assert line.difference is not None
    return line.kind == "group" or line.difference.losses > 0 or bool(line.pairs and line.pairs.missing)


def _key(line: Line) -> tuple[str, str]:
    return line.task, line.metric


def _view(row: Row, routes: dict[tuple[str, str], str]) -> RowView:
    return RowView(
        row,
        routes.get((row.task, row.metric), ""),
        words.verdict(row),
        _look(row.verdict),
        words.change(row),
        words.margin(row),
        words.reason(row),
    )


def _look(verdict: Verdict) -> str:
    """Class of a verdict in the page."""
    return {"regression": "worse", "not comparable": "worse", "pass": "better"}.get(verdict, "undecided")


def _forest(row: Row) -> ForestRow:
    found: Any = row.difference
    return ForestRow(
        label=row.name,
        delta=found.delta,
        ci=found.ci,
        margin=row.terms.margin if row.terms.rule in ("non-inferiority", "point") else None,
        verdict=words.verdict(row),
        kind=_KINDS.get(row.verdict, ""),
        higher_is_better=row.higher_is_better,
        width=WIDTHS.get(row.unit, 100.0),
        decimals=row.decimals,
    )
