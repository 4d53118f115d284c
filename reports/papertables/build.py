"""One of the report's tables, with our runs beside the printed models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit import published as paper
from evalkit.errors import UsageError
from reports.cells import DASH, Cell, Column, Head, Row, Section, Table
from reports.fills import fill_of
from reports.makers import printed_cell
from reports.papertables.assemble import Wishes, finished, ours_cell
from reports.papertables.layouts import (
    Layout,
    decimals_of,
    layout_of,
    metric_label,
    models_of,
    printed_name,
    stub_of,
    unit_of,
)
from reports.papertables.models import Ours, baselines_of

SOURCE = "Fun-Audio-Chat Technical Report (arXiv 2512.20156)"


def home_of(number: str, model: str) -> str:
    """The table whose numbers of a model stand in this table's rows: itself, or 1 and 2 for each other."""
    return number if model in models_of(number) else {"1": "2", "2": "1"}.get(number, number)


def published_column(number: str, model: str, sub: str = "", label: str = "") -> Column:
    """The column of a printed model."""
    known, home = paper.models().get(model), home_of(number, model)
    return Column(
        f"t{number}:{model}{':' + sub if sub else ''}",
        label or model,
        "published",
        group=f"Report, Table {home}",
        note=known.note if known else "",
        sub=sub,
        notes=(f"From the report's Table {home}.",) if home != number else (),
    )


def run_column(ours: Ours, sub: str = "") -> Column:
    """One of our columns."""
    return Column(
        f"{ours.key}{':' + sub if sub else ''}",
        ours.label,
        "run",
        group="Our runs",
        demo=all(r.demo for r in ours.runs),
        smoke=all(r.smoke for r in ours.runs),
        sub=sub,
        notes=ours.notes,
        runs=ours.names,
    )


def with_deltas(columns: Sequence[Column], reference: Sequence[str], name: str) -> tuple[Column, ...]:
    """The columns, and after each of ours one of differences to `name`; not after the columns (keys) they are to."""
    out: list[Column] = []
    for i, column in enumerate(columns):
        out.append(column)
        after = columns[i + 1] if i + 1 < len(columns) else None
        if after and column.sub and (after.label, after.kind) == (column.label, column.kind):
            continue  # a model's columns stay together, their differences follow
        group = [c for c in columns if c.label == column.label and c.kind == "run" and c.key not in reference]
        out += [
            Column(f"delta:{c.key}", "\u0394", "delta", note=name, sub=c.sub, of=c.key, runs=c.runs)
            for c in group
            if column.kind == "run"
        ]
    return tuple(out)


def reference_of(wanted: str, tables: Sequence[str], columns: Sequence[Ours]) -> str | Ours:
    """Who differences are to: one of our columns (by its label or a run's folder), or a printed model's name.

    Raises:
        UsageError: nobody is called so, or none of our columns is left to compare.
    """
    name = wanted.casefold().rstrip("/")
    models = list(dict.fromkeys(m for t in tables for m in (*models_of(t), *_twins(t))))
    # The printed model first: whoever measures it anew gives the run its name, and wants to see how far off it is.
    printed = next((m for m in models if m.casefold() == name), None)
    ours = next((c for c in columns if name in (c.label.casefold(), *_folders(c))), None)
    if printed is None and ours is None and columns:
        there = ", ".join([*(c.label for c in columns), *models])
        raise UsageError(f"--delta: there is no model or run {wanted!r}; there are: {there}.")
    if not [c for c in columns if printed is not None or c is not ours]:
        raise UsageError("--delta shows how our columns differ from another one: name a run beside it.")
    return printed or ours or ""


def _folders(column: Ours) -> list[str]:
    """The runs' folders, by name and as given."""
    return [x.casefold().rstrip("/") for r in column.runs for x in (r.root.name, str(r.root))]


def told_apart(ours: Sequence[Ours], labels: Sequence[str]) -> list[Ours]:
    """Our columns; one that is called as a printed one is "(ours)"."""
    taken = {x.casefold() for x in labels}
    return [replace(o, label=f"{o.label} (ours)") if o.label.casefold() in taken else o for o in ours]


