"""Tokens of one request: as the endpoint counted them, or estimated where it didn't. Floor 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.chat import ChatReply, ChatRequest
from evalkit.records import JSON, Audio

REPLY_TOKENS = 120
"""Tokens of a judge's reply where nothing better is known: a rating with a sentence or two of reasoning."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts of one request, or of many.

    Attributes:
        input: all that was sent, `cached` and `audio_input` among them.
        cached: of them, those the endpoint had in a cache of its own (and bills lower).
        audio_input: of them, audio.
        output: all that came back, `audio_output` and `reasoning` among them.
    """

    input: int = 0
    cached: int = 0
    audio_input: int = 0
    output: int = 0
    audio_output: int = 0
    reasoning: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(getattr(self, n) + getattr(other, n) for n in Tokens.__slots__))

    def to_json(self) -> dict[str, JSON]:
        """Input and output always, the rest where it isn't zero."""
        told = ((n, getattr(self, n)) for n in Tokens.__slots__)
        return {n: v for n, v in told if v or n in ("input", "output")}

    @classmethod
    def from_json(cls, obj: JSON) -> Tokens | None:
        """None for what is no object."""
        if not isinstance(obj, dict):
            return None
        get = obj.get
        return cls(*[_count(get(n, 0)) or 0 for n in cls.__slots__])


_MOST = 10**12
"""More tokens than this in one request are no count but rubbish."""


def _count(value: JSON) -> int | None:
    """A count of tokens, or None for what is none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value <= _MOST else None


def tokens_of(usage: Mapping[str, JSON]) -> Tokens | None:
    """What an endpoint counted (`ChatReply.usage`); None when it counted nothing.

    Takes the flat names our clients give ("cached_tokens", "prompt_audio_tokens", ...) and the nested
    ones of the API. A bare "audio_tokens" is of the input: judges reply in words.
    """

    def first(*names: str) -> int | None:
        return next((n for name in names if (n := _count(usage.get(name))) is not None), None)

    def inside(outer: str, name: str) -> int:
        found = usage.get(outer)
        return (_count(found.get(name)) or 0) if isinstance(found, Mapping) else 0

    put_in, came_out = first("prompt_tokens", "input_tokens"), first("completion_tokens", "output_tokens")
    if put_in is None and came_out is None:
        return None
    into, out = "prompt_tokens_details", "completion_tokens_details"
    return Tokens(
        put_in or 0,
        first("cached_tokens", "prompt_cached_tokens") or inside(into, "cached_tokens"),
        first("prompt_audio_tokens", "audio_tokens") or inside(into, "audio_tokens"),
        came_out or 0,
        first("completion_audio_tokens") or inside(out, "audio_tokens"),
        first("reasoning_tokens") or inside(out, "reasoning_tokens"),
    )


def text_tokens(text: str) -> int:
    """About how many tokens a text has: four ASCII characters to one, each other character its own."""
    ascii_only = len(text.encode("ascii", "ignore"))
    return math.ceil(ascii_only / 4) + len(text) - ascii_only


def audio_seconds(request: ChatRequest) -> float:
    """Seconds of audio in a request, as far as known."""
    parts = (p for _, content in request.messages if not isinstance(content, str) for p in content)
    return sum(p.seconds or 0.0 for p in parts if isinstance(p, Audio))


def sent_tokens(request: ChatRequest, audio_rate: float) -> Tokens:
    """About what a request sends.

    Args:
        audio_rate: tokens per second of audio.
    """
    text = 0
    for _, content in request.messages:
        parts = (content,) if isinstance(content, str) else content
        text += 4 + sum(text_tokens(p) for p in parts if isinstance(p, str))
    heard = math.ceil(audio_seconds(request) * audio_rate)
    return Tokens(input=text + heard, audio_input=heard)


def estimated(request: ChatRequest, reply: ChatReply, audio_rate: float) -> Tokens:
    """About what a request and its reply came to, where the endpoint counted nothing."""
    return sent_tokens(request, audio_rate) + Tokens(output=sum(map(text_tokens, reply.texts)))


def short(tokens: int) -> str:
    """A number of tokens in few characters: 840, 12k, 0.9M."""
    if tokens < 1000:
        return f"{tokens:,}"
    return f"{tokens / 1000:,.0f}k" if tokens < 500_000 else f"{tokens / 1e6:,.1f}M"


def in_words(seconds: float) -> str:
    """A duration in few characters: 0.4 s, 45 s, 12 min, 3.2 h."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
