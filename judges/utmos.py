"""UTMOS22-strong: naturalness of the spoken answer, about 1 to 5, English only (UltraEval sheet section 7).

The whole utterance, untrimmed, levels untouched, one clip at a time (padding would shift scores).
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict
from judges.english import not_english
from judges.listening import rated
from judges.utmos_model import HUB, fetch, given_weights, load_utmos, weights_path
from judges.weights import WeightsError, sha256_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from judges.utmos_model import Scorer

SHORTEST = 400
"""Samples that the model's first filters reach over (wav2vec 2.0: 25 ms)."""

_LOCK = threading.Lock()


@cache
def _loaded(weights: Path, checkout: str | None, device: str) -> Scorer:
    """The one scorer of this process for these weights (400 MB). Raises WeightsError."""
    return load_utmos(weights, checkout, device)


class Utmos(Judge):
    """UTMOS of the spoken answer.

    Args:
        weights: the weights file, or "hub" (option `utmos_weights`); None asks the variable EVALKIT_UTMOS.
        checkout: folder with tarepan/SpeechMOS v1.2.0 (option `utmos_checkout`), for a state dict only.
        device: "cpu" or "cuda" (option `utmos_device`).

    Unscored: "no-audio", "not-english", "bad-audio", "silent-audio", "too-short", "weights", "utmos-failed".
    """

    metrics = ("utmos",)
    reads = "audio"
    heavy = True
    languages = ("en",)

    def __init__(
        self, weights: str | None = None, checkout: str | None = None, device: str | None = None
    ) -> None:
        self._weights = weights
        self._checkout = checkout
        self._device = device or "cpu"

    async def ready(self) -> None:
        """Fetch the published model, where the user asked for it. Raises UsageError when it can't be had."""
        if given_weights(self._weights) != HUB:
            return
        try:
            fetch()
        except WeightsError as exc:
            raise UsageError(f"{str(exc).removeprefix('not scored: ')}.") from exc

    @property
    def signature(self) -> str:
        """Names the weights by their sha256, the resampler, and a device other than the CPU; "no-weights" without."""
        try:
            weights = sha256_of(weights_path(self._weights))[:12]
        except (WeightsError, OSError):
            weights = "no-weights"
        device = "" if self._device == "cpu" else f",{self._device}"
        return f"utmos22-strong@{weights}:sinc6-hann{device}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        if answer.response.audio is not None and (
            why := not_english(answer.response.text, answer.transcript)
        ):
            return self.unscored(f"not-english: {why}; UTMOS is defined for English only.")
        return rated(self, answer, self._rate, SHORTEST)

    def _rate(self, samples: NDArray[np.float32]) -> float:
        with _LOCK:
            return _loaded(weights_path(self._weights), self._checkout, self._device)(samples)
