"""What a rule judge does with an answer it can't read: the public scorers toss a coin.

VoiceBench sheet sections 7, 9 and 13: on an extraction failure the public MCQ and BBH scorers draw an
answer with an unseeded generator. That defect is reproduced here under a name, in a form that can be
repeated, together with its expectation and with the strict reading (wrong).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

Fill = Literal["seeded", "expected", "none"]
"""What stands in for an answer that can't be read.

"seeded": one drawn from a hash of (seed, sample id); "expected": the chance of a lucky draw;
"none": nothing, the answer is wrong.
"""

RANDOM_LETTER = "random_letter"
"""`Verdict.touched` of every verdict that a draw (or its expectation) decided."""

_T = TypeVar("_T")


def draw(options: Sequence[_T], seed: int, sample_id: str) -> _T:
    """One of `options`, each equally likely, always the same for the same seed and sample id."""
    digest = hashlib.sha256(f"{seed}\0{sample_id}".encode("utf-8", "backslashreplace")).digest()
    return options[int.from_bytes(digest[:8], "big") % len(options)]


def check_fill(fill: str) -> None:
    """Raise ValueError when `fill` is none of the known ways."""
    if fill not in get_args(Fill):
        raise ValueError(f"fill must be one of {', '.join(get_args(Fill))}, not {fill!r}")


def fill_label(fill: Fill, seed: int) -> str:
    """How `fill` and `seed` show in a judge's signature; the seed only where it decides something."""
    return f"fill=seeded({seed})" if fill == "seeded" else f"fill={fill}"
