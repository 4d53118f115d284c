"""The ACEBench-style checker: Speech-ACEBench.

Source: speech function calling sheet, section 6, its leniencies included: numbers and truth values are never
compared, strings only in part, optional arguments may be missing, one call may serve several answers.
Where the public code would raise, so does this (`CRASHES`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from evalkit.records import JSON
from judges.calls import errors as e
from judges.calls.errors import CheckerCrash, Outcome, Wrong, brief
from judges.calls.parsing import Call
from judges.calls.schemas import Schema, ace_items_of, named_within, type_of
from judges.calls.values import ACE_TYPES, levelled, standardised

_NUMBERED = re.compile(r"_\d+$")
_TRUTH = {"true": True, "false": False}

Candidate = Mapping[str, JSON]
"""One complete answer: `{name: {parameter: value}}`; a function asked for twice stands there as name_1, name_2."""


def candidates_of(target: JSON) -> Sequence[Candidate]:
    """A single object is one candidate, a list holds several."""
    return [target] if isinstance(target, Mapping) else target


def names_of(candidate: Candidate) -> dict[str, str]:
    """The function each key of a candidate means; numbers at the end are cut off where there are several keys."""
    return {key: _NUMBERED.sub("", key) if len(candidate) > 1 else key for key in candidate}


def check(calls: Sequence[Call], target: JSON, schemas: Sequence[Schema]) -> Outcome:
    """The calls of one record against its candidates: one has to pass, the first one's error counts.

    Sheet section 6. Raises `CRASHES`.
    """
    first: Wrong | None = None
    for candidate in candidates_of(target):
        wrong = check_candidate(calls, candidate, schemas)
        if wrong is None:
            return Outcome.of(None)
        first = first or wrong
    if first is None:
        raise CheckerCrash("the answer is empty")
    return Outcome.of(first)


def check_candidate(calls: Sequence[Call], candidate: Candidate, schemas: Sequence[Schema]) -> Wrong | None:
    """The calls against one candidate. Sheet section 6.1. Raises `CRASHES`."""
    if len(calls) != len(candidate):
        return Wrong(e.ACE_COUNT, f"{len(calls)} calls, {len(candidate)} wanted")
    if not candidate:
        raise CheckerCrash("the answer is empty")
    names = names_of(candidate)
    if Counter(c.name for c in calls) != Counter(names.values()):
        return Wrong(e.ACE_MISMATCH, f"called {brief([c.name for c in calls])}")
    for key, wanted in candidate.items():
        schema = named_within(schemas, key)
        wrong: Wrong | None = None
        for call in calls:
            if call.name != names[key]:
                wrong = Wrong(e.ACE_UNCLEAR, f"no call fits {brief(key)}")
            else:
                wrong = check_call(call, wanted, schema)
            if wrong is None:
                break
        if wrong is not None:
            return wrong
    return None


def check_call(call: Call, wanted: JSON, schema: Schema) -> Wrong | None:
    """One call against the arguments wanted. Sheet section 6.2. Raises `CRASHES`."""
    parameters = schema["parameters"]
    if call.arguments == {} or parameters == {}:
        both = call.arguments == {} and parameters == {}
        return None if both else Wrong(e.ACE_PARAM, "arguments where there are none, or none where there are")
    properties, required = parameters["properties"], parameters["required"]
    if wanted == properties:
        return None
    if wanted == {}:
        return Wrong(e.ACE_PARAM, "no arguments are wanted")
    if call.name != schema["name"]:
        return Wrong(e.ACE_NAME, f"the first tool named alike is {brief(schema['name'])}")
    for name in required:
        if name not in call.arguments:
            return Wrong(e.ACE_LACKS, f"{brief(name)} is required")
    for name, value in call.arguments.items():
        if name not in properties or name not in wanted:
            return Wrong(e.ACE_ADDS, f"{brief(name)} is not wanted")
        code = check_value(value, wanted[name], properties[name])
        if code is not None:
            return Wrong(code, f"{brief(name)}: {brief(value)} for {brief(wanted[name])}")
    return None


def check_value(value: JSON, answer: JSON, details: JSON) -> str | None:
    """One argument: an error code, or None. Sheet section 6.2. Raises `CRASHES`."""
    expected, inner = type_of(details, ACE_TYPES), ace_items_of(details)
    if details["type"] == "float" and type(value) is int:
        value = float(value)
    fits, variable = _check_type(value, answer, expected, inner)
    if not fits:
        return e.ACE_TYPE
    if variable:
        return None
    if expected is str:
        return None if standardised(answer) in standardised(value) else e.STRING
    if expected is dict:
        return None if _dict_fits(value, answer) else e.ACE_VALUE
    if expected is list and inner is dict:
        return _check_dicts(value, answer, details["type"])
    if expected is list:
        return None if [levelled(v) for v in value] == [levelled(a) for a in answer] else e.LIST
    return None


def _check_type(value: JSON, answer: JSON, expected: type, inner: type | None) -> tuple[bool, bool]:
    """Does the type fit, and is the value to be left alone (a "variable")?"""
    known = None if answer == "" else type(answer)
    value = _truth(value)
    if type(value) is expected:
        if inner is None or any(_elements_fit(value, item, inner) for item in answer):
            return True, known is not None and known is not expected
        return False, False
    fits = type(value) is known or answer == value
    return fits, fits


def _elements_fit(value: JSON, item: JSON, inner: type) -> bool:
    if type(item) is not list:
        return True
    return all(_check_type(element, item, inner, None)[0] for element in value)


def _truth(value: JSON) -> JSON:
    """The strings true and false as the truth values they spell."""
    return _TRUTH.get(value, value) if type(value) is str else value


def _dict_fits(value: JSON, answer: Mapping[str, JSON]) -> bool:
    """As many keys, all of them the answer's; values by their text, the answer's within the predicted one's."""
    if len(value) != len(answer):
        return False
    for key, element in value.items():
        if key not in answer:
            return False
        if isinstance(answer[key], Mapping):
            if not _dict_fits(element, answer[key]):
                return False
        elif _text(answer[key]) not in _text(element):
            return False
    return True


def _text(value: JSON) -> str:
    return str(_truth(levelled(value)))


def _check_dicts(value: Sequence[JSON], answer: Sequence[JSON], kind: str) -> str | None:
    if len(value) != len(answer):
        return e.LIST_DICT_COUNT
    if value and kind == "objectArray":
        raise CheckerCrash("lists of the type objectArray can't be compared")
    return None if all(map(_dict_fits, value, answer)) else e.ACE_VALUE
