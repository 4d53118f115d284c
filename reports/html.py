"""One self-contained page: tables, task pages, samples and sound, with no request to anywhere.

All text goes through autoescaping or, as JSON, through `safe.script_json`; the page's own policy (CSP) allows
exactly the one script and the one style sheet in it, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.anatomy import Bin, anatomy
from reports.audits import sections
from reports.cells import Row, Table, number, pair
from reports.costs import cost_table
from reports.errors import ErrorTable, error_table
from reports.overview import figures, place, strips, verdict
from reports.pagedata import cell_json, task_json
from reports.plaintext import csv_text, markdown
from reports.runs import RunView, headline
from reports.safe import script_json, slug, visible
from reports.samples import SampleView, read_samples, worst_first
from reports.sound import SoundBox, clips_of, pick
from reports.trust import Caveat, caveats, caveats_of_task

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = ("core.js", "tables.js", "grid.js", "sound.js", "calls.js", "card.js", "samples.js")

FOLD, FOLDED = 20, 12
"""Rows of a group table beyond which it is folded, and how many of them it then shows."""


@dataclass(frozen=True)
class PageOptions:
    """What goes into a page.

    Attributes:
        title: heading and window title; None makes one of the models' names.
        max_samples_per_task: samples shown per task, the worst first.
        max_audio_mb: MB of audio in the page, over all tasks.
        max_audio_samples: samples per task that carry audio.
        reference: the printed model the verdict compares with.
    """

    title: str | None = None
    max_samples_per_task: int = 5000
    max_audio_mb: float = 24.0
    max_audio_samples: int = 24
    reference: str = "Fun-Audio-Chat-8B"


@dataclass
class TaskPage:
    """A task of a run as the template sees it."""

    run: RunView
    name: str
    entry: Mapping[str, Any]
    bins: list[Bin]
    caveats: list[Caveat]
    total: int
    shown: int
    audio: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    errors: ErrorTable | None = None

    @property
    def route(self) -> str:
        return f"{self.run.key}/{self.name}"

    @property
    def block(self) -> str:
        return f"d-{slug(self.route)}"

    @property
    def busiest(self) -> int:
        return max((b.n for b in self.bins), default=1) or 1


def _static(name: str) -> str:
    return resources.files("reports").joinpath("static", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") + "'"


def policy(script: str, style: str) -> str:
    """The page's content security policy: this script, this style sheet, sound in the page, nothing else."""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "media-src data:; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def environment() -> Environment:
    """The templates, compiled once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    env = Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: visible(v) if type(v) is str else v,
    )
    env.filters |= {"number": number, "pair": pair, "thousands": lambda n: f"{n:,}", "slug": slug}
    env.filters["printed_marks"] = lambda t: {
        m for r in t.rows() for c in r.cells if c.n is None for m in c.marks
    }
    env.globals |= {"place": place, "FOLD": FOLD, "FOLDED": FOLDED}
    return env


def _metric_row(name: str, m: Mapping[str, Any]) -> dict[str, Any]:
    scale = (
        (0.0, 100.0) if m["unit"] in ("%", "0-100") else (1.0, 5.0) if m["unit"] in ("1-5", "MOS") else None
    )
    row = Row("", m["label"], m["unit"], m["higher_is_better"], (), m["decimals"], scale)
    bar = None
    if m["value"] is not None and scale:
        ci = m["ci"] or (m["value"], m["value"])
        bar = (place(m["value"], row), place(ci[0], row), place(ci[1], row))
    return {"label": m["label"], "hint": f"{name} \u00b7 {' + '.join(m['judges'])}", "m": m, "bar": bar}


def _groups(entry: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Tables by what samples are grouped by; and what is the same for all samples, which needs no table."""
    out, shared = [], []
    whole = headline(entry)["n"]
    for key, members in (entry.get("groups") or {}).items():
        name = key.replace("_", " ").replace("/", " / ")
        rows = [
            _metric_row(entry["headline"], metrics[entry["headline"]]) | {"label": group, "hint": ""}
            for group, metrics in members.items()
        ]
        if len(rows) == 1 and rows[0]["m"]["n"] == whole:
            shared.append(f"{name}: {rows[0]['label']}")
        elif rows:
            out.append({"key": name, "rows": rows})
    return out, shared


