"""The BFCL-style checker: Speech-BFCL and Speech-SmartInteract.

Source: speech function calling sheet, section 5. Where the public code would raise, so does this (`CRASHES`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from evalkit.records import JSON
from judges.calls import errors as e
from judges.calls.errors import PASSED, CheckerCrash, Outcome, Wrong, brief
from judges.calls.parsing import Call
from judges.calls.schemas import Schema, items_of, named, type_of
from judges.calls.values import BFCL_TYPES, levelled, standardised

Category = Literal["multiple", "parallel", "simple"]
Names = Literal["exact", "underscore"]
"""What the name of a function is compared with: itself, or itself with every dot made an underscore."""

Answer = Mapping[str, Mapping[str, JSON]]
"""`{name: {parameter: [alternatives]}}`, one key."""


def check(
    calls: Sequence[Call],
    answers: Sequence[Answer],
    schemas: Sequence[Schema],
    category: Category,
    names: Names = "exact",
) -> Outcome:
    """The calls of one record against its answers. Sheet section 5.1. Raises `CRASHES`."""
    if category == "parallel":
        return _parallel(calls, answers, schemas, names)
    wanted = len(answers) if category == "multiple" else 1
    if len(calls) != wanted:
        code = e.MULTIPLE_COUNT if category == "multiple" else e.SIMPLE_COUNT
        return Outcome.of(Wrong(code, f"{len(calls)} calls, {wanted} wanted"))
    if not answers:
        raise CheckerCrash("the answer is empty")
    schema = named(schemas, function_of(answers[0])) if category == "multiple" else schemas[0]
    return Outcome.of(check_call(calls[0], answers[0], schema, names))


def _parallel(
    calls: Sequence[Call], answers: Sequence[Answer], schemas: Sequence[Schema], names: Names
) -> Outcome:
    """Each answer takes the first call left that fits, and none is ever given back."""
    if len(calls) != len(answers):
        return Outcome.of(Wrong(e.PARALLEL_COUNT, f"{len(calls)} calls, {len(answers)} wanted"))
    left = list(calls)
    for answer in answers:
        schema = named(schemas, function_of(answer))
        reasons = [f"no call left fits {brief(function_of(answer))}"]
        for position, call in enumerate(left):
            wrong = check_call(call, answer, schema, names)
            if wrong is None:
                del left[position]
                break
            reasons.append(f"{wrong.code}: {wrong.reason}")
        else:
            return Outcome(False, e.PARALLEL_NO_MATCH, tuple(reasons))
    return PASSED


def function_of(answer: Answer) -> str:
    """The function an answer asks for: its first key."""
    return next(iter(answer)) if answer else _no_function()


def _no_function() -> str:
    raise CheckerCrash("an answer names no function")


def check_call(call: Call, answer: Answer, schema: Schema, names: Names = "exact") -> Wrong | None:
    """One call against one answer: the first thing wrong with it, or None. Sheet section 5.2. Raises `CRASHES`."""
    wanted = next(iter(answer.values()))
    expected = schema["name"].replace(".", "_") if names == "underscore" else schema["name"]
    properties, required = schema["parameters"]["properties"], schema["parameters"]["required"]
    if call.name != expected:
        return Wrong(e.WRONG_NAME, f"{brief(call.name)} is not {brief(expected)}")
    for name in required:
        if name not in call.arguments:
            return Wrong(e.MISSING_REQUIRED, f"{brief(name)} is required")
    for name, value in call.arguments.items():
        if name not in properties or name not in wanted:
            return Wrong(e.UNEXPECTED_PARAM, f"{brief(name)} is not wanted")
        code = check_value(value, wanted[name], properties[name])
        if code is not None:
            return Wrong(code, f"{brief(name)}: {brief(value)} for {brief(wanted[name])}")
    for name, alternatives in wanted.items():
        if name not in call.arguments and "" not in alternatives:
            return Wrong(e.MISSING_OPTIONAL, f"{brief(name)} is missing")
    return None


def check_value(value: JSON, alternatives: Sequence[JSON], details: JSON) -> str | None:
    """One argument: an error code, or None. Sheet sections 5.2 (step 3), 5.3 and 5.4. Raises `CRASHES`."""
    if details["type"] == "object":
        return None
    expected, inner = type_of(details, BFCL_TYPES), items_of(details, BFCL_TYPES)
    if details["type"] == "float" and type(value) is int:
        value = float(value)
    code, variable = check_type(value, alternatives, expected, inner)
    if code is not None:
        return code
    if not variable and expected is dict:
        return _check_dict(value, alternatives)
    if not variable and expected is list and inner is dict:
        return _check_dicts(value, alternatives)
    if not variable and expected is str:
        spelled = [standardised(a) for a in alternatives if type(a) is str]
        return None if standardised(value) in spelled else e.STRING
    if not variable and expected is list:
        return None if _level(value) in [_level(a) for a in alternatives] else e.LIST
    return None if value in alternatives else e.OTHERS


def check_type(
    value: JSON, alternatives: Sequence[JSON], expected: type, inner: type | None
) -> tuple[str | None, bool]:
    """An error code or None, and whether the value is to be compared plainly (a "variable"). Sheet section 5.3."""
    known = next((type(a) for a in alternatives if a != ""), None)
    code = e.TYPE_SIMPLE
    if type(value) is expected:
        if inner is None or any(_elements_fit(value, a, inner) for a in alternatives):
            return None, known is not None and known is not expected
        code = e.TYPE_NESTED if alternatives else e.TYPE_SIMPLE
    elif known is not None and type(value) is known:
        return None, True
    return code, False


def _elements_fit(value: JSON, alternative: JSON, inner: type) -> bool:
    if type(alternative) is not list:
        return True
    return all(check_type(element, alternative, inner, None)[0] is None for element in value)


def _level(values: JSON) -> list[JSON]:
    """The elements of a list, its strings standardised; of a string, its characters."""
    if isinstance(values, Mapping) and values:
        raise CheckerCrash("an object stands where a list is compared")
    return [levelled(values[i]) for i in range(len(values))]


def _check_dict(value: JSON, alternatives: Sequence[JSON]) -> str | None:
    """An object against each alternative in turn; the last one's last problem is the code."""
    code = e.DICT_UNCLEAR
    for alternative in alternatives:
        if alternative == "":
            continue
        problem = None
        for key, element in value.items():
            if key not in alternative:
                problem = e.DICT_KEY
            elif levelled(element) not in _level(alternative[key]):
                problem = e.DICT_VALUE
            if problem:
                break
        if any(key not in value and "" not in listed for key, listed in alternative.items()):
            problem = e.DICT_KEY
        if problem is None:
            return None
        code = problem
    return code


def _check_dicts(value: Sequence[JSON], alternatives: Sequence[JSON]) -> str | None:
    """A list of objects against each alternative in turn, pairwise and in order; the last one's code counts."""
    code: str | None = e.LIST_DICT_UNCLEAR
    for alternative in alternatives:
        if len(value) != len(alternative):
            code = e.LIST_DICT_COUNT
            continue
        code = None
        for k in range(len(value)):
            if (code := _check_dict(value[k], [alternative[k]])) is not None:
                break
        if code is None:
            return None
    return code
