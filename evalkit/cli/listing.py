"""`list`: what there is, as readable tables."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

from evalkit.cli.options import CHOICES, SCORING_OPTIONS
from evalkit.interfaces import Judge
from evalkit.prices import NUMBERS, load_prices
from evalkit.registry import catalogue, formats, runner_class, runner_modules
from evalkit.task import Cell


def call(args: argparse.Namespace) -> int:
    """Print the tables asked for."""
    kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "benchmarks": benchmarks,
        "suites": suites,
        "runners": runners,
        "judges": judges,
        "options": scoring_options,
        "formats": formats_known,
        "prices": prices,
    }
    wanted = kinds if args.what == "all" else {args.what: kinds[args.what]}
    found = {name: rows() for name, rows in wanted.items()}
    if args.json:
        print(json.dumps(found if args.what == "all" else found[args.what], indent=1, ensure_ascii=False))
        return 0
    for name, rows in found.items():
        if len(found) > 1:
            print(f"{name}\n{'-' * len(name)}")
        shown = {"benchmarks": by_benchmark, "formats": by_format, "options": by_option}.get(name, table)
        print(shown(rows) + "\n")
        if name == "prices":
            print(f"USD per million tokens. Check before you rely on them; your own: {load_prices().file}\n")
    return 0


def by_benchmark(rows: Sequence[dict[str, Any]]) -> str:
    """Tasks under the data they come from; what all tasks of a data set share is told once."""
    blocks: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        facts = (row["data"], f"licence {row['licence']}", row["citation"] or "no citation on record")
        blocks.setdefault(" · ".join(facts), []).append(row)
    shown = ("task", "samples", "modality", "metric", "judges", "protocols", "cells")
    lines = [
        {k: _table_numbers(row[k]) if k == "cells" else row[k] for k in shown}
        for members in blocks.values()
        for row in members
    ]
    head, *body = table(lines).splitlines()
    out, at = [head], 0
    for title, members in blocks.items():
        out += ["", title, *(f"  {line}" for line in body[at : at + len(members)])]
        at += len(members)
    return "\n".join(["  " + out[0], *out[1:]])


def _table_numbers(cells: Sequence[str]) -> list[str]:
    """ "T1", "T2": the printed tables that these cells are in."""
    return list(dict.fromkeys("T" + c.split(":")[0] for c in cells))


def by_option(rows: Sequence[dict[str, Any]]) -> str:
    """Scoring options, one a line; what they mean names the values."""
    return table([{"option": row["option"], "about": row["about"]} for row in rows])


def by_format(rows: Sequence[dict[str, Any]]) -> str:
    """Formats one below the other: their cells are sentences."""
    out = []
    for row in rows:
        out.append(f"{row['format']}: {row['about']}")
        out += [f"  {k:<14} {_cell(v)}" for k, v in row.items() if k not in ("format", "about")]
    return "\n".join(out)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Columns as wide as they need to be; the last one runs free."""
    if not rows:
        return "(none)"
    names = list(rows[0])
    text = [[_cell(r[n]) for n in names] for r in rows]
    widths = [max(len(n), *(len(t[i]) for t in text)) for i, n in enumerate(names)]
    lines = [names, *text]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value in (None, "") else str(value)


def benchmarks() -> list[dict[str, Any]]:
    """Every task: samples, modality, metric, who is needed to judge, protocols, cells, data, licence, citation."""
    rows = []
    for task in catalogue().tasks.values():
        variant = task.variant(None)[1]
        rows.append(
            {
                "task": task.name,
                "samples": task.expected,
                "modality": str(task.modality),
                "metric": f"{variant.headline.label} ({variant.headline.unit})",
                "judges": list(variant.roles) or ["rule"],
                "protocols": list(task.variants),
                "prompts": list(task.prompts),
                "languages": list(task.languages),
                "cells": [f"{c.table}: {c.section}, {_row_words(c)}" for c in task.cells],
                "data": task.data.repo,
                "mirrors": [m.repo for m in task.data.mirrors],
                "licence": task.data.licence,
                "citation": task.data.citation,
            }
        )
    return rows


def _row_words(cell: Cell) -> str:
    """A cell's row with what tells it from rows of the same name."""
    return " ".join((cell.row, *(f"({x})" for x in (cell.language, cell.printed) if x)))


def suites() -> list[dict[str, Any]]:
    """Every suite: how many tasks, and what it is for."""
    found = catalogue()
    return [
        {"suite": s.name, "tasks": len(found.select(list(s.tasks))), "about": s.about}
        for s in found.suites.values()
    ]


def runners() -> list[dict[str, Any]]:
    """Every runner: what it serves, whether it can judge, its first docstring line."""
    rows = []
    for name, module in sorted(runner_modules().items()):
        cls = runner_class(module)
        assert cls is not None
        rows.append(
            {
                "runner": name,
                "modalities": sorted(map(str, cls.modalities)),
                "can judge": "yes" if hasattr(module, "make_chat") else "no",
                "about": first_line(cls),
            }
        )
    return rows


def judges() -> list[dict[str, Any]]:
    """Every judge: what it reads, what it needs, its first docstring line."""
    import judges as package

    rows: dict[str, dict[str, Any]] = {}
    for info in pkgutil.walk_packages(package.__path__, "judges."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            mine = inspect.isclass(value) and issubclass(value, Judge) and value.__module__ == module.__name__
            if mine and not inspect.isabstract(value):
                asks = (
                    "a model that hears (--lalm-judge)" if value.role == "lalm-judge" else "an LLM (--judge)"
                )
                needs = asks if value.asks_model else "the speech" if value.reads == "audio" else ""
                needs = "a transcript (--asr)" if value.reads == "speech" and not needs else needs
                rows[name] = {
                    "judge": name,
                    "metrics": list(value.metrics),
                    "needs": needs,
                    "languages": list(value.languages) if value.languages else ["any"],
                    "about": first_line(value),
                }
    return sorted(rows.values(), key=lambda r: str(r["judge"]))


def formats_known() -> list[dict[str, Any]]:
    """Every format of predictions: its files, how it is told, which tasks it can answer."""
    return [
        {
            "format": f.name,
            "files": f.files,
            "recognised by": f.known_by,
            "tasks": list(f.tasks),
            "about": f.about,
        }
        for f in formats().values()
    ]


def scoring_options() -> list[dict[str, Any]]:
    """Every scoring option (`-O NAME=VALUE`): the values it takes, where they are few, and what it means."""
    return [
        {"option": name, "values": list(CHOICES.get(name, ())), "about": about}
        for name, about in SCORING_OPTIONS.items()
    ]


def prices() -> list[dict[str, Any]]:
    """Every price of a model that judges: the user's own, then ours. Raises UsageError for a broken file."""
    known = load_prices()
    both = [(known.mine, "yours"), ({k: v for k, v in known.ours.items() if k not in known.mine}, "evalkit")]
    return [
        {
            "model": name,
            **{n: getattr(price, n) for n in NUMBERS[:-1]},
            "as of": price.as_of,
            "from": f"{whose}: {price.source}" if price.source else whose,
        }
        for table, whose in both
        for name, price in table.items()
    ]


def first_line(thing: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]
