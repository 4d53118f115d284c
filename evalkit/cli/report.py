"""`report`: pages, tables and CSV from runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evalkit.cli.report_formats import folder_of, formats_of
from evalkit.errors import UsageError
from evalkit.store import Run

BUNDLE = "report"
"""Folder in the first run that a bundle goes to when nothing else is said."""


PAGE = ("bundle", "title", "max_samples", "max_audio_mb", "max_audio_samples")
TABLES = ("baselines", "second", "intervals", "delta", "column", "no_merge")
"""Options of pages and of tables: told when they stand beside something that they do nothing for."""


def _odd(args: argparse.Namespace, names: tuple[str, ...]) -> str | None:
    """The first of these options that was given, as typed."""
    given = (n for n in names if (value := getattr(args, n)) is not None and value is not False)
    return next((f"--{n.replace('_', '-')}" for n in given), None)


def call(args: argparse.Namespace) -> int:
    """Write what was asked for and say where it is. Another kind of output adds its line here."""
    if args.figure and args.table:
        raise UsageError("--table and --figure are two calls: their formats differ. Leave one of them out.")
    if args.models is not None and not args.figure:
        raise UsageError("--models belongs to --figure; beside a table: --baselines.")
    if (args.figure or args.table) and (odd := _odd(args, PAGE)):
        raise UsageError(f"{odd} belongs to the report of the runs: leave it out, or --table and --figure.")
    if not (args.figure or args.table) and (odd := _odd(args, TABLES)):
        raise UsageError(f"{odd} belongs to --table: say which one, as in --table 2.")
    if args.figure:
        from evalkit.cli.report_figure import write as draw

        return draw(args)
    if args.table:
        from evalkit.cli.report_tables import write

        return write(args)
    return page(args)


def page(args: argparse.Namespace) -> int:
    """The report of the runs: page, CSV, and their benchmarks' tables in other formats."""
    runs = [Path(r) for r in args.runs]
    if not runs:
        raise UsageError("a report needs at least one run directory; printed tables alone: --table 2.")
    found = {str(r): Run(r).results() for r in runs}
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    formats = formats_of(args, "html,csv", ("html", "csv", "md", "latex", "xlsx"))
    if args.stdout or args.out == "-":
        raise UsageError("a report is several files; to standard output goes a table: --table 2 --stdout.")
    if "xlsx" in formats:
        from reports.renderers.xlsx import library

        library()  # told before any file is written
    from reports import write_report

    limits: dict[str, Any] = {}
    if args.max_samples is not None:
        limits |= {"max_samples_per_task": args.max_samples, "max_audio_samples": args.max_samples}
    if args.max_audio_mb is not None:
        limits["max_audio_mb"] = args.max_audio_mb
    if args.max_audio_samples is not None:
        limits["max_audio_samples"] = args.max_audio_samples
    if args.title:
        limits["title"] = args.title
    if args.bundle:
        if "html" not in formats:
            raise UsageError(
                "--bundle is the page with its audio beside it: it needs html among the formats."
            )
        limits["bundle"] = True
    home = runs[0] / BUNDLE if args.bundle else runs[0]
    for path in write_report(runs, folder_of(Path(args.out) if args.out else home), formats, **limits):
        print(path)
    return 0
