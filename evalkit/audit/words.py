"""What tables call the figures of an audit, and how they write them. For the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.audit.figures import Figure

LABELS = {
    "accuracy": "same verdict",
    "within_one": "within one step",
    "kappa": "Cohen's kappa",
    "kappa_quadratic": "quadratic kappa",
    "alpha": "Krippendorff's alpha",
    "spearman": "Spearman's rho",
    "pearson": "Pearson's r",
    "mean_difference": "mean difference",
    "rho_gap": "rho below people's own",
    "mean_first": "mean, first",
    "mean_second": "mean, second",
    "p_value": "p (either way)",
    "identical": "all repeats the same",
    "within_sample_sd": "SD within a sample",
    "retest_spearman": "Spearman's rho, retest",
    "headline_mean": "headline, mean",
    "headline_sd": "headline, SD",
    "headline_range": "headline, range",
    "as_on_record": "as on record",
    "length_spearman": "rho of score and length",
    "length_partial": "the same, people's score held",
    "length_excess": "beyond people's labels and noise",
    "mean_score": "mean score",
    "agreement": "agreement with people",
    "change": "change of the score",
    "share": "share",
    "consistent": "same choice in both orders",
    "first_position": "first place chosen",
}
PAIRS = {
    "judge-people": "judge and people",
    "judge-each": "judge and each person",
    "people-people": "people among themselves",
    "all": "all together",
    "first-second": "first and second",
    "": "value",
}
SIDES = {
    "humans": ("judge", "people"),
    "judges": ("first", "second"),
    "repeats": ("highest", "lowest"),
    "probes": ("", ""),
}
"""What the two verdicts on a differing sample are called, by audit."""

BY_SUBSET = ("accuracy", "kappa", "kappa_quadratic", "alpha", "spearman")
"""What is told of a subset, where agreement is."""


def label(figure: Figure) -> str:
    """What a figure is called."""
    return LABELS.get(figure.statistic, figure.statistic.replace("_", " "))


def written(value: float | None, decimals: int = 3) -> str:
    """A value for people, or "undefined". No minus before a zero."""
    if value is None:
        return "undefined"
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def amount(figure: Figure) -> str:
    """A figure's value; a chance too small to be written with the decimals as "< 0.001"."""
    tiny = figure.statistic == "p_value" and figure.value is not None and 0 <= figure.value < 0.0005
    return "< 0.001" if tiny else written(figure.value)


def span(figure: Figure, decimals: int = 3) -> str:
    """The interval in brackets, "" without one."""
    return f"[{written(figure.ci[0], decimals)}, {written(figure.ci[1], decimals)}]" if figure.ci else ""


def columns(figures: Sequence[Figure]) -> list[str]:
    """The pairs that occur, in the order of `PAIRS`."""
    held = {f.pair for f in figures}
    return [p for p in PAIRS if p in held] + sorted(held - PAIRS.keys())


def rows(figures: Sequence[Figure]) -> list[tuple[str, dict[str, Figure]]]:
    """The figures of one subset as table rows: a statistic's label, and its figure by pair."""
    out: dict[str, dict[str, Figure]] = {}
    for f in figures:
        out.setdefault(label(f), {})[f.pair] = f
    return list(out.items())


def notes(figures: Sequence[Figure]) -> list[str]:
    """What has to be said below a table: why figures are undefined, and what they are of; equal notes once."""
    said: dict[str, list[str]] = {}
    for f in figures:
        if f.note and (f.value is None or not f.note.startswith("mean over")):
            where = f" ({PAIRS.get(f.pair, f.pair)})" if f.pair and f.value is None else ""
            said.setdefault(f.note, []).append(f"{label(f)}{where}")
    return [f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in said.items()]
