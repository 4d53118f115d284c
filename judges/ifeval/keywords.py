"""Checks of the family ``keywords`` (VoiceBench sheet, Appendix D). Data-set words are regexes, unescaped."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.records import JSON
from judges.ifeval import patterns
from judges.ifeval.relations import holds


def existence(response: str, args: Mapping[str, JSON]) -> bool:
    """Every one of `keywords` is found, ignoring case."""
    return all(
        patterns.count("search", word, response, source=word, flags=re.IGNORECASE)
        for word in args["keywords"]
    )


def frequency(response: str, args: Mapping[str, JSON]) -> bool:
    """The number of non-overlapping matches of the stripped `keyword`, anywhere, ignoring case."""
    word = args["keyword"].strip()
    found = patterns.count("findall", word, response, source=word, flags=re.IGNORECASE)
    return holds(found, args["relation"], args["frequency"])


def forbidden_pattern(word: str) -> str:
    """The pattern that looks for a forbidden word."""
    return rf"\b{word}\b"


def forbidden_words(response: str, args: Mapping[str, JSON]) -> bool:
    """None of `forbidden_words` is found between word boundaries, ignoring case."""
    return not any(
        patterns.count("search", forbidden_pattern(word), response, source=word, flags=re.IGNORECASE)
        for word in args["forbidden_words"]
    )


def letter_frequency(response: str, args: Mapping[str, JSON]) -> bool:
    """Occurrences of `letter` in the lower-cased response."""
    found = response.lower().count(args["letter"].lower())
    return holds(found, args["let_relation"], args["let_frequency"])
