"""The reproduction ledger's rules: verdicts, whom to compare with, the file, its views, the command on record."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.cli.options import HIDDEN
from evalkit.cli.typed import command
from evalkit.errors import UsageError
from evalkit.linefiles import encode_line
from evalkit.registry import catalogue
from reports.reproduction import Line, append, fillers, latest, of_run, read, sheets
from reports.reproduction.lines import VERSION, _fills, printed_rows
from reports.reproduction.markdown import code, markdown
from reports.reproduction.page import page
from reports.reproduction.verdicts import against_print, judged, terms, within
from reports.reproduction.whom import compared_with, named, tables
from reports.runs import RunView

LINE = Line(
    *("2", "VoiceBench (S2T)", "SD-QA", "", "accuracy", "%", "Fun-Audio-Chat-8B", "66.27", 66.27),
    *("mine", "openai/mine@12345678", "voicebench/sd-qa", "acc", ""),
    ours=65.1,
    decimals=2,
    higher_is_better=True,
    delta=-1.17,
    interval=(61.0, 69.0),
    ci_method="wilson",
    bounds=(65.1, 65.1),
    n=553,
    n_scored=553,
    n_errors=0,
    n_unscored=0,
    n_pending=0,
    n_expected=553,
    within=True,
    verdict="reproduced",
    partial=False,
    why=(),
    footnotes=(),
    notes=(),
    protocol="official",
    judging="",
    signature="voicebench/sd-qa|protocol=official",
    evalkit="0.1.0",
    git="",
    date="2026-11-25T10:00:00Z",
    command="evalkit reproduce --run runs/a",
    run="runs/a",
)


# --- verdicts ---------------------------------------------------------------------------------------


@given(
    st.decimals(0, 100, places=2),
    st.integers(-40_000, 40_000),
    st.integers(0, 20_000),
    st.sampled_from((0, 1, 2)),
)
def test_within_is_rounding_s_interval_meeting_ours(value: Decimal, off: int, wide: int, places: int) -> None:
    """Against exact arithmetic: some number that prints like this lies in the interval."""
    printed = f"{value:.{places}f}"
    low = Decimal(printed) + Decimal(off) / 1000
    high = low + Decimal(wide) / 1000
    half = Decimal(1) / (2 * 10**places)
    exact = low - half <= Decimal(printed) <= high + half
    assert within(printed, (float(low), float(high))) is exact


def test_the_last_decimal_printed_decides() -> None:
    assert within("7.4", (7.44, 7.60)) is True  # 7.4 stands for 7.35 to 7.45
    assert within("7.40", (7.44, 7.60)) is False
    assert within("7.40", None) is None


def test_the_verdict() -> None:
    assert judged(True, ()) == "reproduced" and judged(False, ()) == "differs"
    assert judged(None, ()) == judged(True, ("smoke data",)) == judged(False, ("x",)) == "not comparable"


def test_a_known_misprint_is_never_compared_with() -> None:
    row = next(r for _, r in printed_rows("2", "GLM-4-Voice") if r.name == "IFEval")
    wrong, known = against_print(row, "GLM-4-Voice")
    assert wrong == ["the printed number is known to be wrong"] and "25.92" in known[0]
    assert against_print(row, "Fun-Audio-Chat-8B") == ([], [])


# --- whom to compare with ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table", "model"),
    [
        ("local/FunAudioLLM/Fun-Audio-Chat-8B", "2", "Fun-Audio-Chat-8B"),
        ("openai/gpt-audio-2025-08-28", "1", "GPT-Audio"),
        ("openai/gpt-audio-mini", "1", None),
        ("openai/gpt-4o-mini", "5", None),
        ("openai/gpt-4o", "5", "GPT-4o"),
        ("moonshotai/Kimi-Audio-7B-Instruct", "2", "Kimi-Audio"),
        ("stepfun-ai/Step-Audio-2-mini", "2", "Step-Audio2-Mini"),
        ("openbmb/MiniCPM-o-2_6", "2", None),
        ("MiniCPM-o 2.6", "2", "MiniCPM-o 2.6"),
        ("Fun-Audio-Chat-Duplex-8B", "7", "Fun-Audio-Chat-Duplex-8B"),
        ("Fun-Audio-Chat-Duplex-8B", "2", None),
        ("replay/out/Kimi-Audio.jsonl", "2", "Kimi-Audio"),
        ("8B", "2", None),
        ("", "2", None),
    ],
)
def test_models_are_told_by_their_whole_name(name: str, table: str, model: str | None) -> None:
    from reports.reproduction import models_of

    assert named(name, models_of(table)) == model


def test_every_table_has_a_model_to_compare_with() -> None:
    chosen = {t: compared_with(t, None)[0] for t in tables()}
    assert chosen == {
        "1": "Fun-Audio-Chat-30B-A3B",
        **dict.fromkeys("23456", "Fun-Audio-Chat-8B"),
        "7": "Fun-Audio-Chat-Duplex-8B",
    }
    assert compared_with("5", "gpt 4o")[0] == "GPT-4o"
    with pytest.raises(UsageError, match="no Table 9"):
        compared_with("9", None)


def whole_catalogue() -> RunView:
    """A run that has everything the catalogue declares, as far as cells go."""
    found = catalogue()
    tasks: dict[str, Any] = {}
    for task in found.tasks.values():
        _, variant = task.variant(None)
        groups: dict[str, dict[str, Any]] = {}
        for cell in task.cells:
            if cell.group:
                groups.setdefault(cell.group[0], {})[cell.group[1]] = {}
        tasks[task.name] = {
            "cells": [c.to_json() for c in task.cells],
            "metrics": {m.name: {} for m in variant.metrics},
            "groups": groups,
        }
    overalls = {
        o.name: {"cells": [c.to_json() for c in o.cells], "parts": [p.task for p in o.parts]}
        for o in found.overalls.values()
    }
    return RunView(Path(), "r1", "all", {"tasks": tasks, "overall": overalls}, {})


def test_every_printed_row_has_exactly_one_that_fills_it() -> None:
    """All seven tables: no task's number lands in another row, and none is missed but the full-duplex row."""
    run = whole_catalogue()
    bare = []
    for table in tables():
        there = fillers(run, table)
        used: list[tuple[str, str]] = []
        for section, row in printed_rows(table, compared_with(table, None)[0]):
            names = [
                (n, json.dumps(c)) for n, cells in there.items() for c in cells if _fills(run, n, c, row)
            ]
            if not names:
                bare.append((table, section.name))
            assert len(names) <= 1, (table, section.name, row.name, names)
            used += names
        assert len(used) == len(set(used)) == sum(map(len, there.values())), table
    assert bare == [("7", "Full-duplex Interaction")]


