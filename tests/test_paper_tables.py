"""The report's seven tables: every printed number in its place and format, our runs beside them."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import UE, VB, Answer, FixedJudge, _alpaca, _sd_qa, geval, make_run, task_of, write_task

from evalkit.errors import UsageError
from evalkit.plan import ModelCard, ScoringPlan
from evalkit.records import Verdict
from evalkit.results import build_results
from evalkit.store import RunWriter
from evalkit.task import Cell as TaskCell
from evalkit.task import Overall, Part
from reports.cells import DASH, Cell, Row, Table
from reports.footnotes import letter, noted
from reports.makers import metric_cell
from reports.papertables.assemble import Wishes
from reports.papertables.build import paper_table
from reports.papertables.models import Ours, grouped
from reports.renderers import text_of

NUMBERS = "1234567"
COLUMNS = {
    "1": "GPT-Audio, Gemini-2.5-Pro, Longcat-Flash-Omni-Instruct, Fun-Audio-Chat-30B-A3B",
    "2": "GLM-4-Voice, MiniCPM-o 2.6, Baichuan-Omni-1.5, Kimi-Audio, Step-Audio2-Mini, MiMo-Audio, Fun-Audio-Chat-8B",
    "3": "Kimi-Audio, Audio-Flamingo-3, Step-Audio2-Mini, MiMo-Audio, Fun-Audio-Chat-30B-A3B, Fun-Audio-Chat-8B",
    "4": "GPT-Audio, Gemini-2.5-Pro, Step-Audio2-Mini, Fun-Audio-Chat-30B-A3B, Fun-Audio-Chat-8B",
    "5": "GPT-Audio, GPT-4o, Doubao, Baichuan-Audio, Kimi-Audio, Fun-Audio-Chat-30B-A3B, Fun-Audio-Chat-8B",
    "6": "GPT-Audio, Fun-Audio-Chat-30B-A3B, Fun-Audio-Chat-8B",
    "7": "Moshi, FreezeOmni, Fun-Audio-Chat-Duplex-30B-A3B, Fun-Audio-Chat-Duplex-8B",
}
"""Models in print order, from the headline sheet."""
DASHES = {"1": 10, "3": 1}


def printed() -> list[dict[str, str]]:
    text = resources.files("evalkit").joinpath("data", "published_results.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def best_of_rows() -> set[tuple[str, ...]]:
    """(table, section, benchmark, subset, language, metric, model) of what the report has in bold."""
    rows: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for r in printed():
        key = tuple(r[k] for k in ("table", "section", "benchmark", "subset", "language", "metric"))
        rows.setdefault(key, []).append(r)
    out = set()
    for key, cells in rows.items():
        values = [Decimal(c["value"]) for c in cells]
        top = min(values) if key[5] == "wer" else max(values)
        out |= {(*key, c["model"]) for c, v in zip(cells, values, strict=True) if v == top}
    return out


def shown(table: Table) -> Iterator[tuple[Any, Row, Any, Cell]]:
    for section in table.sections:
        for row in section.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if cell.span:
                    yield section, row, column, cell


def row_of(table: Table, section: str, label: str) -> Row:
    found = [r for s in table.sections if s.title == section for r in s.rows if r.label == label]
    assert len(found) == 1, [r.label for r in table.rows()]
    return found[0]


# --- against the packaged numbers ---------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
def test_every_printed_number_is_in_its_place_and_bold_where_the_report_has_it(number: str) -> None:
    table = paper_table(number, [])
    mine = [r for r in printed() if r["table"] == number]
    bold = best_of_rows()
    found = {}
    for section, row, column, cell in shown(table):
        if cell.text == DASH:
            continue
        metric = column.sub if column.sub and cell.span == 1 else None
        found[(section.title, row.benchmark, row.subset, row.language, metric, column.label)] = cell
    assert len(found) == len(mine)
    for r in mine:
        metric = r["metric"] if r["metric"].startswith("S2M") else None
        cell = found[(r["section"], r["benchmark"], r["subset"], r["language"], metric, r["model"])]
        assert cell.text == r["value"]
        key = tuple(r[k] for k in ("table", "section", "benchmark", "subset", "language", "metric", "model"))
        assert cell.best == (key in bold), key
    dashes = sum(cell.text == DASH for *_, cell in shown(table))
    assert dashes == DASHES.get(number, 0)


@pytest.mark.parametrize("number", NUMBERS)
def test_columns_and_sections_stand_in_print_order(number: str) -> None:
    table = paper_table(number, [])
    assert list(dict.fromkeys(c.label for c in table.columns)) == COLUMNS[number].split(", ")
    sections = list(dict.fromkeys(r["section"] for r in printed() if r["table"] == number))
    assert [s.title for s in table.sections] == sections


def test_sizes_and_frame_rates_stand_above_tables_1_and_2_alone() -> None:
    heads = {h.label: h.texts for h in paper_table("2", []).heads}
    assert heads["LLM Size"] == ("9B", "7B", "7B", "7B", "7B", "7B", "8B")
    assert heads["Frame Rate-In (Hz)"] == ("12.5", "25", "12.5", "12.5", "12.5", "6.25", "5")
    rates = ("12.5+τ", "τ", "12.5+τ", "12.5", "25+τ", "6.25+τ", "5")
    assert heads["Frame Rate-Out (Hz)"] == rates
    first = {h.label: h.texts for h in paper_table("1", []).heads}
    assert first["LLM Size"] == (DASH, DASH, "560B-A27B", "30B-A3B")
    assert not any(paper_table(n, []).heads for n in "34567")


def test_what_stands_before_the_numbers() -> None:
    before = {n: [r.before for r in paper_table(n, []).rows()] for n in NUMBERS}
    assert ("AlpacaEval", "G-Eval (1–5) ↑") in before["2"] and ("AlpacaEval", "G-Eval (0–100) ↑") in before[
        "2"
    ]
    assert ("AdvBench", "Refusal rate (%) ↑") in before["1"]
    assert ("Common Voice-ZH", "WER (%) ↓") in before["3"] and ("MMAU", "Accuracy (%) ↑") in before["3"]
    assert before["4"][:2] == [("Speech-ACEBench", "Single"), ("Speech-ACEBench", "Parallel")]
    assert before["5"][:4] == [("Overall", "en"), ("Overall", "zh"), ("Age", "en"), ("Age", "zh")]
    assert before["5"].count(("Emot.", "en")) == 2
    assert before["6"][0][0] == "Speech Instruction-Following"
    assert [(c.label, c.sub) for c in paper_table("7", []).columns][:2] == [
        ("Moshi", "S2M-T"),
        ("Moshi", "S2M-S"),
    ]


def test_known_misprints_are_footnotes() -> None:
    table = paper_table("2", [])
    row = row_of(table, VB, "IFEval")
    assert row.cells[0].text == "52.80" and "25.92" in row.cells[0].footnotes[0]
    notes = noted(table)
    assert notes.at(table.columns[0], row.cells[0])
    for name in ("md", "latex", "html", "csv", "json"):
        assert "25.92" in text_of(table, name), name


# --- each format has each number ----------------------------------------------------------------------


class Grid(html.parser.HTMLParser):
    """The body rows of an HTML table: (text, bold) per td, letters and words for screen readers left out."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, bool]]] = []
        self.inside, self.skip, self.bold, self.text, self.body = False, 0, False, "", False

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "tbody":
            self.body = True
        if tag == "tr" and self.body:
            self.rows.append([])
        if tag == "td" and self.body:
            self.inside, self.bold, self.text = True, False, ""
        if tag == "sup" or (tag == "span" and ("class", "sr") in attrs):
            self.skip += 1
        self.bold = self.bold or tag == "strong"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("sup", "span") and self.skip:
            self.skip -= 1
        if tag == "td" and self.inside:
            self.rows[-1].append((self.text.strip(), self.bold))
            self.inside = False
        if tag == "tbody":
            self.body = False

    def handle_data(self, data: str) -> None:
        if self.inside and not self.skip:
            self.text += data


