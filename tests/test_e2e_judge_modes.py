"""How judges are asked and read, through the command line: G-Eval, schemas, votes, and replies that can't be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import Bench, Done, bench, judged, lines, refused, result
from tests.embedded_fixtures import Endpoint, endpoint
from tests.mock_fixtures import MockServer, mock_server

__all__ = ["bench", "endpoint"]

TASK = "voicebench/commoneval"


def answers(bench: Bench, n: int = 2) -> Path:
    """Predictions for `n` rows of VoiceBench's CommonEval."""
    bench.questions(n, "commoneval")
    path = bench.tmp / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{k:02}", "text": f"answer {k}"}) + "\n" for k in range(n)))
    return path


def score(bench: Bench, mock: MockServer, *more: object, task: str = TASK) -> Done:
    path = bench.tmp / "answers.jsonl"
    out = ["--out", bench.tmp / "out", "--no-report", "--progress", "none"]
    return bench.here("score", path, "--task", task, "--data-dir", bench.data, *out, *judged(mock.url), *more)


def scores(bench: Bench, task: str = TASK) -> list[dict[str, Any]]:
    return lines(bench.tmp / "out" / task / "scores.jsonl")


GEVAL, JSON = ("-O", "judge_scoring=geval"), ("-O", "judge_output=json")


@pytest.mark.parametrize("kind", ["content", "old", "odd"])
def test_geval_over_the_tokens(bench: Bench, kind: str) -> None:
    answers(bench)
    with mock_server(texts=["4"], logprobs=kind) as mock:
        done = score(bench, mock, *GEVAL)
        assert done.code == 0, done.said
        sent = mock.stats()["last"]
    assert (sent["logprobs"], sent["top_logprobs"], sent["temperature"], sent.get("n")) == (
        True,
        20,
        0.0,
        None,
    )
    found = result(bench.tmp / "out", TASK)
    one, two = scores(bench)
    assert one["judge"].startswith("j x1 voicebench_open:own@") and one["judge"].endswith(",geval-logprobs")
    assert ",geval-logprobs" in found["signature"]
    told = one["detail"]["geval"]
    assert told["method"] == "logprobs" and told["plain"] == 4.0
    assert sum(told["distribution"].values()) == pytest.approx(1.0) and 0.5 <= told["mass"] <= 1
    expected = sum(int(k) * p for k, p in told["distribution"].items())
    assert one["value"] == two["value"] == pytest.approx(expected) and one["value"] != 4.0
    assert found["value"] == pytest.approx(one["value"])


@pytest.mark.parametrize("how", ["none", "refuse"])
def test_geval_by_samples_where_nothing_is_told(bench: Bench, how: str) -> None:
    answers(bench, 1)
    with mock_server(texts=["4", "5"], logprobs=how) as mock:
        done = score(bench, mock, *GEVAL)
        assert done.code == 0, done.said
        sent = mock.stats()["last"]
    assert (sent["n"], sent["temperature"], sent["top_p"]) == (20, 1.0, 1.0)
    [one] = scores(bench)
    assert one["value"] == 4.5 and one["judge"].endswith(",geval-20-samples")
    assert one["detail"]["geval"]["read"] == 20


def test_plain_and_geval_are_two_verdicts_side_by_side(bench: Bench) -> None:
    answers(bench, 1)
    with mock_server(texts=["4"]) as mock:
        for more in ((), GEVAL, (), JSON):
            assert score(bench, mock, *more).code == 0
    by_judge = {s["judge"].partition("@")[2]: s["value"] for s in scores(bench)}
    assert len(by_judge) == 3, "plain was on record the second time"
    assert 4.0 in by_judge.values() and 1.0 in by_judge.values()  # the mock's smallest verdict is "1"


def test_a_schema_and_geval_together(bench: Bench) -> None:
    answers(bench, 1)
    rule = {"match": "Form of the reply", "set": {"texts": ['{"verdict": "4"}']}}
    with mock_server(rules=[rule]) as mock:
        done = score(bench, mock, *GEVAL, *JSON)
        assert done.code == 0, done.said
        sent = mock.stats()["last"]
    form = sent["response_format"]["json_schema"]["schema"]
    assert form["properties"]["verdict"]["enum"] == ["1", "2", "3", "4", "5"]
    [one] = scores(bench)
    assert one["judge"].endswith(",geval-logprobs,json") and one["detail"]["geval"]["plain"] == 4.0
    assert one["detail"]["replies"] == ['{"verdict": "4"}']


@pytest.mark.parametrize("how", ["ignore", "refuse"])
def test_an_endpoint_without_schemas_is_asked_for_text(bench: Bench, how: str) -> None:
    answers(bench, 1)
    with mock_server(texts=["4"], schema=how) as mock:
        assert score(bench, mock, *JSON).code == 0
        assert "response_format" not in mock.stats()["last"]
    [one] = scores(bench)
    assert one["value"] == 4.0 and ",json" not in one["judge"]


