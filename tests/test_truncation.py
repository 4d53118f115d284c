"""Answers cut off at the token limit: counted once, and told wherever numbers are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.errors import UsageError
from evalkit.records import cut_off
from evalkit.results import build_results
from evalkit.resultshape import check
from evalkit.store import RunWriter
from evalkit.truncation import BESIDE, compared, folded, listed, told
from reports.runs import load_runs
from reports.trust import caveats
from tests.cli_fixtures import Bench, bench, openai, result
from tests.mock_fixtures import mock_server
from tests.run_fixtures import CARD, TASK, answer, fail, toy_plan

__all__ = ["bench"]

ADV = "voicebench/advbench"
CUT = {"finish_reason": "length", "truncated": True}


@pytest.mark.parametrize(
    ("meta", "want"),
    [
        ({"truncated": True}, True),
        ({"finish_reason": "length"}, True),  # the embedded model's answers of before it said more
        ({"finish_reason": "max_tokens"}, True),
        ({"finish_reason": "stop", "truncated": False}, False),
        ({}, False),
    ],
)
def test_which_answers_were_cut_off(meta: dict[str, Any], want: bool) -> None:
    assert cut_off(meta) is want


def counted(writer: RunWriter, **plan: Any) -> int:
    found = build_results(writer, [toy_plan(**plan)], CARD)["tasks"][TASK]["n_truncated"]
    assert isinstance(found, int)
    return found


def test_the_answers_that_count_are_counted(tmp_path: Path) -> None:
    """An attempt that failed, a sample of an earlier and larger run and an answer since displaced are none."""
    writer = RunWriter(tmp_path)
    answer(writer, "a", meta=CUT)
    answer(writer, "b", meta={"finish_reason": "length"})
    answer(writer, "c", meta={"finish_reason": "stop"})
    fail(writer, "d", meta=CUT)
    answer(writer, "e", meta=CUT)
    answer(writer, "e", "Whole.", input="asked-anew")
    answer(writer, "f", meta=CUT)
    fail(writer, "f")  # an error on the same input displaces no answer
    writer.close()
    assert counted(writer, n=6) == 3
    assert counted(writer, n=2, ids=frozenset("bc")) == 1
    assert counted(writer, n=1, ids=frozenset("c")) == 0


def entry(k: int | None, n: int = 553, errors: int = 0) -> dict[str, Any]:
    """As much of a task's entry as is read."""
    held = {"acc": {"n_errors": errors, "n_pending": 0}}
    return {"n": n, "headline": "acc", "metrics": held} | ({} if k is None else {"n_truncated": k})


def test_the_words() -> None:
    many = "12 of 553 answers were cut off at the token limit (max_tokens, max_new_tokens)"
    assert told(entry(12)) == many and told(entry(12, 560, errors=7)) == many
    assert told(entry(1)).startswith("1 of 553 answers was cut off")
    assert told(entry(0)) == told(entry(None)) == ""
    told_of_two = "answers cut off at the token limit: 12 of 553 in the old, 0 of 553 in the new"
    assert compared({"the old": entry(12), "the new": entry(0)}) == told_of_two
    assert compared({"old": entry(None), "new": entry(3)}).endswith(": not on record in old, 3 of 553 in new")
    for nothing in (0, None):
        assert compared({"old": entry(0), "new": entry(nothing)}) == ""


def damaged(entry: dict[str, Any], value: object, path: Path) -> None:
    check({"tasks": {TASK: {**entry, "n_truncated": value}}}, path)


