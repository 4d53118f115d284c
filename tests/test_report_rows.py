"""Every row of the report's Tables 1 to 7 has what fills it, once; and the README says what it was verified against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit.published import PublishedRow, sections
from evalkit.registry import catalogue
from evalkit.task import Cell

LATER = {"Turn-taking Success Rate"}
"""Needs a model that decides itself when to speak, and a runner for it."""

ROWS = [row for section in sections() for row in section.rows if row.name not in LATER]


def declared() -> Iterator[tuple[str, Cell]]:
    found = catalogue()
    for task in found.tasks.values():
        for cell in task.cells:
            yield task.name, cell
    for overall in found.overalls.values():
        for cell in overall.cells:
            yield f"overall {overall.name}", cell


CELLS = list(declared())


def fits(row: PublishedRow, cell: Cell) -> bool:
    return (
        (cell.table, cell.section) == (row.table, row.section)
        and row.called(cell.row)
        and cell.language in ("", row.language)
        and cell.printed in ("", row.metric)
    )


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda r: f"T{r.table}-{r.section}-{r.name}-{r.language}-{r.metric}".replace(" ", "_")
)
def test_a_printed_row_is_filled_by_one(row: PublishedRow) -> None:
    found = [name for name, cell in CELLS if fits(row, cell)]
    assert len(found) == 1, f"{found or 'nothing'} fills Table {row.table}, {row.section}, {row.name}"


@pytest.mark.parametrize(("name", "cell"), CELLS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_declared_cell_is_printed(name: str, cell: Cell) -> None:
    assert any(fits(row, cell) for row in ROWS), (
        f"{name} says it fills {cell}, which the report doesn't print"
    )


@pytest.mark.parametrize("task", list(catalogue().tasks.values()), ids=lambda t: t.name)
def test_a_cell_names_a_metric_and_a_group_the_task_has(task) -> None:  # type: ignore[no-untyped-def]
    metrics = {m.name for m in task.variant(None)[1].metrics}
    keys = set(task.groups) | {m.strata.key for m in task.variant(None)[1].metrics if m.strata}
    for cell in task.cells:
        assert cell.metric is None or cell.metric in metrics
        assert cell.group is None or cell.group[0] in keys


def test_the_readme_names_every_task_that_fills_a_row() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    names = {name for name, _ in CELLS if not name.startswith("overall")}
    assert not [n for n in sorted(names) if n not in text]


@pytest.mark.parametrize("task", list(catalogue().tasks.values()), ids=lambda t: t.name)
def test_data_says_whose_it_is(task) -> None:  # type: ignore[no-untyped-def]
    assert task.data.licence and task.languages
    assert task.data.citation or task.benchmark == "speech-style", (
        "only data of the user's own has nobody to cite"
    )
