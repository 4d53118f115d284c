"""Speech ids cut into what the vocoder is given at once (runner specification, section 10)."""

from __future__ import annotations

import pytest

from evalkit.runners.fun_audio_chat.speech.segments import SAMPLES_PER_TOKEN, audible, blocks, seconds


def sizes(n: int) -> list[int]:
    return [len(b) for b in blocks(list(range(n)))]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, []),
        (1, [1]),
        (49, [49]),  # one block, however short
        (50, [50]),
        (749, [749]),
        (750, [750]),
        (751, [375, 376]),
        (799, [399, 400]),
        (800, [750, 50]),
        (1499, [750, 749]),
        (1500, [750, 750]),
        (1501, [750, 375, 376]),
        (1549, [750, 399, 400]),
        (1550, [750, 750, 50]),
        (2250, [750, 750, 750]),
    ],
)
def test_sizes(n: int, expected: list[int]) -> None:
    assert sizes(n) == expected


def test_every_length_keeps_every_id_in_order() -> None:
    """Nothing is lost, swapped or said twice; no block is too long, and none but an only one too short."""
    for n in range(2300):
        cut = blocks(list(range(n)))
        assert [t for b in cut for t in b] == list(range(n))
        assert all(0 < len(b) <= 750 for b in cut)
        assert len(cut) < 2 or min(map(len, cut)) >= 50


def test_only_sound_is_kept() -> None:
    assert audible([6561, 6561, 0, 6560, 6562, -1, 5, 6563, 6564, 0]) == [0, 6560, 5, 0]
    assert audible([6561] * 10 + [6562] * 5) == []
    assert audible(iter([7])) == [7]


def test_a_token_is_a_twenty_fifth_of_a_second() -> None:
    assert SAMPLES_PER_TOKEN == 960
    assert seconds([1] * 750) == 30.0
