"""The instruction-following rules of MMAU-Pro: MMAU-Pro sheet section 4.3, one function a rule.

A rule gets the response, the row's arguments and the question, and says whether the response passes. All
of them take time in proportion to the response, however it is made.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.ifeval import texttools
from judges.ifeval.errors import Unscorable

MISSING = "nan"
"""What the public scorer makes of a response that isn't there, and then checks like any other."""
EMPTY_OUTPUT = "empty_output"
"""`touched` of an empty answer that was scored like any other, and may have passed."""
UNKNOWN_RULE = "unknown_identifier"
"""`touched` of a response failed because the scorer has no rule of that name."""

_NOT_LETTERS = re.compile(r"[^a-zA-Z]")
_NOT_LETTERS_OR_SPACES = re.compile(r"[^a-zA-Z ]")
_HIGHLIGHT = re.compile(r"\*[^*]+\*")


class Arguments:
    """The arguments of one row, with the public defaults: N 0, N1 0, N2 999, texts empty.

    A key without a value (null, or NaN where a table made it one) counts as absent.

    Raises:
        Unscorable: the value isn't of the kind the rule needs.
    """

    def __init__(self, given: Mapping[str, JSON]) -> None:
        self._given = given

    def number(self, key: str) -> float:
        """N, N1 or N2."""
        value = self._value(key)
        if value is None:
            return 999 if key == "N2" else 0
        if not isinstance(value, int | float):
            raise Unscorable(
                "bad-argument", f"kwargs {key!r} must be a number, not {value!r:.40}; mend the row"
            )
        return value

    def text(self, key: str) -> str:
        """A keyword, a phrase or a mark."""
        value = self._value(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise Unscorable("bad-argument", f"kwargs {key!r} must be text, not {value!r:.40}; mend the row")
        return value

    def _value(self, key: str) -> JSON:
        value = self._given.get(key)
        return None if isinstance(value, float) and math.isnan(value) else value


Rule = Callable[[str, Arguments, str], bool]
Count = Callable[[str], int]


# --- what is counted -----------------------------------------------------------------------------


def words(response: str) -> int:
    """Words between whitespace."""
    return len(response.split())


def capital_words(response: str) -> int:
    """Words between whitespace that are upper case ("NASA", "I", "A1")."""
    return sum(word.isupper() for word in response.split())


def sentences(response: str) -> int:
    """Sentences by NLTK's English model. Raises Unscorable when it can't be had."""
    return len(texttools.sentences(response))


def placeholders(response: str) -> int:
    """Non-empty stretches between "[" and the next "]"."""
    count = place = 0
    while (start := response.find("[", place)) >= 0 and (end := response.find("]", start + 1)) >= 0:
        count += end > start + 1
        place = max(end, start + 1)
    return count


def bullets(response: str) -> int:
    """Lines that begin with "*" and whitespace (the line's own end counts), after whitespace if any."""
    lines = response.split("\n")
    heads = [line.lstrip() + "\n" for line in lines[:-1]] + [lines[-1].lstrip()]
    return sum(head[:1] == "*" and head[1:2].isspace() for head in heads)


def highlights(response: str) -> int:
    """Spans between two "*" with something else in between; they share no "*"."""
    return len(_HIGHLIGHT.findall(response))


def has_title(response: str) -> bool:
    """Is there "<<...>>" around something without ">"?"""
    place = 0
    while (start := response.find("<<", place)) >= 0 and (end := response.find(">", start + 2)) >= 0:
        if end > start + 2 and response.startswith(">>", end):
            return True
        place = end + 1
    return False


def filled(pieces: list[str]) -> int:
    """Pieces that aren't blank."""
    return sum(bool(piece.strip()) for piece in pieces)


def sections(response: str, splitter: str) -> int:
    """Non-blank pieces between the splitter, which takes the whitespace around it along.

    An empty splitter stands between any two characters.
    """
    if not splitter:
        return sum(not character.isspace() for character in response)
    pieces, place = [], 0
    while (found := response.find(splitter, place)) >= 0:
        pieces.append(response[place:found])
        place = found + len(splitter)
        while response[place : place + 1].isspace():
            place += 1
    return filled([*pieces, response[place:]])


def letters(text: str) -> str:
    """Its ASCII letters, lower-cased."""
    return _NOT_LETTERS.sub("", text).lower()


def letters_and_spaces(text: str) -> str:
    """Its ASCII letters and spaces, lower-cased; nothing is stripped."""
    return _NOT_LETTERS_OR_SPACES.sub("", text).lower()


# --- rules ---------------------------------------------------------------------------------------


def _exactly(count: Count) -> Rule:
    return lambda response, args, _: count(response) == args.number("N")


def _at_least(count: Count) -> Rule:
    return lambda response, args, _: count(response) >= args.number("N")


def _at_most(count: Count) -> Rule:
    return lambda response, args, _: count(response) <= args.number("N")


def _within(count: Count) -> Rule:
    return lambda response, args, _: args.number("N1") <= count(response) <= args.number("N2")


def _holds(test: Callable[[str], bool]) -> Rule:
    return lambda response, args, _: test(response)


def _listed(args: Arguments, key: str) -> list[str]:
    return [word.lower() for word in args.text(key).split(", ")]


def _include(response: str, args: Arguments, _: str) -> bool:
    text = response.lower()
    return all(word in text for word in _listed(args, "keywords"))


def _forbidden(response: str, args: Arguments, _: str) -> bool:
    text = response.lower()
    return not any(word in text for word in _listed(args, "forbidden_words"))


def _frequency(response: str, args: Arguments, _: str) -> bool:
    word = re.compile(rf"\b{re.escape(args.text('keyword').lower())}\b")
    return sum(1 for _ in word.finditer(response.lower())) == args.number("N")


def _postscript(response: str, args: Arguments, _: str) -> bool:
    return letters(args.text("postscript_marker")) in letters(response)


def _sections(response: str, args: Arguments, _: str) -> bool:
    return sections(response, args.text("section_splitter")) == args.number("N")


def _repeats(response: str, args: Arguments, question: str) -> bool:
    return response.strip().lower().startswith(question.strip().lower())


def _two_responses(response: str) -> bool:
    pieces = [piece.lower().strip() for piece in response.split("******")]
    return len(pieces) == 2 and pieces[0] != pieces[1]


def _starts(response: str, args: Arguments, _: str) -> bool:
    return letters_and_spaces(response).startswith(letters_and_spaces(args.text("start_phrase")))


def _ends(response: str, args: Arguments, _: str) -> bool:
    return letters_and_spaces(response).endswith(letters_and_spaces(args.text("end_phrase")))


def _quoted(response: str) -> bool:
    text = response.strip()
    return text.startswith('"') and text.endswith('"')


RULES: dict[str, Rule] = {
    "Include Keywords": _include,
    "Forbidden Words": _forbidden,
    "Keyword Frequency": _frequency,
    "Number Paragraphs": _exactly(lambda response: filled(response.split("***"))),
    "Number Words (at least)": _at_least(words),
    "Number Words (at most)": _at_most(words),
    "Number Words (range)": _within(words),
    "Number Sentences (at least)": _at_least(sentences),
    "Number Sentences (at most)": _at_most(sentences),
    "Number Sentences (range)": _within(sentences),
    "Postscript": _postscript,
    "Number Placeholder": _at_least(placeholders),
    "Number Bullets": _exactly(bullets),
    "Title": _holds(has_title),
    "Minimum Number Highlighted Section": _at_least(highlights),
    "Multiple Sections": _sections,
    "Repeat Prompt": _repeats,
    "Two Responses": _holds(_two_responses),
    "All Uppercase": _holds(str.isupper),
    "All Lowercase": _holds(str.islower),
    "All-capital Words (at least)": _at_least(capital_words),
    "All-capital Words (at most)": _at_most(capital_words),
    "All-capital Words (range)": _within(capital_words),
    "Start Checker": _starts,
    "End Checker": _ends,
    "Quotation": _holds(_quoted),
    "No Commas": _holds(lambda response: "," not in response),
}
"""Every rule by its `task_identifier`."""


def passes(identifier: JSON, kwargs: JSON, response: str | None, question: str) -> bool | None:
    """Does the response pass the rule of that name? None when there is no such rule (publicly: it fails).

    Args:
        kwargs: the rule's arguments: a mapping, JSON text of one, or nothing.
        response: None where there is none: the word "nan" is checked in its place.

    Raises:
        Unscorable: arguments of the wrong kind, or no sentence model.
    """
    rule = RULES.get(identifier) if isinstance(identifier, str) else None
    if rule is None:
        return None
    return rule(MISSING if response is None else response, Arguments(_mapping(kwargs)), question)


def _mapping(kwargs: JSON) -> Mapping[str, JSON]:
    if isinstance(kwargs, str):
        try:
            kwargs = json.loads(kwargs)
        except ValueError as exc:
            raise Unscorable("bad-row", "kwargs is text but not JSON; mend the row") from exc
    if kwargs is None or (isinstance(kwargs, float) and math.isnan(kwargs)):
        return {}
    if not isinstance(kwargs, Mapping):
        raise Unscorable("bad-row", f"kwargs must be a mapping, not {type(kwargs).__name__}; mend the row")
    return kwargs


class InstructionRules(Judge):
    """1 when the response passes the rule in `sample.meta` ("task_identifier", "kwargs"), else 0.

    Args:
        metric: name of the metric.
        official: an empty answer is checked like any other (and an unknown rule is failed), as publicly;
            both are counted. Else an empty answer is wrong and an unknown rule leaves the sample unscored.
    """

    heavy = True
    """First use may fetch the sentence model: never in the event loop."""

    def __init__(self, metric: str = "acc", *, official: bool = True) -> None:
        self.metrics = (metric,)
        self.official = official

    @cached_property
    def signature(self) -> str:
        """Variant and the version of the package that splits sentences."""
        try:
            nltk = version("nltk")
        except PackageNotFoundError:
            nltk = "none"
        return f"mmau-pro-rules:{'official' if self.official else 'strict'},nltk@{nltk}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        identifier = sample.meta.get("task_identifier")
        detail: dict[str, JSON] = {"rule": identifier}
        blank = not answer.text.strip()
        if blank and not self.official:
            return [Verdict(self.metrics[0], 0.0, detail=detail)]
        try:
            passed = passes(identifier, sample.meta.get("kwargs"), answer.text, sample.question)
        except Unscorable as exc:
            return self.unscored(exc.reason, **detail)
        if passed is None and not self.official:
            reason = f"unknown-rule: MMAU-Pro has no instruction {identifier!r:.60}; mend the row"
            return self.unscored(reason, **detail)
        touched = UNKNOWN_RULE if passed is None else EMPTY_OUTPUT if blank else None
        return [Verdict(self.metrics[0], float(bool(passed)), detail=detail, touched=touched)]
