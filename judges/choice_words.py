"""Answers to multiple choice as tokens: what `judges.choices` reads letters and option texts from.

Everything here is linear in the length of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from judges.unicode_forms import normalized


def words(listed: str) -> frozenset[str]:
    """The blank-separated words of a text, as a set."""
    return frozenset(listed.split())


_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}_])\w)+|\n|[^\s]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "ʼ": "'"})
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_SPECIAL = re.compile(r"<\|\w{1,32}\|>|</?s>")
_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)

PLAIN = frozenset(".,;:!?\"'()[]{}<>`_*|。、「」『』【】《》〈〉·…—–")
"""Marks that never tell one option from another; all others may ("C#" and "C", "-5" and "5")."""

_ENDS = frozenset(".,;:!?)。、…")
_CUTS = frozenset("(—–\n")
_CUT_WORDS = frozenset(("but", "however"))

NEGATORS = words(
    "not no never neither nor without cannot cant isnt wasnt arent werent dont doesnt didnt wont wouldnt "
    "couldnt shouldnt hasnt havent hadnt mustnt aint except excluding excluded incorrect wrong unlikely "
    "impossible eliminate eliminated 不 没 非 无 未 别 错"
)
_NEGATING_PAIRS = frozenset(
    (("rather", "than"), ("instead", "of"), ("rule", "out"), ("ruled", "out"), ("far", "from"))
)
_COPULAS = words(
    "is was are were be can could would should does do did has seems looks sounds isnt wasnt arent werent "
    "cannot cant couldnt wouldnt doesnt dont didnt hasnt 是 不 并"
)


class Token(NamedTuple):
    """A word, an ideograph, a mark or a line end; `glued` when nothing stands between it and the one before."""

    raw: str
    low: str
    word: bool
    glued: bool


def without_thoughts(text: str) -> str:
    """What lies outside `<think>...</think>`; a lone close ends a thought from the start, a lone open one
    that goes on to the end. `<thinking>`, `<thought>` and `<reasoning>` are the same."""
    kept: list[str] = []
    at, inside = 0, False
    for mark in _THOUGHT.finditer(text):
        if mark.group(1):
            if not inside:
                kept.clear()
            inside = False
        elif not inside:
            kept.append(text[at : mark.start()])
            inside = True
        at = mark.end()
    if not inside:
        kept.append(text[at:])
    return "".join(kept)


def normal(text: str) -> str:
    """NFKC (full-width forms), straight quotes, line ends as one "\\n", no invisible characters nor `<|tokens|>`."""
    plain = _INVISIBLE.sub("", normalized("NFKC", _SPECIAL.sub(" ", text))).translate(_QUOTES)
    return "\n".join(line for given in plain.splitlines() if (line := given.strip()))


def tokens(text: str) -> list[Token]:
    """The tokens of a `normal` text; apostrophes inside words are left out ("don't" is "dont")."""
    out = []
    end = -1
    for found in _TOKEN.finditer(_APOSTROPHE.sub("", text)):
        raw = found.group()
        out.append(Token(raw, raw.casefold(), raw[0].isalnum() or raw[0].isalpha(), found.start() == end))
        end = found.end()
    return out


class Text:
    """An answer as tokens, with what is asked of each place: does a clause end there, is it denied?

    Attributes:
        tokens: all tokens.
        view: indices of the tokens that option texts are compared with.
    """

    def __init__(self, text: str, fine: bool = False) -> None:
        self.tokens = tokens(normal(text))
        self.fine = fine
        self.view = [i for i, t in enumerate(self.tokens) if counts(t, fine)]
        self.line = f" {' '.join(self.tokens[i].low for i in self.view)} "
        self._after = self._next_in_view()
        self._denied: list[bool] = []

    def _next_in_view(self) -> list[int]:
        """By token index: place in `view` of the first counted token from there on."""
        out = [len(self.view)] * (len(self.tokens) + 1)
        place = len(self.view)
        for i in range(len(self.tokens) - 1, -1, -1):
            if place and self.view[place - 1] == i:
                place -= 1
            out[i] = place
        return out

    def cut(self, i: int) -> bool:
        """Does a clause end with token `i`, or start there (an opening bracket, "but")?"""
        t = self.tokens[i]
        if t.raw in _CUTS or t.low in _CUT_WORDS:
            return True
        following = self.tokens[i + 1] if i + 1 < len(self.tokens) else None
        loose = following is None or not (following.glued and following.word and following.raw.isascii())
        return loose and (t.raw in _ENDS or (t.raw == "-" and not t.glued))

    def ends(self, i: int) -> bool:
        """Is `i` the end of the text, or a mark that ends a clause?"""
        return i >= len(self.tokens) or (not self.tokens[i].word and self.cut(i))

    def holds(self, i: int, key: Sequence[str]) -> int | None:
        """Index after `key` when the counted tokens from token `i` on begin with it, else None."""
        place = self._after[min(i, len(self.tokens))]
        if not key or place + len(key) > len(self.view):
            return None
        if any(self.tokens[self.view[place + k]].low != word for k, word in enumerate(key)):
            return None
        return self.view[place + len(key) - 1] + 1

    def mentions(self, key: Sequence[str]) -> Iterator[tuple[int, int]]:
        """(start, end) in token indices of every place that holds `key`."""
        needle = f" {' '.join(key)} "
        at = place = done = 0
        while key and (at := self.line.find(needle, at)) >= 0:
            place += self.line.count(" ", done, at)
            done = at
            yield self.view[place], self.view[place + len(key) - 1] + 1
            at += 1

    def settle_denials(self, named: Sequence[tuple[int, int]]) -> None:
        """Note for each token whether a negation stands before it in its clause, outside of `named` spans."""
        inside = [False] * len(self.tokens)
        for start, end in named:
            inside[start:end] = [True] * (end - start)
        denied = False
        self._denied = []
        for i in range(len(self.tokens)):
            self._denied.append(denied)
            if self.cut(i):
                denied = False
            elif not inside[i] and self.negates(i):
                denied = True

    def negates(self, i: int) -> bool:
        low = self.tokens[i].low
        after = [t.low for t in self.tokens[i + 1 : i + 3]]
        if "doubt" in after or after[:1] == ["only"]:  # "no doubt", "without a doubt", "not only"
            return False
        return low in NEGATORS or (low, *after[:1]) in _NEGATING_PAIRS

    def denied(self, start: int, end: int) -> bool:
        """Is what stands at tokens start..end denied: "not X", "X is wrong", "X can't be right"?"""
        if start < len(self._denied) and self._denied[start]:
            return True
        if end >= len(self.tokens) or self.tokens[end].low not in _COPULAS:
            return False
        for i in range(end, min(end + 4, len(self.tokens))):
            if self.cut(i):
                return False
            if self.negates(i):
                return True
        return False


def counts(token: Token, fine: bool) -> bool:
    """Is this token part of what an option says? Words always, telling marks when `fine`."""
    return token.word or (fine and token.raw != "\n" and token.raw not in PLAIN)


def key_of(text: str, fine: bool = False) -> tuple[str, ...]:
    """An option's text as compared: its words, without case, blanks and punctuation."""
    return tuple(t.low for t in tokens(normal(text)) if counts(t, fine))
