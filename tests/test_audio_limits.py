"""Limits on audio: each has its code and its sentence, nothing is cut, options are checked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import RunnerError, UsageError
from evalkit.runners.audio_limits import MEGABYTE, AudioLimits, limits_of

FITS: dict[str, Any] = {"fmt": "wav", "seconds": 60.0, "size": 1000}
LIMITS = AudioLimits(max_seconds=60.0, max_bytes=1000, formats=("wav", "mp3"))


def refused(limits: AudioLimits, **change: Any) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        limits.check("sample q1", **{**FITS, **change})
    return caught.value


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"seconds": 60.01}, "audio-too-long", ("60.01 s", "the limit is 60 s", "max_audio_seconds")),
        ({"size": 1001}, "audio-too-large", ("0.000954628 MB", "0.000953674 MB", "max_audio_mb")),
        ({"fmt": "flac"}, "audio-format", ("is flac", "wav, mp3", "audio_formats")),
        ({"fmt": None}, "audio-format", ("an unknown container",)),
    ],
)
def test_what_is_beyond_a_limit_is_refused(change: dict[str, Any], kind: str, says: tuple[str, ...]) -> None:
    LIMITS.check("sample q1", **FITS)
    error = refused(LIMITS, **change)
    assert (error.kind, error.retryable, error.fatal) == (kind, False, False)
    assert error.message.startswith("sample q1: ") and all(w in error.message for w in says)
    assert "nothing was sent" in error.message and "\n" not in error.message


def test_the_whole_request_has_the_same_limit() -> None:
    LIMITS.check_request("the judge's request", 1000)
    with pytest.raises(RunnerError) as caught:
        LIMITS.check_request("the judge's request", 1001)
    assert caught.value.kind == "audio-too-large" and "the request with its audio" in caught.value.message


@given(st.floats(0, 1e9), st.integers(0, 2**40), st.sampled_from(["wav", "flac", None, ""]))
def test_without_limits_anything_goes(seconds: float, size: int, fmt: str | None) -> None:
    AudioLimits().check("x", fmt=fmt, seconds=seconds, size=size)
    AudioLimits().check_request("x", size)


def test_options() -> None:
    asked = {"max_audio_seconds": "1.5", "max_audio_mb": "2", "audio_formats": "WAV, .mp3", "base_url": "x"}
    limits = limits_of(asked, LIMITS)
    assert limits == AudioLimits(1.5, 2 * MEGABYTE, ("wav", "mp3"))
    assert limits_of({"audio_formats": "wav+flac"}).formats == ("wav", "flac")
    assert limits_of({"max_audio_seconds": "none"}, LIMITS).max_seconds is None
    assert limits_of({}, LIMITS) == LIMITS and limits_of({}) == AudioLimits()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_audio_seconds", v) for v in ("0", "-1", "nan", "inf", "x", "")),
        *(("max_audio_mb", v) for v in ("0", "nan", "1e9")),
        *(("audio_formats", v) for v in ("", ",", "wave", "wav,exe")),
    ],
)
def test_options_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        limits_of({name: value})
