"""The Gemini client against a fake of its API: what goes out, what comes back, and every way to fail."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from evalkit.audio import encode_flac
from evalkit.chat import Abilities, ChatReply, ChatRequest
from evalkit.errors import RunnerError, UsageError
from evalkit.records import Audio, Modality, Sample, Turn
from evalkit.runners.gemini import GeminiChat, GeminiRunner, make_chat
from evalkit.runners.gemini import client as gemini_client
from evalkit.runners.gemini import http as gemini_http
from evalkit.runners.gemini.reply import parse_reply, usage_of
from evalkit.runners.gemini.request import openapi
from tests.mock_fixtures import PROXIES
from tests.mock_gemini import KEY, FakeGemini
from tests.mock_openai import tone_wav

WAV = tone_wav(0.2)
SHA = hashlib.sha256(WAV).hexdigest()
ASKED = ChatRequest((("user", ("Rate this.", Audio(data=WAV))),), temperature=None)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setattr(gemini_http, "POLL_SECONDS", 0.01)


def chat(fake: FakeGemini, request: ChatRequest = ASKED, **options: Any) -> ChatReply:
    async def go() -> ChatReply:
        model = make_chat("x", {"base_url": fake.url, **options})
        try:
            return await model.chat(request)
        finally:
            await model.close()

    return asyncio.run(go())


def failed(fake: FakeGemini, request: ChatRequest = ASKED, **options: Any) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        chat(fake, request, **options)
    assert KEY not in caught.value.message and "\n" not in caught.value.message
    return caught.value


# --- what goes out ----------------------------------------------------------------------------------


def test_the_public_call() -> None:
    """VStyle sheet section 3: prompt first, then the audio; no system instruction, no generation config."""
    with FakeGemini(texts=["Final score: [[4]]"]) as fake:
        reply = chat(fake)
    assert reply.texts == ("Final score: [[4]]",) and reply.finish == ("stop",) and reply.model == "x-001"
    [body] = fake.asked
    assert set(body) == {"contents"}
    [content] = body["contents"]
    assert content["role"] == "user" and [sorted(p) for p in content["parts"]] == [["text"], ["inlineData"]]
    assert content["parts"][1]["inlineData"]["mimeType"] == "audio/wav" and fake.heard == [[SHA]]
    assert fake.headers[0]["x-goog-api-key"] == KEY and KEY not in fake.paths[0]
    assert "authorization" not in fake.headers[0]
    [sent] = reply.sent
    assert (sent.sha256, sent.format, sent.converted) == (SHA, "wav", False)


def test_settings_roles_and_the_order_of_parts() -> None:
    request = ChatRequest(
        (("system", "Be strict."), ("user", ("a", Audio(data=WAV), "b")), ("assistant", "ok"), ("user", "c")),
        **{"temperature": 0.0, "top_p": 0.5, "max_tokens": 9, "seed": 7},
    )
    extra = '{"generationConfig": {"thinkingConfig": {"thinkingBudget": 128}, "topP": null}, "safetySettings": []}'
    with FakeGemini() as fake:
        chat(fake, request, extra_body=extra)
    [body] = fake.asked
    assert body["generationConfig"] == {
        "temperature": 0.0, "maxOutputTokens": 9, "seed": 7, "thinkingConfig": {"thinkingBudget": 128},
    }  # fmt: skip
    assert body["systemInstruction"] == {"parts": [{"text": "Be strict."}]} and body["safetySettings"] == []
    assert [c["role"] for c in body["contents"]] == ["user", "model", "user"]
    assert [next(iter(p)) for p in body["contents"][0]["parts"]] == ["text", "inlineData", "text"]


def test_usage_counts_thoughts_as_output() -> None:
    with FakeGemini() as fake:
        reply = chat(fake)
    assert reply.usage == {
        "prompt_tokens": 100, "completion_tokens": 27, "total_tokens": 127, "reasoning_tokens": 20,
        "audio_tokens": 64,
    }  # fmt: skip
    assert usage_of({"promptTokenCount": 5, "cachedContentTokenCount": 4, "candidatesTokenCount": "x"}) == {
        "prompt_tokens": 5,
        "cached_tokens": 4,
    }
    assert usage_of(None) == usage_of([]) == {}


@pytest.mark.parametrize(("most", "requests"), [(8, 2), (1, 11)])
def test_votes_are_candidates_or_single_requests(most: int, requests: int) -> None:
    """Ten votes: eight and two at once, or one by one after a refusal, each with a seed of its own."""
    request = replace(ASKED, n=10, seed=5)
    with FakeGemini(most_candidates=most, texts=["[[4]]"]) as fake:
        reply = chat(fake, request)
    assert len(reply.texts) == len(reply.finish) == 10 and len(fake.asked) == requests
    seeds = [b["generationConfig"]["seed"] for b in fake.asked]
    assert seeds == ([5, 13] if most > 1 else [5, *range(5, 15)])
    assert reply.usage["prompt_tokens"] == (200 if most > 1 else 1000)


def test_fewer_candidates_than_asked_for_are_filled_up() -> None:
    with FakeGemini(most_candidates=8, script=[{"candidates": 2, "text": "a"}], texts=["b"]) as fake:
        reply = chat(fake, replace(ASKED, n=4))
    assert reply.texts == ("a", "a", "b", "b") and len(fake.asked) == 3


# --- audio ------------------------------------------------------------------------------------------


def test_audio_goes_through_the_file_api_and_is_deleted() -> None:
    two = ChatRequest((("user", ("Rate.", Audio(data=WAV), Audio(data=tone_wav(0.3)))),), None)
    with FakeGemini(file_state=("PROCESSING", "PROCESSING", "ACTIVE")) as fake:
        reply = chat(fake, two, upload="always")
    assert reply.texts == ("[[3]]",) and fake.heard == [[SHA, hashlib.sha256(tone_wav(0.3)).hexdigest()]]
    parts = fake.asked[0]["contents"][0]["parts"]
    assert [next(iter(p)) for p in parts] == ["text", "fileData", "fileData"]
    assert fake.files == {} and len(fake.deleted) == 2
    assert all(KEY not in p for p in fake.paths)


def test_large_audio_goes_up_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini_client, "INLINE_BYTES", 4 * len(WAV) // 3 + 400)
    with FakeGemini() as fake:
        chat(fake)
        monkeypatch.setattr(gemini_client, "INLINE_BYTES", len(WAV))
        chat(fake)
        error = failed(fake, upload="never")
    kinds = [next(iter(b["contents"][0]["parts"][1])) for b in fake.asked]
    assert kinds == ["inlineData", "fileData"] and len(fake.deleted) == 1
    assert error.kind == "audio-too-large" and "upload=never" in error.message and not error.retryable


def test_files_are_deleted_after_a_failure_too() -> None:
    with FakeGemini(script=[{"status": 503, "error": "overloaded"}]) as fake:
        assert failed(fake, upload="always").kind == "http-503"
        assert fake.files == {} and len(fake.deleted) == 1


def test_a_file_that_cannot_be_processed() -> None:
    with FakeGemini(file_state=("PROCESSING", "FAILED")) as fake:
        error = failed(fake, upload="always")
    assert (
        (error.kind, error.retryable) == ("bad-audio", False) and fake.asked == [] and len(fake.deleted) == 1
    )


def test_an_upload_that_is_not_finished() -> None:
    with FakeGemini(upload_status="active") as fake:
        error = failed(fake, upload="always")
    assert (error.kind, error.retryable) == ("bad-reply", True)


def test_a_file_that_never_gets_ready() -> None:
    with FakeGemini(file_state=("PROCESSING",)) as fake:
        error = failed(fake, upload="always", timeout="0.2")
    assert (error.kind, error.retryable) == ("timeout", True)


def test_conversions_are_on_record() -> None:
    import numpy as np

    flac = encode_flac(np.zeros(800, np.float32), 8000)
    request = ChatRequest((("user", ("x", Audio(data=flac))),), None)
    with FakeGemini() as fake:
        as_it_is, wav = chat(fake, request), chat(fake, request, audio_formats="wav")
        refused = failed(fake, request, audio_formats="mp3")
    digest = hashlib.sha256(flac).hexdigest()
    assert [(r.sent[0].format, r.sent[0].converted) for r in (as_it_is, wav)] == [
        ("flac", False),
        ("wav", True),
    ]
    assert as_it_is.sent[0].sha256 == wav.sent[0].sha256 == digest == fake.heard[0][0] != fake.heard[1][0]
    assert refused.kind == "audio-format" and len(fake.asked) == 2


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"max_audio_seconds": "0.1"}, "audio-too-long"),
        ({"max_audio_seconds": "0.35"}, "audio-too-long"),  # each fits, both together don't
        ({"max_audio_mb": "0.001"}, "audio-too-large"),
    ],
)
def test_limits_end_it_before_anything_is_sent(options: dict[str, str], kind: str) -> None:
    two = ChatRequest((("user", ("x", Audio(data=WAV), Audio(data=WAV))),), None)
    with FakeGemini() as fake:
        error = failed(fake, two, **options)
        assert (error.kind, error.retryable, error.fatal) == (kind, False, False)
        assert fake.paths == []


def test_audio_that_cannot_be_read() -> None:
    with FakeGemini() as fake:
        assert failed(fake, ChatRequest((("user", (Audio(data=b"no sound"),)),))).kind == "bad-audio"
        assert failed(fake, ChatRequest((("user", (Audio(path="/nowhere.wav"),)),))).kind == "bad-audio"
        assert fake.paths == []


# --- what comes back --------------------------------------------------------------------------------

RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}
DAILY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}],
}


@pytest.mark.parametrize(
    ("step", "kind", "retryable", "fatal"),
    [
        ({"block": "SAFETY"}, "content-filter", False, False),
        ({"block": "PROHIBITED_CONTENT"}, "content-filter", False, False),
        ({"finish": "SAFETY", "text": None}, "content-filter", False, False),
        ({"finish": "RECITATION", "text": "half of"}, "content-filter", False, False),
        ({"finish": "PROHIBITED_CONTENT", "text": None}, "content-filter", False, False),
        ({"candidates": 0}, "bad-reply", True, False),
        ({"finish": "OTHER", "text": None}, "bad-reply", True, False),
        ({"raw": "<html>gateway</html>"}, "bad-reply", True, False),
        ({"raw": '{"candidates": ['}, "bad-reply", True, False),
        ({"raw": "[]"}, "bad-reply", True, False),
        ({"raw": "[" * 100_000}, "bad-reply", True, False),
        ({"raw": '{"candidates": ["x"]}'}, "bad-reply", True, False),
        ({"status": 429, "error": "slow down"}, "http-429", True, False),
        ({"status": 429, "error": "spent", "details": (DAILY, RETRY)}, "quota", False, True),
        ({"status": 500, "error": "internal"}, "http-500", True, False),
        ({"status": 503, "error": "The model is overloaded."}, "http-503", True, False),
        ({"status": 403, "error": "no access"}, "http-403", False, True),
        ({"status": 403, "error": "no permission to access the File abc"}, "file-gone", True, False),
        ({"status": 404, "error": "models/x is not found"}, "http-404", False, True),
        ({"status": 400, "error": "Invalid value"}, "http-400", False, False),
        ({"status": 400, "error": "Unsupported MIME type: audio/amr"}, "audio-format", False, False),
        (
            {"status": 400, "error": "Request payload size exceeds the limit: 20971520 bytes."},
            "audio-too-large",
            False,
            False,
        ),
        (
            {"status": 400, "error": "The input token count (2000000) exceeds the maximum number of tokens allowed"},
            "audio-too-long",
            False,
            False,
        ),
        ({"status": 413, "raw": "<html>413</html>"}, "audio-too-large", False, False),
        ({"status": 302, "raw": "", "headers": (("Location", "https://elsewhere/"),)}, "http-302", False, True),
        ({"drop": True}, "connection-lost", True, False),
    ],
)  # fmt: skip
def test_failures(step: dict[str, Any], kind: str, retryable: bool, fatal: bool) -> None:
    with FakeGemini(script=[step]) as fake:
        error = failed(fake)
        assert (error.kind, error.retryable, error.fatal) == (kind, retryable, fatal), error.message
        assert chat(fake).texts == ("[[3]]",), "the next request is none the worse"


def test_the_api_says_how_long_to_wait() -> None:
    steps = [
        {"status": 429, "error": "x", "details": (RETRY,)},
        {"status": 429, "error": "x", "headers": (("Retry-After", "3"),)},
        {"status": 429, "error": "x", "details": ({**RETRY, "retryDelay": "soon"},)},
    ]
    with FakeGemini(script=steps) as fake:
        assert [failed(fake).retry_after for _ in steps] == [7.5, 3.0, None]


def test_a_reply_that_takes_too_long() -> None:
    with FakeGemini(script=[{"wait": 1.0}]) as fake:
        error = failed(fake, timeout="0.1")
    assert (error.kind, error.retryable) == ("timeout", True)


def test_replies_that_are_cut_off_or_empty_are_replies() -> None:
    steps = [
        {"finish": "MAX_TOKENS", "text": "Step one"},
        {"finish": "MAX_TOKENS", "text": None},
        {"text": ""},
    ]
    with FakeGemini(script=steps) as fake:
        replies = [chat(fake) for _ in steps]
    assert [(r.texts, r.finish) for r in replies] == [
        (("Step one",), ("length",)),
        (("",), ("length",)),
        (("",), ("stop",)),
    ]


def test_a_wrong_key_ends_the_run_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeGemini(key="another-key-0123456789") as fake:
        error = failed(fake)
        assert error.fatal and "rejected the API key in GEMINI_API_KEY" in error.message
        assert "[key]" in error.message
        monkeypatch.delenv("GEMINI_API_KEY")
        monkeypatch.setenv("GOOGLE_API_KEY", "another-key-0123456789")
        assert chat(fake).texts == ("[[3]]",)
        monkeypatch.delenv("GOOGLE_API_KEY")
        assert "is not set" in failed(fake).message


def test_nobody_there() -> None:
    with FakeGemini() as fake:
        url = fake.url
    with pytest.raises(RunnerError) as caught:
        asyncio.run(make_chat("x", {"base_url": url}).chat(ASKED))
    assert (caught.value.kind, caught.value.fatal) == ("unreachable", True)


# --- log-probabilities and schemas ------------------------------------------------------------------


def test_tokens_come_with_their_logarithms() -> None:
    with FakeGemini(tells_logprobs=True, texts=["42"]) as fake:
        reply = chat(fake, replace(ASKED, top_logprobs=2))
    assert fake.asked[0]["generationConfig"] == {"responseLogprobs": True, "logprobs": 2}
    [tokens] = reply.tokens
    assert [(t.text, t.logprob, t.top) for t in tokens] == [
        ("4", -0.5, (("4", 0.0), ("?", -2.5))),
        ("2", -0.5, (("2", 0.0), ("?", -2.5))),
    ]


@pytest.mark.parametrize("tells", [True, False])
def test_abilities_are_found_out_once(tells: bool) -> None:
    with FakeGemini(tells_logprobs=tells, texts=["1"]) as fake:

        async def go() -> list[Abilities]:
            model = make_chat("x", {"base_url": fake.url})
            found = await asyncio.gather(model.abilities(), model.abilities())
            await model.close()
            return found

        assert asyncio.run(go()) == [Abilities(logprobs=tells, schema=True)] * 2
        assert len(fake.asked) == 1
        if not tells:
            assert failed(fake, replace(ASKED, top_logprobs=2)).kind == "no-logprobs"


def test_an_endpoint_that_withholds_its_probe_tells_no_log_probabilities() -> None:
    with FakeGemini(tells_logprobs=True, script=[{"block": "SAFETY"}]) as fake:
        assert asyncio.run(make_chat("x", {"base_url": fake.url}).abilities()) == Abilities(schema=True)


def test_an_endpoint_that_fails_has_not_told_what_it_can_do() -> None:
    with FakeGemini(tells_logprobs=True, script=[{"status": 500, "error": "down"}]) as fake:

        async def go() -> Abilities:
            model = make_chat("x", {"base_url": fake.url})
            with pytest.raises(RunnerError) as caught:
                await model.abilities()
            assert caught.value.kind == "http-500"
            found = await model.abilities()
            await model.close()
            return found

        assert asyncio.run(go()).logprobs


SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "enum": [1, 2, 3]},
        "const": {"type": "string", "const": "x"},
    },
    "required": ["score"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("knows", [True, False])
def test_a_schema_in_the_field_the_api_knows(knows: bool) -> None:
    with FakeGemini(knows_json_schema=knows) as fake:
        chat(fake, replace(ASKED, schema=SCHEMA))
    config = fake.asked[-1]["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    if knows:
        assert config["responseJsonSchema"] == SCHEMA and len(fake.asked) == 1
    else:
        assert config["responseSchema"] == {
            "type": "OBJECT",
            "properties": {
                "score": {"type": "INTEGER", "minimum": 1, "maximum": 3},
                "const": {"type": "STRING", "enum": ["x"]},
            },
            "required": ["score"],
        }
    assert openapi([{"$schema": "s"}, {"type": ["null", "number"]}]) == [
        {},
        {"type": "NUMBER", "nullable": True},
    ]


def test_tokens_that_cannot_be_read_are_none() -> None:
    for result in (
        "x",
        {"chosenCandidates": 3},
        {"chosenCandidates": [3]},
        {"chosenCandidates": [{"token": 3}]},
    ):
        body = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "logprobsResult": result}]}
        [found] = parse_reply(json.dumps(body).encode()).candidates
        assert (found.text, found.tokens, found.finish) == ("a", (), "")


# --- options and the runner -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tempo": "1"}, "unknown option tempo for gemini"),
        ({"temperature": "1"}, "unknown option temperature"),
        ({"upload": "perhaps"}, "auto, always, never"),
        ({"extra_body": "{"}, "not JSON"),
        ({"extra_body": "[" * 100_000}, "not JSON"),
        ({"extra_body": '{"contents": []}'}, "can't set contents"),
        ({"extra_body": '{"generationConfig": 3}'}, "generationConfig must be"),
        ({"extra_body": '{"generationConfig": {"candidateCount": 2}}'}, "candidateCount"),
        ({"base_url": "ftp://x"}, "https://host/v1beta"),
        ({"base_url": f"https://x/v1beta?key={KEY}"}, "must not hold a key"),
        ({"base_url": "https://me:pw@x/v1beta"}, "must not hold a login"),
        ({"audio_formats": "exe"}, "audio_formats"),
    ],
)
def test_options_are_checked(options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        make_chat("x", options)
    assert KEY not in str(caught.value)


def test_a_model_and_a_key_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="which model"):
        make_chat(" ", {})
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(UsageError, match="GEMINI_API_KEY or GOOGLE_API_KEY is not set"):
        make_chat("x", {})
    with pytest.raises(UsageError, match="MY_KEY is not set"):
        make_chat("x", {"api_key_env": "MY_KEY"})


def test_identities_hold_what_decides_and_no_key() -> None:
    plain = make_chat("models/x", {})
    assert plain.label == "x" and isinstance(plain, GeminiChat)
    assert plain.identity() == {
        "model": "x",
        "base_url": "https://generativelanguage.googleapis.com/v1beta",
    }
    other = make_chat("x", {"upload": "always", "audio_formats": "wav", "extra_body": '{"api_key": "s"}'})
    assert other.identity() == {
        **plain.identity(),
        **{"audio_formats": ["wav"], "extra_body": {"api_key": "[hidden]"}},
    }


def run(fake: FakeGemini, sample: Sample, **options: Any) -> tuple[GeminiRunner, Any]:
    async def go() -> tuple[GeminiRunner, Any]:
        runner = GeminiRunner("x", base_url=fake.url, **options)
        try:
            return runner, await runner.generate(sample, Modality.S2T)
        finally:
            await runner.close()

    return asyncio.run(go())


@pytest.mark.parametrize("upload", ["auto", "always"])
def test_the_model_under_test(upload: str) -> None:
    tool = {"name": "light", "description": "d", "parameters": {"type": "object", "properties": {}}}
    turns: Sequence[Turn] = (Turn("user", (Audio(data=WAV), "Do as I say.")),)
    with FakeGemini(texts=["Paris."]) as fake:
        runner, answer = run(
            fake, Sample("q", "t", tuple(turns), tools=(tool,)), upload=upload, seed="3", system="S"
        )
    assert (answer.text, answer.meta["model"], answer.meta["finish_reason"]) == ("Paris.", "x-001", "stop")
    assert answer.sent[0].sha256 == SHA and answer.usage["audio_tokens"] == 64
    [body] = fake.asked
    assert (
        body["generationConfig"] == {"seed": 3} and "light" in body["systemInstruction"]["parts"][0]["text"]
    )
    assert body["systemInstruction"]["parts"][0]["text"].startswith("S")
    identity = runner.identity()
    assert (
        identity["decoding"] == {"seed": 3} and identity["model"] == "x" and KEY not in json.dumps(identity)
    )
    shown = asyncio.run(runner.preview(Sample("q", "t", tuple(turns)), Modality.S2T))
    assert shown["contents"][0]["parts"][0]["inlineData"]["data"].startswith("<base64 of wav, 0.20 s")


def test_an_answer_that_was_cut_off_says_so() -> None:
    with FakeGemini(script=[{"finish": "MAX_TOKENS", "text": "Par"}]) as fake:
        _, answer = run(fake, Sample("q", "t", (Turn("user", ("Capital?",)),)))
    assert answer.text == "Par" and answer.meta["truncated"] is True and answer.sent == ()
