"""MMAU-Pro's instruction-following rules and the marks of its judge: the public verdicts, and corners."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.chat import ChatReply, ChatRequest
from evalkit.config import offline
from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Verdict
from judges.ifeval.errors import Unscorable
from judges.ifeval.punkt import find_punkt
from judges.mmau_pro_if import (
    RULES,
    InstructionRules,
    bullets,
    has_title,
    passes,
    placeholders,
    sections,
)
from judges.mmau_pro_open import CRITERIA, OFFICIAL, STRICT, marks, mmau_pro_open_judge, official_scores

HERE = Path(__file__).parent / "vectors"


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


# --- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("mmau_pro.rules"), ids=lambda r: r["task_identifier"])
def test_agrees_with_the_public_rules(row: Mapping[str, Any]) -> None:
    name = row["task_identifier"]
    if "Sentences" in name:
        pytest.importorskip("nltk")
        try:
            find_punkt()
        except Unscorable as exc:
            if offline():
                pytest.skip(exc.reason)
            raise
    found = passes(name, row["kwargs"], row["response"], row.get("question", ""))
    assert bool(found) is row["success"]
    assert (found is None) == (name not in RULES)


def test_the_sheet_lists_27_identifiers_and_the_vectors_cover_them() -> None:
    assert len(RULES) == 27
    assert {r["task_identifier"] for r in rows("mmau_pro.rules")} == {*RULES, "Unknown Constraint"}


@pytest.mark.parametrize(
    ("name", "kwargs", "response", "question", "passed"),
    [
        # keys that are absent, null or NaN: N 0, N1 0, N2 999, texts empty
        ("Number Words (at least)", None, "", "", True),
        ("Number Words (at most)", {}, "one", "", False),
        ("Number Words (range)", {"N1": None}, "w " * 999, "", True),
        ("Number Words (range)", {"N2": math.nan}, "w " * 1000, "", False),
        ("Number Paragraphs", {}, " *** ", "", True),
        ("Include Keywords", {}, "", "", True),
        ("Forbidden Words", {}, "", "", False),
        ("Start Checker", {}, "anything", "", True),
        ("End Checker", {"end_phrase": None}, "anything", "", True),
        ("Postscript", {}, "", "", True),
        ("Keyword Frequency", {}, "", "", True),
        ("Keyword Frequency", {}, "word", "", False),  # both ends of the word
        ("Keyword Frequency", {"N": 2}, "word", "", True),
        # lower case, substrings and whole words
        ("Include Keywords", {"keywords": "Rain, dog"}, "RAINY dogma", "", True),
        ("Include Keywords", {"keywords": "a,b"}, "a b", "", False),  # only ", " separates
        ("Forbidden Words", {"forbidden_words": "cat"}, "Concatenate", "", False),
        ("Keyword Frequency", {"keyword": "Rain", "N": 1}, "rain rainy", "", True),
        ("Keyword Frequency", {"keyword": "c++", "N": 0}, "c++ ", "", True),  # no boundary after "+"
        ("Keyword Frequency", {"keyword": "a.b", "N": 0}, "axb", "", True),  # the dot is a dot
        # marks
        ("Number Paragraphs", {"N": 2}, "a ****** b", "", True),
        ("Number Placeholder", {"N": 1}, "[]", "", False),
        ("Number Placeholder", {"N": 1}, "[a\nb]", "", True),
        ("Number Placeholder", {"N": 2}, "[a] [b] [c]", "", True),
        ("Number Bullets", {"N": 2}, "* a\n\t* b\n*c", "", True),
        ("Number Bullets", {"N": 1}, "*", "", False),
        ("Number Bullets", {"N": 1}, "*\n", "", True),
        ("Number Bullets", {"N": 0}, "- * a", "", True),
        ("Title", {}, "<<>>", "", False),
        ("Title", {}, "<<a>b>>", "", False),
        ("Title", {}, "<< >>", "", True),
        ("Title", {}, "<<<a>>>", "", True),
        ("Minimum Number Highlighted Section", {"N": 2}, "*a*b*", "", False),
        ("Minimum Number Highlighted Section", {"N": 1}, "**a**", "", True),
        ("Multiple Sections", {"section_splitter": "Part", "N": 2}, "Part one Part two", "", True),
        ("Multiple Sections", {"section_splitter": ".", "N": 1}, "abc", "", True),
        # the question comes back first
        ("Repeat Prompt", {}, "  SAY it. done", " say IT. ", True),
        ("Repeat Prompt", {}, "Well: say it.", "say it.", False),
        ("Repeat Prompt", {}, "", "", True),
        ("Two Responses", {}, "a ****** A ", "", False),
        ("Two Responses", {}, "a******b******c", "", False),
        ("Two Responses", {}, "******b", "", True),
        ("All Uppercase", {}, "A1!", "", True),
        ("All Lowercase", {}, "123", "", False),
        ("All-capital Words (at least)", {"N": 2}, "I saw NASA", "", True),
        ("All-capital Words (range)", {}, "", "", True),
        # only ASCII letters and spaces are left; nothing is stripped
        ("Start Checker", {"start_phrase": "So, "}, "so what", "", True),
        ("Start Checker", {"start_phrase": "So "}, "So", "", False),
        ("Start Checker", {"start_phrase": "So"}, " So", "", False),
        ("End Checker", {"end_phrase": "bye"}, "bye ", "", False),
        ("End Checker", {"end_phrase": "bye!"}, "Bye.\n", "", True),
        ("Postscript", {"postscript_marker": "P.S."}, "The ups and downs", "", True),
        ("Quotation", {}, '"', "", True),
        ("Quotation", {}, ' "a" b', "", False),
        ("No Commas", {}, "a，b", "", True),
        # kwargs as text
        ("No Commas", "null", "a", "", True),
        ("Number Words (at most)", '{"N": 1}', "a", "", True),
        # names are exact
        ("no commas", {}, "a", "", None),
        (None, {}, "a", "", None),
    ],
)
def test_corners(name: Any, kwargs: Any, response: str, question: str, passed: bool | None) -> None:
    assert passes(name, kwargs, response, question) is passed


def test_a_missing_response_is_the_word_nan() -> None:
    assert passes("Number Words (at most)", {"N": 1}, None, "")
    assert passes("All Lowercase", {}, None, "") and not passes("All Uppercase", {}, None, "")
    assert passes("Include Keywords", {"keywords": "nan"}, None, "")


@pytest.mark.parametrize(
    ("name", "kwargs", "code"),
    [
        ("Include Keywords", {"keywords": 3}, "bad-argument"),
        ("Number Words (at least)", {"N": "3"}, "bad-argument"),
        ("No Commas", "{not json", "bad-row"),
        ("No Commas", [1], "bad-row"),
    ],
)
def test_arguments_of_the_wrong_kind_are_no_verdict(name: str, kwargs: Any, code: str) -> None:
    with pytest.raises(Unscorable, match=code):
        passes(name, kwargs, "x", "")
    [verdict] = judged({"task_identifier": name, "kwargs": kwargs}, "x")
    assert verdict.value is None and verdict.reason is not None and verdict.reason.startswith(code)


MARKED = st.text(alphabet="*[]<>. \n\r\t\x0b\u2028aB-", max_size=40)


@given(MARKED)
def test_linear_counts_are_what_the_patterns_say(text: str) -> None:
    """The sheet's words as regular expressions, which would be slow on hostile text."""
    assert placeholders(text) == len(re.findall(r"\[[^\]]+\]", text))
    assert bullets(text) == len(re.findall(r"^\s*\*\s", text, re.MULTILINE))
    assert has_title(text) == bool(re.search(r"<<[^>]+>>", text))


