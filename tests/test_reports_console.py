"""The console table: aligned, plain where it has to be, printable anywhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from report_fixtures import make_run

from evalkit.store import Run
from reports.terminal import console_table, print_table, printable, use_colour, width


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
