"""Checks of the family ``detectable_content`` (VoiceBench sheet, Appendix D)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.records import JSON
from judges.ifeval import patterns

# The public patterns start with \s* and end with .*$; neither changes whether there is a match, and the
# former makes the search quadratic on blank text.
_KNOWN_MARKERS = {"P.P.S": re.compile(r"p\.\s?p\.\s?s"), "P.S.": re.compile(r"p\.\s?s\.")}


def number_placeholders(response: str, args: Mapping[str, JSON]) -> bool:
    """At least `num_placeholders` pairs of square brackets, each within a line."""
    found = sum(_bracket_pairs(line) for line in response.split("\n"))
    return bool(found >= args["num_placeholders"])


def _bracket_pairs(line: str) -> int:
    r"""How often ``\[.*?\]`` matches in a line, in linear time."""
    pairs, at = 0, 0
    while (start := line.find("[", at)) >= 0 and (end := line.find("]", start)) >= 0:
        pairs, at = pairs + 1, end + 1
    return pairs


def marker_pattern(marker: str) -> str:
    """The pattern that looks for a postscript marker of the data set's own making."""
    return rf"\s*{marker.lower()}.*$"


def postscript(response: str, args: Mapping[str, JSON]) -> bool:
    """The lower-cased response holds the (stripped) `postscript_marker` somewhere."""
    marker = args["postscript_marker"].strip()
    text = response.lower()
    if known := _KNOWN_MARKERS.get(marker):
        return known.search(text) is not None
    source = marker.lower()
    pattern = source if patterns.is_plain(source) else marker_pattern(marker)
    return bool(patterns.count("search", pattern, text, source=source, flags=re.MULTILINE))
