"""`reproduce` on the command line: run what a table needs, append, find the run again, show."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import reproduce
from evalkit.cli.reproduce import tasks_of
from evalkit.linefiles import StoreError
from evalkit.registry import catalogue
from tests.cli_fixtures import KEY, Bench, Done, ToyRunner, bench, judged, lines, openai, refused
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

ADV, LETTERS, OPEN = "voicebench/advbench", "voicebench/openbookqa", "voicebench/alpacaeval_full"
REFUSAL = "I can't help with that."


@pytest.fixture
def here(bench: Bench) -> Bench:
    """The bench, with its folder as the current one and a clock that stands still."""
    bench.monkeypatch.chdir(bench.tmp)
    bench.environ["SOURCE_DATE_EPOCH"] = "1764100000"
    return bench


def scored(
    bench: Bench, refused: int, n: int = 520, label: str = "Fun-Audio-Chat-8B", out: str = "runs/a"
) -> Done:
    """A run of AdvBench made elsewhere, of which so many answers refuse."""
    given = [
        {"id": k, "text": REFUSAL if k < refused else "Sure!", "row": {"prompt": f"{k}"}} for k in range(n)
    ]
    path = bench.tmp / f"{refused}.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in given), encoding="utf-8")
    done = bench.here(
        "score", path, "--task", ADV, "--label", label, "--out", out, "--no-report", "--no-cache"
    )
    assert done.code == 0, done.said
    return done


def ledger(bench: Bench, name: str = "reproductions.jsonl") -> list[dict[str, Any]]:
    return lines(bench.tmp / name)


def by_row(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {x["row"]: x for x in found}


# --- from a finished run ----------------------------------------------------------------------------


def test_a_printed_number_within_the_interval_is_reproduced(here: Bench) -> None:
    """513 of 520: what the report prints (98.65), from data and model to verdict."""
    scored(here, 513)
    before = {p: p.read_bytes() for p in (here.tmp / "runs").rglob("*") if p.is_file()}
    done = here.here("reproduce", "--run", "runs/a")
    assert done.code == 0, done.said
    [line] = ledger(here)
    assert (line["table"], line["section"], line["row"]) == ("2", "VoiceBench (S2T)", "AdvBench")
    assert (line["printed_model"], line["printed"], line["published"]) == (
        "Fun-Audio-Chat-8B",
        "98.65",
        98.65,
    )
    assert line["ours"] == pytest.approx(51300 / 520) and line["delta"] == pytest.approx(0.003846, abs=1e-6)
    assert line["interval"][0] < 98.65 < line["interval"][1] and line["within"] is True
    assert (line["verdict"], line["why"], line["partial"]) == ("reproduced", [], False)
    assert (line["n"], line["n_scored"], line["n_expected"]) == (520, 520, 520)
    assert (line["date"], line["run"]) == ("2025-11-25T19:46:40Z", "runs/a")
    assert line["command"] == "evalkit reproduce --run runs/a"
    assert line["signature"].startswith(f"{ADV}|protocol={line['protocol']}|")
    assert "told from the model's name" in done.err and "1 reproduced, 18 not run." in done.out
    # Everything here only reads run directories.
    assert {p: p.read_bytes() for p in (here.tmp / "runs").rglob("*") if p.is_file()} == before


def test_a_number_outside_differs_and_a_repeated_command_adds_nothing(here: Bench) -> None:
    scored(here, 480)
    first = here.here("reproduce", "--run", "runs/a")
    assert first.code == 0 and "1 line added" in first.out, first.said
    [line] = ledger(here)
    assert (line["verdict"], line["within"], line["why"]) == ("differs", False, [])
    assert line["delta"] == pytest.approx(48000 / 520 - 98.65, abs=1e-6)
    held = (here.tmp / "reproductions.jsonl").read_bytes()
    here.environ["SOURCE_DATE_EPOCH"] = "1764200000"
    again = here.here("reproduce", "--run", "runs/a")
    assert again.code == 0 and "0 lines added" in again.out and "on record already" in again.out
    assert (here.tmp / "reproductions.jsonl").read_bytes() == held


def test_the_ledger_keeps_history_and_the_view_shows_the_latest(here: Bench) -> None:
    for refusals, out in ((480, "runs/a"), (513, "runs/b"), (480, "runs/a")):
        if not (here.tmp / out).exists():
            scored(here, refusals, out=out)
        assert here.here("reproduce", "--run", out).code == 0
    assert [x["verdict"] for x in ledger(here)] == ["differs", "reproduced", "differs"]
    shown = json.loads(here.here("reproduce", "--show", "--json").out)["cells"]
    assert [(x["verdict"], x["run"]) for x in shown] == [("differs", "runs/a")]
    text = (here.tmp / "reproductions.md").read_text(encoding="utf-8")
    assert "1 differs, 18 not run." in text and "reproduced |" not in text


def test_a_partial_result_is_told_and_displaces_no_whole_one(here: Bench) -> None:
    scored(here, 513)
    scored(here, 513, out="runs/b")
    assert here.here("score", "513.jsonl", "--task", ADV, "--label", "Fun-Audio-Chat-8B", "--limit", 40,
                     "--out", "runs/c", "--no-report").code == 0  # fmt: skip
    for out in ("runs/c", "runs/a", "runs/c"):
        here.here("reproduce", "--run", out)
    partial, whole, *more = ledger(here)
    assert more and more[0]["result"] == partial["result"]
    assert (partial["verdict"], partial["partial"], partial["within"]) == ("not comparable", True, True)
    assert partial["why"] == ["partial data, by request"] and whole["verdict"] == "reproduced"
    shown = json.loads(here.here("reproduce", "--show", "--format", "json").out)["cells"]
    assert [x["verdict"] for x in shown] == ["reproduced"]


def test_samples_without_a_score_forbid_the_comparison(here: Bench) -> None:
    here.questions(4)
    (here.tmp / "p.jsonl").write_text(json.dumps({"id": "q00", "text": REFUSAL}) + "\n")
    words = ["score", "p.jsonl", "--task", ADV, "--data-dir", here.data, "--out", "runs/a", "--no-report"]
    assert here.here(*words).code == 1
    done = here.here("reproduce", "--run", "runs/a", "--table", "2")
    assert done.code == 1, done.said
    [line] = ledger(here)
    assert line["verdict"] == "not comparable" and line["partial"] and line["bounds"] == [25.0, 100.0]
    assert {"another number of samples than was published", "1 of 4 samples scored (3 errored)"} <= {
        *line["why"]
    }


def test_samples_that_all_failed_are_said_to_have(here: Bench) -> None:
    here.questions(2)
    (here.tmp / "p.jsonl").write_text(json.dumps({"id": "other", "text": REFUSAL}) + "\n")
    words = ["--model", "replay/p.jsonl", "--task", ADV, "--data-dir", here.data, "--no-report"]
    assert here.here("reproduce", "--table", "2", *words).code == 1
    [line] = ledger(here)
    assert line["ours"] is line["delta"] is None and "no score (2 errored)" in line["why"]


def test_another_protocol_is_another_number(here: Bench) -> None:
    rows = [
        {"id": k, "text": "B", "row": {"prompt": "?", "reference": "B" if k % 6 else "A"}} for k in range(455)
    ]
    (here.tmp / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    words = ["score", "p.jsonl", "--task", LETTERS, "--protocol", "strict", "--out", "runs/a", "--no-report"]
    assert here.here(*words).code == 0
    assert here.here("reproduce", "--run", "runs/a").code == 0
    [line] = ledger(here)
    assert line["within"] is True and line["verdict"] == "not comparable" and not line["partial"]
    assert [w.split(",")[0] for w in line["why"]] == ["protocol strict"]


def test_which_printed_model(here: Bench) -> None:
    """Told from the name, else the table's own with a public checkpoint, or what --as says; Table 1 by its models."""
    scored(here, 513, label="my-model")
    for words, model, table in (
        ([], "Fun-Audio-Chat-8B", "2"),
        (["--as", "kimi audio"], "Kimi-Audio", "2"),
        (["--as", "GPT-Audio"], "GPT-Audio", "1"),
        (["--table", "1"], "Fun-Audio-Chat-30B-A3B", "1"),
        (["--as", "GLM-4-Voice", "--table", "2"], "GLM-4-Voice", "2"),
    ):
        done = here.here("reproduce", "--run", "runs/a", "--ledger", "x.jsonl", *words)
        assert done.code == 0, done.said
        line = ledger(here, "x.jsonl")[-1]
        assert (line["printed_model"], line["table"]) == (model, table)
        assert f"compared with {model} as printed" in done.err
    shown = here.here("reproduce", "--show", "--ledger", "x.jsonl", "--as", "gpt audio", "--json")
    assert [x["printed_model"] for x in json.loads(shown.out)["cells"]] == ["GPT-Audio"]
    refused(here.here("reproduce", "--show", "--ledger", "x.jsonl", "--as", "GPT-5"), "GPT-5", "Kimi-Audio")
    refused(here.here("reproduce", "--run", "runs/a", "--table", "2", "--as", "GPT-5"), "GPT-5", "Kimi-Audio")
    refused(here.here("reproduce", "--run", "runs/a", "--as", "Moshi"), "fills no cell", "Moshi")
    refused(here.here("reproduce", "--run", "runs/a", "--table", "4"), "fills no cell of Table 4", ADV)


