"""The judge's client: log-probabilities, output by JSON Schema, what an endpoint can do, what its refusals are about,
audio limits. Against the mock; `test_judge_endpoint` asks a real one."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.chat import Abilities, ChatReply, ChatRequest
from evalkit.errors import RunnerError
from evalkit.records import Audio
from evalkit.runners.openai import OpenAIChat, make_chat
from evalkit.runners.openai.errors import complaint, http_error
from evalkit.runners.openai.logprobs import UNLIKELY, tokens_of
from evalkit.runners.openai.reply import parse_reply
from tests.judge_fixtures import ask, error, fault, judge
from tests.mock_fixtures import MockServer, mock_server
from tests.mock_openai import tone_wav

ENTRY = ("token", "logprob", "bytes", "top_logprobs")
OLD = ("tokens", "token_logprobs", "top_logprobs")
NAMES = st.sampled_from((*ENTRY, *OLD, "content", "refusal", "audio"))


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    with mock_server(texts=["4"]) as server:
        yield server


# --- log-probabilities and schemas -------------------------------------------------------------------


def test_log_probabilities_in_every_shape(mock: MockServer) -> None:
    for kind in ("content", "old"):
        [tokens] = ask(judge(mock, logprobs=kind, texts=["[[4]]"]), top_logprobs=20).tokens
        assert [t.text for t in tokens] == ["[", "[", "4", "]", "]"], kind
        # Likely tokens are kept where there may be a number: at the 4, and behind it.
        assert [len(t.top) for t in tokens] == [0, 0, 20, 20, 0]
        assert all(t.top[0] == (t.text, t.logprob) for t in tokens if t.top)
        assert all(t.logprob == pytest.approx(math.log(0.5)) for t in tokens)
    [tokens] = ask(judge(mock, logprobs="odd", texts=["4"]), top_logprobs=20).tokens
    four, part, end = tokens
    assert (
        next(t for t, _ in four.top) == "4" and len(four.top) == 3
    )  # impossible and unknown ones are left out
    assert (part.text, part.logprob, part.top) == ("\ufffd", -0.5, ())
    assert (end.text, end.logprob) == ("<|im_end|>", -0.25)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(ENTRY, VALUES)), max_size=4)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.fixed_dictionaries({}, optional={"content": VALUES | ENTRIES, **dict.fromkeys(OLD, VALUES)}))
def test_log_probabilities_that_are_none_of_the_shapes(logprobs: Any) -> None:
    """Whatever a server puts there: nothing, or tokens whose probabilities are some."""
    found = tokens_of(logprobs, 20)
    for token in found or ():
        assert UNLIKELY <= token.logprob <= 0.0
        assert [v for _, v in token.top] == sorted((v for _, v in token.top), reverse=True)
        assert all(UNLIKELY < v <= 0.0 for _, v in token.top)
    assert found is None or any(t.logprob > UNLIKELY for t in found)


@given(VALUES)
def test_a_reply_of_any_json_is_read_or_refused(value: Any) -> None:
    for body in (
        value,
        {"choices": value},
        {"choices": [{"message": value, "logprobs": value}], "usage": value},
    ):
        try:
            parse_reply(json.dumps(body).encode(), tops=5)
        except RunnerError as exc:
            assert exc.kind == "bad-reply"


@pytest.mark.parametrize("kind", ["none", "refuse"])
def test_log_probabilities_that_are_not_there(mock: MockServer, kind: str) -> None:
    found = fault(judge(mock, logprobs=kind), tries=3, top_logprobs=20)
    assert (found.kind, found.retryable, found.attempts) == ("no-logprobs", False, 1)
    assert ask(judge(mock, logprobs=kind)).texts == ("4",)


def test_log_probabilities_missing_for_some_votes(mock: MockServer) -> None:
    assert fault(judge(mock, logprobs="some"), n=3, top_logprobs=5).kind == "no-logprobs"
    refused = ask(judge(mock, logprobs="none", refusal="No."), top_logprobs=5)
    assert refused.tokens == ((),)  # words of a refusal need none


def test_an_endpoint_with_fewer_likely_tokens_is_asked_for_fewer(mock: MockServer) -> None:
    before, chat = mock.requests(), judge(mock, logprobs="five")
    for _ in range(2):
        [[four]] = ask(chat, top_logprobs=20).tokens
        assert len(four.top) == 5
    assert mock.requests() - before == 3  # it says so once


def test_schemas_kept_and_refused(mock: MockServer) -> None:
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer", "minimum": 1}},
        "title": "my verdict",
    }
    assert ask(judge(mock), schema=schema).texts == ('{"score": 1}',)
    sent = mock.stats()["last"]["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "my_verdict", "schema": schema, "strict": True},
    }
    assert fault(judge(mock, schema="refuse"), schema=schema).kind == "no-schema"


ABLE = [
    ({}, Abilities(True, True), 1),
    ({"logprobs": "none"}, Abilities(False, True), 1),
    ({"logprobs": "chosen"}, Abilities(False, True), 1),
    ({"schema": "ignore"}, Abilities(True, False), 1),
    ({"logprobs": "none", "schema": "ignore"}, Abilities(False, False), 1),
    ({"logprobs": "five"}, Abilities(True, True, tops=5), 2),
    ({"logprobs": "refuse"}, Abilities(False, True), 3),
    ({"schema": "refuse"}, Abilities(True, False), 3),
    ({"logprobs": "refuse", "schema": "refuse"}, Abilities(False, False), 4),
    ({"needs_audio": True}, Abilities(True, True), 5),
    ({"needs_audio": True, "logprobs": "refuse"}, Abilities(False, True), 7),
]


@pytest.mark.parametrize(("behaviour", "able", "requests"), ABLE)
def test_what_an_endpoint_can_do(
    mock: MockServer, behaviour: dict[str, Any], able: Abilities, requests: int
) -> None:
    before, chat = mock.requests(), judge(mock, **behaviour)

    async def go() -> tuple[Abilities, Abilities]:
        try:
            return await chat.abilities(), await chat.abilities()
        finally:
            await chat.close()

    assert asyncio.run(go()) == (able, able)
    assert mock.requests() - before == requests


@pytest.mark.parametrize(
    ("behaviour", "kind"), [({"status": 500}, "http-500"), ({"status": 400}, "http-400")]
)
def test_abilities_of_an_endpoint_that_is_down_are_an_error(
    mock: MockServer, behaviour: dict[str, Any], kind: str
) -> None:
    with pytest.raises(RunnerError) as caught:
        asyncio.run(judge(mock, **behaviour).abilities())
    assert caught.value.kind == kind


# --- what a 400 is about -----------------------------------------------------------------------------

NO_MAX = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
NO_HEAT = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."
)
DETAIL = json.dumps(
    {
        "detail": [
            {
                "loc": ["body", "top_logprobs"],
                "msg": "Extra inputs are not permitted",
                "input": "maximum context",
            }
        ]
    }
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, error(NO_MAX, param="max_tokens", code="unsupported_parameter"), "http-400",
         """extra_body='{"max_tokens": null, "max_completion_tokens": 1024}'"""),
        (400, error(NO_HEAT, param="temperature"), "http-400", """extra_body='{"temperature": null}'"""),
        (400, error("max_tokens must be at least 1"), "http-400", "at least 1"),
        (400, error("You are not allowed to request logprobs from this model"), "no-logprobs", "not allowed"),
        (422, DETAIL, "no-logprobs", "body.top_logprobs: Extra inputs are not permitted"),
        (400, error("Invalid schema for response_format 'x'", param="response_format"), "no-schema", "Invalid"),
        (400, error("'messages' must hold 'json' to use 'response_format'", param="messages"), "http-400", ""),
        (400, error("request exceeds the available context size", type="exceed_context_size_error"),
         "context-overflow", ""),
        (422, error("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"), "context-overflow", ""),
        (400, error("Requested sample logprobs of 20, greater than max allowed: 5"), "no-logprobs", ""),
        (400, error("Input data may contain bad words", code="data_inspection_failed"), "content-filter", ""),
        (403, error("no access to this model"), "http-403", "denies access"),
        (400, '{"error": "plain words"}', "http-400", "plain words"),
        (422, '{"detail": [{"msg": null}]}', "http-422", ""),
        (400, "[" * 5000, "http-400", ""),
    ],
)  # fmt: skip
def test_what_a_refusal_is_about(status: int, body: str, kind: str, words: str) -> None:
    found = http_error(status, body, {}, url="http://h/v1", model="m", api_key_env="KEY", has_key=True)
    assert found.kind == kind and words in found.message
    assert ("extra_body=" in found.message) == words.startswith("extra_body")


def test_our_own_words_in_an_error_are_not_read() -> None:
    """FastAPI sends the request back beside its complaint: only what it says of a field counts."""
    found = complaint(DETAIL)
    assert found.about == "body top_logprobs" and "maximum context" not in found.said


def test_fields_that_an_endpoint_does_not_take_can_be_taken_out(mock: MockServer) -> None:
    extra = {"max_tokens": None, "max_completion_tokens": 1024, "temperature": None}
    chat = make_chat("o9", {"base_url": mock.url, "extra_body": json.dumps(extra)})
    ask(chat, max_tokens=16)
    last = mock.stats()["last"]
    assert last["max_completion_tokens"] == 1024
    assert not {"max_tokens", "temperature", "logprobs", "response_format", "n"} & set(last)


# --- audio -------------------------------------------------------------------------------------------


def hear(chat: OpenAIChat, audio: Audio) -> ChatReply:
    async def go() -> ChatReply:
        try:
            return await chat.chat(ChatRequest((("user", ("rate", audio)),)))
        finally:
            await chat.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"max_audio_seconds": "0.9"}, "audio-too-long"),
        ({"max_audio_mb": "0.01"}, "audio-too-large"),
        ({"max_audio_mb": "0.031"}, "audio-too-large"),  # as base64 in the request
        ({"audio_formats": "mp3"}, "audio-format"),
    ],
)
def test_audio_beyond_the_limits_is_never_sent(mock: MockServer, options: dict[str, str], kind: str) -> None:
    before = mock.requests()
    with pytest.raises(RunnerError) as caught:
        hear(judge(mock, options), Audio(data=tone_wav(1.0)))
    assert (caught.value.kind, caught.value.retryable) == (kind, False)
    assert mock.requests() == before


REFUSED_AUDIO = [
    (413, "", "audio-too-large"),
    (400, "The audio is too long, at most 30 seconds are allowed", "audio-too-long"),
    (400, "Audio file exceeds 25 MB", "audio-too-large"),
    (400, "Invalid audio: can't be decoded", "audio-format"),
    (400, "Unsupported format: flac", "audio-format"),
    (400, "This model does not support audio input", "no-ears"),
    (400, "Invalid value: 'input_audio'. Supported values are: 'text' and 'image_url'", "no-ears"),
    (400, "top_p is odd", "http-400"),
]


@pytest.mark.parametrize(("status", "message", "kind"), REFUSED_AUDIO)
def test_what_an_endpoint_says_of_audio_has_its_code(
    mock: MockServer, status: int, message: str, kind: str
) -> None:
    with pytest.raises(RunnerError) as caught:
        hear(judge(mock, status=status, message=message), Audio(data=tone_wav(0.1)))
    assert (caught.value.kind, caught.value.retryable) == (kind, False) and message in caught.value.message
    if status == 400:
        assert fault(judge(mock, status=status, message=message)).kind == "http-400"


def test_audio_is_sent_whole_and_a_conversion_is_told(mock: MockServer) -> None:
    [sent] = hear(judge(mock), Audio(data=tone_wav(1.0))).sent
    assert (sent.seconds, sent.format, sent.converted, sent.truncated) == (1.0, "wav", False, False)
    [sent] = hear(judge(mock, {"sample_rate": "8000"}), Audio(data=tone_wav(1.0))).sent
    assert (sent.sample_rate, sent.converted, sent.truncated) == (8000, True, False)
    part = mock.stats()["last"]["messages"][0]["content"][1]
    assert part["type"] == "input_audio" and part["input_audio"]["format"] == "wav"
    hear(judge(mock, {"audio_part": "audio_url"}), Audio(data=tone_wav(1.0)))
    assert mock.stats()["last"]["messages"][0]["content"][1]["type"] == "audio_url"


def test_identity_tells_what_is_not_as_usual(mock: MockServer) -> None:
    usual = make_chat("j", {"base_url": "http://h/v1"}).identity()
    assert usual == {"model": "j", "base_url": "http://h/v1", "extra_body": {}}
    odd = {"base_url": "http://h/v1", "sample_rate": "16000", "audio_formats": "wav", "top_logprobs": "5"}
    assert make_chat("j", odd).identity() == usual | {
        "sample_rate": 16000,
        "audio_formats": ("wav",),
        "top_logprobs": 5,
    }
    limited = make_chat("j", {"base_url": "http://h/v1", "max_audio_seconds": "60", "max_audio_mb": "20"})
    assert limited.identity() == usual  # they decide whether there is a reply, not which
