"""`reproduce`: run what a table of the report needs, and put on record what came of its printed numbers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.cli import options, run
from evalkit.cli.listing import table as listed
from evalkit.cli.summary import complete, conclude
from evalkit.cli.typed import command
from evalkit.errors import UsageError
from evalkit.linefiles import StoreError, write_atomically
from evalkit.registry import Catalogue, catalogue
from reports.reproduction import (
    LEDGER,
    Line,
    Made,
    append,
    appendable,
    compared_with,
    fillers,
    latest,
    lines_of,
    models_of,
    read,
    sheets,
    tables,
)
from reports.reproduction.markdown import markdown
from reports.reproduction.page import page
from reports.reproduction.shown import Entry
from reports.reproduction.whom import named
from reports.runs import RunView, load_runs

_OF_RUNS = (
    *("model", "M", "task", "suite", "data_dir", "data_repo", "prompt", "revision", "stream", "limit"),
    *("judge", "J", "asr", "lalm_judge", "L", "A", "judge_budget", "protocol", "prompts", "O", "out"),
    *("concurrency", "no_cache", "dry_run"),
    *("replicas", "ray_address", "gpus_per_replica", "cpus_per_replica"),
)
"""Arguments that say how to run, which --run and --show don't."""
MARKS = {".md": "# Reproductions\n\n*Reproduced*: ", ".html": "<title>Reproductions \u00b7 evalkit</title>"}
"""What a view of a ledger has near its beginning; no other file is written over."""


def call(args: argparse.Namespace) -> int:
    """Do what was asked; the exit code."""
    ledger = Path(args.ledger or LEDGER)
    if ledger.suffix != ".jsonl":
        raise UsageError(f"--ledger {ledger}: the ledger is a .jsonl file (its .md and .html go beside it).")
    if args.show or args.run is not None:
        _nothing_runs(args)
        return show(args, ledger) if args.show else take(args, ledger)
    if not args.dry_run:
        appendable(ledger)  # better found out now than after the run
    if args.table is None or args.model is None:
        raise UsageError(
            "say what to reproduce: --table 2 --model RUNNER/MODEL; or --run RUN for a finished run, or --show."
        )
    return make(args, ledger)


def _nothing_runs(args: argparse.Namespace) -> None:
    """Raises UsageError for arguments that would have no effect."""
    given = [n for n in _OF_RUNS if getattr(args, n)] + (["run"] if args.show and args.run else [])
    if given:
        flag = f"-{given[0]}" if len(given[0]) == 1 else f"--{given[0].replace('_', '-')}"
        what = "--show prints the ledger" if args.show else "--run takes a finished run as it is"
        raise UsageError(f"{what} and runs nothing: drop {flag}.")


def show(args: argparse.Namespace, ledger: Path) -> int:
    """Print the ledger; it only reads. Raises UsageError when there is none."""
    if not ledger.is_file():
        raise UsageError(f"there is no ledger {ledger}: `reproduce --table 2 --model ...` begins one.")
    found = read(ledger)
    _odd(found.odd, ledger)
    kept = [x for x in latest(found.lines) if args.table in (None, x.table)]
    if args.printed:
        if not any(named(args.printed, models_of(t)) for t in tables()):
            there = ", ".join(dict.fromkeys(x.printed_model for x in found.lines)) or "nothing"
            raise UsageError(
                f"the report prints no model {args.printed!r}; {ledger} compares with: {there}. Check --as."
            )
        kept = [x for x in kept if named(args.printed, [x.printed_model])]
    form = "json" if args.json else args.format
    if form == "json":
        print(
            json.dumps(
                {"ledger": str(ledger), "cells": [x.to_json() for x in kept]}, ensure_ascii=False, indent=1
            )
        )
    else:
        print({"md": markdown, "html": page}[form](sheets(kept)), end="")
    return 0


