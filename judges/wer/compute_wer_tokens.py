"""Tokens as compute-wer makes them, in the five generations of its tokeniser (ASR sheet section 4.2).

    A  0.2.0, 0.2.1   19 marks skipped where a token would start; a word is a character and the ASCII after it
    B  0.2.2          any punctuation (category P) skipped there
    C  0.2.3          nothing skipped: the last release before the report
    D  0.2.4          as C, with an option that drops punctuation and symbols
    E  0.2.5          every punctuation mark and symbol is a token, or dropped; words are letters and digits

Generations A to D know tags: "<unk>" is one token, and goes when tags are removed. E has lost them.
Every function takes one pass over the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal, get_args

Generation = Literal["A", "B", "C", "D", "E"]
GENERATIONS: tuple[Generation, ...] = get_args(Generation)

_BLANKS = frozenset(" \t\r\n")
_MARKS_OF_A = frozenset("!,.?-、。！，；？：「」︰『』《》")
_APOSTROPHE = "'"
_ASCII_WORDS = re.compile(r"[^ \t\r\n]+")
_ASCII_CHARS = re.compile(r"[A-Za-z0-9]|[^ \t\r\nA-Za-z0-9][^ \t\r\n]*")
"""What C and D make of a text that is all ASCII and holds no tag."""

_ALONE_IN_E = (
    *((0x4E00, 0x9FFF), (0x3040, 0x30FF)),  # CJK unified ideographs, kana
    *((0x0E00, 0x0E7F), (0x0E80, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x0F00, 0x0FFF)),
)
"""Blocks whose characters are tokens in E: Han, kana, then Thai, Lao, Myanmar, Khmer, Tibetan."""


def tokenize(
    text: str, generation: Generation = "C", *, char: bool = False, ignore_punctuation: bool = False
) -> list[str]:
    """Tokens of a text, as written: neither case nor tags are touched.

    Args:
        char: every letter and digit is a token, not only those of scripts without word gaps.
        ignore_punctuation: drop punctuation and symbols (apart from apostrophes); D and E only.

    Raises:
        ValueError: no such generation, or one that has no such option.
    """
    if generation not in GENERATIONS:
        raise ValueError(f"compute-wer has tokeniser generations A to E, not {generation!r}")
    if ignore_punctuation and generation not in ("D", "E"):
        raise ValueError(f"generation {generation} can't ignore punctuation; D and E can")
    if generation == "E":
        return list(_words_of_letters(text, char, ignore_punctuation))
    if text.isascii() and "<" not in text and not ignore_punctuation and generation in ("C", "D"):
        return (_ASCII_CHARS if char else _ASCII_WORDS).findall(text)  # the same tokens, ten times as fast
    return list(_words_of_ascii(text, char, _skips(generation), ignore_punctuation))


def _skips(generation: Generation) -> Callable[[str, str], bool]:
    """What is passed over where a token would start, given a character and its category."""
    if generation == "A":
        return lambda c, category: c in _MARKS_OF_A
    if generation == "B":
        return lambda c, category: category[0] == "P"
    return lambda c, category: False


def _is_mark(c: str, category: str) -> bool:
    return category[0] in "PS" and c != _APOSTROPHE


def _words_of_ascii(
    text: str, char: bool, skips: Callable[[str, str], bool], ignore_punctuation: bool
) -> Iterator[str]:
    """Generations A to D."""
    at, end = 0, len(text)
    while at < end:
        c = text[at]
        category = unicodedata.category(c)
        start, at = at, at + 1
        if skips(c, category) or category in ("Zs", "Cn") or c in _BLANKS:
            continue
        if ignore_punctuation and _is_mark(c, category):
            continue
        if not (category == "Lo" or (char and category[0] in "LN")):
            at = _end_of_word(text, start, ignore_punctuation)
        yield text[start:at]


def _end_of_word(text: str, start: int, ignore_punctuation: bool) -> int:
    """Where a token ends that begins at `start`: with the ASCII up to a blank, or with the tag's ">".

    When punctuation is ignored a mark ends it, too; a ">" that ends it stays on ("<b>" gives "b>").
    """
    tag = text[start] == "<"
    at = start + 1
    while at < len(text) and text[at].isascii() and text[at] not in _BLANKS:
        if tag and text[at] == ">":
            break
        if ignore_punctuation and _is_mark(text[at], unicodedata.category(text[at])):
            break
        at += 1
    return at + 1 if text[at : at + 1] == ">" else at


def _words_of_letters(text: str, char: bool, ignore_punctuation: bool) -> Iterator[str]:
    """Generation E."""
    at, end = 0, len(text)
    while at < end:
        c = text[at]
        category = unicodedata.category(c)
        start, at = at, at + 1
        if category in ("Zs", "Cn"):
            continue
        if category[0] in "PS":
            if not ignore_punctuation:
                yield c
        elif _alone(c):
            yield c
        elif category[0] in "LN":
            while not char and at < end and _continues(text[at]):
                at += 1
            yield text[start:at]


def _alone(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in _ALONE_IN_E)


def _continues(c: str) -> bool:
    return c == _APOSTROPHE or (unicodedata.category(c)[0] in "LN" and not _alone(c))


def strip_tags(token: str) -> str:
    """A token without its `<...>`; a "<" that never closes stays."""
    out: list[str] = []
    at = 0
    while (start := token.find("<", at)) >= 0 and (end := token.find(">", start)) >= 0:
        out.append(token[at:start])
        at = end + 1
    return "".join([*out, token[at:]])
