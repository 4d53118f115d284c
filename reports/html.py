"""The report of runs as a page: one file, or a folder with the sound beside it. No request to anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from evalkit.errors import UsageError
from evalkit.linefiles import replacing
from reports.audits import sections
from reports.cells import Table
from reports.costs import cost_table
from reports.coverage import of_cells
from reports.figures import inline_figure
from reports.overview import figures, strips, verdict
from reports.page.blocks import plain_block
from reports.page.shell import environment, pieces
from reports.pagedata import Other, cell_json
from reports.plaintext import csv_text, markdown
from reports.reproduction.page import section as reproduced
from reports.runs import RunView
from reports.safe import slug
from reports.sound import SoundBox
from reports.taskpage import block_ids, task_page
from reports.timing import seconds_text
from reports.trust import caveats

EMBEDDED_MB, BUNDLED_MB, EMBEDDED_SAMPLES = 24.0, 500.0, 24
AUDIO = "audio"
_LINK = re.compile(r'"u":"audio/([0-9a-f]{64}\.(?:wav|flac|mp3|ogg))"')


@dataclass(frozen=True)
class PageOptions:
    """What goes into a page.

    Attributes:
        title: heading and window title; None makes one of the models' names.
        max_samples_per_task: samples shown per task, the worst first; None shows all.
        max_audio_mb: MB of audio over all tasks; None takes 24 in one file, 500 in a folder.
        max_audio_samples: samples per task that carry audio; None takes 24 in one file, all in a folder.
        reference: the printed model the verdict compares with.
        bundle: sound goes into files beside the page.
    """

    title: str | None = None
    max_samples_per_task: int | None = None
    max_audio_mb: float | None = None
    max_audio_samples: int | None = None
    reference: str = "Fun-Audio-Chat-8B"
    bundle: bool = False

    @property
    def audio_mb(self) -> float:
        default = BUNDLED_MB if self.bundle else EMBEDDED_MB
        return default if self.max_audio_mb is None else self.max_audio_mb

    @property
    def audio_samples(self) -> int | None:
        if self.max_audio_samples is not None:
            return self.max_audio_samples
        return None if self.bundle else EMBEDDED_SAMPLES


def _title(runs: Sequence[RunView], options: PageOptions) -> str:
    return options.title or " \u00b7 ".join(r.label for r in runs)


def _cells(tables: Sequence[Table]) -> dict[str, Any]:
    """What the card of each cell says, by the cell's id."""
    return {
        f"c-{slug(table.key)}-{j}-{i}": cell_json(table, row, cell, i)
        for table in tables
        for j, row in enumerate(table.rows())
        for i, cell in enumerate(row.cells)
        if cell.value is not None or cell.signature
    }


def _copies(tables: Sequence[Table]) -> dict[str, str]:
    """Each table as text to copy, by table and format."""
    from reports.renderers.latex import environment as latex

    formats = (("csv", csv_text), ("tex", latex), ("md", markdown))
    return {f"{slug(t.key)}.{kind}": make(t) for t in tables for kind, make in formats}


def _others(
    run: RunView, task: str, runs: Sequence[RunView], ids: Mapping[tuple[str, str], str]
) -> list[Other]:
    return [Other(r.key, r.label, ids[r.key, task]) for r in runs if r is not run and task in r.tasks]


def page_pieces(
    runs: Sequence[RunView], tables: Sequence[Table], options: PageOptions, box: SoundBox
) -> Iterator[str]:
    """The page, piece by piece; the tasks are read one after the other before the first one comes."""
    todo = [(r, name) for r in runs for name in r.tasks]
    ids = block_ids(runs)
    found = {r.key: caveats(r) for r in runs}
    pages, blocks = [], []
    for left, (run, name) in zip(range(len(todo), 0, -1), todo, strict=True):
        page, data = task_page(
            run,
            name,
            ids[run.key, name],
            box,
            box.budget // left,
            most_samples=options.max_samples_per_task,
            most_sounds=options.audio_samples,
            others=_others(run, name, runs, ids),
        )
        pages.append(page)
        blocks += data
    audits = [(r, sections(r)) for r in runs]
    covered = of_cells(tables, runs)
    data = [
        plain_block("d-cells", _cells(tables)),
        plain_block("d-copies", _copies(tables)),
        plain_block("d-sound", box.told()),
        plain_block("d-sound-missing", box.missing),
        *blocks,
    ]
    heads: list[Mapping[str, Any]] = [
        {
            "run": r,
            "caveats": found[r.key],
            "figures": figures(r),
            "verdict": verdict(r, tables, options.reference),
            "cost": cost_table(r),
            "pages": [p for p in pages if p.run is r],
            "reproduced": reproduced(r.root),
        }
        for r in runs
    ]
    return pieces(
        _title(runs, options),
        "report.html.j2",
        data,
        {} if options.bundle else box.clips,
        folder=options.bundle,
        styles=("reproductions.css",) if any(h["reproduced"] for h in heads) else (),
        runs=heads,
        tables=tables,
        audits=audits,
        audited=any(found for _, found in audits),
        strips=[(t, strips(t)) for t in tables],
        picture=Markup(inline_figure(runs)),
        pages=pages,
        covered=lambda cell: covered.get(id(cell)),
        all_smoke=all(r.smoke for r in runs),
        audio_budget=options.audio_mb,
        bundle=options.bundle,
        took=seconds_text,
        version=runs[0].results.get("evalkit", ""),
    )


def write_page(runs: Sequence[RunView], tables: Sequence[Table], path: Path, options: PageOptions) -> Path:
    """Write the page; of a bundle also the folder `audio` beside it.

    Raises:
        UsageError: a bundle would go into a run directory, whose own folder has that name.
    """
    if options.bundle and any((path.parent / name).exists() for name in ("run.json", "results.json")):
        raise UsageError(
            f"{path.parent} is a run directory; give the bundle a folder of its own with --out DIR."
        )
    earlier = _sounds_of(path) if options.bundle and path.is_file() else set()
    box = SoundBox(int(options.audio_mb * 1_000_000), path.parent / AUDIO if options.bundle else None)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = page_pieces(runs, tables, options, box)
    with replacing(path) as file:
        file.writelines(found)
    for name in earlier - box.files:
        (path.parent / AUDIO / name).unlink(missing_ok=True)
    return path


def _sounds_of(path: Path) -> set[str]:
    """Files of sound that an earlier bundle at this place put beside itself, by what its page says."""
    with path.open(encoding="utf-8", errors="replace") as file:
        told = next((line for line in file if 'id="d-sound"' in line), "")
    return set(_LINK.findall(told))


__all__ = ["PageOptions", "environment", "page_pieces", "write_page"]
