"""Checks of the families ``language``, ``combination``, ``startend``, ``change_case`` and ``punctuation``.

VoiceBench sheet, Appendix D. Where no language can be detected (no letters), the public scorer lets pass.
"""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.records import JSON
from judges.ifeval import texttools
from judges.ifeval.relations import holds


def response_language(response: str, args: Mapping[str, JSON]) -> bool:
    """The detected language is `language` (a code such as "de"), or none can be detected."""
    return texttools.language(response) in (None, args["language"])


def english_capital(response: str, args: Mapping[str, JSON]) -> bool:
    """All capitals, and English or undetectable."""
    return response.isupper() and texttools.language(response) in (None, "en")


def english_lowercase(response: str, args: Mapping[str, JSON]) -> bool:
    """All lower case, and English or undetectable."""
    return response.islower() and texttools.language(response) in (None, "en")


def capital_word_frequency(response: str, args: Mapping[str, JSON]) -> bool:
    """The number of Treebank-style word tokens for which `str.isupper` holds."""
    found = sum(1 for word in texttools.words(response) if word.isupper())
    return holds(found, args["capital_relation"], args["capital_frequency"])


def two_responses(response: str, args: Mapping[str, JSON]) -> bool:
    """Two different answers around ``******``; blank pieces may only stand first or last."""
    pieces = [piece.strip() for piece in response.split("******")]
    if not all(pieces[1:-1]):
        return False
    filled = [piece for piece in pieces if piece]
    return len(filled) == 2 and filled[0] != filled[1]


def repeat_prompt(response: str, args: Mapping[str, JSON]) -> bool:
    """Starts with `prompt_to_repeat`, ignoring case and outer blanks."""
    return response.strip().lower().startswith(args["prompt_to_repeat"].strip().lower())


def end_checker(response: str, args: Mapping[str, JSON]) -> bool:
    """Ends with `end_phrase`, ignoring case, outer blanks and then outer double quotes."""
    return response.strip().strip('"').lower().endswith(args["end_phrase"].strip().lower())


def quotation(response: str, args: Mapping[str, JSON]) -> bool:
    """Wrapped in double quotes."""
    text = response.strip()
    return len(text) > 1 and text[0] == '"' and text[-1] == '"'


def no_comma(response: str, args: Mapping[str, JSON]) -> bool:
    """No ASCII comma."""
    return "," not in response