def test_an_overall_is_made_of_the_metrics_it_names() -> None:
    """S2M-S is no mean of S2M-T, the headline of the same tasks."""
    entry = {"headline": "s2m_t", "metrics": {"s2m_t": {}, "s2m_s": {}}}
    named_ = {"parts": ["a", "b"], "terms": [{"task": t, "metric": "s2m_s", "factor": 1.0} for t in "ab"]}
    results = {"tasks": {"a": entry}, "overall": {"s": named_, "t": {"parts": ["a", "b"]}}}
    run = RunView(Path(), "r1", "all", results, {})
    assert list(terms(run, "s")) == [("a", "s2m_s")] and list(terms(run, "t")) == [("a", "s2m_t")]


# --- the file ---------------------------------------------------------------------------------------


def test_lines_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    odd = replace(LINE, model="a\ud800\u2028b", notes=("é", "|"), ours=None, interval=None)
    assert append(path, [LINE, odd]) == [LINE, odd]
    assert read(path).lines == (LINE, odd) and read(path).odd == 0
    assert append(path, [LINE, odd]) == []


def test_a_torn_line_is_ignored_and_lines_of_others_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    strange = [
        {"v": VERSION + 1},
        {"v": VERSION},
        {**LINE.to_json(), "n": "many"},
        {**LINE.to_json(), "why": [3]},
        {**LINE.to_json(), "ours": math.nan},
        {**LINE.to_json(), "bounds": [0, math.inf]},
    ]
    held = b"".join(map(encode_line, strange)) + b"not json\n" + encode_line(LINE.to_json())
    path.write_bytes(held + encode_line(LINE.to_json())[:40])
    found = read(path)
    assert found.lines == (LINE,) and found.odd == len(strange)
    other = replace(LINE, model="other")
    assert append(path, [LINE, other]) == [other]
    assert path.read_bytes().startswith(held) and read(path).lines == (LINE, other)


