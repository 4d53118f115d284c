"""What a figure shows: panels of axes. The built-in one is Figure 1; another is a small YAML file.

The report's own Figure 1 isn't among our sources: which rows it draws is our reading of its caption's subject
(overalls of spoken question answering for models of one size; understanding, function calling, empathy), and
the numbers are those of its Tables 1 to 6.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from evalkit import published as paper
from evalkit.errors import UsageError

Kind = Literal["bars", "radar"]
SIZE_CLASSES = {"8b": "2", "large": "1"}
"""Names of a set of models: those of Table 2 (about 8 billion parameters), and of Table 1 (larger, or closed)."""


@dataclass(frozen=True)
class Axis:
    """One measure: a printed row, and whatever of a run fills it; or a task or overall of runs alone.

    Attributes:
        label: what the picture calls it.
        rows: the printed rows that say the same (Tables 1 and 2 print one row for different models).
        task, metric, overall: of a run, where no printed row is meant.
        scale: ends of the scale, worst and best; None where it is open (WER), or not known before a run is there.
        invert: draw 100 - value, so that better is longer.
    """

    label: str
    rows: tuple[paper.PublishedRow, ...] = ()
    task: str = ""
    metric: str = ""
    overall: str = ""
    scale: tuple[float, float] | None = (0.0, 100.0)
    invert: bool = False

    def share(self, value: float) -> float:
        """Where a value stands, 0 (worst of the scale) to 100 (best)."""
        if self.invert:
            return min(100.0, max(0.0, 100.0 - value))
        lo, hi = self.scale or (0.0, 100.0)
        return min(100.0, max(0.0, 100.0 * (value - lo) / (hi - lo)))

    def beyond(self, value: float) -> bool:
        """True when a value lies off the axis, and stands at its end."""
        lo, hi = (0.0, 100.0) if self.invert or self.scale is None else self.scale
        return not lo <= value <= hi

    @property
    def scale_note(self) -> str:
        """What stands beside the label of an axis that isn't simply 0 to 100."""
        if self.invert:
            return "100 \u2212 value"
        lo, hi = self.scale or (0.0, 100.0)
        return "" if (lo, hi) == (0.0, 100.0) else f"{lo:g}\u2013{hi:g}"


@dataclass(frozen=True)
class Panel:
    """One picture of a figure."""

    kind: Kind
    title: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class FigureSpec:
    """Panels side by side; `models` are the printed ones to draw when the caller names none."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    models: tuple[str, ...] | None = None

    @property
    def axes(self) -> list[Axis]:
        return [a for p in self.panels for a in p.axes]


def find_rows(
    section: str, row: str, *, language: str = "", metric: str = "", table: str = ""
) -> tuple[paper.PublishedRow, ...]:
    """The printed rows of that name, one a table.

    Raises:
        UsageError: no such section or row, or one that a language or a metric must tell apart.
    """
    there = [s for s in paper.sections() if section == s.name and table in ("", s.table)]
    if not there:
        names = sorted({s.name for s in paper.sections(table or None)})
        near = difflib.get_close_matches(section, names, 1, 0.3)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it has: {', '.join(names) or 'no such table'}"
        raise UsageError(
            f"the report has no section {section!r}{f' in Table {table}' if table else ''}{hint}"
        )
    found = []
    for s in there:
        fitting = [
            r for r in s.rows
            if r.called(row) and language in ("", r.language) and metric in ("", r.metric)
        ]  # fmt: skip
        if len(fitting) > 1:
            apart = ", ".join(
                " ".join(x for x in (f"{r.benchmark} {r.subset}".strip(), r.language, r.metric) if x)
                for r in fitting
            )
            raise UsageError(
                f"{row!r} means {len(fitting)} rows of {section!r} ({apart}): add language or metric, or write "
                "the benchmark before the row"
            )
        found += fitting
    if not found:
        names = list(dict.fromkeys(r.name for s in there for r in s.rows))
        raise UsageError(f"{section!r} has no row {row!r}; it has: {', '.join(names)}")
    return tuple(found)


def _axis(label: str, section: str, row: str, language: str = "") -> Axis:
    rows = find_rows(section, row, language=language)
    return Axis(label, rows, scale=rows[0].range)


def figure_1() -> FigureSpec:
    """Figure 1: overalls of spoken question answering as bars; the other abilities as a radar."""
    bars = (
        _axis("OpenAudioBench", "OpenAudioBench (S2T)", "Overall"),
        _axis("VoiceBench", "VoiceBench (S2T)", "Overall"),
        _axis("UltraEval-Audio", "UltraEval-Audio (S2S)", "Overall"),
    )
    inner = "Internal test set"
    radar = (
        _axis("MMAU", "Audio Understanding", "MMAU"),
        _axis("MMAU-Pro", "Audio Understanding", "MMAU-Pro"),
        _axis("MMSU", "Audio Understanding", "MMSU"),
        _axis("Function calling", "Speech Function Calling", "Overall"),
        _axis("Instruction following", inner, "Speech Instruction-Following"),
        _axis("Empathy, semantic", inner, "Semantics-based Empathy"),
        _axis("Empathy, paralinguistic", inner, "Paralinguistic-Cue-based Empathy"),
        _axis("VStyle zh", "Overall", "Overall", "zh"),
        _axis("VStyle en", "Overall", "Overall", "en"),
    )
    return FigureSpec(
        "figure-1",
        "Figure 1: spoken question answering, and understanding, function calling, empathy and style",
        (
            Panel("bars", "Spoken question answering (Overall)", bars),
            Panel("radar", "Understanding, function calling, empathy, style", radar),
        ),
    )


def chosen_models(text: str | None, spec: FigureSpec) -> tuple[str, ...]:
    """The printed models to draw, from "A,B", a size class ("8B", "large"), "all" or "none".

    Default: the figure's own, else the size class of about 8B, which the one public checkpoint is of.

    Raises:
        UsageError: a model that the report doesn't print.
    """
    if text is None:
        return spec.models if spec.models is not None else chosen_models("8B", spec)
    known = paper.models()
    found: dict[str, None] = {}
    for word in (w.strip() for w in text.split(",")):
        low = word.casefold()
        if low in ("", "none"):
            continue
        if low == "all":
            found.update(dict.fromkeys(m for m in known if _drawn(m, spec)))
        elif low in SIZE_CLASSES:
            table = SIZE_CLASSES[low]
            found.update({m: None for s in paper.sections(table) for m in s.models})
        else:
            name = next((m for m in known if m.casefold() == low), None)
            if name is None:
                near = difflib.get_close_matches(word, known, 1, 0.4)
                hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known)}."
                raise UsageError(f"the report prints no model {word!r}; {hint} (Sets: 8B, large, all, none.)")
            found[name] = None
    return tuple(found)


def _drawn(model: str, spec: FigureSpec) -> bool:
    return any(model in r.values for a in spec.axes for r in a.rows)