def _twins(number: str) -> tuple[str, ...]:
    return models_of({"1": "2", "2": "1"}[number]) if number in ("1", "2") else ()


def _same_row(row: paper.PublishedRow, table: str) -> paper.PublishedRow | None:
    """The row of another table that says the same."""
    section = paper.find(table, row.section)
    return next(
        (
            r
            for r in (section.rows if section else ())
            if (r.benchmark, r.subset, r.language, r.metric)
            == (row.benchmark, row.subset, row.language, row.metric)
        ),
        None,
    )


def model_cell(row: paper.PublishedRow, number: str, model: str) -> Cell:
    """A printed model's cell in a row."""
    home = home_of(number, model)
    theirs = row if home == row.table else _same_row(row, home)
    return printed_cell(theirs, model) if theirs else Cell()


Spec = Mapping[str, paper.PublishedRow]
"""One line of a table: the printed row of each `sub`; one row under "" where the models have one column each."""


def _specs(layout: Layout, section: paper.PublishedSection) -> list[Spec]:
    lines: dict[tuple[str, ...], dict[str, paper.PublishedRow]] = {}
    for row in section.rows:
        if row.metric in layout.beside:
            lines.setdefault((row.benchmark, row.subset, row.language), {})[row.metric] = row
        else:
            lines[(row.benchmark, row.subset, row.language, row.metric)] = {"": row}
    return list(lines.values())


def _spread(spec: Spec, subs: Sequence[str], cell_of_row: Mapping[str, Cell]) -> list[Cell]:
    """The cells of one model: one per sub, or one that stands over all of them."""
    if "" not in spec:
        return [cell_of_row.get(sub, Cell()) for sub in subs]
    over = replace(cell_of_row[""], span=len(subs))
    return [over, *(Cell(text="", span=0) for _ in subs[1:])]


def _row(
    layout: Layout,
    spec: Spec,
    columns: Sequence[Column],
    models: Sequence[str],
    ours: Sequence[Ours],
    reference: str | Ours | None,
) -> Row:
    subs = layout.beside or ("",)
    first = next(iter(spec.values()))
    decimals = decimals_of(first)
    by_model = {m: {s: model_cell(r, layout.number, m) for s, r in spec.items()} for m in models}
    by_run = {
        c.key: {
            s: ours_cell(c, [fill_of(run, r, table=layout.number) for run in c.runs], decimals)
            for s, r in spec.items()
        }
        for c in ours
    }
    cells = [c for m in models for c in _spread(spec, subs, by_model[m])]
    cells += [c for o in ours for c in _spread(spec, subs, by_run[o.key])]
    against: dict[str, tuple[str, Cell]] = {}
    if isinstance(reference, Ours):
        against = {s: (reference.key, by_run[reference.key].get(s, Cell())) for s in by_run[reference.key]}
    elif reference:
        against = {s: (reference, model_cell(r, layout.number, reference)) for s, r in spec.items()}
    if "" in against:  # one number per model: its first column has it
        against = {s: against[""] if s == subs[0] else ("", Cell()) for s in subs}
    done = finished(
        columns,
        cells,
        higher_is_better=first.higher_is_better,
        decimals=decimals,
        reference=against or None,
    )
    tasks = [f.name for o in ours for r in o.runs if (f := fill_of(r, first, table=layout.number))]
    return Row(
        label=" ".join(dict.fromkeys((first.benchmark, first.subset)))
        if "benchmark" in layout.says and first.name not in paper.OVERALLS
        else printed_name(layout, first),
        metric=metric_label(first) if first.metric not in layout.beside else "/".join(spec),
        unit=unit_of(first),
        higher_is_better=first.higher_is_better,
        cells=done,
        decimals=decimals,
        scale=first.range,
        overall=first.name in paper.OVERALLS,
        task=next(iter(tasks), ""),
        stub=stub_of(layout, first),
        benchmark=first.benchmark,
        subset=first.subset,
        language=first.language,
    )


