"""Checks of the family ``length_constraints`` (VoiceBench sheet, Appendix D)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.records import JSON
from judges.ifeval import texttools
from judges.ifeval.relations import holds

_PARAGRAPH_MARK = re.compile(r"\s?\*\*\*\s?")
_WORD = re.compile(r"\w+")
_ENDS_FIRST_WORD = re.compile(r"[.,?!'\"]")


def number_sentences(response: str, args: Mapping[str, JSON]) -> bool:
    """The number of sentences as Punkt's English model sees them."""
    return holds(len(texttools.sentences(response)), args["relation"], args["num_sentences"])


def number_words(response: str, args: Mapping[str, JSON]) -> bool:
    r"""The number of ``\w+`` tokens."""
    return holds(len(_WORD.findall(response)), args["relation"], args["num_words"])


def number_paragraphs(response: str, args: Mapping[str, JSON]) -> bool:
    """Exactly `num_paragraphs` pieces between ``***``; blank ones may only stand first or last."""
    pieces = _PARAGRAPH_MARK.split(response)
    if any(not piece.strip() for piece in pieces[1:-1]):
        return False
    return bool(sum(1 for piece in pieces if piece.strip()) == args["num_paragraphs"])


def nth_paragraph_first_word(response: str, args: Mapping[str, JSON]) -> bool:
    """`num_paragraphs` non-blank paragraphs, and the n-th starts with `first_word`.

    The n-th is looked up in the list *with* blanks, as the public scorer does.
    """
    paragraphs = response.split("\n\n")
    filled = sum(1 for paragraph in paragraphs if paragraph.strip())
    nth = int(args["nth_paragraph"])
    if nth > filled:
        return False
    paragraph = paragraphs[nth - 1].strip()
    if not paragraph:
        return False
    return bool(filled == args["num_paragraphs"] and _first_word(paragraph) == args["first_word"].lower())


def _first_word(paragraph: str) -> str:
    """First token of a non-blank paragraph without leading quotes, cut at punctuation, lower-cased.

    Letter by letter: a word-final capital sigma becomes a plain one, as in the public scorer.
    """
    token = paragraph.split()[0].lstrip("'").lstrip('"')
    return "".join(letter.lower() for letter in _ENDS_FIRST_WORD.split(token, maxsplit=1)[0])
