"""The judge's client against a real endpoint: llama.cpp's server with the embedded LLM, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from evalkit.chat import Abilities, ChatReply, ChatRequest, abilities_of
from evalkit.errors import RunnerError
from evalkit.runners.embedded import EmbeddedChat
from evalkit.runners.openai import OpenAIChat, make_chat
from tests.cli_fixtures import Bench, bench, lines, openai, result
from tests.embedded_fixtures import SMOKE, Endpoint, endpoint
from tests.mock_fixtures import mock_server

__all__ = ["bench", "endpoint"]

pytestmark = pytest.mark.embedded

RATE = "Rate this answer to 'What is the capital of France?' from 1 to 5: {}. Reply with the number only."
VERDICT = {
    "title": "verdict",
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["score"],
    "additionalProperties": False,
}
DIGIT = {"grammar": "root ::= [1-5]"}


def asked(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest((("user", text),), **{"max_tokens": 12, **fields})


def ask(chat: OpenAIChat, *requests: ChatRequest) -> list[ChatReply]:
    """All at once."""

    async def go() -> list[ChatReply]:
        try:
            return list(await asyncio.gather(*(chat.chat(r) for r in requests)))
        finally:
            await chat.close()

    return asyncio.run(go())


@pytest.fixture
def chat(endpoint: Endpoint) -> OpenAIChat:
    return make_chat("smollm2", endpoint.options())


def test_a_plain_reply_says_all_that_the_endpoint_told(chat: OpenAIChat) -> None:
    """The same words as through the library: nothing of the request is lost on the way."""
    request = asked("Is ice cold? Answer with yes or no.", max_tokens=60)
    [reply] = ask(chat, request)
    assert reply.texts == asyncio.run(EmbeddedChat().chat(request)).texts
    assert (reply.finish, reply.refused, reply.tokens, reply.cached) == (("stop",), (), (), False)
    assert reply.usage["prompt_tokens"] > 10 and reply.usage["completion_tokens"] > 1
    assert reply.usage["cached_tokens"] == 0
    [cut] = ask(chat, asked("Tell me about France.", max_tokens=3))
    assert cut.finish == ("length",) and cut.usage["completion_tokens"] == 3


def test_an_endpoint_that_takes_no_n_gives_votes_one_by_one(chat: OpenAIChat) -> None:
    """llama.cpp refuses n > 1 with a 400; each vote has a seed of its own, so the same seed gives the same votes."""
    wish = asked("Name a fruit.", temperature=1.5, n=3, seed=5)
    first, again = ask(chat, wish), ask(chat, wish)
    assert len(first[0].texts) == 3 and len(set(first[0].texts)) > 1
    assert first[0].texts == again[0].texts
    assert first[0].finish and len(first[0].finish) == 3
    [single] = ask(chat, asked("Name a fruit.", temperature=1.5, seed=6))
    assert single.texts[0] == first[0].texts[1]


def test_log_probabilities_are_a_distribution_with_the_greedy_token_on_top(chat: OpenAIChat) -> None:
    [reply] = ask(chat, asked(RATE.format("Paris"), top_logprobs=20))
    [tokens] = reply.tokens
    assert "".join(t.text for t in tokens).startswith(reply.texts[0])
    weighed = [t for t in tokens if t.top]
    assert weighed and weighed[0] is tokens[0]  # where there may be a number
    for token in weighed:
        assert len(token.top) == 20 and token.top[0] == (token.text, token.logprob)
        values = [v for _, v in token.top]
        assert values == sorted(values, reverse=True)
        assert 0.0 < sum(math.exp(v) for v in values) <= 1.0 + 1e-6


def test_tokens_of_several_votes_and_fewer_tops(endpoint: Endpoint) -> None:
    chat = make_chat("smollm2", endpoint.options() | {"top_logprobs": "3"})
    [reply] = ask(chat, asked("Count: 1 2 3 4", n=2, seed=1, temperature=1.0, top_logprobs=20, max_tokens=4))
    assert len(reply.tokens) == 2
    assert {len(t.top) for tokens in reply.tokens for t in tokens if t.top} == {3}


def test_under_a_grammar_log_probabilities_are_those_of_the_model(endpoint: Endpoint) -> None:
    """What is forced may be unlikely: the mass of the five ratings is what the model gave them, less than all of it."""
    request = asked(RATE.format("Rome"), top_logprobs=20, choices=("1", "2", "3", "4", "5"))
    [over_http] = ask(make_chat("smollm2", endpoint.options(**DIGIT)), request)
    inside = asyncio.run(EmbeddedChat().chat(request))
    for reply in (over_http, inside):
        assert reply.texts[0] in "12345"
        first = reply.tokens[0][0]
        mass = sum(math.exp(v) for text, v in first.top if text in "12345")
        assert first.text == reply.texts[0] and 0.0 < mass < 0.99
    assert over_http.tokens[0][0].logprob == pytest.approx(inside.tokens[0][0].logprob, abs=1e-3)


def test_a_schema_is_kept_to(chat: OpenAIChat) -> None:
    [reply] = ask(chat, asked(RATE.format("Paris"), schema=VERDICT, max_tokens=64, top_logprobs=5))
    found = json.loads(reply.texts[0])
    assert list(found) == ["score"] and 1 <= found["score"] <= 5
    assert any(t.text.strip() == str(found["score"]) for t in reply.tokens[0])
    inside = asyncio.run(EmbeddedChat().chat(asked(RATE.format("Paris"), schema=VERDICT, max_tokens=64)))
    assert list(json.loads(inside.texts[0])) == ["score"]


def test_a_schema_that_is_none_is_told_as_such(chat: OpenAIChat) -> None:
    with pytest.raises(RunnerError) as caught:
        ask(chat, asked("rate", schema={"type": "nonsense"}))
    assert (caught.value.kind, caught.value.retryable) == ("no-schema", False)
    assert "unrecognized type nonsense" in caught.value.message


def test_a_question_beyond_the_context_is_told_as_such(chat: OpenAIChat) -> None:
    with pytest.raises(RunnerError) as caught:
        ask(chat, asked("one two three " * 8000))
    assert (caught.value.kind, caught.value.retryable) == ("context-overflow", False)


def test_abilities_are_found_out_with_one_request(chat: OpenAIChat) -> None:
    assert asyncio.run(abilities_of(chat)) == Abilities(logprobs=True, schema=True)
    assert asyncio.run(abilities_of(EmbeddedChat())) == Abilities(logprobs=True, schema=True)


def test_many_at_once_give_what_one_by_one_gives(chat: OpenAIChat) -> None:
    requests = [asked(RATE.format(f"{k} {'Paris' if k % 2 else 'Rome'}"), top_logprobs=3) for k in range(6)]
    together = ask(chat, *requests)
    for request, reply in zip(requests, together, strict=True):
        [alone] = ask(chat, request)
        assert alone.texts == reply.texts
        for a, b in zip(alone.tokens[0], reply.tokens[0], strict=True):
            assert a.text == b.text and a.logprob == pytest.approx(b.logprob, abs=1e-3)


def predictions(folder: Path) -> Path:
    answers = ("Paris is the capital.", "I don't know.", "Bananas are yellow.", "")
    path = folder / "p.jsonl"
    given = [
        {"id": f"q{k}", "text": text, "row": {"prompt": "What is the capital of France?"}}
        for k, text in enumerate(answers)
    ]
    path.write_text("".join(json.dumps(g) + "\n" for g in given), encoding="utf-8")
    return path


@pytest.mark.parametrize("task", ["voicebench/alpacaeval_full", "ultraeval-audio/alpaca-eval-s2t"])
def test_the_command_line_judges_with_it(bench: Bench, endpoint: Endpoint, task: str) -> None:
    form = {"grammar": 'root ::= "[[" [1-5] "]]"'}
    words = ["score", predictions(bench.tmp), "--task", task, "--out", bench.tmp / "a", "--no-report"]
    words += ["--judge", "openai/smollm2", *endpoint.flags(**form)]
    done = bench.here(*words)
    assert done.code == 0, done.said
    found = result(bench.tmp / "a", task)
    assert found["n_scored"] == 4 and "smollm2" in json.dumps(found)
    verdicts = lines(bench.tmp / "a" / task / "scores.jsonl")
    assert all(v["detail"]["usage"]["completion_tokens"] > 0 for v in verdicts if v["detail"].get("replies"))
    before = (bench.tmp / "a/results.json").read_bytes()
    assert bench.here(*words).code == 0
    assert (bench.tmp / "a/results.json").read_bytes() == before


def test_answers_to_the_smoke_data_are_judged_by_it(bench: Bench, endpoint: Endpoint) -> None:
    """Data in the published layout, real audio to a model behind the mock, its answers to the endpoint."""
    task = "voicebench/alpacaeval_full"
    with mock_server(texts=["Boil it for ten minutes."]) as model:
        words = openai(
            model.url, "--task", task, "--data-dir", SMOKE, "--out", bench.tmp / "a", "--no-report"
        )
        done = bench.here(*words, "--judge", "openai/smollm2", *endpoint.flags(**DIGIT))
        assert done.code == 0, done.said
        found = result(bench.tmp / "a", task)
        assert found["n"] == found["n_scored"] == 4


def rated(folder: Path) -> list[dict[str, Any]]:
    """The verdicts for which the judge was asked, by sample."""
    found = [v for v in lines(folder / "scores.jsonl") if v["detail"].get("replies")]
    return sorted(found, key=lambda v: str(v["sample_id"]))


@pytest.mark.parametrize("task", ["voicebench/alpacaeval_full", "ultraeval-audio/alpaca-eval-s2t"])
def test_geval_through_the_command_line(bench: Bench, endpoint: Endpoint, task: str) -> None:
    """The expected rating by the endpoint's own probabilities: between the ratings, and again from the cache."""
    high, form = (5, "root ::= [1-5]") if "voicebench" in task else (10, 'root ::= "[[" [1-5] "]]"')
    words = ["score", predictions(bench.tmp), "--task", task, "--no-report", "-O", "judge_scoring=geval"]
    words += ["--judge", "openai/smollm2", *endpoint.flags(grammar=form)]
    done = bench.here(*words, "--out", bench.tmp / "a")
    assert done.code == 0, done.said
    verdicts = rated(bench.tmp / "a" / task)
    assert len(verdicts) >= 3 and all("geval" in v["judge"] for v in verdicts)
    for verdict in verdicts:
        told = verdict["detail"]["geval"]
        assert told["method"] == "logprobs" and 0.0 < told["mass"] <= 1.0
        assert sum(told["distribution"].values()) == pytest.approx(1.0)
        mean = sum(int(k) * p for k, p in told["distribution"].items())
        assert 1 < verdict["value"] < high and verdict["value"] == pytest.approx(mean)
        assert verdict["value"] != told["plain"]
    assert bench.here(*words, "--out", bench.tmp / "b").code == 0
    assert [v["value"] for v in rated(bench.tmp / "b" / task)] == [v["value"] for v in verdicts]


def test_replies_by_schema_through_the_command_line(bench: Bench, endpoint: Endpoint) -> None:
    task = "voicebench/alpacaeval_full"
    words = ["score", predictions(bench.tmp), "--task", task, "--no-report", "--out", bench.tmp / "a"]
    words += ["--judge", "openai/smollm2", *endpoint.flags(), "-O", "judge_output=json"]
    done = bench.here(*words)
    assert done.code == 0, done.said
    for verdict in lines(bench.tmp / "a" / task / "scores.jsonl"):
        [reply] = verdict["detail"]["replies"]
        assert isinstance(json.loads(reply), dict) and "json" in verdict["judge"]
        assert 1 <= verdict["value"] <= 5
