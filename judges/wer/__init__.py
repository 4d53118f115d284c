"""Word and character error rates: counts that pool, one alignment, normalisers, suites' recipes."""

from __future__ import annotations

from judges.wer.counts import Alignment, ErrorCounts, Op, align
from judges.wer.normalizers import NORMALIZERS, NormalizationError, normalizer
from judges.wer.suites import kimi_wer, ue_wer

__all__ = [
    "NORMALIZERS",
    "Alignment",
    "ErrorCounts",
    "NormalizationError",
    "Op",
    "align",
    "kimi_wer",
    "normalizer",
    "ue_wer",
]
