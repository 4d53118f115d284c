"""Letters in an answer to multiple choice: where one stands, and whether it states the answer.

The rule is in `judges.choices`; everything here is linear in the length of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from judges.choice_words import Text, words

_OPENERS = {"(": ")", "[": "]", "{": "}", "<": ">", "【": "】", "「": "」", "『": "』", "《": "》"}
_EMPHASIS = frozenset("*_`\"'$~")
_BULLETS = frozenset("#>-•·\n")
_AFTER_BARE = frozenset(")]},:;!。、|*_`\"'\n")
_DASHES = frozenset("-–—=")
_BECAUSE = words("because since as which due based given so therefore 因 由")
_RIGHT = words("correct right best answer likely appropriate accurate true 正 对 答 最")
_JOINTS = words(", ; / & + 、 and or nor 和 或 及 与") | {"\n"}

_NOUNS = words("answer ans choice option selection solution letter")
_VERBS = words(
    "choose chose chosen choosing select selected selecting pick picked picking therefore thus hence"
)
_VERB_PAIRS = frozenset((("go", "with"), ("going", "with"), ("went", "with"), ("opt", "for")))
_FILLERS = words(
    "is are was be would should must will here most probably definitely clearly therefore thus the my final "
    "correct right best option choice letter answer to this question for that i with number"
)
_LINKS = words("is are was be : = - – — → 是 为")
_LABELS = words("the my final correct right best answer option choice letter selection 选 项 答 案")
_HAN_FILLERS = words("是 为 应 该 选 项 择 就 正 确 的 答 案 :")
_CUE_MARKS = _EMPHASIS | frozenset(",:=\n-–—>→")
_MAX_FILLERS = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """A letter as it stands in an answer: its option's place, and the tokens it takes with its marks.

    `wrapped` in brackets or emphasis; `spaced` when only a blank stands between it and a word.
    """

    index: int
    start: int
    end: int
    wrapped: bool = False
    spaced: bool = False


class LetterReader:
    """Finds letters in one answer; `keys` are the options' texts as compared, None for an empty option."""

    def __init__(self, text: Text, keys: Sequence[tuple[str, ...] | None]) -> None:
        self.text = text
        self.tokens = text.tokens
        self.keys = keys

    # --- which letter, if any, stands here -------------------------------------------------------

    def mark(self, i: int, *, bullets: bool = False) -> Mark | None:
        """The letter at token `i`, past opening marks."""
        start, closers = i, []
        skip = _EMPHASIS | _BULLETS if bullets else _EMPHASIS
        while i < len(self.tokens) and i < start + _MAX_FILLERS:
            raw = self.tokens[i].raw
            if raw in _OPENERS:
                closers.append(_OPENERS[raw])
            elif raw in _EMPHASIS:
                closers.append(raw)
            elif raw not in skip:
                break
            i += 1
        if i >= len(self.tokens) or not self._letter(i):
            return None
        index = ord(self.tokens[i].low) - ord("a")
        if (end := self._closed(i + 1, closers)) is not None:
            return Mark(index, start, end, wrapped=True)
        if (end := self._bare(i, index)) is not None:
            return Mark(index, start, end, spaced=end == i + 1 < len(self.tokens))
        return None

    def _letter(self, i: int) -> bool:
        raw = self.tokens[i].raw
        return len(raw) == 1 and raw.isascii() and raw.isalpha()

    def _closed(self, i: int, closers: list[str]) -> int | None:
        """Index after the marks that close what was opened before a letter; "." may stand before them."""
        if not closers:
            return None
        if i + 1 < len(self.tokens) and self.tokens[i].raw in ".:" and self.tokens[i + 1].raw == closers[-1]:
            i += 1
        for closer in reversed(closers):
            if i >= len(self.tokens) or self.tokens[i].raw != closer:
                return None
            i += 1
        return i

    def _bare(self, i: int, index: int) -> int | None:
        """Index after the letter at `i` and its mark, when what follows shows that it is a letter."""
        after = i + 1
        if after >= len(self.tokens):
            return after
        token = self.tokens[after]
        glued = after + 1 < len(self.tokens) and self.tokens[after + 1].glued
        if token.raw in _AFTER_BARE:
            return None if self.tokens[i].low == "i" and token.raw == "," else after + 1
        if token.raw == "." or token.raw in _DASHES:
            loose = not glued or not self.tokens[after + 1].word
            if (token.raw == "." and loose) or (not token.glued and not glued):
                return after + 1
            return after + 1 if self.own(after + 1, index) else None
        if self.tokens[i].raw.islower():
            return None
        if token.low in _BECAUSE or self._is_right(after):
            return after
        own = self.own(after, index)
        article = self.tokens[i].low in ("a", "i") and own is not None and not self.text.ends(own)
        return after if own and not article else None

    def _is_right(self, i: int) -> bool:
        """ "is correct", "is the best answer", "是正确答案"."""
        words = [t.low for t in self.tokens[i : i + 4]]
        if not words or words[0] not in ("is", "是"):
            return False
        return next((w for w in words[1:] if w not in ("the", "most")), "") in _RIGHT

    def own(self, i: int, index: int) -> int | None:
        """Index after the option's own text, when it follows."""
        return self.text.holds(i, self.keys[index] or ()) if index < len(self.keys) else None

    # --- letters that are stated, or hinted at --------------------------------------------------

    def stated(self) -> list[Mark]:
        """Letters that open the answer or follow a cue, with those listed right after them."""
        lead, *cued = (m if m and not self._refuted(m) else None for m in (self._leading(), *self._cued()))
        marks = [m for m in cued if m]
        if lead and (second := self._next_of_all(lead)):
            return marks or [lead, second]
        marks = [lead, *marks] if lead else marks
        return [m for mark in marks for m in (mark, *self._listed(mark))]

    def _next_of_all(self, lead: Mark) -> Mark | None:
        """The second option, when an answer opens with the first one's letter and text and goes through them all."""
        start = self.own(lead.end, lead.index)
        if lead.index or start is None:
            return None
        for i in range(start, len(self.tokens)):
            if i == start or self.text.cut(i - 1):
                mark = self.mark(i)
                if mark and mark.index == 1 and self.own(mark.end, 1):
                    return mark
        return None

    def _leading(self) -> Mark | None:
        if found := self.mark(0, bullets=True):
            return found
        i = 0
        while i < len(self.tokens) and i < _MAX_FILLERS:
            t = self.tokens[i]
            if t.low not in _LABELS and t.raw not in _EMPHASIS | _BULLETS and t.raw not in _OPENERS:
                break
            i += 1
            if (t.low in _NOUNS or t.low in "项案") and (found := self.mark(i)):
                return found
        return None

    def _cued(self) -> list[Mark | None]:
        out = []
        for i, token in enumerate(self.tokens):
            previous = self.tokens[i - 1].low if i else ""
            if token.low in _NOUNS:
                out.append(self._after_cue(i + 1, _FILLERS, linked=False))
            elif token.low in _VERBS or (previous, token.low) in _VERB_PAIRS:
                out.append(self._after_cue(i + 1, _FILLERS, linked=True))
            elif (previous, token.low) in (("答", "案"), ("该", "是"), ("认", "为")):
                out.append(self._after_cue(i + 1, _HAN_FILLERS, linked=True))
            elif token.low == "选":
                out.append(self._after_cue(i + 1, _HAN_FILLERS, linked=not self._begins_option(i + 1)))
            else:
                out.append(self._called_right(i))
        return out

    def _called_right(self, i: int) -> Mark | None:
        """A letter at `i` that the answer calls right: "(B) is correct", "option B is the answer"."""
        if not (self._letter(i) and self.tokens[i].raw.isupper()) and self.tokens[i].raw not in _OPENERS:
            return None
        mark = self.mark(i)
        return mark if mark and self._is_right(mark.end) else None

    def _begins_option(self, i: int) -> bool:
        """选 begins 选项, "option", which needs a link as the English word does."""
        return i < len(self.tokens) and self.tokens[i].low == "项"

    def _after_cue(self, i: int, fillers: frozenset[str], *, linked: bool) -> Mark | None:
        """The first letter after a cue and filler words; a noun needs a link ("is", ":") in between."""
        end = i + _MAX_FILLERS
        while i < min(end, len(self.tokens)):
            if linked and (found := self.mark(i)):
                return found
            t = self.tokens[i]
            linked = linked or t.low in _LINKS
            if t.low not in fillers and t.raw not in _CUE_MARKS:
                return None
            i += 1
        return None

    def _listed(self, mark: Mark) -> list[Mark]:
        """Other letters listed right after one: "A, B", "(A) or (B)", "A. own text B. own text"."""
        at = self.own(mark.end, mark.index) or mark.end
        for i in range(at, min(at + 4, len(self.tokens) + 1)):
            found = self.mark(i)
            if found and found.index != mark.index and (found.wrapped or self._capital(found)):
                return [found]
            if i >= len(self.tokens) or (self.tokens[i].low not in _JOINTS and self.tokens[i].raw != "."):
                break
        return []

    def _capital(self, mark: Mark) -> bool:
        letter = chr(ord("A") + mark.index)
        return any(t.raw == letter for t in self.tokens[mark.start : mark.end])

    def _refuted(self, mark: Mark) -> bool:
        own = self.own(mark.end, mark.index)
        return self.text.denied(mark.start, own or mark.end)

    def hinted(self) -> list[Mark]:
        """The last line, when it is a letter alone; else letters in brackets or at the start of a line."""
        starts = [0, *(i + 1 for i, t in enumerate(self.tokens) if t.raw == "\n")]
        last = self.mark(starts[-1], bullets=True)
        if last and last.index < len(self.keys) and self._nothing_but_marks(last.end):
            return [last]
        found = [self._bracketed(i) for i in range(len(self.tokens))]
        found += [self._opening(i) for i in starts[1:]]
        return [m for m in found if m and m.index < len(self.keys) and not self._refuted(m)]

    def _bracketed(self, i: int) -> Mark | None:
        """A letter in brackets at `i`, if the bracket isn't part of a word, as in "speaker(s)"."""
        part_of_word = self.tokens[i].glued and self.tokens[i - 1].word
        mark = self.mark(i) if self.tokens[i].raw in _OPENERS and not part_of_word else None
        return mark if mark and mark.wrapped else None

    def _opening(self, i: int) -> Mark | None:
        """A letter that opens the line at `i`, with its option's text."""
        mark = self.mark(i, bullets=True)
        return mark if mark and self.own(mark.end, mark.index) else None

    def _nothing_but_marks(self, i: int) -> bool:
        return not any(t.word for t in self.tokens[i:])
