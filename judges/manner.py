"""How the models that judge are put to work in this call: whose wording, which form of reply, which scoring.

Set by the user for all judges at once (`--prompts`, ``-O judge_scoring=``, ``-O judge_output=``, ``-O judge_votes=``),
so that no benchmark has to know: its judges take a `Manner` and hand it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from evalkit.errors import UsageError
from evalkit.interfaces import JudgeRole, Roles
from evalkit.records import JSON
from judges.official import official_rubric
from judges.prompts import Rubric, load_rubric, user_rubric

Scoring = Literal["plain", "geval"]
Output = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a judge's model is asked and read.

    Attributes:
        recorded: replies recorded earlier are what the judge reads, and its signature says so.
        wording: whose rubrics: "own", "official" (imported by the user), or a folder of the user's.
        scoring: of ratings: "plain" (the number in the reply) or "geval" (the mean over the numbers it might have
            given, weighted with their probabilities).
        output: "text" (as the public contract has it) or "json" (held to a schema by the endpoint).
        votes: replies per answer, in place of the protocol's; None for the protocol's.
    """

    recorded: bool = False
    wording: str = "own"
    scoring: Scoring = "plain"
    output: Output = "text"
    votes: int | None = None

    def rubric(self, name: str, protocol: str = "") -> Rubric:
        """The rubric of that name in this wording.

        Under "official" a rubric that stands for nothing public stays ours, as its label says.

        Args:
            protocol: which of the public texts it stands for, where it stands for several.

        Raises:
            UsageError: this wording has no such rubric; how to get it.
        """
        if (noted := _NOTED.get()) is not None:
            noted.append((name, protocol))
            return load_rubric(name)
        if self.wording == "own":
            return load_rubric(name)
        if self.wording == "official":
            return official_rubric(load_rubric(name), protocol) or load_rubric(name)
        return user_rubric(self.wording, name)


_NOTED: ContextVar[list[tuple[str, str]] | None] = ContextVar("noted rubrics", default=None)


@contextmanager
def noting_rubrics() -> Iterator[list[tuple[str, str]]]:
    """Within it, rubrics that judges ask for are noted (name, protocol), and given in our words whatever the manner."""
    noted: list[tuple[str, str]] = []
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


PLAIN = Manner()
"""Own words, replies in text, the number as it stands."""


def manner_of(roles: Roles, role: JudgeRole = "judge") -> Manner:
    """How the user wants models in this role to judge. Raises UsageError for an option that can't be."""
    options = roles.options
    scoring, output = str(options.get("judge_scoring", "plain")), str(options.get("judge_output", "text"))
    if scoring not in get_args(Scoring):
        raise UsageError(f"-O judge_scoring={scoring}: write plain or geval")
    if output not in get_args(Output):
        raise UsageError(f"-O judge_output={output}: write text or json")
    wording = str(options.get("prompts") or "own")
    votes = votes_of(options)
    return Manner(roles.recorded(role), wording, scoring, output, votes)  # type: ignore[arg-type]


def votes_of(options: Mapping[str, JSON]) -> int | None:
    """``-O judge_votes=N``, None where it isn't given. Raises UsageError unless it is 1 to 100."""
    if options.get("judge_votes") is None:
        return None
    text = str(options["judge_votes"])
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise UsageError(f"-O judge_votes={text}: write a whole number from 1 to 100")
    return int(text)
