"""MMSU's official letters: the first or the second-last character, else the record is left out.

MMSU sheet section 4. Two defects of the public script are kept under their names: a reply without a letter at
either place leaves its record out of numerator and denominator (`EXCLUDED`), and a blank reply is scored with
the letter of the record before (`STALE`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Score, Verdict

LETTERS = ("A", "B", "C", "D")
EXCLUDED = "excluded_format"
"""`touched` of a record that the public script leaves out, because it finds no letter."""
STALE = "stale_letter"
"""`touched` of a verdict on a blank reply: the public script still holds the letter of an earlier record."""
DIES = "script_dies"
"""`touched` of a blank reply before any letter: there the public script ends with an exception."""

_NO_LETTER_YET = (
    "script-dies: the public script stops at a blank reply before any letter was read; "
    "the strict protocol counts it as wrong"
)
_LEFT_OUT = "excluded-format: the public script reads only the first and the second-last character, and neither is A-D"
_BLANK = "blank: scored with the letter of the record before, once all are known"


def letter_of(response: str | None) -> Literal["A", "B", "C", "D", "blank"] | None:
    """The letter read from a reply, "blank" where the script keeps the one it has, None where it excludes.

    MMSU sheet section 4; case-sensitive, newlines are deleted before the second-last character is looked at.
    """
    if response is None:
        return None
    text = response.strip().replace("\n", "")
    if not text or text == "None":
        return "blank"
    for char in (text[0], text[-2:-1]):
        if char in LETTERS:
            return char  # type: ignore[return-value]
    return None


class MMSULetters(Judge):
    """Two metrics: `metrics[0]` over the records the public script counts, `metrics[1]` over all of them, where
    excluded and blank ones are wrong.

    `meta["options"]` holds the texts of choice_a to choice_d, the target is the right one's text: with equal
    texts either letter is right. Detail: "letter" (as read), "right" (letters that would be right here), and
    "reused" (the letter of an earlier record).
    """

    in_order = True

    def __init__(self, metric: str = "acc", everything: str = "official_all") -> None:
        self.metrics = (metric, everything)

    @property
    def signature(self) -> str:
        return "mmsu-letters@f0ef334b"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        options = sample.meta.get("options")
        if not isinstance(options, list) or not isinstance(sample.target, str):
            return self.unscored(
                "bad-target: the sample needs options and the right one's text; mend the data"
            )
        right = [letter for letter, text in zip(LETTERS, options, strict=False) if text == sample.target]
        letter = letter_of(answer.text)
        detail: dict[str, JSON] = {"letter": letter, "right": right}
        counted, everything = self.metrics
        if letter is None:
            first = Verdict(counted, None, detail=detail, reason=_LEFT_OUT, touched=EXCLUDED)
        elif letter == "blank":
            first = Verdict(counted, None, detail=detail, reason=_BLANK)
        else:
            first = Verdict(counted, float(letter in right), detail=detail)
        return [first, Verdict(everything, float(letter in right), detail=detail)]

    def settle(self, scores: Sequence[Score]) -> list[Score]:
        """Blank replies get the letter that the public script still holds: the last one it read."""
        held: str | None = None
        out = []
        for score in scores:
            if score.metric != self.metrics[0] or (letter := score.detail.get("letter")) is None:
                out.append(score)
            elif letter != "blank":
                held = letter
                out.append(score)
            elif held is None:
                out.append(replace(score, value=None, reason=_NO_LETTER_YET, touched=DIES))
            else:
                detail = {**score.detail, "reused": held}
                value = float(held in score.detail["right"])
                out.append(replace(score, value=value, reason=None, touched=STALE, detail=detail))
        return out
