"""The arguments of `report`; declared apart, so that a bare start imports nothing of it.

What is written from runs: the page and its CSV (`add_page`), tables of the report (`add_tables`). Another kind
of output adds its own group here and one line to `evalkit.cli.report.call`.
"""

from __future__ import annotations

import argparse
import math

from evalkit.cli import options


def add(p: argparse.ArgumentParser) -> None:
    """Everything `report` takes."""
    p.add_argument("runs", nargs="*", metavar="RUN", help="run directories")
    p.add_argument(
        "--out",
        metavar="DIR",
        help="where to write (default: the first run); of one table or figure also a file, as in table.tex; "
        "- prints one text format",
    )
    p.add_argument(
        "--format",
        metavar="NAME[,NAME]",
        help="html, csv, md, latex, xlsx (default: html,csv; with --table html,csv,md,latex, and json too); "
        "with --figure svg (default), png",
    )
    p.add_argument(
        "--json", action="store_true", help="print the results of the runs (with --table: the tables) instead"
    )
    add_page(p)
    add_tables(p)
    add_figures(p)


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of megabytes from 0 up")
    return value


def add_page(p: argparse.ArgumentParser) -> None:
    """What the HTML report shows."""
    group = p.add_argument_group("the page")
    group.add_argument(
        "--bundle",
        action="store_true",
        help="a folder instead of one file: index.html with the audio as files beside it (default: RUN/report)",
    )
    group.add_argument("--title", metavar="TEXT", help="heading of the page (default: the models' names)")
    group.add_argument(
        "--max-samples",
        type=options.positive,
        metavar="N",
        help="samples per task in the HTML (default: all)",
    )
    group.add_argument(
        "--max-audio-mb",
        type=_megabytes,
        metavar="MB",
        help="audio carried along, 0 for none (default: 24 in one file, 500 in a bundle)",
    )
    group.add_argument(
        "--max-audio-samples",
        type=options.positive,
        metavar="N",
        help="samples per task with audio (default: 24 in one file, all in a bundle)",
    )


def add_tables(p: argparse.ArgumentParser) -> None:
    """Tables in the layout of the report's own, or in one of yours."""
    group = p.add_argument_group("tables")
    group.add_argument(
        "--table",
        action="append",
        metavar="N|all|FILE.yaml",
        help="a table of the Fun-Audio-Chat report (1 to 7, all), or one that a YAML file describes; may be repeated",
    )
    group.add_argument(
        "--baselines",
        metavar="all|none|MODEL,...",
        help="which of the printed models stand beside the runs (default: all of that table's)",
    )
    group.add_argument("--second", action="store_true", help="underline the second best of each row")
    group.add_argument("--intervals", action="store_true", help="print the 95 %% interval beside our numbers")
    group.add_argument(
        "--delta",
        metavar="MODEL|RUN",
        help="beside each of our columns, its difference to this one (a printed model or a run)",
    )
    group.add_argument(
        "--column",
        action="append",
        metavar="LABEL=RUN[,RUN]",
        help="one column, of this name, from these runs; may be repeated",
    )
    group.add_argument(
        "--no-merge",
        action="store_true",
        help="a column per run, also where runs of one model hold different tasks",
    )
    group.add_argument("--stdout", action="store_true", help="print instead of writing files (as --out -)")


def add_figures(p: argparse.ArgumentParser) -> None:
    """Pictures: the report's Figure 1, or one of yours."""
    group = p.add_argument_group("figures")
    group.add_argument(
        "--figure",
        action="append",
        metavar="1|FILE.yaml",
        help="bars and radar of Figure 1, or a figure that a YAML file describes; --format svg (default), png",
    )
    group.add_argument(
        "--models",
        metavar="MODEL,...",
        help="printed models in the figure: names, or the sets 8B (default), large, all, none",
    )
