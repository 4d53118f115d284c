"""Which characters of a reply each of its tokens stands for, and how likely a token was."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import accumulate

from evalkit.chat import Token

_RUNS = re.compile("\ufffd+|[^\ufffd]+")
_AFTER = re.compile(r"(?:\s|\ufffd|```|<[^<>]{1,60}>)*")
_AFTER_BACKWARDS = (re.compile(r"(?:\s|```|>[^<>]{1,60}<)*"), re.compile(r"\s*"))
_PIECES = str.maketrans({"\u2581": " ", "\u0120": " ", "\u010a": "\n"})
"""How vocabularies spell a blank and a line break, where a server tells raw pieces."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def probability(logprob: float) -> float:
    """0 to 1; 0 for minus infinity, for what stands in its place (-9999), and for nan."""
    return 0.0 if math.isnan(logprob) else math.exp(min(0.0, logprob))


def starts(reply: str, tokens: Sequence[Token]) -> list[int] | None:
    """Where in the reply each token starts, and at the end where the last one stops; None when they don't spell it.

    The reply is what comes last: tokens may have more before it (thinking, a code fence), and after it blanks, marks
    of the chat template (``<|im_end|>``, ``</s>``) and the end of a fence, which servers take out. A token that ends
    inside a character shows U+FFFD there, of which several in a row can be one character. Places outside the reply
    are below 0, or beyond its end.
    """
    found = fitted(reply, tokens)
    return None if found is None else found[1]


def fitted(reply: str, tokens: Sequence[Token]) -> tuple[list[Token], list[int]] | None:
    """The same, with the tokens as they fit the reply: pieces of a vocabulary are turned into their characters.

    So are all likely others: a server that tells "\u2581" or "<0x34>" of one token may tell the blank of another.
    """
    for unspelled in (False, True):
        texts = [_unspelled(t.text) if unspelled else t.text for t in tokens]
        at = _fit(reply, texts)
        if at is not None:
            return [_legible(*pair) for pair in zip(tokens, texts, strict=True)], at
    return None


def _legible(token: Token, text: str) -> Token:
    """The token with this text, and the characters of its likely others."""
    if not token.top:
        return token if token.text == text else Token(text, token.logprob)
    top = ((text if t == token.text else _unspelled(t), logprob) for t, logprob in token.top)
    return Token(text, token.logprob, tuple(top))


def _fit(reply: str, texts: Sequence[str]) -> list[int] | None:
    cuts = [0, *accumulate(map(len, texts))]
    joined = "".join(texts)
    if (shift := _plainly(reply, joined, set(cuts))) is not None:
        return [cut - shift for cut in cuts]
    if (places := _around_gaps(reply, joined)) is not None:
        return [places[cut] for cut in cuts]
    return None


def _unspelled(piece: str) -> str:
    """The characters of a raw piece of a vocabulary; U+FFFD for a byte of a longer character."""
    return _BYTE.sub(lambda m: chr(n) if (n := int(m[1], 16)) < 128 else "\ufffd", piece.translate(_PIECES))


def _plainly(reply: str, joined: str, cuts: set[int]) -> int | None:
    """Where the reply starts in the joined tokens, when it stands there as it is: with a token, or behind a blank."""
    shift = joined.rfind(reply) if reply else -1
    if shift < 0 or _AFTER.fullmatch(joined, shift + len(reply)) is None:
        return None
    return shift if shift in cuts or joined[shift - 1].isspace() else None


def _around_gaps(reply: str, joined: str) -> list[int] | None:
    """The place in the reply of each character of the joined tokens, some of which are U+FFFD, and of their end."""
    if not reply or "\ufffd" not in joined:
        return None
    for after in _AFTER_BACKWARDS:
        found = after.match(joined[::-1])
        skipped = found.end() if found else 0
        places = _backwards(reply[::-1], joined[::-1][skipped:])
        if places is not None:
            end = len(reply)
            return [*places[::-1], *range(end, end + skipped + 1)]
    return None


def _backwards(reply: str, joined: str) -> list[int] | None:
    """The places from the last character on (both texts are given backwards); before the reply they are below 0."""
    places: list[int] = []
    at = 0  # characters of the reply accounted for
    runs = [m.group() for m in _RUNS.finditer(joined)]
    for k, run in enumerate(runs):
        if at >= len(reply):
            break
        if run[0] != "\ufffd":
            rest = reply[at : at + len(run)]
            if not run.startswith(rest):
                return None
            places += range(len(reply) - at - 1, len(reply) - at - 1 - len(rest), -1)
            at += len(rest)
            continue
        after = runs[k + 1] if k + 1 < len(runs) else ""
        # Behind the reply there may be the beginning of a character that it lacks.
        steps = range(min(k, 1), len(run) + 1)
        step = next((n for n in steps if _goes_on(reply, at + n, after)), None)
        if step is None or (not after and at + len(run) < len(reply)):
            return None
        step = step if after else len(reply) - at
        at += step
        places += [len(reply) - at] * len(run)
    if at < len(reply):
        return None
    return [*places, *range(-1, len(places) - len(joined) - 1, -1)]


def _goes_on(reply: str, at: int, run: str) -> bool:
    """Does the rest of the reply begin with this run, or the run with the rest of the reply?"""
    if at >= len(reply) or not run or reply[at] != run[0]:
        return at >= len(reply) or not run
    return reply.startswith(run, at) or (len(reply) - at < len(run) and run.startswith(reply[at:]))
