"""Disks that are full, folders that can't be written, caches that are broken: told, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evalkit.cache import Cache
from evalkit.linefiles import Appender, StoreError, read_lines
from tests.cli_fixtures import Bench, bench, openai, refused, result
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

ADV = "voicebench/advbench"
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize("command", ["run", "score"])
def test_out_that_cannot_be_written(bench: Bench, command: str) -> None:
    bench.questions(1)
    (bench.tmp / "p.jsonl").write_text('{"id": "q00", "text": "a"}\n')
    (bench.tmp / "file").write_text("in the way")
    for out in (bench.tmp / "file", bench.tmp / "file" / "a", "/proc/evalkit"):
        common = ["--task", ADV, "--data-dir", bench.data, "--out", out]
        given = openai(NOWHERE, *common) if command == "run" else ["score", bench.tmp / "p.jsonl", *common]
        refused(bench.here(*given), str(out), "can't be written", "--out")


def limit_files(size: int) -> None:
    """No file of this process may grow beyond `size` bytes: a full disk that any user can have."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_full_disk_in_the_middle_of_a_run(bench: Bench) -> None:
    """Exit 3 with one sentence; what was finished is whole; with room again, the run goes on."""
    bench.questions(40)
    with mock_server(texts=["word " * 200]) as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report", "--out", "a")
        done = bench.process(*args, preexec_fn=lambda: limit_files(20_000))
        assert done.code == 3, done.said
        [line] = [x for x in done.err.splitlines() if x.startswith("error:")]
        assert "responses.jsonl" in line and "Traceback" not in done.err
        raw = (bench.tmp / "a" / ADV / "responses.jsonl").read_bytes()
        assert raw.endswith(b"\n") and 0 < len(raw) <= 20_000
        kept, sent = raw.count(b"\n"), mock.requests()
        again = bench.process(*args)
        assert again.code == 0, again.said
        assert mock.requests() - sent <= 40 - kept
        assert bench.process(*args[:-1], "b").code == 0
    assert (bench.tmp / "a/results.json").read_bytes() == (bench.tmp / "b/results.json").read_bytes()


def test_full_disk_from_the_start(bench: Bench) -> None:
    bench.questions(1)
    args = openai(NOWHERE, "--task", ADV, "--data-dir", bench.data, "--out", "a")
    done = bench.process(*args, preexec_fn=lambda: limit_files(10))
    assert done.code == 3 and "can't be written" in done.err and "Traceback" not in done.err, done.said


def test_full_disk_while_scoring_a_file(bench: Bench) -> None:
    bench.questions(1)
    rows = [{"id": f"{k}", "text": "w " * 300, "row": {"prompt": "?"}} for k in range(200)]
    (bench.tmp / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    args = ["score", bench.tmp / "p.jsonl", "--task", ADV, "--out", "a", "--no-report"]
    done = bench.process(*args, preexec_fn=lambda: limit_files(50_000))
    assert done.code == 3 and "responses.jsonl" in done.err and "Traceback" not in done.err, done.said
    assert bench.process(*args).code == 0
    assert result(bench.tmp / "a", ADV)["n_scored"] == 200


def test_appender_without_space_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC after part of a line: the part is cut off again, and the next line starts clean."""
    appender = Appender(tmp_path / "x.jsonl")
    appender.append(b'{"a": 1}\n')
    write = os.write
    calls: list[int] = []

    def full(fd: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return write(fd, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError, match=r"no space left.*run the same command again"):
            appender.append(b'{"b": 2}\n')
    appender.append(b'{"c": 3}\n')
    appender.close()
    assert [x for _, x in read_lines(tmp_path / "x.jsonl")] == [{"a": 1}, {"c": 3}]


@pytest.mark.parametrize("trouble", ["garbage", "folder", "unwritable"])
def test_a_broken_cache_is_done_without(bench: Bench, trouble: str) -> None:
    """One warning, no failure, and the answers are asked for."""
    bench.questions(2)
    cache = bench.tmp / "cache"
    if trouble == "unwritable":
        cache.write_text("a file in the way")
    else:
        cache.mkdir()
        if trouble == "garbage":
            (cache / "cache.sqlite").write_bytes(os.urandom(8192))
        else:
            (cache / "cache.sqlite").mkdir()
    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report", "--out", "a")
        done = bench.process(*args)
    assert done.code == 0, done.said
    [line] = [x for x in done.err.splitlines() if "cache" in x]
    assert line.startswith("warning: the cache in") and "going on without it" in line


def test_a_cache_that_cannot_be_written_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up under the cache takes no result along."""
    bench.questions(2)

    def full(self: Cache) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Cache, "commit", full)
    with mock_server() as mock:
        args = openai(
            mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report", "--out", bench.tmp / "a"
        )
        done = bench.here(*args)
    assert done.code == 0 and result(bench.tmp / "a", ADV)["n_scored"] == 2, done.said
    assert "warning: the cache in" in done.err and "disk is full" in done.err


def test_a_cache_damaged_inside(bench: Bench) -> None:
    """A database whose pages are damaged serves nothing wrong and stops nothing."""
    bench.questions(3)
    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--no-report")
        assert bench.process(*args, "--out", "a").code == 0
        with sqlite3.connect(bench.tmp / "cache/cache.sqlite") as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("UPDATE entries SET value = 'not json'")
        done = bench.process(*args, "--out", "b")
        assert done.code == 0 and mock.requests() == 6, done.said


def test_a_report_that_fails_takes_no_number_along(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.questions(1)

    def broken(*_: Any, **__: Any) -> None:
        raise StoreError("no space left on the disk that holds a")

    monkeypatch.setattr("reports.write_report", broken)
    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a")
        done = bench.here(*args)
    assert done.code == 3 and "no space left" in done.err, done.said
    assert "AdvBench" in done.out and result(bench.tmp / "a", ADV)["n_scored"] == 1
