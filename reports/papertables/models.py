"""The columns of a paper's table: printed models, and our runs, several of one model made one column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import published as paper
from evalkit.errors import UsageError
from reports.makers import listed
from reports.papertables.layouts import models_of
from reports.runs import RunView, load_runs


@dataclass(frozen=True)
class Ours:
    """A column of ours: one run, or several that hold different tasks of one model.

    Attributes:
        notes: sentences that have to stand under a table with this column.
    """

    key: str
    label: str
    runs: tuple[RunView, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The folders' names."""
        return tuple(r.root.name for r in self.runs)


def plain_label(run: RunView) -> str:
    """What the run calls its model, without the folder that tells two runs of one apart."""
    return str((run.results.get("model") or {}).get("label") or run.root.name)


def shared_tasks(runs: Sequence[RunView]) -> list[tuple[str, RunView, RunView]]:
    """Tasks that two of the runs hold: (task, the one run, the other)."""
    seen: dict[str, RunView] = {}
    out = []
    for run in runs:
        for task in run.tasks:
            if task in seen:
                out.append((task, seen[task], run))
            seen.setdefault(task, run)
    return out


def _made_of(runs: Sequence[RunView]) -> tuple[str, ...]:
    """What to tell of a column that several runs make: nothing, or that they answered in different ways."""
    ways: Mapping[str, Mapping[str, Any]] = {r.root.name: r.results.get("model") or {} for r in runs}
    runners = dict.fromkeys(_runner(str(m.get("runner"))) for m in ways.values())
    settings = dict.fromkeys(str(m.get("generation")) for m in ways.values())
    if len(runners) > 1:
        return (f"One column of {len(runs)} runs whose runners differ: {listed(list(runners))}.",)
    if len(settings) > 1:
        return (
            f"One column of {len(runs)} runs whose generation settings differ: {listed(list(settings))}.",
        )
    return ()


def _runner(said: str) -> str:
    """The runner with its fingerprint; of predictions made elsewhere without it, which is only that of their file."""
    return said.partition("@")[0] if said.startswith("replay/") else said


def grouped(
    runs: Sequence[Path | str], named: Sequence[tuple[str, Sequence[str]]] = (), *, merge: bool = True
) -> tuple[list[Ours], list[str]]:
    """The columns that runs make, in the order they are named; those named explicitly follow.

    Runs whose model has the same label, and of which no two hold the same task, are one column.

    Args:
        named: (label, run directories) of columns put together by hand; a run named here is not named in `runs`.
        merge: False for a column per run.

    Returns:
        The columns, and sentences on what was merged and what could not be.

    Raises:
        UsageError: a folder without results, a task held twice by a column put together by hand, a label twice.
    """
    taken = {_place(p) for _, paths in named for p in paths}
    loose = load_runs([r for r in runs if _place(r) not in taken]) if set(map(_place, runs)) - taken else []
    families: dict[str, list[RunView]] = {}
    for run in loose:
        families.setdefault(plain_label(run), []).append(run)
    columns, told = [], []
    for label, members in families.items():
        clash = shared_tasks(members)
        if len(members) > 1 and merge and not clash:
            columns.append(Ours(members[0].key, label, tuple(members), _made_of(members)))
            told.append(
                f"{label}: one column of {listed([r.root.name for r in members])} (--no-merge keeps them apart)"
            )
            continue
        if clash and merge:
            task, one, other = clash[0]
            told.append(
                f"{label}: a column per run, because {one.root.name} and {other.root.name} both hold {task}; "
                f'--column "{label}=RUN,RUN" makes one of those you name'
            )
        columns += [Ours(r.key, r.label, (r,)) for r in members]
    order = {r.key: i for i, r in enumerate(loose)}
    columns.sort(key=lambda c: order[c.runs[0].key])
    for i, (label, paths) in enumerate(named, start=1):
        columns.append(_by_hand(f"c{i}", label, load_runs(list(paths))))
    labels = [c.label for c in columns]
    if twice := next((x for x in labels if labels.count(x) > 1), None):
        raise UsageError(f"two columns are called {twice!r}: give one of them another name with --column.")
    return columns, told


def _place(path: Path | str) -> str:
    return str(Path(path).resolve())


def _by_hand(key: str, label: str, runs: Sequence[RunView]) -> Ours:
    if clash := shared_tasks(runs):
        task, one, other = clash[0]
        raise UsageError(
            f"column {label!r}: {one.root} and {other.root} both hold {task}"
            + (f" and {len(clash) - 1} more tasks" if len(clash) > 1 else "")
            + "; a column takes a task from one run. Leave one of them out."
        )
    return Ours(key, label, tuple(runs), _made_of(runs) if len(runs) > 1 else ())


def baselines_of(number: str, wanted: Sequence[str] | None, tables: Sequence[str] = ()) -> tuple[str, ...]:
    """The printed models of a table that stand beside the runs, in print order unless named.

    Args:
        wanted: names as the report prints them, in any case; None: all of the table's; (): none. Tables 1 and 2
            have the same rows: a model of the one may be named for the other.
        tables: all tables that are written; a model that only another of them has is passed over here.

    Raises:
        UsageError: a model that none of these tables has, naming those they have.
    """
    mine = models_of(number)
    if wanted is None:
        return mine
    known = {m.casefold(): m for m in paper.models()}
    twins = {"1": "2", "2": "1"}
    near = (*mine, *(models_of(twins[number]) if number in twins else ()))
    all_of = dict.fromkeys(m for t in (number, *tables) for m in models_of(t))
    out = []
    for name in wanted:
        model = known.get(name.casefold(), "")
        if model in near:
            out.append(model)
        elif model not in all_of:
            raise UsageError(
                f"Table {number} has no model {name!r}; it has: {', '.join(mine)}. Check --baselines."
            )
    return tuple(dict.fromkeys(out))
