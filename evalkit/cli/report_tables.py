"""`report --table`: tables in the layout of the report's own, or in one of yours."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from reports.cells import Table
    from reports.papertables.assemble import Wishes

DEFAULT = "html,csv,md,latex"
OTHERS = (".pdf", ".doc", ".docx", ".xls", ".ods", ".png", ".svg", ".txt", ".tsv", ".latex")
"""Names of files that a table is not written as, and that nobody gives a folder."""


def write(args: argparse.Namespace) -> int:
    """Write the tables and say where they are, or print them."""
    from evalkit.cli.report_formats import folder_of, formats_of
    from reports.renderers import FORMATS, write_table
    from reports.renderers.tidy import json_object
    from reports.safe import plain

    printing = args.stdout or args.out == "-"
    place = Path(args.out or (args.runs[0] if args.runs else "."))
    ending = "" if printing or place.is_dir() else _ending(place)
    formats = formats_of(args, "md" if printing else ending or DEFAULT, FORMATS)
    if ending and formats != [ending]:
        raise UsageError(f"--out {place} names one {ending} file: leave --format out, or name a folder.")
    tables = build(args)
    if ending and len(tables) > 1:
        raise UsageError(f"--out {place} names one file, and there are several tables: name a folder.")
    if args.json:
        found = [json_object(t) for t in tables]
        print(json.dumps(plain(found if len(found) > 1 else found[0]), indent=1, ensure_ascii=False))
        return 0
    if printing:
        if len(formats) > 1 or formats == ["xlsx"]:
            raise UsageError(
                "to standard output goes one text format: --format md (or csv, latex, html, json)."
            )
        print(_printed(tables, formats[0]), end="")
        return 0
    if "xlsx" in formats:
        from reports.renderers.xlsx import library

        library()  # told before any file is written
    folder = folder_of(place.parent if ending else place)
    for table in tables:
        for name in formats:
            print(write_table(table, name, folder, place.name if ending else ""))
    return 0


def _ending(place: Path) -> str:
    """The format that a file's name says, or "". Raises UsageError for one that tables are not written as."""
    from reports.renderers import ENDINGS

    if place.suffix.lower() in OTHERS:
        known = ", ".join(f".{e}" for e in ENDINGS.values())
        raise UsageError(f"--out {place}: a table is written as {known}; or name a folder.")
    return next((name for name, e in ENDINGS.items() if place.suffix.lower() == f".{e}"), "")


def _printed(tables: Sequence[Table], name: str) -> str:
    """Tables as one text: CSV under one header, LaTeX as one file that compiles, JSON as a list.

    Raises:
        UsageError: several pages of HTML, which are no page.
    """
    from reports.renderers import text_of

    if len(tables) == 1:
        return text_of(tables[0], name)
    if name == "html":
        raise UsageError(
            "several pages don't fit into one: name one --table, or write them into a folder (--out)."
        )
    if name == "latex":
        from reports.renderers.latex import several

        return several(tables, ", ".join(t.name for t in tables))
    if name == "json":
        return "[" + ",\n".join(text_of(t, name).strip() for t in tables) + "]\n"
    texts = [text_of(t, name) for t in tables]
    if name == "csv":
        return texts[0] + "".join(t.partition("\n")[2] for t in texts[1:])
    return "\n".join(texts)


def build(args: argparse.Namespace) -> list[Table]:
    """The tables asked for. What was merged, and what could not be, is told on standard error."""
    from reports.papertables.build import paper_table
    from reports.papertables.custom_build import custom_table
    from reports.papertables.models import baselines_of, grouped

    wanted = numbers_and_files(args.table)
    ours, told = grouped(args.runs, _named(args.column), merge=not args.no_merge)
    for sentence in told:
        print(f"note: {sentence}", file=sys.stderr)
    wishes = _wishes(args, [w for w in wanted if not _is_file(w)])
    tables = []
    for word in wanted:
        if _is_file(word):
            tables.append(custom_table(Path(word), ours, wishes))
        elif ours or len(wanted) == 1 or baselines_of(word, wishes.baselines, wishes.tables):
            tables.append(paper_table(word, ours, wishes))
        else:
            print(f"note: no Table {word}: it has none of the models of --baselines", file=sys.stderr)
    if not tables:
        raise UsageError("none of these tables would have a column: name a run, or a model with --baselines.")
    keys = [t.key for t in tables]
    if twice := next((k for k in keys if keys.count(k) > 1), None):
        raise UsageError(f"two tables would be written as {twice}: give one of the files a name: of its own.")
    return tables


def numbers_and_files(given: Sequence[str]) -> list[str]:
    """`["1,3", "all"]` as numbers and files, each once, in order."""
    from reports.papertables.layouts import NUMBERS

    words = [
        w.strip() for text in given for w in ([text] if _is_file(text) else text.split(",")) if w.strip()
    ]
    out: dict[str, None] = {}
    for word in words:
        out.update(dict.fromkeys(NUMBERS if word.casefold() == "all" else (word,)))
    if not out:
        raise UsageError("--table names no table: write --table 2, --table all, or --table FILE.yaml.")
    return list(out)


def _is_file(word: str) -> bool:
    return word.endswith((".yaml", ".yml"))


def _named(given: Sequence[str] | None) -> list[tuple[str, list[str]]]:
    out = []
    for word in given or ():
        label, equals, runs = word.partition("=")
        paths = [r.strip() for r in runs.split(",") if r.strip()]
        if not equals or not label.strip() or not paths:
            raise UsageError(f"--column {word!r}: write --column LABEL=RUN or LABEL=RUN,RUN")
        out.append((label.strip(), paths))
    return out


def _wishes(args: argparse.Namespace, numbers: Sequence[str]) -> Wishes:
    from reports.papertables.assemble import Wishes

    names = [n.strip() for n in (args.baselines or "all").split(",") if n.strip()]
    word = names[0].casefold() if len(names) == 1 else ""
    baselines = None if word == "all" else () if word == "none" or not names else tuple(names)
    return Wishes(baselines, args.second, args.intervals, args.delta or "", tuple(numbers))
