"""Our own checker, for an extra column: where the public scorers look away, this one looks.

Speech function calling sheet, section 6 (last paragraph) and section 5.1 (greedy matching). Per style of answers:

BFCL: a call fits an answer when the public rule says so and its arguments of type "object", which that rule
    takes as they come, fit one of the alternatives. Calls and answers are matched as well as can be: greedy
    matching in the public rule may reject the right calls for their order, so only here is more accepted.
ACEBench: a call fits when it has just the arguments of the answer (none missing, none added), equal at any
    depth: strings standardised as in the public rule but compared whole, numbers by value, truth values as
    such. Each answer needs a call of its own. Only the answer is asked, so that answers which the public rule
    rejects whoever gives them (`{}` and `[]`, tools without parameters, the string "true") can be given.
Both: a tagged call that can't be read is wrong, never left out; nothing is a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from evalkit.records import JSON
from judges.calls import acebench, bfcl
from judges.calls import errors as e
from judges.calls.errors import CRASHES, PASSED, Outcome, Wrong, brief, cause
from judges.calls.parsing import Call, Decoded
from judges.calls.schemas import Schema, Style, named
from judges.calls.values import same

AnswerT = TypeVar("AnswerT")

UNREADABLE = "strict:unreadable_call"
COUNT = "strict:wrong_count"
NO_MATCH = "strict:no_match"


def check(
    decoded: Decoded,
    target: JSON,
    schemas: Sequence[Schema],
    style: Style,
    names: bfcl.Names = "exact",
) -> Outcome:
    """The calls of one record against its answers, in any order. Raises `CRASHES` for answers in a wrong shape."""
    if decoded.calls is None:
        return Outcome.of(Wrong(e.DECODER_FAILED, decoded.failure))
    if decoded.dropped:
        return Outcome.of(Wrong(UNREADABLE, f"{decoded.dropped} tagged calls are no JSON"))
    if style == "bfcl":
        return _matched(decoded.calls, target, lambda c, a: bfcl_fits(c, a, schemas, names))
    outcomes = []
    for candidate in acebench.candidates_of(target) or [{}]:  # no candidate: no call is wanted
        functions = acebench.names_of(candidate)
        answers = [(functions[key], wanted) for key, wanted in candidate.items()]
        outcomes.append(_matched(decoded.calls, answers, ace_fits))
    return next((o for o in outcomes if o.valid), outcomes[0])


def bfcl_fits(call: Call, answer: bfcl.Answer, schemas: Sequence[Schema], names: bfcl.Names) -> Wrong | None:
    """One call against one answer in BFCL's form; never raises."""
    try:
        schema = named(schemas, bfcl.function_of(answer))
        wrong = bfcl.check_call(call, answer, schema, names)
        if wrong is not None:
            return wrong
        wanted = next(iter(answer.values()))
        for name, value in call.arguments.items():
            details = schema["parameters"]["properties"][name]
            if details["type"] == "object" and not any(_accepted(value, a) for a in wanted[name]):
                return Wrong(e.OTHERS, f"{brief(name)}: {brief(value)} for {brief(wanted[name])}")
    except CRASHES as exc:
        return Wrong(e.CHECKER_CRASH, cause(exc))
    return None


def _accepted(value: JSON, alternative: JSON) -> bool:
    """Equal, or an object whose values are each among the alternatives listed for their key, at any depth."""
    if same(value, alternative):
        return True
    if isinstance(value, list) and isinstance(alternative, list):
        return len(value) == len(alternative) and all(map(_accepted, value, alternative))
    if (
        not (isinstance(value, dict) and isinstance(alternative, dict))
        or not value.keys() <= alternative.keys()
    ):
        return False
    missing = (listed for key, listed in alternative.items() if key not in value)
    return all(_among(v, alternative[k]) for k, v in value.items()) and all(
        isinstance(listed, list) and "" in listed for listed in missing
    )


def _among(value: JSON, listed: JSON) -> bool:
    """Is the value one of the alternatives, or what stands there where none are listed?"""
    return (isinstance(listed, list) and any(_accepted(value, a) for a in listed)) or _accepted(value, listed)


def ace_fits(call: Call, answer: tuple[str, JSON]) -> Wrong | None:
    """One call against one answer in ACEBench's form."""
    name, wanted = answer
    if call.name != name:
        return Wrong(e.ACE_NAME, f"{brief(call.name)} is not {brief(name)}")
    if missing := [k for k in wanted if k not in call.arguments]:
        return Wrong(e.ACE_LACKS, f"{brief(missing[0])} is missing")
    for key, value in call.arguments.items():
        if key not in wanted:
            return Wrong(e.ACE_ADDS, f"{brief(key)} is not wanted")
        if not same(value, wanted[key]):
            return Wrong(e.ACE_VALUE, f"{brief(key)}: {brief(value)} for {brief(wanted[key])}")
    return None


def _matched(
    calls: Sequence[Call], answers: Sequence[AnswerT], fits: Callable[[Call, AnswerT], Wrong | None]
) -> Outcome:
    """Can every answer have a call of its own that fits? A bipartite matching by augmenting paths."""
    if len(calls) != len(answers):
        return Outcome.of(Wrong(COUNT, f"{len(calls)} calls, {len(answers)} wanted"))
    found = [[fits(call, answer) for call in calls] for answer in answers]
    if len(calls) == 1:
        return Outcome.of(found[0][0])
    edges = [[k for k, wrong in enumerate(row) if wrong is None] for row in found]
    owner: dict[int, int] = {}

    def place(answer: int, tried: set[int]) -> bool:
        for call in edges[answer]:
            if call not in tried:
                tried.add(call)
                if call not in owner or place(owner[call], tried):
                    owner[call] = answer
                    return True
        return False

    for answer in range(len(answers)):
        if not place(answer, set()):
            reasons = sorted({f"{w.code}: {w.reason}" for w in found[answer] if w is not None})
            return Outcome(False, NO_MATCH, (f"no call is left for answer {answer + 1}", *reasons))
    return PASSED
