"""Tables that a YAML file describes: what stands in them, and one sentence per mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_fixtures import make_run

from evalkit.errors import UsageError
from reports.cells import DASH, Row, Table
from reports.papertables.assemble import Wishes
from reports.papertables.custom_build import custom_table
from reports.papertables.models import Ours, grouped

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("custom")
    make_run(root / "a")
    make_run(root / "b", label="other")
    return root


@pytest.fixture(scope="module")
def given(folder: Path) -> list[Ours]:
    return grouped([folder / "a"])[0]


def made(folder: Path, text: str, given: list[Ours] | None = None, wishes: Wishes | None = None) -> Table:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return custom_table(path, given or [], wishes)


def row(table: Table, label: str) -> Row:
    return next(r for r in table.rows() if r.label == label)


def test_a_task_stands_beside_the_printed_row_that_it_fills(folder: Path, given: list[Ours]) -> None:
    text = """
title: Mine
columns: [{model: Fun-Audio-Chat-8B, label: FAC}, {model: GPT-Audio}]
rows: [{task: voicebench/sd-qa}, {task: voicebench/alpacaeval_full, label: Alpaca}]
"""
    table = made(folder, text, given)
    assert table.key == "mine" and [c.label for c in table.columns] == ["FAC", "GPT-Audio", "my-model"]
    assert [c.text for c in row(table, "SD-QA").cells[:2]] == ["66.27", "89.72"]  # of Tables 2 and 1
    assert row(table, "SD-QA").cells[2].task == "voicebench/sd-qa"
    assert row(table, "Alpaca").before == ("Alpaca", "G-Eval (1–5) ↑")


def test_metrics_groups_overalls_and_printed_rows(folder: Path, given: list[Ours]) -> None:
    text = """
title: Mine
columns: [{model: Kimi-Audio}, {runs: given}]
sections:
  - title: One
    rows:
      - {task: voicebench/sd-qa, metric: panda, label: PEDANT}
      - {task: voicebench/sd-qa, group: {region: gbr}}
      - {overall: voicebench}
  - title: Two
    rows:
      - {printed: {table: 3, row: Common Voice EN}}
      - {printed: {row: Anger, language: zh}}
      - {task: asr/librispeech-other}
"""
    table = made(folder, text, given)
    assert [s.title for s in table.sections] == ["One", "Two"]
    whole = row(table, "PEDANT").cells
    assert whole[0].text == DASH and whole[1].metric == "panda"  # the printed number is not of this half
    assert row(table, "SD-QA, gbr").cells[1].n in (13, 14)
    assert row(table, "Overall").cells[0].text == "76.93"
    wer = row(table, "Common Voice-EN")
    assert (wer.cells[0].text, wer.cells[1].text, wer.higher_is_better) == ("10.31", DASH, False)
    assert row(table, "Anger").cells[0].text == "3.86"
    assert row(table, "Librispeech-other").cells[0].text == "2.42"  # no run has it: known from the catalogue


def test_typed_numbers_decimals_and_direction(folder: Path, given: list[Ours]) -> None:
    text = """
title: Mine
decimals: 1
columns: [{typed: X, source: their paper}, {typed: Y}, {runs: given}]
rows:
  - {label: Latency, values: {X: 1.25, Y: 0.75}, unit: s, direction: lower}
  - {task: voicebench/wildvoice, values: {X: 4}}
"""
    table = made(folder, text, given)
    latency = row(table, "Latency")
    assert [c.text for c in latency.cells] == ["1.3", "0.8", DASH]  # half-up
    assert [c.best for c in latency.cells] == [False, True, False]
    wild = row(table, "WildVoice")
    assert wild.decimals == 1 and wild.cells[0].text == "4.0"
    assert table.columns[0].notes == ("Typed in, from their paper.",)


def test_runs_in_the_file_lie_beside_it_and_may_be_several(folder: Path) -> None:
    text = """
