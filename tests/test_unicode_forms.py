"""Normalisation as the library's, in linear time."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.choice_words import normal
from judges.qa_match import qa_exist_match
from judges.unicode_forms import Form, normalized

MARKS = "".join(c for c in map(chr, range(0x3000)) if unicodedata.combining(c))
FORMS: tuple[Form, ...] = ("NFC", "NFD", "NFKC", "NFKD")


@given(
    st.lists(
        st.one_of(
            st.text(MARKS, max_size=100), st.text(max_size=5), st.sampled_from(["\u0344", "\u1e69", "\ufb2c"])
        ),
        max_size=8,
    )
)
def test_it_is_the_librarys(parts: list[str]) -> None:
    text = "".join(parts)
    for form in FORMS:
        assert normalized(form, text) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", FORMS)
def test_a_letter_under_many_marks(form: Form) -> None:
    began = time.process_time()
    for text in ("a" + "\u0315\u0300" * 200_000, "\u1e69\u0323" * 200_000, "\u2014\u201c" * 200_000):
        normalized(form, text)
    assert time.process_time() - began < 10


def test_answers_of_marks_take_no_time() -> None:
    answer = "Rome " + "a" + "\u0315\u0300" * 100_000
    began = time.process_time()
    assert qa_exist_match("Rome", answer).match and normal(answer).startswith("Rome")
    assert time.process_time() - began < 10


def test_no_string_is_refused_as_by_the_library() -> None:
    with pytest.raises(TypeError):
        normalized("NFD", 5)  # type: ignore[arg-type]