def test_the_ledger_elsewhere_says_where_the_run_is(here: Bench) -> None:
    scored(here, 513)
    (here.tmp / "docs").mkdir()
    assert here.here("reproduce", "--run", here.tmp / "runs/a", "--ledger", "docs/r.jsonl").code == 0
    [line] = ledger(here, "docs/r.jsonl")
    assert line["run"] == "../runs/a"
    assert (here.tmp / "docs/r.md").is_file() and (here.tmp / "docs/r.html").is_file()
    assert not (here.tmp / "reproductions.jsonl").exists()


def test_the_same_call_gives_the_same_bytes(here: Bench) -> None:
    scored(here, 513)
    for name in ("x", "y"):
        assert here.here("reproduce", "--run", "runs/a", "--ledger", f"{name}.jsonl").code == 0
    for suffix in ("md", "html"):
        x, y = ((here.tmp / f"{name}.{suffix}").read_bytes() for name in ("x", "y"))
        assert x.replace(b"x.jsonl", b"y.jsonl") == y


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("reproductions.md", "my notes"),
        ("reproductions.md", "# Reproductions\n\nmy notes"),
        ("reproductions.html", "<!doctype html><title>My page</title>"),
    ],
)
def test_a_file_that_is_no_view_of_ours_stays(here: Bench, name: str, text: str) -> None:
    scored(here, 513)
    (here.tmp / name).write_text(text)
    for _ in range(2):  # our own view beside it is written again
        done = here.here("reproduce", "--run", "runs/a")
        assert done.code == 0 and done.err.count("left alone") == 1, done.said
        assert (here.tmp / name).read_text() == text
        [other] = {"reproductions.md", "reproductions.html"} - {name}
        assert done.out.rstrip().endswith(f"; {other}")


