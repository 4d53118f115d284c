"""The layouts of the report's seven tables: what stands before the numbers, and how rows are called in print.

Sections, rows and models come in print order from the packaged numbers. Sources: headline sheet sections 2 and 3,
corrections sheet section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit import published as paper
from evalkit.errors import UsageError

NUMBERS = ("1", "2", "3", "4", "5", "6", "7")
UP, DOWN = "\u2191", "\u2193"
UNITS = {"%": "%", "score_1_5": "1-5", "score_0_100": "0-100", "mixed_0_100": "0-100"}
_SHOWN = {"%": "%", "1-5": "1\u20135", "0-100": "0\u2013100"}


@dataclass(frozen=True)
class Layout:
    """One table of the report.

    Attributes:
        caption: what is measured, in our words.
        stub: heads of what stands before the numbers.
        says: of each of these, what it is: "row", "metric", "language", "benchmark" or "subset".
        sized: the models' size and frame rates stand above the rows.
        beside: printed metrics that are columns of one model side by side; one without them spans these.
        names: names of rows in print, where they aren't the packaged ones.
        measured: per section, what its heading says of metric and unit where no column does.
    """

    number: str
    title: str
    caption: str
    stub: tuple[str, ...]
    says: tuple[str, ...]
    sized: bool = False
    beside: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    measured: str = ""


_QA = "S2T: the text answer is scored; S2S: the transcript of the spoken answer."
_SHORT = {
    **{"Gender": "Gend.", "Emotion": "Emot.", "Volume": "Vol.", "Composite": "Comp.", "Variation": "Vari."},
    **{"Scenario": "Scen.", "Character": "Char.", "Sadness": "Sad.", "Anxiety": "Anx."},
}
_ASR = {
    "LibriSpeech test-clean": "Librispeech-clean",
    "LibriSpeech test-other": "Librispeech-other",
    "Common Voice EN": "Common Voice-EN",
    "Common Voice ZH": "Common Voice-ZH",
}
LAYOUTS: dict[str, Layout] = {
    layout.number: layout
    for layout in (
        Layout(
            "1", "Spoken question answering, large models", _QA,
            ("Dataset", "Metric"), ("row", "metric"), sized=True,
        ),
        Layout(
            "2", "Spoken question answering, models of about 8B", _QA,
            ("Dataset", "Metric"), ("row", "metric"), sized=True,
        ),
        Layout(
            "3", "Audio understanding and speech recognition", "", ("Dataset", "Metric"), ("row", "metric"),
            names=_ASR,
        ),
        Layout(
            "4", "Speech function calling", "Overall: the mean of the five sets.",
            ("Dataset", "Subset"), ("benchmark", "subset"), measured=f"accuracy of calls (%) {UP}",
        ),
        Layout(
            "5", "Speaking style (VStyle)", "Ratings by a judge that hears the answer.",
            ("Dimension", "Lang."), ("row", "language"), names=_SHORT, measured=f"1\u20135 {UP}",
        ),
        Layout(
            "6", "Instruction following and empathy on the internal test set",
            "Ratings by a judge that hears the answer.",
            ("Dimension",), ("row",), measured=f"1\u20135 {UP}",
        ),
        Layout(
            "7", "Full-duplex interaction",
            "S2M-T: the text stream is scored; S2M-S: the transcript of the speech stream.",
            ("Dataset", "Metric"), ("row", "metric"), beside=("S2M-T", "S2M-S"),
        ),
    )
}  # fmt: skip


def layout_of(number: str) -> Layout:
    """A table's layout. Raises UsageError for a number that the report has no table of."""
    if number not in LAYOUTS:
        raise UsageError(
            f"the report has no Table {number}; it has 1 to 7. Write --table 2, --table all, or --table FILE.yaml."
        )
    return LAYOUTS[number]


def models_of(number: str) -> tuple[str, ...]:
    """The table's models in print order."""
    return tuple(dict.fromkeys(m for s in paper.sections(number) for m in s.models))


def unit_of(row: paper.PublishedRow) -> str:
    """ "%", "1-5" or "0-100"."""
    return UNITS.get(row.unit, row.unit)


def measure(label: str, unit: str, higher_is_better: bool) -> str:
    """ "Accuracy (%) \\u2191" """
    arrow = UP if higher_is_better else DOWN
    return f"{label} ({_SHOWN.get(unit, unit)}) {arrow}" if unit else f"{label} {arrow}"


def metric_label(row: paper.PublishedRow) -> str:
    return paper.METRICS.get(row.metric, row.metric)


def printed_name(layout: Layout, row: paper.PublishedRow) -> str:
    """What the row is called in print."""
    return layout.names.get(f"{row.benchmark} {row.subset}") or layout.names.get(row.name) or row.name


def stub_of(layout: Layout, row: paper.PublishedRow) -> tuple[str, ...]:
    """What stands before the row's numbers."""
    label = metric_label(row)
    if row.metric in layout.beside:
        label = "/".join(layout.beside)
    texts = {
        "row": printed_name(layout, row),
        "metric": measure(label, unit_of(row), row.higher_is_better),
        "language": row.language,
        "benchmark": row.benchmark if row.name not in paper.OVERALLS else row.name,
        "subset": row.subset if row.name not in paper.OVERALLS else "",
    }
    return tuple(texts[what] for what in layout.says)


def decimals_of(row: paper.PublishedRow) -> int:
    """Decimals of most of the row's printed numbers; the larger of two as frequent ones ("100", "7.4")."""
    counts = [len(v.partition(".")[2]) for v in row.values.values()]
    return max(counts, key=lambda n: (counts.count(n), n), default=2)
