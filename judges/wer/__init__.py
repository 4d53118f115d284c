"""Word and character error rates: counts that pool, one alignment, normalisers, suites' recipes."""

from __future__ import annotations

from judges.wer.compute_wer import ComputeWer, CorpusRate, score_pairs
from judges.wer.compute_wer_tokens import GENERATIONS, Generation
from judges.wer.counts import Alignment, ErrorCounts, Op, align
from judges.wer.normalizers import NORMALIZERS, NormalizationError, normalizer
from judges.wer.suites import kimi_wer, ue_wer

__all__ = [
    "GENERATIONS",
    "NORMALIZERS",
    "Alignment",
    "ComputeWer",
    "CorpusRate",
    "ErrorCounts",
    "Generation",
    "NormalizationError",
    "Op",
    "align",
    "kimi_wer",
    "normalizer",
    "score_pairs",
    "ue_wer",
]
