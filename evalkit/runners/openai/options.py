"""Options of the OpenAI-compatible client: `-M key=value` strings made into checked values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evalkit.errors import MissingKey, UsageError
from evalkit.records import JSON
from evalkit.runners.audio_limits import LIMIT_PARSERS, AudioLimits, limits_of
from evalkit.runners.option_values import (
    Parse,
    check_known,
    choice,
    decoding_of,
    integer,
    json_object,
    number,
    text,
)
from evalkit.runners.tool_prompt import PLACEHOLDER, section_of

OPENAI_URL = "https://api.openai.com/v1"
AUDIO_PARTS = ("input_audio", "audio_url")
AUDIO_FORMATS = ("wav", "mp3", "flac", "opus", "pcm16")
AS_THEY_ARE = ("wav", "mp3")
"""Containers that are sent as they are; audio in others becomes wav."""
LIMITS = AudioLimits(formats=AS_THEY_ARE)
MOST_TOPS = 20
"""OpenAI's limit on `top_logprobs`."""
RESERVED = ("model", "messages", "stream", "n")
TOOLS = ("api", "prompt")


@dataclass(frozen=True)
class Options:
    """What the user may set with -M (runner), -J or -L (judges).

    Attributes:
        base_url: up to and including "/v1".
        api_key_env: name of the environment variable that holds the key.
        concurrency: requests under way.
        timeout: s for one request.
        temperature, top_p, max_tokens, seed: decoding; None leaves it to the server.
        system: system prompt.
        voice, audio_format: of spoken replies.
        extra_body: fields merged into the request; null takes a field out.
        audio_part: "input_audio", or "audio_url" (a data URI) for servers that want it so.
        sample_rate: resample audio to this rate in Hz before sending.
        max_seconds: send at most this much of each piece of audio; recorded as truncated.
        tools: "api" (the request's `tools` field), or "prompt" (a system message) for servers that parse no calls, or
            a tools section that is put below `system` (made of the file that the user named).
        top_logprobs: how many likely tokens of each place a judge asks for at most, when it wants log-probabilities; an
            endpoint that says that it has fewer is asked for fewer.
        limits: what audio a judge's endpoint takes; of a judge's audio nothing is ever cut.
    """

    base_url: str = OPENAI_URL
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 32
    timeout: float = 300.0
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    system: str | None = None
    voice: str = "alloy"
    audio_format: str = "wav"
    extra_body: Mapping[str, JSON] = field(default_factory=dict)
    audio_part: str = "input_audio"
    sample_rate: int | None = None
    max_seconds: float | None = None
    tools: str = "api"
    top_logprobs: int = MOST_TOPS
    limits: AudioLimits = LIMITS

    def api_key(self) -> str | None:
        """The key from the environment.

        Raises:
            MissingKey: none is set, and the host is OpenAI's own.
        """
        key = os.environ.get(self.api_key_env, "").strip()
        if not key and urlsplit(self.base_url).hostname == "api.openai.com":
            raise MissingKey(
                f"{self.api_key_env} is not set: export your OpenAI key, name another variable with "
                "api_key_env=NAME, or point base_url=http://host:port/v1 at your own server",
                self.api_key_env,
            )
        return key or None

    def decoding(self) -> dict[str, JSON]:
        """The decoding fields that are set, as the API names them."""
        return decoding_of(self)


def _extra_body(name: str, value: Any) -> Mapping[str, JSON]:
    return json_object(name, value, example='{"top_k": 1}', reserved=RESERVED)


def _tools(name: str, value: Any) -> str:
    """A word as it is, or the section that a file holds."""
    if value in TOOLS:
        return str(value)
    if not isinstance(value, str) or not Path(value).expanduser().is_file():
        raise UsageError(
            f"{name} must be api, prompt, or a file that holds a chat template or a text with {PLACEHOLDER}, "
            f"not {value!r}"
        )
    return section_of(value)


RUNNER_PARSERS: Mapping[str, Parse] = {
    "base_url": text,
    "api_key_env": text,
    "concurrency": integer(1, 4096),
    "timeout": number(0, 86_400, open_low=True),
    "temperature": number(0, 10),
    "top_p": number(0, 1),
    "max_tokens": integer(1, 10_000_000),
    "seed": integer(-(2**63), 2**63 - 1),
    "system": text,
    "voice": text,
    "audio_format": choice(*AUDIO_FORMATS),
    "extra_body": _extra_body,
    "audio_part": choice(*AUDIO_PARTS),
    "sample_rate": integer(1000, 384_000),
    "max_seconds": number(0, 86_400, open_low=True),
    "tools": _tools,
}
"""Options of the model under test."""

_SHARED = ("base_url", "api_key_env", "concurrency", "timeout", "extra_body", "audio_part", "sample_rate")
CHAT_PARSERS: Mapping[str, Parse] = {
    **{name: RUNNER_PARSERS[name] for name in _SHARED},
    "top_logprobs": integer(1, MOST_TOPS),
    **LIMIT_PARSERS,
}
"""Options of a judge: its decoding belongs to the protocol, so only `extra_body` can bend it."""


def parse_options(given: Mapping[str, Any], parsers: Mapping[str, Parse] = RUNNER_PARSERS) -> Options:
    """Check the user's options; base_url falls back to OPENAI_BASE_URL, then to OpenAI.

    Args:
        given: values as strings, or as they are when called from Python.
        parsers: the options that make sense here.

    Raises:
        UsageError: unknown name or unusable value.
    """
    check_known(given, parsers, "openai")
    plain = {k: v for k, v in given.items() if k not in LIMIT_PARSERS and v is not None}
    values = {name: parsers[name](name, value) for name, value in plain.items()}
    values.setdefault("base_url", os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL)
    return Options(**values, limits=limits_of(given, LIMITS))
