"""Calls and answers as they may stand in a score: JSON that any reader takes, and short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalkit.records import JSON
from judges.calls.parsing import Call

TEXT, ITEMS, DEPTH = 300, 24, 6
"""Characters, elements and levels that are kept; a mark says that something was left out."""
MORE = "..."


def storable(value: JSON, depth: int = DEPTH) -> JSON:
    """The value cut to size; NaN, infinities and anything without a JSON spelling as their Python spelling."""
    if isinstance(value, str):
        return value if len(value) <= TEXT else value[:TEXT] + MORE
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, int):
        return (
            value if abs(value) < 1 << 63 else f"{value:.6e}" if abs(value) < 1 << 1000 else "a huge number"
        )
    if isinstance(value, list | tuple | dict) and not depth:
        return MORE
    if isinstance(value, list | tuple):
        return [storable(v, depth - 1) for v in value[:ITEMS]] + [MORE] * (len(value) > ITEMS)
    if isinstance(value, dict):
        kept = {str(k)[:TEXT]: storable(v, depth - 1) for k, v in list(value.items())[:ITEMS]}
        return kept | ({MORE: len(value) - ITEMS} if len(value) > ITEMS else {})
    return repr(value)[:TEXT]


def shown(calls: Sequence[Call] | None) -> JSON:
    """Decoded calls as a list of objects; None where there are none to show."""
    return None if calls is None else storable([{"name": c.name, "arguments": c.arguments} for c in calls])
