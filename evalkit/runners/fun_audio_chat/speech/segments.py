"""Speech ids before the vocoder: which of them are sound, and the blocks they are spoken in.

Source: runner specification, section 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

AUDIBLE_IDS = 6561
"""Speech ids below this are sound; bos, eos and pad lie above."""
TOKENS_PER_SECOND = 25
SAMPLE_RATE = 24_000
"""Of the audio, in Hz."""
SAMPLES_PER_TOKEN = SAMPLE_RATE // TOKENS_PER_SECOND
BLOCK = 750
"""Most tokens of one call of the vocoder: 30 s."""
SHORT = 50
"""A last block with fewer tokens is evened out with the one before it."""


def audible(ids: Iterable[int]) -> list[int]:
    """The ids that are sound (0 <= id < 6561), in order."""
    return [t for t in ids if 0 <= t < AUDIBLE_IDS]


def blocks(ids: Sequence[int]) -> list[list[int]]:
    """Audible ids cut into what the vocoder is given at once; joined they are `ids` again.

    Blocks of 750. Where there is more than one and the last is shorter than 50, the last two are joined, in order,
    and cut at `length // 2`. (Upstream joined them in the wrong order before 2026-02-27.) No ids: no blocks.
    """
    out = [list(ids[i : i + BLOCK]) for i in range(0, len(ids), BLOCK)]
    if len(out) > 1 and len(out[-1]) < SHORT:
        joined = out[-2] + out[-1]
        half = len(joined) // 2
        out[-2:] = [joined[:half], joined[half:]]
    return out


def seconds(ids: Sequence[int]) -> float:
    """How long audible ids sound, in s."""
    return len(ids) / TOKENS_PER_SECOND
