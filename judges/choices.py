"""Our own reading of an answer to a multiple choice question: a letter, or exactly one option's text.

The rule, in order (nothing is ever drawn at random, and what can't be read is wrong):

1. Thoughts (`<think>...</think>`) are removed. If the rest has `<answer>...</answer>` or `\\boxed{...}`,
   only what is inside is read; several of them must be read alike.
2. Case, width (NFKC), blanks and punctuation don't count when words are compared. Marks such as "#" or "-"
   count only where two options of this question differ in nothing else ("C# major", "C major").
3. A letter is *stated* when it opens the answer, follows a cue ("the answer is", "answer:", "I choose",
   "therefore", "答案是", "选", "die Antwort ist" ...), or is called right ("B is correct"). It is read
   - in brackets or emphasis: "(B)", "[b]", "**B**", "(B)text";
   - bare before a mark or the end: "B", "b.", "B) text", "B: text"; "B.text" and "B text" only when the text
     is that option's own; "B because", "B is correct".
   So the article is never a letter: "A dog" names option A only if option A is "dog".
   A stated letter that is denied ("option B is wrong", "I would not choose B") is none, and an answer that
   opens with the list of all options ("A. x ... B. y ...") states only what follows a cue.
4. Without a stated letter, a capital that is *pointed at* is read: a clause that holds nothing else but words
   such as "it's", "so", "I think", "probably", "所以" before it ("It's B.", "I hear meowing, so B"), "matches
   option B", or a sentence of its own at a line's end. Not "then" or "could be", and not where another option
   has that capital as a word ("It's C." beside "C major"). Without one, a last line that is a letter and nothing
   else; else a letter in brackets anywhere ("that must be a cat (B)"), or one that opens a line with its own
   option's text.
5. Two different letters (stated or pointed at), or a letter with another one listed right after it ("A, B",
   "(A) or (B)", "A, C and D"): nothing is chosen. So too when a letter past the last option is stated, or one
   whose option is empty (null).
6. A letter followed by another option's text, as a clause of its own, or one read by 4 when only other
   options' texts are named: nothing is chosen.
7. Without a letter, options named by their text count. A name inside a longer option's name doesn't
   ("dog" in "dog barking"), nor does one that is denied: after a negation in its clause ("not a dog"), or
   before one ("a dog is wrong"). An option that is one letter long needs its own case and the end of a clause
   after it, and "none of ..." doesn't name "None", nor "the right answer" "Right". Exactly one option must be
   left; equal options are one, the first.

Letters go up to Z; options beyond have no letter, only their text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.choice_letters import LetterReader, Mark, capitals_in
from judges.choice_words import Text, key_of, normal, without_thoughts

_TAGGED = re.compile(r"<answer>", re.IGNORECASE)
_TAG_END = re.compile(r"</answer>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s{0,4}\{")
_SAYS_ELSE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("none",): ("of",),
    **{(word,): ("answer", "option", "choice", "one") for word in ("right", "correct")},
}
_LATEX = re.compile(r"\\[A-Za-z]{1,20}|[{}$\\]")


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: the option's place from 0, or None; and what it was read by, or why nothing was.

    `reason` is "letter" or "option" with an index; without one "empty", "no-choice", "denied",
    "no-such-letter", "empty-option", "several-letters", "several-options", "several-answers" (marked ones) or
    "letter-against-option".
    """

    index: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of one question, as they are compared."""

    keys: tuple[tuple[str, ...] | None, ...]
    raws: tuple[str, ...]
    fine: bool
    capitals: Mapping[str, set[int]]

    def same(self, one: int, other: int) -> bool:
        """Do two options say the same? A place past the last is like none."""
        return max(one, other) < len(self.keys) and self.keys[one] == self.keys[other]

    def at(self, text: Text, i: int, own: int | None = None) -> int | None:
        """The longest option whose text stands at token `i` as a clause of its own; `own` needs no end."""
        best, length = None, 0
        for k, key in enumerate(self.keys):
            end = text.holds(i, key) if key and len(key) > length else None
            if key and end is not None and (k == own or text.ends(end)):
                best, length = k, len(key)
        return best


@lru_cache(maxsize=4096)
def _options(given: tuple[str | None, ...]) -> _Options:
    plain = [None if o is None else key_of(o) for o in given]
    exact = [None if o is None else key_of(o, fine=True) for o in given]
    fine = len(set(plain)) < len(set(exact)) or () in plain
    keys = exact if fine else plain
    raws = tuple(normal(o or "") for o in given)
    return _Options(tuple(keys), raws, fine, capitals_in(raws))


def choose(response: str, options: Sequence[str | None]) -> Choice:
    """The option an answer settles on, by the rule in this module's docstring; None is an empty option."""
    known = _options(tuple(options))
    answer = without_thoughts(response)
    if marked := _marked(answer):
        found = [_read(part, known) for part in marked]
        return found[0] if len({c.index for c in found}) == 1 else Choice(None, "several-answers")
    return _read(answer, known)


def same_option(one: str, other: str, options: Sequence[str | None]) -> bool:
    """Do two texts say the same option: equal, or equal as these options are compared?"""
    fine = _options(tuple(options)).fine
    return one == other or (bool(key := key_of(one, fine)) and key == key_of(other, fine))


