"""The process that holds a model for a runner: frames, deaths, patience. The worker is a few lines of Python."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from evalkit.runners.worker_process import WorkerDied, WorkerProcess, WorkerRefused

WORKER = r"""
import json, os, sys, time
def ask():
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    head = json.loads(line)
    return head, sys.stdin.buffer.read(head.get("bytes", 0))
def say(head, body=b""):
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + body)
    sys.stdout.buffer.flush()
if "refuse" in sys.argv:
    say({"error": "no such weights"})
    sys.exit(1)
say({"ready": True, "word": os.environ.get("WORD"), "home": os.environ.get("HOME")})
while True:
    head, body = ask()
    if "sleep" in head:
        time.sleep(head["sleep"])
    if "die" in head:
        print("some words\nlast words", file=sys.stderr)
        sys.exit(head["die"])
    if "raw" in head:
        sys.stdout.write(head["raw"])
        sys.stdout.flush()
        continue
    say({"bytes": len(body), "said": head.get("say")}, body[::-1])
"""


def made(*more: str) -> WorkerProcess:
    return WorkerProcess([sys.executable, "-c", WORKER, *more], {"WORD": "w"})


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    worker = made()
    worker.start(20)
    yield worker
    worker.stop()


def died(worker: WorkerProcess, timeout: float = 20, **header: Any) -> str:
    with pytest.raises(WorkerDied) as caught:
        worker.ask(header, b"", timeout, "while it was asked")
    assert worker.pid is None
    return str(caught.value)


def test_bytes_go_and_come_whole() -> None:
    """New lines in words and in bytes are no ends; the environment is ours and what was added."""
    worker = made()
    told = worker.start(20)
    assert told == {"ready": True, "word": "w", "home": os.environ.get("HOME")}
    before = worker.pid
    assert worker.start(20) is None and worker.pid == before
    body = bytes(range(256)) * 5000
    assert worker.ask({"say": "a\nb ü"}, body, 20, "") == ({"bytes": len(body), "said": "a\nb ü"}, body[::-1])
    assert worker.ask({"say": 1}, b"", 20, "") == ({"bytes": 0, "said": 1}, b"")
    worker.stop()
    worker.stop()
    assert worker.pid is None


def test_from_many_threads(worker: WorkerProcess) -> None:
    bodies = [bytes([k]) * (k * 1000) for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda b: worker.ask({}, b, 20, "")[1], bodies)) == bodies


def test_a_death_is_told_with_its_last_words_and_a_start_makes_a_new_one(worker: WorkerProcess) -> None:
    before = worker.pid
    assert died(worker, die=3) == "died while it was asked (exit status 3; its last words: last words)"
    assert died(worker) == "died while it was asked (it was not started)"
    assert worker.start(20) is not None and worker.pid not in (None, before)


def test_one_that_takes_too_long_is_killed(worker: WorkerProcess) -> None:
    assert died(worker, 0.3, sleep=60) == (
        "died while it was asked, after 0.3 s without an answer (timeout) (exit status -9)"
    )


@pytest.mark.parametrize("raw", ["rubbish\n", "[1]\n", "\n", '{"bytes": null}\n', '{"bytes": "x"}\n'])
def test_an_answer_that_is_no_frame_is_its_end(worker: WorkerProcess, raw: str) -> None:
    assert "(exit status -9" in died(worker, raw=raw)


def test_what_it_refuses_is_told_in_its_words() -> None:
    worker = made("refuse")
    with pytest.raises(WorkerRefused, match=r"^no such weights$"):
        worker.start(20)
    assert worker.pid is None


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(OSError, match="No such file"):
        WorkerProcess(["/no/such/program"], {}).start(20)


def test_an_interrupted_question_is_not_answered_later(worker: WorkerProcess) -> None:
    """Else its answer would be taken for the next one's."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            worker.ask({"say": "first", "sleep": 1}, b"", 20, "")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert worker.pid is None and worker.start(20) is not None
    assert worker.ask({"say": "second"}, b"", 20, "")[0]["said"] == "second"
