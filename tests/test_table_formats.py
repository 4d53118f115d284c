"""Renderers of tables: hostile text stays text in each of them, and LaTeX compiles."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import UsageError
from reports.cells import Cell, Column, Head, Row, Section, Table, ranked
from reports.papertables.build import paper_table
from reports.renderers import FORMATS, text_of, write_table
from reports.renderers.latex import latex, several
from reports.renderers.latex_text import escaped as latex_escaped
from reports.renderers.markdown import escaped as markdown_escaped

NASTY = [
    "=1+1",
    "@SUM(A1)",
    "</td><script>alert(1)</script>",
    "a|b",
    "a & b % c $ d # e _ f { g } h ~ i ^ j \\ k",
    "\\input{/etc/passwd}",
    "\\end{document}",
    "中文标签",
    "Ünïcödé ß ł τ",
    "🎧 emoji",
    "line\nbreak\r\nand\x00nul\x1b[31m",
    "\u202eright to left",
    "**bold** `code` [link](javascript:alert(1)) <b>",
    "~~struck~~ ![x](y) https://example.org @someone #12",
    "[1]",
    "*",
    "''quotes'' \"double\" ``grave``",
]


def nasty_table() -> Table:
    columns = tuple(
        Column(f"c{i}", text, "run" if i % 2 else "published", note=text, notes=(text,), runs=(text,))
        for i, text in enumerate(NASTY)
    )
    cells = tuple(
        Cell(
            value=float(i),
            text=f"{i}.00",
            ci=(0.0, 99.0),
            n=7,
            footnotes=(t,),
            rivals=True,
            floor=float(i),
            signature=t,
        )
        for i, t in enumerate(NASTY)
    )
    cells = ranked(cells, higher_is_better=True, decimals=2)
    rows = tuple(Row(t, t, "%", True, cells, stub=(t, t), benchmark=t) for t in NASTY)
    heads = (Head(NASTY[4], tuple(NASTY)),)
    sections = (Section(NASTY[2], rows), Section(NASTY[7], rows))
    return Table(
        "nasty/../x",
        NASTY[4],
        columns,
        sections,
        caption=NASTY[3],
        heads=heads,
        notes=tuple(NASTY),
        second=True,
        intervals=True,
    )


# --- hostile text --------------------------------------------------------------------------------------


def test_html_escapes_and_allows_nothing_but_its_style_sheet() -> None:
    page = text_of(nasty_table(), "html")
    assert "<script" not in page and "&lt;script&gt;" in page and "</td><script>" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    said = policy[1].replace("&#39;", "'")
    assert said.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in said
    assert not re.search(r'\b(?:src|href)="(?!#)', page) and "\x00" not in page and "\u202e" not in page
    assert not re.search(r"\son\w+=|\sstyle=", page)


def test_the_style_sheet_has_the_hash_that_the_policy_names() -> None:
    import base64
    import hashlib

    page = text_of(nasty_table(), "html")
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"sha256-{digest}" in page.replace("&#43;", "+").replace("&#34;", '"')


def test_words_for_screen_readers_do_not_widen_the_page() -> None:
    """They stand out of the flow: without a box of their own, those in columns scrolled out of sight would."""
    page = text_of(nasty_table(), "html")
    assert re.search(r"\.sr \{[^}]*position: absolute", page)
    assert re.search(r"\.wide \{[^}]*position: relative", page)


def test_csv_holds_no_formula_and_every_line_has_every_column() -> None:
    rows = list(csv.reader(io.StringIO(text_of(nasty_table(), "csv"))))
    assert len(rows) == 1 + 2 * len(NASTY) ** 2 and len({len(r) for r in rows}) == 1
    assert not any(c.startswith(("=", "@", "+", "\t")) for r in rows for c in r)
    assert not any("\x00" in c or "\x1b" in c for r in rows for c in r)


def test_a_workbook_holds_text_as_text(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("xlsxwriter")
    path = write_table(nasty_table(), "xlsx", tmp_path)
    assert path.parent == tmp_path
    sheet = openpyxl.load_workbook(path).active
    cells = [c for row in sheet.iter_rows() for c in row if c.value is not None]
    assert not any(c.data_type == "f" or c.hyperlink for c in cells)
    assert "=1+1" in [c.value for c in cells]


def test_markdown_has_the_same_cells_on_each_line() -> None:
    text = text_of(nasty_table(), "md")
    lines = [x for x in text.splitlines() if x.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", x)) for x in lines}
    assert len(lines) == 2 + 1 + 2 * (1 + len(NASTY)) and bars == {len(NASTY) + 3}
    bare = re.sub(r"</?(?:sup|ins)>", "", text)
    assert not re.search(r"(?<!\\)<", bare) and "\x00" not in text


@given(st.text(max_size=60))
def test_markdown_escapes_every_sign(text: str) -> None:
    shown = markdown_escaped(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|*_`<\[~]", shown) and "\n" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- a list", "\\- a list"),
        ("+ a", "\\+ a"),
        ("===", "\\==="),
        (" 12. a", "12\\. a"),
        ("3) a", "3\\) a"),
        ("12 a. b", "12 a. b"),
        ("see https://example.org or WWW.example.org", "see https\\://example.org or WWW\\.example.org"),
    ],
)
def test_markdown_makes_no_list_and_no_link_of_a_caption(text: str, shown: str) -> None:
    assert shown in text_of(replace(nasty_table(), caption=text), "md").splitlines()


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_latex_text_is_balanced_and_of_known_commands(text: str) -> None:
    shown = latex_escaped(text)
    bare = re.sub(r"\\[{}&%$#_\\]", "", re.sub(r"\\evalkitchar\{[0-9A-F]+\}\{.\}", "", shown))
    depth = 0
    for c in bare:
        depth += (c == "{") - (c == "}")
        assert depth >= 0
    assert depth == 0 and bare.count("$") % 2 == 0
    assert not re.search(
        r"[&%#_~]", re.sub(r"\\~\{[A-Za-z]\}", "", bare).replace("~", "" if "\xa0" in text else "~")
    )
    known = r"\\(?:text[a-z]+|[a-zA-Z]+|[`'^~\"=.])"
    assert not re.search(r"\\", re.sub(known, "", bare))


# --- structure of LaTeX, and TeX itself ----------------------------------------------------------------


def body(text: str) -> list[str]:
    inner = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    return [x for x in inner.splitlines() if x.endswith(r"\\")]


@pytest.mark.parametrize("number", "1234567")
def test_each_line_of_latex_fills_all_columns(number: str) -> None:
    table = paper_table(number, [])
    width = len(table.stub) + len(table.columns)
    for line in body(latex(table)):
        wide = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
        assert len(re.findall(r"(?<!\\)&", line)) + 1 + wide == width, line
    text = latex(table)
    assert text.count(r"\begin{") == text.count(r"\end{") and text.isascii()
    assert f"\\label{{tab:table-{number}}}" in text and r"\usepackage{booktabs,graphicx}" in text


def test_heads_break_at_blanks_before_hyphens() -> None:
    text = latex(paper_table("2", []))
    assert r"\shortstack{MiniCPM-{}o\\2.6}" in text and r"\shortstack{Fun-{}Audio-{}\\Chat-{}8B}" in text


def test_a_page_per_table_when_several_are_one_file() -> None:
    text = several([paper_table(n, []) for n in "12"], "two")
    assert (
        text.count(r"\documentclass") == 1
        and text.count(r"\begin{table*}") + text.count(r"\begin{table}") == 2
    )


needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")


def compiled(folder: Path, name: str) -> str:
    """Compile a file twice over; what TeX says. Fails with the end of its log."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-3000:]
    assert (folder / name).with_suffix(".pdf").stat().st_size > 1000
    return said


