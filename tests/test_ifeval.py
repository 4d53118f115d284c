"""The IFEval judge: the public scorer's verdicts, the quirks of the sheet, and what happens to bad rows."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.config import offline
from evalkit.interfaces import Answer
from evalkit.records import JSON, Response, Sample, Verdict
from judges.ifeval import IFEval, patterns, pool_final, texttools
from judges.ifeval.arguments import ARGUMENTS, fill, seeded
from judges.ifeval.errors import Unscorable
from judges.ifeval.punkt import find_punkt
from judges.ifeval.registry import CHECKS
from judges.ifeval.scoring import follow, strip_role_tags, variants

VECTORS = Path(__file__).parent / "vectors" / "voicebench.ifeval.jsonl"


@pytest.fixture(scope="session")
def punkt() -> Path:
    """The sentence model, fetched when it is not here."""
    pytest.importorskip("nltk")
    pytest.importorskip("langdetect")
    try:
        return find_punkt()
    except Unscorable as exc:
        if offline():
            pytest.skip(exc.reason)
        raise


def sample_of(ids: JSON, kwargs: JSON, name: str = "s1") -> Sample:
    return Sample(name, "voicebench/ifeval", (), meta={"instruction_id_list": ids, "kwargs": kwargs})


def verdict(judge: IFEval, sample: Sample, text: str) -> Verdict:
    (only,) = judge.score(sample, Answer(text, Response(sample.id, text)))
    return only


def one(instruction: str, response: str, /, *, judge: IFEval | None = None, **kwargs: JSON) -> Verdict:
    return verdict(judge or IFEval(), sample_of([instruction], [kwargs]), response)


def check(instruction: str, response: str, /, **args: JSON) -> bool:
    return CHECKS[instruction](response, args)


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]


# --- the public scorer's verdicts ---


@pytest.mark.parametrize("encode", [lambda value: value, json.dumps], ids=["lists", "json text"])
def test_agrees_with_the_public_scorers(punkt: Path, encode: Any) -> None:
    official, kimi = IFEval(strip_tags=True), IFEval(strip_tags=False)
    differ = []
    for row in rows():
        sample = sample_of(encode(row["instruction_id_list"]), encode(row["kwargs"]), row["id"])
        detail = verdict(official, sample, row["response"]).detail
        raw = verdict(kimi, sample, row["response"]).detail
        if {name: detail.get(name) for name in row["official"]} != row["official"]:
            differ.append((row["id"], "official"))
        if {name: raw.get(name) for name in row["kimi_vb_ifeval"]} != row["kimi_vb_ifeval"]:
            differ.append((row["id"], "kimi"))
    assert differ == []
    assert {name for row in rows() for name in row["instruction_id_list"]} == set(CHECKS)


def test_the_variants_differ_on_role_tags_alone() -> None:
    text = "<1> my words<|user|>"
    kwargs = {"end_phrase": "words"}
    assert one("startend:end_checker", text, judge=IFEval(True), **kwargs).value == 1
    assert one("startend:end_checker", text, judge=IFEval(False), **kwargs).value == 0
    assert strip_role_tags("<4>a<|user|> ") == "<4>a<|user|> "


def test_every_instruction_has_arguments_and_a_check() -> None:
    assert set(CHECKS) == set(ARGUMENTS)
    assert len(CHECKS) == 25


# --- counts and pooling ---


def test_counts_value_and_detail() -> None:
    sample = sample_of(["punctuation:no_comma", "startend:quotation"], [{}, {}])
    got = verdict(IFEval(), sample, 'Sure, here:\n"quoted"')
    assert got.detail["strict"] == [False, False]
    assert got.detail["loose"] == [True, True]
    assert got.counts == {
        "strict_prompt": 0,
        "loose_prompt": 1,
        "strict_followed": 0,
        "loose_followed": 2,
        "instructions": 2,
    }
    assert got.value == 0.5
    assert got.touched is None


def test_pooling_weighs_instructions_not_prompts() -> None:
    three = follow("x", [lambda text: True, lambda text: False, lambda text: False]).counts
    single = follow("x", [lambda text: True]).counts
    rates = pool_final({name: three[name] + single[name] for name in three}, 2)
    assert rates == {
        "strict-prompt": 0.5,
        "strict-instruction": 0.5,
        "loose-prompt": 0.5,
        "loose-instruction": 0.5,
        "final": 0.5,
    }
    with pytest.raises(ValueError, match="at least one"):
        pool_final(dict.fromkeys(three, 0), 0)


@given(st.text(alphabet='*\n ,"ab<>[]-.', max_size=60), st.integers(1, 3))
def test_loose_is_never_below_strict_and_blanks_follow_nothing(text: str, n: int) -> None:
    args = {"num_highlights": n, "num_bullets": n, "num_placeholders": n, "num_paragraphs": n, "letter": "a"}
    args |= {"let_frequency": n, "let_relation": "less than", "num_words": n, "relation": "less than"}
    args |= {"keyword": "a", "frequency": n, "keywords": ["a"], "forbidden_words": ["b"], "end_phrase": "a"}
    needs_tools = ("language", "length_constraints:number_sentences", "change_case", "length_constraints:nth")
    ids = [name for name in CHECKS if not name.startswith(needs_tools) and "repeat" not in name]
    got = verdict(IFEval(), sample_of(ids, [args] * len(ids)), text)
    pairs = list(zip(got.detail["strict"], got.detail["loose"], strict=True))
    assert all(loose or not strict for strict, loose in pairs)
    if not text.strip():
        assert not any(loose for _, loose in pairs)
        assert got.value == 0


@given(st.text(alphabet="ab*\n ", max_size=30))
def test_variants_are_the_eight_of_the_sheet(text: str) -> None:
    lines = text.split("\n")
    eight = {
        text,
        "\n".join(lines[1:]).strip(),
        "\n".join(lines[:-1]).strip(),
        "\n".join(lines[1:-1]).strip(),
    }
    eight |= {form.replace("*", "") for form in eight}
    assert set(variants(text)) == eight
    assert variants(text)[0] == text


# --- linear rewrites of the public patterns ---

MARKS = st.text(alphabet="*-[]<>\n\t\r \x0ba", max_size=40)


@given(MARKS)
def test_bullets_count_as_the_public_patterns_do(text: str) -> None:
    public = len(re.findall(r"^\s*\*[^\*].*$", text, re.M)) + len(re.findall(r"^\s*-.*$", text, re.M))
    assert check("detectable_format:number_bullet_lists", text, num_bullets=public)
    assert not check("detectable_format:number_bullet_lists", text, num_bullets=public + 1)


@given(MARKS)
def test_placeholders_count_as_the_public_pattern_does(text: str) -> None:
    public = len(re.findall(r"\[.*?\]", text))
    assert check("detectable_content:number_placeholders", text, num_placeholders=public)
    assert not check("detectable_content:number_placeholders", text, num_placeholders=public + 1)


@given(MARKS)
def test_titles_as_the_public_pattern_finds_them(text: str) -> None:
    public = any(t.lstrip("<").rstrip(">").strip() for t in re.findall(r"<<[^\n]+>>", text))
    assert check("detectable_format:title", text) == public


@given(st.text(alphabet="pPsS. \n\xa0x", max_size=30), st.sampled_from(["P.P.S", "P.S.", "P.x", "^s", "x$"]))
def test_postscripts_as_the_public_patterns_find_them(text: str, marker: str) -> None:
    known = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    public = re.findall(known.get(marker, r"\s*" + marker.lower() + r".*$"), text.lower(), re.MULTILINE)
    assert check("detectable_content:postscript", text, postscript_marker=marker) == bool(public)


@pytest.mark.parametrize("unit", ["\n", " ", "*", "[", "<", "*\n", "- ", "a\n\n", "http://", "p. "])
def test_no_check_is_slow_on_hostile_text(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    given_fields = {"keywords": ["lantern"], "keyword": "lantern", "forbidden_words": ["U.S."]}
    given_fields |= {"first_word": "x", "prompt_to_repeat": "x", "postscript_marker": "Note"}
    for name, function in CHECKS.items():
        if not name.startswith(("change_case", "language", "length_constraints:number_sentences")):
            args = fill(name, given_fields, seeded(0, "s", 0, name)).values
            start = time.process_time()
            function(text, args)
            assert time.process_time() - start < 2, name  # quadratic time would be half a minute


# --- quirks of Appendix D ---


@pytest.mark.parametrize(
    ("instruction", "response", "args", "followed"),
    [
        ("keywords:existence", "the USA", {"keywords": ["u.a"]}, True),
        (
            "keywords:frequency",
            "concatenate",
            {"keyword": " cat ", "frequency": 1, "relation": "at least"},
            True,
        ),
        ("keywords:forbidden_words", "concatenate", {"forbidden_words": ["cat"]}, True),
        ("keywords:forbidden_words", "A CAT.", {"forbidden_words": ["cat"]}, False),
        ("length_constraints:number_words", "don't", {"num_words": 2, "relation": "at least"}, True),
        ("length_constraints:number_paragraphs", "***a *** b***", {"num_paragraphs": 2}, True),
        ("length_constraints:number_paragraphs", "a *** *** b", {"num_paragraphs": 2}, False),
        ("detectable_format:json_format", "```json\nNaN\n```", {}, True),
        ("detectable_format:json_format", "```python\n1\n```", {}, False),
        ("detectable_format:json_format", "[" * 100_000, {}, False),
        ("detectable_format:constrained_response", "my answer is yes.", {}, False),
        ("detectable_format:number_highlighted_sections", "**a** *b*", {"num_highlights": 3}, False),
        ("detectable_format:number_highlighted_sections", "**a** *b*", {"num_highlights": 2}, True),
        (
            "detectable_format:multiple_sections",
            "SECTION 1",
            {"section_spliter": "Section", "num_sections": 1},
            False,
        ),
        (
            "detectable_format:multiple_sections",
            "Section1",
            {"section_spliter": " Section ", "num_sections": 1},
            True,
        ),
        ("combination:two_responses", "******a******b", {}, True),
        ("combination:two_responses", "a****** ******b", {}, False),
        ("combination:two_responses", "a****** a", {}, False),
        ("combination:repeat_prompt", " HELLO you", {"prompt_to_repeat": "Hello "}, True),
        ("startend:end_checker", '"The End" ', {"end_phrase": " the end"}, True),
        ("startend:quotation", '"', {}, False),
        ("punctuation:no_comma", "a\uff0c b", {}, True),
    ],
)
def test_quirks(instruction: str, response: str, args: Mapping[str, JSON], followed: bool) -> None:
    assert one(instruction, response, **args).detail["strict"] == [followed]


@pytest.mark.parametrize(
    ("response", "followed"),
    [
        ("One.\n\n'\"Two, three", True),
        ("One.\n\n\n\nTwo", False),  # the second piece, blanks counted, is blank
        ("One.\n\nTwo\n\nThree", False),
        ("Two", False),
    ],
)
def test_first_word_of_the_second_paragraph(response: str, followed: bool) -> None:
    args = {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "TWO"}
    assert check("length_constraints:nth_paragraph_first_word", response, **args) is followed


def test_words_and_sentences(punkt: Path) -> None:
    assert len(texttools.sentences("Dr. Smith went to the U.S. in May. He liked it! Did she?")) == 3
    assert texttools.words("It's NASA. OK?") == ["It", "'s", "NASA", ".", "OK", "?"]
    args = {"capital_frequency": 2, "capital_relation": "at least"}
    assert check("change_case:capital_word_frequency", "It's NASA. OK?", **args)


def test_language_is_the_same_every_time() -> None:
    pytest.importorskip("langdetect")
    found = {texttools.language("alles gut mein freund") for _ in range(5)}
    assert found == {"de"}
    assert texttools.language("123 !?") is None
    assert check("language:response_language", "123", language="fr")
    assert not check("change_case:english_capital", "123")
    assert check("change_case:english_capital", "THIS IS A PLAIN ENGLISH SENTENCE ABOUT THE WEATHER")


# --- arguments ---


def test_numbers_may_come_as_floats_and_empty_cells_as_nan() -> None:
    got = one("detectable_format:number_bullet_lists", "- a\n- b", num_bullets=2.0, keywords=float("nan"))
    assert got.value == 1
    assert got.touched is None


def test_a_letter_that_is_none_is_drawn_once_and_marked() -> None:
    args = {"letter": "#", "let_frequency": 1, "let_relation": "at least"}
    first = one("keywords:letter_frequency", "abc def", **args)
    assert first.touched == "random_argument"
    assert first.value is not None
    assert first.detail["drawn"][0].keys() == {"letter"}
    assert one("keywords:letter_frequency", "abc def", **args) == first
    letters = {
        fill("keywords:letter_frequency", args, seeded(seed, "s", 0, "x")).values["letter"]
        for seed in range(2000)
    }
    assert len(letters) == 52


UNKNOWABLE = {"keyword", "keywords", "forbidden_words", "first_word", "prompt_to_repeat"}


@pytest.mark.parametrize("name", sorted(name for name in ARGUMENTS if ARGUMENTS[name]))
def test_missing_arguments_are_drawn_within_range_or_leave_the_sample_unscored(name: str) -> None:
    random = seeded(0, "s", 0, name)
    if unknowable := UNKNOWABLE & {argument.name for argument in ARGUMENTS[name]}:
        with pytest.raises(Unscorable, match="|".join(unknowable)) as caught:
            fill(name, {}, random)
        assert caught.value.code == "missing-argument"
    else:
        filled = fill(name, {}, random)
        assert set(filled.drawn) == {argument.name for argument in ARGUMENTS[name]}
        assert fill(name, filled.values, random).values == filled.values


@pytest.mark.parametrize(
    ("ids", "kwargs", "code"),
    [
        (["combination:repeat_prompt"], [{}], "missing-argument"),
        (["keywords:existence"], [{"keywords": None}], "missing-argument"),
        (["keywords:existence"], [{"keywords": "abc"}], "bad-argument"),
        (["keywords:existence"], [{"keywords": ["ok", "(oops"]}], "bad-regex"),
        (["keywords:forbidden_words"], [{"forbidden_words": ["*"]}], "bad-regex"),
        (["keywords:frequency"], [{"keyword": "a", "frequency": 1, "relation": "more than"}], "bad-argument"),
        (["length_constraints:number_words"], [{"num_words": "7", "relation": "at least"}], "bad-argument"),
        (["length_constraints:number_words"], [{"num_words": float("inf")}], "bad-argument"),
        (["detectable_content:postscript"], [{"postscript_marker": "[P"}], "bad-regex"),
        (["no:such"], [{}], "unknown-instruction"),
        (["punctuation:no_comma"], [], "bad-row"),
        (["punctuation:no_comma"], [3], "bad-row"),
        ([], [], "bad-row"),
        (None, None, "bad-row"),
        ("{", "[]", "bad-row"),
    ],
)
def test_bad_rows_are_unscored_whatever_the_response(ids: JSON, kwargs: JSON, code: str) -> None:
    for response in ("", "some words"):
        got = verdict(IFEval(), sample_of(ids, kwargs), response)
        assert got.value is None
        assert got.counts is None
        assert (got.reason or "").startswith(f"{code}: ")


# --- patterns of the data set ---


def test_patterns_with_operators_mean_what_they_mean_to_re() -> None:
    assert one("keywords:existence", "a dog", keywords=["cats?|dog"]).value == 1
    args = {"keyword": r"a\b", "frequency": 2, "relation": "at least"}
    assert one("keywords:frequency", "sofa, area", **args).value == 1
    assert one("detectable_content:postscript", "bye\nnb: x", postscript_marker="(NB|PS):").value == 1
    sections = {"section_spliter": "(Day|Week)", "num_sections": 2}
    assert one("detectable_format:multiple_sections", "Day 1", **sections).value == 1  # a group adds a piece


def test_a_runaway_pattern_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "TIME_LIMIT", 0.5)
    got = one("keywords:existence", "a" * 60 + "!", keywords=["(a+)+$"])
    assert got.value is None
    assert (got.reason or "").startswith("regex-timeout: ")


# --- the judge ---


def test_signature_names_variant_seed_and_packages() -> None:
    signatures = {IFEval(tags, seed).signature for tags in (True, False) for seed in (0, 1)}
    assert len(signatures) == 4
    assert all("nltk@" in text and "langdetect@" in text for text in signatures)


def test_missing_packages_leave_only_their_samples_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texttools, "_loaded", {})
    monkeypatch.setitem(sys.modules, "langdetect.detector_factory", None)
    got = one("change_case:english_lowercase", "NOT LOWER")
    assert got.value is None
    assert 'pip install "evalkit[voicebench]"' in (got.reason or "")
    assert one("punctuation:no_comma", "fine").value == 1