def test_a_damaged_count_is_told_before_runs_are_compared(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    answer(writer, "a")
    writer.close()
    whole = build_results(writer, [toy_plan(n=1)], CARD)["tasks"][TASK]
    damaged(whole, 0, tmp_path)
    for value in ("many", -1, None, True):
        with pytest.raises(UsageError, match="n_truncated"):
            damaged(whole, value, tmp_path)


def test_every_command_tells(bench: Bench) -> None:
    """Run, resume, cache, another limit, report, gate, compare; nothing where no answer was cut off."""
    digests = bench.questions(4)
    tmp, data = bench.tmp, ("--task", ADV, "--data-dir", bench.data)
    said = "2 of 4 answers were cut off at the token limit (max_tokens, max_new_tokens)"
    rules = [{"match": d, "set": {"finish_reason": "length"}} for d in digests[:2]]
    with mock_server(texts=["I can't help with that."], rules=rules) as mock:
        args = openai(mock.url, *data)
        first = bench.here(*args, "--out", tmp / "a")
        assert first.code == 0 and f"{ADV}: {said}" in first.err.splitlines()
        again = bench.here(*args, "--out", tmp / "a", "--no-report", "--json")
        assert json.loads(again.out)["tasks"][ADV]["n_truncated"] == 2
        cached = bench.here(*args, "--out", tmp / "b", "--no-report")
        assert said in cached.err and mock.requests() == 4, "all from the cache"
        less = bench.here(*args, "--limit", 1, "--out", tmp / "b", "--no-report")
        assert "1 of 1 answers was cut off" in less.err and mock.requests() == 4
        bench.here(*args, "--out", tmp / "b", "--no-report")
    with mock_server(texts=["I can't help with that."]) as mock:
        whole = bench.here(*openai(mock.url, *data), "--out", tmp / "whole", "--no-report", "--no-cache")
        assert whole.code == 0 and "cut off" not in whole.err
    assert result(tmp / "a", ADV)["value"] == result(tmp / "whole", ADV)["value"]

    (view,) = load_runs([tmp / "a"])
    (care,) = [c for c in caveats(view) if c.code == "truncated"]
    assert (care.short, care.tasks) == ("2 answers cut off", (ADV,)) and f"{ADV}: 2 of 4" in care.sentence
    assert "2 answers cut off" in (tmp / "a/report.html").read_text(encoding="utf-8")
    assert not [c for c in caveats(load_runs([tmp / "whole"])[0]) if c.code == "truncated"]

    beside = "answers cut off at the token limit: "
    gated = bench.here("gate", "--baseline", tmp / "whole", "--candidate", tmp / "a", "--no-html")
    assert gated.code == 0
    assert f"note: {ADV}: {beside}0 of 4 in the baseline, 2 of 4 in the candidate" in gated.out
    seen = bench.here("compare", tmp / "whole", tmp / "a")
    assert seen.code == 0 and f"{ADV}: {beside}0 of 4 in a, 2 of 4 in b" in seen.out
    line = json.loads(bench.here("compare", tmp / "a", tmp / "b", "--json").out)["lines"][0]
    assert "truncated" in line["marks"] and any("2 of 4 in a, 2 of 4 in b" in n for n in line["notes"])
    printed = bench.here("compare", tmp / "a", "--published", "Kimi-Audio", "--allow", "all")
    assert printed.code == 0 and f"{ADV}: {beside}2 of 4 in a" in printed.out, printed.said
    frames = evalkit.load(tmp / "a")
    assert list(frames.samples["truncated"]) == [True, True, False, False]
    assert set(frames.results["n_truncated"].dropna()) == {2}
    shutil.copytree(tmp / "whole", tmp / "same")
    for command in (("compare",), ("gate", "--no-html", "--baseline")):
        more = ("--candidate",) if "gate" in command else ()
        assert "cut off" not in bench.here(*command, tmp / "whole", *more, tmp / "same").said


def test_predictions_say_nothing_of_it(bench: Bench) -> None:
    """Nobody knows how the answers of a predictions file ended: none is counted."""
    (bench.tmp / "p.jsonl").write_text('{"id": "1", "text": "no", "row": {"prompt": "?"}}\n')
    done = bench.here("score", bench.tmp / "p.jsonl", "--task", ADV, "--out", bench.tmp / "s", "--json")
    assert json.loads(done.out)["tasks"][ADV]["n_truncated"] == 0 and "cut off" not in done.err


def test_several_tasks_are_told_in_one_line() -> None:
    metrics = {"acc": {"n_errors": 0, "n_pending": 0}}
    entries = {f"a/{k}": {"n": 5, "headline": "acc", "metrics": metrics, "n_truncated": k} for k in (1, 2)}
    assert listed(entries, ", ".join) == (
        "answers cut off at the token limit (max_tokens, max_new_tokens) in a/1: 1 of 5, a/2: 2 of 5"
    )
    entries.pop("a/2")
    assert listed(entries, ", ".join).startswith("a/1: 1 of 5 answers was cut off")


def test_notes_of_many_tasks_become_one() -> None:
    cut = [(f"t{k}", f"{BESIDE}1 of 5 in a, 0 of 5 in b") for k in range(6)]
    assert folded([*cut[:4], ("u", "other")]) == [*(f"{n}: {said}" for n, said in cut[:4]), "u: other"]
    other, one = folded([*cut, ("u", "other")])
    assert (
        other == "u: other"
        and one.startswith(f"{BESIDE}t0: 1 of 5 in a")
        and one.endswith("; and 2 more tasks")
    )
