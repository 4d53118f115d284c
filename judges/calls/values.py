"""Strings made comparable, schema types as Python types, and what equals what.

Source: speech function calling sheet, sections 5.3, 5.4 and 6.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.records import JSON

_DELETED = re.compile(r"[ ,./\-_*^]")


class NoValue:
    """The type that ACEBench's "enum" stands for: no JSON value has it."""


BFCL_TYPES: Mapping[str, type] = {
    **{"string": str, "integer": int, "number": int, "float": float, "boolean": bool, "any": str},
    **{"array": list, "tuple": list, "dict": dict, "object": dict},
}
"""Schema types as the BFCL-style checker knows them; "number" is a whole number there."""

ACE_TYPES: Mapping[str, type] = {
    **BFCL_TYPES,
    **{"list": list, "objectArray": list, "list(string)": list, "list(enum)": list, "int": int},
    "enum": NoValue,
}
"""Schema types as the ACEBench-style checker knows them; "bool" is none."""


def standardised(text: str) -> str:
    """Without blanks and `, . / - _ * ^`, in lower case, apostrophes made quotation marks; nothing else."""
    return _DELETED.sub("", text).lower().replace("'", '"')


def levelled(value: JSON) -> JSON:
    """A string standardised, anything else as it is."""
    return standardised(value) if type(value) is str else value


def same(value: JSON, other: JSON) -> bool:
    """Strict equality: strings standardised, numbers by value, truth values only equal each other, at any depth."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, str) and isinstance(other, str):
        return standardised(value) == standardised(other)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(same(v, other[k]) for k, v in value.items())
    return value is other or bool(value == other)
