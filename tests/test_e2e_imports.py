"""Files of other formats on their way into a run: a full disk, a kill, and two who convert at once."""

from __future__ import annotations

import json
from pathlib import Path

from evalkit.store import RunWriter
from tests.cli_fixtures import Bench, bench, finish, refused
from tests.test_e2e_disks import limit_files

__all__ = ["bench"]

MMSU = "mmsu/all"


def foreign(folder: Path, n: int) -> Path:
    """A file as MMSU's own script reads it."""
    choices = {"choice_a": "one", "choice_b": "two", "choice_c": "three", "choice_d": "four"}
    place = {"category": "Reasoning", "sub-category": "Linguistics", "task_name": "pause_perception"}
    rows = [
        {
            "id": f"q{i}",
            "question": f"{i}?",
            **choices,
            "answer_gt": "two",
            **place,
            "response": "ABCD"[i % 4],
        }
        for i in range(n)
    ]
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_full_disk_while_converting(bench: Bench) -> None:
    """One sentence, exit 3, and nothing is left of it; with room again the same command works."""
    words = ["score", foreign(bench.tmp, 2000), "--task", MMSU, "--no-report", "--out", "a"]
    done = bench.process(*words, preexec_fn=lambda: limit_files(50_000))
    assert done.code == 3, done.said
    [line] = [x for x in done.err.splitlines() if "error:" in x]
    assert line.startswith("error: ") and "mmsu_all.jsonl" in line
    assert not (bench.tmp / "a").exists()
    assert bench.process(*words).code == 0


def test_several_who_convert_into_one_place(bench: Bench) -> None:
    """One of them scores, the others are told; whoever it is, the results are whole."""
    words = ["score", foreign(bench.tmp, 3000), "--task", MMSU, "--no-report"]
    assert bench.process(*words, "--out", "whole").code == 0
    started = [bench.start(*words, "--out", "a") for _ in range(3)]
    done = [finish(p) for p in started]
    assert {d.code for d in done} <= {0, 2} and 0 in {d.code for d in done}, [d.said for d in done]
    assert all("another process is writing" in d.err for d in done if d.code)
    results = [(bench.tmp / x / "results.json").read_bytes() for x in ("a", "whole")]
    assert results[0] == results[1]
    assert [p.name for p in (bench.tmp / "a/imported").iterdir()] == ["mmsu_all.jsonl"]


def test_what_a_kill_left_is_cleared_away_and_a_busy_run_left_alone(bench: Bench) -> None:
    words = ["score", foreign(bench.tmp, 4), "--task", MMSU, "--no-report", "--out", bench.tmp / "a"]
    left = bench.tmp / "a/imported/mmsu_all.123456789.new"
    left.parent.mkdir(parents=True)
    left.write_text("half a li")
    assert bench.here(*words).code == 0
    assert [p.name for p in left.parent.iterdir()] == ["mmsu_all.jsonl"]
    before = (left.parent / "mmsu_all.jsonl").stat()
    busy = RunWriter(bench.tmp / "a")
    refused(bench.here(*words, "--no-recorded"), "another process is writing")
    busy.close()
    assert (left.parent / "mmsu_all.jsonl").stat() == before
    assert bench.here(*words).code == 0