def test_the_result_is_named_by_what_came_out(tmp_path: Path) -> None:
    """When, where from and by which command is no part of it; the number, the verdict and the signature are."""
    same = [
        replace(LINE, date="x"),
        replace(LINE, command="x"),
        replace(LINE, run="x"),
        replace(LINE, git="x"),
    ]
    assert {x.digest for x in same} == {LINE.digest}
    others = [replace(LINE, ours=1.0), replace(LINE, verdict="differs"), replace(LINE, signature="x")]
    assert len({LINE.digest, *(x.digest for x in others)}) == 4


@given(st.lists(st.tuples(st.sampled_from("AB"), st.booleans(), st.integers(0, 3)), max_size=12))
def test_the_latest_whole_line_counts_else_the_latest(drawn: list[tuple[str, bool, int]]) -> None:
    lines = [replace(LINE, row=row, partial=partial, n=n) for row, partial, n in drawn]
    kept = {x.row: x for x in latest(lines)}
    assert len(kept) == len(latest(lines)) == len({x.row for x in lines})
    for row, line in kept.items():
        mine = [x for x in lines if x.row == row]
        assert line is ([x for x in mine if not x.partial] or mine)[-1]


def test_a_run_finds_its_lines_in_the_ledgers_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    monkeypatch.chdir(run)
    append(tmp_path / "reproductions.jsonl", [LINE, replace(LINE, row="MMSU", run="runs/b")])
    assert of_run(run) == [LINE]
    assert of_run(tmp_path / "runs" / "c") == []
    (tmp_path / "runs" / "reproductions.jsonl").mkdir()  # unreadable: has nothing to say
    assert of_run(Path()) == [LINE]


# --- views ------------------------------------------------------------------------------------------

HOSTILE = 'x</style><script>alert(1)</script>|`**[a](javascript:b)\n# head <img src=x onerror="y">'


