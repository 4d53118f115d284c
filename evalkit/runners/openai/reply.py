"""The body of a chat/completions reply made into values that are safe to store.

Lone UTF-16 surrogates (``"\\ud800"`` escapes in a reply) can't be written as UTF-8: each is replaced by
U+FFFD here, at the border, and counted in ``meta["surrogates"]``. NaN and Infinity become null.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.audio import AudioError, probe
from evalkit.chat import Token
from evalkit.errors import RunnerError
from evalkit.records import JSON, Audio
from evalkit.runners.http_errors import one_line
from evalkit.runners.openai.errors import complaint
from evalkit.runners.openai.logprobs import tokens_of

PCM_RATE = 24_000
"""Rate in Hz of the headerless pcm16 that speech endpoints send."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a reply."""

    text: str
    finish_reason: str
    tool_calls: tuple[Mapping[str, JSON], ...] = ()
    audio: Audio | None = None
    refusal: bool = False
    tokens: tuple[Token, ...] | None = None
    """None when the endpoint told none, or they were not wanted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """All choices of a reply and what was said about them."""

    choices: tuple[Choice, ...]
    model: str = ""
    usage: Mapping[str, JSON] = field(default_factory=dict)
    surrogates: int = 0


def parse_reply(body: bytes, audio_format: str = "wav", *, tops: int = 0) -> Reply:
    """Read a reply (HTTP 200).

    Args:
        audio_format: the format speech was asked for in; only "pcm16" matters, which has no header.
        tops: likely tokens per place that were asked for; 0 leaves log-probabilities unread.

    Raises:
        RunnerError: "bad-reply" (retryable) when it is no chat completion, "content-filter" when the
            endpoint's filter stopped the answer.
    """
    obj, surrogates = load(body)
    found = obj.get("choices") if isinstance(obj, dict) else None
    if not isinstance(found, list) or not found:
        raise _not_a_completion(body)
    choices = tuple(_choice(c, audio_format, tops) for c in found)
    model, usage = obj.get("model"), obj.get("usage")
    return Reply(
        choices,
        model if isinstance(model, str) else "",
        {k: v for k, v in usage.items() if v is not None} if isinstance(usage, dict) else {},
        surrogates,
    )


def load(body: bytes) -> tuple[JSON, int]:
    """The JSON value and the number of lone surrogates that were replaced; (None, 0) when it is no JSON."""
    try:
        value = _DECODER.decode(body.decode("utf-8", "replace").strip("\ufeff \t\r\n"))
        if b"\\ud" not in body and b"\\uD" not in body:
            return value, 0
        count = [0]
        return _scrub(value, count), count[0]
    except (ValueError, RecursionError):
        return None, 0


def _scrub(value: JSON, count: list[int]) -> JSON:
    if isinstance(value, str):
        out, n = _SURROGATE.subn("\ufffd", value)
        count[0] += n
        return out
    if isinstance(value, list):
        return [_scrub(v, count) for v in value]
    if isinstance(value, dict):
        return {_scrub(k, count): _scrub(v, count) for k, v in value.items()}
    return value


def _not_a_completion(body: bytes) -> RunnerError:
    text = body[:20_000].decode("utf-8", "replace")
    start = one_line(complaint(text).said or text, 120) or "nothing"
    return RunnerError(
        "bad-reply",
        f"the endpoint replied with something that is no chat completion: {start}",
        retryable=True,
    )


def _bad(what: str) -> RunnerError:
    return RunnerError("bad-reply", f"the endpoint's reply holds {what}", retryable=True)


def _choice(choice: JSON, audio_format: str, tops: int) -> Choice:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise _bad("a choice without a message")
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        raise RunnerError("content-filter", "the endpoint's content filter stopped the answer")
    spoken = message.get("audio")
    spoken = spoken if isinstance(spoken, dict) and spoken.get("data") else None
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(c, dict) for c in calls):
        raise _bad("tool calls that are no list of objects")
    text = _words(message.get("content"))
    refusal = message.get("refusal")
    refused = not text and isinstance(refusal, str) and bool(refusal)
    if refused:
        text = str(refusal)
    if not text and spoken is not None and isinstance(spoken.get("transcript"), str):
        text = spoken["transcript"]
    audio = speech(spoken["data"], audio_format) if spoken is not None else None
    tokens = tokens_of(choice.get("logprobs"), tops) if tops else None
    return Choice(text, finish if isinstance(finish, str) else "", tuple(calls), audio, refused, tokens)


def _words(content: JSON) -> str:
    """Content as text: a string, null, or a list of parts as some servers send."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (p.get("text") for p in content if isinstance(p, dict))
        return "".join(t for t in texts if isinstance(t, str))
    raise _bad("content that is no text")


def speech(data: JSON, audio_format: str) -> Audio:
    """Spoken reply from base64 (a data URI is fine): decoded strictly and probed.

    Raises:
        RunnerError: "bad-reply" (retryable) when it is no base64, or no audio.
    """
    if not isinstance(data, str):
        raise _bad("speech that is no base64")
    if data.startswith("data:"):
        data = data.partition(",")[2]
    text = "".join(data.split())
    try:
        raw = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (ValueError, binascii.Error):
        raise _bad(f"speech that is no base64 ({len(text)} characters)") from None
    if audio_format == "pcm16" and raw[:4] != b"RIFF":
        raw = pcm_wav(raw)
    try:
        info = probe(raw)
    except AudioError as exc:
        raise _bad(f"speech that can't be played: {exc}") from None
    return Audio(
        data=raw,
        format=info.format,
        sha256=hashlib.sha256(raw).hexdigest(),
        seconds=info.seconds,
        sample_rate=info.sample_rate,
    )


def pcm_wav(raw: bytes) -> bytes:
    """A wav of headerless 16-bit mono samples at PCM_RATE."""
    raw = raw[: len(raw) // 2 * 2]
    fmt = struct.pack("<HHIIHH", 1, 1, PCM_RATE, 2 * PCM_RATE, 2, 16)
    head = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(raw))
    return b"RIFF" + struct.pack("<I", len(head) + len(raw)) + head + raw