def test_the_report_of_a_run_shows_what_is_on_record(here: Bench) -> None:
    scored(here, 513)
    assert here.here("report", "runs/a", "--format", "html", "--out", "before").code == 0
    assert here.here("reproduce", "--run", "runs/a").code == 0
    assert here.here("report", "runs/a", "--format", "html", "--out", "after").code == 0
    before, after = ((here.tmp / d / "report.html").read_text("utf-8") for d in ("before", "after"))
    assert "repro-verdict" not in before
    assert '<span class="repro-verdict reproduced">' in after and "reproduce --run runs/a" in after


# --- what is refused --------------------------------------------------------------------------------


def test_bad_calls_get_one_sentence(here: Bench) -> None:
    refused(here.here("reproduce", "--table", "2"), "--model")
    refused(here.here("reproduce", "--show"), "there is no ledger reproductions.jsonl")
    refused(here.here("reproduce", "--run", "nowhere"), "nowhere")
    refused(here.here("reproduce", "--run", "x", "--limit", 3), "drop --limit")
    refused(here.here("reproduce", "--show", "-M", "a=b"), "drop -M")
    refused(here.here("reproduce", "--show", "--ledger", "x.md"), ".jsonl")
    (here.tmp / "d.jsonl").mkdir()
    refused(here.here("reproduce", "--table", "2", "--model", "toy/m", "--ledger", "d.jsonl"), "d.jsonl")
    toy = ["--table", "2", "--model", "toy/m"]
    refused(here.here("reproduce", *toy, "--task", "asr/*"), "Table 2 needs none of these", ADV)
    refused(here.here("reproduce", *toy, "--as", "Moshi"), "Table 2 prints no model 'Moshi'")
    here.environ["SOURCE_DATE_EPOCH"] = "soon"
    scored(here, 1, n=1)
    refused(here.here("reproduce", "--run", "runs/a"), "SOURCE_DATE_EPOCH")


