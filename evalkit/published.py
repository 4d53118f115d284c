"""The numbers the Fun-Audio-Chat report prints (arXiv 2512.20156, Tables 1 to 7), as typed rows.

The values are kept as printed ("100" and "100.00" differ on paper), with what is known against single cells.
Sources: headline sheet; corrections sheet; VoiceBench sheet section 12.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from evalkit.errors import UsageError

OVERALLS = ("Overall", "Avg.")
METRICS = {
    "geval": "G-Eval",
    "accuracy": "Accuracy",
    "refusal_rate": "Refusal rate",
    "mean": "Mean",
    "wer": "WER",
    "lalm_score": "LALM judge",
    "weighted_mean": "Weighted mean",
    "turn_taking_success_rate": "Success rate",
}
"""What tables call the metrics of printed rows; one that isn't here by its own name."""


@dataclass(frozen=True)
class PublishedRow:
    """One row of a printed table.

    Attributes:
        benchmark, subset, language: what the row is about; `subset` and `language` may be "".
        metric, unit: "geval", "accuracy", "wer", ...; "%", "score_1_5", "score_0_100", ...
        values: model to value as printed; a model without a printed value is absent.
    """

    table: str
    section: str
    benchmark: str
    subset: str
    language: str
    metric: str
    unit: str
    higher_is_better: bool
    values: Mapping[str, str]

    @property
    def name(self) -> str:
        """What a task's `Cell.row` calls it: the subset, or the benchmark where there is no subset."""
        return self.subset or self.benchmark

    @property
    def range(self) -> tuple[float, float] | None:
        """The printed scale's ends; None when it is open (WER)."""
        if self.metric == "wer":
            return None
        return (1.0, 5.0) if "1_5" in self.unit else (0.0, 100.0)

    def value(self, model: str) -> float | None:
        """The printed number, or None where the report prints a dash."""
        text = self.values.get(model)
        return None if text is None else float(text)

    def called(self, name: str) -> bool:
        """True when `name` means this row: "SD-QA", "MMAU", or "Speech-BFCL Single"."""
        return name in (self.name, f"{self.benchmark} {self.subset}")


@dataclass(frozen=True)
class PublishedSection:
    """One section of a printed table: models and rows, both in print order."""

    table: str
    name: str
    models: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    def row(self, name: str, language: str = "", metric: str = "") -> PublishedRow | None:
        """The row a task's cell names, or None; "" for what tells no rows apart here."""
        return next(
            (
                r
                for r in self.rows
                if r.called(name) and language in ("", r.language) and metric in ("", r.metric)
            ),
            None,
        )


@dataclass(frozen=True)
class PublishedModel:
    """A model of the report: its size and frame rates as printed, and what it is to the report."""

    name: str
    params: str
    llm_size: str
    frame_rate_in: str
    frame_rate_out: str
    access: str
    role: str
    tables: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Footnote:
    """Something known against printed cells. An empty field of the address matches everything."""

    table: str
    section: str
    rows: tuple[str, ...]
    models: tuple[str, ...]
    text: str
    wrong: bool = False

    def covers(self, table: str, section: str, row: str, model: str) -> bool:
        return (
            self.table in ("", table)
            and self.section in ("", section)
            and (not self.rows or row in self.rows)
            and (not self.models or model in self.models)
        )


