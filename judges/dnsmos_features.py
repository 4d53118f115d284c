"""What the two DNSMOS networks are fed, in NumPy alone: windows of 9.01 s and their log-mel picture.

Source: embedded-default sheet section 7 and UltraEval sheet section 7. Equal to the `speechmos` package
(which needs librosa) to float32 rounding.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Samples = NDArray[np.float32]

Convention = Literal["microsoft", "ultraeval"]

SAMPLE_RATE = 16_000
WINDOW_SECONDS = 9.01
WINDOW = int(WINDOW_SECONDS * SAMPLE_RATE)
N_FFT, HOP, BANDS = 321, 160, 120

_KNEE_HZ, _HZ_PER_MEL = 1000.0, 200.0 / 3.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = 0.06875177742094912
"""Slaney's scale: linear up to 1 kHz (15 mel), then 27 mel for each factor of 6.4: ln(6.4) / 27."""
_TOP_MEL = _KNEE_MEL + 2.0794415416798357 / _LOG_STEP
"""8000 Hz: ln(8) above the knee."""


def windows(samples: Samples, convention: Convention) -> list[Samples]:
    """Windows of 144,160 samples, at least one.

    Args:
        samples: mono at 16 kHz, not empty.
        convention: "microsoft" doubles short audio until it fills a window and takes one window a second;
            "ultraeval" pads with zeros, or cuts, to a single window.

    Raises:
        ValueError: there are no samples (doubling would never end).
    """
    import numpy as np

    if not len(samples):
        raise ValueError("no samples")
    if convention == "ultraeval":
        head = samples[:WINDOW]
        return [np.pad(head, (0, WINDOW - len(head)))]
    while len(samples) < WINDOW:
        samples = np.append(samples, samples)
    count = int(len(samples) // SAMPLE_RATE - WINDOW_SECONDS) + 1
    # The end is rounded down in floating point as in the original: some windows come out a sample short
    # there and are skipped.
    spans = [(i * SAMPLE_RATE, int((i + WINDOW_SECONDS) * SAMPLE_RATE)) for i in range(count)]
    return [samples[a:b] for a, b in spans if min(b, len(samples)) - a >= WINDOW]


def log_mel(samples: Samples) -> Samples:
    """Input of the P.808 network: [frames, 120], decibels below the loudest cell, (dB + 40) / 40."""
    import numpy as np

    padded = np.pad(samples.astype(np.float64), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    decibel = 10 * np.log10(np.maximum(power @ _mel_filters().T, 1e-10))
    decibel -= decibel.max()
    picture: Samples = ((np.maximum(decibel, -80.0) + 40) / 40).astype(np.float32)
    return picture


@cache
def _mel_filters() -> Floats:
    """120 triangles of equal area from 0 to 8000 Hz on Slaney's mel scale: [120, 161]."""
    import numpy as np

    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    edges = _from_mel(np.linspace(0.0, _TOP_MEL, BANDS + 2))
    widths = np.diff(edges)
    rising = (bins - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - bins) / widths[1:, None]
    triangles: Floats = np.maximum(0.0, np.minimum(rising, falling))
    return triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]


def _from_mel(mel: Floats) -> Floats:
    import numpy as np

    above = np.maximum(mel - _KNEE_MEL, 0.0)
    hertz: Floats = np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, _KNEE_HZ * np.exp(_LOG_STEP * above))
    return hertz
