"""The end of an audit: kept in the run, printed, and the page and the CSV written again."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.audit import book
from evalkit.audit.figures import Figure
from evalkit.audit.words import BY_SUBSET, PAIRS, SIDES, amount, columns, label, notes, rows, span
from evalkit.cli.listing import table

LISTED = 8
"""Differing samples that the terminal shows; the CSV and the page have more."""


def conclude(
    pages: Sequence[book.Page],
    root: Path | None,
    args: argparse.Namespace,
    told: Sequence[str] = (),
    code: int = 0,
) -> int:
    """Keep, print and report; the exit code."""
    kept = [book.write(root, p) for p in pages] if root is not None else []
    if args.json:
        print(json.dumps({"v": book.AUDIT_VERSION, "audits": list(pages)}, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(text_of(p) for p in pages))
    for line in dict.fromkeys(told):
        print(line, file=sys.stderr)
    if root is not None and not args.no_report:
        say = sys.stderr if args.json else sys.stdout
        for path in write_again(root):
            print(f"report: {path}", file=say)
        shown = ", ".join(p.name for p in kept[:4]) + (f" and {len(kept) - 4} more" if len(kept) > 4 else "")
        print(f"kept in {root / book.FOLDER}: {shown}", file=say)
    return code


def write_again(root: Path) -> list[Path]:
    """The run's page with the section on judges, and the audit's CSV; the paths written of the two."""
    from evalkit.cli.summary import write_reports
    from evalkit.store import Run

    samples = sum(t["n"] for t in Run(root).results()["tasks"].values())
    written = write_reports(root, samples)
    return [p for p in written if p.suffix == ".html" or p.name.startswith("judge_audit")]


def text_of(page: book.Page) -> str:
    """One audit for the terminal."""
    found = book.figures_of(page)
    where = " ".join(w for w in (page["task"], page["metric"]) if w)
    against = f" against {page['against']}" if page.get("against") else ""
    head = f"{page['audit']}: {where or 'scores'} · {page['judge']}{against} · {counted(page['n'], 'sample')}"
    out = [_wrapped(head, ""), *(_wrapped(s) for s in page["sentences"])]
    if "rho" in page:
        out += ["", _rho(page["rho"])]
    whole = [f for f in found if f.subset == "all"]
    if whole:
        out += ["", fitting(whole), *(_wrapped(line) for line in notes(whole))]
    if rest := [f for f in found if f.subset != "all"]:
        out += ["", flat(rest) if page["audit"] == "probes" else by_subset(rest)]
    if page["samples"]:
        shown, sides = page["samples"][:LISTED], SIDES.get(page["audit"], ("first", "second"))
        out += [
            "",
            f"differing most ({len(shown)} of {page['n_differing']}):",
            table([_sample(s, sides) for s in shown]),
        ]
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in "\n".join(out))


def counted(n: int, what: str) -> str:
    """ "1 sample", "2 samples"."""
    return f"{n} {what}{'s' * (n != 1)}"


def _columns() -> int:
    """Columns of the terminal; many where the output goes to a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def _wrapped(text: str, indent: str = "  ") -> str:
    """A sentence, broken between words where the terminal ends."""
    return textwrap.fill(
        text,
        max(40, _columns()),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def fitting(figures: Sequence[Figure]) -> str:
    """A row per statistic, a column per pair; where the terminal is too narrow, a table per pair."""
    whole = pivot(figures)
    if max(map(len, whole.splitlines())) <= _columns():
        return whole
    return "\n\n".join(pivot([f for f in figures if f.pair == p]) for p in columns(figures))


def pivot(figures: Sequence[Figure]) -> str:
    """A row per statistic, a column per pair."""
    pairs = columns(figures)
    lines = []
    for name, cells in rows(figures):
        line = {"": name} | {PAIRS.get(p, p): _cell(cells.get(p)) for p in pairs}
        counts = {str(c.n) for c in cells.values()}
        lines.append(line | {"n": "/".join(sorted(counts, key=int))})
    return table(lines)


def by_subset(figures: Sequence[Figure]) -> str:
    """A row per subset: the statistics of `BY_SUBSET`, of the first pair that has them."""
    first = columns(figures)[0]
    held = [f for f in figures if f.statistic in BY_SUBSET and f.pair == first] or list(figures)
    names = list(dict.fromkeys(label(f) for f in held))
    lines: dict[str, dict[str, Any]] = {}
    for f in held:
        line = lines.setdefault(f.subset, {"subset": f.subset, "n": f.n, **dict.fromkeys(names, "")})
        line[label(f)] = _cell(f)
        line["n"] = max(line["n"], f.n)
    return table(list(lines.values()))


def flat(figures: Sequence[Figure]) -> str:
    """A row per figure, for probes: each has statistics of its own."""
    return table(
        [
            {"probe": f.subset, "figure": label(f), "value": _cell(f), "n": f.n, "note": f.note}
            for f in figures
        ]
    )


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else f"{amount(figure)} {span(figure)}".strip()


def _rho(found: Mapping[str, Any]) -> str:
    """VStyle's three figures, four decimals, overall and by category (sheet section 8)."""
    lines = [{"Spearman's rho": "all", **_three(found["all"])}]
    lines += [{"Spearman's rho": c, **_three(a)} for c, a in found["categories"].items()]
    return table(lines)


def _three(found: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "average": "human average vs judge",
        "individual": "individual vs judge",
        "human": "human vs human",
    }
    return {title: _four(found[key]) for key, title in names.items()} | {"n": found["n"]}


def _four(value: float | None) -> str:
    return "nan" if value is None or math.isnan(value) else f"{value:.4f}"


def _sample(found: Mapping[str, Any], sides: tuple[str, str]) -> dict[str, Any]:
    def short(text: Any, width: int = 44) -> str:
        line = " ".join(str(text or "").split())
        return line if len(line) <= width else line[: width - 1] + "\u2026"

    values = {
        name: "-" if found[k] is None else f"{found[k]:g}"
        for k, name in zip(("first", "second"), sides, strict=True)
    }
    return {
        "sample": short(found["sample_id"], 24),
        **values,
        "answer": short(found["answer"]),
        "question": short(found["question"]),
    }
