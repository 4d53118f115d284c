"""How far to trust the judges: the audits kept in a run, laid out for the page and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from evalkit.audit import book
from evalkit.audit.figures import Figure
from evalkit.audit.shelf import told_apart
from evalkit.audit.words import BY_SUBSET, PAIRS, SIDES, amount, columns, label, notes, rows, span
from evalkit.records import JSON
from reports.runs import RunView

TITLES = {
    "humans": "Against people",
    "judges": "Against another judge",
    "repeats": "Against itself",
    "probes": "Biases",
}
SHOWN = 100
"""Differing samples of one audit in the page."""


@dataclass(frozen=True)
class Value:
    """One cell: the value and its interval in words; `low`, `at`, `high` are places from 0 to 100 on a bar, or None."""

    text: str
    span: str = ""
    at: float | None = None
    low: float = 0.0
    high: float = 0.0


@dataclass
class Section:
    """One audit as the template sees it."""

    title: str
    task: str
    link: str
    metric: str
    judge: str
    against: tuple[str, str] | None
    n: int
    sentences: Sequence[str]
    verdict: bool | None
    pairs: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Value | None]]]
    notes: Sequence[str]
    groups: Sequence[str] = ()
    subsets: Sequence[tuple[str, int, Sequence[Value | None]]] = ()
    probes: Sequence[Mapping[str, JSON]] = ()
    probed: Sequence[tuple[str, str, Value | None, int, str]] = ()
    sides: tuple[str, str] = ("", "")
    samples: Sequence[Mapping[str, Any]] = ()
    differing: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


def sections(run: RunView) -> list[Section]:
    """The audits of a run, those against people first."""
    return [_section(run, p) for p in book.read(run.root)]


def _section(run: RunView, page: book.Page) -> Section:
    figures = book.figures_of(page)
    audit, task = str(page["audit"]), str(page["task"])
    whole = [f for f in figures if f.subset == "all"]
    pairs = columns(whole)
    link = f"#/{run.key}/{quote(task)}" if task in run.tasks else ""
    parts = [f for f in figures if f.subset != "all"]
    groups, subsets = _subsets(parts) if audit != "probes" else ([], [])
    against = str(page.get("against") or "")
    return Section(
        title=TITLES[audit],
        task=task,
        link=link,
        metric=str(page["metric"]),
        judge=str(page["judge"]),
        against=told_apart(str(page["judge"]), against)
        if audit == "judges"
        else ("", against)
        if against
        else None,
        n=int(page.get("n") or 0),
        sentences=[str(s) for s in page["sentences"]] if audit != "probes" else [],
        verdict=page.get("accepted") if isinstance(page.get("accepted"), bool) else None,
        pairs=[PAIRS.get(p, p) for p in pairs],
        rows=[(name, _counts(cells), [_value(cells.get(p)) for p in pairs]) for name, cells in rows(whole)],
        notes=notes(whole),
        groups=groups,
        subsets=subsets,
        probes=[p for p in page.get("probes") or () if isinstance(p, Mapping)],
        # Each probe has figures of its own: a row each.
        probed=[(f.subset, label(f), _value(f), f.n, f.note) for f in parts] if audit == "probes" else [],
        sides=SIDES[audit],
        samples=[_sample(s, link) for s in (page.get("samples") or ())[:SHOWN]],
        differing=int(page.get("n_differing") or 0),
    )


def _counts(cells: Mapping[str, Figure]) -> str:
    return "/".join(f"{n:,}" for n in sorted({f.n for f in cells.values()}))


_UNIT = frozenset(
    ("accuracy", "within_one", "identical", "share", "consistent", "first_position", "as_on_record")
)
_SIGNED = frozenset(
    ("kappa", "kappa_quadratic", "alpha", "spearman", "pearson", "agreement", "retest_spearman")
)


def _value(figure: Figure | None) -> Value | None:
    """A figure as a cell; a bar where the statistic has ends of its own (0 to 1, or -1 to 1)."""
    if figure is None:
        return None
    text, between = amount(figure), span(figure)
    if figure.value is None:
        return Value("–")
    signed = figure.statistic in _SIGNED or figure.statistic.startswith("length_")
    if not signed and figure.statistic not in _UNIT:
        return Value(text, between)

    def place(x: float) -> float:
        return round(min(100.0, max(0.0, 50 * (x + 1) if signed else 100 * x)), 2)

    low, high = figure.ci or (figure.value, figure.value)
    return Value(text, between, place(figure.value), place(low), place(high))


def _subsets(figures: Sequence[Figure]) -> tuple[list[str], list[tuple[str, int, list[Value | None]]]]:
    """A row per subset, a column per statistic, of the first pair that is compared."""
    if not figures:
        return [], []
    first = columns(figures)[0]
    mine = [f for f in figures if f.pair == first]
    held = [f for f in mine if f.statistic in BY_SUBSET] or mine
    names = list(dict.fromkeys(label(f) for f in held))
    members: dict[str, dict[str, Figure]] = {}
    for f in held:
        members.setdefault(f.subset, {})[label(f)] = f
    return names, [
        (name, max(f.n for f in found.values()), [_value(found.get(s)) for s in names])
        for name, found in members.items()
    ]


def _sample(found: Mapping[str, Any], link: str) -> dict[str, Any]:
    """A differing sample: its link, both verdicts, texts and replies."""
    name = str(found.get("sample_id") or "")
    at = quote(name.encode("utf-8", "replace"), safe="")
    replies = [(list(map(str, found.get(f"replies_{side}") or ()))) for side in ("first", "second")]
    return {
        "id": name,
        "link": f"{link}/~/{at}" if link else "",
        "first": _number(found.get("first")),
        "second": _number(found.get("second")),
        "question": str(found.get("question") or ""),
        "target": str(found.get("target") or ""),
        "answer": str(found.get("answer") or ""),
        "replies": replies,
    }


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "–"


def csv_tables(runs: Sequence[RunView]) -> Iterator[tuple[str, Sequence[str], list[list[Any]]]]:
    """File name, header and rows of the CSV files of audits; none where nothing was audited."""
    found = [(r, book.read(r.root)) for r in runs]
    figures = [[*row, r.root.name] for r, pages in found for row in book.csv_rows(pages)]
    if figures:
        yield "judge_audit.csv", (*book.CSV_COLUMNS, "run"), figures
    samples = [[*row, r.root.name] for r, pages in found for row in book.sample_rows(pages)]
    if samples:
        yield "judge_audit_samples.csv", (*book.SAMPLE_COLUMNS, "run"), samples
