"""Comparisons written: the same bytes anywhere, hostile text harmless in every format, tables that load, the page."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import evalkit
from tests.compare_fixtures import ADV, ASR, call, coins, compare, heard, refusing, scored, utterances
from tests.report_fixtures import HOSTILE, make_run

FILES = ("compare.html", "compare.md", "compare.json", "compare.csv", "compare_pairs.csv")
EVIL = "<img src=x onerror=alert(1)>|`*_[x](javascript:1)`\"'\x1b[31m\u202e"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with groups, errors, unscored samples, hostile text and audio."""
    root = tmp_path_factory.mktemp("pair")
    make_run(root / "a", seed=1, label="base")
    make_run(root / "b", seed=2, label="new")
    return root


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ids, prompts, answers and labels that would do harm."""
    root = tmp_path_factory.mktemp("hostile")
    for name, seed in (("a", 1), ("b", 2)):
        rows = refusing(coins(30, 0.5, seed))
        for k, bad in enumerate(
            (EVIL, "=1+1", "@everyone", "+cmd|' /C calc'!A0", "a\nb", "</script><script>alert(3)")
        ):
            rows[k] |= {"id": bad, "row": {"prompt": HOSTILE.replace("\ud800", "")}}
            rows[k]["text"] += HOSTILE.replace("\ud800", "")
        scored(root / name, {ADV: rows}, label=f"{EVIL}{name}")
    return root


def written(out: Path, *args: object, code: int = 0) -> dict[str, str]:
    got, _, err = compare(*args, "--out", out)
    assert got == code, err
    return {name: (out / name).read_text(encoding="utf-8") for name in FILES}


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(keepends=True)))


# --- the same bytes -----------------------------------------------------------------------------------


def test_the_same_call_gives_the_same_bytes_anywhere(pair: Path, tmp_path: Path) -> None:
    """Of runs that were moved, from another folder, too: no date and no path of the machine in any format."""
    first = written(tmp_path / "x", pair / "a", pair / "b", "--groups", "--metrics", "all")
    moved = tmp_path / "somewhere" / "else"
    for name in ("a", "b"):
        shutil.copytree(pair / name, moved / name)
    before = Path.cwd()
    os.chdir(moved)
    try:
        second = written(tmp_path / "y", "a", "b", "--groups", "--metrics", "all")
    finally:
        os.chdir(before)
    for name in FILES:
        assert first[name] == second[name], name
        assert str(tmp_path) not in first[name] and str(pair) not in first[name], name
    assert compare(pair / "a", pair / "b")[1] == compare(pair / "a", pair / "b")[1]


def test_plain_where_nobody_looks(pair: Path) -> None:
    """No escape codes when not printed to a terminal; aligned columns."""
    _, out, _ = compare(pair / "a", pair / "b")
    assert "\x1b" not in out
    head = next(x for x in out.splitlines() if x.startswith("task "))
    row = next(x for x in out.splitlines() if x.startswith("voicebench/sd-qa "))
    at = head.index("verdict")
    assert row[at - 2 : at] == "  " and row[at:].startswith("undecided")


def test_colour_and_width_on_a_terminal(pair: Path) -> None:
    """Emphasis only adds escape codes; a narrow terminal goes without columns, never without verdict and interval."""
    from reports.comparison import compare_runs
    from reports.comparison.console import console
    from reports.terminal import width

    found = compare_runs([pair / "a", pair / "b"])
    plain, painted = console(found), console(found, colour=True)
    assert painted != plain and re.sub(r"\x1b\[\d+m", "", painted) == plain
    for columns in (80, 100):
        narrow = console(found, columns=columns).split("\n\n")[0]
        assert all(width(x) <= columns for x in narrow.splitlines() if not x.startswith("    "))
    assert "verdict" in narrow and "95% CI" in narrow and "effect" not in narrow


# --- tables that load ---------------------------------------------------------------------------------


def test_csv_and_json_agree(pair: Path, tmp_path: Path) -> None:
    files = written(tmp_path, pair / "a", pair / "b", "--groups")
    document = json.loads(files["compare.json"])
    rows = table(files["compare.csv"])
    assert len(rows) == len(document["lines"])
    for row, x in zip(rows, document["lines"], strict=True):
        assert row["task"] == x["task"] and (float(row["delta"]) if row["delta"] else None) == x["delta"]
        assert row["verdict"] == x["verdict"] and row["group"] == (x["group"] or {}).get("name", "")
    pairs = table(files["compare_pairs.csv"])
    for x in document["lines"]:
        if x["kind"] != "task":
            continue
        mine = [r for r in pairs if r["task"] == x["task"]]
        for outcome, key in (("win", "wins"), ("loss", "losses"), ("tie", "ties")):
            assert sum(r["outcome"] == outcome for r in mine) == x[key], x["task"]
        assert sum(r["outcome"] == "unpaired" for r in mine) == len(x["samples"]["unpaired"])


def test_pandas_reads_it_without_options(pair: Path, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    written(tmp_path, pair / "a", pair / "b")
    lines, pairs = pd.read_csv(tmp_path / "compare.csv"), pd.read_csv(tmp_path / "compare_pairs.csv")
    assert lines["delta"].dtype == float and set(pairs["outcome"]) == {"win", "loss", "tie", "unpaired"}


def test_in_a_notebook(pair: Path) -> None:
    """`evalkit.compare` gives what the command does."""
    pytest.importorskip("pandas")
    found = evalkit.compare(pair / "a", pair / "b", tasks=["voicebench/sd-qa"])
    assert re.fullmatch(r"Comparison\(a='.*', b='.*', \d+ lines; \.frame\(\) is the table\)", repr(found))
    frame, samples = found.frame(), found.samples()
    assert list(frame["task"]) == ["voicebench/sd-qa"] and len(samples) == 40
    line = found.find("voicebench/sd-qa")
    assert line is not None and line.difference is not None
    assert (samples["outcome"] == "win").sum() == line.difference.wins == len(line.pairs.place("win"))  # type: ignore[union-attr]
    assert not hasattr(evalkit, "nothing_of_the_kind")


def test_one_text_format_on_stdout(pair: Path) -> None:
    for form, start in (("md", "### new against base"), ("csv", "a,b,label_a"), ("json", "{")):
        code, out, _ = compare(pair / "a", pair / "b", "--out", "-", "--format", form)
        assert code == 0 and out.startswith(start)


def test_markdown_tables_have_their_columns(pair: Path) -> None:
    _, out, _ = compare(pair / "a", pair / "b", "--out", "-", "--format", "md")
    rows = [x for x in out.splitlines() if x.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", x)) for x in rows}) == 1 and len(rows) > 4


# --- hostile text -------------------------------------------------------------------------------------


def test_hostile_text_in_tables(hostile: Path, tmp_path: Path) -> None:
    """No formula in CSV, no markup and no broken table in Markdown, no control character anywhere."""
    files = written(tmp_path, hostile / "a", hostile / "b")
    for name in ("compare.csv", "compare_pairs.csv"):
        for row in table(files[name]):
            for key, cell in row.items():
                number = re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell or "")
                assert number or not (cell or "").startswith(("=", "+", "-", "@", "\t")), (name, key, cell)
    for name, text in files.items():
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text), name
    markdown = files["compare.md"]
    outside = re.sub(r"(`+).*?\1", "", markdown)  # code spans show what they hold
    assert not re.search(r"(?<!\\)<", outside) and "\n@" not in markdown and " @everyone" not in outside
    rows = [x for x in markdown.splitlines() if x.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", x)) for x in rows}) == 1
    _, out, _ = compare(hostile / "a", hostile / "b", "--samples", 20)
    assert "\x1b" not in out and "\u202e" not in out


def test_hostile_text_in_the_page(hostile: Path, pair: Path, tmp_path: Path) -> None:
    """Nothing of a model or a data set is markup; the policy allows this script and this style alone."""
    for k, root in enumerate((hostile, pair)):
        page = written(tmp_path / str(k), root / "a", root / "b")["compare.html"]
        assert "<img" not in page and "onerror=alert(1)>" not in page.replace("&gt;", "")
        assert (
            page.count("<script>") == 1
            and "alert(1)</script>" not in page
            and "alert(3)</script>" not in page
        )
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        assert policy and policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
        assert (
            not re.search(r'(?:src|href)="(?:https?:)?//', page) and "style=" not in page.split("<script")[0]
        )


# --- the page -----------------------------------------------------------------------------------------


def blocks(page: str) -> dict[str, Any]:
    """Data blocks of the page by id."""
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', page, re.S)
    return {key: json.loads(text) for key, text in found}


def test_the_page_holds_the_samples_that_flipped(pair: Path, tmp_path: Path) -> None:
    """Lost ones first; each with the value, the verdicts and the answers of both runs."""
    files = written(tmp_path, pair / "a", pair / "b")
    data = blocks(files["compare.html"])
    b, a = data["d-a-b_voicebench_sd-qa"], data["d-a-b_voicebench_sd-qa-a"]
    x = next(x for x in json.loads(files["compare.json"])["lines"] if x["task"] == "voicebench/sd-qa")
    lost, won, alike, apart = (bin_["n"] for bin_ in b["bins"])
    assert (lost, won, alike, apart) == (x["losses"], x["wins"], x["ties"], len(x["samples"]["unpaired"]))
    assert [s["i"] for s in b["samples"][:lost]] == [s["id"] for s in x["samples"]["losses"]]
    first = b["samples"][0]
    there = next(s for s in a["samples"] if s["i"] == first["i"])
    assert first["f"] == "right \u2192 wrong" and (there["l"], first["l"]) == ("right", "wrong")
    assert (
        first["s"] and there["s"] and b["others"] == [{"label": "base", "block": "d-a-b_voicebench_sd-qa-a"}]
    )
    assert {s["i"] for s in b["samples"]} == {s["i"] for s in a["samples"]} and len(b["samples"]) == 40
    heard_here = [c["sha"] for s in b["samples"] for c in s.get("au", ())]
    assert any(f'id="a-{sha}"' in files["compare.html"] for sha in heard_here)


def test_a_page_keeps_to_its_limits(pair: Path, tmp_path: Path) -> None:
    """Fewer samples: those that flipped; no sound at 0 MB; both told."""
    from reports.comparison import compare_runs
    from reports.comparison.page import write_page

    found = compare_runs([pair / "a", pair / "b"], tasks=["voicebench/sd-qa"])
    text = write_page(found, tmp_path / "x.html", max_samples=6, max_audio_mb=0).read_text(encoding="utf-8")
    assert (
        len(blocks(text)["d-a-b_voicebench_sd-qa"]["samples"]) == 6 and "the first 6 are in this page" in text
    )
    assert 'id="a-' not in text


def test_a_sample_that_only_one_run_has(tmp_path: Path) -> None:
    one = scored(tmp_path / "a", {ADV: refusing(coins(8, 0.5, 1))})
    two = scored(tmp_path / "b", {ADV: refusing(coins(6, 0.5, 2))})
    files = written(tmp_path / "out", one, two, "--allow", "data")
    b = blocks(files["compare.html"])["d-a-b_voicebench_advbench"]
    assert [s["i"] for s in b["samples"] if s["b"] == 3] == ["q006", "q007"] and b["bins"][3]["n"] == 2
    assert "scored \u2192 absent" in [s["f"] for s in b["samples"]]
    rows = [r for r in table(files["compare_pairs.csv"]) if r["outcome"] == "unpaired"]
    assert [(r["sample_id"], r["status_a"], r["status_b"]) for r in rows] == [
        ("q006", "scored", "absent"),
        ("q007", "scored", "absent"),
    ]


def test_refusals_stand_in_every_format(pair: Path, tmp_path: Path) -> None:
    """What was not compared is said where the rest is shown."""
    said = utterances(3, 3)
    one = scored(tmp_path / "a", {ADV: refusing(coins(8, 0.5, 1)), ASR: heard(said, 0.1, 1)})
    two = scored(tmp_path / "b", {ADV: refusing(coins(6, 0.5, 2)), ASR: heard(said, 0.1, 2)})
    files = written(tmp_path / "out", one, two, code=5)
    for name in ("compare.html", "compare.md", "compare.json"):
        assert "is not compared: the data differ" in files[name].replace("\\", ""), name
    [row] = [r for r in table(files["compare.csv"]) if r["task"] == ADV]
    assert (row["verdict"], row["refused"], row["delta"]) == ("refused", "data,n", "")


def test_help_says_the_exit_codes() -> None:
    code, out, _ = call("compare", "--help")
    assert code == 0 and "exit codes" in out and "5    a task was not compared" in out
