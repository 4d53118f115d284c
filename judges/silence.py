"""Is there any sound in it? One answer for every judge that listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.audio import AudioError, decode
from evalkit.records import Audio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SILENCE_PEAK = 1e-3
"""Peak (full scale = 1) below which a clip counts as silent: -60 dBFS, above dither, below any voice."""


def is_silent(samples: NDArray[np.float32]) -> bool:
    """True without samples, or when none reaches `SILENCE_PEAK`. `samples` is mono, full scale = 1."""
    import numpy as np

    return not len(samples) or bool(np.max(np.abs(samples)) < SILENCE_PEAK)


def known_silent(audio: Audio) -> bool:
    """True when the audio decodes and is silent; False when it sounds or can't be decoded."""
    try:
        return is_silent(decode(audio)[0])
    except AudioError:
        return False
