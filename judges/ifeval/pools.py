"""How IFEval's segment statistics become its numbers (VoiceBench sheet, section 8, point 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.pools import Pool, pooled

if TYPE_CHECKING:
    from evalkit.stats import Array

COLUMNS = ("n", "strict_prompt", "loose_prompt", "strict_followed", "loose_followed", "instructions")


def _final(sums: Array) -> Array:
    """Plain mean of the four rates: strict and loose, per prompt and per instruction."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        prompt = (sums[..., 1] + sums[..., 2]) / sums[..., 0]
        instruction = (sums[..., 3] + sums[..., 4]) / sums[..., 5]
    out: Array = (prompt + instruction) / 4.0
    return out


def _best(lo: float, hi: float, mean: Array) -> Sequence[float]:
    return (1.0, 1.0, 1.0, mean[5], mean[5], mean[5])


def _worst(lo: float, hi: float, mean: Array) -> Sequence[float]:
    return (1.0, 0.0, 0.0, 0.0, 0.0, mean[5])


FINAL = Pool("ifeval-final", COLUMNS, _final, _best, _worst)
STRICT_PROMPT = pooled("strict_prompt", "n")
LOOSE_PROMPT = pooled("loose_prompt", "n")
STRICT_INSTRUCTION = pooled("strict_followed", "instructions")
LOOSE_INSTRUCTION = pooled("loose_followed", "instructions")
