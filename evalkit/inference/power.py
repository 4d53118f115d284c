"""Power: how many samples a comparison needs, and what difference it can detect.

Everything rests on one figure, how much the difference of one sample varies (`Noise`): the standard error of a
difference is sqrt(variance * design effect / samples). For 0/1 metrics it is the discordance psi, the share of
samples on which two runs disagree; small sizes are then checked against the exact power of the test itself.

Rules (what `difference` means to each):

- "non-inferiority": the lower end of the gain's two-sided interval at 1 - alpha lies above -difference, the
  margin; alpha / 2 one-sided. Asked of a candidate whose true gain is `true` (0: as good as the baseline).
- "superiority": that lower end lies above 0, for a candidate that is better by `difference`.
- "two-sided": a test at alpha finds a true `difference` of either sign.

Sources: Connor 1987 (McNemar); Tango 1998, Nam 1997 (non-inferiority of paired proportions); Kish 1965 (design
effect); Guenther 1981 (unknown variance). Written from those rules; tests/test_power.py holds them against simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.inference.rows import Difference

    Array = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Mask = NDArray[np.bool_]

Rule = Literal["non-inferiority", "superiority", "two-sided"]
RULES: tuple[Rule, ...] = get_args(Rule)

EXACT_UP_TO = 1000
"""Up to so many samples, 0/1 pairs are counted out; beyond, the normal approximation is as good."""

MOST = 10**9
"""More samples than anybody has: `samples_needed` gives up there."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Noise:
    """How much the difference of one sample varies.

    Attributes:
        variance: of one sample's difference where the two runs are equally good, in printed points squared.
        step: printed points of one 0/1 answer (100 for percentages) where differences are -1, 0 or 1 steps; None for
            all other metrics. `variance` is then psi * step ** 2.
        design_effect: factor on the variance because samples come in clusters (see `design_effect`).
        fixed: variance of the difference that no further sample takes away (a published number's own).
    """

    variance: float
    step: float | None = None
    design_effect: float = 1.0
    fixed: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.variance, self.design_effect, self.fixed, self.step or 1.0)
        if not all(math.isfinite(x) for x in numbers) or self.variance < 0 or self.fixed < 0:
            raise ValueError(f"no variance of a difference: {self}")
        if self.design_effect <= 0 or (self.step is not None and self.step <= 0):
            raise ValueError(f"design effect and step are above zero: {self}")

    @property
    def sd(self) -> float:
        """Standard deviation of one sample's difference, in printed points."""
        return math.sqrt(self.variance)

    @property
    def discordance(self) -> float | None:
        """Share of samples on which the runs disagree; None where the metric isn't 0/1."""
        return None if self.step is None else min(1.0, self.variance / self.step**2)

    def se(self, n: int) -> float:
        """Standard error of the difference over n samples, in printed points."""
        return math.sqrt(self.variance * self.design_effect / n + self.fixed)


# --- where noise comes from ------------------------------------------------------------------------


def of_discordance(psi: float, *, step: float = 100.0, design_effect: float = 1.0) -> Noise:
    """Paired 0/1 answers that disagree on a share psi of the samples. Raises ValueError outside [0, 1]."""
    if not 0 <= psi <= 1:
        raise ValueError(f"the discordance is a share, not {psi:g}")
    return Noise(psi * step**2, step, design_effect)


def of_accuracy(p: float, correlation: float, *, step: float = 100.0, design_effect: float = 1.0) -> Noise:
    """Paired 0/1 answers of two runs that are both right on a share p: psi = 2 p (1 - p) (1 - correlation).

    Raises ValueError for a share outside [0, 1] or a correlation outside [-1, 1].
    """
    if not (0 <= p <= 1 and -1 <= correlation <= 1):
        raise ValueError(
            f"p is a share and the correlation lies between -1 and 1, not {p:g}, {correlation:g}"
        )
    # Below -min(p, q) / max(p, q) no two answers can be correlated: the discordance ends at 2 min(p, q).
    psi = min(2 * p * (1 - p) * (1 - correlation), 2 * min(p, 1 - p))
    return of_discordance(psi, step=step, design_effect=design_effect)