def from_html(table: Table) -> list[list[tuple[str, bool]]]:
    grid = Grid()
    grid.feed(text_of(table, "html"))
    return [r[len(table.stub) - 1 :] for r in grid.rows if r]


def from_markdown(table: Table) -> list[list[tuple[str, bool]]]:
    lines = [x for x in text_of(table, "md").splitlines() if x.startswith("|")][2 + len(table.heads) :]
    out = []
    for line in lines:
        cells = [re.sub(r"<sup>.*?</sup>", "", c).strip() for c in line.strip("|").split("|")]
        if not cells[0].startswith("**"):
            out.append([(c.strip("*"), c.startswith("**")) for c in cells[len(table.stub) :] if c])
    return out


def from_latex(table: Table) -> list[list[tuple[str, bool]]]:
    body = text_of(table, "latex").partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    out = []
    for line in body.partition(r"\midrule")[2].splitlines():
        if not line.endswith(r"\\") or r"\textit" in line:
            continue
        cells = [re.sub(r"\\rlap\{.*\}", "", c).strip() for c in line.removesuffix(r"\\").split(" & ")]
        cells = [re.sub(r"\\multicolumn\{\d\}\{c\}\{(.*)\}", r"\1", c) for c in cells]
        texts = [(c.replace(r"\textbf{", "").strip("{}"), "textbf" in c) for c in cells[len(table.stub) :]]
        out.append([(t.replace(r"\textendash", DASH), b) for t, b in texts])
    return out


