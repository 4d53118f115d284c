"""From a table's YAML file to the table: its columns, and what stands in its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit import published as paper
from evalkit.errors import UsageError
from evalkit.registry import suggestion
from reports.cells import Cell, Column, Row, Section, Table, number
from reports.makers import printed_cell
from reports.papertables.assemble import Wishes, finished, ours_cell
from reports.papertables.build import SOURCE, legend, published_column, run_column, told_apart, with_deltas
from reports.papertables.custom import GIVEN, ColumnSpec, RowSpec, SectionSpec, TableSpec, read
from reports.papertables.custom_rows import Measure, Measures, address, all_rows
from reports.papertables.layouts import measure
from reports.papertables.models import Ours, grouped
from reports.safe import slug


class _Builder:
    """One table on its way; every mistake names the file and the key."""

    def __init__(self, path: Path, spec: TableSpec, given: Sequence[Ours], wishes: Wishes) -> None:
        self.path, self.spec, self.wishes = path, spec, wishes
        self.measures = Measures(path, ())
        self.columns: list[tuple[Column, Ours | str | None]] = []
        wanted = list(spec.columns) or [ColumnSpec(model=m) for m in wishes.baselines or ()]
        if not any(c.runs == GIVEN for c in wanted):
            wanted += [ColumnSpec(runs=GIVEN)] if given else []
        for i, column in enumerate(wanted, start=1):
            self._add(column, f"columns[{i}]", given)
        if not self.columns:
            raise self.wrong("columns", "names no column, and no run is given")
        runs = [r for _, o in self.columns if isinstance(o, Ours) for r in o.runs]
        self.measures = Measures(path, runs)
        printed = [c.label for c, of in self.columns if isinstance(of, str)]
        self.columns = [
            (replace(c, label=told_apart([of], printed)[0].label), of) if isinstance(of, Ours) else (c, of)
            for c, of in self.columns
        ]
        labels = [c.label for c, _ in self.columns]
        if twice := next((x for x in labels if labels.count(x) > 1), None):
            raise self.wrong("columns", f"two columns are called {twice!r}; give one of them a label")

    def wrong(self, key: str, what: str) -> UsageError:
        return self.measures.wrong(key, what)

    # --- columns ----------------------------------------------------------------------------------

    def _add(self, c: ColumnSpec, key: str, given: Sequence[Ours]) -> None:
        if c.model is not None:
            known = {m.casefold(): m for m in paper.models()}
            model = known.get(c.model.casefold())
            if model is None:
                near = suggestion(c.model, list(paper.models()))
                raise self.wrong(f"{key}.model", f"the report has no model {c.model!r}.{near}")
            column = published_column("", model, label=c.label or "")
            self.columns.append((replace(column, notes=()), model))
        elif c.typed is not None:
            source = (f"Typed in, from {c.source}.",) if c.source else ("Typed in.",)
            self.columns.append(
                (Column(f"typed:{c.name}", c.name, "typed", note=c.source or "", notes=source), None)
            )
        elif c.runs == GIVEN:
            self.columns += [(run_column(o), o) for o in given]
        else:
            paths = [c.runs] if isinstance(c.runs, str) else list(c.runs or ())
            try:
                found, _ = grouped([], [(c.label or "", [self._folder(p) for p in paths])])
            except UsageError as exc:
                raise UsageError(f"{self.path}: {key}.runs: {exc}") from exc
            first = found[0]
            ours = replace(first, key=key, label=c.label or str(first.runs[0].label))
            self.columns.append((run_column(ours), ours))

    def _folder(self, name: str) -> str:
        """A run's folder: beside the file, else from where the command was called."""
        beside = self.path.parent / name
        return str(beside if beside.exists() else Path(name))

    # --- cells ------------------------------------------------------------------------------------

    def row(self, spec: RowSpec, key: str, columns: Sequence[Column], reference: str) -> Row:
        m = self.measures.of(spec, key)
        decimals = next(
            d for d in (spec.decimals, None if m.printed else self.spec.decimals, m.decimals) if d is not None
        )
        up = m.higher_is_better if spec.direction is None else spec.direction == "higher"
        typed = {c.label for c, of in self.columns if of is None}
        if unknown := sorted(set(spec.values) - typed):
            known = f"typed columns: {', '.join(sorted(typed))}" if typed else "the file has no typed column"
            raise self.wrong(f"{key}.values", f"there is no typed column {unknown[0]!r} ({known})")
        cells = [self._cell(m, spec, column, of, decimals) for column, of in self.columns]
        by_key = {c.key: cell for (c, _), cell in zip(self.columns, cells, strict=True)}
        done = finished(
            columns,
            cells,
            higher_is_better=up,
            decimals=decimals,
            reference={"": (reference, by_key[reference])} if reference else None,
        )
        label, unit = spec.label or m.label, spec.unit or m.unit
        return Row(
            label=label,
            metric=m.metric,
            unit=unit,
            higher_is_better=up,
            cells=done,
            decimals=decimals,
            scale=m.printed.range if m.printed else None,
            overall=spec.overall is not None or bool(m.printed and m.printed.name in paper.OVERALLS),
            task=spec.task or "",
            stub=(label, measure(m.metric, unit, up).strip()),
            benchmark=m.printed.benchmark if m.printed else "",
            subset=m.printed.subset if m.printed else "",
            language=m.printed.language if m.printed else "",
        )

    def _cell(self, m: Measure, spec: RowSpec, column: Column, of: Ours | str | None, decimals: int) -> Cell:
        if isinstance(of, Ours):
            return ours_cell(of, [m.fill(r) for r in of.runs], decimals)
        if of is None:
            value = spec.values.get(column.label)
            if value is None:
                return Cell()
            return Cell(
                value=value, text=number(value, decimals), rivals=True, floor=value, signature=column.note
            )
        rows = [r for r in all_rows() if m.printed and address(r) == address(m.printed) and of in r.values]
        cell = printed_cell(rows[0], of) if rows else Cell()
        own = spec.decimals is not None and cell.value is not None
        return replace(cell, text=number(cell.value, decimals)) if own else cell