def of_sd(sd: float, correlation: float, *, design_effect: float = 1.0) -> Noise:
    """Paired values (ratings) with this standard deviation in both runs, in printed points."""
    if sd < 0 or not -1 <= correlation <= 1:
        raise ValueError(f"no standard deviation and correlation: {sd:g}, {correlation:g}")
    return Noise(2 * sd**2 * (1 - correlation), None, design_effect)


def of_unpaired(variance_a: float, variance_b: float, *, n_published: int | None = None) -> Noise:
    """Two sets of samples, or one against a published number, in printed points squared.

    Args:
        variance_a: of one of the baseline's or the published samples (100 ** 2 * p * (1 - p) for percentages).
        variance_b: of one of the candidate's.
        n_published: size of the published set, which stays as it is; None: both sets grow together.
    """
    if n_published is None:
        return Noise(variance_a + variance_b)
    return Noise(variance_b, fixed=variance_a / n_published)


def of_difference(found: Difference, *, step: float = 100.0) -> Noise:
    """The noise that a comparison met: by its wins and losses where it is of 0/1 answers, else by its standard error.

    Args:
        found: the comparison.
        step: printed points of one 0/1 answer.

    Raises ValueError where the comparison has neither.
    """
    if found.test.startswith("mcnemar") and found.clusters == found.n:
        return of_discordance(smoothed(found.wins + found.losses, found.n), step=step)
    if found.se is None or not math.isfinite(found.se) or not found.n:
        raise ValueError("the comparison has no standard error")
    return Noise(found.se**2 * found.n)


def smoothed(count: float, n: int) -> float:
    """A share that is never quite 0 or 1, (count + 1/2) / (n + 1): none in ten is no proof of none in thousands."""
    return (count + 0.5) / (n + 1)


def design_effect(size: float, icc: float) -> float:
    """Kish's design effect 1 + (m - 1) * icc of clusters of `size` samples; never below 1."""
    return max(1.0, 1.0 + (size - 1.0) * icc)


# --- power -----------------------------------------------------------------------------------------


def power(
    noise: Noise,
    n: int,
    difference: float,
    *,
    alpha: float = 0.05,
    rule: Rule = "non-inferiority",
    true: float = 0.0,
) -> float:
    """Probability that n samples satisfy the rule.

    Args:
        noise: of one sample's difference.
        n: samples in both runs.
        difference: margin or true difference (see the rules above), in printed points, above zero.
        alpha: two-sided level; the intervals are at 1 - alpha.
        true: non-inferiority only: the candidate's true gain, in printed points (0: as good as the baseline).

    Raises:
        ValueError: a difference that isn't above zero, alpha outside (0, 1), no such rule, n below 1.
    """
    _check(difference, alpha, rule)
    if n < 1:
        raise ValueError(f"{n} samples")
    if _countable(noise) and n <= EXACT_UP_TO:
        shares = _shares(noise, difference, rule, true)
        return _counted(n, *shares, alpha, rule)
    return _approximate(noise, n, difference, alpha, rule, true)


