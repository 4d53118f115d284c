"""What benchmarks share whose answers a model hears and scores 1 to 5: the scale, and the two ways to read a score.

Sources: VStyle sheet sections 5 and 7; internal-set sheet sections 4 and 5.
"""

from __future__ import annotations

from evalkit.task import Metric

SCORE = Metric("score", "LALM score", unit="1-5", scale=1.0, lo=1.0, hi=5.0)
ANY_NUMBER = "Any number in brackets counts as it is; what can't be judged leaves the mean (counted)."
WHOLE_NUMBERS = "Only whole scores from 1 to 5 count; no speech, or no readable score, is a 1 (counted)."
