"""Letters in an answer to multiple choice: where one stands, and whether it states the answer.

The rule is in `judges.choices`; everything here is linear in the length of the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from judges.choice_words import Text, tokens, words

_OPENERS = {"(": ")", "[": "]", "{": "}", "<": ">", "【": "】", "「": "」", "『": "』", "《": "》"}
_EMPHASIS = frozenset("*_`\"'$~")
_BULLETS = frozenset("#>-•·=→\n")
_AFTER_BARE = frozenset(")]},:;!。、|*_`\"'\n")
_DASHES = frozenset("-–—=")
_BECAUSE = words("because since as which due based given so therefore 因 由")
_RIGHT = words("correct right best answer likely appropriate accurate true")
_HAN_RIGHT = ("正确", "答案", "对的", "最佳", "最合适", "最可能", "最准确", "最符合", "最恰当")
_POLITE = ("です", "だ", "입니다")  # they end a sentence after its last word
_JOINTS = words(", ; / & + 、 and or nor 和 或 及 与") | {"\n"}

_NOUNS = words(
    "answer ans choice option selection solution letter antwort respuesta réponse risposta resposta ответ"
)
_NOUN_PAIRS = frozenset((("答", "案"), ("答", "え"), ("정", "답")))
_VERBS = words(
    "choose chose chosen choosing select selected selecting pick picked picking therefore thus hence"
)
_VERB_PAIRS = frozenset((("go", "with"), ("going", "with"), ("went", "with"), ("opt", "for")))
_FILLERS = words(
    "is are was be would should must will here most probably definitely clearly therefore thus the my final "
    "correct right best option choice letter answer to this question for that i with number "
    "ist es est è é la le die richtige richtig correcta correcte bonne corretta correta opción"
)
_LINKS = words("is are was be : = - – — → 是 为 ist es est è é")
_LABELS = words("the my final correct right best answer option choice letter selection 选 项 答 案")
_HAN_FILLERS = words("是 为 应 该 选 项 择 就 正 确 的 答 案 : は 은 는")
_CUE_MARKS = _EMPHASIS | frozenset(",:=\n-–—>→】")
_POINTING = words(
    "it its is that thats this be would should must will i id ill think believe guess say so thus hence therefore "
    "probably definitely likely most clearly certainly surely sure yes ok okay well "
    "actually wait hmm oh the correct one my "
    "这 那 就 是 应 该 我 觉 得 认 为 猜 可 能 所 以 因 此 故 题"
)
"""Words that may lead up to a letter at the end of a clause: "I think it's B", "so B". No "then", no "right one":
what comes first, or from which side, is something else."""
_GIVEN = words("based given according considering 根")
_MATCHES = words("matches match fits fit supports suggests indicates")
_MATCH_PAIRS = frozenset(
    (("described", "by"), ("corresponds", "to"), ("aligns", "with"), ("consistent", "with"), ("points", "to"))
)
_TONES = words("major minor flat sharp natural chord # ♭ ♯")
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


def capitals_in(options: Sequence[str]) -> dict[str, set[int]]:
    """Capitals that stand as words in options of several words: {"C": {0, 2}}; not "A" or "I" before a plain word."""
    out: dict[str, set[int]] = {}
    for k, option in enumerate(options):
        found = [t for t in tokens(option) if t.word or t.low in _TONES]
        for i, one in enumerate(found if len(found) > 1 else ()):
            article = i == 0 and one.raw in "AI" and found[1].low not in _TONES
            if len(one.raw) == 1 and "A" <= one.raw <= "Z" and not article:
                out.setdefault(one.raw, set()).add(k)
    return out


class LetterReader:
    """Finds letters in one answer.

    Args:
        text: the answer.
        keys: the options' texts as compared, None for an empty option.
        used: capitals that stand as words in options, each with its options' places (`capitals_in`).
    """

    def __init__(
        self,
        text: Text,
        keys: Sequence[tuple[str, ...] | None],
        used: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        self.text = text
        self.tokens = text.tokens
        self.keys = keys
        self.used = used or {}

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
        following = "".join(t.raw for t in self.tokens[after : after + 3])
        if token.glued and following.startswith(_POLITE):
            return after
        if following.startswith("选项") and self.text.ends(after + 2):
            return after + 2
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
        """ "is correct", "is the best answer", "选项是正确的", "正确"."""
        words = [t.low for t in self.tokens[i : i + 8]]
        if words[:1] == ["is"]:
            return next((w for w in words[1:4] if w not in ("the", "most")), "") in _RIGHT
        said = "".join(words).removeprefix("选").removeprefix("项")
        return said.removeprefix("是").startswith(_HAN_RIGHT) and "吗" not in words

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
            elif (previous, token.low) in _NOUN_PAIRS or (previous, token.low) in (
                ("该", "是"),
                ("认", "为"),
            ):
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
            joint = self.tokens[i - 1].low in _JOINTS
            if joint and (other := self._joined(i)) is not None and other.index != mark.index:
                return [other]
            if i >= len(self.tokens) or (self.tokens[i].low not in _JOINTS and self.tokens[i].raw != "."):
                break
        return []

    def _joined(self, i: int) -> Mark | None:
        """A bare capital at `i` with "and", "or" after it: the list goes on ("A, B and C")."""
        if i + 1 >= len(self.tokens) or not self._letter(i) or self.tokens[i].raw == "I":
            return None
        more = self.tokens[i].raw.isupper() and self.tokens[i + 1].low in _JOINTS
        return Mark(ord(self.tokens[i].low) - ord("a"), i, i + 1) if more else None

    def _capital(self, mark: Mark) -> bool:
        letter = chr(ord("A") + mark.index)
        return any(t.raw == letter for t in self.tokens[mark.start : mark.end])

    def _refuted(self, mark: Mark) -> bool:
        own = self.own(mark.end, mark.index)
        return self.text.denied(mark.start, own or mark.end)

    def pointed(self) -> list[Mark]:
        """Capitals at the end of a clause that does nothing but point ("it's B", "so B", "matches option B")."""
        out = []
        for i in range(len(self.tokens)):
            mark = self.mark(i) if self._points_to(i) or self._matches(i) else None
            if mark and self._capital(mark) and not self._refuted(mark) and self._is_only_a_letter(mark):
                out += [mark, *self._listed(mark)]
        return out

    def _is_only_a_letter(self, mark: Mark) -> bool:
        """Is it an option's letter, and not a word of another option ("C" beside "C major")?"""
        elsewhere = set(self.used.get(chr(ord("A") + mark.index), ())) - {mark.index}
        return mark.index < len(self.keys) and not elsewhere

    def _points_to(self, i: int) -> bool:
        """Does a clause lead up to token `i` in pointing words alone, or is a letter there a sentence of its own?"""
        if i == 0 or not self._may_be_letter(i):
            return False
        start = self._pointing_from(i)
        if start < i:
            return start == 0 or self.text.cut(start - 1)
        before = self.tokens[i - 1].raw
        if before == ",":
            lead = self._pointing_from(i - 1)
            led = lead < i - 1 and (lead == 0 or self.text.cut(lead - 1))
            return led or (self._last(i) and self._given(i - 1))
        return before in ".!。" and i > 1 and not self._letter(i - 2) and self._last(i)

    def _may_be_letter(self, i: int) -> bool:
        """Is token `i` a capital letter, or a mark that may open one?"""
        raw = self.tokens[i].raw
        return raw in _OPENERS or raw in _EMPHASIS or (self._letter(i) and raw.isupper())

    def _pointing_from(self, i: int) -> int:
        """Where the run of pointing words that ends before `i` begins."""
        start = i
        while start > 0 and i - start < _MAX_FILLERS and self.tokens[start - 1].low in _POINTING:
            start -= 1
        return start

    def _last(self, i: int) -> bool:
        """Is a letter at `i` the last thing of its line?"""
        mark = self.mark(i)
        end = mark.end if mark else len(self.tokens)
        return bool(mark) and (
            end >= len(self.tokens) or "\n" in (self.tokens[end - 1].raw, self.tokens[end].raw)
        )

    def _given(self, i: int) -> bool:
        """Does the sentence before `i` say what the answer is based on, with no letter in it?"""
        while i > 0 and self.tokens[i - 1].raw not in ".!?。\n":
            i -= 1
            if self._letter(i) and self.tokens[i].raw.isupper():
                return False
        return self.tokens[i].low in _GIVEN

    def _matches(self, i: int) -> bool:
        """Does "matches option", "corresponds to option" or the like stand before token `i`?"""
        if i < 2 or self.tokens[i - 1].low not in _NOUNS:
            return False
        k = i - 2 - (self.tokens[i - 2].low == "the")
        low = self.tokens[k].low if k >= 0 else ""
        return low in _MATCHES or (k > 0 and (self.tokens[k - 1].low, low) in _MATCH_PAIRS)

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
