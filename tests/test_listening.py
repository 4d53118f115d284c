"""What judges of speech quality have in common, with models of our own in the place of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evalkit.audio import encode_wav
from evalkit.interfaces import Answer, Judge
from evalkit.records import Audio, Response, Sample, Verdict
from judges.listening import SAMPLE_RATE, heard, rated
from judges.weights import WeightsError

SHORTEST = 400
TONE = (0.3 * np.sin(np.arange(SAMPLE_RATE) / 7)).astype(np.float32)


class Toy(Judge):
    metrics = ("toy",)
    signature = "toy"

    def __init__(self, model: Callable[[Any], float]) -> None:
        self.model = model

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        return rated(self, answer, self.model, SHORTEST)


def verdict(samples: Any, model: Callable[[Any], float] = lambda _: 3.5, rate: int = SAMPLE_RATE) -> Verdict:
    audio = None if samples is None else Audio(data=encode_wav(samples, rate))
    answer = Answer("", Response(sample_id="q", audio=audio))
    [found] = Toy(model).score(Sample(id="q", task="t", turns=(), target=None), answer)
    return found


def test_the_model_hears_16_khz_and_its_number_is_the_verdict() -> None:
    lengths: list[int] = []
    found = verdict(TONE[:8000], lambda x: lengths.append(len(x)) or 2.25, rate=8000)  # type: ignore[func-returns-value]
    assert lengths == [16_000] and (found.metric, found.value) == ("toy", 2.25)
    assert found.detail == {"seconds": 1.0}


@pytest.mark.parametrize(("length", "code"), [(SHORTEST, ""), (SHORTEST - 1, "too-short")])
def test_what_is_just_long_enough_is_rated(length: int, code: str) -> None:
    assert verdict(TONE[:length]).code == code


@pytest.mark.parametrize(
    ("samples", "code"), [(None, "no-audio"), (TONE[:0], "silent-audio"), (TONE * 1e-4, "silent-audio")]
)
def test_there_may_be_nothing_to_rate(samples: Any, code: str) -> None:
    assert verdict(samples).code == code


def test_junk_is_told() -> None:
    found = heard(Audio(data=b"junk"))
    assert isinstance(found, str) and found.startswith("bad-audio: ")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WeightsError("not scored: no weights"), "weights: not scored: no weights"),
        (RuntimeError("at\nshape (1, 2)\n"), "toy-failed: shape (1, 2)"),
        (RuntimeError(), "toy-failed: RuntimeError"),
    ],
)
def test_a_model_that_fails_leaves_the_sample_unscored(error: Exception, reason: str) -> None:
    def model(samples: Any) -> float:
        raise error

    assert verdict(TONE, model).reason == reason


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_finite_number_is_no_score(value: float) -> None:
    found = verdict(TONE, lambda _: value)
    assert found.value is None and found.code == "toy-failed"