title: Mine
name: named here
second: true
delta: A
columns: [{runs: a, label: A}, {runs: [b], label: B}, {model: Kimi-Audio}]
rows: [{task: voicebench/alpacaeval_full}]
"""
    table = made(folder, text)
    assert [(c.label, c.kind) for c in table.columns] == [
        ("A", "run"),
        ("B", "run"),
        ("\u0394", "delta"),
        ("Kimi-Audio", "published"),
    ]
    assert table.second and table.key == "named_here"
    cells = table.rows()[0].cells
    assert cells[2].text == "0.00" and cells[0].value == cells[1].value


def test_the_command_line_adds_columns_and_wishes(folder: Path, given: list[Ours]) -> None:
    text = "title: Mine\nrows: [{task: voicebench/alpacaeval_full}]"
    table = made(folder, text, given, Wishes(baselines=("Kimi-Audio",), second=True, delta="kimi-audio"))
    assert [c.label for c in table.columns] == ["Kimi-Audio", "my-model", "\u0394"]
    assert table.second


def test_differences_are_explained_where_there_are_some(folder: Path, given: list[Ours]) -> None:
    text = "title: t\ndelta: Kimi-Audio\ncolumns: [{model: Kimi-Audio}]\nrows: [{task: voicebench/sd-qa}]\n"
    assert any("less that of Kimi-Audio" in n for n in made(folder, text, given).notes)
    assert not any("less that of" in n for n in made(folder, text).notes)


def test_rows_of_several_sets_keep_the_sets_names(folder: Path) -> None:
    text = "title: t\ncolumns: [{model: GPT-Audio}]\nrows: [{task: speech-fc/bfcl-single}, {overall: speech-fc}]\n"
    assert [r.label for r in made(folder, text).rows()] == ["Speech-BFCL Single", "Overall"]


def test_the_example_works() -> None:
    table = custom_table(ROOT / "examples" / "my_table.yaml", [])
    assert [c.label for c in table.columns] == ["Kimi-Audio", "FAC-8B", "Another model"]
    assert [c.text for c in row(table, "AdvBench").cells] == ["100.00", "98.65", "97.50"]


HEAD = "title: x\ncolumns: [{model: Kimi-Audio}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: [x", r"mine\.yaml is no YAML \(line \d+\)"),
        ("- a\n- b", r"mine\.yaml holds no table"),
        ("", r"mine\.yaml holds no table"),
        ("title: x", r"mine\.yaml: a table has rows, or sections"),
        ("rows: [{overall: voicebench}]", r"mine\.yaml: title is missing"),
        ("titel: x\nrows: [{overall: voicebench}]", r"titel.*did you mean title\?\) \(1 more mistake\)"),
        ("title: yes\nrows: [{overall: voicebench}]", r"title must be a text \(put it in quotes\)"),
        (HEAD + "rows: []\nsections: []", "a table has rows, or sections"),
        (HEAD + "rows: [{tusk: x}]", r"rows\[1\]\.tusk is not known here \(did you mean task\?\)"),
        (
            HEAD + "rows: [{overall: voicebench}, {task: voicebench/adv}]",
            r"rows\[2\]\.task: there is no task",
        ),
        (HEAD + "rows: [{task: voicebench/advbench, overall: voicebench}]", "one of task, overall, printed"),
        (HEAD + "rows: [{label: x}]", r"rows\[1\]: a row has one of"),
        (HEAD + "rows: [{overall: voicebenh}]", r"rows\[1\]\.overall: there is no overall"),
        (HEAD + "rows: [{printed: {row: Overall}}]", "names several rows, say which: Table 1"),
        (HEAD + "rows: [{printed: {row: Nope}}]", r"rows\[1\]\.printed: the report has no such row 'Nope'"),
        (HEAD + "rows: [{overall: voicebench, decimals: two}]", r"decimals must be a whole number"),
        (HEAD + "rows: [{overall: voicebench, direction: up}]", r"direction must be higher or lower"),
        (
            HEAD + "rows: [{overall: voicebench, values: {Kimi-Audio: 1}}]",
            r"rows\[1\]\.values: there is no typed",
        ),
        (HEAD + "rows: [{label: a, values: {X: .nan}}]", "finite"),
        (HEAD + "rows: [{task: voicebench/sd-qa, group: {a: b, c: d}}]", "group names one group"),
        (
            HEAD + "sections: [{title: x, rows: [{task: 1.5}]}]",
            r"sections\[1\]\.rows\[1\]\.task must be a text",
        ),
        (
            "title: x\ncolumns: [{model: Kimi}]\nrows: [{overall: voicebench}]",
            r"columns\[1\]\.model: .* Kimi-Audio",
        ),
        (
            "title: x\ncolumns: [{runs: gone}]\nrows: [{overall: voicebench}]",
            r"columns\[1\]\.runs: gone is not a run",
        ),
        (
            "title: x\ncolumns: [{runs: []}]\nrows: [{overall: voicebench}]",
            r"columns\[1\]: runs names no run",
        ),
        (
            "title: x\ncolumns: [{model: A, typed: B}]\nrows: [{overall: voicebench}]",
            "one of model, runs, typed",
        ),
        (
            "title: x\ncolumns: [{typed: A}, {typed: A}]\nrows: [{overall: voicebench}]",
            "two columns are called 'A'",
        ),
        ("title: x\nrows: [{overall: voicebench}]", "columns: names no column"),
        (HEAD + "rows: [{task: asr/librispeech-clean, metric: x}]", "has no metric 'x'; it has: wer"),
        (HEAD + "rows: [{overall: voicebench}]\nrows: []", r"\(line 4\): the key 'rows' is there twice"),
        (HEAD + "rows: [{overall: nothing-like-it}]", r"there is no overall 'nothing-like-it'\.$"),
        (HEAD + "rows: [{overall: voicebench, decimals: 7}]", "decimals must be 0 to 6"),
        (HEAD + f"name: {'n' * 101}\nrows: [{{overall: voicebench}}]", "name is too long"),
        (HEAD + "delta: Nobody\nrows: [{overall: voicebench}]", "delta: no column is called 'Nobody'"),
    ],
)
def test_each_mistake_is_one_sentence_that_names_file_and_key(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        made(folder, text)
    assert "mine.yaml" in str(told.value) and "\n" not in str(told.value)


def test_what_a_run_has_not_is_told_with_what_it_has(folder: Path, given: list[Ours]) -> None:
    with pytest.raises(UsageError, match=r"rows\[1\]: voicebench/sd-qa has no metric 'x'; it has: .*panda"):
        made(folder, "title: x\nrows: [{task: voicebench/sd-qa, metric: x}]", given)
    with pytest.raises(UsageError, match=r"has no group .*it has: region: "):
        made(folder, "title: x\nrows: [{task: voicebench/sd-qa, group: {region: mars}}]", given)


def test_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*none\.yaml"):
        custom_table(folder / "none.yaml", [])
