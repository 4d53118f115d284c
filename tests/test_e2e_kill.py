"""Killed at any moment, a run goes on: nothing lost, nothing counted twice, nothing finished asked again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evalkit.linefiles import Appender
from evalkit.store import RunWriter
from tests.cli_fixtures import TOY_ASR, Bench, bench, judged, kill, lines, openai, wait_for
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

ADV = "voicebench/advbench"
OPEN = "voicebench/alpacaeval_full"
SPOKEN = "ultraeval-audio/llama-questions"
PLAIN = ("--no-report", "--no-cache")
HANG = {"latency": 120.0}


def same(bench: Bench, a: str, b: str) -> bool:
    return (bench.tmp / a / "results.json").read_bytes() == (bench.tmp / b / "results.json").read_bytes()


def once(run: Path, task: str) -> None:
    """Every sample has one answer, and every verdict stands once."""
    answers = Counter(x["sample_id"] for x in lines(run / task / "responses.jsonl"))
    assert set(answers.values()) == {1}
    verdicts = Counter(
        (x["sample_id"], x["metric"], x["judge"], x["response"], x.get("reason"))
        for x in lines(run / task / "scores.jsonl")
    )
    assert set(verdicts.values()) == {1}


def test_killed_while_generating(bench: Bench) -> None:
    digests = bench.questions(8)
    with mock_server(rules=[{"match": digests[5], "times": 1, "set": HANG}]) as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--concurrency", 1, *PLAIN)
        kept = bench.tmp / "a" / ADV / "responses.jsonl"
        process = bench.start(*args, "--out", "a")
        wait_for(lambda: mock.requests() == 6 and len(lines(kept)) == 5, process)
        assert kill(process).code == -signal.SIGKILL
        resumed = bench.process(*args, "--out", "a")
        assert resumed.code == 0, resumed.said
        assert mock.requests() == 6 + 3
        assert bench.process(*args, "--out", "b").code == 0
    assert same(bench, "a", "b")
    once(bench.tmp / "a", ADV)


def test_killed_while_judging(bench: Bench) -> None:
    bench.questions(6, "alpacaeval_full")
    hang = [{"match": "question number 04", "times": 1, "set": HANG}]
    with mock_server() as model, mock_server(texts=["4"], rules=hang) as judge:
        args = openai(model.url, "--task", OPEN, "--data-dir", bench.data, *judged(judge.url), *PLAIN)
        args += ["--judge-concurrency", 1, "--concurrency", 1]
        kept = bench.tmp / "a" / OPEN
        process = bench.start(*args, "--out", "a")
        wait_for(lambda: judge.requests() == 5 and len(lines(kept / "responses.jsonl")) == 6, process)
        assert len(lines(kept / "scores.jsonl")) == 4
        assert kill(process).code == -signal.SIGKILL
        resumed = bench.process(*args, "--out", "a")
        assert resumed.code == 0, resumed.said
        assert model.requests() == 6 and judge.requests() == 5 + 2
        assert bench.process(*args, "--out", "b").code == 0
    assert same(bench, "a", "b")
    once(bench.tmp / "a", OPEN)


def speaking(digests: list[str]) -> list[dict[str, Any]]:
    """Mock rules that make every answer a speech of its own length."""
    return [{"match": d, "set": {"speak": round(0.1 + k / 50, 2)}} for k, d in enumerate(digests)]


def test_killed_while_transcribing(bench: Bench) -> None:
    digests = bench.questions(5, "data", "TwinkStart/llama-questions", question="how long?", Answer="0.10 s")
    with mock_server(rules=speaking(digests)) as mock:
        args = openai(mock.url, "--task", SPOKEN, "--data-dir", bench.data, "--asr", "toy", *PLAIN)
        (bench.tmp / "hang").touch()
        kept = bench.tmp / "a" / SPOKEN
        process = bench.start(*args, "--out", "a", code=TOY_ASR)
        wait_for(
            lambda: (bench.tmp / "hanging").exists() and len(lines(kept / "responses.jsonl")) == 5, process
        )
        assert len(lines(kept / "transcripts.jsonl")) == 2
        assert kill(process).code == -signal.SIGKILL
        (bench.tmp / "hang").unlink()
        resumed = bench.process(*args, "--out", "a", code=TOY_ASR)
        assert resumed.code in (0, 1), resumed.said
        assert mock.requests() == 5
        assert bench.process(*args, "--out", "b", code=TOY_ASR).code == resumed.code
    assert same(bench, "a", "b")
    once(bench.tmp / "a", SPOKEN)
    assert len(lines(kept / "transcripts.jsonl")) == 5
    assert len(list((bench.tmp / "a/audio").iterdir())) == 5


def die_between_answer_and_score(k: int) -> None:
    """Patch this process to be killed when it is about to write the k-th set of scores."""
    done = RunWriter.append_scores
    calls = []

    def append(self: RunWriter, task: str, scores: list[Any]) -> None:
        calls.append(task)
        if len(calls) == k:
            os.kill(os.getpid(), signal.SIGKILL)
        done(self, task, scores)

    RunWriter.append_scores = append  # type: ignore[method-assign]


def test_killed_between_answer_and_score(bench: Bench) -> None:
    bench.questions(5)
    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--concurrency", 1, *PLAIN)
        for k in (1, 3, 5):
            out = bench.tmp / f"a{k}"
            died = bench.fork(*args, "--out", out, before=lambda k=k: die_between_answer_and_score(k))  # type: ignore[misc]
            assert died == -signal.SIGKILL
            assert len(lines(out / ADV / "responses.jsonl")) == k
            assert len(lines(out / ADV / "scores.jsonl")) == k - 1
            sent = mock.requests()
            assert bench.here(*args, "--out", out).code == 0
            assert mock.requests() == sent + 5 - k
            once(out, ADV)
        assert bench.here(*args, "--out", bench.tmp / "b").code == 0
    assert same(bench, "a1", "b") and same(bench, "a3", "b") and same(bench, "a5", "b")


def die_in_write(number: int, cut: float) -> None:
    """Patch this process to be killed in its write of that number, when a share `cut` of it is on disk."""
    whole = Appender.append
    calls = []

    def append(self: Appender, data: bytes) -> None:
        calls.append(1)
        if len(calls) == number:
            if part := data[: min(len(data) - 1, int(len(data) * cut))]:
                os.write(self._fd, part)
            os.kill(os.getpid(), signal.SIGKILL)
        whole(self, data)

    Appender.append = append  # type: ignore[method-assign]


def test_killed_in_the_middle_of_any_write(bench: Bench) -> None:
    """Torn lines in each file: after 0, 50 and (but for the newline) 100 % of every write of a judged run."""
    bench.questions(3, "alpacaeval_full")
    with mock_server(texts=["4"]) as mock:
        args = openai(mock.url, "--task", OPEN, "--data-dir", bench.data, *judged(mock.url), *PLAIN)
        assert bench.here(*args, "--out", bench.tmp / "b").code == 0
        for number in range(1, 7):
            for cut in (0.0, 0.5, 1.0) if number in (2, 5) else ((0.5,)):
                name = f"a-{number}-{cut}"
                died = bench.fork(
                    *args,
                    "--out",
                    bench.tmp / name,
                    before=lambda n=number, c=cut: die_in_write(n, c),  # type: ignore[misc]
                )
                assert died == -signal.SIGKILL
                assert bench.here(*args, "--out", bench.tmp / name).code == 0
                assert same(bench, name, "b"), name


def test_torn_transcripts(bench: Bench) -> None:
    """The same for speech: whatever is torn in transcripts.jsonl is heard again, the rest is not."""
    digests = bench.questions(3, "data", "TwinkStart/llama-questions", question="how long?", Answer="0.10 s")
    with mock_server(rules=speaking(digests)) as mock:
        args = openai(mock.url, "--task", SPOKEN, "--data-dir", bench.data, "--asr", "toy", *PLAIN)
        whole = bench.process(*args, "--out", "b", code=TOY_ASR)
        assert bench.process(*args, "--out", "a", code=TOY_ASR).code == whole.code
        for name in ("transcripts", "responses", "scores"):
            path = bench.tmp / "a" / SPOKEN / f"{name}.jsonl"
            text = path.read_bytes()
            path.write_bytes(text[: text.rstrip().rfind(b"\n") + 30])
        resumed = bench.process(*args, "--out", "a", code=TOY_ASR)
        assert resumed.code == whole.code, resumed.said
        assert mock.requests() == 7
    assert same(bench, "a", "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_in_one_line_and_130(bench: Bench, number: int) -> None:
    digests = bench.questions(6)
    with mock_server(rules=[{"match": digests[3], "times": 1, "set": HANG}]) as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--concurrency", 1, *PLAIN)
        process = bench.start(*args, "--out", "a")
        wait_for(lambda: mock.requests() == 4, process)
        done = kill(process, number)
        assert done.code == 130, done.said
        [line] = [x for x in done.err.splitlines() if x.startswith("interrupted")]
        assert "run the same command to go on" in line
        assert "Traceback" not in done.err
        resumed = bench.process(*args, "--out", "a")
        assert resumed.code == 0 and mock.requests() == 4 + 3, resumed.said
        assert bench.process(*args, "--out", "b").code == 0
    assert same(bench, "a", "b")


SLOW_START = """
import signal, sys, time
from pathlib import Path
from evalkit.engine import session
signal.signal(signal.SIGINT, signal.default_int_handler)  # which what a shell put in the background ignores
def slow(job):
    Path("started").touch()
    while True:
        time.sleep(0.05)  # a signal between `touch` and one long sleep would be heard of only after it
