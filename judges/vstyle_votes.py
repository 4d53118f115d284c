"""A score in double square brackets, 1 to 5: how the VStyle scorer reads it, and how we would.

Sources: VStyle sheet sections 3, 5 and 7; internal-set sheet sections 4 and 5.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from evalkit.records import FINAL, JSON
from judges.contracts import OUT_OF_RANGE, Contract, Reading, storable
from judges.places import Place, bare, stripped

Parser = Literal["official", "strict"]

NOT_WHOLE = "score_not_whole"
"""`touched` of a score that is no whole number: the public scorer does not check."""
NOT_A_NUMBER = "nan_score"
"""`touched` of the score nan: the public scorer accepts it, counts the row, and leaves it out of the mean."""
INFINITE = "infinite_score"
"""`touched` of an infinite score: the public scorer accepts it, and its mean is infinite from then on."""

UNREADABLE = "judge-unparseable"
"""Code of a reply without a score; the only one that asking again can mend."""

KEPT: Mapping[str, JSON] = {FINAL: True}
"""A row whose score is nan or infinite is not judged again: to the public scorer both are scores (sheet section 6)."""

_LEVEL = re.compile(r"[1-5]")


def bracketed(reply: str) -> Iterator[str]:
    """What stands in double square brackets, left to right."""
    return (reply[slice(*place)] for place in bracketed_places(reply))


def bracketed_places(reply: str) -> Iterator[Place]:
    """Where it stands.

    Each opening pair goes with the next closing pair after it, whatever stands between, and the search goes
    on after that. In linear time: without a closing pair ahead, no later opening pair has one either.
    """
    start = reply.find("[[")
    while start >= 0 and (end := reply.find("]]", start + 2)) >= 0:
        yield start + 2, end
        start = reply.find("[[", end + 2)


def as_number(text: str) -> float | None:
    """What Python's `float` makes of it ("1_0", other scripts' digits, nan and inf included), else None."""
    try:
        return float(text)
    except ValueError:
        return None


def parse(reply: str) -> str:
    """The score as the public scorer reads it, stripped; "" when it finds none. VStyle sheet section 5.

    The last bracketed text that is a number; else the whole reply, if that is one. No check of the range.
    """
    for inner in reversed(list(bracketed(reply))):
        if as_number(inner) is not None:
            return inner.strip()
    whole = reply.strip()  # sheds more than `float` does
    return whole if as_number(whole) is not None else ""


def parse_strict(reply: str) -> str:
    """Like `parse`, but only brackets count, and only a whole number from 1 to 5 ("" for anything else)."""
    for inner in reversed(list(bracketed(reply))):
        if as_number(inner) is not None:
            return inner.strip() if _LEVEL.fullmatch(inner.strip()) else ""
    return ""


def place(reply: str) -> Place | None:
    """Where the score stands that both parsers take, without the blanks around it; None when there is none."""
    for start, end in reversed(list(bracketed_places(reply))):
        if as_number(reply[start:end]) is not None:
            return stripped(reply, start, end)
    return bare(reply)


_PARSERS: dict[Parser, Callable[[str], str]] = {"official": parse, "strict": parse_strict}


def vstyle_contract(parser: Parser, runs: int = 1) -> Contract:
    """The reply contract of LALM judges that score 1 to 5.

    Args:
        parser: "official" takes any number; "strict" a whole one from 1 to 5.
        runs: replies wanted per answer. With one, several replies on record are attempts, and the first
            with a score counts; with more, the value is their mean, and `detail` has the deviation.
    """

    def read(replies: Sequence[str]) -> Reading:
        found = [_PARSERS[parser](r) for r in replies]
        if runs == 1:
            found = [s for s in found if s][:1] or [""]
        return _reading(found)

    return Contract(
        f"vstyle-{parser}",
        read,
        tuple(f"[[{k}]]" for k in range(1, 6)),
        reasons=True,
        several=runs > 1,
        scale=(1, 5),
        place=place,
    )


def _reading(found: Sequence[str]) -> Reading:
    votes: tuple[JSON, ...] = tuple(storable(float(s) if s else None) for s in found)
    scores = [float(s) for s in found if s]
    if not scores or len(scores) < len(found):
        reason = f"{UNREADABLE}: the judge's reply has no score in double square brackets; read it in detail"
        return Reading(None, votes, reason)
    if any(math.isinf(s) for s in scores):
        reason = "judge-infinite: the judge's score is infinite, and so would be the public scorer's mean"
        return Reading(None, votes, reason, touched=INFINITE, detail=KEPT)
    finite = [s for s in scores if not math.isnan(s)]
    if not finite:
        reason = "judge-nan: the judge's score is nan, which the public scorer leaves out of the mean"
        return Reading(None, votes, reason, touched=NOT_A_NUMBER, detail=KEPT)
    detail = {"sd": statistics.stdev(finite)} if len(finite) > 1 else {}
    return Reading(statistics.fmean(finite), votes, touched=_touched(scores), detail=detail)


def _touched(scores: Sequence[float]) -> str | None:
    """The defects of these scores, joined by "+": a 7.5 is off the scale and not whole, and counts as both."""
    if any(math.isnan(s) for s in scores):
        return NOT_A_NUMBER
    found = [
        *([OUT_OF_RANGE] if not all(1 <= s <= 5 for s in scores) else []),
        *([NOT_WHOLE] if not all(s.is_integer() for s in scores) else []),
    ]
    return "+".join(found) or None