@needs_tex
@pytest.mark.parametrize("number", "1234567")
def test_a_table_compiles_as_it_stands(tmp_path: Path, number: str) -> None:
    path = write_table(replace(paper_table(number, []), second=True), "latex", tmp_path)
    said = compiled(tmp_path, path.name)
    assert "Output written on" in said and "(1 page" in said.replace("\n", "")
    assert "Overfull" not in said and "too large" not in said and "Missing character" not in said


@needs_tex
def test_hostile_text_compiles(tmp_path: Path) -> None:
    path = write_table(nasty_table(), "latex", tmp_path)
    said = compiled(tmp_path, path.name)
    assert "passwd" not in said and "(1 page" in said.replace("\n", "")


@needs_tex
def test_texts_beyond_every_length_compile_and_say_what_was_cut(tmp_path: Path) -> None:
    long = "word " * 20_000
    cell = Cell(value=1.0, text="1.00", footnotes=(long,))
    columns = tuple(Column(f"c{i}", long, "run", notes=(long + "x",), runs=(long,)) for i in range(9))
    rows = (Row(long, long, "%", True, (cell,) * 9, stub=(long, long)),)
    table = Table("long", "t", columns, (Section(long, rows),), notes=(long,) * 30)
    path = write_table(table, "latex", tmp_path)
    assert "{[}99920 more characters{]}" in path.read_text()
    compiled(tmp_path, path.name)


