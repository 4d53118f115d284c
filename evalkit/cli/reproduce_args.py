"""The arguments of `reproduce`; declared apart, so that a bare start imports nothing of it."""

from __future__ import annotations

import argparse

from evalkit.cli import options, replicas

TABLES = "1234567"


def add(p: argparse.ArgumentParser) -> None:
    """What to reproduce, and all that `run` takes."""
    group = p.add_argument_group("what")
    group.add_argument(
        "--table",
        choices=TABLES,
        help="the report's table (with --run: default those the run fills; with --show: default all)",
    )
    group.add_argument("--model", metavar="RUNNER/MODEL", help="the model to run, as of `run`")
    group.add_argument("-M", action="append", metavar="NAME=VALUE", help="model argument, e.g. base_url=...")
    group.add_argument("--task", action="append", metavar="GLOB", help="only these of the table's tasks")
    group.add_argument("--suite", help="only tasks of this suite, on its data (smoke brings its own)")
    group.add_argument("--run", metavar="RUN", help="instead of running: take a finished run")
    group.add_argument("--show", action="store_true", help="instead of running: print the ledger")
    group = p.add_argument_group("ledger")
    group.add_argument(
        "--as",
        dest="printed",
        metavar="NAME",
        help="the printed model to compare with, e.g. Fun-Audio-Chat-8B (default: told from the model's name, else "
        "the table's own)",
    )
    group.add_argument(
        "--ledger",
        metavar="FILE",
        help="the ledger (default: reproductions.jsonl in the current folder); its .md and .html are written beside it",
    )
    group.add_argument(
        "--format", choices=("md", "html", "json"), default="md", help="what --show prints (default md)"
    )
    options.add_data(p)
    options.add_scoring(p)
    options.add_output(p)
    options.add_how(p)
    replicas.add(p)
