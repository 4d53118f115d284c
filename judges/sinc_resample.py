"""Band-limited resampling the way torchaudio's `resample` does it by default, in NumPy.

Both public routes to UTMOS resample this way (UltraEval sheet section 7), and another resampler can move its
scores slightly. Windowed sinc, Hann window, 6 zero crossings, roll-off 0.99 of the lower Nyquist. Equal
to torchaudio 2.8 within 5e-5 of full scale: that computes its filters in float32, here it is float64.
"""

from __future__ import annotations

from math import ceil, gcd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Samples = NDArray[np.float32]

ZERO_CROSSINGS = 6
ROLLOFF = 0.99


def resample(samples: Samples, rate: int, new_rate: int) -> Samples:
    """Mono samples at `rate` Hz -> ceil(len * new_rate / rate) samples at `new_rate` Hz. Never clips."""
    import numpy as np

    if rate == new_rate or not len(samples):
        return samples
    common = gcd(rate, new_rate)
    step, phases = rate // common, new_rate // common
    kernels, reach = _kernels(step, phases)
    padded = np.pad(samples.astype(np.float64), (reach, reach + step))
    frames = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[1])[::step]
    length = ceil(phases * len(samples) / step)
    out: Samples = (frames @ kernels.T).reshape(-1)[:length].astype(np.float32)
    return out


def _kernels(step: int, phases: int) -> tuple[Floats, int]:
    """One filter per output phase, [phases, 2 * reach + step], and how far it reaches to either side.

    Times are in units of the zero-crossing distance of the low-pass.
    """
    import numpy as np

    cutoff = min(step, phases) * ROLLOFF
    reach = ceil(ZERO_CROSSINGS * step / cutoff)
    inputs = np.arange(-reach, reach + step) / step
    outputs = np.arange(phases)[:, None] / phases
    t = np.clip((inputs - outputs) * cutoff, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    hann = np.cos(t * np.pi / ZERO_CROSSINGS / 2) ** 2
    kernels: Floats = np.sinc(t) * hann * (cutoff / step)
    return kernels, reach
