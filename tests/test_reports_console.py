"""The console table: aligned, plain where it has to be, printable anywhere."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path

import pytest
from report_fixtures import make_run

from evalkit.store import Run
from reports.runs import RunView
from reports.terminal import _lines, console_table, cut, print_table, printable, use_colour, width


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict:  # type: ignore[type-arg]
    root = tmp_path_factory.mktemp("console")
    return Run(make_run(root / "run")).results()


def test_columns_line_up(results: dict) -> None:  # type: ignore[type-arg]
    block = console_table(results).split("\n\n")[0].splitlines()
    assert block[0].split() == ["voicebench", "score", "95%", "CI", "n", "bounds", "published", "(8B)"]
    assert "\x1b" not in "\n".join(block)
    score_end = block[0].index("score") + len("score")
    rows = {line.split()[0]: line for line in block[1:]}
    assert list(rows)[:3] == ["AlpacaEval", "SD-QA", "Overall"]
    for line in block[1:]:
        assert line[score_end - 1].isdigit() and line[score_end] == " "
    sdqa = next(line for line in block if "SD-QA" in line)
    assert "37/40" in sdqa and "66.27" in sdqa and "2 errored, 1 unscored" in sdqa
    assert sdqa.count("[") == 2
    assert "83.21" in rows["Overall"]
    assert "partial data" in rows["WildVoice"]


def test_an_overall_of_parts_by_another_protocol_names_none(tmp_path: Path) -> None:
    """Its mark has no name to print, and leaves no gap between commas."""
    from reports.cells import Cell
    from reports.terminal import _remarks

    marked = Cell(value=None, coverage="incomplete", marks=("protocol", "limited"))
    assert _remarks(marked) == "incomplete, partial data"
    assert _remarks(Cell(value=1.0, marks=("protocol",), protocol="official")) == "official"


def test_what_has_no_value_has_a_dash(results: dict) -> None:  # type: ignore[type-arg]
    line = next(line for line in console_table(results).splitlines() if "UTMOS" in line)
    assert "\u2013" in line and "0/12" in line and "12 unscored" in line


def test_colour_changes_no_letter(results: dict) -> None:  # type: ignore[type-arg]
    coloured = console_table(results, colour=True)
    assert "\x1b[1m" in coloured
    stripped = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[\d*m", "", coloured).splitlines())
    assert stripped == console_table(results)


def test_several_metrics_of_a_task_name_it_once(results: dict) -> None:  # type: ignore[type-arg]
    lines = console_table(results).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("  SD-QA") and "(" in line[:40])
    assert "SD-QA" not in lines[first + 1] and lines[first + 1].startswith(" " * 8)
    at = lines[first].index("Accuracy")
    assert lines[first + 1][at - 1 : at + 1].strip() == lines[first + 1][at]


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_a_terminal_gets_what_fits(results: dict, columns: int) -> None:  # type: ignore[type-arg]
    whole, fitted = console_table(results), console_table(results, columns=columns)
    assert max(width(line) for line in fitted.splitlines()) <= max(columns, 80)
    for line in whole.splitlines():
        for word in re.findall(r"\d+/\d+|\d+ errored|\d+ unscored|partial data", line):
            assert word in fitted
    assert fitted.count("/40") == whole.count("/40")
    assert (fitted == whole) == (columns >= 120)
    assert ("66.27" in fitted) == (columns > 80)


def test_a_remark_too_long_stands_below_its_row(results: dict) -> None:  # type: ignore[type-arg]
    lines = console_table(results, columns=80, colour=True).splitlines()
    row = next(i for i, line in enumerate(lines) if "SD-QA" in line)
    assert "37/40" in lines[row]
    assert re.sub(r"\x1b\[\d*m", "", lines[row + 1]) == "    2 errored, 1 unscored"


def test_no_colour_unless_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert use_colour(Terminal()) and not use_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_colour(Terminal())


def test_it_prints_in_any_encoding(results: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    path = tmp_path / "table.txt"
    with path.open("w", encoding="ascii") as stream:
        print_table(results, stream)
    assert "voicebench" in path.read_text(encoding="ascii")
    assert printable("a\u2013b\u8a9e", "latin-1") == "a-b?"
    assert printable("a\u2013b", "utf-8") == "a\u2013b"


def test_wide_and_combining_characters() -> None:
    assert width("語") == 2
    assert width("e\u0301") == 1


def test_a_demo_says_so(tmp_path: Path) -> None:
    results = Run(make_run(tmp_path / "run", demo=True, meaningful=False)).results()
    text = console_table(results)
    assert "embedded demo: no baseline" in text and "judge not meaningful" in text


def test_long_names_of_metrics_are_cut_before_numbers_go(results: dict) -> None:  # type: ignore[type-arg]
    long = json.loads(json.dumps(results))
    long["tasks"]["voicebench/sd-qa"]["metrics"]["gpt"]["label"] = (
        "Accuracy (by a judge with a very long name)"
    )
    lines = console_table(long, columns=80).splitlines()
    assert max(width(line) for line in lines) <= 80
    line = next(line for line in lines if "Accuracy (by" in line)
    assert "\u2026" in line and "/40" in line
    assert "very long name" in console_table(long)


def test_cut_counts_wide_characters_and_takes_no_time() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab\u2026"
    assert cut("\u8a9e\u8a9e\u8a9e", 4) == "\u8a9e\u2026" and width(cut("\u8a9e\u8a9e\u8a9e", 4)) <= 4
    before = time.process_time()
    assert width(cut("y" * 1_000_000, 20)) == 20
    assert time.process_time() - before < 2


def test_a_narrow_terminal_stars_what_a_stand_in_judged(tmp_path: Path) -> None:
    results = Run(make_run(tmp_path / "run", demo=True, meaningful=False)).results()
    whole = console_table(results, columns=200)
    assert "*" not in whole and "judge not meaningful" in whole
    narrow = console_table(results, columns=62)
    row = next(line for line in narrow.splitlines() if "AlpacaEval" in line)
    assert re.search(r"\d\*  \[", row) and "judge" not in row
    assert narrow.endswith("* judge not meaningful: a stand-in gave these verdicts")
    assert narrow.count("embedded demo") == 1, "once for all blocks"


def test_a_task_named_above_is_not_named_again(results: dict) -> None:  # type: ignore[type-arg]
    single = json.loads(json.dumps(results))
    single["tasks"] = {n: e for n, e in single["tasks"].items() if n.startswith("ultraeval-audio")}
    single["overall"] = {}
    assert console_table(single).count("Llama Q.") == 1


def test_many_rows_leave_other_metrics_to_the_report(results: dict, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[type-arg]
    monkeypatch.setattr("reports.terminal.MANY", 5)
    short = console_table(results, columns=120)
    assert "UTMOS" not in short and "AlpacaEval" in short
    assert re.search(r"^\d+ other metrics: in the report", short, re.M)
    assert "UTMOS" in console_table(results), "all of it where it isn't a terminal"


def test_rows_of_one_name_stand_under_their_sections() -> None:
    from reports.cells import Cell, Column, Row, Section, Table
    from reports.overview import strips

    cell = Cell(value=3.0, text="3.00", n=2, n_scored=2, signature="s")
    row = Row("Emotion", "LALM score", "1-5", True, (cell,), scale=(1.0, 5.0))
    two = [Section(f"Report, Table 5: {t}", (row,)) for t in ("Acoustic", "Instruction")]
    table = Table("vstyle", "VStyle", (Column("r1", "m", "run"),), tuple(two))
    assert [s.where for s in strips(table)] == ["Acoustic", "Instruction"]
    assert [s.where for s in strips(Table("vstyle", "VStyle", table.columns, (two[0],)))] == [""]
    run = RunView(Path(), "r1", "m", {}, {})
    lines = [line[0] for line in _lines(run, table, "none", brief=False)]
    assert lines == ["vstyle", "  Acoustic", "    Emotion", "  Instruction", "    Emotion"]
