"""Requests that fail: named, bounded, never cached, retried alone, healed without a trace."""

from __future__ import annotations

import json
import time

import pytest

from tests.cli_fixtures import Bench, bench, judged, lines, openai, result
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

REFUSAL = "I can't help with that."
FAST = ("--retries", "2", "--no-report")


def test_two_of_sixteen_fail_and_heal(bench: Bench) -> None:
    """Exit 1 with both named; the next run sends just those two; results then equal an unbroken run's."""
    digests = bench.questions(16)
    broken = [digests[3], digests[11]]
    rules = [
        {"match": d, "times": 2, "set": {"status": 500, "message": "the disk of the server"}} for d in broken
    ]
    with mock_server(texts=[REFUSAL], rules=rules) as mock:
        args = openai(mock.url, "--task", "voicebench/advbench", "--data-dir", bench.data, *FAST)
        first = bench.process(*args, "--out", "a")
        assert first.code == 1, first.said
        assert mock.requests() == 14 + 2 * 2
        [line] = [x for x in first.err.splitlines() if "errored" in x]
        for name in ("q03", "q11", "HTTP 500", "the disk of the server", "after 2 tries", "2 samples"):
            assert name in line
        assert line.count("HTTP 500") == 1  # the same trouble is told once
        found = result(bench.tmp / "a", "voicebench/advbench")
        assert (found["n"], found["n_scored"], found["n_errors"], found["value"]) == (16, 14, 2, 100.0)
        assert found["bounds"] == [87.5, 100.0]
        assert "[87.50, 100.00]" in first.out and "2 errored" in first.out

        second = bench.process(*args, "--out", "a")
        assert second.code == 0, second.said
        assert mock.requests() == 18 + 2
        assert "errored" not in second.err
        unbroken = bench.process(*args, "--out", "b", "--no-cache")
        assert unbroken.code == 0, unbroken.said
    assert (bench.tmp / "a/results.json").read_bytes() == (bench.tmp / "b/results.json").read_bytes()
    attempts = [x["sample_id"] for x in lines(bench.tmp / "a/voicebench/advbench/responses.jsonl")]
    assert sorted(attempts) == sorted([f"q{k:02}" for k in range(16)] + ["q03", "q11"])


def test_failures_never_reach_the_cache(bench: Bench) -> None:
    """Another run directory asks again for what failed, and only for that."""
    digests = bench.questions(4)
    with mock_server(rules=[{"match": digests[1], "set": {"status": 500}}]) as mock:
        args = openai(mock.url, "--task", "voicebench/advbench", "--data-dir", bench.data, "--no-report")
        assert bench.here(*args, "--retries", 1, "--out", bench.tmp / "a").code == 1
        assert mock.requests() == 4
        assert bench.here(*args, "--retries", 1, "--out", bench.tmp / "b").code == 1
        assert mock.requests() == 5


def test_second_run_elsewhere_asks_nobody(bench: Bench) -> None:
    """Generation and judge replies both come from the cache; the numbers are the same bytes."""
    bench.questions(5, "alpacaeval_full")
    with mock_server(texts=["4"]) as mock:
        args = openai(
            mock.url, "--task", "voicebench/alpacaeval_full", "--data-dir", bench.data, *judged(mock.url)
        )
        first = bench.process(*args, "--protocol", "official", "--out", "a", "--no-report")
        assert first.code == 0, first.said
        assert (sent := mock.requests()) >= 10
        second = bench.process(*args, "--protocol", "official", "--out", "b", "--no-report")
        assert second.code == 0, second.said
        assert mock.requests() == sent
    assert (bench.tmp / "a/results.json").read_bytes() == (bench.tmp / "b/results.json").read_bytes()
    assert json.loads((bench.tmp / "b/run.json").read_text())["sessions"][0]["cached"] == 5