def custom_table(path: Path, given: Sequence[Ours], wishes: Wishes | None = None) -> Table:
    """The table that a YAML file describes.

    Args:
        given: the columns of the runs on the command line; they stand where the file says "runs: given", else last.
        wishes: what the command line asks for; it adds to what the file does.

    Raises:
        UsageError: a mistake in the file, naming it and the key; a run that can't be read.
    """
    spec, wishes = read(path), wishes or Wishes()
    builder = _Builder(path, spec, given, wishes)
    columns: Sequence[Column] = [c for c, _ in builder.columns]
    wanted, reference = wishes.delta or spec.delta or "", ""
    if wanted:
        named = {
            n.casefold(): c.key
            for c, of in builder.columns
            for n in (c.label, of if isinstance(of, str) else c.label, *(c.runs if len(c.runs) == 1 else ()))
        }
        if wanted.casefold() not in named:
            raise builder.wrong("delta", f"no column is called {wanted!r}")
        reference = named[wanted.casefold()]
        name = next(c.label for c in columns if c.key == reference)
        columns = with_deltas(columns, [reference], name)
    groups: list[SectionSpec | None] = [*spec.sections] or [None]
    sections = []
    for i, group in enumerate(groups, start=1):
        rows, prefix = (group.rows, f"sections[{i}].rows") if group else (spec.rows, "rows")
        built = [builder.row(r, f"{prefix}[{j}]", columns, reference) for j, r in enumerate(rows, start=1)]
        sections.append(Section(group.title if group else "", tuple(built)))
    table = Table(
        slug(spec.name or path.stem),
        spec.title,
        tuple(columns),
        tuple(sections),
        caption=spec.caption or "",
        stub=("", "Metric"),
        second=spec.second or wishes.second,
        intervals=spec.intervals or wishes.intervals,
    )
    printed = any(c.kind == "published" for c in columns)
    label = next((c.label for c in columns if c.key == reference), "")
    return replace(
        table, notes=((f"Printed numbers: {SOURCE}, as printed.",) if printed else ()) + legend(table, label)
    )