def make(args: argparse.Namespace, ledger: Path) -> int:
    """Run what the table needs, then append; the exit code of `run`."""
    names = [options.pairs(args.M, "-M").get("label", ""), args.model]
    model = _told(args.table, args.printed, names)
    args.task, args.suite = selected(args, catalogue())
    found = run.carry_out(args)
    if found is None:
        return 0
    job, outcome = found
    asked = _Asked((args.table,), args.printed, names, ledger, args)
    record = failed = None
    if not outcome.interrupted:  # what is not finished is finished by the same command
        [view] = load_runs([job.out])
        try:
            record = _append(view, asked)
        except StoreError as exc:  # the run is told of all the same
            failed = exc
        else:
            outcome = replace(outcome, results={**outcome.results, "reproduction": record.to_json()})
    code = conclude(outcome, job.out, json_out=args.json, report=not args.no_report)
    if failed is not None:
        raise StoreError(f"{failed}. The run is done: `reproduce --run {job.out}` adds it to a ledger.")
    if record is not None:
        record.say(to_machines=args.json)
    else:
        print(
            f"nothing was added to {ledger}: {model} is compared once the run is finished.", file=sys.stderr
        )
    return code


def take(args: argparse.Namespace, ledger: Path) -> int:
    """Append what a finished run has; nothing is run, and the run directory is only read."""
    appendable(ledger)
    [view] = load_runs([args.run])
    label = str((view.results.get("model") or {}).get("label") or "")
    names = [label, str((view.manifest.get("model") or {}).get("name") or "")]
    wanted = (args.table,) if args.table else _filled(view, args.printed, names)
    lacking = [t for t in wanted if not fillers(view, t)]
    if lacking or not wanted:
        raise UsageError(
            f"{args.run} fills no cell of {f'Table {lacking[0]}' if lacking else 'the printed tables'}"
            f"{f' that prints {args.printed}' if args.printed and not lacking else ''}; "
            f"its tasks: {', '.join(view.tasks) or 'none'}."
        )
    for number in wanted:
        _told(number, args.printed, names)
    record = _append(view, _Asked(wanted, args.printed, names, ledger, args))
    if args.json:
        print(json.dumps(record.to_json(), ensure_ascii=False, indent=1))
    record.say(to_machines=args.json)
    of_tables = {n for t in wanted for n in fillers(view, t)}
    parts = {p for n in of_tables if n.startswith("*") for p in view.overalls[n[1:]]["parts"]}
    kept = {n: e for n, e in view.tasks.items() if n in of_tables or n in parts}
    return 0 if complete({**view.results, "tasks": kept}) else 1


def _told(table: str, wanted: str | None, names: Sequence[str]) -> str:
    """The printed model, and say so. Raises UsageError."""
    model, why = compared_with(table, wanted, names)
    print(f"Table {table}: compared with {model} as printed ({why})", file=sys.stderr)
    return model


def selected(args: argparse.Namespace, found: Catalogue) -> tuple[list[str] | None, str | None]:
    """--task and --suite for `run`: the tasks that fill the table's rows, as far as the user's own choice leaves them.

    The suite of the table's name is used where it is these tasks, so that `run --suite table2` and this find one
    another's run.

    Raises:
        UsageError: nothing is left.
    """
    names = tasks_of(args.table, found)
    suite = f"table{args.table}"
    same = suite in found.suites and {t.name for t in found.select(list(found.suites[suite].tasks))} == set(
        names
    )
    if not args.task and not args.suite:
        return (None, suite) if same else (names, None)
    chosen = set(names)
    if args.task:
        chosen &= {t.name for t in found.select(args.task)}
    if args.suite:
        chosen &= {t.name for t in found.select(list(found.suite(args.suite).tasks))}
    if not chosen:
        raise UsageError(f"Table {args.table} needs none of these tasks; it needs: {', '.join(names)}.")
    return [n for n in names if n in chosen], args.suite or (suite if same else None)


def tasks_of(table: str, found: Catalogue) -> list[str]:
    """The tasks that fill rows of a table, in catalogue order."""
    parts = {
        p.task for o in found.overalls.values() if any(c.table == table for c in o.cells) for p in o.parts
    }
    return [n for n, t in found.tasks.items() if n in parts or any(c.table == table for c in t.cells)]


