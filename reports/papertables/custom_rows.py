"""What a row of a table of one's own is about: the printed row it has, and what fills it in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit import published as paper
from evalkit.errors import UsageError
from evalkit.registry import catalogue, suggestion
from reports.fills import Fill, fill_of, names_row
from reports.papertables.custom import Printed, RowSpec
from reports.papertables.layouts import LAYOUTS, decimals_of, metric_label, printed_name, unit_of
from reports.runs import RunView

Address = tuple[str, str, str, str, str]


def address(row: paper.PublishedRow) -> Address:
    return row.section, row.benchmark, row.subset, row.language, row.metric


def all_rows() -> list[paper.PublishedRow]:
    return [r for s in paper.sections() for r in s.rows]


@dataclass(frozen=True)
class Measure:
    """What a row is about: the printed row, what fills it in a run, and how it reads."""

    label: str
    metric: str
    unit: str
    higher_is_better: bool
    decimals: int
    printed: paper.PublishedRow | None
    fill: Callable[[RunView], Fill | None]


class Measures:
    """Finds what rows are about; every mistake names the file and the key."""

    def __init__(self, path: Path, runs: Sequence[RunView]) -> None:
        self.path, self.runs = path, runs

    def wrong(self, key: str, what: str) -> UsageError:
        return UsageError(f"{self.path}: {key}: {what}{'' if what.endswith(('?', '.')) else '.'}")

    def of(self, row: RowSpec, key: str) -> Measure:
        """What a row is about."""
        if row.printed is not None:
            return self._of_printed(self._printed(row.printed, f"{key}.printed"), None)
        if row.task is not None:
            return self._of_task(row, key)
        if row.overall is not None:
            return self._of_overall(row.overall, f"{key}.overall")
        return Measure(row.label or "", "", "", True, 2, None, lambda run: None)

    def _printed(self, given: Printed, key: str) -> paper.PublishedRow:
        found = [
            r
            for r in all_rows()
            if r.called(given.row)
            and given.table in (None, r.table)
            and (given.section is None or r.section.casefold().startswith(given.section.casefold()))
            and given.language in (None, r.language)
            and given.metric in (None, r.metric)
        ]
        if not found:
            raise self.wrong(
                key, f"the report has no such row {given.row!r}; its rows are in --table all --format csv"
            )
        if len({address(r) for r in found}) > 1:
            there = "; ".join(dict.fromkeys(_where(r) for r in found))
            raise self.wrong(key, f"{given.row!r} names several rows, say which: {there}")
        return found[0]

    def _of_printed(self, row: paper.PublishedRow, fill: Callable[[RunView], Fill | None] | None) -> Measure:
        layout = LAYOUTS[row.table]
        whole = (
            "benchmark" in layout.says and row.name not in paper.OVERALLS
        )  # "Single" says too little alone
        return Measure(
            f"{row.benchmark} {row.subset}" if whole else printed_name(layout, row),
            metric_label(row),
            unit_of(row),
            row.higher_is_better,
            decimals_of(row),
            row,
            fill or (lambda run: fill_of(run, row)),
        )

    def _of_task(self, row: RowSpec, key: str) -> Measure:
        assert row.task is not None
        name, group = row.task, next(iter((row.group or {}).items()), None)
        entry = next((r.tasks[name] for r in self.runs if name in r.tasks), None)
        if entry is None and name not in catalogue().tasks:
            near = suggestion(name, list(catalogue().tasks))
            raise self.wrong(
                f"{key}.task", f"there is no task {name!r}, and no run has one.{near}".rstrip(".")
            )

        def fill(run: RunView) -> Fill | None:
            there = run.tasks.get(name)
            if there is None or (row.metric and row.metric not in there["metrics"]):
                return None
            if group is not None and group[1] not in (there.get("groups") or {}).get(group[0], {}):
                return None
            return Fill("task", name, row.metric, group)

        if entry is not None and not any(fill(r) for r in self.runs):
            what = f"metric {row.metric!r}; it has: {', '.join(entry['metrics'])}"
            if row.metric is None or row.metric in entry["metrics"]:
                there = entry.get("groups") or {}
                what = f"group {group}; it has: {', '.join(f'{k}: {n}' for k, m in there.items() for n in m) or 'none'}"
            raise self.wrong(key, f"{name} has no {what}")
        if entry is None:
            task = catalogue().tasks[name]
            known = dict.fromkeys(m.name for v in task.variants.values() for m in v.metrics)
            if row.metric and row.metric not in known:
                raise self.wrong(key, f"{name} has no metric {row.metric!r}; it has: {', '.join(known)}")
        printed = self._printed_of(name, row.metric, group, entry)
        about = self._about(name, row.metric, entry)
        if printed is not None:
            mine = self._of_printed(printed, fill)
            return replace(mine, label=mine.label if mine.label != mine.metric else about["title"])
        title = about["title"] + (f", {group[1]}" if group else "")
        return Measure(title, about["label"], about["unit"], about["up"], about["decimals"], None, fill)

    def _about(self, name: str, metric: str | None, entry: Any) -> dict[str, Any]:
        """Title, and the metric's label, unit, direction and decimals, of a run's entry or of the catalogue's task."""
        if entry is not None:
            m = entry["metrics"].get(metric or entry["headline"])
            if m is not None:
                keys = {"label": m["label"], "unit": m["unit"], "up": m["higher_is_better"]}
                return {"title": entry["title"], **keys, "decimals": m["decimals"]}
        task = catalogue().tasks[name]
        metrics = {m.name: m for v in task.variants.values() for m in v.metrics}
        declared = metrics.get(metric or "") or task.variant(None)[1].headline
        keys = {"label": declared.label, "unit": declared.unit, "up": declared.higher_is_better}
        return {"title": task.title, **keys, "decimals": declared.decimals}

    def _printed_of(
        self, name: str, metric: str | None, group: tuple[str, str] | None, entry: Any
    ) -> paper.PublishedRow | None:
        """The printed row that a task (metric, group) fills."""
        declared = catalogue().tasks.get(name)
        cells = (entry or {}).get("cells") or ([c.to_json() for c in declared.cells] if declared else [])
        headline = (entry or {}).get("headline") or (
            declared.variant(None)[1].headline.name if declared else None
        )
        for c in cells:
            if tuple(c.get("group") or ()) != (group or ()):
                continue
            if (c.get("metric") or headline) != (metric or headline):
                continue
            if row := _named(c):
                return row
        return None

    def _of_overall(self, name: str, key: str) -> Measure:
        declared = catalogue().overalls.get(name)
        entry = next((r.overalls[name] for r in self.runs if name in r.overalls), None)
        if declared is None and entry is None:
            near = suggestion(name, list(catalogue().overalls))
            raise self.wrong(key, f"there is no overall {name!r}.{near}")
        cells = (entry or {}).get("cells") or [c.to_json() for c in (declared.cells if declared else ())]

        def fill(run: RunView) -> Fill | None:
            return Fill("overall", name) if name in run.overalls else None

        for c in cells:
            if row := _named(c):
                return self._of_printed(row, fill)
        label = str(declared.label if declared else entry["label"] if entry else name)
        return Measure(label, "Mean", "0-100", True, 2, None, fill)


def _where(row: paper.PublishedRow) -> str:
    parts = [f"section {row.section}", row.language and f"language {row.language}", f"metric {row.metric}"]
    return f"Table {row.table}, {', '.join(p for p in parts if p)}"


def _named(cell: Mapping[str, Any]) -> paper.PublishedRow | None:
    """The printed row that a task's or an overall's cell names."""
    return next((r for r in all_rows() if r.table == str(cell["table"]) and names_row(cell, r)), None)