@pytest.mark.parametrize("read", [from_html, from_markdown, from_latex])
@pytest.mark.parametrize("number", NUMBERS)
def test_text_formats_hold_the_table(number: str, read: Any) -> None:
    table = paper_table(number, [])
    expected = [[(c.text, c.best) for c in r.cells if c.span] for r in table.rows()]
    assert read(table) == expected


@pytest.mark.parametrize("number", NUMBERS)
def test_csv_loads_in_pandas_without_options(number: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(io.StringIO(text_of(paper_table(number, []), "csv")))
    mine = [r for r in printed() if r["table"] == number]
    assert frame["value"].notna().sum() == len(mine)
    assert frame["value"].dtype == float and frame["best"].dtype == bool and frame["table"].dtype == int
    assert frame["value"].dropna().tolist() == [
        float(c.text) for *_, c in shown(paper_table(number, [])) if c.text != DASH
    ]
    assert set(frame["source"]) == {"published"}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_workbook_has_numbers_bold_and_no_formula(number: str, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("xlsxwriter")
    from reports.renderers import write_table

    table = paper_table(number, [])
    book = openpyxl.load_workbook(write_table(table, "xlsx", tmp_path))
    cells = [c for row in book.active.iter_rows() for c in row]
    numbers = [c for c in cells if isinstance(c.value, int | float)]
    expected = [c for *_, c in shown(table) if c.value is not None]
    assert [c.value for c in numbers] == [float(c.text) for c in expected]
    assert [bool(c.font.b) for c in numbers] == [c.best for c in expected]
    decimals = [len(c.number_format.partition('"')[0].strip().partition(".")[2]) for c in numbers]
    assert decimals == [len(c.text.partition(".")[2]) for c in expected]
    assert not any(c.data_type == "f" for c in cells)
    first = (tmp_path / f"table-{number}.xlsx").read_bytes()
    assert write_table(table, "xlsx", tmp_path).read_bytes() == first


def test_json_knows_its_cells() -> None:
    found = json.loads(text_of(paper_table("2", []), "json"))
    assert found["table"] == "2" and len(found["columns"]) == 7
    row = found["sections"][1]["rows"][2]
    assert row["label"] == "SD-QA" and row["cells"][-1]["value"] == 66.27 and row["cells"][-1]["best"] is True


def test_letters_go_on_after_z() -> None:
    assert [letter(i) for i in (0, 25, 26, 51, 52, 701, 702)] == ["a", "z", "aa", "az", "ba", "zz", "aaa"]


# --- our runs beside them -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("papers")
    make_run(root / "real")
    make_run(root / "demo", demo=True, label="embedded-tiny")
    return root


def ours(*paths: Path, **more: Any) -> list[Ours]:
    return grouped(list(paths), **more)[0]


def test_runs_follow_in_order_and_rows_they_did_not_run_are_dashes(folder: Path) -> None:
    table = paper_table("2", ours(folder / "real", folder / "demo"))
    assert [c.label for c in table.columns][-2:] == ["my-model", "embedded-tiny"]
    assert len(table.rows()) == len(paper_table("2", []).rows())
    assert row_of(table, "OpenAudioBench (S2T)", "TriviaQA").cells[-1] == Cell()
    cell = row_of(table, VB, "AlpacaEval").cells[-2]
    assert cell.value is not None and cell.n == 40 and cell.runs == ("real",)
    assert "voicebench/alpacaeval_full" in cell.signature and cell.ci is not None


def test_a_demo_and_what_has_gaps_are_never_best(folder: Path) -> None:
    table = paper_table("2", ours(folder / "demo", folder / "real"))
    cells = [(r, r.cells[-2], r.cells[-1]) for r in table.rows()]
    assert not any(c.best or c.second for _, c, _ in cells)
    gaps = row_of(table, VB, "SD-QA").cells[-1]
    assert gaps.coverage and not gaps.rivals
    assert any("samples scored" in text for text in gaps.footnotes)
    text = text_of(table, "md")
    assert "Embedded demo: no baseline of anything." in text.replace("\\", "")


def test_all_numbers_of_a_column_share_their_footnote_at_its_head(folder: Path) -> None:
    table = paper_table("2", ours(folder / "demo"))
    notes = noted(table)
    column, i = table.columns[-1], len(table.columns) - 1
    demo = next(mark for mark, text in notes.notes.items() if text.startswith("Embedded demo"))
    assert demo in notes.over(column)
    assert all(demo not in notes.at(column, r.cells[i]) for r in table.rows())


@pytest.mark.parametrize(
    "mark", ["demo", "smoke", "limited", "own-data", "count", "protocol", "not-meaningful"]
)
def test_marked_numbers_never_get_best(mark: str) -> None:
    from reports.cells import Column
    from reports.papertables.assemble import finished

    columns = [Column("a", "A", "published"), Column("b", "B", "published"), Column("r", "Ours", "run")]
    printed = [Cell(value=v, text=str(v), rivals=True, floor=v) for v in (50.0, 40.0)]
    mine = Cell(value=99.0, text="99.0", rivals=True, floor=99.0, marks=(mark,))
    done = finished(columns, [*printed, mine], higher_is_better=True, decimals=1)
    assert [c.best for c in done] == [True, False, False] and [c.second for c in done] == [False, True, False]
    free = finished(
        columns, [*printed, Cell(value=99.0, rivals=True, floor=99.0)], higher_is_better=True, decimals=1
    )
    assert [c.best for c in free] == [False, False, True]


def test_ties_are_all_best() -> None:
    row = row_of(paper_table("2", []), VB, "OpenBookQA")
    assert [c.text for c in row.cells if c.best] == ["83.52", "83.52"]


def test_differences_are_those_of_the_numbers_shown(folder: Path) -> None:
    table = paper_table("2", ours(folder / "real"), Wishes(delta="fun-audio-chat-8b"))
    assert [c.kind for c in table.columns][-2:] == ["run", "delta"]
    for row in table.rows():
        mine, delta = row.cells[-2:]
        reference = row.cells[-3]
        if mine.value is None:
            assert delta.text == DASH
            continue
        gap = Decimal(mine.text) - Decimal(reference.text)
        assert Decimal(delta.text.replace("\u2212", "-")) == gap and mine.delta == float(gap)
    hidden = paper_table("2", ours(folder / "real"), Wishes(baselines=(), delta="Fun-Audio-Chat-8B"))
    assert [r.cells[-1].text for r in hidden.rows()] == [r.cells[-1].text for r in table.rows()]


def test_differences_to_a_run_and_none_for_a_demo(folder: Path) -> None:
    table = paper_table("2", ours(folder / "real", folder / "demo"), Wishes(delta="real", baselines=()))
    assert [c.kind for c in table.columns] == ["run", "run", "delta"]
    assert all(r.cells[-1].text == DASH for r in table.rows())
    with pytest.raises(UsageError, match="there is no model or run 'nobody'"):
        paper_table("2", ours(folder / "real"), Wishes(delta="nobody"))
    with pytest.raises(UsageError, match="name a run beside it"):
        paper_table("2", [], Wishes(delta="Kimi-Audio"))
    lacking = paper_table("6", ours(folder / "real"), Wishes(delta="GLM-4-Voice", tables=("2", "6")))
    assert any("no numbers of GLM-4-Voice" in n for n in lacking.notes)


def test_a_run_that_is_called_as_a_printed_model_is_told_apart_from_it(tmp_path: Path) -> None:
    run = half(tmp_path / "mine", [_alpaca], label="Fun-Audio-Chat-8B")
    table = paper_table("2", ours(run), Wishes(delta="Fun-Audio-Chat-8B"))
    assert [c.label for c in table.columns][-3:] == [
        "Fun-Audio-Chat-8B",
        "Fun-Audio-Chat-8B (ours)",
        "\u0394",
    ]
    row = row_of(table, VB, "AlpacaEval")
    assert row.cells[-1].value == pytest.approx(round(float(row.cells[-2].text) - 4.80, 2))
    other = half(tmp_path / "other", [_alpaca], label="other")
    table = paper_table("2", ours(run, other), Wishes(delta="mine"))  # the run's folder
    assert [c.of for c in table.columns if c.kind == "delta"] == ["r2"]
    assert any("less that of Fun-Audio-Chat-8B (ours)" in n for n in table.notes)


def test_baselines_are_chosen_by_name(folder: Path) -> None:
    table = paper_table("2", [], Wishes(baselines=("kimi-audio", "GPT-Audio")))
    assert [c.label for c in table.columns] == ["Kimi-Audio", "GPT-Audio"]
    assert row_of(table, VB, "SD-QA").cells[1].text == "89.72"  # of Table 1, which has the same rows
    assert "From the report's Table 1." in noted(table).notes.values()
    with pytest.raises(UsageError, match=r"Table 2 has no model 'Moshi'; it has: GLM-4-Voice"):
        paper_table("2", [], Wishes(baselines=("Moshi",)))
    with pytest.raises(UsageError, match="no column"):
        paper_table("2", [], Wishes(baselines=()))
    assert paper_table("2", ours(folder / "real"), Wishes(baselines=())).columns[0].label == "my-model"


def test_table_5_runs_stand_at_their_language_and_group(tmp_path: Path) -> None:
    judge = FixedJudge("lalm x1 rubric:own@1b7c9f0e", "geval")
    task = task_of("vstyle/zh", "VStyle zh", [geval()], [judge], groups=("ability",))
    cells = (
        TaskCell("5", "Overall", "Overall", language="zh"),
        TaskCell("5", "Empathy", "Anger", language="zh", group=("ability", "empathy/anger")),
    )
    from dataclasses import replace

    task = replace(task, cells=cells)
    writer = RunWriter(tmp_path / "v")
    answers = [Answer(f"a{i}", group="x", verdicts=(Verdict("geval", float(4 + i)),)) for i in range(2)]
    write_task(writer, task, [judge], answers)
    name, variant = task.variant(None)
    plan = ScoringPlan(task, name, variant, (judge,), {"repo": "x", "kind": "local"}, n=2)
    writer.write_manifest({"v": 1})
    writer.write_results(build_results(writer, [plan], ModelCard("v", "r@1", {})))
    writer.close()
    table = paper_table("5", ours(tmp_path / "v"))
    zh, en = (next(r for r in table.rows() if r.label == "Overall" and r.language == x) for x in ("zh", "en"))
    assert (zh.cells[-1].text, en.cells[-1].text) == ("4.50", DASH)
    assert zh.cells[-1].best and not any(c.best for c in zh.cells[:-1])


# --- several runs, one model --------------------------------------------------------------------------


def half(root: Path, parts: Sequence[Any], *, label: str = "m", runner: str = "openai/m@1") -> Path:
    """A run with some of an overall's tasks."""
    import numpy as np

    root.mkdir(parents=True, exist_ok=True)
    writer = RunWriter(root)
    rng = np.random.default_rng(3)
    plans = []
    for part in parts:
        if part is _sd_qa:
            from report_fixtures import parquet_of, tone

            parquet_of(root / "usa.parquet", [tone(0.1)])
            plans.append(_sd_qa(writer, 20, [tone(0.1)], root, rng))
        else:
            plans.append(_alpaca(writer, 20, rng, True))
    overall = Overall(
        "voicebench",
        "Overall",
        (Part("voicebench/sd-qa", metric="panda"), Part("voicebench/alpacaeval_full", 20.0)),
        "mean of 2",
        cells=(TaskCell("2", VB, "Overall"),),
    )
    writer.write_manifest({"v": 1})
    writer.write_results(build_results(writer, plans, ModelCard(label, runner, {}), [overall]))
    writer.close()
    return root


def test_runs_of_one_model_that_hold_different_tasks_are_one_column(tmp_path: Path) -> None:
    a, b = half(tmp_path / "a", [_sd_qa]), half(tmp_path / "b", [_alpaca])
    columns, told = grouped([a, b])
    assert [(c.label, c.names) for c in columns] == [("m", ("a", "b"))]
    assert told == ["m: one column of a, b (--no-merge keeps them apart)"]
    row = row_of(paper_table("2", columns), VB, "AlpacaEval")
    assert row.cells[-1].runs == ("b",)
    assert [c.label for c in grouped([a, b], merge=False)[0]] == ["m (a)", "m (b)"]


def test_an_overall_whose_parts_lie_in_two_runs_is_their_mean(tmp_path: Path) -> None:
    a, b = half(tmp_path / "a", [_sd_qa]), half(tmp_path / "b", [_alpaca])
    results = [json.loads((p / "results.json").read_text()) for p in (a, b)]
    panda = results[0]["tasks"]["voicebench/sd-qa"]["metrics"]["panda"]["value"]
    rating = results[1]["tasks"]["voicebench/alpacaeval_full"]["metrics"]["geval"]["value"]
    cell = row_of(paper_table("2", ours(a, b)), VB, "Overall").cells[-1]
    assert cell.value == pytest.approx((panda + 20 * rating) / 2)
    assert any("2 runs" in text for text in cell.footnotes)
    assert not cell.rivals  # two of the samples errored
    alone = row_of(paper_table("2", ours(a)), VB, "Overall").cells[-1]
    assert alone.text == DASH and "No value without voicebench/alpacaeval_full." in alone.footnotes


def test_an_overall_says_how_its_parts_were_made(tmp_path: Path) -> None:
    a, b = (half(tmp_path / x, [_sd_qa, _alpaca], label=x) for x in "ab")
    path = b / "results.json"
    results = json.loads(path.read_text())
    one, two = (results["tasks"][t] for t in ("voicebench/sd-qa", "voicebench/alpacaeval_full"))
    one |= {"protocol": "strict", "default_protocol": "official"}
    for m in one["metrics"].values():
        m["signature"] = m["signature"].replace("protocol=official", "protocol=strict")
    path.write_text(json.dumps(results))
    cells = row_of(paper_table("2", ours(a, b)), VB, "Overall").cells
    assert "protocol" not in cells[-2].marks and "protocol" in cells[-1].marks
    assert "At least one part: protocol strict, not the report's official." in cells[-1].footnotes
    assert "Made in another way than a: differs in protocol." in cells[-1].footnotes
    two |= {"protocol": "strict", "default_protocol": "official"}
    path.write_text(json.dumps(results))
    cell = row_of(paper_table("2", ours(b)), VB, "Overall").cells[-1]
    assert "Protocol strict, not the report's official." in cell.footnotes
    # The same of an overall that is put together from two runs.
    halves = [half(tmp_path / x, [p], label="c") for x, p in (("c1", _sd_qa), ("c2", _alpaca))]
    cell = row_of(paper_table("2", ours(b, *halves)), VB, "Overall").cells[-1]
    assert "Made in another way than b: differs in protocol." in cell.footnotes


def test_a_group_of_a_whole_set_is_not_taken_for_a_part_of_it(tmp_path: Path) -> None:
    path = half(tmp_path / "a", [_sd_qa, _alpaca]) / "results.json"
    results = json.loads(path.read_text())
    entry = results["tasks"]["voicebench/sd-qa"]
    name, *_ = entry["groups"]["region"]
    entry["groups"]["region"][name]["panda"]["n"] = 1
    entry["n_expected"] = entry["n"]
    path.write_text(json.dumps(results))
    (run,) = ours(path.parent)[0].runs
    assert "count" not in metric_cell(run, "voicebench/sd-qa", entry, "panda", ("region", name)).marks
    entry["n_expected"] += 1
    cell = metric_cell(run, "voicebench/sd-qa", entry, "panda")
    assert f"The published set has {entry['n'] + 1} samples, this run {entry['n']}." in cell.footnotes


def test_what_was_asked_in_other_words_is_not_ranked(tmp_path: Path) -> None:
    path = half(tmp_path / "a", [_sd_qa, _alpaca]) / "results.json"
    results = json.loads(path.read_text())
    entry = results["tasks"]["voicebench/alpacaeval_full"]
    entry["prompt"] = "curt"
    path.write_text(json.dumps(results))
    table = paper_table("2", ours(path.parent))
    cell = row_of(table, VB, "AlpacaEval").cells[-1]
    assert "prompt" in cell.marks and not cell.rivals
    assert any(text.startswith("Asked with the prompt curt, not the report's") for text in cell.footnotes)
    overall = row_of(table, VB, "Overall").cells[-1]
    assert "prompt" in overall.marks and not overall.rivals


def test_runs_that_hold_the_same_task_stay_apart_unless_named(tmp_path: Path) -> None:
    a, b, c = half(tmp_path / "a", [_sd_qa]), half(tmp_path / "b", [_alpaca]), half(tmp_path / "c", [_alpaca])
    columns, told = grouped([a, b, c])
    assert [x.label for x in columns] == ["m (a)", "m (b)", "m (c)"]
    assert "b and c both hold voicebench/alpacaeval_full" in told[0]
    columns, _ = grouped([a, b, c], [("mine", [str(a), str(c)])])
    assert [(x.label, x.names) for x in columns] == [("m", ("b",)), ("mine", ("a", "c"))]
    with pytest.raises(UsageError, match=r"column 'mine': .* both hold voicebench/alpacaeval_full"):
        grouped([], [("mine", [str(b), str(c)])])


def test_one_column_of_two_runners_says_so(tmp_path: Path) -> None:
    a = half(tmp_path / "a", [_sd_qa], runner="openai/m@1")
    b = half(tmp_path / "b", [_alpaca], runner="openai/m@2")
    table = paper_table("2", ours(a, b))
    assert any("runners differ: openai/m@1, openai/m@2" in t for t in noted(table).notes.values())
    c = half(tmp_path / "c", [_sd_qa], runner="replay/m@1")
    d = half(tmp_path / "d", [_alpaca], runner="replay/m@2")  # the fingerprint of a file of predictions
    assert ours(c, d)[0].notes == ()


def test_the_order_of_sections_does_not_depend_on_the_run(folder: Path) -> None:
    table = paper_table("1", ours(folder / "real"))
    assert [s.title for s in table.sections] == ["OpenAudioBench (S2T)", VB, UE]
    # llama-questions names no audio metric of the report's other rows
    assert row_of(table, UE, "Llama Q.").cells[-1].task == "ultraeval-audio/llama-questions"


def test_our_numbers_have_the_decimals_of_their_row() -> None:
    from evalkit import published as paper
    from reports.papertables.layouts import decimals_of

    found = {r.name: decimals_of(r) for r in paper.published("3", "Audio Understanding").rows}
    assert found == {"MMAU": 1, "MMAU-Pro": 1, "MMSU": 1}
    others = [r for s in paper.sections() for r in s.rows if s.name != "Audio Understanding"]
    assert {decimals_of(r) for r in others} == {2}  # 7.4 and 100 stand among numbers of two decimals
