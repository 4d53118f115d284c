"""From the text of a response to the calls in it: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.

Source: speech function calling sheet, section 4. Both public scorers read predictions alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from evalkit.records import JSON

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_BEGIN = re.compile(r"\s*+\{")
_END = re.compile(rf"\}}\s*+{CLOSE}")


class Call(NamedTuple):
    """One decoded call; the name is whatever scalar stood there (null included)."""

    name: JSON
    arguments: dict[str, JSON]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was read of a prediction.

    Attributes:
        calls: the calls in order; None when the record can't be decoded at all.
        dropped: tagged calls that were no JSON and were left out.
        failure: why there are no calls, when `calls` is None.
    """

    calls: tuple[Call, ...] | None
    dropped: int = 0
    failure: str = ""


class Undecodable(Exception):
    """A call that spoils its whole record."""


def groups(text: str) -> Iterator[str]:
    """The object texts between tags, in order, matches not overlapping; linear in the length of the text.

    A match runs from an opening tag that a brace follows to the first closing brace that a closing tag follows,
    white space between them allowed, whatever lies in between.
    """
    position = 0
    while (start := text.find(OPEN, position)) >= 0:
        position = start + len(OPEN)
        begin = _BEGIN.match(text, position)
        if begin is None:
            continue
        end = _END.search(text, begin.end())
        if end is None:  # nor can a later opening tag find one
            return
        yield text[begin.end() - 1 : end.start() + 1]
        position = end.end()


def to_call(body: JSON) -> Call:
    """A decoded object as a call; keys besides name and arguments don't matter.

    Raises:
        Undecodable: no name or arguments, a name that can't be a key, arguments that are no object.
    """
    if "name" not in body or "arguments" not in body:
        raise Undecodable("a call needs name and arguments")
    name, arguments = body["name"], body["arguments"]
    if isinstance(name, list | dict):
        raise Undecodable("the name of a call is no text")
    if isinstance(arguments, list) and len(arguments) == 1:
        arguments = arguments[0]
    if not isinstance(arguments, dict):
        raise Undecodable("the arguments of a call are no object")
    return Call(name, arguments)


def decode(prediction: JSON) -> Decoded:
    """The calls of a prediction; never raises.

    What is no JSON is left out without a word, but a call in a wrong shape makes the whole record undecodable.
    """
    if not isinstance(prediction, str):
        return Decoded(None, failure="the prediction is no text")
    bodies: list[JSON] = []
    dropped = 0
    for group in groups(prediction):
        try:
            # The public scorers take the two characters \n for a blank before they decode.
            bodies.append(json.loads(group.replace("\\n", " ")))
        except (ValueError, RecursionError):
            dropped += 1
    try:
        return Decoded(tuple(map(to_call, bodies)), dropped)
    except Undecodable as exc:
        return Decoded(None, dropped, str(exc))