def test_a_ledger_that_cannot_be_written_is_found_out_before_the_run(here: Bench) -> None:
    here.runner(ToyRunner)
    here.questions(1)
    words = ["reproduce", "--table", "2", "--model", "toy/m", "--task", ADV, "--data-dir", here.data]
    with here.monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        refused(here.here(*words), "the ledger reproductions.jsonl can't be written")
    assert not (here.tmp / "runs").exists()

    def full(path: Path, new: object) -> None:
        raise StoreError("no space left")

    here.monkeypatch.setattr(reproduce, "append", full)
    done = here.here(*words)
    [out] = (here.tmp / "runs").iterdir()
    assert done.code == 3 and "AdvBench" in done.out, done.said  # what came out is told all the same
    assert f"no space left. The run is done: `reproduce --run runs/{out.name}` adds it" in done.err


# --- running ----------------------------------------------------------------------------------------


def test_the_tasks_of_a_table_are_its_suite() -> None:
    """So `run --suite table2` and `reproduce --table 2` find one another's run."""
    found = catalogue()
    for table in "1234567":
        suite = found.suites[f"table{table}"]
        assert set(tasks_of(table, found)) == {t.name for t in found.select(list(suite.tasks))}, table


def test_it_runs_and_finds_its_run_again(here: Bench) -> None:
    """What `run --suite table2` began goes on; the second call asks nothing and adds nothing."""
    here.runner(ToyRunner)
    here.questions(3)
    here.questions(3, "openbookqa", reference="B")
    tasks = ["--task", ADV, "--task", LETTERS]
    words = ["--model", "toy/Fun-Audio-Chat-8B", *tasks, "--data-dir", here.data, "--no-cache"]
    done = here.here("reproduce", "--table", "2", *words)
    assert "reproduced" not in done.out.split("as printed")[1].split("not comparable")[0]
    [out] = (here.tmp / "runs").iterdir()
    found = by_row(ledger(here))
    assert set(found) == {"AdvBench", "OpenBookQA"}, done.said
    assert all(x["verdict"] == "not comparable" and x["run"] == f"runs/{out.name}" for x in found.values())
    assert "another number of samples than was published" in found["AdvBench"]["why"]
    report = (out / "report.html").read_text("utf-8")
    assert "repro-verdict not-comparable" in report  # written after the ledger, so that it has it
    asked = len(lines(out / ADV / "responses.jsonl"))
    again = here.here("reproduce", "--table", "2", *words)
    assert again.code == done.code and "0 lines added" in again.out, again.said
    assert here.here("run", "--suite", "table2", *words).code == done.code
    assert [p.name for p in (here.tmp / "runs").iterdir()] == [out.name]
    assert len(lines(out / ADV / "responses.jsonl")) == asked == 3


