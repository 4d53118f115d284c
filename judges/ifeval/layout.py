"""Checks of the family ``detectable_format`` (VoiceBench sheet, Appendix D)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from evalkit.records import JSON
from judges.ifeval import patterns

# Written with [^\S\n] where the public patterns have \s: the same matches are counted (what matters is
# the last line start before the mark), without quadratic time on blank lines.
_STAR_BULLET = re.compile(r"^[^\S\n]*\*[^\*].*$", re.MULTILINE)
_DASH_BULLET = re.compile(r"^[^\S\n]*-.*$", re.MULTILINE)
_SINGLE_STARS = re.compile(r"\*[^\n\*]*\*")
_DOUBLE_STARS = re.compile(r"\*\*[^\n\*]*\*\*")
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCES = ("```json", "```Json", "```JSON", "```")


def number_bullet_lists(response: str, args: Mapping[str, JSON]) -> bool:
    """Exactly `num_bullets` lines that start with one ``*`` or with ``-``."""
    found = len(_STAR_BULLET.findall(response)) + len(_DASH_BULLET.findall(response))
    return bool(found == args["num_bullets"])


def constrained_response(response: str, args: Mapping[str, JSON]) -> bool:
    """Contains one of the three fixed answers, letter for letter."""
    return any(answer in response for answer in _ANSWERS)


def number_highlighted_sections(response: str, args: Mapping[str, JSON]) -> bool:
    """At least `num_highlights` non-empty ``*...*`` and ``**...**`` within a line; both kinds add up."""
    single = sum(1 for text in _SINGLE_STARS.findall(response) if text.strip("*").strip())
    double = sum(
        1 for text in _DOUBLE_STARS.findall(response) if text.removeprefix("**").removesuffix("**").strip()
    )
    return bool(single + double >= args["num_highlights"])


def splitter_pattern(splitter: str) -> str:
    """The pattern that looks for the heading of a section."""
    return rf"\s?{splitter}\s?\d+\s?"


def multiple_sections(response: str, args: Mapping[str, JSON]) -> bool:
    """At least `num_sections` headings: the stripped `section_spliter` and a number; case counts."""
    splitter = args["section_spliter"].strip()
    pieces = patterns.count("split", splitter_pattern(splitter), response, source=splitter)
    return bool(pieces - 1 >= args["num_sections"])


def json_format(response: str, args: Mapping[str, JSON]) -> bool:
    """The response without its code fence is JSON to Python's parser (``NaN`` and bare scalars too)."""
    text = response.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    text = text.removesuffix("```").strip()
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def title(response: str, args: Mapping[str, JSON]) -> bool:
    """Some line holds a non-empty ``<<title>>``."""
    return any(_title_of(line) for line in response.split("\n"))


def _title_of(line: str) -> str:
    """The words of the widest ``<<[^\\n]+>>`` of a line, or "". A line has at most one such match."""
    start, end = line.find("<<"), line.rfind(">>")
    if start < 0 or end < start + 3:
        return ""
    return line[start : end + 2].lstrip("<").rstrip(">").strip()
