"""Options of the Gemini client: `-M`/`-J`/`-L key=value` strings made into checked values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from evalkit.errors import MissingKey, UsageError
from evalkit.records import JSON
from evalkit.runners.audio_limits import LIMIT_PARSERS, AudioLimits, limits_of
from evalkit.runners.option_values import (
    DECODING,
    Parse,
    check_known,
    choice,
    decoding_of,
    integer,
    json_object,
    number,
    text,
)

GEMINI_HOST = "generativelanguage.googleapis.com"
GEMINI_URL = f"https://{GEMINI_HOST}/v1beta"
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
"""Environment variables that may hold the key; the first that is set counts."""

GEMINI_LIMITS = AudioLimits(
    max_seconds=9.5 * 3600,
    max_bytes=2 * 1024**3,
    formats=("wav", "mp3", "aiff", "aac", "ogg", "flac"),
)
"""What the API takes: 9.5 h of audio in a prompt, 2 GB a file, these containers."""

INLINE_BYTES = 20_000_000
"""Most bytes of a request's body; larger audio goes through the File API."""

RESERVED = ("contents", "model", "systemInstruction")


@dataclass(frozen=True)
class Options:
    """What the user may set.

    Attributes:
        base_url: up to and including the version ("/v1beta").
        api_key_env: name of the environment variable that holds the key; None: see `KEYS`.
        concurrency: requests under way.
        timeout: s for one request.
        temperature, top_p, max_tokens, seed: decoding of a model under test; None leaves it to the API.
        system: system instruction of a model under test.
        extra_body: fields merged into the request, `generationConfig` field by field; null takes one out.
        upload: audio through the File API: "auto" (when the request would be too large), "always", "never".
        limits: what audio may be sent.
    """

    base_url: str = GEMINI_URL
    api_key_env: str | None = None
    concurrency: int = 16
    timeout: float = 600.0
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    system: str | None = None
    extra_body: Mapping[str, JSON] = field(default_factory=dict)
    upload: str = "auto"
    limits: AudioLimits = GEMINI_LIMITS

    def api_key(self) -> tuple[str | None, str]:
        """The key from the environment, and which variable it came from (or would come from).

        Raises:
            MissingKey: none is set, and the host is Google's own.
        """
        names = (self.api_key_env,) if self.api_key_env else KEYS
        for name in names:
            if key := os.environ.get(name, "").strip():
                return key, name
        if urlsplit(self.base_url).hostname == GEMINI_HOST:
            raise MissingKey(
                f"{' or '.join(names)} is not set: export your Gemini key, name another variable with "
                "api_key_env=NAME, or point base_url=http://host:port/v1beta at your own server",
                names[0],
            )
        return None, names[0]

    def decoding(self) -> dict[str, JSON]:
        """The decoding fields that are set, as signatures name them."""
        return decoding_of(self)


def _extra_body(name: str, value: Any) -> Mapping[str, JSON]:
    example = '{"generationConfig": {"thinkingConfig": {"thinkingBudget": 128}}}'
    fields = json_object(name, value, example=example, reserved=RESERVED)
    config = fields.get("generationConfig", {})
    if not isinstance(config, Mapping):
        raise UsageError(f"{name}: generationConfig must be a JSON object, as in {example}")
    if "candidateCount" in config:
        raise UsageError(f"{name} can't set candidateCount: the number of votes does")
    return fields


PARSERS: Mapping[str, Parse] = {
    "base_url": text,
    "api_key_env": text,
    "concurrency": integer(1, 4096),
    "timeout": number(0, 86_400, open_low=True),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "max_tokens": integer(1, 10_000_000),
    "seed": integer(-(2**31), 2**31 - 1),
    "system": text,
    "extra_body": _extra_body,
    "upload": choice("auto", "always", "never"),
}
CHAT_OPTIONS = tuple(name for name in PARSERS if name not in (*DECODING, "system"))
"""What a judge may set beside the limits: its decoding belongs to the protocol."""


def parse_options(given: Mapping[str, Any], known: tuple[str, ...] = tuple(PARSERS)) -> Options:
    """Check the user's options.

    Args:
        given: values as strings, or as they are when called from Python.
        known: names that make sense here, beside those of limits.

    Raises:
        UsageError: unknown name or unusable value.
    """
    check_known(given, (*known, *LIMIT_PARSERS), "gemini")
    values = {n: PARSERS[n](n, v) for n, v in given.items() if n in PARSERS and v is not None}
    return Options(**values, limits=limits_of(given, GEMINI_LIMITS))
