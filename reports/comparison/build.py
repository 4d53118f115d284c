"""From runs to a comparison: which lines there are, which are refused, each compared, Holm's correction over all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.registry import suggestion
from reports.comparison.model import GROUPS, HEADLINES, OTHERS, OVERALLS, Comparison, Line, Side
from reports.comparison.settings import ALL, ALLOWABLE, HEADLINE, Settings
from reports.runs import RunView, load_runs


def compare_runs(
    runs: Sequence[Path | str | RunView],
    *,
    all_pairs: bool = False,
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (HEADLINE,),
    groups: bool = False,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
    allow: Sequence[str] = (),
    published: Sequence[str] = (),
) -> Comparison:
    """Compare runs number by number, on the samples that both have a score for.

    Args:
        runs: run directories (or runs already read), the baseline first; one is enough beside `published`.
        all_pairs: every pair of runs, not just each with the baseline.
        tasks: globs over task names; none takes every task.
        metrics: ("headline",), ("all",), or names of metrics.
        groups: also every subset that results.json has ("region", "category").
        level: of the intervals; tests decide at 1 - level.
        draws: resamples of bootstrap and permutation.
        seed: of these draws; the same call gives the same numbers.
        allow: parts of signatures that may differ beside the runner's (`ALLOWABLE`), or "all". "data" covers "n".
        published: models of the report, whose printed numbers every run is compared with, unpaired.

    Returns:
        The comparison. A task whose signatures differ in a part not allowed is a line with `refused`, never an
        exception.

    Raises:
        UsageError: fewer than two sides, a folder that is no run, an unknown metric, part or model, a glob that fits
            no task, or a level or number of draws that makes no sense.
    """
    views = _views(runs)
    chosen = _settings(tasks, metrics, groups, level, draws, seed, allow)
    if len(views) + len(published) < 2:
        raise UsageError("a comparison needs two runs, or one and --published MODEL.")
    _check(views, chosen)
    sides = [Side(_key(i), v.label, "run", v.root.resolve().name, v) for i, v in enumerate(views)]
    lines: list[Line] = []
    alone: list[tuple[str, str, str, str]] = []
    for a, b in _pairs(sides, all_pairs):
        lines += _lines(a, b, chosen)
        alone += _alone(a, b, chosen)
    if published:
        from reports.comparison.printed import printed_lines, printed_sides

        printed = printed_sides(published, len(sides), _key)
        lines += [x for p in printed for s in sides for x in printed_lines(p, s, chosen)]
        sides += printed
    return Comparison(tuple(sides), tuple(_corrected(lines)), level, draws, seed, chosen.allow, tuple(alone))


def _views(runs: Sequence[Path | str | RunView]) -> list[RunView]:
    """The runs, read; those of one model told apart by their folders."""
    given = [r.root if isinstance(r, RunView) else r for r in runs]
    return load_runs(given) if given else []


def _settings(
    tasks: Sequence[str],
    metrics: Sequence[str],
    groups: bool,
    level: float,
    draws: int,
    seed: int,
    allow: Sequence[str],
) -> Settings:
    if not 0.5 <= level < 1.0:
        raise UsageError(f"--level is the level of the intervals, from 0.5 to below 1 (0.95), not {level:g}.")
    if draws < 100:
        raise UsageError(f"--draws is the number of resamples, at least 100, not {draws}.")
    if unknown := [p for p in allow if p not in (*ALLOWABLE, ALL)]:
        known = ", ".join((*ALLOWABLE, ALL))
        raise UsageError(
            f"a signature has no part {unknown[0]!r} to allow; there are: {known}. Check --allow."
        )
    allowed = ALLOWABLE if ALL in allow else tuple(p for p in ALLOWABLE if p in allow)
    return Settings(tuple(tasks), tuple(metrics) or (HEADLINE,), groups, level, draws, seed, allowed)


def _check(views: Sequence[RunView], chosen: Settings) -> None:
    """Raise UsageError for globs and names of metrics that fit nothing in any run."""
    known = list(dict.fromkeys(t for v in views for t in v.tasks))
    for glob in chosen.tasks:
        if not any(fnmatchcase(t, glob) for t in known):
            have = ", ".join(known) or "none"
            raise UsageError(
                f"no task of these runs fits {glob!r}.{suggestion(glob, known)} They have: {have}."
            )
    names = {m for v in views for t, e in v.tasks.items() if chosen.wants(t) for m in e["metrics"]}
    for name in chosen.metrics:
        if name not in (*names, ALL, HEADLINE):
            raise UsageError(
                f"these tasks have no metric {name!r}; they have: {', '.join(sorted(names))}. Check --metrics."
            )


def _key(i: int) -> str:
    """ "a", "b", ..., "z", "s27", ..."""
    return "abcdefghijklmnopqrstuvwxyz"[i] if i < 26 else f"s{i + 1}"


def _pairs(sides: Sequence[Side], all_pairs: bool) -> list[tuple[Side, Side]]:
    """Each side with the baseline, or every pair."""
    firsts = sides if all_pairs else sides[:1]
    return [(a, b) for i, a in enumerate(firsts) for b in sides[i + 1 :]]


def _alone(a: Side, b: Side, chosen: Settings) -> Iterator[tuple[str, str, str, str]]:
    assert a.view is not None and b.view is not None
    for side, other in ((a.view, b.view), (b.view, a.view)):
        key = a.key if side is a.view else b.key
        yield from ((a.key, b.key, t, key) for t in side.tasks if chosen.wants(t) and t not in other.tasks)


def _lines(a: Side, b: Side, chosen: Settings) -> Iterator[Line]:
    """The lines of two runs: task by task, each benchmark's overalls after its tasks."""
    from reports.comparison.lines import task_lines
    from reports.comparison.overalls import overall_lines

    assert a.view is not None and b.view is not None
    shared = [t for t in a.view.tasks if t in b.view.tasks and chosen.wants(t)]
    for benchmark in dict.fromkeys(a.view.tasks[t]["benchmark"] for t in shared):
        found: list[Line] = []
        for task in shared:
            if a.view.tasks[task]["benchmark"] == benchmark:
                found += task_lines(a, b, task, chosen)
        yield from found
        yield from overall_lines(a, b, benchmark, found, chosen)


def _corrected(lines: Sequence[Line]) -> list[Line]:
    """The lines with Holm's correction over each family of tests."""
    from evalkit.inference import holm

    out = list(lines)
    for family in (HEADLINES, OTHERS, GROUPS, OVERALLS):
        places = [i for i, x in enumerate(out) if x.family == family and x.difference is not None]
        adjusted = holm([d.p if (d := out[i].difference) else None for i in places])
        for i, p in zip(places, adjusted, strict=True):
            out[i] = replace(out[i], p_holm=p)
    return out