def _heads(columns: Sequence[Column], models: Sequence[str]) -> tuple[Head, ...]:
    """Size and frame rates of the models, where the report prints them."""
    known = paper.models()

    def line(label: str, field: str) -> Head:
        texts = []
        for c in columns:
            there = known.get(c.label) if c.kind == "published" else None
            texts.append("" if c.kind == "delta" else (getattr(there, field) if there else "") or DASH)
        return Head(label, tuple(texts))

    return (
        line("LLM Size", "llm_size"),
        line("Frame Rate-In (Hz)", "frame_rate_in"),
        line("Frame Rate-Out (Hz)", "frame_rate_out"),
    )


def legend(table: Table, reference: str = "") -> tuple[str, ...]:
    """What the signs of a table mean: those that it has."""
    rows = table.rows()
    cells = [c for r in rows for c in r.cells]
    worst = any(not r.higher_is_better for r in rows)
    unranked = any(
        cell.value is not None and not cell.rivals and column.kind != "delta"
        for r in rows
        for column, cell in zip(table.columns, r.cells, strict=True)
    )
    aside = "; marked numbers that are not measured as the printed ones, or not on all data, are not ranked."
    notes = []
    if any(c.best for c in cells):
        per = ", per metric" if any(c.sub for c in table.columns) else ""
        best = f"Bold: best of the row{per}" + (", the lowest where the arrow points down" if worst else "")
        notes.append(
            best + ("; underlined: second best" if table.second else "") + (aside if unranked else ".")
        )
    if table.intervals and any(c.ci for c in cells):
        notes.append("In brackets: 95 % interval.")
    if reference and any(c.kind == "delta" for c in table.columns):
        notes.append(
            f"\u0394: the number on its left less that of {reference}, both as shown"
            + ("; where the arrow points down, below zero is better." if worst else ".")
        )
    if any("\u03c4" in t for h in table.heads for t in h.texts):
        notes.append("\u03c4: text tokens per second of speech.")
    if any(c.text == DASH for c in cells):
        notes.append(f"{DASH}: not reported, or not run.")
    return tuple(notes)


def paper_table(number: str, ours: Sequence[Ours], wishes: Wishes | None = None) -> Table:
    """One of the report's tables in its own layout; rows our runs did not run are dashes.

    Raises:
        UsageError: no such table, a baseline it hasn't, or nobody of the name that differences are to.
    """
    wishes = wishes or Wishes()
    layout = layout_of(number)
    tables = (number, *wishes.tables)
    models = baselines_of(number, wishes.baselines, tables)
    reference = reference_of(wishes.delta, tables, ours) if wishes.delta else None
    ours = told_apart(ours, models)
    if isinstance(reference, Ours):  # under the name that the table calls it
        reference = next(o for o in ours if o.runs == reference.runs)
    if isinstance(reference, str) and reference not in (*models_of(number), *_twins(number)):
        reference = None
    name = reference.label if isinstance(reference, Ours) else reference or ""
    subs = layout.beside or ("",)
    columns = [published_column(number, m, s) for m in models for s in subs]
    columns += [run_column(o, s) for o in ours for s in subs]
    if not columns:
        raise UsageError(f"Table {number} would have no column: name a run, or a model with --baselines.")
    if reference is not None:
        keys = [c.key for c in columns if isinstance(reference, Ours) and c.runs == reference.names]
        columns = list(with_deltas(columns, keys, name))
    sections = tuple(
        Section(
            section.name,
            tuple(_row(layout, spec, columns, models, ours, reference) for spec in _specs(layout, section)),
        )
        for section in paper.sections(number)
    )
    lacking = bool(wishes.delta) and reference is None
    table = Table(
        f"table-{number}",
        layout.title,
        tuple(columns),
        sections,
        number=number,
        caption=" ".join(x for x in (layout.caption, layout.measured and f"Scale: {layout.measured}.") if x),
        stub=layout.stub,
        heads=_heads(columns, models) if layout.sized else (),
        second=wishes.second,
        intervals=wishes.intervals,
    )
    source = (f"Printed numbers: {SOURCE}, Table {number}, as printed.",) if models else ()
    without = (f"No differences: this table has no numbers of {wishes.delta}.",) if lacking else ()
    return replace(table, notes=(*source, *legend(table, name), *without))
