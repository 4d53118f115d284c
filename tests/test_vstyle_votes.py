"""Scores in double square brackets: every verdict of the public scorer, and ours, which is narrower."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.contracts import OUT_OF_RANGE
from judges.vstyle_votes import (
    INFINITE,
    NOT_A_NUMBER,
    NOT_WHOLE,
    UNREADABLE,
    bracketed,
    parse,
    parse_strict,
    vstyle_contract,
)

HERE = Path(__file__).parent
CASES = [json.loads(x) for x in (HERE / "vectors/vstyle.judge_replies.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case_id"])
def test_the_public_scorers_verdicts(case: dict[str, Any]) -> None:
    score = parse(case["reply"])
    assert score == case["parse_score"]
    assert bool(score) == case["counts_in_mean"] == case["api_success"]
    reading = vstyle_contract("official").read([case["reply"]])
    if not score:
        assert reading.value is None and reading.reason is not None and reading.reason.startswith(UNREADABLE)
    elif math.isnan(float(case["float_value"])):
        assert reading.value is None and reading.touched == NOT_A_NUMBER
    else:
        assert reading.value == float(case["float_value"])


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("[[4]] and then [[excellent]]", "4"),
        ("[[unclosed and Final score: [[4]]", ""),
        ("[[[4]]]", ""),
        ("[[4]]]", "4"),
        ("[[ 4 ]]", "4"),
        ("[[\n4\n]]", "4"),
        ("[[\u00a04\u3000]]", "4"),
        ("[[4.5]]", "4.5"),
        ("[[-1]]", "-1"),
        ("[[0]]", "0"),
        ("[[1e0]]", "1e0"),
        ("[[1_0]]", "1_0"),
        ("[[nan]] [[x]]", "nan"),
        ("[[-inf]]", "-inf"),
        ("[[Infinity]]", "Infinity"),
        ("[[４]]", "４"),
        ("[[٤]]", "٤"),
        ("[[4/5]]", ""),
        ("[[score: 4]]", ""),
        ("[[]]", ""),
        ("[[]]]]", ""),
        ("[[ ]]", ""),
        ("[4]", ""),
        ("【4】", ""),
        ("Final score: 4", ""),
        ("4", "4"),
        ("4.", "4."),
        (" 3 ", "3"),
        ("\u30003\n", "3"),
        ("", ""),
        ("[[a]]4", ""),
        ("[[a]] ]] [[3]]", "3"),
        ("\ud800[[4]]", "4"),
        ("[[\ud800]]", ""),
        ("[[4\x00]]", ""),
    ],
)
def test_the_fragments_of_the_sheet(reply: str, score: str) -> None:
    assert parse(reply) == score


@given(st.lists(st.sampled_from(["[[", "]]", "[", "]", "4", "x", " ", "\n", "nan", "2.0", "５", "[[3]]"])))
def test_pairs_are_those_of_the_shortest_match(parts: list[str]) -> None:
    """The sheet gives the rule as a pattern; the reader must find the same pairs in linear time."""
    text = "".join(parts)
    assert list(bracketed(text)) == re.findall(r"\[\[(.*?)]]", text, re.DOTALL)


@given(st.text(alphabet="[]012345. \n\u3000_enaif-", max_size=30))
def test_what_strict_takes_official_takes_too(reply: str) -> None:
    strict = parse_strict(reply)
    assert strict == "" or (strict == parse(reply) and strict in "12345")


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("[[4]]", "4"),
        ("[[ 4 ]]", "4"),
        ("[[2]] [[good]]", "2"),
        ("4", ""),
        ("[[4.0]]", ""),
        ("[[４]]", ""),
        ("[[6]]", ""),
        ("[[3]] [[7]]", ""),
        ("[[nan]]", ""),
    ],
)
def test_strict(reply: str, score: str) -> None:
    assert parse_strict(reply) == score


@pytest.mark.parametrize("mark", ["[[", "]]", "[[4", "[[x]]", "[[" * 3 + "]", "9"])
def test_long_replies_take_linear_time(mark: str) -> None:
    text = mark * (300_000 // len(mark))
    start = time.process_time()
    parse(text)
    parse_strict(text)
    assert time.process_time() - start < 2.0


def test_odd_scores_are_named() -> None:
    read = vstyle_contract("official").read
    assert read(["[[4]]"]).touched is None
    assert (read(["[[7]]"]).value, read(["[[7]]"]).touched) == (7.0, OUT_OF_RANGE)
    assert (read(["[[4.5]]"]).value, read(["[[4.5]]"]).touched) == (4.5, NOT_WHOLE)
    assert read(["[[7.5]]"]).touched == read(["[[0.5]]"]).touched == f"{OUT_OF_RANGE}+{NOT_WHOLE}"
    infinite = read(["[[inf]]"])
    assert (infinite.value, infinite.touched, infinite.votes) == (None, INFINITE, ("inf",))


def test_replies_on_record_are_attempts_or_runs() -> None:
    once, twice = vstyle_contract("official").read, vstyle_contract("strict", runs=2).read
    assert once(["no idea", "[[3]]", "[[5]]"]).value == 3.0
    assert twice(["[[3]]", "[[4]]"]).value == 3.5
    assert twice(["[[3]]", "[[4]]"]).detail["sd"] == pytest.approx(0.7071, abs=1e-4)
    assert twice(["[[3]]", "hm"]).value is None
    assert once([]).value is None
