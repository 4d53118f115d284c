"""What the mock endpoint says for judges: tokens with log-probabilities, output by JSON Schema. Pure functions."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any

JSON = Any

_PIECES = re.compile(r"\d|\w+|\s+|[^\w\s]")
NUMBERS = (*"1234567890", "10", "11", "12", "15", "20", "25", "30", "50", "75", "100", "99")
_WORDS = "the a so it is and of to in for which that was as on with at by an this be"
WORDS = tuple(f" {w}" for w in _WORDS.split())


def logprobs(text: str, tops: int, kind: str) -> JSON:
    """`choices[i].logprobs` of a reply.

    Args:
        tops: likely tokens per place.
        kind: "content" (OpenAI's shape), "chosen" (the same, without the likely others), "old" (that of the completions
            API) or "odd" (what servers get wrong: an end token, -Infinity, nulls, a character in two tokens, fewer
            tops than asked for).
    """
    tokens = [(piece, likely(piece, tops)) for piece in _PIECES.findall(text)]
    if kind == "old":
        return {
            "tokens": [t for t, _ in tokens],
            "token_logprobs": [top[0][1] for _, top in tokens],
            "top_logprobs": [dict(top) for _, top in tokens],
        }
    content = [
        _entry(piece, top[0][1]) | {"top_logprobs": [_entry(*t) for t in top]} for piece, top in tokens
    ]
    if kind == "chosen":
        for entry in content:
            entry["top_logprobs"] = []
    if kind == "odd":
        for entry in content:
            del entry["top_logprobs"][3:]
            entry["top_logprobs"] += [_entry("x", -math.inf), _entry("y", math.nan), {"token": "z"}, None]
        content += [
            {"token": "\\xf0\\x9f", "bytes": [240, 159], "logprob": -0.5, "top_logprobs": None},
            {
                "token": "<|im_end|>",
                "bytes": None,
                "logprob": None,
                "top_logprobs": [_entry("<|im_end|>", -0.25)],
            },
        ]
    return {"content": content, "refusal": None}


@lru_cache(maxsize=256)
def encoded_logprobs(text: str, tops: int, kind: str) -> str:
    """The same as JSON, made once: the mock must stay cheaper than the client it measures."""
    return json.dumps(logprobs(text, tops, kind))


def likely(piece: str, tops: int) -> list[tuple[str, float]]:
    """This token with probability 0.5 and others of its kind that share the rest, the likeliest first."""
    others = [o for o in (NUMBERS if piece.isdigit() else WORDS) if o != piece][: tops - 1]
    total = sum(0.5**k for k in range(1, len(others) + 1))
    return [
        (piece, math.log(0.5)),
        *((o, math.log(0.49 * 0.5**k / total)) for k, o in enumerate(others, start=1)),
    ]


def _entry(token: str, logprob: float) -> dict[str, JSON]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def instance(schema: JSON) -> JSON:
    """The smallest value that keeps to a JSON Schema, of the kinds judges use."""
    for key in ("const", "enum"):
        if key in schema:
            return schema["const"] if key == "const" else schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: instance(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema.get("items", {})) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return {"boolean": True, "null": None}.get(kind, "ok")
