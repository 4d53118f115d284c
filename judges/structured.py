"""A judge held to a JSON Schema by its endpoint: the schema, the words that go with it, and reading the reply.

The verdict inside is one of the replies the public contract surely understands, and is read by that contract: a
judge of VoiceBench gives "4", one of UltraEval-Audio "[[7]]". Only contracts all of whose verdicts can be listed are
held to a schema; others stay text, and so does an endpoint that takes none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from evalkit.records import JSON
from judges.contracts import Contract, Reading, unparseable
from judges.places import Place

_VERDICT = re.compile(r'"verdict"\s*:\s*"')


def schema_for(contract: Contract) -> dict[str, JSON] | None:
    """The JSON Schema of a verdict, after a reason where the rubric asks for one; None for verdicts no list holds."""
    if not (contract.choices and contract.closed):
        return None
    reason: dict[str, JSON] = {"reason": {"type": "string"}} if contract.reasons else {}
    return {
        "title": "verdict",
        "type": "object",
        "properties": {**reason, "verdict": {"type": "string", "enum": list(contract.choices)}},
        "required": [*reason, "verdict"],
        "additionalProperties": False,
    }


def note_for(contract: Contract) -> str:
    """What is said below the rubric about the form of the reply."""
    said = ", ".join(json.dumps(c, ensure_ascii=False) for c in contract.choices)
    keys = 'first "reason", one or two sentences, then "verdict"' if contract.reasons else '"verdict" alone'
    return (
        f"Form of the reply, in place of any other asked for above: one JSON object with {keys}. "
        f"The verdict is one of these, spelled exactly so: {said}."
    )


def verdict_in(reply: str, choices: Sequence[str]) -> str | None:
    """The verdict of a reply that keeps to the schema, else None."""
    try:
        found = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    verdict = found.get("verdict") if isinstance(found, dict) else None
    return verdict if isinstance(verdict, str) and verdict in choices else None


def held(contract: Contract) -> Contract:
    """The contract for replies that keep to its schema."""

    def read(replies: Sequence[str]) -> Reading:
        given = replies if contract.several else replies[:1]
        verdicts = [verdict_in(reply, contract.choices) for reply in given]
        whole = [v for v in verdicts if v is not None]
        if len(whole) < len(verdicts):
            return unparseable(tuple(verdicts), "the JSON its schema asks for")
        return contract.read(whole)

    def place(reply: str) -> Place | None:
        starts = [m.end() for m in _VERDICT.finditer(reply)]  # inside a string its quotes would be escaped
        verdict = verdict_in(reply, contract.choices)
        if not starts or verdict is None or not reply.startswith(f'{verdict}"', starts[-1]):
            return None
        found = contract.place(verdict) if contract.place is not None else None
        return (starts[-1] + found[0], starts[-1] + found[1]) if found else None

    return replace(contract, read=read, place=place if contract.place is not None else None)
