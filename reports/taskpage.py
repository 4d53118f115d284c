"""The page of one task: its metrics, what the score is made of, and the blocks of its samples.

Tasks are read one after the other, and what stays of each is its page's few figures and its packed samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.anatomy import Bin, anatomy
from reports.cells import Row
from reports.coverage import Coverage, of_metric
from reports.errors import ErrorTable, error_table
from reports.overview import place
from reports.page.blocks import Data
from reports.pagedata import Other, task_blocks
from reports.protocol import Note, notes_of
from reports.runs import RunView, headline
from reports.safe import slug
from reports.samples import SampleView, read_samples, worst_first
from reports.sound import SoundBox, clips_of, pick
from reports.timing import Stopwatch, TaskTiming
from reports.trust import Caveat, caveats_of_task


@dataclass
class TaskPage:
    """A task of a run as the template sees it."""

    run: RunView
    name: str
    block: str
    entry: Mapping[str, Any]
    bins: list[Bin]
    caveats: list[Caveat]
    total: int
    shown: int
    audio: int
    timing: TaskTiming
    notes: list[Note]
    others: tuple[Other, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    errors: ErrorTable | None = None

    @property
    def route(self) -> str:
        return f"{self.run.key}/{self.name}"

    @property
    def busiest(self) -> int:
        return max((b.n for b in self.bins), default=1) or 1

    @property
    def coverage(self) -> Coverage:
        return of_metric(headline(self.entry))


def block_ids(runs: Sequence[RunView]) -> dict[tuple[str, str], str]:
    """Id of the block with each task's samples, by run key and task: no two alike, whatever tasks are called."""
    out: dict[tuple[str, str], str] = {}
    for run in runs:
        for task in run.tasks:
            found = f"d-{slug(f'{run.key}/{task}')}"
            taken = sum(i == found or i.startswith(f"{found}.") for i in out.values())
            out[run.key, task] = f"{found}.{taken + 1}" if taken else found
    return out


def metric_row(name: str, m: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a table of metrics: label, hint, the metric, its bar, its coverage."""
    scale = (
        (0.0, 100.0) if m["unit"] in ("%", "0-100") else (1.0, 5.0) if m["unit"] in ("1-5", "MOS") else None
    )
    row = Row("", m["label"], m["unit"], m["higher_is_better"], (), m["decimals"], scale)
    bar = None
    if m["value"] is not None and scale:
        ci = m["ci"] or (m["value"], m["value"])
        bar = (place(m["value"], row), place(ci[0], row), place(ci[1], row))
    hint = f"{name} \u00b7 {' + '.join(m['judges'])}"
    return {"label": m["label"], "hint": hint, "m": m, "bar": bar, "coverage": of_metric(m)}


def _groups(entry: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Tables by what samples are grouped by; and what is the same for all samples, which needs no table."""
    out, shared = [], []
    whole = headline(entry)["n"]
    for key, members in (entry.get("groups") or {}).items():
        name = key.replace("_", " ").replace("/", " / ")
        rows = [
            metric_row(entry["headline"], metrics[entry["headline"]]) | {"label": group, "hint": ""}
            for group, metrics in members.items()
        ]
        if len(rows) == 1 and rows[0]["m"]["n"] == whole:
            shared.append(f"{name}: {rows[0]['label']}")
        elif rows:
            out.append({"key": name, "rows": rows})
    return out, shared


def _sound(
    views: Sequence[SampleView],
    places: Sequence[int],
    run: RunView,
    box: SoundBox,
    share: int,
    most: int | None,
) -> int:
    """Put sound into the box, a sample of each kind first; of how many samples all of it or some is there."""
    if share <= 0:
        return 0
    picked = pick(views, places, most)
    box.add_all((c for v in picked for c in clips_of(v, run.root)), share)
    return sum(any(c.sha256 in box.clips for c in clips_of(v, run.root)) for v in views)


def task_page(
    run: RunView,
    name: str,
    block: str,
    box: SoundBox,
    share: int,
    *,
    most_samples: int | None = None,
    most_sounds: int | None = None,
    others: Sequence[Other] = (),
) -> tuple[TaskPage, list[Data]]:
    """Read a task and make its page and data.

    Args:
        block: id of its samples' block (`block_ids`).
        share: bytes of the box's budget that this task's sound may take.
        most_samples, most_sounds: samples shown, the worst first, and those with sound; None for all.
        others: the same task in other runs.
    """
    entry = run.tasks[name]
    views: list[SampleView] = worst_first(list(read_samples(run, name)), entry)
    watch = Stopwatch(given=run.given)
    for view in views:
        watch.add(view.line)
    bins, places = anatomy(views, entry)
    errors, picks = error_table(views, entry)
    shown, spots = views[:most_samples], places[:most_samples]
    with_sound = _sound(shown, spots, run, box, share, most_sounds)
    groups, shared = _groups(entry)
    page = TaskPage(
        run=run,
        name=name,
        block=block,
        entry=entry,
        bins=bins,
        caveats=caveats_of_task(run, name),
        total=len(views),
        shown=len(shown),
        audio=with_sound,
        timing=watch.done(),
        notes=notes_of(run, name),
        others=tuple(others),
        rows=[metric_row(k, m) for k, m in entry["metrics"].items()],
        groups=groups,
        shared=shared,
        errors=errors,
    )
    return page, task_blocks(block, run, name, shown, spots, bins, picks, others)