_VB, _UE, _OAB = "VoiceBench (S2T)", "UltraEval-Audio (S2S)", "OpenAudioBench (S2T)"
FOOTNOTES: tuple[Footnote, ...] = (
    Footnote(
        "2", _VB, ("IFEval",), ("GLM-4-Voice",),
        "As printed; 52.80 is this model's BBH score on the official VoiceBench leaderboard, "
        "where its IFEval is 25.92.", wrong=True,
    ),
    Footnote(
        "2", _VB, ("Overall",), ("GLM-4-Voice",),
        "As printed; it contains the misplaced IFEval value. With 25.92 it would be 55.99.", wrong=True,
    ),
    Footnote(
        "2", _VB, ("SD-QA", "MMSU", "OpenBookQA"), ("GLM-4-Voice", "MiniCPM-o 2.6", "Baichuan-Omni-1.5"),
        "Equals the official VoiceBench leaderboard (template MCQ, mean of PEDANT and judge), not the "
        "protocol of the report's own columns: part of a gap is protocol.",
    ),
    Footnote(
        "2", _VB, ("SD-QA", "MMSU", "OpenBookQA"), ("Kimi-Audio",),
        "Equals the leaderboard of Kimi-Audio-Evalkit, whose protocol differs from the official scorer's.",
    ),
    Footnote(
        "2", _UE, (), ("GLM-4-Voice", "MiniCPM-o 2.6"),
        "Quoted from the UltraEval-Audio leaderboard at its precision, not re-run.",
    ),
    Footnote(
        "2", _UE, ("AlpacaEval", "TriviaQA", "Web Q."), ("Kimi-Audio",),
        "Fits only reduced sample counts: failed samples seem to have left the denominator.",
    ),
    Footnote(
        "1", _VB, ("SD-QA",), ("GPT-Audio", "Fun-Audio-Chat-30B-A3B"),
        "No count of the 553 samples gives this value: another aggregation or set of regions.",
    ),
    Footnote(
        "2", _OAB, (), ("GLM-4-Voice", "Kimi-Audio"),
        "Equals the leaderboard of Kimi-Audio-Evalkit digit for digit: copied, not re-run.",
    ),
    Footnote(
        "", _OAB, ("Reasoning QA",), ("GLM-4-Voice", "Kimi-Audio", "Gemini-2.5-Pro"),
        "No share of 202 samples, but 20 x a mean rating of 0-5; the report's own columns are accuracies.",
    ),
    Footnote(
        "1", _OAB, ("Reasoning QA",), ("Longcat-Flash-Omni-Instruct",),
        "Neither a share of 202 samples nor 20 x a mean rating of theirs: a number from elsewhere.",
    ),
    Footnote(
        "2", _OAB, (), ("MiniCPM-o 2.6", "Baichuan-Omni-1.5"),
        "Ends in 0 in every row, like published values of one decimal brought to 0-100: copied, it seems.",
    ),
)  # fmt: skip


def footnotes(table: str, section: str, row: str, model: str) -> tuple[Footnote, ...]:
    """What is known against one printed cell."""
    return tuple(f for f in FOOTNOTES if f.covers(table, section, row, model))


def _records(name: str) -> Iterator[dict[str, str]]:
    text = resources.files("evalkit").joinpath("data", name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


@lru_cache(maxsize=1)
def _sections() -> dict[tuple[str, str], PublishedSection]:
    heads: dict[tuple[str, ...], tuple[dict[str, str], dict[str, str]]] = {}
    models: dict[tuple[str, str], list[str]] = {}
    fields = ("table", "section", "benchmark", "subset", "language", "metric")
    for r in _records("published_results.csv"):
        heads.setdefault(tuple(r[f] for f in fields), (r, {}))[1][r["model"]] = r["value"]
        seen = models.setdefault((r["table"], r["section"]), [])
        if r["model"] not in seen:
            seen.append(r["model"])
    rows: dict[tuple[str, str], list[PublishedRow]] = {}
    for r, values in heads.values():
        table, section, benchmark, subset, language, metric = (r[f] for f in fields)
        up = r["higher_is_better"] == "true"
        row = PublishedRow(table, section, benchmark, subset, language, metric, r["unit"], up, values)
        rows.setdefault((row.table, row.section), []).append(row)
    return {k: PublishedSection(k[0], k[1], tuple(models[k]), tuple(v)) for k, v in rows.items()}


def sections(table: str | None = None) -> tuple[PublishedSection, ...]:
    """Every section, or those of one table, in print order."""
    return tuple(s for s in _sections().values() if table in (None, s.table))


def find(table: str, section: str) -> PublishedSection | None:
    """A section, or None when that table has none of that name."""
    return _sections().get((str(table), section))


def published(table: str, section: str) -> PublishedSection:
    """A section of a printed table.

    Raises:
        UsageError: no such table or section, naming the sections there are.
    """
    found = find(table, section)
    if found is None:
        there = ", ".join(f"{s.table}: {s.name}" for s in sections())
        raise UsageError(f"the report has no section {section!r} in Table {table}; it has: {there}")
    return found


@lru_cache(maxsize=1)
def models() -> Mapping[str, PublishedModel]:
    """The report's 19 models by name."""
    return {
        r["model"]: PublishedModel(
            r["model"], r["params"], r["llm_size"], r["frame_rate_in"], r["frame_rate_out"], r["open/closed"],
            r["role"], tuple(r["tables"].split(";")), r["note"],
        )
        for r in _records("models.csv")
    }  # fmt: skip