def _filled(view: RunView, printed: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """The tables that a run fills. Tables 1 and 2 have the same rows: the one that prints the model, else Table 2."""
    there = [t for t in tables() if fillers(view, t)]
    if printed is not None:
        known = {t: {named(printed, [m]) for m in models_of(t)} for t in there}
        return tuple(t for t in there if known[t] != {None})
    if {"1", "2"} <= {*there}:
        first = view.suite == "table1" or (
            view.suite != "table2" and any(named(n, models_of("1")) for n in names)
        )
        there.remove("2" if first else "1")
    return tuple(there)


@dataclass(frozen=True)
class _Asked:
    """What is to be appended: of which tables, compared with whom, where."""

    tables: Sequence[str]
    printed: str | None
    names: Sequence[str]
    ledger: Path
    args: argparse.Namespace


@dataclass(frozen=True)
class _Record:
    """What was appended."""

    ledger: Path
    lines: Sequence[Line]
    new: Sequence[Line]
    odd: int
    written: Sequence[Path]

    def to_json(self) -> dict[str, Any]:
        return {
            "ledger": str(self.ledger),
            "appended": len(self.new),
            "cells": [x.to_json() for x in self.lines],
        }

    def say(self, *, to_machines: bool) -> None:
        """Print what came of the printed numbers."""
        out = sys.stderr if to_machines else sys.stdout
        for sheet in sheets(self.lines):
            print(f"\n{sheet.title}", file=out)
            if not to_machines:
                print(listed([_row(b.section, e) for b in sheet.blocks for e in b.entries]))
            for rows, text in sheet.remarks:
                print(f"{rows}: {text}", file=sys.stderr)
            print(f"{sheet.summary}.", file=out)
        _odd(self.odd, self.ledger)
        known = len(self.lines) - len(self.new)
        also = f" ({known} as on record already)" if known else ""
        beside = f"; {', '.join(map(str, self.written))}" if self.written else ""
        print(
            f"{len(self.new)} line{'s' * (len(self.new) != 1)} added to {self.ledger}{also}{beside}", file=out
        )


def _row(section: str, entry: Entry) -> dict[str, Any]:
    return {
        "section": section.partition(" (")[0],
        "row": entry.label,
        "printed": entry.printed,
        "ours": entry.ours,
        "delta": entry.delta,
        "95% CI": entry.interval,
        "n": entry.coverage,
        "verdict": entry.verdict,
    }


def _append(view: RunView, asked: _Asked) -> _Record:
    """Append a line per printed number, and write the views of the ledger beside it. Raises UsageError, StoreError."""
    ledger = asked.ledger
    where = os.path.relpath(os.path.realpath(view.root), os.path.realpath(ledger.parent)).replace(os.sep, "/")
    made = Made(now(), command(asked.args.argv), where)
    lines = [
        line
        for number in asked.tables
        for line in lines_of(view, number, compared_with(number, asked.printed, asked.names)[0], made)
    ]
    new = append(ledger, lines)
    found = read(ledger)
    written = [] if asked.args.no_report else _views(ledger, found.lines)
    return _Record(ledger, lines, new, found.odd, written)


def _views(ledger: Path, lines: Sequence[Line]) -> list[Path]:
    """The ledger as Markdown and as a page, beside it; a file of that name that is not ours is left alone."""
    shown, written = sheets(latest(lines)), []
    for suffix, text in ((".md", markdown(shown)), (".html", page(shown))):
        path = ledger.with_suffix(suffix)
        try:
            ours = not path.exists() or MARKS[suffix] in path.read_text("utf-8", "replace")[:1000]
        except OSError:
            ours = False
        if not ours:
            print(
                f"{path} is not a view of the ledger: left alone (--ledger names another place)",
                file=sys.stderr,
            )
            continue
        try:
            write_atomically(path, text)
        except StoreError as exc:  # the ledger has the lines: its views can be made any time
            print(f"{exc}; the ledger itself is written.", file=sys.stderr)
        else:
            written.append(path)
    return written


def _odd(n: int, ledger: Path) -> None:
    if n:
        told = (
            "1 line can't be read and is left as it is" if n == 1 else f"{n} lines can't be read and are left"
        )
        print(f"{ledger}: {told}", file=sys.stderr)


def now() -> str:
    """The time in UTC, or that of SOURCE_DATE_EPOCH (seconds since 1970), for files that are to be the same again.

    Raises:
        UsageError: SOURCE_DATE_EPOCH is no time.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        at = datetime.fromtimestamp(int(given), UTC) if given else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise UsageError(f"SOURCE_DATE_EPOCH={given} is no number of seconds since 1970.") from exc
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
