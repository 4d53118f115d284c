"""What goes wrong with a judge's endpoint: each fault by its own code, tried again or not, unscored when final, and
asked again by the next run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from evalkit.runners.openai import make_chat
from tests.cli_fixtures import Bench, bench, judged, lines, openai, result
from tests.judge_fixtures import ask, error, fault, judge
from tests.mock_fixtures import MockServer, mock_server

__all__ = ["bench"]

OPEN = "voicebench/alpacaeval_full"


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    with mock_server(texts=["4"]) as server:
        yield server


# --- by code ----------------------------------------------------------------------------------------

AZURE = error(
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    code="content_filter",
    param="prompt",
    innererror={"code": "ResponsibleAIPolicyViolation"},
)
OVERFLOW = error("This model's maximum context length is 4096 tokens.", code="context_length_exceeded")
CUT = '{"choices": [{"message": {"con'

FAULTS: list[tuple[dict[str, Any], str, bool]] = [
    ({"status": 429, "headers": {"Retry-After": "0.05"}}, "http-429", True),
    ({"status": 500}, "http-500", True),
    ({"status": 503}, "http-503", True),
    ({"drop": "before"}, "connection-lost", True),
    ({"drop": "midway"}, "connection-lost", True),
    ({"drop": "reset", "pad": 1 << 20}, "connection-lost", True),
    ({"raw": "<html>bad gateway</html>"}, "bad-reply", True),
    ({"raw": CUT}, "bad-reply", True),
    ({"raw": '{"choices": []}'}, "bad-reply", True),
    ({"raw": '{"error": {"message": "overloaded"}}'}, "bad-reply", True),
    ({"raw": "[" * 100_000}, "bad-reply", True),
    ({"finish_reason": "content_filter"}, "content-filter", False),
    ({"status": 400, "raw": AZURE}, "content-filter", False),
    ({"status": 403, "raw": error("your input was flagged", code=403)}, "content-filter", False),
    ({"status": 400, "raw": error("Content Exists Risk")}, "content-filter", False),
    ({"status": 400, "raw": OVERFLOW}, "context-overflow", False),
    ({"status": 413, "raw": error("input is too long for this model")}, "context-overflow", False),
    ({"status": 400, "raw": error("temperature is odd")}, "http-400", False),
    ({"status": 429, "raw": error("pay first", code="insufficient_quota")}, "quota", False),
]


@pytest.mark.parametrize(
    ("behaviour", "kind", "again"), FAULTS, ids=[f"{k}-{i}" for i, (_, k, _) in enumerate(FAULTS)]
)
def test_each_fault_has_its_code_and_is_tried_again_or_not(
    mock: MockServer, behaviour: dict[str, Any], kind: str, again: bool
) -> None:
    before = mock.requests()
    found = fault(judge(mock, **behaviour), tries=3)
    assert (found.kind, found.retryable, found.attempts) == (kind, again, 3 if again else 1)
    assert mock.requests() - before == found.attempts
    assert len(found.message) < 700 and "\n" not in found.message
    well = {**behaviour, "fail_first": 2}
    if again:
        assert ask(judge(mock, **well), tries=3).texts == ("4",)


def test_an_endpoint_that_takes_the_request_and_never_replies(mock: MockServer) -> None:
    found = fault(judge(mock, {"timeout": "0.3"}, drop="never"), tries=2)
    assert (found.kind, found.retryable, found.attempts) == ("timeout", True, 2)
    assert "0.3 s" in found.message


def test_what_is_no_fault_comes_back_as_told(mock: MockServer) -> None:
    refused = ask(judge(mock, refusal="I can't rate this."))
    assert (refused.texts, refused.refused) == (("I can't rate this.",), (0,))
    assert refused.finish == ("stop",)
    cut = ask(judge(mock, finish_reason="length", texts=["Let me th"]))
    assert (cut.texts, cut.finish, cut.refused) == (("Let me th",), ("length",), ())
    silent = ask(judge(mock, finish_reason=""))
    assert silent.finish == ()


def test_usage_is_summed_and_flat(mock: MockServer) -> None:
    more = {
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 3, "text_tokens": 9},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": None},
        "odd": True,
        "note": "x",
    }
    reply = ask(judge(mock, usage=more, max_choices=1), n=3)
    assert reply.usage == {
        "prompt_tokens": 30,
        "completion_tokens": 15,
        "total_tokens": 45,
        "cached_tokens": 12,
        "audio_tokens": 9,
        "reasoning_tokens": 6,
    }
    assert "prompt_tokens_details" not in ask(judge(mock, usage={"prompt_tokens_details": None})).usage


def test_votes_that_came_are_kept_when_one_fails(mock: MockServer) -> None:
    """Four single votes, one of them down at first: the second attempt asks for that one alone."""
    with mock_server(refuse_n=True, texts=["4"], rules=[]) as server:
        chat = make_chat("j", {"base_url": server.url})
        assert ask(chat, n=4, seed=1).texts == ("4",) * 4
        assert server.requests() == 5  # the one that was refused, then one by one
    down = {"max_choices": 1, "texts": ["4"], "fail_first": 1, "status": 503}
    before = mock.requests()
    chat = judge(mock, **down)
    assert ask(chat, n=4, seed=1, tries=3).texts == ("4",) * 4
    # n=4 fails, n=4 brings one, three singles fail and are asked again: 1 + 1 + 3 + 3.
    assert mock.requests() - before == 8


# --- through the command line ------------------------------------------------------------------------

CLI: list[tuple[dict[str, Any], str, int, tuple[str, ...]]] = [
    ({"status": 429}, "judge-http-429", 2, ()),
    ({"status": 500}, "judge-http-500", 2, ()),
    ({"drop": "never"}, "judge-timeout", 2, ("-J", "timeout=0.5")),
    ({"drop": "reset", "pad": 1 << 20}, "judge-connection-lost", 2, ()),
    ({"raw": CUT}, "judge-bad-reply", 2, ()),
    ({"raw": '{"choices": []}'}, "judge-bad-reply", 2, ()),
    ({"finish_reason": "content_filter"}, "judge-content-filter", 1, ()),
    ({"status": 400, "raw": AZURE}, "judge-content-filter", 1, ()),
    ({"status": 400, "raw": OVERFLOW}, "judge-context-overflow", 1, ()),
]


@pytest.mark.parametrize(
    ("fault", "code", "requests", "more"), CLI, ids=[f"{c[1]}-{i}" for i, c in enumerate(CLI)]
)
def test_a_fault_leaves_its_answers_unscored_and_the_next_run_asks_for_those(
    bench: Bench, fault: dict[str, Any], code: str, requests: int, more: tuple[str, ...]
) -> None:
    """Six answers, the judge fails for two of them as long as it is ill; then the same command mends it."""
    answers = [f"This is answer {k:02}." for k in range(6)]
    given = bench.tmp / "p.jsonl"
    given.write_text(
        "".join(
            json.dumps({"id": f"q{k}", "text": text, "row": {"prompt": "Why?"}}) + "\n"
            for k, text in enumerate(answers)
        )
    )
    ill = [{"match": f"answer {k:02}", "set": fault, "times": requests} for k in (1, 4)]
    with mock_server(texts=["4"], rules=ill) as mock:
        words = ["score", given, "--task", OPEN, "--retries", 2, "--out", bench.tmp / "a"]
        words += ["--no-report", *judged(mock.url), *more]
        done = bench.here(*words)
        assert done.code == 1, done.said
        found = result(bench.tmp / "a", OPEN)
        assert (found["n"], found["n_scored"]) == (6, 4)
        assert {reason: told["n"] for reason, told in found["reasons"].items()} == {code: 2}
        assert code in done.said
        first = mock.requests()
        assert first == 4 + 2 * requests
        done = bench.here(*words)
        assert done.code == 0, done.said
        assert mock.requests() == first + 2
        found = result(bench.tmp / "a", OPEN)
        assert (found["n_scored"], found["value"]) == (6, 4.0)
    kept = [x for x in lines(bench.tmp / "a" / OPEN / "scores.jsonl") if x["value"] is None]
    assert len(kept) == 2 and all(x["reason"].startswith(code) for x in kept)


def test_a_limited_rate_is_waited_for(bench: Bench) -> None:
    """A 429 with Retry-After is obeyed and costs nothing but time: complete at the first go."""
    slow = [{"match": "question", "set": {"status": 429, "headers": {"Retry-After": "0.2"}}, "times": 1}]
    bench.questions(3, "alpacaeval_full")
    with mock_server(texts=["fine"]) as model, mock_server(texts=["5"], rules=slow) as limited:
        words = openai(model.url, "--task", OPEN, "--data-dir", bench.data, *judged(limited.url))
        done = bench.here(*words, "--no-report", "--out", bench.tmp / "a")
        assert done.code == 0, done.said
        assert limited.stats()["by_status"] == {"429": 3, "200": 3}


GEVAL = ("-O", "judge_scoring=geval")


def test_what_an_endpoint_can_do_is_asked_again_when_it_is_busy(bench: Bench) -> None:
    """The first request of a run finds out whether there are log-probabilities; a 429 must not end the run."""
    given = bench.tmp / "p.jsonl"
    given.write_text(json.dumps({"id": "q", "text": "Because.", "row": {"prompt": "Why?"}}) + "\n")
    busy = [{"match": "Is ice cold", "set": {"status": 429}, "times": 1}]
    with mock_server(texts=["4"], rules=busy) as limited:
        words = ["score", given, "--task", OPEN, "--no-report", "--out", bench.tmp / "a", *GEVAL]
        done = bench.here(*words, *judged(limited.url))
        assert done.code == 0, done.said
        assert limited.stats()["by_status"] == {"429": 1, "200": 2}
        [verdict] = lines(bench.tmp / "a" / OPEN / "scores.jsonl")
        assert verdict["detail"]["geval"]["method"] == "logprobs" and 1.0 <= verdict["value"] <= 5.0
    with mock_server(status=500, message="asleep") as down:
        words = [*words[:-3], bench.tmp / "b", *GEVAL, "--retries", 2]
        done = bench.here(*words, *judged(down.url))
        assert done.code == 2 and "the judge can't be asked what it can do: HTTP 500" in done.err, done.said
        assert down.requests() == 2


@pytest.mark.parametrize("kind", ["refuse", "none"])
def test_an_endpoint_without_log_probabilities_is_drawn_from(bench: Bench, kind: str) -> None:
    """G-Eval by samples instead, and the signature says which."""
    given = bench.tmp / "p.jsonl"
    given.write_text(json.dumps({"id": "q", "text": "Because.", "row": {"prompt": "Why?"}}) + "\n")
    with mock_server(texts=["4", "5"], logprobs=kind) as mock:
        words = ["score", given, "--task", OPEN, "--no-report", "--out", bench.tmp / "a", *GEVAL]
        done = bench.here(*words, *judged(mock.url))
        assert done.code == 0, done.said
        [verdict] = lines(bench.tmp / "a" / OPEN / "scores.jsonl")
        assert verdict["detail"]["geval"]["method"] == "20-samples" and verdict["value"] == 4.5
        assert "samples" in verdict["judge"] and mock.requests() == (4 if kind == "refuse" else 2)
