"""The arguments of the 25 instructions: what a data-set row gives, and what stands in for what it lacks.

Falsy values of a row count as missing, and the public scorer draws missing arguments from an unseeded
`random` (VoiceBench sheet, section 8, 3). Here the draw comes from the same distribution but is seeded,
and it is made once for strict and loose. Draws from the public word list are not reproduced, and a missing
prompt to repeat raises there: both leave the sample unscored.
"""

from __future__ import annotations

import hashlib
import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from evalkit.records import JSON
from judges.ifeval.errors import Unscorable
from judges.ifeval.relations import RELATIONS

Draw = Callable[[Random, Mapping[str, JSON]], JSON]
Valid = Callable[[JSON, Mapping[str, JSON]], bool]

_LANGUAGES = "en es pt ar hi fr ru de ja it bn uk th ur ta te bg ko pl he fa vi ne sw kn mr gu pa ml fi"
LANGUAGES = tuple(_LANGUAGES.split(" "))
"""The codes among which a missing language is drawn."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an instruction.

    Attributes:
        name: its field in the data set.
        read: makes the value of it; raises ValueError when the field holds something else.
        draw: what stands in for a missing value, given the arguments before it; None: nothing does.
        usable: False for values that are replaced by a draw although they are there.
    """

    name: str
    read: Callable[[JSON], JSON]
    draw: Draw | None = None
    usable: Valid = lambda value, before: True


@dataclass(frozen=True, slots=True)
class Filled:
    """All arguments of one instruction, and the names of those that were drawn."""

    values: Mapping[str, JSON]
    drawn: tuple[str, ...] = ()


def fill(instruction: str, given: Mapping[str, JSON], random: Random) -> Filled:
    """Complete the arguments of `instruction` from the data set's `given` fields.

    Raises:
        Unscorable: a value of the wrong type or an unknown relation ("bad-argument"), or a missing one for
            which nothing can stand in ("missing-argument").
    """
    values: dict[str, JSON] = {}
    drawn = []
    for argument in ARGUMENTS[instruction]:
        value = _read(instruction, argument, given.get(argument.name))
        if value is None or not argument.usable(value, values):
            value = _draw(instruction, argument, random, values)
            drawn.append(argument.name)
        values[argument.name] = value
    return Filled(values, tuple(drawn))


def seeded(seed: int, sample_id: str, position: int, instruction: str) -> Random:
    """The source of the draws for one instruction of one sample; independent of every other."""
    key = f"ifeval|{seed}|{sample_id}|{position}|{instruction}"
    return Random(int.from_bytes(hashlib.sha256(key.encode("utf-8", "backslashreplace")).digest(), "big"))


def _read(instruction: str, argument: Argument, value: JSON) -> JSON:
    """The value of a field, None when it is falsy or not a number at all (a table's empty cell)."""
    if not value or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        return argument.read(value)
    except ValueError as exc:
        raise Unscorable(
            "bad-argument", f"{argument.name} of {instruction} is {value!r}, not {exc}; mend the row"
        ) from exc


def _draw(instruction: str, argument: Argument, random: Random, before: Mapping[str, JSON]) -> JSON:
    if argument.draw is None:
        raise Unscorable(
            "missing-argument",
            f"{argument.name} of {instruction} is missing in the data set and can't be drawn; mend the row",
        )
    return argument.draw(random, before)


def _number(value: JSON) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise ValueError("a whole number")
    return int(value)


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _words(value: JSON) -> list[str]:
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or not all(isinstance(w, str) for w in value)
    ):
        raise ValueError("a list of words")
    return list(value)


def _relation(value: JSON) -> str:
    if value not in RELATIONS:
        raise ValueError(f"one of {', '.join(map(repr, RELATIONS))}")
    return str(value)


def _count(name: str, low: int, high: int) -> Argument:
    return Argument(
        name,
        _number,
        draw=lambda random, before: random.randint(low, high),
        usable=lambda value, before: bool(value >= 0),
    )


def _related(name: str) -> Argument:
    return Argument(name, _relation, draw=lambda random, before: random.choice(RELATIONS))


def _choice(name: str, options: Sequence[str]) -> Argument:
    return Argument(name, _text, draw=lambda random, before: random.choice(options))


def _is_ascii_letter(value: JSON, before: Mapping[str, JSON]) -> bool:
    return len(value) == 1 and value in string.ascii_letters


_LETTER = Argument(
    "letter",
    _text,
    draw=lambda random, before: random.choice(string.ascii_letters),
    usable=_is_ascii_letter,
)

_NTH_PARAGRAPH = Argument(
    "nth_paragraph",
    _number,
    draw=lambda random, before: random.randint(1, before["num_paragraphs"] + 1),
    usable=lambda value, before: bool(0 < value <= before["num_paragraphs"]),
)

ARGUMENTS: Mapping[str, tuple[Argument, ...]] = {
    "keywords:existence": (Argument("keywords", _words),),
    "keywords:frequency": (Argument("keyword", _text), _count("frequency", 1, 3), _related("relation")),
    "keywords:forbidden_words": (Argument("forbidden_words", _words),),
    "keywords:letter_frequency": (_LETTER, _count("let_frequency", 1, 10), _related("let_relation")),
    "language:response_language": (_choice("language", LANGUAGES),),
    "length_constraints:number_sentences": (_count("num_sentences", 1, 20), _related("relation")),
    "length_constraints:number_paragraphs": (_count("num_paragraphs", 1, 5),),
    "length_constraints:number_words": (_count("num_words", 100, 500), _related("relation")),
    "length_constraints:nth_paragraph_first_word": (
        _count("num_paragraphs", 1, 5),
        _NTH_PARAGRAPH,
        Argument("first_word", _text),
    ),
    "detectable_content:number_placeholders": (_count("num_placeholders", 1, 4),),
    "detectable_content:postscript": (_choice("postscript_marker", ("P.S.", "P.P.S")),),
    "detectable_format:number_bullet_lists": (_count("num_bullets", 1, 5),),
    "detectable_format:constrained_response": (),
    "detectable_format:number_highlighted_sections": (_count("num_highlights", 1, 4),),
    "detectable_format:multiple_sections": (
        _choice("section_spliter", ("Section", "SECTION")),
        _count("num_sections", 1, 5),
    ),
    "detectable_format:json_format": (),
    "detectable_format:title": (),
    "combination:two_responses": (),
    "combination:repeat_prompt": (Argument("prompt_to_repeat", _text),),
    "startend:end_checker": (
        _choice("end_phrase", ("Any other questions?", "Is there anything else I can help with?")),
    ),
    "startend:quotation": (),
    "change_case:capital_word_frequency": (_count("capital_frequency", 1, 20), _related("capital_relation")),
    "change_case:english_capital": (),
    "change_case:english_lowercase": (),
    "punctuation:no_comma": (),
}
"""Instruction id -> its arguments, in the order in which the public scorer draws them."""
