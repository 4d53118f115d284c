"""McNemar's exact test of paired 0/1 values."""

from __future__ import annotations

import math


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact p of McNemar's test: a fair coin on the discordant pairs (McNemar 1947, in its exact form).

    Args:
        wins, losses: pairs right only in one run, and right only in the other. Samples that both get right, or
            both wrong, say nothing about the difference.

    Returns:
        Twice the smaller tail of Binomial(wins + losses, 1/2), at most 1; 1 without any discordant pair.
    """
    n, fewer = wins + losses, min(wins, losses)
    if wins == losses:
        return 1.0
    # Summed from the largest term downwards in its own unit: no overflow, and no loss at a million pairs.
    top = math.lgamma(n + 1) - math.lgamma(fewer + 1) - math.lgamma(n - fewer + 1) - n * math.log(2)
    total, term = 0.0, 1.0
    for k in range(fewer, -1, -1):
        total += term
        term *= k / (n - k + 1)
        if term < 1e-17 * total:
            break
    return min(1.0, 2.0 * math.exp(top) * total)