def samples_needed(
    noise: Noise,
    difference: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    rule: Rule = "non-inferiority",
    true: float = 0.0,
) -> int | None:
    """The smallest number of samples with this power; None where no number of samples has it.

    Arguments as for `power` above. Raises ValueError also for a power outside (0, 1).
    """
    _check(difference, alpha, rule)
    if not 0 < power < 1:
        raise ValueError(f"the power lies between 0 and 1, not {power:g}")
    if _approximate(noise, MOST, difference, alpha, rule, true) < power:
        return None
    low = _smallest(lambda n: _approximate(noise, n, difference, alpha, rule, true) >= power)
    if not _countable(noise) or low >= EXACT_UP_TO:
        return low
    shares = _shares(noise, difference, rule, true)
    # Of few disagreements the approximation asks up to a third too much, of many hardly any.
    start = low - (low // 3 if low * shares[0] < 100 else min(low // 4, 20))
    tried = range(start, EXACT_UP_TO)
    return next((n for n in tried if _counted(n, *shares, alpha, rule) >= power), EXACT_UP_TO)


def detectable(
    noise: Noise,
    n: int,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    rule: Rule = "non-inferiority",
    true: float = 0.0,
) -> float | None:
    """The smallest difference or margin that n samples have this power for (MDE), in printed points.

    None where 0/1 answers are so few that no difference up to 100 % is enough. Arguments as for `power` above.
    """
    top = noise.step if noise.step is not None else 1e6 * (noise.se(n) + abs(true)) + 1e-9

    def enough(difference: float) -> bool:
        return _power(noise, n, difference, alpha=alpha, rule=rule, true=true) >= power

    if not 0 < power < 1:
        raise ValueError(f"the power lies between 0 and 1, not {power:g}")
    if not enough(top):
        return None
    low, high = 0.0, top
    for _ in range(60):
        if (high - low) <= 1e-5 * high:
            break
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


_power = power  # `samples_needed` and `detectable` have an argument of that name


def with_decodings(noise: Noise, k: int, share: float) -> Noise:
    """The noise when the values of k decodings of each sample are averaged, in both runs.

    Args:
        share: of the variance that is chance in decoding (0 for greedy decoding, 1 where the two models only differ
            by chance); more decodings divide that share and nothing else.
    """
    if k < 1 or not 0 <= share <= 1:
        raise ValueError(f"no number of decodings and share of their noise: {k}, {share:g}")
    return replace(
        noise, variance=noise.variance * (1 - share + share / k), step=noise.step if k == 1 else None
    )


# --- how -------------------------------------------------------------------------------------------


def _check(difference: float, alpha: float, rule: str) -> None:
    if not (difference > 0 and math.isfinite(difference)):
        raise ValueError(f"a margin or difference is above zero, not {difference:g}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies between 0 and 1, not {alpha:g}")
    if rule not in RULES:
        raise ValueError(f"there is no rule {rule!r}; there are: {', '.join(RULES)}")


def _countable(noise: Noise) -> bool:
    """Can the power be counted out? Of independent 0/1 pairs only."""
    return noise.step is not None and noise.design_effect == 1 and noise.fixed == 0


def _shares(noise: Noise, difference: float, rule: str, true: float) -> tuple[float, float, float]:
    """Of 0/1 pairs: discordance, true difference, margin, as shares. A difference of d needs a discordance of d."""
    assert noise.step is not None and noise.discordance is not None
    gain, margin = (true, difference) if rule == "non-inferiority" else (difference, 0.0)
    gain, margin = max(-1.0, min(1.0, gain / noise.step)), min(1.0, margin / noise.step)
    return max(noise.discordance, abs(gain)), gain, margin


def _smallest(holds: Callable[[int], bool]) -> int:
    """The smallest n from 1 up that `holds` says yes to, given that it goes on saying yes."""
    high = 1
    while not holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _approximate(noise: Noise, n: int, difference: float, alpha: float, rule: str, true: float) -> float:
    """Power by the normal approximation; with the variance under the null and under the alternative."""
    z = _NORMAL.inv_cdf(1 - alpha / 2)
    gain, margin = (true, difference) if rule == "non-inferiority" else (difference, 0.0)
    null = alternative = noise.variance
    if noise.step is not None:
        psi, share, limit = _shares(noise, difference, rule, true)
        null = (psi if rule != "non-inferiority" else _restricted(psi, share, limit)) * noise.step**2
        alternative = max(0.0, psi - share**2) * noise.step**2
    # Where the variance is estimated, t stands in the place of z: as if z^2 / 2 samples fewer (Guenther).
    worth = n if noise.step is not None else max(n - z * z / 2, 1e-9)
    se0, se1 = (math.sqrt(v * noise.design_effect / worth + noise.fixed) for v in (null, alternative))
    # The exact McNemar test is one answer harder than its approximation.
    harder = noise.step / n if noise.step is not None and rule != "non-inferiority" else 0.0

    def beyond(gain: float) -> float:
        reach = gain + margin - harder - z * se0
        if se1 == 0:
            return float(reach >= 0)
        return _NORMAL.cdf(reach / se1)

    # The wrong tail is counted only where there is no correction: it is next to nothing.
    return min(1.0, beyond(gain) + (beyond(-gain) if rule == "two-sided" else 0.0))


def _restricted(psi: float, gain: float, margin: float) -> float:
    """Variance of one 0/1 difference when the gain is held at -margin: Tango's score variance at expected counts."""
    win, loss = (psi + gain) / 2, (psi - gain) / 2
    b = -(win + loss) + (2 - loss + win) * margin
    # The maximum-likelihood share of wins, were the gain -margin.
    q = (math.sqrt(max(0.0, b * b + 8 * win * margin * (1 - margin))) - b) / 4
    return max(0.0, 2 * q + margin * (1 - margin))


@lru_cache(maxsize=4096)
def _counted(n: int, psi: float, gain: float, margin: float, alpha: float, rule: str) -> float:
    """Exact power over n 0/1 pairs: every number of disagreements, every split of them into wins and losses."""
    import numpy as np

    logs = _log_factorials(n)
    spread = 7 * math.sqrt(n * psi * (1 - psi)) + 15
    m: Counts = np.arange(max(0, math.floor(n * psi - spread)), min(n, math.ceil(n * psi + spread)) + 1)
    wins: Counts = np.arange(m[-1] + 1)
    up = (1 + gain / psi) / 2 if psi > 0 else 0.5
    disagree = np.exp(logs[n] - logs[m] - logs[n - m] + _times_log(m, psi) + _times_log(n - m, 1 - psi))
    rest = np.maximum(m[:, None] - wins[None, :], 0)
    there = wins[None, :] <= m[:, None]
    ways = logs[m][:, None] - logs[wins][None, :] - logs[rest]
    split = np.where(there, np.exp(ways + _times_log(wins, up)[None, :] + _times_log(rest, 1 - up)), 0.0)
    if rule == "non-inferiority":
        passes: Mask = _above(n, wins[None, :], rest, margin, alpha)
    else:
        half = np.where(there, np.exp(ways - m[:, None] * math.log(2)), 0.0)
        # Twice the smaller tail, as an exact McNemar test has it.
        upper = np.cumsum(half[:, ::-1], axis=1)[:, ::-1] <= alpha / 2 * (1 + 1e-12)
        lower = np.cumsum(half, axis=1) <= alpha / 2 * (1 + 1e-12)
        passes = (upper | lower) if rule == "two-sided" else upper
    return float(min(1.0, (disagree * (split * (passes & there)).sum(axis=1)).sum()))


def _above(n: int, wins: Counts, losses: Counts, margin: float, alpha: float) -> Mask:
    """Does Tango's score interval of the gain end above -margin?"""
    import numpy as np

    b = -(wins + losses) + (2 * n - losses + wins) * margin
    q = (np.sqrt(np.maximum(0.0, b * b + 8 * n * wins * margin * (1 - margin))) - b) / (4 * n)
    variance = n * (2 * q + margin * (1 - margin))
    z = _NORMAL.inv_cdf(1 - alpha / 2)
    over: Mask = (wins - losses + n * margin) > z * np.sqrt(np.maximum(variance, 0.0))
    return over


@lru_cache(maxsize=8)
def _log_factorials(n: int) -> Array:
    """log k! for k = 0..n."""
    import numpy as np

    out: Array = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    return out


def _times_log(k: Counts, p: float) -> Array:
    """k * log p, with 0 * log 0 = 0."""
    import numpy as np

    out: Array = np.where(k == 0, 0.0, k * math.log(p) if p > 0 else -np.inf).astype(np.float64)
    return out
