"""UltraEval-Audio's text rules against the public evaluators' own verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Verdict
from judges.qa_match import EMPTY_REFERENCE, ExistMatch, QAMatch, qa_exact_match, qa_exist_match, tokens

VECTORS = Path(__file__).parent / "vectors"
RULES = {"ue_qa_exist_match": qa_exist_match, "ue_qa_exact_match": qa_exact_match}


def judge_one(judge: ExistMatch, target: Any, text: str) -> Verdict:
    (verdict,) = judge.score(Sample("s", "t/t", (), target=target), Answer(text, Response("s", text)))
    return verdict


@pytest.mark.parametrize("name", RULES)
def test_vectors(name: str) -> None:
    with (VECTORS / f"ultraeval.{name}.jsonl").open(encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    assert len(cases) >= 90
    for case in cases:
        label, pred = case["input"]["label"], case["input"]["pred"]
        if "official_error" in case:
            assert case["official_error"] == "TypeError"
            with pytest.raises(TypeError):
                RULES[name](label, pred)
            continue
        found = RULES[name](label, pred)
        official = case["official"]
        assert (int(found.match), found.pred, found.ref) == (
            official["match"],
            official["pred"],
            official["ref"],
        ), case


def test_tokens_are_whole_runs_of_letters_marks_and_digits() -> None:
    assert tokens("U.S.A") == ["u", ".", "s", ".", "a"]
    assert tokens("Caf\u00e9 \u6771\u4eac\u200b\n3,5") == ["cafe\u0301", "\u6771\u4eac", "3", ",", "5"]


def test_exist_match_needs_whole_tokens_in_sequence() -> None:
    assert not qa_exist_match("Paris", "Parisian").match
    assert not qa_exist_match("AC/DC", "AC DC").match
    assert qa_exist_match("caf\u00e9", "a CAFE\u0301!").match
    assert not qa_exist_match("cafe", "caf\u00e9").match
    assert not qa_exist_match("new york city", "new york, city").match
    assert qa_exist_match({"Rome": 1}, "in Rome").match
    assert not qa_exist_match([], "anything").match


def test_exist_match_stops_at_the_first_match() -> None:
    assert qa_exist_match(["Rome", 5], "Rome").matched == "Rome"
    with pytest.raises(TypeError, match="int"):
        qa_exist_match([5, "Rome"], "Rome")
    with pytest.raises(TypeError):
        qa_exist_match(1969, "1969")


def test_exact_match_by_hand() -> None:
    assert qa_exact_match(["x", "The  Beatles!"], "beatles") == QAMatch(
        True, "The  Beatles!", "The  Beatles!", "The  Beatles!"
    )
    assert qa_exact_match("", "the").match
    assert qa_exact_match(42, "42.").match
    assert not qa_exact_match("42", "42 km").match


def test_judge_scores_and_names_the_reference() -> None:
    hit = judge_one(ExistMatch(), ["Lyon", "Paris"], " It is Paris.")
    assert (hit.metric, hit.value, hit.detail) == ("acc", 1.0, {"match": 1, "matched_reference": "Paris"})
    assert judge_one(ExistMatch(), "Paris", "").value == 0.0


@pytest.mark.parametrize("target", [None, 1969, [None], ["Lyon", 3]])
def test_a_target_that_is_no_text_is_unscored(target: Any) -> None:
    verdict = judge_one(ExistMatch(), target, "1969")
    assert verdict.value is None
    assert (verdict.reason or "").startswith("bad-reference: ")


def test_empty_references_match_as_published_or_stay_unscored() -> None:
    strict = ExistMatch(empty_reference="unscored")
    for target in ("", [" ", "\u200b"]):
        published = judge_one(ExistMatch(), target, "whatever")
        assert (published.value, published.touched) == (1.0, EMPTY_REFERENCE)
        verdict = judge_one(strict, target, "whatever")
        assert verdict.value is None
        assert (verdict.reason or "").startswith("empty-reference: ")
    mixed = ["", "Rome"]
    assert judge_one(ExistMatch(), mixed, "Oslo").touched == EMPTY_REFERENCE
    assert judge_one(ExistMatch(), mixed, "Rome").touched is None
    assert judge_one(strict, mixed, "Oslo").value == 0.0
    assert judge_one(strict, mixed, "Rome").value == 1.0


def test_signature_tells_the_variants_apart() -> None:
    variants = [ExistMatch(), ExistMatch("text"), ExistMatch(empty_reference="unscored")]
    assert len({j.signature for j in variants}) == 3
    assert ExistMatch("text").reads == "text"


@given(st.text(), st.text(), st.text())
def test_a_reference_is_found_between_other_words(before: str, reference: str, after: str) -> None:
    assert qa_exist_match(reference, f"{before} {reference} {after}").match


@given(
    st.lists(st.sampled_from(["a", "b", "1", "."]), max_size=4), st.lists(st.sampled_from("ab1."), max_size=8)
)
def test_agrees_with_a_plain_sublist_search(reference: list[str], text: list[str]) -> None:
    n = len(reference)
    expected = any(text[i : i + n] == reference for i in range(len(text) - n + 1))
    assert qa_exist_match(" ".join(reference), " ".join(text)).match == expected