class Elements(HTMLParser):
    """What a browser would build."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hostile() -> list[Line]:
    return [replace(LINE, model=HOSTILE, why=(HOSTILE,), notes=(HOSTILE,), signature=HOSTILE, command=HOSTILE,
                    run=HOSTILE, verdict="not comparable"),
            replace(LINE, table=HOSTILE, section=HOSTILE, row=HOSTILE, metric=HOSTILE, printed=HOSTILE,
                    printed_model=HOSTILE, verdict=HOSTILE)]  # fmt: skip


def test_the_page_holds_nothing_that_runs_or_asks() -> None:
    text = page(sheets(hostile()))
    found = Elements()
    found.feed(text)
    assert not {tag for tag, _ in found.found} & {"script", "img", "link", "iframe", "object", "a"}
    assert not any(
        k.startswith("on") or k in ("src", "href", "style") for _, attrs in found.found for k in attrs
    )
    [policy] = [a["content"] for t, a in found.found if t == "meta" and "http-equiv" in a]
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "url(" not in text and "@import" not in text


def test_markdown_shows_hostile_text_as_text() -> None:
    text = markdown(sheets(hostile()))
    plain = re.sub(r"(?<!\\)(`+).*?(?<!`)\1(?!`)", "", text)  # code shows what it holds
    assert not re.search(r"(?<!\\)<(?!/?(?:details|summary)>)", plain)
    assert "\n# head" not in text and not re.search(r"(?<!\\)\]\(", plain)
    rows = [x for x in text.splitlines() if x.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert code("a``b`") == "``` a``b` ```"


def test_every_printed_row_is_shown_run_or_not() -> None:
    [sheet] = sheets([LINE])
    assert len(sheet.entries) == 19 and sheet.summary == "1 reproduced, 18 not run"
    [entry] = [e for e in sheet.entries if e.line]
    assert (entry.printed, entry.ours, entry.delta, entry.interval, entry.coverage) == (
        *("66.27", "65.10", "\u22121.17", "[61.00, 69.00]", "553"),
    )
    # 8.025 is shown as 8.03, and 8.03 less 8.88 is what a reader finds.
    rounded = replace(LINE, ours=8.025, published=8.88, printed="8.88", delta=-0.855)
    assert [e.delta for e in sheets([rounded])[0].entries if e.line] == ["\u22120.85"]
    stray = replace(LINE, row="Renamed since")
    assert sheets([stray])[0].blocks[-1].entries[0].line == stray
    languages = [e.label for e in sheets([replace(LINE, table="5")])[0].entries]
    assert "Age (en), LALM judge" in languages and "Age (zh), LALM judge" in languages


def test_what_is_said_of_rows_is_said_once() -> None:
    lines = [
        replace(LINE, row=r, why=w) for r, w in (("SD-QA", ("x", "y")), ("MMSU", ("x",)), ("IFEval", ()))
    ]
    assert sheets(lines)[0].remarks == [("VoiceBench SD-QA, MMSU", "x"), ("VoiceBench SD-QA", "y")]
    assert sheets(lines[:2])[0].remarks[0] == ("All", "x")
    more = replace(LINE, section="UltraEval-Audio (S2S)", row="TriviaQA")
    assert sheets([*lines[:2], more])[0].remarks[0] == ("VoiceBench", "x")
    assert sheets([lines[0]])[0].remarks == [("VoiceBench SD-QA", "x"), ("VoiceBench SD-QA", "y")]
    spoken = [
        replace(LINE, table="7", section="Knowledge Understanding", printed_model="Fun-Audio-Chat-Duplex-8B",
                row=row, metric=m, why=w)
        for row, m, w in (("TriviaQA", "S2M-T", ()), ("TriviaQA", "S2M-S", ("x",)), ("Llama Q.", "S2M-S", ("x",)))
    ]  # fmt: skip
    # Rows of one name are told apart, in print order.
    assert sheets(spoken)[0].remarks == [("Knowledge Understanding Llama Q. S2M-S, TriviaQA S2M-S", "x")]


# --- the command on record --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        (["-M", "api_key=hush-hush"], ["-M", f"api_key={HIDDEN}"]),
        (["-Mapi-key=hush-hush"], [f"-Mapi-key={HIDDEN}"]),
        (["-M=token=hush-hush"], [f"-M=token={HIDDEN}"]),
        (["-J", "base_url=https://me:hush-hush@x.org/v1?k=hush-hush"], ["-J", "base_url=https://x.org/v1"]),
        (["-L", 'x={"a":{"auth_token":"hush-hush"}}'], ["-L", f'x={{"a": {{"auth_token": "{HIDDEN}"}}}}']),
        (["-M", 'x={"Authorization": "hush-hush"}'], ["-M", f'x={{"Authorization": "{HIDDEN}"}}']),
        (["-M", "x=authorization: Bearer hush-hush"], ["-M", f"x=authorization: Bearer {HIDDEN}"]),
        (["-J", 'x=[{"name": "X", "value": "bearer hush-hush"}]'],
         ["-J", f'x=[{{"name": "X", "value": "bearer {HIDDEN}"}}]']),
        (["-A", 'x={"u": "https://me:hush-hush@x.org/?a=b&api_key=hush-hush"}'],
         ["-A", f'x={{"u": "https://x.org/?a=b&api_key={HIDDEN}"}}']),
        (["-M", "urls=https://me:hush-hush@x.org,https://me:hush-hush@y.org#token=hush-hush"],
         ["-M", f"urls=https://x.org,https://y.org#token={HIDDEN}"]),
        (["-M", "author=me", "-M", "system=Use basic vocabulary: me@x.org"],
         ["-M", "author=me", "-M", "system=Use basic vocabulary: me@x.org"]),
        (["--data-dir", "https://me:hush-hush@x.org/d"], ["--data-dir", "https://x.org/d"]),
        (["--model", "openai/hush-hush"], ["--model", f"openai/{HIDDEN}"]),
        (["-O", "wer_tokens=C", "-M", "max_tokens=5"], ["-O", "wer_tokens=C", "-M", "max_tokens=5"]),
        (["-M", "api_key_env=MY_KEY", "--table=2"], ["-M", "api_key_env=MY_KEY", "--table=2"]),
        (["--task", "voicebench/*", "--as", "MiniCPM-o 2.6"], ["--task", "voicebench/*", "--as", "MiniCPM-o 2.6"]),
    ],
)  # fmt: skip
def test_the_command_without_secrets(
    argv: list[str], kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "openai/hush-hush" in argv:
        monkeypatch.setenv("OPENAI_API_KEY", "hush-hush")
    told = command(["reproduce", *argv])
    assert "hush" not in told and shlex.split(told) == ["evalkit", "reproduce", *kept]


def test_a_line_of_the_file_reads_as_documented(tmp_path: Path) -> None:
    """docs/reproduce.md names every field."""
    text = (Path(__file__).parent.parent / "docs" / "reproduce.md").read_text(encoding="utf-8")
    for name in json.loads(encode_line(LINE.to_json())):
        assert f"`{name}`" in text, name