@given(MARKED, st.text(alphabet="-* \na", max_size=3))
def test_sections_are_what_splitting_with_blanks_around_gives(text: str, splitter: str) -> None:
    pieces = re.split(rf"\s*{re.escape(splitter)}\s*", text)
    assert sections(text, splitter) == sum(bool(p.strip()) for p in pieces)


@given(st.sampled_from(sorted(r for r in RULES if "Sentences" not in r)), st.text(), st.text())
def test_any_text_has_a_verdict(name: str, response: str, argument: str) -> None:
    keys = ("keywords", "forbidden_words", "keyword", "postscript_marker", "section_splitter")
    kwargs = dict.fromkeys((*keys, "start_phrase", "end_phrase"), argument) | {"N": 1, "N1": 1, "N2": 2}
    assert passes(name, kwargs, response, argument) in (True, False)


@pytest.mark.parametrize(
    "piece", ["[", "*", "<<", "\n", " ", '"', "*\n", "[]", "<<>", "******", "a b ", "N "]
)
def test_hostile_lengths_take_no_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    started = time.process_time()
    for name in RULES:
        if "Sentences" not in name:
            kwargs = {"section_splitter": "---", "keyword": "nan", "keywords": "zz, yy"}
            passes(name, kwargs, text, text)
    assert time.process_time() - started < 3.0


