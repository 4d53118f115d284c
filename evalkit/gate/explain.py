"""The numbers behind one verdict, as text: rule, table of answers, interval against margin, power, samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalkit.gate import words
from evalkit.gate.checks import p_text
from evalkit.gate.markdown import gaps
from evalkit.gate.model import Outcome, Row
from evalkit.gate.terms import BUILT_IN
from evalkit.gate.verdicts import detectable, line_of
from evalkit.store import Run
from reports.safe import as_text, shorten, visible

SAMPLES, BARS, TEXT = 10, 40, 100


def explain(outcome: Outcome, row: Row) -> str:
    """All that made a number's verdict.

    Of each lost sample the words of both answers, at most `SAMPLES` of them.
    """
    title = f"{visible(row.name)}  {row.label}: {words.verdict(row)}"
    blocks = [[title, "=" * len(title)], [*_checks(row)], [*_terms(row)]]
    if row.difference is not None:
        blocks += [[*_difference(outcome, row)], [*_picture(row)]]
        if row.paired is not None:
            blocks += [[*_table(row)], [*_samples(outcome, row)]]
    if row.lost:
        blocks.append([*_lost(outcome, row)])
    blocks.append([f"note: {visible(n)}" for n in row.notes])
    return "\n\n".join("\n".join(b) for b in blocks if b)


def _checks(row: Row) -> Iterator[str]:
    yield "checks"
    for c in row.checks:
        yield f"  {c.name:<11} {words.SHOWN.get(c.verdict, c.verdict):<15} {_flat(c.reason)}"


def _terms(row: Row) -> Iterator[str]:
    """What was asked, and which key of the policy said so."""
    terms = row.terms
    yield "terms (and where the policy says so)"
    for name in (
        "rule",
        "margin",
        "floor",
        "ceiling",
        "bound_by",
        "max_lost",
        "min_scored",
        "max_errors",
        "on_inconclusive",
    ):
        value = getattr(terms, name)
        if value is None or (name == "bound_by" and terms.floor is None and terms.ceiling is None):
            continue
        yield f"  {name:<16} {value!s:<16} {terms.source.get(name, BUILT_IN)}"


def _difference(outcome: Outcome, row: Row) -> Iterator[str]:
    found, d = row.difference, row.decimals
    assert found is not None
    better = "higher" if row.higher_is_better else "lower"
    yield f"difference (candidate less baseline; {better} is better)"
    yield f"  baseline         {words.number(found.a, d)} {row.unit}  {outcome.baseline}"
    yield f"  candidate        {words.number(found.b, d)} {row.unit}  {outcome.candidate}"
    yield f"  difference       {words.change(row)}  ({100 * found.level:g} %, {found.ci_method})"
    yield f"  margin           {words.margin(row)}"
    yield f"  test of zero     {found.test}, {p_text(found.p) or 'none'}"
    clustered = (
        f", in {found.clusters:,} clusters ({row.paired.cluster})"
        if row.paired and found.clusters != found.n
        else ""
    )
    counts = f"{found.wins:,} better, {found.losses:,} worse, {found.ties:,} alike"
    yield f"  samples          {found.n:,}{clustered}: {counts}"
    if found.effect is not None:
        yield f"  effect           {found.effect_name} {found.effect:.3g}"
    if _shown(row.whole_a, d) != _shown(row.a, d) or _shown(row.whole_b, d) != _shown(row.b, d):
        whole = f"{_shown(row.whole_a, d)} and {_shown(row.whole_b, d)}"
        yield f"  over all samples {whole} (the above: over those scored in both runs)"
    if row.paired is None:  # of an overall, samples can't be counted as if they were alike
        return
    least, drop = detectable(found, row.terms.margin, outcome.policy.power)
    share = f"{outcome.policy.power:.0%} power"
    if least is not None:
        yield f"  these samples    pass an equal candidate with {share} from a margin of {least:.{d}f} up (MDE)"
    if drop is not None and row.terms.rule == "non-inferiority":
        yield f"                   call a true loss of {drop:.{d}f} a regression with {share}"
    if row.needed is not None:
        yield f"  samples needed   {row.needed:,} for an equal candidate to pass with {share}"


def _picture(row: Row) -> Iterator[str]:
    """The interval of the gain against the margin and zero, drawn to scale."""
    found = row.difference
    assert found is not None
    if found.gain_ci is None or row.terms.rule == "point":
        return
    at, (low, high) = line_of(row.terms.rule, row.terms.margin), found.gain_ci
    ends = (min(low, at, 0.0), max(high, at, 0.0))
    wide = ends[1] - ends[0]
    if not 0 < wide < float("inf"):
        return

    def place(x: float) -> int:
        return round((x - ends[0]) / wide * 56)

    line = [" "] * 57
    for k in range(place(low), place(high) + 1):
        line[k] = "-"
    line[place(low)], line[place(high)] = "[", "]"
    line[place(found.gain)] = "o"
    marks = [" "] * 57
    marks[place(0.0)] = "0"
    marks[place(at)] = "|"
    yield "gain (to the right is better; | the line it is held against, 0 no change)"
    yield "  " + "".join(line).rstrip()
    yield "  " + "".join(marks).rstrip()


def _table(row: Row) -> Iterator[str]:
    """Two by two for 0/1 answers; a histogram of the samples' own gains for all else."""
    import numpy as np

    assert row.paired is not None
    rows = row.paired.rows
    a, b = (rows.pool.formula(x) for x in (rows.a, rows.b))
    if rows.pool.name == "mean" and bool(np.isin([a, b], (0.0, 1.0)).all()):
        n = [[int(((a == x) & (b == y)).sum()) for y in (1.0, 0.0)] for x in (1.0, 0.0)]
        wide = max(len(f"{k:,}") for pair in n for k in pair)
        yield "answers              candidate 1   candidate 0"
        for name, (one, zero) in zip(("baseline 1", "baseline 0"), n, strict=True):
            yield f"  {name:<18} {one:>{max(wide, 11)},}   {zero:>{max(wide, 11)},}"
        return
    found = list(gaps(row).values())
    changed = [g for g in found if g]
    yield f"gains of single samples ({len(found) - len(changed):,} of {len(found):,} without a change)"
    if changed:
        counts, edges = np.histogram(changed, bins=min(10, max(2, len(set(changed)))))
        most = max(counts.max(), 1)
        for k, count in enumerate(counts):
            bar = "#" * round(BARS * int(count) / int(most))
            span = f"{words.signed(float(edges[k]), 2)} to {words.signed(float(edges[k + 1]), 2)}"
            yield f"  {span:>22} {int(count):>7,} {bar}"