def test_cached_speech_that_was_damaged_is_asked_for_again(bench: Bench) -> None:
    bench.questions(2, "data", "TwinkStart/llama-questions", question="what?", Answer="x")
    with mock_server(speak=0.2) as mock:
        args = openai(mock.url, "--task", "ultraeval-audio/llama-questions", "--data-dir", bench.data)
        bench.here(*args, "--no-report", "--out", bench.tmp / "a")
        bench.here(*args, "--no-report", "--out", bench.tmp / "b")
        assert mock.requests() == 2
        [kept] = (bench.tmp / "cache/audio").rglob("*.flac")
        whole = kept.read_bytes()
        kept.write_bytes(whole[: len(whole) // 2])
        bench.here(*args, "--no-report", "--out", bench.tmp / "c")
        assert mock.requests() == 4
        assert kept.read_bytes() == whole
    [speech] = (bench.tmp / "c/audio").glob("*.flac")
    assert speech.read_bytes() == whole


def test_retry_after_is_honoured_and_tries_are_counted(bench: Bench) -> None:
    digests = bench.questions(3)
    rule = {"match": digests[0], "times": 1, "set": {"status": 429, "headers": {"Retry-After": "0.7"}}}
    with mock_server(rules=[rule]) as mock:
        started = time.monotonic()
        args = openai(mock.url, "--task", "voicebench/advbench", "--data-dir", bench.data, "--no-report")
        assert bench.here(*args, "--out", bench.tmp / "a").code == 0
        assert time.monotonic() - started >= 0.7
        assert mock.stats()["by_status"] == {"429": 1, "200": 3}
    tries = {
        x["sample_id"]: x["meta"].get("attempts")
        for x in lines(bench.tmp / "a/voicebench/advbench/responses.jsonl")
    }
    assert tries == {"q00": 2, "q01": None, "q02": None}


def test_a_storm_of_429_is_weathered(bench: Bench) -> None:
    bench.questions(12)
    with mock_server(status=429, fail_first=2, headers={"retry-after-ms": "5"}) as mock:
        args = openai(mock.url, "--task", "voicebench/advbench", "--data-dir", bench.data, "--no-report")
        assert bench.here(*args, "--out", bench.tmp / "a").code == 0
        assert mock.requests() == 36
    assert result(bench.tmp / "a", "voicebench/advbench")["n_scored"] == 12


def test_a_wait_beyond_reason_fails_at_once(bench: Bench) -> None:
    """A server that asks for an hour is not waited for; the sample says so."""
    bench.questions(1)
    with mock_server(status=429, headers={"Retry-After": "3600"}) as mock:
        args = openai(mock.url, "--task", "voicebench/advbench", "--data-dir", bench.data, "--no-report")
        done = bench.here(*args, "--out", bench.tmp / "a")
        assert done.code == 1 and mock.requests() == 1
    assert "q00: HTTP 429" in done.err


def test_judge_failures_stay_unscored_and_are_asked_again(bench: Bench) -> None:
    """A judge down for two answers: unscored with the reason, bounds, exit 1; next time just those two."""
    bench.questions(6, "alpacaeval_full")
    with (
        mock_server() as model,
        mock_server(
            texts=["5"],
            rules=[
                {
                    "match": "question number 02",
                    "times": 2,
                    "set": {"status": 503, "message": "judge asleep"},
                },
                # Asked once more at once, since it is asked at temperature 0.5.
                {"match": "question number 04", "times": 2, "set": {"texts": ["no idea"]}},
            ],
        ) as judge,
    ):
        args = openai(
            model.url, "--task", "voicebench/alpacaeval_full", "--data-dir", bench.data, *judged(judge.url)
        )
        first = bench.here(*args, *FAST, "--out", bench.tmp / "a")
        assert first.code == 1, first.said
        found = result(bench.tmp / "a", "voicebench/alpacaeval_full")
        assert (found["n_scored"], found["n_unscored"], found["n_errors"]) == (4, 2, 0)
        assert found["bounds"] == pytest.approx([(4 * 5 + 2 * 1) / 6, 5.0])
        assert set(found["reasons"]) == {"judge-http-503", "judge-unparseable"}
        assert "judge asleep" in first.err and "unscored" in first.err
        assert judge.requests() == 8 and model.requests() == 6

        second = bench.here(*args, *FAST, "--out", bench.tmp / "a")
        assert second.code == 0, second.said
        assert judge.requests() == 10 and model.requests() == 6
        unbroken = bench.here(*args, *FAST, "--out", bench.tmp / "b", "--no-cache")
        assert unbroken.code == 0, unbroken.said
    assert (bench.tmp / "a/results.json").read_bytes() == (bench.tmp / "b/results.json").read_bytes()


def test_a_judge_that_rejects_the_key_stops_the_run_and_says_who(bench: Bench) -> None:
    bench.questions(3, "alpacaeval_full")
    with mock_server() as model, mock_server(api_key="another") as judge:
        args = openai(
            model.url, "--task", "voicebench/alpacaeval_full", "--data-dir", bench.data, *judged(judge.url)
        )
        done = bench.here(*args, *FAST, "--out", bench.tmp / "a")
    assert done.code == 2, done.said
    assert "the judge: the endpoint rejected the API key in OPENAI_API_KEY" in done.err


def test_short_votes_are_asked_for_again_not_read_from_the_cache(bench: Bench) -> None:
    """A judge that once gave too few votes gets another request, not its own old reply."""
    bench.questions(1, "alpacaeval_full")
    with (
        mock_server(texts=["4"]) as model,
        mock_server(
            texts=["4"], rules=[{"match": "question number", "times": 2, "set": {"raw": '{"choices": []}'}}]
        ) as judge,
    ):
        args = openai(
            model.url, "--task", "voicebench/alpacaeval_full", "--data-dir", bench.data, *judged(judge.url)
        )
        done = bench.here(*args, "--no-report", "--retries", 4, "--out", bench.tmp / "a")
        assert done.code == 0, done.said


def test_the_last_try_is_the_one_that_is_told(bench: Bench) -> None:
    """Unreadable, then out of reach, then unreadable again: the results are an unbroken run's."""
    task = "voicebench/alpacaeval_full"
    bench.questions(2, "alpacaeval_full")
    with mock_server() as model, mock_server(texts=["no idea"]) as odd, mock_server(status=500) as down:
        words = openai(model.url, "--task", task, "--data-dir", bench.data, "--retries", 1, "--no-report")
        for judge, code in ((odd, "judge-unparseable"), (down, "judge-http-500"), (odd, "judge-unparseable")):
            bench.here(*words, "--no-cache", *judged(judge.url), "--out", bench.tmp / "a")
            assert list(result(bench.tmp / "a", task)["reasons"]) == [code]
        kept = len(lines(bench.tmp / "a" / task / "scores.jsonl"))
        bench.here(*words, "--no-cache", *judged(odd.url), "--out", bench.tmp / "a")
        assert len(lines(bench.tmp / "a" / task / "scores.jsonl")) == kept == 6
        bench.here(*words, "--no-cache", *judged(odd.url), "--out", bench.tmp / "b")
    assert (bench.tmp / "a/results.json").read_bytes() == (bench.tmp / "b/results.json").read_bytes()
