"""What goes into a comparison of two runs, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.pools import Pool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]


@dataclass(frozen=True)
class PairedRows:
    """Segment statistics of the same samples in two runs, for one metric.

    Attributes:
        a, b: rows of the baseline and of the other run, shape (n, len(pool.columns)); row i of both is of one sample.
        pool: how rows become the number (`pool.formula` of summed rows).
        scale: factor from pooled value to printed value (100 for percentages).
        clusters: codes 0..m-1, shape (n,): samples of one cluster (a speaker, a question, an audio) are not
            independent. None: each sample stands alone.
        lo, hi: range of one segment's value; hi is infinite for WER.
        higher_is_better: what counts as a win.
    """

    a: Array
    b: Array
    pool: Pool
    scale: float = 1.0
    clusters: Codes | None = None
    lo: float = 0.0
    hi: float = 1.0
    higher_is_better: bool = True

    @property
    def n(self) -> int:
        return len(self.a)


@dataclass(frozen=True)
class Difference:
    """The outcome of comparing two runs on one number; all values on the printed scale.

    Attributes:
        a, b: the number of each run over the compared samples.
        delta: b - a (negative is worse only where higher is better; see `gain`).
        ci: interval of `delta` at `level`; None where there are too few samples.
        ci_method, test: how interval and p were made ("tango", "bootstrap-t(10000)"; "mcnemar-exact",
            "permutation(10000)", "unpaired-z", ...).
        p: two-sided; None where no test could be made.
        n: samples compared; clusters: how many clusters they form (n where each stands alone).
        wins, losses, ties: samples that got better, worse, neither.
        effect, effect_name: standardised size ("odds ratio" of wins to losses, "d_z" of the paired differences).
        se: standard error of `delta`.
        note: what has to be known of this comparison, in a sentence; "" if nothing.
    """

    a: float
    b: float
    delta: float
    ci: tuple[float, float] | None
    ci_method: str
    p: float | None
    test: str
    n: int
    clusters: int
    wins: int
    losses: int
    ties: int
    higher_is_better: bool = True
    level: float = 0.95
    se: float | None = None
    effect: float | None = None
    effect_name: str = ""
    note: str = ""

    @property
    def gain(self) -> float:
        """`delta`, signed so that positive is better."""
        return self.delta if self.higher_is_better else -self.delta

    @property
    def gain_ci(self) -> tuple[float, float] | None:
        """The interval of `gain`."""
        if self.ci is None or self.higher_is_better:
            return self.ci
        return -self.ci[1], -self.ci[0]
