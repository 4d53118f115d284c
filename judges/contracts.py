"""From the raw replies to one request to one reading: a value, or why there is none.

A contract is the pairing of what a rubric asks the judge to write with how a public scorer reads it.
What the public code answers with a crash or with dropping the row is, here, a reading without a value
that says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.records import JSON
from judges.votes import (
    OAB_VOTES,
    RatingOutOfRange,
    kimi_collect_acc,
    kimi_open_vote,
    official_open_vote,
    sdqa_majority,
    ultraeval_rating,
)

OUT_OF_RANGE = "rating_out_of_range"
"""`touched` of a rating that counts although it is off the scale: the public scorers do not check."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a contract made of the replies.

    Attributes:
        value: the verdict, or None with a `reason`.
        votes: each reply as read; None for one that can't be read, text for a non-finite number.
        reason: code and one sentence, when `value` is None.
        counts: "sum" and "votes" where an aggregate pools votes.
        touched: the public scorer's defect that decided the value, if any.
        detail: what else the reader of a score should see.
    """

    value: float | None
    votes: tuple[JSON, ...]
    reason: str | None = None
    counts: Mapping[str, float] | None = None
    touched: str | None = None
    detail: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contract:
    """A named way to read the replies to one request; the name is part of the judge's signature.

    `choices` are replies it surely understands, for models that can be held to some.
    """

    name: str
    read: Callable[[Sequence[str]], Reading]
    choices: tuple[str, ...] = ()


def storable(vote: float | None) -> JSON:
    """JSON has no infinity and no NaN: their Python spelling is kept instead."""
    return vote if vote is None or math.isfinite(vote) else repr(vote)


def _unparseable(votes: tuple[JSON, ...], wanted: str) -> Reading:
    reason = (
        f"judge-unparseable: the judge's reply is not {wanted}; read it in detail, or use a stronger judge"
    )
    return Reading(None, votes, reason)


def _rating(replies: Sequence[str], vote: Callable[[str], float | None], low: float, high: float) -> Reading:
    """The mean of all votes; one unreadable vote leaves the item without a value."""
    try:
        votes = [vote(r) for r in replies]
    except RatingOutOfRange as exc:
        reason = f"judge-out-of-range: {exc}, which runs from {low:g} to {high:g}; use a stronger judge"
        return Reading(None, (storable(exc.rating),), reason)
    kept = tuple(storable(v) for v in votes)
    read = [v for v in votes if v is not None]
    if not votes or len(read) < len(votes):
        return _unparseable(kept, "a rating in the form its rubric asks for")
    total = sum(read)
    if not math.isfinite(total):
        # The public code would let one such reply turn the whole mean into inf or nan.
        return Reading(None, kept, "judge-nonfinite: the judge rated inf or nan; use a stronger judge")
    touched = None if all(low <= v <= high for v in read) else OUT_OF_RANGE
    counts = {"sum": total, "votes": float(len(read))}
    return Reading(total / len(read), kept, counts=counts, touched=touched)


def _first_only(read: Callable[[Sequence[str]], Reading]) -> Callable[[Sequence[str]], Reading]:
    """One-vote contracts read the first reply; more than one can only come from a recording."""
    return lambda replies: read(replies[:1])


def _majority(replies: Sequence[str]) -> Reading:
    votes = tuple(replies)
    result = sdqa_majority(votes)
    if result is None:
        return _unparseable(votes, "there")
    detail: dict[str, JSON] = {"gpt_majority": result.correct, "vote_tie": result.tie}
    if result.correct is None:
        reason = (
            "vote-tie: no answer leads the judge's votes, so there is no majority; judge this sample again"
        )
        return Reading(None, votes, reason, detail=detail)
    return Reading(float(result.correct), votes, detail=detail)


def _collect_acc(replies: Sequence[str]) -> Reading:
    verdict = kimi_collect_acc(replies[0]) if replies else "invalid"
    if verdict == "invalid":
        return _unparseable((verdict,), "a yes or a no on its last line")
    return Reading(float(verdict == "yes"), (verdict,))


def _points(
    vote: Callable[[str], float | None], low: float, high: float
) -> Callable[[Sequence[str]], Reading]:
    return _first_only(lambda replies: _rating(replies, vote, low, high))


_OAB_SCALE = {"alpaca_eval": (1.0, 10.0), "reasoning_qa": (0.0, 5.0)}

_ONE_TO_FIVE = tuple(str(k) for k in range(1, 6))
_UP_TO_TEN = tuple(f"[[{k}]]" for k in range(1, 11))
_RIGHT_WRONG = ('{"judgment": "correct"}', '{"judgment": "incorrect"}')
_OAB_CHOICES = {
    "alpaca_eval": _UP_TO_TEN,
    "llama_questions": ("The score is [Correct]", "The score is [Incorrect]"),
    "reasoning_qa": tuple(f"[{k}]" for k in range(1, 6)),
    "trivia_qa": _RIGHT_WRONG,
    "web_questions": _RIGHT_WRONG,
}

CONTRACTS: dict[str, Contract] = {
    c.name: c
    for c in (
        Contract("official-open", lambda replies: _rating(replies, official_open_vote, 1, 5), _ONE_TO_FIVE),
        Contract("kimi-open", _points(kimi_open_vote, 1, 5), _ONE_TO_FIVE),
        Contract("official-qa", _majority, ("Yes", "No")),
        Contract("kimi-collect-acc", _collect_acc, ("yes", "no")),
        Contract("ultraeval-rating", _points(ultraeval_rating, 1, 10), _UP_TO_TEN),
        *(
            Contract(
                f"oab-{name.replace('_', '-')}",
                _points(vote, *_OAB_SCALE.get(name, (0.0, 1.0))),
                _OAB_CHOICES[name],
            )
            for name, vote in OAB_VOTES.items()
        ),
    )
}
"""Every contract by name."""