def _marked(text: str) -> list[str]:
    """What stands inside `<answer>` tags, else inside `\\boxed{}`; an unclosed one goes on to the end."""
    parts, at = [], 0
    while opened := _TAGGED.search(text, at):
        closed = _TAG_END.search(text, opened.end())
        parts.append(text[opened.end() : closed.start() if closed else len(text)])
        at = closed.end() if closed else len(text)
    if parts:
        return parts
    while boxed := _BOXED.search(text, at):
        end, depth = boxed.end(), 1
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        parts.append(_LATEX.sub(" ", text[boxed.end() : end - (depth == 0)]))
        at = end
    return parts


def _read(answer: str, options: _Options) -> Choice:
    text = Text(answer, options.fine)
    if not text.tokens:
        return Choice(None, "empty")
    named = _named(text, options)
    text.settle_denials([(start, end) for start, end, _ in named])
    left = {k for start, end, k in named if not text.denied(start, end)}
    reader = LetterReader(text, options.keys, options.capitals)
    pointed = reader.pointed()
    if marks := reader.stated():
        return _no_letter(marks, reader, options) or _by_letter([*marks, *pointed], text, options)
    if hints := pointed or reader.hinted():
        found = _no_letter(hints, reader, options) or _by_letter(hints, text, options)
        if found.index is None or not left or any(options.same(k, found.index) for k in left):
            return found
        return Choice(None, "letter-against-option")
    if len(left) == 1:
        return Choice(left.pop(), "option")
    if left:
        return Choice(None, "several-options")
    return Choice(None, "denied" if named else "no-choice")


def _no_letter(marks: Sequence[Mark], reader: LetterReader, options: _Options) -> Choice | None:
    """Options such as "E. coli" or "C": a bare letter that opens another option's text may be no letter.

    That option is chosen when the letter stands for none, and nothing when it stands for one.
    """
    for mark in marks:
        if mark.wrapped or (reader.own(mark.end, mark.index) and not mark.spaced):
            continue
        other = options.at(reader.text, mark.start)
        if other is not None and not options.same(other, mark.index):
            real = mark.index < len(options.keys)
            return Choice(None, "letter-against-option") if real else Choice(other, "option")
    return None


def _by_letter(marks: Sequence[Mark], text: Text, options: _Options) -> Choice:
    index = marks[0].index
    if any(m.index != index for m in marks):
        return Choice(None, "several-letters")
    if index >= len(options.keys):
        return Choice(None, "no-such-letter")
    if options.keys[index] is None:
        return Choice(None, "empty-option")
    others = (options.at(text, m.end, index) for m in marks)
    if any(k is not None and not options.same(k, index) for k in others):
        return Choice(None, "letter-against-option")
    return Choice(index, "letter")


def _named(text: Text, options: _Options) -> list[tuple[int, int, int]]:
    """(start, end, option) of option texts in an answer, without those inside a longer one."""
    found = []
    for k, key in enumerate(options.keys):
        if not key or key in options.keys[:k]:
            continue
        lone = len(key) == 1 and len(key[0]) == 1 and key[0].isascii() and key[0].isalpha()
        for start, end in text.mentions(key):
            if _says_else(key, text, end):
                continue
            if not lone or (text.tokens[start].raw in options.raws[k] and text.ends(end)):
                found.append((start, end, k))
    found.sort(key=lambda span: (span[0], -span[1]))
    kept, reach = [], -1
    for span in found:
        if span[1] > reach:
            kept.append(span)
            reach = span[1]
    return kept


def _says_else(key: tuple[str, ...], text: Text, end: int) -> bool:
    """ "none of these" says that no option is right, and "the right answer" doesn't say "Right"."""
    after = text.tokens[end].low if end < len(text.tokens) else ""
    return after in _SAYS_ELSE.get(key, ())


class StrictChoice(Judge):
    """Multiple choice accuracy by our own rule (`choose`): what can't be read is wrong, nothing is drawn.

    Args:
        metric: name of the metric.
        options: key of `Sample.meta` that holds the options; the target is the right one's text.

    An answer is right when the option it settles on says the same as the target, so equal options are
    equally right. Detail: "chosen" (place from 0, or None), "option" (its text) and "reason".
    """

    def __init__(self, metric: str = "strict", options: str = "options") -> None:
        self.metrics = (metric,)
        self.options = options

    @property
    def signature(self) -> str:
        return "strict-choice@1"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        options, target = sample.meta.get(self.options), sample.target
        if not isinstance(options, list) or not all(o is None or isinstance(o, str) for o in options):
            return self.unscored(
                "bad-options: the options must be a list of texts; mend the sample's options"
            )
        if not isinstance(target, str):
            return self.unscored("bad-target: the target must be the right option's text; mend the target")
        found = choose(answer.text, options)
        option = options[found.index] if found.index is not None else None
        detail: dict[str, JSON] = {"chosen": found.index, "option": option, "reason": found.reason}
        right = option is not None and same_option(option, target, options)
        return [Verdict(self.metrics[0], float(right), detail=detail)]
