"""How a comparison is put in words and figures: nothing is rounded across a limit, nothing escapes its format."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from evalkit.inference import Difference
from reports.comparison.markdown import code, escaped
from reports.comparison.model import Line, Part, Side
from reports.comparison.words import p_text, part_words, signed, told


@given(st.floats(0, 1))
def test_a_p_is_on_its_own_side_of_five_percent(p: float) -> None:
    """What is printed says the same of 0.05 and 0.001 as the number, but for the last printed digit."""
    text = p_text(p)
    shown = 0.0 if text == "<0.001" else float(text)
    assert abs(shown - p) <= 0.001 and (shown == 0.0) == (p < 0.001)
    if abs(p - 0.05) > 5e-5:
        assert (shown < 0.05) == (p < 0.05)


@given(st.floats(-1e6, 1e6), st.integers(0, 3))
def test_a_signed_number(value: float, decimals: int) -> None:
    """A sign but for what is printed as zero."""
    text = signed(value, decimals)
    number = float(text.replace("\u2212", "-"))
    assert abs(number - value) <= 0.5 * 10.0**-decimals + 1e-6
    assert (text[0] in "+\u2212") == (number != 0)


@given(st.text(max_size=60))
def test_markdown_holds_its_text(text: str) -> None:
    """No markup, no HTML, no line ends; a code span ends where it should."""
    said = escaped(text)
    assert "\n" not in said and not re.search(r"(?<!\\)(?:\\\\)*[<>|`*_\[\]]", said)
    span = code(text)
    fence = re.match("`+", span)
    assert fence and "\n" not in span and span.endswith(fence[0])
    inner = span[len(fence[0]) : -len(fence[0])]
    assert all(len(run) != len(fence[0]) for run in re.findall("`+", inner))


def line(delta: float, p: float, wins: int, losses: int, up: bool = True) -> Line:
    found = Difference(50.0, 50.0 + delta, delta, None, "none", p, "x", 10, 10, wins, losses, 0, up)
    return Line(
        *("a", "b", "task", "x/y", "x", "Y", "acc", "Accuracy", "%", 2, up), difference=found, p_holm=p
    )  # fmt: skip


def test_verdicts() -> None:
    """By the corrected p and the direction that is better; alike only where no sample differs."""
    assert (
        told(line(1, 0.01, 5, 1), 0.05) == "better" and told(line(1, 0.01, 5, 1, up=False), 0.05) == "WORSE"
    )
    assert told(line(-1, 0.05, 1, 5), 0.05) == "undecided" and told(line(-1, 0.05, 1, 5), 0.1) == "WORSE"
    assert told(line(0, 1.0, 0, 0), 0.05) == "alike" and told(line(0, 1.0, 2, 2), 0.05) == "undecided"


def test_a_part_names_both_sides() -> None:
    """By label; by folder where the labels are one; equal digests are told."""
    one, two = Side("a", "m", folder="main"), Side("b", "m", folder="pr")
    said = part_words(Part("data", "r@1:x#aa", "r@2:x#aa"), one, two)
    assert "r@1:x#aa in main" in said and "r@2:x#aa in pr" in said and "one digest" in said
    assert "one digest" not in part_words(Part("data", "r@1:x#aa", "r@1:x#bb"), one, two)
    assert "(none) in pr" in part_words(Part("prompt", "short", ""), one, two)
