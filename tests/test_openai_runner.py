"""The OpenAI-compatible client against the mock server, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import socket
import time
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from evalkit.audio import encode_flac, encode_mp3, encode_wav, materialise
from evalkit.chat import ChatModel, ChatRequest
from evalkit.errors import RunnerError, UsageError
from evalkit.records import Audio, Modality, Response, Sample, Turn
from evalkit.runners.http_errors import retry_after
from evalkit.runners.openai import OpenAIChat, OpenAIRunner, make_chat
from evalkit.runners.openai import http as openai_http
from evalkit.runners.openai.http import split_url
from evalkit.runners.openai.reply import load, parse_reply
from evalkit.runners.openai.request import json_schema, tools_of
from evalkit.runners.spliced import mark, splice
from tests.mock_fixtures import PROXIES, MockServer, mock_server
from tests.mock_openai import tone_wav

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", *PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def mock() -> Any:
    with mock_server() as server:
        yield server


def sample(*parts: str | Audio, **more: Any) -> Sample:
    return Sample("s1", "bench/sub", (Turn("user", parts or ("hello",)),), **more)


def ask(runner: OpenAIRunner, question: Sample | None = None, modality: Modality = Modality.S2T) -> Response:
    async def go() -> Response:
        try:
            return await runner.generate(question or sample(), modality)
        finally:
            await runner.close()

    return asyncio.run(go())


def failing(mock: MockServer, **behaviour: Any) -> RunnerError:
    runner = OpenAIRunner("m", base_url=mock.url, timeout=2, extra_body={"mock": behaviour})
    with pytest.raises(RunnerError) as caught:
        ask(runner)
    assert KEY not in caught.value.message
    return caught.value


def encode_stereo(seconds: float) -> bytes:
    out = io.BytesIO()
    sf.write(out, np.zeros((int(seconds * 8000), 2), np.float32), 8000, format="WAV", subtype="PCM_24")
    return out.getvalue()


# What is sent


def test_a_wav_passes_unchanged_and_its_proof_is_kept(mock: MockServer) -> None:
    wav = tone_wav(3.0)
    audio = materialise(Audio(data=wav, origin="rows.parquet#row=3"))
    response = ask(OpenAIRunner("m", base_url=mock.url, temperature="0", seed="7"), sample("what?", audio))
    assert response.text == "I heard 3.0 s"
    assert [s.to_json() for s in response.sent] == [
        {"sha256": audio.sha256, "seconds": 3.0, "sample_rate": 16000, "truncated": False,
         "origin": "rows.parquet#row=3", "format": "wav"}
    ]  # fmt: skip
    last = mock.stats()["last"]
    assert last["messages"][0]["content"][0] == {"type": "text", "text": "what?"}
    part = last["messages"][0]["content"][1]["input_audio"]
    assert (part["format"], part["data"]["sha256"]) == ("wav", audio.sha256)
    assert (last["model"], last["temperature"], last["seed"]) == ("m", 0.0, 7)
    assert "max_tokens" not in last and "tools" not in last and "modalities" not in last
    assert response.meta == {"finish_reason": "stop", "model": "m-served"}
    assert response.usage["total_tokens"] == 40
    assert response.timing["generate"] > 0


@pytest.mark.parametrize("encode", [encode_flac, encode_wav, encode_mp3])
def test_other_containers_become_wav_at_their_own_rate(mock: MockServer, encode: Any) -> None:
    data = encode(np.sin(np.arange(44100 * 2) / 20).astype(np.float32) * 0.3, 44100)
    response = ask(OpenAIRunner("m", base_url=mock.url), sample(Audio(data=data)))
    part = mock.stats()["last"]["messages"][0]["content"][0]["input_audio"]
    assert response.sent[0].sample_rate == 44100
    assert response.sent[0].seconds == pytest.approx(2.0, abs=0.06)
    assert response.sent[0].sha256 == Audio(data=data).digest()
    if encode is encode_flac:
        assert part["format"] == "wav"
        assert response.text == "I heard 2.0 s"
        assert part["data"]["bytes"] == 44 + 2 * 2 * 44100
    else:
        assert part["format"] == ("mp3" if encode is encode_mp3 else "wav")
        assert part["data"]["sha256"] == response.sent[0].sha256


def test_cutting_and_resampling_are_recorded(mock: MockServer) -> None:
    audio = Audio(data=tone_wav(3.0))
    response = ask(OpenAIRunner("m", base_url=mock.url, max_seconds="1.5", sample_rate="8000"), sample(audio))
    assert response.text == "I heard 1.5 s"
    sent = response.sent[0]
    assert (sent.seconds, sent.sample_rate, sent.truncated) == (1.5, 8000, True)
    stereo = encode_stereo(3.0)
    whole = ask(OpenAIRunner("m", base_url=mock.url, max_seconds="3"), sample(Audio(data=stereo))).sent[0]
    assert not whole.truncated
    part = mock.stats()["last"]["messages"][0]["content"][0]["input_audio"]
    assert part["data"]["sha256"] == whole.sha256


def test_audio_url_parts_and_message_order(mock: MockServer) -> None:
    turns = (
        Turn("system", ("be kind",)),
        Turn("user", (Audio(data=tone_wav(1.0)), "and?")),
        Turn("assistant", ("one second",)),
        Turn("user", (Audio(data=tone_wav(2.0)),)),
    )
    runner = OpenAIRunner("m", base_url=mock.url, audio_part="audio_url", system="be short")
    response = ask(runner, Sample("s", "t/t", turns))
    assert response.text == "I heard 1.0 s and 2.0 s"
    assert [s.seconds for s in response.sent] == [1.0, 2.0]
    messages = mock.stats()["last"]["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"] == "be short\n\nbe kind"
    assert [p["type"] for p in messages[1]["content"]] == ["audio_url", "text"]
    assert messages[2]["content"] == "one second"


def test_splicing_survives_hostile_text() -> None:
    texts = ["@audio-0@", '"}]', "\ud800 lone", "\u2028 ünï ❤", mark(0)[:-2]]
    body = splice({"t": texts, "a": mark(0), "b": "data:x;base64," + mark(1)}, [b"\x00\xff" * 9, b"y"])
    back = json.loads(body)
    assert back["t"] == texts
    assert base64.b64decode(back["a"]) == b"\x00\xff" * 9
    assert back["b"] == "data:x;base64," + base64.b64encode(b"y").decode()


def test_broken_audio_is_an_error_of_this_sample(mock: MockServer) -> None:
    before = mock.requests()
    for audio in (Audio(data=b"RIFF garbage"), Audio(path="no/such.wav"), Audio(data=tone_wav(1.0)[:9000])):
        with pytest.raises(RunnerError) as caught:
            ask(OpenAIRunner("m", base_url=mock.url), sample(audio))
        assert (caught.value.kind, caught.value.retryable, caught.value.fatal) == ("bad-audio", False, False)
    assert mock.requests() == before


def test_headers_are_few_and_carry_the_key(mock: MockServer) -> None:
    ask(OpenAIRunner("m", base_url=mock.url))
    headers = mock.stats()["last_headers"]
    assert set(headers) == {"host", "user-agent", "authorization", "content-type", "content-length"}
    assert headers["authorization"] == f"Bearer {KEY}"


def test_connections_are_kept_and_limited() -> None:
    with mock_server(latency=0.02) as server:
        runner = OpenAIRunner("m", base_url=server.url, concurrency=4)

        async def many() -> None:
            await asyncio.gather(*(runner.generate(sample(str(i)), Modality.T2T) for i in range(40)))
            await runner.close()

        asyncio.run(many())
        stats = server.stats()
    assert stats["most_in_flight"] == 4
    assert stats["connections"] <= 5  # one more for /stats
    assert stats["requests"] == 40


def test_waiting_for_a_turn_does_not_count_as_time_out(mock: MockServer) -> None:
    body = {"mock": {"latency": 0.15}}
    runner = OpenAIRunner("m", base_url=mock.url, concurrency=1, timeout=0.6, extra_body=body)

    async def many() -> list[Response]:
        try:
            return await asyncio.gather(*(runner.generate(sample(str(i)), Modality.T2T) for i in range(5)))
        finally:
            await runner.close()

    assert len(asyncio.run(many())) == 5


def test_one_runner_works_in_a_second_event_loop(mock: MockServer) -> None:
    runner = OpenAIRunner("m", base_url=mock.url)
    for _ in range(2):
        assert asyncio.run(runner.generate(sample(), Modality.T2T)).text == "I heard nothing"


def test_a_proxy_from_the_environment_is_used(mock: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{mock.port}")
    response = ask(OpenAIRunner("m", base_url="http://models.invalid/v1"))
    assert response.text == "I heard nothing"
    assert mock.stats()["last_headers"]["host"] == "models.invalid"
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    with pytest.raises(RunnerError, match="can't reach"):
        ask(OpenAIRunner("m", base_url="http://models.invalid/v1"))


def test_an_unusable_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:70")
    with pytest.raises(RunnerError, match="proxy") as caught:
        ask(OpenAIRunner("m", base_url="http://models.invalid/v1"))
    assert caught.value.fatal


def test_a_login_in_the_url_is_sent_and_never_shown(mock: MockServer) -> None:
    url = mock.url.replace("//", "//me:hush%2Fhush@")
    ask(OpenAIRunner("m", base_url=url))
    token = base64.b64encode(b"me:hush/hush").decode()
    assert mock.stats()["last_headers"]["authorization"] == f"Basic {token}"
    runner = OpenAIRunner("m", base_url=url, extra_body={"mock": {"status": 500, "message": "hush/hush"}})
    with pytest.raises(RunnerError) as caught:
        ask(runner)
    assert "hush" not in caught.value.message


# Tools


def test_tools_go_out_and_calls_come_back_as_given(mock: MockServer) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    tool = {"name": "math.add", "description": "adds", "parameters": {"type": "dict", "properties": {}}}
    runner = OpenAIRunner("m", base_url=mock.url, extra_body=json.dumps({"mock": {"tool_calls": [call]}}))
    response = ask(runner, sample("add", tools=(tool,)))
    assert response.tool_calls == (call,)
    assert response.text == ""
    sent = mock.stats()["last"]["tools"]
    assert sent == [
        {"type": "function", "function": {**tool, "parameters": {"type": "object", "properties": {}}}}
    ]


def test_tool_names_and_types() -> None:
    tool = {"type": "function", "function": {"name": "a.b", "parameters": {"type": "dict"}}}
    made, renamed = tools_of([tool], strict_names=True)
    assert (made[0]["function"]["name"], renamed) == ("a_b", {"a_b": "a.b"})
    assert tools_of([tool], strict_names=False)[1] == {}
    names = ["a.b", "a_b", "a-b", "浇花", "开灯", "x" * 70, "x" * 71, ""]
    made, renamed = tools_of([{"name": n} for n in names], strict_names=True)
    sent = [m["function"]["name"] for m in made]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", s) for s in sent[:-1]) and len(set(sent)) == len(names)
    assert [renamed.get(s, s) for s in sent] == names and sent[1:3] == names[1:3]
    nested = {"type": {"type": "float"}, "l": {"type": "array", "items": {"type": "tuple"}}}
    schema = {"type": "dict", "properties": nested, "default": {"type": "dict"}}
    assert json_schema(schema) == {
        "type": "object",
        "properties": {"type": {"type": "number"}, "l": {"type": "array", "items": {"type": "array"}}},
        "default": {"type": "dict"},
    }


# What comes back


def test_speech_comes_back_with_its_words(mock: MockServer) -> None:
    body = {"mock": {"speak": 1.25, "content_null": True, "texts": ["spoken words"]}}
    response = ask(
        OpenAIRunner("m", base_url=mock.url, voice="echo", extra_body=body), sample(), Modality.S2S
    )
    assert response.text == "spoken words"
    assert response.audio is not None
    assert (response.audio.seconds, response.audio.sample_rate, response.audio.format) == (1.25, 16000, "wav")
    assert response.audio.read() == tone_wav(1.25)
    assert response.audio.sha256 == Audio(data=tone_wav(1.25)).digest()
    last = mock.stats()["last"]
    assert last["modalities"] == ["text", "audio"]
    assert last["audio"] == {"voice": "echo", "format": "wav"}


_TONE = base64.b64encode(tone_wav(0.1)).decode()


@pytest.mark.parametrize(
    "data",
    ["!!!! not base64 ????", "AAAA", base64.b64encode(tone_wav(1.0)[:500]).decode(), "é", "A", "!" + _TONE],
)
def test_garbage_speech_is_a_bad_reply(mock: MockServer, data: str) -> None:
    error = failing(mock, audio_data=data)
    assert (error.kind, error.retryable, error.fatal) == ("bad-reply", True, False)


def test_speech_in_odd_but_readable_spellings() -> None:
    wav = tone_wav(0.5)
    text = base64.b64encode(wav).decode()
    lines = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    for data in (lines, "data:audio/wav;base64," + text, text.rstrip("=")):
        reply = json.dumps({"choices": [{"message": {"content": None, "audio": {"data": data}}}]})
        audio = parse_reply(reply.encode()).choices[0].audio
        assert audio is not None and audio.read() == wav
    raw = json.dumps(
        {"choices": [{"message": {"audio": {"data": base64.b64encode(b"\x01\x00" * 24000).decode()}}}]}
    )
    pcm = parse_reply(raw.encode(), "pcm16").choices[0].audio
    assert pcm is not None and (pcm.seconds, pcm.sample_rate) == (1.0, 24000)


def test_a_reply_cut_at_its_length_says_so(mock: MockServer) -> None:
    runner = OpenAIRunner("m", base_url=mock.url, extra_body={"mock": {"finish_reason": "length"}})
    assert ask(runner).meta["truncated"] is True


def test_lone_surrogates_are_replaced_and_counted(mock: MockServer) -> None:
    texts = ["a\ud800b\udc00 \U0001f600"]
    call = {"function": {"name": "f", "arguments": "\udfff"}}
    runner = OpenAIRunner("m", base_url=mock.url, extra_body={"mock": {"texts": texts}})
    response = ask(runner)
    assert response.text == "a\ufffdb\ufffd \U0001f600"
    assert response.meta["surrogates"] == 2
    json.dumps(response.to_json(), ensure_ascii=False).encode()
    runner = OpenAIRunner("m", base_url=mock.url, extra_body={"mock": {"tool_calls": [call]}})
    assert ask(runner).tool_calls[0]["function"]["arguments"] == "\ufffd"


def test_surrogates_in_a_prompt_reach_the_server(mock: MockServer) -> None:
    response = ask(OpenAIRunner("echo", base_url=mock.url), sample("x\ud800y"))
    assert response.text == "x\ufffdy"


def test_bytes_that_are_no_utf8_and_numbers_that_are_no_json() -> None:
    reply = parse_reply(b'{"choices":[{"message":{"content":"a\xffb"}}],"usage":{"t":NaN,"u":1}}')
    assert reply.choices[0].text == "a\ufffdb"
    assert reply.usage == {"u": 1}
    assert load(b"[" * 200_000) == (None, 0)
    assert load(b"9" * 10_000) == (None, 0)


def test_content_as_parts_refusals_and_null() -> None:
    def text(**message: Any) -> str:
        return parse_reply(json.dumps({"choices": [{"message": message}]}).encode()).choices[0].text

    assert text(content=[{"type": "text", "text": "a"}, {"type": "x"}, {"type": "text", "text": "b"}]) == "ab"
    assert text(content=None, refusal="I can't") == "I can't"
    assert text(content=None) == ""
    with pytest.raises(RunnerError, match="no text"):
        text(content=3)


# Errors


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_passing_trouble_is_retryable(mock: MockServer, status: int) -> None:
    error = failing(mock, status=status, message="overloaded", headers={"Retry-After": "1.5"})
    assert (error.kind, error.retryable, error.fatal) == (f"http-{status}", True, False)
    assert error.retry_after == 1.5
    assert "overloaded" in error.message


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_other_client_errors_concern_one_sample(mock: MockServer, status: int) -> None:
    error = failing(mock, status=status, message="audio too long")
    assert (error.kind, error.retryable, error.fatal) == (f"http-{status}", False, False)
    assert "audio too long" in error.message


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_stops_the_run_and_is_not_shown(mock: MockServer, status: int) -> None:
    error = failing(mock, status=status, message="Incorrect API key provided: {key}. Bearer {key}")
    assert (error.retryable, error.fatal) == (False, True)
    assert "OPENAI_API_KEY" in error.message and f"HTTP {status}" in error.message
    assert "[key]" in error.message


def test_a_missing_key_is_named(mock: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    error = failing(mock, api_key="something")
    assert error.fatal
    assert "OPENAI_API_KEY is not set" in error.message
    assert "authorization" not in mock.stats()["last_headers"]


def test_the_key_is_taken_out_of_everything(mock: MockServer) -> None:
    assert "[key]" in failing(mock, status=500, message="header was {key}").message
    assert "[key]" in failing(mock, raw=f"<html>Authorization: {KEY}</html>").message
    assert "[key]" in failing(mock, status=302, headers={"Location": f"http://x/{KEY}"}).message
    response = ask(OpenAIRunner("echo", base_url=mock.url), sample(f"my key is {KEY}"))
    assert response.text == "my key is [key]"


def test_a_wrong_url_stops_the_run_with_a_hint(mock: MockServer) -> None:
    runner = OpenAIRunner("m", base_url=mock.url.removesuffix("/v1"))
    with pytest.raises(RunnerError) as caught:
        ask(runner)
    assert caught.value.fatal and not caught.value.retryable
    assert "base_url" in caught.value.message and "'m'" in caught.value.message
    moved = failing(mock, status=307, headers={"Location": "https://user:pw@other/v1?token=abc"})
    assert moved.fatal
    assert "https://other/v1" in moved.message and "pw" not in moved.message and "abc" not in moved.message


def test_a_spent_quota_stops_the_run(mock: MockServer) -> None:
    raw = json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
    error = failing(mock, status=429, raw=raw)
    assert (error.kind, error.retryable, error.fatal) == ("quota", False, True)


NO_COMPLETIONS = [
    "<html>hello</html>",
    "",
    "[]",
    "null",
    "{}",
    '{"choices": []}',
    '{"choices": 3}',
    '{"choices": [{}]}',
    '{"choices": [{"message": "x"}]}',
    '{"error": {"message": "oops"}}',
]


@pytest.mark.parametrize("raw", NO_COMPLETIONS)
def test_replies_that_are_no_completion(mock: MockServer, raw: str) -> None:
    error = failing(mock, raw=raw)
    assert (error.kind, error.retryable, error.fatal) == ("bad-reply", True, False)
    if "oops" in raw:
        assert "oops" in error.message


def test_the_content_filter_is_no_answer(mock: MockServer) -> None:
    error = failing(mock, finish_reason="content_filter")
    assert (error.kind, error.retryable, error.fatal) == ("content-filter", False, False)


@pytest.mark.parametrize("drop", ["before", "midway"])
def test_a_lost_connection_is_retryable(mock: MockServer, drop: str) -> None:
    error = failing(mock, drop=drop)
    assert (error.kind, error.retryable, error.fatal) == ("connection-lost", True, False)


def test_a_slow_reply_times_out(mock: MockServer) -> None:
    runner = OpenAIRunner("m", base_url=mock.url, timeout="0.2", extra_body={"mock": {"latency": 5}})
    start = time.monotonic()
    with pytest.raises(RunnerError) as caught:
        ask(runner)
    assert time.monotonic() - start < 2
    assert (caught.value.kind, caught.value.retryable) == ("timeout", True)
    assert "0.2 s" in caught.value.message


def test_a_huge_reply_is_refused(mock: MockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "MAX_REPLY_BYTES", 1 << 20)
    error = failing(mock, pad=3 << 20)
    assert (error.kind, error.retryable) == ("reply-too-large", False)
    assert failing(mock, status=500, pad=3 << 20).kind == "http-500"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "connection refused"), ("no-such-host.invalid", "the host name is unknown")],
)
def test_an_endpoint_that_was_never_reached_stops_the_run(host: str, reason: str) -> None:
    runner = OpenAIRunner("m", base_url=f"http://{host}:{free_port()}/v1")
    with pytest.raises(RunnerError) as caught:
        ask(runner)
    assert (caught.value.kind, caught.value.retryable, caught.value.fatal) == ("unreachable", True, True)
    assert caught.value.message.startswith(f"can't reach http://{host}:")
    assert f"{reason}. Is the server running? Check -M base_url" in caught.value.message


def test_an_endpoint_that_went_away_is_waited_for() -> None:
    with mock_server() as server:
        runner = OpenAIRunner("m", base_url=server.url)
        ask(runner)
    with pytest.raises(RunnerError) as caught:
        ask(runner)
    assert (caught.value.kind, caught.value.retryable, caught.value.fatal) == ("unreachable", True, False)


def test_https_to_a_plain_server_is_explained(mock: MockServer) -> None:
    runner = OpenAIRunner("m", base_url=mock.url.replace("http:", "https:"), timeout=3)
    with pytest.raises(RunnerError) as caught:
        ask(runner)
    assert (caught.value.kind, caught.value.fatal) == ("unreachable", True)
    assert "no TLS there" in caught.value.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "-3"}, 0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_as_a_date_without_a_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        date = formatdate(time.time() + 30)  # ends in -0000: UTC, zone unknown
        assert retry_after({"retry-after": date}) == pytest.approx(30, abs=2)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_retry_after_as_a_date(mock: MockServer) -> None:
    error = failing(mock, status=429, headers={"Retry-After": formatdate(time.time() + 30, usegmt=True)})
    assert error.retry_after == pytest.approx(30, abs=2)


def test_a_rate_limit_that_passes(mock: MockServer) -> None:
    body = {"mock": {"status": 429, "fail_first": 2, "headers": {"Retry-After": "1"}}}
    runner = OpenAIRunner("m", base_url=mock.url, extra_body=body)
    kinds = []
    for _ in range(3):
        try:
            kinds.append(ask(runner, sample("limited")).text)
        except RunnerError as exc:
            kinds.append(exc.kind)
    assert kinds == ["http-429", "http-429", "I heard nothing"]


def test_rules_fail_by_prompt_and_by_audio() -> None:
    wav = tone_wav(1.0)
    rules = [
        {"match": "bad", "set": {"status": 500}},
        {"match": Audio(data=wav).digest(), "set": {"status": 503}},
    ]
    with mock_server(rules=rules) as server:
        kinds = []
        for question in (sample("good"), sample("bad"), sample(Audio(data=wav))):
            try:
                kinds.append(ask(OpenAIRunner("m", base_url=server.url), question).text)
            except RunnerError as exc:
                kinds.append(exc.kind)
        assert kinds == ["I heard nothing", "http-500", "http-503"]
        assert server.stats()["by_status"] == {"200": 1, "500": 1, "503": 1}


# Options and identity


def test_identity_holds_what_decides_the_answers_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = OpenAIRunner(
        "m",
        base_url="http://user:hush@host:8000/v1/?token=hush2",
        temperature="0.5",
        max_tokens="64",
        system="be short",
        extra_body='{"top_k": 1, "api_key": "hush3"}',
    )
    found = json.dumps(runner.identity())
    assert "hush" not in found and KEY not in found
    identity = runner.identity()
    assert identity["base_url"] == "http://host:8000/v1"
    assert identity["decoding"] == {"temperature": 0.5, "max_tokens": 64}
    assert identity["extra_body"]["top_k"] == 1
    assert identity != OpenAIRunner("m", base_url="http://host:8000/v1").identity()
    assert OpenAIRunner("m", base_url="http://h/v1", concurrency="3").concurrency == 3


def test_whatever_is_secret_in_address_and_body_is_taken_out_of_what_a_server_says_back() -> None:
    """Proxies show the path they were asked for, with its query; servers quote a request that they don't take."""
    body = '{"api_key": "in-the-body-1", "nested": [{"auth_token": "in-the-body-2"}], "min_tokens": 12345678}'
    login = "http://somebody:pass%2Fword-1@host/v1?code=in-the-query-1&api-version=2024-08-01-preview"
    endpoint = OpenAIRunner("m", base_url=login, extra_body=body).endpoint
    said = "in-the-body-1 in-the-body-2 pass%2Fword-1 pass/word-1 in-the-query-1 c29tZWJvZHk6cGFzcy93b3JkLTE="
    assert endpoint.redact(said) == "[key] [key] [key] [key] [key] [key]"
    assert endpoint.redact("12345678 2024-08-01-preview") == "12345678 2024-08-01-preview"
    assert (
        OpenAIRunner("m", base_url="http://a-token-alone@host/v1").endpoint.redact("a-token-alone") == "[key]"
    )
    kept = OpenAIRunner("m", base_url=login, extra_body=body).identity()["extra_body"]
    assert kept == {"api_key": "[hidden]", "nested": [{"auth_token": "[hidden]"}], "min_tokens": 12345678}


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("concurency", "3", "known: api_key_env, audio_format"),
        ("concurrency", "0", "whole number"),
        ("concurrency", "1.5", "whole number"),
        ("temperature", "warm", "number"),
        ("temperature", "nan", "number"),
        ("timeout", "0", "above 0"),
        ("max_tokens", "-1", "whole number"),
        ("audio_part", "audio", "input_audio, audio_url"),
        ("extra_body", "{top_k: 1}", "not JSON"),
        ("extra_body", "[1]", "JSON object"),
        ("extra_body", '{"stream": true}', "can't set stream"),
        ("base_url", "localhost:8000/v1", "http://host:port/v1"),
        ("base_url", "http://host:port/v1", "http://host:port/v1"),
        ("base_url", "", "empty"),
    ],
)
def test_unusable_options_are_usage_errors(option: str, value: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        OpenAIRunner("m", **{"base_url": "http://h/v1", option: value})


def test_keys_and_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://from-env:1/v1")
    assert OpenAIRunner("m").identity()["base_url"] == "http://from-env:1/v1"
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert OpenAIRunner("m").identity()["base_url"] == "https://api.openai.com/v1"
    monkeypatch.delenv("OPENAI_API_KEY")
    OpenAIRunner("m", base_url="http://localhost:8000/v1")
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        OpenAIRunner("m")
    monkeypatch.setenv("OTHER_KEY", "two words")
    with pytest.raises(UsageError, match="OTHER_KEY") as caught:
        OpenAIRunner("m", api_key_env="OTHER_KEY")
    assert "two words" not in str(caught.value)
    with pytest.raises(UsageError, match="which model"):
        OpenAIRunner("", base_url="http://h/v1")


def test_split_url() -> None:
    assert split_url("https://h/v1/") == ("https://h/v1", "https://h/v1/chat/completions", "")
    assert split_url("https://u:p@h:1/v1?a=b") == (
        "https://h:1/v1",
        "https://h:1/v1/chat/completions?a=b",
        "u:p",
    )
    assert split_url("http://[::1]:8/v1/chat/completions")[1] == "http://[::1]:8/v1/chat/completions"


# As a judge


def vote(chat: OpenAIChat, **request: Any) -> Any:
    async def go() -> Any:
        try:
            return await chat.chat(ChatRequest((("system", "judge"), ("user", "rate it")), **request))
        finally:
            await chat.close()

    return asyncio.run(go())


def test_a_judge_gets_its_votes_in_one_request(mock: MockServer) -> None:
    chat = make_chat("j", {"base_url": mock.url, "extra_body": '{"mock": {"texts": ["5", "4", "3"]}}'})
    assert isinstance(chat, ChatModel)
    assert (chat.label, chat.meaningful) == ("j", True)
    before = mock.requests()
    reply = vote(chat, n=3, temperature=0.5, top_p=0.95, max_tokens=8)
    assert reply.texts == ("5", "4", "3")
    assert reply.model == "j-served"
    assert mock.requests() == before + 1
    last = mock.stats()["last"]
    assert last["messages"] == [
        {"role": "system", "content": "judge"},
        {"role": "user", "content": "rate it"},
    ]
    assert (last["n"], last["temperature"], last["top_p"], last["max_tokens"]) == (3, 0.5, 0.95, 8)
    assert "seed" not in last


def test_votes_a_server_leaves_out_are_asked_for_one_by_one(mock: MockServer) -> None:
    chat = make_chat("j", {"base_url": mock.url, "extra_body": {"mock": {"max_choices": 1, "texts": ["5"]}}})
    before = mock.requests()
    reply = vote(chat, n=3, seed=10)
    assert reply.texts == ("5", "5", "5")
    assert mock.requests() == before + 3
    assert mock.stats()["last"]["seed"] == 12
    assert "n" not in mock.stats()["last"]
    assert reply.usage["total_tokens"] == 45


def test_more_votes_than_asked_for_are_cut(mock: MockServer) -> None:
    body = {"mock": {"min_choices": 4, "texts": ["1", "2", "3", "4"]}}
    assert vote(make_chat("j", {"base_url": mock.url, "extra_body": body}), n=2).texts == ("1", "2")


def test_a_server_that_refuses_n_is_asked_one_by_one() -> None:
    with mock_server(refuse_n=True, texts=["yes"]) as server:
        chat = make_chat("j", {"base_url": server.url})
        assert vote(chat, n=2).texts == ("yes", "yes")
        assert vote(chat, n=2).texts == ("yes", "yes")
        assert server.stats()["by_status"] == {"400": 1, "200": 4}


def test_a_judge_that_always_refuses_gives_the_error(mock: MockServer) -> None:
    chat = make_chat("j", {"base_url": mock.url, "extra_body": {"mock": {"status": 400}}})
    with pytest.raises(RunnerError) as caught:
        vote(chat, n=3)
    assert caught.value.kind == "http-400"
    before = mock.requests()
    well = {"mock": {"status": 400, "fail_first": 2}}
    chat = make_chat("j", {"base_url": mock.url, "extra_body": well})
    with pytest.raises(RunnerError):
        vote(chat, n=2, max_tokens=77)  # the bodies with n=2 and n=1 both fail twice
    with pytest.raises(RunnerError):
        vote(chat, n=2, max_tokens=77)
    assert vote(chat, n=2, max_tokens=77).texts == ("I heard nothing",) * 2
    assert mock.requests() == before + 5  # so n=2 was not given up for an unrelated refusal


def test_a_judge_has_no_decoding_options() -> None:
    known = "known: api_key_env, audio_formats, audio_part, base_url, concurrency, extra_body, max_audio_mb"
    with pytest.raises(UsageError, match=known):
        make_chat("j", {"base_url": "http://h/v1", "temperature": "1"})
