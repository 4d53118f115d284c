"""Is it English? A false refusal is as bad as a false score."""

from __future__ import annotations

import time

import pytest

from evalkit.records import Transcript
from judges.english import not_english, speech_not_english, text_not_english

ENGLISH = [
    "",
    "  \n",
    "42",
    "3.14 - 1/2 = 2.64!",
    "...",
    "😀",
    "Paris",
    "No.",
    "Café Müller serves crème brûlée and jalapeños à la carte.",
    "Ｐａｒｉｓ",
    "π",
    "The area is πr², and Δx is small.",
    "The Chinese word for hello is 你好 (ni hao).",
    "The capital of Russia, Москва in Russian, lies on a river.",
    "Oscar de la Hoya",
    "The band is Los Lobos de la Noche",
    "De la Terre à la Lune was written by Jules Verne.",
    "In Rio de Janeiro, as in São Paulo, people speak Portuguese.",
    "A to Z: a as in apple, b as in boy",
    "Vitamin A, vitamin D and vitamin E are in it.",
    "Do as I do, or do no more.",
    "no no no no no no no",
    "do re mi fa sol la ti do",
    "Van Gogh, Vincent van Gogh, was from the Netherlands.",
    "It is the die that was cast.",
    "<|en|>Paris<|end|>",
    "<|zh|> <|end|>",
    "ok " * 400,
]
OTHER = [
    "巴黎",
    "巴黎 Paris",
    "法国的首都是巴黎 (Paris)。",
    "你好世界hello",
    "<|text|>你好<|end|>",
    "서울",
    "東京です",
    "Столица России — Москва.",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "สวัสดีครับ",
    "Αθήνα",
    "La ville de Paris est la capitale de la France",
    "Die Hauptstadt von Frankreich ist Paris.",
    "La capital de Francia es París, una ciudad muy grande.",
    "La capitale della Francia è la città di Parigi.",
    "A capital da França é Paris, uma cidade muito grande que não dorme.",
    "De hoofdstad van Frankrijk is Parijs, een stad die niet slaapt.",
    "Warszawa jest stolicą Polski i nie jest to mała wieś, ale duże miasto.",
]


@pytest.mark.parametrize("text", ENGLISH, ids=lambda t: t[:25])
def test_english_is_not_refused(text: str) -> None:
    assert text_not_english(text) is None


@pytest.mark.parametrize("text", OTHER, ids=lambda t: t[:25])
def test_other_languages_are_refused(text: str) -> None:
    assert str(text_not_english(text)).startswith("the text is not English")


@pytest.mark.parametrize(("latin", "sure"), [(1, True), (2, True), (3, False)])
def test_a_third_in_another_script_is_another_language(latin: int, sure: bool) -> None:
    assert (text_not_english("word " * latin + "北") is not None) is sure


@pytest.mark.parametrize(
    ("heard", "believed"), [("alpha beta gamma delta", True), ("alpha beta gamma delta epsilon", False)]
)
def test_half_of_the_words_heard_in_the_text_are_its_language(heard: str, believed: bool) -> None:
    assert (speech_not_english(transcript(heard, "cy"), "alpha beta") is None) is believed


def transcript(text: str, language: str | None) -> Transcript:
    return Transcript("0" * 64, "asr", text, language)


@pytest.mark.parametrize(
    ("language", "heard", "written"),
    [
        ("en", "Paris", "London"),
        ("en-US", "Paris", ""),
        ("english", "Paris", ""),
        (None, "Paris", ""),
        ("fr", "Paris.", "Paris"),
        ("cy", "Paris", "The capital of France is Paris"),
        ("nn", "", "Paris"),
        ("zh", "42", "42"),
        ("de", "The capital of France is Paris.", "something else"),
    ],
)
def test_words_are_believed_before_a_guess_at_the_language(
    language: str | None, heard: str, written: str
) -> None:
    assert speech_not_english(transcript(heard, language), written) is None
    assert not_english(written, transcript(heard, language)) is None


@pytest.mark.parametrize(
    ("language", "heard", "written"),
    [
        ("zh", "巴黎", "Paris"),
        (None, "巴黎", "Paris"),
        ("en", "巴黎", "Paris"),
        ("ja", "ご視聴ありがとうございました", "Paris"),
        ("fr", "La capitale est Paris", "The capital is Paris"),
        ("zh", "Bali", "Paris"),
    ],
)
def test_speech_in_another_language_is_refused(language: str | None, heard: str, written: str) -> None:
    assert speech_not_english(transcript(heard, language), written)
    assert not_english(written, transcript(heard, language))


def test_without_a_transcript_nothing_speaks_against_it() -> None:
    assert speech_not_english(None) is None
    assert not_english("", None) is None


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "я" * 200_000, "<|" * 100_000, "la " * 70_000, "'" * 200_000]
)
def test_long_texts_take_no_time(text: str) -> None:
    started = time.process_time()
    text_not_english(text)
    assert time.process_time() - started < 2