@needs_tex
def test_every_sign_of_unicode_planes_compiles(tmp_path: Path) -> None:
    """A sample of all code points, those of Latin in full, in one table's note."""
    points = [*range(0x20, 0x250), *range(0x250, 0x3000, 37), *range(0x3000, 0x1F9FF, 4099)]
    text = "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)
    cell = Cell(value=1.0, text="1")
    row = Row("x", "y", "%", True, (cell,))
    notes = tuple(text[i : i + 80] for i in range(0, len(text), 80))
    table = Table("u", "t", (Column("c", "c", "run"),), (Section("s", (row,)),), notes=notes)
    compiled(tmp_path, write_table(table, "latex", tmp_path).name)


@needs_tex
def test_tables_are_taken_into_a_paper(tmp_path: Path) -> None:
    for n in "27":
        write_table(paper_table(n, []), "latex", tmp_path)
    paper = r"""\documentclass[twocolumn]{article}\usepackage{booktabs,graphicx}\begin{document}
Before. \input{table-2} Between, see Table~\ref{tab:table-2}. \input{table-7} After.\end{document}"""
    (tmp_path / "paper.tex").write_text(paper)
    assert "Overfull" not in compiled(tmp_path, "paper.tex")


def test_xlsx_without_its_library_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(UsageError, match=r"pip install 'evalkit\[xlsx\]'"):
        write_table(paper_table("6", []), "xlsx", tmp_path)


def test_the_same_table_gives_the_same_bytes() -> None:
    for name in (f for f in FORMATS if f != "xlsx"):
        assert text_of(nasty_table(), name) == text_of(nasty_table(), name)


# --- what is shown on request --------------------------------------------------------------------------


def asked(**more: bool) -> Table:
    """One row: a printed 60.00 is best, our 50.00 with an interval is second, a printed 40.00 is neither."""
    columns = (Column("a", "A", "published"), Column("r", "Ours", "run"), Column("b", "B", "published"))
    cells = [
        Cell(value=v, text=f"{v:.2f}", rivals=True, floor=v, ci=(45.125, 55.5) if v == 50 else None)
        for v in (60.0, 50.0, 40.0)
    ]
    row = Row("x", "y", "%", True, ranked(cells, higher_is_better=True, decimals=2))
    return Table("t", "T", columns, (Section("s", (row,)),), **more)


SECOND = {"md": "<ins>50.00</ins>", "latex": r"\underline{50.00}", "html": "<ins>50.00</ins>"}
INTERVAL = {"md": r"50.00 \[45.13, 55.50\]", "latex": "{[}45.13, 55.50{]}", "html": "[45.13, 55.50]"}


@pytest.mark.parametrize("name", ["md", "latex", "html"])
def test_second_best_and_intervals_are_shown_on_request(name: str) -> None:
    bare, full = text_of(asked(), name), text_of(asked(second=True, intervals=True), name)
    assert full.count(SECOND[name]) == 1 and INTERVAL[name] not in bare
    if name != "md":
        assert INTERVAL[name] in full
    else:
        assert r"<ins>50.00</ins> \[45.13, 55.50\]" in full
    assert SECOND[name] not in bare
    assert text_of(asked(intervals=True), name).count("55.50") == (2 if name == "html" else 1)  # and a title


def test_a_workbook_underlines_and_has_intervals_on_request(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("xlsxwriter")

    def numbers(table: Table) -> list[tuple[float, bool]]:
        sheet = openpyxl.load_workbook(write_table(table, "xlsx", tmp_path)).active
        found = [c for row in sheet.iter_rows() for c in row if isinstance(c.value, int | float)]
        return [(c.value, c.font.u is not None) for c in found]

    assert numbers(asked()) == [(60, False), (50, False), (40, False)]
    full = numbers(asked(second=True, intervals=True))
    assert full == [(60, False), (50, True), (45.125, False), (55.5, False), (40, False)]