def _flat(text: object) -> str:
    return " ".join(visible(str(text)).split())


def _samples(outcome: Outcome, row: Row) -> Iterator[str]:
    found = sorted((g, i) for i, g in gaps(row).items() if g < 0)
    if found:
        yield f"got worse ({_listed(len(found))})"
        first = {i: words.signed(g, row.decimals) for g, i in found[:SAMPLES]}
        yield from _both(outcome, row, first)


def _lost(outcome: Outcome, row: Row) -> Iterator[str]:
    yield f"without a score in the candidate ({_listed(len(row.lost))})"
    yield from _both(outcome, row, dict(list(row.lost.items())[:SAMPLES]))


def _listed(n: int) -> str:
    return f"{n:,} samples, the first {SAMPLES}" if n > SAMPLES else f"{n:,} samples"


def _both(outcome: Outcome, row: Row, remarks: Mapping[str, str]) -> Iterator[str]:
    """What was asked and what both runs said, of these samples."""
    one, two = (
        _answers(run, row.task, list(remarks)) for run in (outcome.baseline_dir, outcome.candidate_dir)
    )
    for i, remark in remarks.items():
        yield f"  {_flat(i)}  {remark}"
        asked, target, before = one.get(i, ("", "", "not on record"))
        after = two.get(i, ("", "", "not on record"))[2]
        for name, text in (
            ("asked", asked),
            ("expected", target),
            ("baseline", before),
            ("candidate", after),
        ):
            if text:
                yield f"    {name:<9} {shorten(_flat(text), TEXT)}"


def _answers(run: str, task: str, ids: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Question, target, and answer or error, by id."""
    wanted, out = set(ids), {}
    for line in Run(run).task(task).final_lines():
        if line["sample_id"] in wanted:
            error, asked = line.get("error"), line.get("asked") or {}
            said = f"error {error.get('kind')}: {error.get('message')}" if error else line.get("text") or ""
            spoken = "(speech)" if line.get("audio") else "(nothing)"
            out[line["sample_id"]] = (
                as_text(asked.get("question")),
                as_text(asked.get("target")),
                str(said) or spoken,
            )
    return out


def _shown(value: float | None, decimals: int) -> str:
    return words.number(value, decimals)
