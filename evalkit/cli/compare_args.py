"""The arguments of `compare`; declared apart, so that a bare start imports nothing of it."""

from __future__ import annotations

import argparse

from evalkit.cli import options

EXIT_CODES = """exit codes:
  0    every shared task was compared
  2    usage: no run, no results, nothing that fits
  5    a task was not compared, because its numbers were made in different ways (--allow)
"""


def add(p: argparse.ArgumentParser) -> None:
    """Everything `compare` takes."""
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.epilog = EXIT_CODES
    p.add_argument("runs", nargs="+", metavar="RUN", help="run directories; the first is the baseline")
    p.add_argument(
        "--all-pairs", action="store_true", help="every pair of runs, not just each with the first"
    )
    p.add_argument(
        "--published",
        action="append",
        metavar="MODEL",
        help="compare each run with the numbers the report prints for this model (unpaired); may be repeated",
    )
    group = p.add_argument_group("what")
    group.add_argument("--task", action="append", metavar="GLOB", help="only these tasks; may be repeated")
    group.add_argument(
        "--metrics",
        metavar="headline|all|NAME[,NAME]",
        default="headline",
        help="which numbers of a task (default: headline)",
    )
    group.add_argument("--groups", action="store_true", help="also each subset (regions, categories)")
    group.add_argument(
        "--allow",
        action="append",
        metavar="PART[,PART]|all",
        help="compare although this part of the signatures differs: protocol, prompt, data, n, judges, evalkit",
    )
    group = p.add_argument_group("statistics")
    group.add_argument("--level", type=float, default=0.95, metavar="P", help="of intervals (default 0.95)")
    group.add_argument(
        "--draws", type=options.positive, default=10_000, metavar="N", help="resamples (default 10000)"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the resamples (default 0)")
    group = p.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="for machines")
    group.add_argument(
        "--samples",
        type=_count,
        metavar="N",
        help="list N lost and N won samples per task with both values (default: names a few; 0: none)",
    )
    group.add_argument(
        "--out",
        metavar="DIR",
        help="write compare.html, .md, .json, .csv and compare_pairs.csv; - prints one text format",
    )
    group.add_argument(
        "--format", metavar="NAME[,NAME]", help="html, csv, md, json (default with --out: all of them)"
    )
    group.add_argument(
        "--max-audio-mb", type=float, metavar="MB", help="audio embedded in the page (default 24)"
    )


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return value
