"""Log-probabilities of a chat completion made into tokens: OpenAI's shape, and that of the old completions.

OpenAI's is ``{"content": [{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob", "bytes"}]}]}``; the old
one ``{"tokens": [...], "token_logprobs": [...], "top_logprobs": [{token: logprob}]}``. Joined, the tokens need not be
the reply's text: servers list the token that ends it, tokens of reasoning, and several pieces of one character as one.

Likely tokens are kept where there may be a number, which is what is weighed: those of 100 words of reasoning before it
would only cost time, and room in the cache.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from evalkit.chat import Token
from evalkit.records import JSON

UNLIKELY = -9999.0
"""Stands for a logarithm that is -inf or not told, as in OpenAI's replies; a probability of 0 in any sum."""

_DIGIT = re.compile(r"\d")


def tokens_of(logprobs: JSON, most: int) -> tuple[Token, ...] | None:
    """The tokens of one choice.

    Args:
        logprobs: `choices[i].logprobs`, whatever the server put there.
        most: likely tokens to keep per place.

    Returns:
        None when it tells of no token what its probability is. Of the likely tokens, in falling order, those
        that have a probability, and only in places where one of them holds a digit, or the token before does.
    """
    if not isinstance(logprobs, Mapping):
        return None
    content = logprobs.get("content")
    found = _new(content, most) if isinstance(content, list) else _old(logprobs, most)
    known = any(t.logprob > UNLIKELY for t in found)
    return tuple(found) if known else None


def _new(content: Sequence[JSON], most: int) -> list[Token]:
    """OpenAI's shape."""
    found, number = [], False
    for entry in content:
        if not isinstance(entry, dict):
            continue
        text, given, told = _text(entry), entry.get("logprob"), entry.get("top_logprobs")
        tops = [t for t in told[:most] if isinstance(t, dict)] if isinstance(told, list) else []
        if number or given is None or _digit(text, tops):
            likely = [(_text(t), _logarithm(t.get("logprob"))) for t in tops]
            found.append(_made(text, given, [pair for pair in likely if pair[1] > UNLIKELY]))
        else:
            found.append(Token(text, _logarithm(given)))
        number = _DIGIT.search(text) is not None
    return found


def _digit(text: str, others: Iterable[Mapping[str, JSON]]) -> bool:
    """Does one of these tokens hold a digit?"""
    return _DIGIT.search(f"{text} {[o.get('token') for o in others]}") is not None


def _old(logprobs: Mapping[str, JSON], most: int) -> list[Token]:
    """The shape of the completions API. Lists that don't fit together tell nothing."""
    texts, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    tops = logprobs.get("top_logprobs") or []
    if not isinstance(texts, list) or not isinstance(values, list) or len(texts) != len(values):
        return []
    likely = tops if isinstance(tops, list) and len(tops) == len(texts) else [None] * len(texts)
    content = []
    for text, value, top in zip(texts, values, likely, strict=True):
        told = top.items() if isinstance(top, Mapping) else ()
        tops = sorted(
            ((t, v) for t, given in told if (v := _logarithm(given)) > UNLIKELY), key=lambda p: -p[1]
        )
        entries = [{"token": t, "logprob": v} for t, v in tops]
        content.append({"token": text, "logprob": value, "top_logprobs": entries})
    return _new(content, most)


def _made(text: str, logprob: JSON, pairs: Sequence[tuple[str, float]]) -> Token:
    """A token with its likely others in order; what isn't told of it may stand among them."""
    if any(a[1] < b[1] for a, b in pairwise(pairs)):
        pairs = sorted(pairs, key=lambda pair: -pair[1])
    value = _logarithm(logprob)
    if value == UNLIKELY:
        value = next((v for t, v in pairs if t == text), UNLIKELY)
    return Token(text, value, tuple(pairs))


def _logarithm(value: JSON) -> float:
    """A logarithm of a probability: at most 0, `UNLIKELY` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return UNLIKELY
    return float(max(UNLIKELY, min(0.0, value)))


def _text(entry: Mapping[str, JSON]) -> str:
    """The characters of a token; from its bytes where its name can't show them (part of a character)."""
    name = entry.get("token")
    if not isinstance(name, str):
        return ""
    if "\ufffd" not in name and "\\x" not in name:
        return name
    raw = entry.get("bytes")
    try:
        return bytes(raw).decode("utf-8", "replace") if isinstance(raw, list) else name
    except (TypeError, ValueError):
        return name
