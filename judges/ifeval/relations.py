"""The two ways in which IFEval compares a count with a number."""

from __future__ import annotations

LESS_THAN = "less than"
AT_LEAST = "at least"

RELATIONS = (LESS_THAN, AT_LEAST)


def holds(count: int, relation: str, number: float) -> bool:
    """True when `count` stands in `relation` to `number` (VoiceBench sheet, Appendix D).

    Raises ValueError for any other relation, as the public scorer does.
    """
    if relation == LESS_THAN:
        return count < number
    if relation == AT_LEAST:
        return count >= number
    raise ValueError(f"relation {relation!r} is none of {RELATIONS}")
