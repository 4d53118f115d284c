"""Log-probabilities of a chat completion made into tokens: OpenAI's shape, and that of the old completions.

OpenAI's is ``{"content": [{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob", "bytes"}]}]}``; the old
one ``{"tokens": [...], "token_logprobs": [...], "top_logprobs": [{token: logprob}]}``. Joined, the tokens need not be
the reply's text: servers list the token that ends it, tokens of reasoning, and several pieces of one character as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from evalkit.chat import Token
from evalkit.records import JSON

UNLIKELY = -9999.0
"""Stands for a logarithm that is -inf or not told, as in OpenAI's replies; a probability of 0 in any sum."""


def tokens_of(logprobs: JSON, most: int) -> tuple[Token, ...] | None:
    """The tokens of one choice.

    Args:
        logprobs: `choices[i].logprobs`, whatever the server put there.
        most: likely tokens to keep per place.

    Returns:
        None when it tells of no token what its probability is. Likely tokens without a probability are left
        out, others are in falling order.
    """
    if not isinstance(logprobs, Mapping):
        return None
    content = logprobs.get("content")
    if isinstance(content, list):
        found = [_token(entry, most) for entry in content if isinstance(entry, Mapping)]
    else:
        found = _old(logprobs, most)
    known = any(t.logprob > UNLIKELY for t in found)
    return tuple(found) if known else None


def _token(entry: Mapping[str, JSON], most: int) -> Token:
    told = entry.get("top_logprobs")
    tops = told if isinstance(told, list) else ()
    pairs = [
        (_text(top), value)
        for top in tops[:most]
        if isinstance(top, Mapping) and (value := _logarithm(top.get("logprob"))) > UNLIKELY
    ]
    return _made(_text(entry), entry.get("logprob"), pairs)


def _old(logprobs: Mapping[str, JSON], most: int) -> list[Token]:
    """The shape of the completions API. Lists that don't fit together tell nothing."""
    texts, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    tops = logprobs.get("top_logprobs") or []
    if not isinstance(texts, list) or not isinstance(values, list) or len(texts) != len(values):
        return []
    likely = tops if isinstance(tops, list) and len(tops) == len(texts) else [None] * len(texts)
    found = []
    for text, value, top in zip(texts, values, likely, strict=True):
        told = top.items() if isinstance(top, Mapping) else ()
        pairs = [(str(t), v) for t, given in told if (v := _logarithm(given)) > UNLIKELY]
        pairs.sort(key=lambda pair: -pair[1])
        found.append(_made(text if isinstance(text, str) else "", value, pairs[:most]))
    return found


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
