"""From the raw replies to one request to one reading: a value, or why there is none.

A contract is the pairing of what a rubric asks the judge to write with how a public scorer reads it.
What the public code answers with a crash or with dropping the row is, here, a reading without a value
that says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalkit.records import JSON
from judges.places import Place, bare_or_in_brackets, first_in_brackets, last_in_single_brackets
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

    Attributes:
        read: from the replies to one request to a reading.
        choices: replies it surely understands, for models that can be held to some.
        closed: `choices` are all the verdicts there are, so that a schema may hold a judge to them.
        reasons: its rubric asks for reasons before the verdict.
        several: `read` takes all replies as votes; others read the first (see `pooled`).
        scale: lowest and highest rating, for contracts that read whole numbers: these can be weighed by G-Eval. None
            for right or wrong.
        place: where in one reply stands the number that `read` takes, for these.
        marks: where several marks stand whose mean is the rating, in the place of `place`; () when one is missing.
        unit: what one step of the scale is worth in `Reading.value`.
    """

    name: str
    read: Callable[[Sequence[str]], Reading]
    choices: tuple[str, ...] = ()
    closed: bool = True
    reasons: bool = False
    several: bool = False
    scale: tuple[int, int] | None = None
    place: Callable[[str], Place | None] | None = None
    marks: Callable[[str], tuple[Place, ...]] | None = None
    unit: float = 1.0

    def places(self, reply: str) -> tuple[Place, ...]:
        """Where the numbers stand that make the rating; () when there are none."""
        if self.marks is not None:
            return self.marks(reply)
        found = self.place(reply) if self.place is not None else None
        return (found,) if found else ()


def storable(vote: float | None) -> JSON:
    """JSON has no infinity and no NaN: their Python spelling is kept instead."""
    return vote if vote is None or math.isfinite(vote) else repr(vote)


def unparseable(votes: tuple[JSON, ...], wanted: str) -> Reading:
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
        return unparseable(kept, "a rating in the form its rubric asks for")
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
        return unparseable(votes, "there")
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
        return unparseable((verdict,), "a yes or a no on its last line")
    return Reading(float(verdict == "yes"), (verdict,))


def _points(
    vote: Callable[[str], float | None], low: float, high: float
) -> Callable[[Sequence[str]], Reading]:
    return _first_only(lambda replies: _rating(replies, vote, low, high))


_ONE_TO_FIVE = tuple(str(k) for k in range(1, 6))
_UP_TO_TEN = tuple(f"[[{k}]]" for k in range(1, 11))
_RIGHT_WRONG = ('{"judgment": "correct"}', '{"judgment": "incorrect"}')
_OAB: Mapping[str, tuple[tuple[str, ...], tuple[int, int] | None, Callable[[str], Place | None] | None]] = {
    "alpaca_eval": (_UP_TO_TEN, (1, 10), first_in_brackets),
    "llama_questions": (("The score is [Correct]", "The score is [Incorrect]"), None, None),
    "reasoning_qa": (tuple(f"[{k}]" for k in range(1, 6)), (0, 5), last_in_single_brackets),
    "trivia_qa": (_RIGHT_WRONG, None, None),
    "web_questions": (_RIGHT_WRONG, None, None),
}
"""Verdicts, scale and place of the rating by subset."""

CONTRACTS: dict[str, Contract] = {
    c.name: c
    for c in (
        Contract(
            "official-open",
            lambda replies: _rating(replies, official_open_vote, 1, 5),
            _ONE_TO_FIVE,
            several=True,
            scale=(1, 5),
            place=bare_or_in_brackets,
        ),
        Contract(
            "kimi-open",
            _points(kimi_open_vote, 1, 5),
            _ONE_TO_FIVE,
            scale=(1, 5),
            place=bare_or_in_brackets,
        ),
        Contract("official-qa", _majority, ("Yes", "No"), several=True),
        Contract("kimi-collect-acc", _collect_acc, ("yes", "no"), reasons=True),
        Contract(
            "ultraeval-rating",
            _points(ultraeval_rating, 1, 10),
            _UP_TO_TEN,
            reasons=True,
            scale=(1, 10),
            place=first_in_brackets,
        ),
        *(
            Contract(
                f"oab-{name.replace('_', '-')}",
                _points(vote, *(_OAB[name][1] or (0, 1))),
                _OAB[name][0],
                reasons=True,
                scale=_OAB[name][1],
                place=_OAB[name][2],
            )
            for name, vote in OAB_VOTES.items()
        ),
    )
}
"""Every contract by name."""


def pooled(contract: Contract) -> Contract:
    """The contract for more votes than its protocol has: mean of ratings and marks, majority of right and wrong.

    A mean needs every vote to be read. A majority is more than half of all votes.
    """
    if contract.several:
        return contract
    mean = contract.scale is not None

    def read(replies: Sequence[str]) -> Reading:
        readings = [contract.read([reply]) for reply in replies]
        if len(readings) < 2:
            return contract.read(replies)
        votes = tuple(vote for r in readings for vote in r.votes[:1])
        values = [r.value for r in readings if r.value is not None]
        unread = next((r for r in readings if r.value is None), None)
        touched = next((r.touched for r in readings if r.touched), None)
        if mean:
            if unread is not None:
                return replace(unread, votes=votes)
            counts = {"sum": sum(values), "votes": float(len(values))} if readings[0].counts else None
            return Reading(sum(values) / len(values), votes, counts=counts, touched=touched)
        for value in set(values):
            if 2 * values.count(value) > len(readings):
                return Reading(value, votes, touched=touched)
        if unread is not None:
            return replace(unread, votes=votes)
        reason = (
            "vote-tie: no answer leads the judge's votes, so there is no majority; judge this sample again"
        )
        return Reading(None, votes, reason)

    return replace(contract, read=read, several=True)