session.plans_for = slow
from evalkit.cli import entry
entry()  # as the command leaves: sys.exit would wait for threads that are still importing
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_before_the_first_request(bench: Bench, number: int) -> None:
    """Also while data is still being opened: one line, 130, no traceback."""
    bench.questions(1)
    args = openai("http://127.0.0.1:9/v1", "--task", ADV, "--data-dir", bench.data, "--out", "a")
    process = bench.start(*args, code=SLOW_START)
    wait_for((bench.tmp / "started").exists, process)
    done = kill(process, number)
    assert done.code == 130, done.said
    assert "go on" in done.err and "Traceback" not in done.err


STUCK = """
import sys, time, types
from pathlib import Path
from evalkit.interfaces import Runner
class Stuck(Runner):
    name = "stuck"
    def __init__(self, model): pass
    def identity(self): return {"model": "stuck"}
    def generate_batch(self, samples, modality):
        Path("started").touch()
        time.sleep(60)
module = types.ModuleType("evalkit.runners.stuck")
Stuck.__module__ = module.__name__
module.Stuck = Stuck
sys.modules[module.__name__] = module
from evalkit.cli import entry
entry()  # as the command leaves: sys.exit would wait for threads that are still importing
"""


def test_a_second_ctrl_c_does_not_wait_for_a_batch(bench: Bench) -> None:
    bench.questions(1)
    process = bench.start("run", "--model", "stuck/x", "--task", ADV, "--data-dir", bench.data, code=STUCK)
    wait_for((bench.tmp / "started").exists, process)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # the first one waits for what is under way
        process.wait(0.5)
    started = time.monotonic()
    done = kill(process, signal.SIGINT)
    assert time.monotonic() - started < 5
    assert done.code == 130 and "Traceback" not in done.err, done.said
    assert done.err.splitlines()[-1] == "interrupted twice: left at once; run the same command to go on."