def judged(meta: Mapping[str, Any], text: str, *, official: bool = True) -> list[Verdict]:
    sample = Sample("a", "mmau-pro/full", (), meta={"question": "Do it.", **meta})
    return InstructionRules(official=official).score(sample, Answer(text, Response("a", text=text)))


def test_what_touches_a_verdict_is_named() -> None:
    silent = {"task_identifier": "No Commas", "kwargs": {}}
    [empty] = judged(silent, " \n")
    assert (empty.value, empty.touched) == (1.0, "empty_output")
    [strict] = judged(silent, " \n", official=False)
    assert (strict.value, strict.touched) == (0.0, None)
    [unknown] = judged({"task_identifier": "Rhymes"}, "text")
    assert (unknown.value, unknown.touched) == (0.0, "unknown_identifier")
    [left_out] = judged({"task_identifier": "Rhymes"}, "text", official=False)
    assert left_out.value is None and str(left_out.reason).startswith("unknown-rule:")


def test_without_a_sentence_model_the_sample_is_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(text: str) -> list[str]:
        raise Unscorable("missing-punkt", "no model here; do this")

    monkeypatch.setattr("judges.ifeval.texttools.sentences", gone)
    [verdict] = judged({"task_identifier": "Number Sentences (at least)", "kwargs": {"N": 1}}, "One. Two.")
    assert (verdict.value, verdict.reason) == (None, "missing-punkt: no model here; do this")


# --- the marks of the judge ----------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("mmau_pro.judge_parse"))
def test_agrees_with_the_public_parser(row: Mapping[str, Any]) -> None:
    assert official_scores(row["evaluation_text"]) == row["scores"]
    reading = OFFICIAL.read([row["evaluation_text"]])
    assert reading.value == row["scores"]["overall"] / 5
    assert reading.detail["scores"] == row["scores"]


ALL = "CORRECTNESS: 4 - a\nRELEVANCE: 5 - b\nCOMPLETENESS: 2 - c\nCLARITY: 5 - d\n"


@pytest.mark.parametrize(
    ("reply", "value", "touched"),
    [
        (ALL + "OVERALL: 4", 0.8, None),
        (ALL, 0.8, None),  # the mean of the four
        (ALL + "OVERALL: 3.0", 0.8, "overall_replaced"),
        ("OVERALL: 4", 0.8, None),
        ("OVERALL: 3", 0.6, "default_rating"),
        ("", 0.6, "default_rating"),
        ("**CORRECTNESS**: 4\nOVERALL: [4]", 0.6, "default_rating"),
        ("overall:\n\t4.5.1", 0.9, None),
        ("OVERALL: great\nOVERALL: 2", 0.4, None),
        ("OVERALL: 10", 2.0, "rating_out_of_range"),
        ("OVERALL: 0", 0.0, "rating_out_of_range"),
        ("CORRECTNESS: 7\n" + ALL.partition("\n")[2], 0.95, None),
    ],
)
def test_official_marks(reply: str, value: float, touched: str | None) -> None:
    reading = OFFICIAL.read([reply])
    assert (reading.value, reading.touched) == (pytest.approx(value), touched)


