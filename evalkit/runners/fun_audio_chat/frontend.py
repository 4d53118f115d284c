"""A wave as the towers take it: Whisper log-mel frames and the number of speech slots the prompt keeps for it.

Source: runner specification, section 4. Safe in worker threads: nothing here changes once made.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evalkit.audio import AudioError
from evalkit.runners.fun_audio_chat.requests import Clip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of every wave here."""
TOKEN_RATE = 25
"""Speech slots per second, before they are grouped."""
WINDOW = 400
"""Samples of one Fourier transform (25 ms)."""
HOP = 160
"""Samples from frame to frame (10 ms)."""
FLOOR = 1e-10
"""Least energy, so that its logarithm is a number."""
RANGE = 8.0
"""Decades below the clip's loudest bin that are kept."""


def speech_slots(samples: int, group: int = 5) -> tuple[int, int]:
    """How many 25 Hz speech slots a clip has, and how many placeholders that makes in the prompt.

    Double precision in this order of operations, as published: 463 lengths up to 300 s come out one slot short of
    the exact value. Source: runner specification, section 4.6.

    Args:
        samples: length of the clip at 16 kHz, before any cut.
        group: slots to a placeholder.

    Returns:
        (n, g): slots and placeholders, g = ceil(n / group); (0, 0) under 640 samples.
    """
    slots = int(samples / SAMPLE_RATE * TOKEN_RATE)
    return slots, math.ceil(slots / group)


def log_mel(wave: NDArray[np.float32], *, chunk_length: int, bins: int = 128, group: int = 5) -> Clip:
    """Whisper's log-mel of one clip, valid frames only, as if it had been padded to the whole window.

    What lies beyond the window is cut from the frames and kept in the counts: its placeholders get zero vectors.
    Source: runner specification, sections 4.2 and 4.6.

    Args:
        wave: mono at 16 kHz in [-1, 1], shape (N,); any float type.
        chunk_length: the window in seconds, from `preprocessor_config.json`.
        bins: mel bins.
        group: slots to a placeholder.

    Returns:
        The clip: `mel` float32 of shape (bins, ceil(min(N, window) / 160)); of shape (bins, 0) for an empty wave.

    Raises:
        AudioError: a sample is no number (NaN or infinite), or samples too large to have an energy.
        ValueError: the wave is not of one dimension, or the window is empty.
    """
    import numpy as np
    import torch

    if wave.ndim != 1:
        raise ValueError(f"a mono wave has one dimension, this one has shape {wave.shape}")
    if chunk_length < 1:
        raise ValueError(f"chunk_length must be at least 1 second, not {chunk_length}")
    slots, groups = speech_slots(len(wave), group)
    window = chunk_length * SAMPLE_RATE
    heard = wave[:window].astype(np.float32, copy=False)
    if not np.isfinite(heard).all():
        raise AudioError(
            "the audio holds samples that are no numbers (NaN or infinite); write the file again"
        )
    frames = -(-len(heard) // HOP)
    if not frames:
        return Clip(np.zeros((bins, 0), dtype=np.float32), slots, groups, len(wave))
    # Zeros for one more transform give what zeros up to the window give: the frames after these are silent.
    padded = torch.zeros(min(frames * HOP + WINDOW, window), dtype=torch.float32, device="cpu")
    padded.numpy()[: len(heard)] = heard
    hann, filters = _tables(bins)
    spectrum = torch.stft(
        padded, WINDOW, HOP, window=hann, center=True, pad_mode="reflect", return_complex=True
    )
    power = spectrum[:, :-1].abs() ** 2
    decades = (filters @ power).clamp_(min=FLOOR).log10_()
    loudest = decades.max()
    if not torch.isfinite(loudest):
        raise AudioError("the audio's samples are far beyond [-1, 1]: scale them, or write the file again")
    scaled = torch.maximum(decades[:, :frames], loudest - RANGE).add_(4.0).div_(4.0)
    return Clip(scaled.contiguous().numpy(), slots, groups, len(wave))


@lru_cache(maxsize=4)
def _tables(bins: int) -> tuple[Any, Any]:
    """The Hann window, shape (400,), and the Slaney mel filters, shape (bins, 201); float32 on the CPU."""
    import torch
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=WINDOW // 2 + 1,
        num_mel_filters=bins,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE / 2,
        sampling_rate=SAMPLE_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    hann = torch.hann_window(WINDOW, dtype=torch.float32, device="cpu")
    return hann, torch.tensor(filters.T.copy(), dtype=torch.float32, device="cpu")
