"""Tool definitions as the checkers need them, and faults of a data set that crash the public scorers.

Source: speech function calling sheet, sections 2, 5.1, 6.1 and 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from evalkit.records import JSON
from judges.calls.errors import CRASHES, CheckerCrash, brief, cause
from judges.calls.values import ACE_TYPES, BFCL_TYPES

Style = Literal["bfcl", "acebench"]
Schema = Mapping[str, JSON]
"""A function's name, description and parameters."""

WITH_ITEMS = ("array", "tuple")
ACE_NESTED = (*WITH_ITEMS, "list(string)", "list(enum)", "object", "objectArray")


def unwrapped(tools: Sequence[Mapping[str, JSON]]) -> list[Schema]:
    """The functions of `{"type": "function", "function": ...}` wrappers; bare functions as they are.

    Raises:
        CheckerCrash: a wrapped function without name, description or parameters.
    """
    out: list[Schema] = []
    for tool in tools:
        function = tool.get("function") if "function" in tool else tool
        if not isinstance(function, Mapping):
            raise CheckerCrash("a tool is no object")
        lacks = [k for k in ("name", "description", "parameters") if k not in function]
        if lacks and function is not tool:
            raise CheckerCrash(f"the tool {brief(function.get('name'))} has no {lacks[0]}")
        out.append(function)
    return out


def named(schemas: Sequence[Schema], name: str) -> Schema:
    """The first function of exactly this name. Raises CheckerCrash when there is none."""
    for schema in schemas:
        if schema["name"] == name:
            return schema
    raise CheckerCrash(f"the answer's function {brief(name)} is not among the tools")


def named_within(schemas: Sequence[Schema], key: str) -> Schema:
    """The first function whose name is a part of `key` (ACEBench). Raises CheckerCrash when there is none."""
    for schema in schemas:
        if schema["name"] in key:
            return schema
    raise CheckerCrash(f"no tool's name is in the answer's key {brief(key)}")


def type_of(details: JSON, types: Mapping[str, type]) -> type:
    """The Python type a parameter's schema asks for. Raises CheckerCrash for a type nobody knows."""
    kind = details["type"]
    if kind not in types:
        raise CheckerCrash(f"the schema type {brief(kind)} is unknown")
    return types[kind]


def items_of(details: JSON, types: Mapping[str, type]) -> type | None:
    """The type of a parameter's elements where the BFCL-style checker looks at it. Raises as `type_of`."""
    if details["type"] not in WITH_ITEMS:
        return None
    items = details.get("items")
    if not isinstance(items, Mapping) or "type" not in items:
        raise CheckerCrash(f"the schema type {brief(details['type'])} has no items.type")
    return type_of(items, types)


def ace_items_of(details: JSON) -> type | None:
    """The same for the ACEBench-style checker, which falls back on the words of the type. Raises as `type_of`."""
    kind = details["type"]
    if kind not in ACE_NESTED:
        return None
    items = details.get("items")
    if isinstance(items, Mapping) and "type" in items:
        return type_of(items, ACE_TYPES)
    return ACE_TYPES["string"] if "string" in kind else ACE_TYPES["enum"] if "enum" in kind else dict


def faults(tools: Sequence[Mapping[str, JSON]], target: JSON, style: Style) -> list[str]:
    """What in tools and answers would crash the public scorer, whatever or as soon as a model answers; never raises."""
    try:
        return list(_faults(tools, target, style))
    except CheckerCrash as exc:
        return [str(exc)]
    except CRASHES as exc:
        return [f"the tools or the answer have a wrong shape ({cause(exc)})"]


def _faults(tools: Sequence[Mapping[str, JSON]], target: JSON, style: Style) -> Iterator[str]:
    schemas = unwrapped(tools)
    ace = style == "acebench"
    candidates = [target] if isinstance(target, Mapping) else target
    if not candidates or (ace and not all(candidates)):
        yield "the answer is empty"
    for candidate in candidates:
        for name, arguments in candidate.items():
            schema = named_within(schemas, name) if ace else named(schemas, name)
            yield from _of_call(schema, arguments, ace)


def _of_call(schema: Schema, arguments: JSON, ace: bool) -> list[str]:
    parameters = schema["parameters"]
    if ace and not parameters:
        return []
    if lacks := [k for k in ("properties", "required") if k not in parameters]:
        return [f"the parameters of {brief(schema['name'])} have no {lacks[0]}"]
    found = []
    for name in arguments:
        details = parameters["properties"].get(name)
        if details is None or (not ace and details.get("type") == "object"):
            continue
        try:
            if ace:
                listed = type_of(details, ACE_TYPES) is list and ace_items_of(details) is dict
                if listed and _never_compared(details["type"], arguments[name]):
                    found.append(f"parameter {brief(name)}: the right list is a crash, as a list of objects")
            else:
                type_of(details, BFCL_TYPES), items_of(details, BFCL_TYPES)
        except CheckerCrash as exc:
            found.append(f"parameter {brief(name)}: {exc}")
        except KeyError:
            found.append(f"parameter {brief(name)} has no type")
    return found


def _never_compared(kind: str, answer: JSON) -> bool:
    """Does ACEBench's comparison of lists of objects stop at this answer, given back as it is?"""
    return isinstance(answer, list) and any(kind == "objectArray" or not isinstance(a, dict) for a in answer)
