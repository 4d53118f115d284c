"""UTMOS22-strong: naturalness of the spoken answer, about 1 to 5, English only (UltraEval sheet section 7).

The whole utterance, untrimmed, levels untouched, one clip at a time (padding would shift scores).
"""

from __future__ import annotations

import math
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.audio import AudioError, decode
from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict
from judges.english import speech_not_english, text_not_english
from judges.silence import is_silent
from judges.sinc_resample import resample
from judges.utmos_model import SAMPLE_RATE, load_utmos, weights_path
from judges.weights import WeightsError, sha256_of

if TYPE_CHECKING:
    from judges.utmos_model import Scorer


_LOCK = threading.Lock()


@cache
def _loaded(weights: Path, checkout: str | None) -> Scorer:
    """The one scorer of this process for these weights (400 MB). Raises WeightsError."""
    return load_utmos(weights, checkout)


class Utmos(Judge):
    """UTMOS of the spoken answer.

    Args:
        weights: the weights file (option `utmos_weights`); None asks the variable EVALKIT_UTMOS.
        checkout: folder with tarepan/SpeechMOS v1.2.0 (option `utmos_checkout`), for a state dict only.

    Unscored: "no-audio", "not-english", "bad-audio", "silent-audio", "weights", "utmos-failed".
    """

    metrics = ("utmos",)
    reads = "audio"
    heavy = True

    def __init__(self, weights: str | None = None, checkout: str | None = None) -> None:
        self._weights = weights
        self._checkout = checkout

    @property
    def signature(self) -> str:
        """Names the weights by their sha256 and the resampler; "no-weights" when there are none."""
        try:
            weights = sha256_of(weights_path(self._weights))[:12]
        except (WeightsError, OSError):
            weights = "no-weights"
        return f"utmos22-strong@{weights}:sinc6-hann"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        if answer.response.audio is None:
            return self.unscored("no-audio: the response has no speech.")
        if why := text_not_english(answer.response.text) or speech_not_english(answer.transcript):
            return self.unscored(f"not-english: {why}; UTMOS is defined for English only.")
        try:
            samples, rate = decode(answer.response.audio)
        except AudioError as exc:
            return self.unscored(f"bad-audio: {exc}")
        if is_silent(samples):
            return self.unscored("silent-audio: there is no sound to rate.")
        try:
            with _LOCK:
                score = _loaded(weights_path(self._weights), self._checkout)
                value = score(resample(samples, rate, SAMPLE_RATE))
        except WeightsError as exc:
            return self.unscored(f"weights: {exc}")
        except RuntimeError as exc:  # torch's own errors, e.g. a clip shorter than the first filter
            return self.unscored(f"utmos-failed: {str(exc).strip().splitlines()[-1][:200]}")
        if not math.isfinite(value):
            return self.unscored("utmos-failed: the model gave no finite score.")
        return [Verdict("utmos", value, detail={"seconds": round(len(samples) / rate, 3)})]
