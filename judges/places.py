"""Where in a reply the number stands that a rating contract reads: the characters whose tokens G-Eval weighs.

Each function goes with one reader of `judges.votes` and points at what that one takes: the whole reply, the first
match, the last. None where the reader finds no rating.
"""

from __future__ import annotations

import re

Place = tuple[int, int]
"""First character and the one after the last, as in a slice."""

_DOUBLE_BRACKETS = re.compile(r"\[\[(\d+)\]\]")
_SINGLE_BRACKETS = re.compile(r"\[([0-5])\]")


def first_in_brackets(reply: str) -> Place | None:
    """The first ``[[digits]]``: UltraEval-Audio's rating, OpenAudioBench's AlpacaEval, ratings of own rubrics."""
    found = _DOUBLE_BRACKETS.search(reply)
    return found.span(1) if found else None


def bare_or_in_brackets(reply: str) -> Place | None:
    """The whole reply where it is a number, else the first ``[[digits]]``: VoiceBench's open-ended rating."""
    return bare(reply) or first_in_brackets(reply)


def last_in_single_brackets(reply: str) -> Place | None:
    """The last ``[0]`` to ``[5]``: OpenAudioBench's Reasoning QA."""
    place = None
    for found in _SINGLE_BRACKETS.finditer(reply):
        place = found.span(1)
    return place


def bare(reply: str) -> Place | None:
    """The reply without the blanks around it, where it is what `float` accepts."""
    try:
        float(reply.strip())
    except ValueError:
        return None
    return stripped(reply, 0, len(reply))


def stripped(text: str, start: int, stop: int) -> Place:
    """A slice without the blanks at its ends."""
    inner = text[start:stop]
    start += len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip())
