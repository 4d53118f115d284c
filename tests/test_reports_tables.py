"""Tables: the report's shape, who may be called best, what is marked, and the printed numbers themselves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from report_fixtures import VB, make_run

from evalkit import published as paper
from evalkit.errors import UsageError
from reports.cells import Cell, Table, ranked
from reports.makers import metric_cell
from reports.plaintext import csv_text, markdown
from reports.runs import RunView, load_runs
from reports.tables import EXTRA, OTHER, build_tables
from reports.trust import caveats, caveats_of_task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "real")
    make_run(root / "demo", demo=True, meaningful=False, label="embedded-tiny")
    return root


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[RunView]:
    return load_runs([folder / "real", folder / "demo"])


@pytest.fixture(scope="module")
def table(runs: list[RunView]) -> Table:
    return build_tables(runs)[0]


def row_of(table: Table, label: str, section: int = 0):  # type: ignore[no-untyped-def]
    return next(r for r in table.sections[section].rows if r.label == label)


def test_published_numbers_are_all_there() -> None:
    assert sum(len(r.values) for s in paper.sections() for r in s.rows) == 561
    assert len(paper.models()) == 19
    section = paper.published("2", VB)
    assert section.models[0] == "GLM-4-Voice"
    assert section.models[-1] == "Fun-Audio-Chat-8B"
    row = section.row("SD-QA")
    assert row is not None and row.value("Fun-Audio-Chat-8B") == 66.27
    assert row.value("GPT-Audio") is None
    wer = paper.published("3", "Speech Recognition").row("LibriSpeech test-other")
    assert wer is not None and not wer.higher_is_better and wer.value("Fun-Audio-Chat-8B") == 4.13
    with pytest.raises(UsageError, match="Table 9"):
        paper.published("9", VB)


def test_printed_overalls_are_the_mean_of_their_rows() -> None:
    for number in ("1", "2"):
        section = paper.published(number, VB)
        for model in section.models:
            values = [(r.value(model) or 0) * (20 if r.unit == "score_1_5" else 1) for r in section.rows[:-1]]
            overall = section.rows[-1].value(model)
            assert overall == pytest.approx(sum(values) / 7, abs=0.0051)


def test_the_misplaced_value_has_its_footnote() -> None:
    notes = paper.footnotes("2", VB, "IFEval", "GLM-4-Voice")
    assert [f.wrong for f in notes] == [True]
    assert "BBH" in notes[0].text
    assert not paper.footnotes("2", VB, "IFEval", "Kimi-Audio")


def test_rows_and_columns_are_those_of_table_2(table: Table) -> None:
    assert [r.label for r in table.sections[0].rows] == [
        "AlpacaEval", "CommonEval", "SD-QA", "MMSU", "OpenBookQA", "IFEval", "AdvBench", "Overall",
    ]  # fmt: skip
    assert [c.label for c in table.columns][-3:] == ["Fun-Audio-Chat-8B", "my-model", "embedded-tiny"]
    assert len(table.columns) == 9
    assert all(len(r.cells) == 9 for r in table.rows())
    assert [s.title for s in table.sections[1:]] == [EXTRA, OTHER]
    assert [r.label for r in table.sections[1].rows] == ["WildVoice"]


def test_table_1_is_an_option(runs: list[RunView]) -> None:
    both = build_tables(runs, ["1", "2"])[0]
    assert sum(c.kind == "published" for c in both.columns) == 11
    gpt = next(i for i, c in enumerate(both.columns) if c.label == "GPT-Audio")
    assert row_of(both, "SD-QA").cells[gpt].text == "89.72"
    none = build_tables(runs, [])[0]
    assert [c.kind for c in none.columns] == ["run", "run"]
    assert {r.label for r in none.sections[0].rows} == {"SD-QA", "AlpacaEval", "WildVoice", "Overall"}


def test_a_cell_knows_how_it_was_made(table: Table) -> None:
    cell = row_of(table, "SD-QA").cells[7]
    assert (cell.n, cell.n_scored, cell.n_errors, cell.n_unscored) == (40, 37, 2, 1)
    assert cell.coverage == "37/40"
    assert cell.text == f"{cell.value:.2f}"
    assert cell.bounds and cell.ci and cell.bounds[0] < cell.value < cell.ci[1]
    assert cell.signature.startswith("voicebench/sd-qa|protocol=official|")
    assert cell.link == "r1/voicebench/sd-qa"
    assert any("judge-unbound" in r for r in cell.reasons)


def test_a_demo_is_never_best(table: Table) -> None:
    for row in table.rows():
        demo = row.cells[8]
        assert not demo.best and not demo.second and not demo.rivals
    assert table.columns[8].demo and not table.columns[7].demo


def test_partial_and_doubtful_cells_are_marked(table: Table, runs: list[RunView]) -> None:
    assert "not-meaningful" in row_of(table, "AlpacaEval").cells[8].marks
    assert "limited" in row_of(table, "WildVoice", 1).cells[7].marks
    assert not row_of(table, "WildVoice", 1).cells[7].rivals
    found = {c.code for c in caveats(runs[0])}
    assert {"own-rubric", "errors", "limited", "unscored-judge-unbound", "unscored-no-weights"} <= found
    assert {"demo", "not-meaningful"} <= {c.code for c in caveats(runs[1])}
    assert "demo" not in found


def test_halves_of_a_score_are_told_apart(table: Table) -> None:
    assert [r.metric for r in table.sections[2].rows] == ["Accuracy (panda)", "Accuracy (gpt)"]


def rival(value: float, **kwargs: object) -> Cell:
    return dataclasses.replace(Cell(value=value, text=str(value), rivals=True, floor=value), **kwargs)  # type: ignore[arg-type]


def test_best_is_decided_as_printed_and_ties_share_it() -> None:
    cells = ranked([rival(83.524), rival(83.52), rival(80.0)], higher_is_better=True, decimals=2)
    assert [(c.best, c.second) for c in cells] == [(True, False), (True, False), (False, True)]
    lower = ranked([rival(4.0), rival(1.7)], higher_is_better=False, decimals=2)
    assert [c.best for c in lower] == [False, True]


def test_missing_samples_count_with_the_worse_bound() -> None:
    hopeful = rival(90.0, floor=60.0)
    cells = ranked([hopeful, rival(66.0)], higher_is_better=True, decimals=2)
    assert [c.best for c in cells] == [False, True]
    open_range = rival(1.0, floor=None)
    assert not any(c.best for c in ranked([open_range, rival(2.0)], higher_is_better=False, decimals=2))


def test_smoke_data_is_never_best(folder: Path) -> None:
    run = load_runs([folder / "real"])[0]
    run.tasks["voicebench/alpacaeval_full"]["data"]["kind"] = "smoke"  # type: ignore[index]
    cell = row_of(build_tables([run])[0], "AlpacaEval").cells[7]
    assert "smoke" in cell.marks and not cell.rivals
    assert "smoke" in {c.code for c in caveats(run)}


def test_markdown_and_csv_text(table: Table) -> None:
    text = markdown(table)
    assert "**83.52**" in text and "embedded-tiny (embedded demo)" in text and "(not meaningful)" in text
    widths = {line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {11}
    lines = csv_text(table).splitlines()
    assert len(lines) == 1 + len(table.rows())


def test_two_runs_of_one_model_are_told_apart(folder: Path) -> None:
    views = load_runs([folder / "real", folder / "real"])
    assert [v.label for v in views] == ["my-model (real #1)", "my-model (real #2)"]
    with pytest.raises(UsageError, match="run director"):
        load_runs([folder])
    with pytest.raises(UsageError, match="at least one"):
        load_runs([])


def test_trust_counts_what_has_no_score_apart_from_what_lacks_a_metric(tmp_path: Path) -> None:
    (run,) = load_runs([make_run(tmp_path / "run")])
    short = [c.short for c in caveats(run) if c.code.startswith("unscored-")]
    assert short[0] == "1 unscored (judge-unbound)"
    assert "12 without UTMOS (no-weights)" in short


def test_the_trust_of_a_task_counts_that_task_alone(tmp_path: Path) -> None:
    (run,) = load_runs([make_run(tmp_path / "run")])
    results = json.loads(json.dumps(run.results))
    results["tasks"]["voicebench/second"] = results["tasks"]["voicebench/sd-qa"]
    both = dataclasses.replace(run, results=results)
    assert "2 unscored (judge-unbound)" in [c.short for c in caveats(both)]
    for task in ("voicebench/sd-qa", "voicebench/second"):
        short = [c.short for c in caveats_of_task(both, task)]
        assert "1 unscored (judge-unbound)" in short and "2 errored" in short
    assert not [
        c for c in caveats_of_task(both, "voicebench/alpacaeval_full") if c.code.startswith("unscored")
    ]


def test_data_of_ones_own_stands_apart_from_the_printed_numbers(runs: list[RunView]) -> None:
    """Table 6's measures run on the user's own recordings: shown beside the print, never ranked with it."""
    entry = json.loads(json.dumps(next(iter(runs[0].tasks.values()))))
    entry["data"]["repo"] = "local/speech-style"
    cell = metric_cell(runs[0], "t", entry, entry["headline"])
    assert "own-data" in cell.marks and not cell.rivals
    assert any("data of your own" in note for note in cell.notes)


@pytest.mark.parametrize(
    ("signatures", "said", "marked"),
    [
        (["g x1 voicebench_open:own@1b7c9f0e c@1a2b"], "evalkit's wording; plain", []),
        (
            ["g x1 r:official@1b c@1a2b,geval-logprobs"],
            "official wording; geval-logprobs",
            ["geval", "official-wording"],
        ),
        (
            ["g x20 vstyle*4:own+user@1b c@1a2b,geval-20-samples,json"],
            "evalkit's wording and the user's wording; geval-20-samples; json",
            ["geval", "as-json", "user-wording"],
        ),
        (["recorded x3 voicebench_open:as-recorded official-open@0c1f"], "recorded replies; plain", []),
        (["unbound x1 r:own@1b c@1a2b"], "", []),
        (["mcq-templates", "compute-wer:C"], "", []),
        (
            ["a x1 r:own@1b c@1a2b", "mcq", "b x1 r:official@1b c@1a2b", "c x1 r:own@1b d@1a2b"],
            "evalkit's wording; plain + official wording; plain",
            ["official-wording"],
        ),
    ],
)
def test_a_cell_says_in_whose_words_and_how_it_was_judged(
    runs: list[RunView], signatures: list[str], said: str, marked: list[str]
) -> None:
    entry = json.loads(json.dumps(next(iter(runs[0].tasks.values()))))
    entry["metrics"][entry["headline"]]["judges"] = signatures
    cell = metric_cell(runs[0], "t", entry, entry["headline"])
    known = {"geval", "as-json", "user-wording", "official-wording"}
    assert cell.judging == said and [m for m in cell.marks if m in known] == marked
    assert all(any(said in note for note in cell.notes) for _ in marked)
