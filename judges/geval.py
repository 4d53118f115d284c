"""G-Eval: the mean over the ratings a judge might have given, each with its probability.

Score = sum of p(s) * s over the scale (Liu et al. 2023, arXiv 2303.16634). Where the endpoint tells log-probabilities,
p is read at the tokens of one reply at temperature 0 that spell the rating its contract reads; else, as in the paper,
it is the share of 20 replies at temperature 1 and top_p 1.

How tokens are read:

- The place of the rating is the contract's own: the number its reader takes.
- In that place, every alternative counts that spells a whole number on the scale, with what the chosen token has in
  front of it ("[[4" beside "[[5"), whatever blanks it leads with and whichever brackets, stops or quotes it ends
  with ("4", " 4", "4."). Spellings of the same number add up. The rest (words, numbers off the scale) is left out, and
  what is left is normalised; `mass` says how much there was.
- "10" as "1" and "0": along the reply's own digits probabilities multiply, and what follows the "1" tells 1 from 10.
  An alternative "1" that was not followed can be the beginning of 10: it is left out as `ambiguous`, unless a token of
  two digits anywhere in the reply or its alternatives shows that this tokeniser would have written "10" as one.
- A reply that ends with a digit that could go on did end there: it counts as written, told as `assumed`.
- A rating that is no whole number on the scale (4.5; 7 of 5) has no such distribution: unscored.
- Where the rating is the mean of several marks (MMAU-Pro's four), each is weighed, and theirs is the mean.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from evalkit.chat import Token
from evalkit.records import JSON
from judges.contracts import Contract, Reading
from judges.places import Place
from judges.tokens import fitted, probability

K = TypeVar("K", int, str)

SAMPLES = 20
"""Replies in the place of log-probabilities (arXiv 2303.16634 section 3.1)."""
TOP = 20
"""Alternatives asked for in each place: the most that the public API gives."""

_WHOLE = re.compile(r"(\d{1,9})(?:\.0*)?")
_DIGITS = re.compile(r"\d*")
_TWO_DIGITS = re.compile(r"\d{2,}")
_SPELLED = re.compile(r"(\D*)(\d{1,9})([\s\[\](){}<>|.,;:!*\"'`。，；：！】」』》）]*)")


class NoSpread(ValueError):
    """No distribution can be read; the message is the reason (code first)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Probabilities of the ratings in one place.

    Attributes:
        weights: by rating, as the tokens have it (not normalised).
        ambiguous: by digits, the probability of beginnings that can't be told apart (left out of `weights`).
        assumed: the part of `weights` of a reply that ended in a digit that could have gone on.
    """

    weights: Mapping[int, float]
    ambiguous: Mapping[str, float] = field(default_factory=dict)
    assumed: float = 0.0

    @property
    def mass(self) -> float:
        """Probability of all that is in `weights`, 0 to 1."""
        return min(1.0, sum(self.weights.values()))

    @property
    def distribution(self) -> dict[int, float]:
        """`weights` normalised, in order of rating."""
        total = sum(self.weights.values())
        return {n: self.weights[n] / total for n in sorted(self.weights)}

    @property
    def mean(self) -> float:
        """The expected rating."""
        return sum(n * p for n, p in self.distribution.items())


def spread(reply: str, tokens: Sequence[Token], place: Place, scale: tuple[int, int]) -> Spread:
    """What the tokens of a reply say of the rating in that place.

    Raises:
        NoSpread: the tokens don't spell the reply, or the rating is no whole number on the scale.
    """
    written = _WHOLE.fullmatch(reply, *place)
    if written is None or not scale[0] <= int(written.group(1)) <= scale[1]:
        number = reply[slice(*place)][:40]
        raise NoSpread(
            f"judge-out-of-range: G-Eval weighs whole numbers from {scale[0]} to {scale[1]}, and the judge rated "
            f"{number!r}; use a stronger judge"
        )
    fit = fitted(reply, tokens)
    if fit is None:
        raise NoSpread(
            "judge-no-logprobs: the tokens that the endpoint told do not spell the judge's reply; "
            "use another endpoint, or -O judge_scoring=plain"
        )
    tokens, at = fit
    start, stop = written.span(1)
    first = next((k for k in range(len(tokens)) if at[k] <= start < at[k + 1]), None)
    found = None if first is None else _walk(tokens, at, first, start, stop, _Scale(*scale, tokens))
    if found is None or found.mass <= 0.0:
        raise NoSpread(
            "judge-no-logprobs: the endpoint told no probability for the rating's tokens; "
            "use another endpoint, or -O judge_scoring=plain"
        )
    return found


@dataclass(frozen=True)
class _Scale:
    """The scale, and the tokens that show how numbers are cut up."""

    low: int
    high: int
    tokens: Sequence[Token]

    def open(self, digits: str) -> bool:
        """Can more tokens make another number on the scale of these digits?"""
        bare, most = str(int(digits)), len(str(self.high))
        if bare == "0" or len(bare) >= most:
            return False
        powers = (10 ** (n - len(bare)) for n in range(max(len(bare), self.longest) + 1, most + 1))
        return any(int(bare) * p <= self.high and (int(bare) + 1) * p > self.low for p in powers)

    @cached_property
    def longest(self) -> int:
        """The most digits in one token; only ever asked where a number can go on."""
        return _longest(self.tokens)


def _longest(tokens: Sequence[Token]) -> int:
    """Digits of the longest number in any one token that the reply or its alternatives show."""
    texts = "\0".join(
        [x for t in tokens for x in (t.text, *[a for a, _ in t.top])]
    )  # one search, not thousands
    return max(map(len, _TWO_DIGITS.findall(texts)), default=1)


def _walk(tokens: Sequence[Token], at: Sequence[int], k: int, start: int, stop: int, scale: _Scale) -> Spread:
    """Go along the digits of the reply from token `k` on, and take what every place says."""
    weights: defaultdict[int, float] = defaultdict(float)
    ambiguous: defaultdict[str, float] = defaultdict(float)
    head, digits, weight = tokens[k].text[: start - at[k]], "", 1.0
    while True:
        token = tokens[k]
        for text, p in _others(token):
            if (more := _number(text, head, digits)) is None:
                continue
            whole, ended = more
            if not ended and scale.open(whole):
                ambiguous[whole] += weight * p
            elif scale.low <= int(whole) <= scale.high:
                weights[int(whole)] += weight * p
        own = token.text[len(head) :]
        further = _DIGITS.match(own).group()  # type: ignore[union-attr]
        ended = bool(own[len(further) :]) or not further
        digits, head = digits + further, ""
        weight *= probability(token.logprob)
        k += 1
        if ended or not (at[k] < stop or scale.open(digits)):
            weights[int(digits)] += weight
            return Spread(_positive(weights), _positive(ambiguous))
        if k == len(tokens):
            weights[int(digits)] += weight
            return Spread(_positive(weights), _positive(ambiguous), weight)


def _positive(counted: Mapping[K, float]) -> dict[K, float]:
    return {k: v for k, v in counted.items() if v > 0.0}


def _others(token: Token) -> Iterator[tuple[str, float]]:
    """The alternatives with their probabilities, without the chosen token."""
    own = False
    for text, logprob in token.top:
        if text == token.text and not own:
            own = True
            continue
        if p := probability(logprob):
            yield text, p


def _number(text: str, head: str, digits: str) -> tuple[str, bool] | None:
    """The digits that an alternative makes of those before it, and whether it ends them; None for no number.

    Args:
        head: what the chosen token has in front of its digits.
        digits: those of the tokens before, when this is no longer the first.
    """
    found = _SPELLED.fullmatch(text)
    if digits and not (found and not found.group(1)):
        return (digits, True) if not text[:1].isdecimal() else None
    if found is None or found.group(1).split() != head.split():
        return None
    return digits + found.group(2), bool(found.group(3))


def mixed(spreads: Sequence[Spread]) -> Spread:
    """The distribution of a mark drawn from several, each as likely: its mean is the mean of their means."""
    if len(spreads) == 1:
        return spreads[0]
    weights: defaultdict[int, float] = defaultdict(float)
    ambiguous: defaultdict[str, float] = defaultdict(float)
    mass = sum(s.mass for s in spreads) / len(spreads)
    for one in spreads:
        for n, p in one.distribution.items():  # normalised, so that none counts for more
            weights[n] += p * mass / len(spreads)
        for digits, p in one.ambiguous.items():
            ambiguous[digits] += p / len(spreads)
    return Spread(weights, ambiguous, sum(s.assumed for s in spreads) / len(spreads))


def from_tokens(contract: Contract, reply: str, tokens: Sequence[Token]) -> Reading:
    """The reading of one reply by the probabilities of its tokens."""
    plain = contract.read([reply])
    if plain.value is None or contract.scale is None:
        return plain
    told: dict[str, JSON] = {"method": "logprobs", "plain": plain.value}
    try:
        found = _weighed(contract, reply, tokens, contract.scale)
    except NoSpread as exc:
        return Reading(None, plain.votes, str(exc), detail={**plain.detail, "geval": told})
    told |= {
        "distribution": {str(n): round(p, 12) for n, p in found.distribution.items()},
        "mass": round(found.mass, 12),
    }
    if found.ambiguous:
        told["ambiguous"] = {n: round(p, 12) for n, p in found.ambiguous.items()}
    if found.assumed:
        told["assumed"] = round(found.assumed, 12)
    return _expected(plain, found.mean * contract.unit, told)


def _weighed(contract: Contract, reply: str, tokens: Sequence[Token], scale: tuple[int, int]) -> Spread:
    """What the tokens say of the rating, or of the marks it is the mean of. Raises NoSpread."""
    if not tokens:
        raise NoSpread(
            "judge-no-logprobs: the endpoint left out the log-probabilities of this reply; the next run asks again"
        )
    places = contract.places(reply)
    if not places and contract.marks is not None:
        raise NoSpread("judge-unparseable: G-Eval weighs all marks, and the judge's reply lacks one")
    if not places:
        raise NoSpread("judge-no-logprobs: the place of the rating in the judge's reply can't be told")
    found = mixed([spread(reply, tokens, place, scale) for place in places])
    if not any(len(t.top) > 1 for t in tokens):
        raise NoSpread(
            "judge-no-logprobs: the endpoint told the chosen tokens alone, not what else was likely"
        )
    return found


def from_samples(contract: Contract, replies: Sequence[str]) -> Reading:
    """The reading of replies drawn at temperature 1: the mean of those that can be read and are on the scale.

    No value when that is fewer than half of them.
    """
    assert contract.scale is not None
    low, high = (end * contract.unit for end in contract.scale)
    readings = [contract.read([reply]) for reply in replies]
    values = [r.value if r.value is not None and low <= r.value <= high else None for r in readings]
    read = [v for v in values if v is not None]
    votes = tuple(r.votes[0] if r.votes else None for r in readings)
    shares = Counter(read)
    told: dict[str, JSON] = {
        "method": f"{len(replies)}-samples",
        "plain": None,
        "distribution": {f"{v / contract.unit:g}": shares[v] / len(read) for v in sorted(shares)},
        "mass": len(read) / max(1, len(replies)),
        "read": len(read),
        "unread": len(replies) - len(read),
    }
    if not read or 2 * len(read) < len(replies):
        reason = (
            f"judge-unparseable: {len(read)} of {len(replies)} replies of the judge are ratings on the scale; "
            "read them in detail, or use a stronger judge"
        )
        return Reading(None, votes, reason, detail={"geval": told})
    counts = next((r.counts for r in readings if r.counts), None)
    return _expected(Reading(None, votes, counts=counts), sum(read) / len(read), told)


def _expected(plain: Reading, mean: float, told: Mapping[str, JSON]) -> Reading:
    """A reading with this value. An answer is one vote: where votes are pooled, each counts alike."""
    counts = {"sum": mean, "votes": 1.0} if plain.counts is not None else None
    return Reading(mean, plain.votes, counts=counts, detail={**plain.detail, "geval": dict(told)})