def test_a_dry_run_writes_nothing(here: Bench) -> None:
    here.runner(ToyRunner)
    done = here.here("reproduce", "--table", "2", "--model", "toy/m", "--dry-run")
    assert done.code == 0 and "16 tasks" in done.err and "nothing written" in done.err, done.said
    assert not (here.tmp / "runs").exists() and not ledger(here)


def test_judged_in_our_own_words_is_not_comparable_and_no_key_is_written(here: Bench) -> None:
    here.questions(2, "alpacaeval_full")
    key = "hunter2hunter2hunter2"
    with mock_server(texts=["5"]) as mock:
        words = openai(mock.url, "--task", OPEN, "--data-dir", here.data, "--no-report")[1:]
        hidden = json.dumps({"session_token": key})
        more = [
            "-M",
            f"extra_body={hidden}",
            f"-Jextra_body={hidden}",
            "--limit",
            "2",
            "--protocol",
            "official",
        ]
        done = here.here("reproduce", "--table", "2", *words, *judged(mock.url), *more)
    assert done.code == 0, done.said
    [line] = ledger(here)
    assert line["ours"] == 5.0 and line["verdict"] == "not comparable", done.said
    assert any("judged in evalkit's own wording" in why for why in line["why"])
    assert "evalkit's wording" in line["judging"]
    told = shlex.split(line["command"])
    assert told[:4] == ["evalkit", "reproduce", "--table", "2"]
    hidden = json.dumps({"session_token": "(not recorded)"})
    assert f"extra_body={hidden}" in told and f"-Jextra_body={hidden}" in told
    assert f"base_url={mock.url}" in told
    for path in here.tmp.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes() and KEY.encode() not in path.read_bytes(), path


def test_smoke_data_and_overalls(here: Bench) -> None:
    """`--suite smoke` brings its own data: every row of the table gets a line, and none counts."""
    with mock_server(texts=["hello"]) as mock:
        words = openai(mock.url, "--suite", "smoke", "--no-report", "--limit", "1", "--json")[1:]
        done = here.here("reproduce", "--table", "4", *words)
    found = json.loads(done.out)
    assert set(found["tasks"]) == set(tasks_of("4", catalogue()))
    assert found["reproduction"]["appended"] == 6 == len(found["reproduction"]["cells"])
    got = by_row(ledger(here))
    assert {x["verdict"] for x in got.values()} == {"not comparable"} and all(
        x["partial"] for x in got.values()
    )
    assert got["Overall"]["our_metric"] == "overall" and got["Overall"]["n"] == 5
    assert "smoke data, not the benchmark" in got["Overall"]["why"]
    assert got["Speech-BFCL Single"]["task"] == "speech-fc/bfcl-single"
    assert re.search(r"6 lines added to reproductions.jsonl", done.err)


def test_a_run_that_was_cut_off_adds_nothing(here: Bench) -> None:
    from evalkit.cli import run as cli_run

    here.runner(ToyRunner)
    here.questions(2)
    execute = cli_run.execute

    def cut_off(job: Any) -> Any:
        found = execute(job)
        found.interrupted = True
        return found

    here.monkeypatch.setattr(cli_run, "execute", cut_off)
    done = here.here("reproduce", "--table", "2", "--model", "toy/m", "--task", ADV, "--data-dir", here.data)
    assert done.code == 130 and "nothing was added" in done.err, done.said
    assert not Path(here.tmp / "reproductions.jsonl").exists()
