"""Why a judge's reply could not be read: refused, withheld, cut off, empty, or in no form its contract knows.

A contract says only that it read nothing; what the endpoint says of the reply, and how the reply begins, tell more.
A reply that can be read is never a failure, whatever else is said of it: public scorers read cut-off replies, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from evalkit.chat import ChatReply
from judges.contracts import Contract, Reading
from judges.refusal import refusal_strings

UNPARSEABLE = "judge-unparseable"
REASONS = {
    "judge-refused": "the judge declined to judge this answer; read its reply in detail, or use another judge",
    "judge-content-filter": "the judge's endpoint withheld its reply; use another judge",
    "judge-truncated": "the judge's reply was cut off at the limit of tokens before its verdict; "
    "use a judge that is briefer (thinking counts, too)",
    "judge-empty": "the judge replied with nothing; the next run asks again, or use another judge",
}
"""Code and sentence of each failure that is told apart from UNPARSEABLE."""

UNREADABLE = frozenset({UNPARSEABLE, *REASONS})
"""Codes of replies that came and could not be read: what public scorers call invalid."""

AGAIN = UNREADABLE - {"judge-content-filter"}
"""Those of which another reply, drawn at random, may be free."""

_BEGINNINGS = (
    "i'm ",
    "i’m ",
    "i am ",
    "i can",
    "i won",
    "i apolog",
    "sorry",
    "as an ai",
    "as a language",
    "抱歉",
)
_NOT_ALONE = frozenset({"i'm an", "i'm just", "i'm not doing", "i'm not interested in"})
_OWN = (
    *(
        "i must decline",
        "i decline",
        "i refuse",
        "i have to decline",
        "i will not",
        "i cannot",
        "i'm not able to",
    ),
    *("i am not able to", "unfortunately, i can", "对不起", "很抱歉", "我无法", "我不能", "无法"),
)
_LOOK_AT = 300


@cache
def _phrases() -> tuple[str, ...]:
    """How refusals of a judge begin: those of the public list that begin one, and a few of our own."""
    public = {s.strip().replace("’", "'") for s in refusal_strings() if s.startswith(_BEGINNINGS)}
    return (*sorted(public - _NOT_ALONE), *_OWN)


def declines(reply: str) -> bool:
    """Does the reply begin like a refusal? Only asked of replies without a verdict."""
    start = reply[:_LOOK_AT].lstrip(" \t\r\n\"'“‘*_#>-").lower().replace("’", "'")
    return start.startswith(_phrases())


def refined(
    contract: Contract,
    texts: Sequence[str],
    reply: ChatReply | None = None,
    reading: Reading | None = None,
) -> Reading:
    """The contract's reading, with the reason why the first reply that can't be read can't be.

    Args:
        texts: the replies as read, in the order of `reply.texts`.
        reply: what the endpoint said of them; None of recorded ones.
        reading: what was made of them; by default what the contract reads.
    """
    reading = reading or contract.read(texts)
    if reading.value is not None or _code(reading) != UNPARSEABLE:
        return reading
    k = next((i for i, text in enumerate(texts) if _code(contract.read([text])) == UNPARSEABLE), None)
    code = None if k is None else _why(k, texts[k], reply or ChatReply(()))
    return reading if code is None else replace(reading, reason=f"{code}: {REASONS[code]}")


def _code(reading: Reading) -> str:
    return (reading.reason or "").partition(":")[0]


def _why(k: int, text: str, reply: ChatReply) -> str | None:
    finish = reply.finish[k] if k < len(reply.finish) else ""
    if k in reply.refused:
        return "judge-refused"
    if finish == "content_filter":
        return "judge-content-filter"
    if finish == "length":
        return "judge-truncated"
    if not text.strip():
        return "judge-empty"
    return "judge-refused" if declines(text) else None