@pytest.mark.parametrize(
    ("reply", "value", "code"),
    [
        (ALL + "OVERALL: 4", 0.8, None),
        (ALL, 0.8, None),
        (ALL + "OVERALL: 3.0", 0.6, None),  # read as given
        ("OVERALL: 3", 0.6, None),
        ("", None, "judge-unparseable"),
        ("CORRECTNESS: 4\nRELEVANCE: 4\nCLARITY: 4", None, "judge-unparseable"),
        ("OVERALL: 10", None, "judge-out-of-range"),
        ("CORRECTNESS: 0\nOVERALL: 4", None, "judge-out-of-range"),
        ("OVERALL: " + "9" * 400, None, "judge-out-of-range"),
    ],
)
def test_strict_marks(reply: str, value: float | None, code: str | None) -> None:
    reading = STRICT.read([reply])
    assert reading.value == (None if value is None else pytest.approx(value))
    assert reading.touched is None
    assert code is None or (reading.reason or "").startswith(f"{code}: ")
    json.dumps([reading.votes, reading.detail], allow_nan=False)


def test_a_mark_no_float_holds_is_no_number() -> None:
    reading = OFFICIAL.read(["CLARITY: " + "9" * 400])
    assert reading.value is None and str(reading.reason).startswith("judge-nonfinite:")
    json.dumps([reading.votes, reading.detail], allow_nan=False)


@given(st.dictionaries(st.sampled_from([*CRITERIA, "overall"]), st.integers(1, 5)))
def test_what_is_written_is_read(given_marks: dict[str, int]) -> None:
    reply = "\n".join(f"{name.upper()}: {mark} - fine" for name, mark in given_marks.items())
    assert {k: v for k, v in marks(reply).items() if v is not None} == given_marks
    scores = official_scores(reply)
    four = [given_marks.get(name, 3) for name in CRITERIA]
    assert scores["overall"] == (o if (o := given_marks.get("overall", 3)) != 3 else sum(four) / 4)


@given(st.text())
def test_any_reply_is_read(reply: str) -> None:
    assert OFFICIAL.read([reply]).value is not None or "judge-nonfinite" in str(OFFICIAL.read([reply]).reason)
    STRICT.read([reply])


def test_replies_a_weak_judge_can_be_held_to_are_read() -> None:
    for contract in (OFFICIAL, STRICT):
        assert [contract.read([c]).value for c in contract.choices] == [0.2, 0.4, 0.6, 0.8, 1.0]


class Fixed:
    """A judge model that notes what it was asked."""

    label, meaningful = "fixed", True

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        return ChatReply((ALL + "OVERALL: 4.0",), "fixed-1")


def test_the_judge_sees_question_reference_and_answer() -> None:
    model = Fixed()
    judge = mmau_pro_open_judge(model)
    sample = Sample("a", "mmau-pro/full", (), target="a late train", meta={"question": "What is it?"})
    [verdict] = asyncio.run(judge.ask(sample, Answer("a bus", Response("a", text="a bus"))))
    assert (verdict.value, verdict.detail["votes"]) == (0.8, [4.0])
    [request] = model.asked
    assert (request.temperature, request.max_tokens, request.n) == (0.1, 512, 1)
    (_, system), (role, text) = request.texts()
    assert role == "user" and system
    for words in ("What is it?", "a late train", "a bus", "CORRECTNESS", "OVERALL"):
        assert words in text
    bare = Sample("a", "mmau-pro/full", (), meta={"question": "What is it?"})
    [left] = asyncio.run(judge.ask(bare, Answer("a bus", Response("a", text="a bus"))))
    assert left.value is None and str(left.reason).startswith("no-reference:")
