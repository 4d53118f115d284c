"""What a raw judge reply says, one pure function per published reply contract.

Each function reproduces one public scorer's reading of one reply, corner cases included, and nothing
else: no averaging, no rounding, no repair. `judges.contracts` turns the readings of all replies to one
request into a verdict.

Sources: VoiceBench sheet sections 5, 6 and 10; UltraEval-Audio sheet section 4.3; OpenAudioBench sheet
section 4.2.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

_DOUBLE_BRACKETS = re.compile(r"\[\[(\d+)\]\]")
_LLAMA_VERDICT = re.compile(r"[Tt]he score is \[(Correct|Incorrect|correct|incorrect)\]")
_REASONING_MARK = re.compile(r"\[([0-5])\]")


class RatingOutOfRange(ValueError):
    """The reply holds a rating the scorer's own check refuses (the public code stops there)."""

    def __init__(self, rating: float) -> None:
        super().__init__(f"rating {rating:g} is outside the scale")
        self.rating = rating


def ultraeval_rating(reply: str) -> float | None:
    """First ``[[digits]]`` of the reply, else None. No range check, no decimals, no inner blanks.

    `\\d` takes any Unicode decimal digit and so does the conversion; more digits than a float can hold
    give infinity. UltraEval-Audio sheet section 4.3.
    """
    found = _DOUBLE_BRACKETS.search(reply)
    return float(found.group(1)) if found else None


def official_open_vote(reply: str) -> float | None:
    """One VoiceBench open-ended vote: what `float` accepts, else ``[[digits]]``, else None.

    None is where the public code raises NotImplementedError. `float` also takes "inf", "nan", "1_0"
    and full-width digits: the number is handed on as it is. VoiceBench sheet section 5.
    """
    try:
        return float(reply)
    except ValueError:
        return ultraeval_rating(reply)


def kimi_open_vote(reply: str) -> float | None:
    """The same two steps on the stripped reply; None is an ``invalid`` item. VoiceBench sheet section 5."""
    return official_open_vote(reply.strip())


@dataclass(frozen=True, slots=True)
class Majority:
    """The most frequent lower-cased vote.

    Attributes:
        correct: the winner is exactly "yes"; None when there is no one winner.
        tie: several votes share the highest count, so the public code's winner depends on hash order.
        winner: the winning string, None on a tie.
    """

    correct: bool | None
    tie: bool
    winner: str | None


def sdqa_majority(votes: Sequence[str]) -> Majority | None:
    """The SD-QA vote of VoiceBench: lower-case, most frequent wins, right iff it is exactly "yes".

    "yes." is therefore wrong. None when there is no vote at all. VoiceBench sheet section 6.
    """
    ranked = Counter(v.lower() for v in votes).most_common(2)
    if not ranked:
        return None
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return Majority(correct=None, tie=True, winner=None)
    return Majority(correct=ranked[0][0] == "yes", tie=False, winner=ranked[0][0])


def kimi_collect_acc(reply: str) -> Literal["yes", "no", "invalid"]:
    """Last line of the stripped reply, lower-cased: holds "yes", else holds "no", else invalid.

    Plain containment: "unknown" and "cannot tell" are "no", "not yes" is "yes".
    VoiceBench sheet section 10.
    """
    last = reply.strip().split("\n")[-1].lower()
    if "yes" in last:
        return "yes"
    return "no" if "no" in last else "invalid"


def oab_alpaca_eval(reply: str) -> float | None:
    """OpenAudioBench AlpacaEval: first ``[[digits]]``, 1 to 10 (one item scores ten times that).

    None is an invalid item. Raises RatingOutOfRange outside 1..10, where the public code stops.
    OpenAudioBench sheet section 4.2.
    """
    rating = ultraeval_rating(reply)
    if rating is not None and not 1 <= rating <= 10:
        raise RatingOutOfRange(rating)
    return rating


def oab_llama_questions(reply: str) -> float | None:
    """OpenAudioBench Llama Questions: first bracketed verdict after "the score is", 1 or 0, else None.

    Only the listed spellings count ("CORRECT" does not). OpenAudioBench sheet section 4.2.
    """
    found = _LLAMA_VERDICT.search(reply)
    return float(found.group(1).lower() == "correct") if found else None


def oab_reasoning_qa(reply: str) -> float | None:
    """OpenAudioBench Reasoning QA: last ``[0]``..``[5]`` (one item scores twenty times that), else None.

    OpenAudioBench sheet section 4.2.
    """
    marks = _REASONING_MARK.findall(reply)
    return float(marks[-1]) if marks else None


def oab_trivia_qa(reply: str) -> float | None:
    """OpenAudioBench TriviaQA: the dict literal from the first "{" to the first "}" of the reply.

    Its `judgment`, lower-cased, is right iff it equals "correct"; any other string is a valid 0. None
    where the public code, which runs `eval`, fails: no literal, JSON's true/null, a "}" inside the
    analysis, no such key, a judgment that is no string. Literals only here: nothing is executed.
    OpenAudioBench sheet sections 4.2 and 7.
    """
    literal = reply[max(reply.find("{"), 0) : reply.find("}") + 1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\$" in an analysis is no reason to warn, or to fail
            judgment = ast.literal_eval(literal)["judgment"]
    except (ValueError, SyntaxError, TypeError, LookupError, MemoryError, RecursionError):
        return None
    if isinstance(judgment, bytes):  # has `lower`, so it is a valid reply there, but never equal
        return 0.0
    return float(judgment.lower() == "correct") if isinstance(judgment, str) else None


oab_web_questions = oab_trivia_qa
"""OpenAudioBench Web Questions is read exactly like TriviaQA. OpenAudioBench sheet section 4.2."""

OAB_VOTES: dict[str, Callable[[str], float | None]] = {
    "alpaca_eval": oab_alpaca_eval,
    "llama_questions": oab_llama_questions,
    "reasoning_qa": oab_reasoning_qa,
    "trivia_qa": oab_trivia_qa,
    "web_questions": oab_web_questions,
}
"""Reader per OpenAudioBench subset."""

OAB_POINTS: dict[str, float] = {
    "alpaca_eval": 10.0,
    "llama_questions": 100.0,
    "reasoning_qa": 20.0,
    "trivia_qa": 100.0,
    "web_questions": 100.0,
}
"""What one unit of a reading is worth on the 0-100 scale of the subset's score."""