def test_two_processes_on_one_run(bench: Bench) -> None:
    """The second gets one sentence; the lock goes with the first, however it ends."""
    digests = bench.questions(2)
    with mock_server(rules=[{"match": digests[1], "times": 1, "set": HANG}]) as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--concurrency", 1, *PLAIN)
        process = bench.start(*args, "--out", "a")
        wait_for(lambda: mock.requests() == 2, process)
        second = bench.process(*args, "--out", "a")
        assert second.code == 2
        [error] = [x for x in second.err.splitlines() if x.startswith("error:")]
        assert "another process is writing a" in error and "--out" in error
        assert mock.requests() == 2
        kill(process)
        assert bench.process(*args, "--out", "a").code == 0


def test_a_kill_leaves_old_results_whole(bench: Bench) -> None:
    """results.json and run.json are the old ones or the new ones, never halves."""
    bench.questions(2)

    def die() -> None:
        def replace(*_: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace

    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, *PLAIN, "--out", bench.tmp / "a")
        assert bench.here(*args, "--limit", 1).code == 0
        before = (bench.tmp / "a/results.json").read_bytes()
        assert bench.fork(*args, before=die) == -signal.SIGKILL
        assert (bench.tmp / "a/results.json").read_bytes() == before
        assert bench.here(*args).code == 0
