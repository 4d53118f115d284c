"""ASR-WER: counts of one answer, and every reason not to score."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.audio import encode_wav
from evalkit.interfaces import Answer
from evalkit.records import JSON, Audio, Failure, Response, Sample, Transcript, Verdict
from judges.asr_wer import AsrWer

SAMPLE = Sample("1", "ultraeval/llama-questions", ())
TONE = (0.3 * np.sin(np.arange(8000) * 0.1)).astype(np.float32)
SPEECH = Audio(data=encode_wav(TONE, 16000), format="wav")
SILENCE = Audio(data=encode_wav(TONE * 1e-3, 16000), format="wav")


def judge(
    text: str,
    heard: str | None,
    audio: Audio | None = SPEECH,
    language: str | None = "en",
    error: Failure | None = None,
    meta: dict[str, JSON] | None = None,
) -> Verdict:
    transcript = None if heard is None else Transcript("0" * 64, "whisper:beam=5", heard, language, error)
    response = Response("1", text=text, audio=audio, meta=meta or {})
    (verdict,) = AsrWer().score(SAMPLE, Answer(heard or "", response, transcript))
    return verdict


def test_both_sides_are_normalised_and_the_counts_pool() -> None:
    got = judge("<|s|>It's twenty colours, Mr. Smith!<|end|>", " it is 20 color mister smith yes")
    assert got.detail["reference"] == "it is 20 colors mister smith"
    assert got.detail["hypothesis"] == "it is 20 color mister smith yes"
    want = {"errors": 2, "length": 6, "insertions": 1, "deletions": 0, "substitutions": 1}
    assert got.counts == {**want, "told": 0, "truncated": 0}
    assert got.value == pytest.approx(2 / 6)
    assert got.detail["asr"] == "whisper:beam=5"
    assert "truncated" not in got.detail


def test_special_tokens_separate_words() -> None:
    assert judge("Paris<|sep|>France", "paris france").value == 0.0


@pytest.mark.parametrize(
    ("audio", "heard", "no_speech"),
    [
        (None, None, "missing"),
        (SILENCE, "Thank you for watching.", "silent"),  # what Whisper imagines in silence counts for nothing
        (SPEECH, "", None),
        (SPEECH, " ", None),
    ],
)
def test_nothing_said_is_all_deletions(audio: Audio | None, heard: str | None, no_speech: str | None) -> None:
    got = judge("Paris is nice", heard, audio)
    want = {"errors": 3, "length": 3, "insertions": 0, "deletions": 3, "substitutions": 0}
    assert got.counts == {**want, "told": 0, "truncated": 0}
    assert got.value == 1.0
    assert got.detail.get("no_speech") == no_speech


def test_silence_overrules_a_failed_transcript() -> None:
    assert judge("Paris", "", SILENCE, error=Failure("crash", "no frames")).value == 1.0


@pytest.mark.parametrize(
    ("kwargs", "code"),
    [
        ({"text": "", "heard": "hello"}, "empty-reference"),
        ({"text": "<|end|> ", "heard": "hello"}, "empty-reference"),
        ({"text": "Um, (laughs)", "heard": "hello"}, "empty-reference"),
        ({"text": "Paris", "heard": None}, "asr-unbound"),
        ({"text": "巴黎 Paris", "heard": "paris"}, "not-english"),
        ({"text": "서울", "heard": "seoul"}, "not-english"),
        ({"text": "Paris", "heard": "巴黎", "language": "zh"}, "not-english"),
        ({"text": "Paris", "heard": "", "error": Failure("oom", "no memory")}, "asr-failed"),
        ({"text": "7" * 6000, "heard": "seven"}, "normalizer-failed"),
    ],
)
def test_what_cannot_be_scored_says_why(kwargs: dict[str, JSON], code: str) -> None:
    got = judge(**kwargs)
    assert got.value is None
    assert got.counts is None
    assert got.reason is not None
    assert got.reason.startswith(f"{code}: ")


def test_unbound_asr_names_the_option() -> None:
    assert "--asr" in str(judge("Paris", None).reason)


@pytest.mark.parametrize("language", [None, "en", "en-US", "EN_us", "english"])
def test_english_by_any_name(language: str | None) -> None:
    assert judge("Paris", "paris", language=language).value == 0.0


def test_the_language_of_an_empty_transcript_means_nothing() -> None:
    assert judge("Paris", "", language="zh").value == 1.0


@pytest.mark.parametrize("meta", [{"truncated": True}, {"finish_reason": "length"}])
def test_truncated_generation_is_marked(meta: dict[str, JSON]) -> None:
    got = judge("Paris is", "paris", meta=meta)
    assert got.detail["truncated"] is True
    assert (got.counts or {}).items() >= {"told": 1, "truncated": 1}.items()


@pytest.mark.parametrize("meta", [{"truncated": False}, {"finish_reason": "stop"}])
def test_generation_that_ended_by_itself_is_told_apart_from_one_that_nobody_tells_of(
    meta: dict[str, JSON],
) -> None:
    assert (judge("Paris is", "paris", meta=meta).counts or {}).items() >= {"told": 1, "truncated": 0}.items()
    assert (judge("Paris is", "paris").counts or {})["told"] == 0


@pytest.mark.parametrize(("heard", "language"), [("Paris", "fr"), ("42", "zh"), ("paris is nice", "cy")])
def test_a_language_guessed_from_short_speech_is_not_believed_against_the_words(
    heard: str, language: str
) -> None:
    assert judge("Paris is nice, 42 times", heard, language=language).value is not None


def test_english_weights_make_no_score_of_an_answer_in_another_language() -> None:
    """An `.en` engine says "en" of whatever it hears: the text has to tell."""
    french = "La ville de Paris est la capitale de la France et elle est belle."
    got = judge(french, "love ill the parry a la capital", language="en")
    assert got.value is None
    assert str(got.reason).startswith("not-english: the text is not English (it reads like French)")


def test_unreadable_audio_does_not_count_as_silence() -> None:
    assert judge("Paris", "paris", Audio(data=b"junk")).value == 0.0


def test_signature_names_the_normaliser() -> None:
    assert AsrWer().signature.startswith("asr-wer:whisper-english@whisper-normalizer-")