def test_votes_by_the_users_number(bench: Bench) -> None:
    answers(bench, 1)
    with mock_server(texts=["4", "5"]) as mock:
        assert score(bench, mock, "-O", "judge_votes=4").code == 0
    [one] = scores(bench)
    assert (one["value"], one["detail"]["votes"]) == (4.5, [4.0, 5.0, 4.0, 5.0]) and " x4 " in one["judge"]
    with mock_server() as mock:
        refused(score(bench, mock, "-O", "judge_votes=0"), "judge_votes=0", "1 to 100")
        refused(score(bench, mock, "-O", "judge_scoring=magic"), "judge_scoring", "plain or geval")
        refused(score(bench, mock, "-O", "judge_output=xml"), "judge_output", "text or json")
        assert mock.requests() == 0


BAD: dict[str, dict[str, Any]] = {
    "judge-unparseable": {"texts": ["rather good"]},
    "judge-refused": {"refusal": "I will not."},
    "judge-truncated": {"texts": ["Let me think"], "finish_reason": "length"},
    "judge-empty": {"texts": [" "]},
    "judge-content-filter": {"texts": ["The"], "finish_reason": "content_filter"},
}


@pytest.mark.parametrize("code", BAD)
def test_what_can_not_be_read_is_unscored_and_asked_again_by_the_next_run_only(
    bench: Bench, code: str
) -> None:
    """CommonEval is judged at temperature 0.5, so each is asked once more at once, but for a filter; never cached."""
    answers(bench)
    times = 1 if code == "judge-content-filter" else 2
    with mock_server(texts=["4"], rules=[{"match": "question number 01", "set": BAD[code]}]) as mock:
        done = score(bench, mock)
        assert done.code == 1, done.said
        assert mock.requests() == 1 + times, "one that was read, one that was not"
        again = score(bench, mock)
        assert again.code == 1 and mock.requests() == 1 + 2 * times, "only the one is asked again"
    found = result(bench.tmp / "out", TASK)
    assert (found["n_scored"], found["n_unscored"], found["value"]) == (1, 1, 4.0)
    assert set(found["reasons"]) == {code}
    with mock_server(texts=["5"]) as mock:
        assert score(bench, mock).code == 0 and mock.requests() == 1
    assert result(bench.tmp / "out", TASK)["n_scored"] == 2


def test_a_greedy_judge_is_not_asked_again_at_once(bench: Bench) -> None:
    answers(bench, 1)
    with mock_server(texts=["rather good"]) as mock:
        assert score(bench, mock, *GEVAL).code == 1
        assert mock.requests() == 2, "one to find out what it can do"
        assert score(bench, mock, *GEVAL).code == 1
        assert mock.requests() == 3


def test_one_reply_without_log_probabilities_is_no_score(bench: Bench) -> None:
    answers(bench)
    with mock_server(
        texts=["4"], rules=[{"match": "question number 01", "set": {"logprobs": "none"}}]
    ) as mock:
        assert score(bench, mock, *GEVAL).code == 1
    found = result(bench.tmp / "out", TASK)
    assert (found["n_scored"], set(found["reasons"])) == (1, {"judge-no-logprobs"})
    assert len({s["judge"] for s in scores(bench)}) == 1, "never mixed with samples"


@pytest.mark.embedded
def test_a_real_endpoint_by_schema_and_tokens(bench: Bench, endpoint: Endpoint) -> None:
    """llama.cpp's server takes a code fence out of what it says in JSON, not out of the tokens."""
    path = answers(bench)
    words = [
        "score",
        path,
        "--task",
        TASK,
        "--data-dir",
        bench.data,
        "--out",
        bench.tmp / "out",
        "--no-report",
    ]
    words += ["--progress", "none", "--judge", "openai/smollm2", *endpoint.flags()]
    done = bench.here(*words, *GEVAL, *JSON)
    assert done.code == 0, done.said
    for one in scores(bench):
        told = one["detail"]["geval"]
        assert one["judge"].endswith(",geval-logprobs,json") and 1 < one["value"] < 5
        assert 0 < told["mass"] <= 1 and set(told["distribution"]) <= set("12345")


def test_recorded_replies_are_read_plainly(bench: Bench) -> None:
    bench.questions(1, "commoneval")
    path = bench.tmp / "answers.jsonl"
    path.write_text(json.dumps({"id": "q00", "text": "hm", "judge": ["4"]}) + "\n")
    out = ["--out", bench.tmp / "out", "--no-report", "--progress", "none"]
    done = bench.here("score", path, "--task", TASK, "--data-dir", bench.data, *out, *GEVAL, *JSON)
    assert done.code == 0, done.said
    [one] = scores(bench)
    assert one["value"] == 4.0 and one["judge"].startswith("recorded x1 ") and "geval" not in one["judge"]
