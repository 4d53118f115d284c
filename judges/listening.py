"""What judges of speech quality have in common: audio that can be rated, and the one number of a learned score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evalkit.audio import AudioError, decode
from evalkit.records import Audio, Verdict
from judges.silence import is_silent
from judges.sinc_resample import resample
from judges.weights import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from evalkit.interfaces import Answer, Judge

    Samples = NDArray[np.float32]

SAMPLE_RATE = 16_000
"""Hz, of every speech-quality model here."""


def heard(audio: Audio | None, sample_rate: int | None = None) -> tuple[Samples, int] | str:
    """Mono samples (full scale = 1) and their rate in Hz; or why there is nothing to rate, as an unscored reason.

    Args:
        sample_rate: Hz to resample to while decoding; None leaves the rate as it is.
    """
    import numpy as np

    if audio is None:
        return "no-audio: the response has no speech."
    try:
        samples, rate = decode(audio, sample_rate)
    except AudioError as exc:
        return f"bad-audio: {exc}"
    if not np.isfinite(samples).all():
        return "bad-audio: some samples are not finite numbers."
    if is_silent(samples):
        return "silent-audio: there is no sound to rate."
    return samples, rate


def rated(judge: Judge, answer: Answer, scorer: Callable[[Samples], float], shortest: int) -> list[Verdict]:
    """The verdict on a spoken answer of a judge with one metric, whose model takes samples at 16 kHz.

    Args:
        scorer: the model; may raise WeightsError when it isn't there, and torch's RuntimeError.
        shortest: samples at 16 kHz below which there is nothing to rate.

    Unscored: "no-audio", "bad-audio", "silent-audio", "too-short", "weights", and "NAME-failed".
    """
    (metric,) = judge.metrics
    found = heard(answer.response.audio)
    if isinstance(found, str):
        return judge.unscored(found)
    native, rate = found
    samples = resample(native, rate, SAMPLE_RATE)
    if len(samples) < shortest:
        return judge.unscored(f"too-short: {len(samples) / SAMPLE_RATE:.3f} s is too little to rate.")
    try:
        value = scorer(samples)
    except WeightsError as exc:
        return judge.unscored(f"weights: {exc}")
    except RuntimeError as exc:  # torch's own errors
        said = str(exc).strip() or type(exc).__name__
        return judge.unscored(f"{metric}-failed: {said.splitlines()[-1][:200]}")
    if not math.isfinite(value):
        return judge.unscored(f"{metric}-failed: the model gave no finite score.")
    return [Verdict(metric, value, detail={"seconds": round(len(native) / rate, 3)})]