def _task_page(
    run: RunView, name: str, options: PageOptions, box: SoundBox, share: int
) -> tuple[TaskPage, dict[str, Any]]:
    entry = run.tasks[name]
    views: list[SampleView] = worst_first(list(read_samples(run, name)), entry)
    bins, places = anatomy(views, entry)
    errors, picks = error_table(views, entry)
    shown, spots = views[: options.max_samples_per_task], places[: options.max_samples_per_task]
    with_sound = 0
    if share > 0:
        picked = pick(shown, spots, options.max_audio_samples)
        box.add_all((c for v in picked for c in clips_of(v, run.root)), share)
        with_sound = sum(any(c.sha256 in box.clips for c in clips_of(v, run.root)) for v in shown)
    groups, shared = _groups(entry)
    page = TaskPage(
        run=run,
        name=name,
        entry=entry,
        bins=bins,
        caveats=caveats_of_task(run, name),
        total=len(views),
        shown=len(shown),
        audio=with_sound,
        rows=[_metric_row(k, m) for k, m in entry["metrics"].items()],
        groups=groups,
        shared=shared,
        errors=errors,
    )
    return page, task_json(run, name, shown, spots, bins, picks)


def _title(runs: Sequence[RunView], options: PageOptions) -> str:
    return options.title or " \u00b7 ".join(r.label for r in runs)


def render_page(runs: Sequence[RunView], tables: Sequence[Table], options: PageOptions) -> str:
    """The whole page as text (UTF-8 once written)."""
    from markupsafe import Markup

    box = SoundBox(int(options.max_audio_mb * 1_000_000))
    todo = [(r, name) for r in runs for name in r.tasks]
    found = {r.key: caveats(r) for r in runs}
    pages, blocks = [], []
    for left, (run, name) in zip(range(len(todo), 0, -1), todo, strict=True):
        page, block = _task_page(run, name, options, box, box.budget // left)
        pages.append(page)
        blocks.append((page.block, block))
    cells: dict[str, Any] = {}
    for table in tables:
        for j, row in enumerate(table.rows()):
            for i, cell in enumerate(row.cells):
                if cell.value is not None or cell.signature:
                    cells[f"c-{slug(table.key)}-{j}-{i}"] = cell_json(table, row, cell, i)
    copies = {
        f"{slug(t.key)}.{kind}": make(t)
        for t in tables
        for kind, make in (("csv", csv_text), ("md", markdown))
    }
    audits = [(r, sections(r)) for r in runs]
    data = [("d-cells", cells), ("d-copies", copies), ("d-sound-missing", box.missing), *blocks]
    style = "\n" + _static("report.css")
    script = "\n(() => {\n'use strict';\n" + "\n".join(_static(s) for s in SCRIPTS) + "\nstart();\n})();\n"
    html = (
        environment()
        .get_template("report.html.j2")
        .render(
            title=_title(runs, options),
            runs=[
                {
                    "run": r,
                    "caveats": found[r.key],
                    "figures": figures(r),
                    "verdict": verdict(r, tables, options.reference),
                    "cost": cost_table(r),
                }
                for r in runs
            ],
            tables=tables,
            audits=audits,
            audited=any(found for _, found in audits),
            strips=[(t, strips(t)) for t in tables],
            pages=pages,
            all_smoke=all(r.smoke for r in runs),
            audio_budget=options.max_audio_mb,
            policy=policy(script, style),
            style=Markup(style),
            script=Markup(script),
            data=[(key, Markup(script_json(value))) for key, value in data],
            sounds=list(box.clips.items()),
            version=runs[0].results.get("evalkit", ""),
        )
    )
    return html


def write_page(runs: Sequence[RunView], tables: Sequence[Table], path: Path, options: PageOptions) -> Path:
    """Write the page."""
    text = render_page(runs, tables, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return path
