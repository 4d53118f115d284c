"""compare.html: the verdict, the table with its forest plot, and the samples that flipped, answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.linefiles import replacing
from reports.comparison import words
from reports.comparison.flips import BINS, Flips, clips, flips, ordered
from reports.comparison.model import Comparison, Line, Side
from reports.figures import ForestRow, forest_svg
from reports.page import Data, block, plain_block
from reports.page.shell import pieces
from reports.safe import slug
from reports.samples import SampleView, read_samples
from reports.sound import SoundBox
from reports.trust import Caveat

WIDTHS = {"%": 100.0, "0-100": 100.0, "1-5": 4.0, "MOS": 4.0}
"""Width of a printed scale, by its unit: a forest plot draws hundredths of it."""
_KINDS = {"better": "good", "worse": "bad", "undecided": "open"}


@dataclass(frozen=True)
class LineView:
    """A line with samples, as the template sees it: its own view in the page."""

    line: Line
    a: Side
    b: Side
    route: str
    block: str
    flips: Flips
    groups: list[Line]
    audio: int

    @property
    def signatures(self) -> list[str]:
        """How both numbers were made; one line where they agree."""
        views = [s.view for s in (self.a, self.b) if s.view is not None]
        found = [str(v.tasks[self.line.task]["metrics"][self.line.metric]["signature"]) for v in views]
        return list(dict.fromkeys(found))

    @property
    def bins(self) -> list[dict[str, Any]]:
        """The bars: lost, won, alike, without a pair."""
        most = max(self.flips.counts) or 1
        return [
            {"label": label, "tone": tone, "n": n, "share": round(100 * n / most, 2)}
            for (label, tone), n in zip(BINS, self.flips.counts, strict=True)
        ]


def route_of(line: Line) -> str:
    """The address of a line's view: "b/voicebench/sd-qa", with the metric where it isn't the headline."""
    base = f"{line.a}-{line.b}/{line.task}"
    return base if line.kind == "task" else f"{base}:{line.metric}"


def write_page(
    c: Comparison,
    path: Path,
    *,
    title: str | None = None,
    max_samples: int = 5000,
    max_audio_mb: float = 24.0,
    max_audio_samples: int = 24,
    template: str = "compare.html.j2",
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page.

    Args:
        title: heading; None makes one of the sides' labels.
        max_samples: samples per line in the page: those that flipped first.
        max_audio_mb: MB of audio in the page, over all lines.
        max_audio_samples: samples per line that carry audio.
        template: one that extends compare.html.j2, and `more` of what it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        for piece in render(
            c,
            title=title,
            max_samples=max_samples,
            max_audio_mb=max_audio_mb,
            max_audio_samples=max_audio_samples,
            template=template,
            more=more,
        ):
            file.write(piece)
    return path


def render(
    c: Comparison,
    *,
    title: str | None = None,
    max_samples: int = 5000,
    max_audio_mb: float = 24.0,
    max_audio_samples: int = 24,
    template: str = "compare.html.j2",
    more: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """The page in pieces; see `write_page`."""
    from markupsafe import Markup

    box = SoundBox(int(max_audio_mb * 1_000_000))
    views: dict[str, LineView] = {}
    data: list[Data] = []
    todo = [x for x in c.lines if x.pairs is not None and x.kind in ("task", "metric")]
    held: tuple[tuple[str, str, str], tuple[Mapping[str, SampleView], ...]] | None = None
    for left, line in zip(range(len(todo), 0, -1), todo, strict=True):
        key = (line.a, line.b, line.task)
        if held is None or held[0] != key:
            wanted = _wanted([x for x in todo if (x.a, x.b, x.task) == key], max_samples)
            held = key, tuple(_samples(c.by_key[k], line.task, wanted) for k in (line.a, line.b))
        found = _view(line, c, held[1], max_samples)
        if box.budget > 0:
            box.add_all(clips(line, c, held[1], max_audio_samples), box.budget // left)
        heard = _heard(held[1][1], box)
        views[found.route] = LineView(
            line, found.a, found.b, found.route, found.block, found.flips, found.groups, heard
        )
        data.append(block(found.block, found.flips.mine))
        data.append(block(f"{found.block}-a", found.flips.theirs))
    data += [plain_block("d-sound", box.told()), plain_block("d-sound-missing", box.missing)]
    yield from pieces(
        title or _title(c),
        template,
        data,
        box.clips,
        styles=("compare.css",),
        sections=[_section(c, a, b, views, Markup, i) for i, (a, b) in enumerate(c.pairs)],
        pages=list(views.values()),
        comparison=c,
        caveats=_caveats(c),
        refusals=words.refusals(c),
        remedy=words.remedy(c),
        legend=words.tests_said(c),
        alone=words.alone(c),
        heading=title or _title(c),
        words=words,
        audio_budget=max_audio_mb,
        version=__version__,
        **(more or {}),
    )


def _title(c: Comparison) -> str:
    pairs = c.pairs
    if len(pairs) == 1:
        return f"{pairs[0][1].label} against {pairs[0][0].label}"
    return ", ".join(s.label for s in c.sides)


def _wanted(lines: Sequence[Line], limit: int) -> set[str]:
    """The samples that the page holds of a task, over all of its lines."""
    return {i for x in lines if x.pairs is not None for i, _ in islice(ordered(x.pairs), limit)}


def _samples(side: Side, task: str, wanted: set[str]) -> Mapping[str, SampleView]:
    return {v.id: v for v in read_samples(side.view, task) if v.id in wanted} if side.view is not None else {}


def _view(line: Line, c: Comparison, views: tuple[Mapping[str, SampleView], ...], limit: int) -> LineView:
    route = route_of(line)
    key = f"d-{slug(route)}"
    groups = [
        x
        for x in c.lines
        if x.kind == "group" and (x.a, x.b, x.task, x.metric) == (line.a, line.b, line.task, line.metric)
    ]
    return LineView(
        line,
        c.by_key[line.a],
        c.by_key[line.b],
        route,
        key,
        flips(line, c, views, limit, f"{key}-a"),
        groups,
        0,
    )


def _heard(views: Mapping[str, SampleView], box: SoundBox) -> int:
    """How many samples of a run have sound in the page."""
    out = 0
    for v in views.values():
        digests = [str(s.get("sha256", "")) for s in v.line.get("sent") or ()]
        out += any(d in box.clips for d in (*digests, v.speech_sha256 or ""))
    return out


def _section(
    c: Comparison, a: Side, b: Side, views: Mapping[str, LineView], markup: Any, index: int
) -> dict[str, Any]:
    """A pair of sides on the first view."""
    lines = [x for x in c.lines if (x.a, x.b) == (a.key, b.key) and not x.refused]
    heads = [x for x in lines if x.kind != "group"]
    shown = [x for x in heads if x.difference is not None]
    svg = forest_svg([_row(x, c) for x in shown], title=f"{b.label} less {a.label}", ident=f"forest-{index}")
    return {
        "a": a,
        "b": b,
        "lines": [(x, route_of(x) if route_of(x) in views else "") for x in heads],
        "sentence": words.verdict_sentence(c, a, b),
        "forest": markup(svg) if shown else "",
        "key": f"{a.key}-{b.key}",
    }


def _row(line: Line, c: Comparison) -> ForestRow:
    d = line.difference
    assert d is not None
    span = WIDTHS.get(line.unit, 100.0)
    verdict = line.verdict(c.alpha)
    label = f"{line.task} {line.label}" if line.kind == "metric" else line.name
    if line.kind == "overall":
        label += " overall"
    return ForestRow(
        label=label,
        delta=d.delta,
        ci=d.ci,
        verdict=words.told(line, c.alpha),
        kind=_KINDS.get(verdict, ""),
        higher_is_better=line.higher_is_better,
        width=span,
        decimals=line.decimals,
    )


def _caveats(c: Comparison) -> list[Caveat]:
    """What limits trust in the whole: each mark once, with the tasks it is about."""
    found: dict[str, dict[str, None]] = {}
    notes: dict[str, str] = {}
    for x in c.lines:
        for mark in x.marks:
            found.setdefault(mark, {})[x.task] = None
    for x in c.lines:
        for part in x.allowed:
            found.setdefault(f"allowed {part.name}", {})[x.task] = None
    for mark in found:
        notes[mark] = _SENTENCES.get(mark, "")
    out = []
    for mark, tasks in found.items():
        short = words.MARKS.get(mark, f"{mark.removeprefix('allowed ')} differs, by leave")
        sentence = notes[mark] or "The signatures differ in this part; compared because --allow says so."
        out.append(Caveat(mark, short, sentence, tuple(tasks)))
    return out


_SENTENCES = {
    "not-meaningful": "A stand-in judge gave these verdicts: the differences say nothing about the models.",
    "demo": "The embedded demo is no baseline of anything.",
    "smoke": "Smoke data: our own few questions in the benchmarks' layout, not the benchmarks.",
    "limited": "Partial data by request (--limit).",
    "own-data": "Measured on data of your own, not on the set of printed numbers.",
    "withheld": "No difference is given while samples are unscored, because being unscored depends on the verdict.",
    "misprint": "A misprint of the printed number is known.",
    "footnote": "Something is known against the printed number; see the line's notes.",
    "decoding": "The runs decode in different ways; that belongs to the runner, so they are compared.",
    "truncated": "The token limit cut answers off: scores are of what was said until then. How many: at each task.",
    "changed": "Some samples have another question or target in the other run: it is no longer one set.",
    "partial": "Where only one run has a judge's verdict on a sample, it counts in neither.",
}


def notes_of(lines: Sequence[Line]) -> list[str]:
    """Notes of lines, each once."""
    return list(dict.fromkeys(n for x in lines for n in x.notes))
