"""Multiple choice by templates: VoiceBench sheet section 7 and Appendix A.

The rule searches the lower-cased response for 163 templates with each of the letters a to d put in.
The earliest template wins, then the earlier letter; where in the text it stands does not matter, and
neither do word boundaries ("the answer is because" gives B). A few whole-answer forms follow.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.fill import RANDOM_LETTER, Fill, check_fill, draw, fill_label

LETTERS = ("A", "B", "C", "D")
LEADING_TAGS = ("<1>", "<2>", "<3>")
PLACEHOLDER = "[CHOICE]"
BARE_LETTER = "bare-letter"
LEADING_LETTER = "leading-letter"

_TELLTALE = "*\"'\\():\n"
"""Characters that many templates need and few responses contain; see `_candidates`."""


class Extraction(NamedTuple):
    """A letter "A".."D" and what found it: the 1-based number of the template, or a rule's name."""

    letter: str
    template: int | str


class _Template(NamedTuple):
    """A template split for searching: what stands before the letter, and all of it per letter."""

    number: int
    prefix: str
    needles: tuple[tuple[str, str], ...]
    needs: int


@cache
def templates() -> tuple[str, ...]:
    """The templates in evaluation order, as the sheet prints them."""
    text = files("judges").joinpath("data", "mcq_templates.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def _traits(text: str) -> int:
    """A bit per telltale character that `text` contains, and one for "has a non-ASCII character"."""
    bits = 0 if text.isascii() else 1
    for place, char in enumerate(_TELLTALE, 1):
        if char in text:
            bits |= 1 << place
    return bits


@cache
def _compiled() -> tuple[_Template, ...]:
    out = []
    for number, template in enumerate(templates(), 1):
        needles = tuple((letter, template.replace(PLACEHOLDER, letter.lower())) for letter in LETTERS)
        prefix = template[: template.index(PLACEHOLDER)]
        out.append(_Template(number, prefix, needles, _traits(template.replace(PLACEHOLDER, ""))))
    return tuple(out)


@cache
def _candidates(traits: int) -> tuple[_Template, ...]:
    """The templates a text with these traits can contain at all, in order.

    A text that contains a needle contains each of its characters, so a template that needs a telltale
    character the text lacks can be left out without changing any result. At most 2^9 tuples exist.
    """
    return tuple(t for t in _compiled() if t.needs & ~traits == 0)


def _search(text: str) -> Extraction | None:
    """Earliest template, then earliest letter, found in `text` (already lower-cased)."""
    for template in _candidates(_traits(text)):
        if template.prefix in text:  # no needle can be there without its prefix
            for letter, needle in template.needles:
                if needle in text:
                    return Extraction(letter, template.number)
    return None


def _whole_answer(text: str) -> Extraction | None:
    """The forms that are the answer or open it: "b", "b.", "b, since ...", "b: ...", "b) ..."."""
    head, mark = text[:1], text[1:2]
    if head not in ("a", "b", "c", "d"):
        return None
    if text == head:
        return Extraction(head.upper(), BARE_LETTER)
    return Extraction(head.upper(), LEADING_LETTER) if mark and mark in ".,:)" else None


def extract(text: str) -> Extraction | None:
    """The letter a response chooses and the rule that says so, or None when no rule fires."""
    text = text.lower()
    if text.startswith(LEADING_TAGS):
        text = text[3:].strip()
    return _search(text) or _whole_answer(text)


def extract_choice(text: str) -> str | None:
    """The letter "A".."D" that a response chooses, or None. VoiceBench sheet section 7."""
    found = extract(text)
    return found.letter if found else None


class ChoiceTemplates(Judge):
    """Multiple choice accuracy by templates; `sample.target` is one of "A".."D".

    Args:
        metric: name of the metric.
        fill: what stands in for a letter that can't be extracted: "seeded" draws one (the public
            scorer does, unseeded), "expected" scores the 1 in 4 chance, "none" scores wrong.
        seed: decides the draws.

    Detail of each verdict: "extracted" (letter or None), "extraction_failed", "template" (1-based number
    of the template, a rule's name, or None), and "drawn" when a letter was drawn.
    """

    def __init__(self, metric: str = "acc", fill: Fill = "seeded", seed: int = 0) -> None:
        check_fill(fill)
        self.metrics = (metric,)
        self.fill = fill
        self.seed = seed

    @property
    def signature(self) -> str:
        return f"mcq-templates@cfd4fdc6:{fill_label(self.fill, self.seed)}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        gold = sample.target
        found = extract(answer.text)
        detail: dict[str, JSON] = {
            "extracted": found.letter if found else None,
            "extraction_failed": found is None,
            "template": found.template if found else None,
        }
        if not isinstance(gold, str) or gold not in LETTERS:
            reason = f"bad-target: the reference must be one of A, B, C, D, but it is {gold!r:.40}."
            return self.unscored(reason, **detail)
        if found:
            return [Verdict(self.metrics[0], float(found.letter == gold), detail=detail)]
        return [self._filled(gold, sample.id, detail)]

    def _filled(self, gold: str, sample_id: str, detail: dict[str, JSON]) -> Verdict:
        if self.fill == "none":
            return Verdict(self.metrics[0], 0.0, detail=detail)
        value = 1 / len(LETTERS)
        if self.fill == "seeded":
            detail["drawn"] = draw(LETTERS, self.seed, sample_id)
            value = float(detail["drawn"] == gold)
        return Verdict(self.metrics[0], value, detail=detail, touched=RANDOM_LETTER)
