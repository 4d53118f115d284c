"""Speech recognition: word error rate of what the model wrote down, by named recipes (ASR sheet).

    report        whisper-normalizer (English; basic for Chinese), then compute-wer: sections 4 and 7
    kimi-evalkit  Kimi-Audio-Evalkit's normalisation and sacreBLEU tokens: section 5
    ultraeval     UltraEval-Audio's: section 5

A verdict carries counts; the figure is the sum of errors over the sum of reference tokens, never a mean of
rates. The value of a verdict is the rate of its one utterance, 0 without a reference token (section 4.1). An
empty answer is an empty hypothesis: all deletions. Detail: see `judges.wer.runs.alignment_detail`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from rapidfuzz.distance import Levenshtein

from evalkit.errors import UsageError
from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict
from judges.wer.compute_wer import ComputeWer, rate_of
from judges.wer.counts import ErrorCounts, align
from judges.wer.normalizers import NormalizationError, normalizer, normalizer_version
from judges.wer.runs import alignment_detail
from judges.wer.suites import kimi_tokens, ue_tokens
from judges.wer.words import Words

EMPTY_REFERENCE, NULL_SKIPPED, NORMALIZER_CRASH = "empty_reference", "null_skipped", "normalizer_crash"
"""Defects of the public recipes: the rate is 0 whatever was inserted; `null` leaves the total; a text of
thousands of digits ends the normaliser (the basic one stands in here)."""

Suite = Literal["kimi-evalkit", "ultraeval"]


class CorpusWer(Judge):
    """`report`: a normaliser, then compute-wer's tokens and alignment.

    Args:
        normalize: name of the normaliser (`judges.wer.NORMALIZERS`).
        options: of compute-wer; or `Words`, which are those of any language.
        simplify: fold traditional characters to simplified first, on both sides (package OpenCC).
        metrics: names of the word error rate and, if wanted, of the rate with every letter and digit a token.

    Unscored: "no-reference", "normalizer-failed" (the reference's), "opencc-missing". A request that failed is an
    empty hypothesis (section 7).
    """

    judges_failure = True

    def __init__(
        self,
        normalize: str = "whisper-english",
        options: ComputeWer | Words | None = None,
        *,
        simplify: bool = False,
        metrics: tuple[str, ...] = ("wer", "cer"),
    ) -> None:
        self.normalize, self.simplify = normalize, simplify
        self.options: ComputeWer | Words = options or ComputeWer()
        self.metrics = metrics
        self._chars = replace(self.options, char=True)

    @property
    def signature(self) -> str:
        package = "" if self.normalize == "none" else f"@{normalizer_version().replace(' ', '-')}"
        folded = f"opencc-t2s@{_opencc_version()}+" if self.simplify else ""
        return f"asr:{folded}{self.normalize}{package}+{self.options.label}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        if not isinstance(sample.target, str):
            return self.unscored(_no_reference(sample))
        try:
            return self._compare(self._normal(sample.target, self.normalize), answer.text)
        except UsageError as exc:
            return self.unscored(f"opencc-missing: {exc}.")
        except NormalizationError as exc:
            return self.unscored(f"normalizer-failed: {exc}.")

    def _compare(self, reference: str, answer: str) -> list[Verdict]:
        touched = None
        try:
            heard = self._normal(answer, self.normalize)
        except NormalizationError:
            heard, touched = self._normal(answer, "whisper-basic"), NORMALIZER_CRASH
        ref, hyp = self.options.tokens(reference), self.options.tokens(heard)
        verdicts = [_verdict(self.metrics[0], ref, hyp, self.options.fold, touched)]
        for metric in self.metrics[1:]:
            verdicts.append(self._characters(metric, reference, heard, touched))
        return verdicts

    def _normal(self, text: str, name: str) -> str:
        return normalizer(name)(_simplified()(text) if self.simplify else text)

    def _characters(self, metric: str, reference: str, heard: str, touched: str | None) -> Verdict:
        fold = self._chars.fold
        ref, hyp = ([fold(t) for t in self._chars.tokens(text)] for text in (reference, heard))
        counts = {"errors": Levenshtein.distance(ref, hyp), "length": len(ref)}
        rate = counts["errors"] / len(ref) if ref else 0.0
        return Verdict(metric, rate, counts=counts, touched=_touched(counts["errors"], ref, touched))


class SuiteWer(Judge):
    """The rate of a public suite, by its own normalisation and tokens.

    Args:
        suite: whose.
        language: ISO code, as the suite calls it ("en", "zh").

    Unscored: "no-reference", "normalizer-failed", "package-missing" (sacreBLEU), and "null-skipped": Kimi's
    suite leaves predictions that are the word null out of the total (counted).
    """

    metrics = ("wer",)

    def __init__(self, suite: Suite, language: str) -> None:
        self.suite, self.language = suite, language

    @property
    def signature(self) -> str:
        return (
            f"asr:{self.suite}:{self.language}@{normalizer_version().replace(' ', '-')}"
            f"+sacrebleu-{_version('sacrebleu')}"
        )

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        if not isinstance(sample.target, str):
            return self.unscored(_no_reference(sample))
        if self.suite == "kimi-evalkit" and answer.text == "null":
            reason = "null-skipped: Kimi-Audio-Evalkit leaves predictions that are the word null out."
            return [Verdict("wer", None, reason=reason, touched=NULL_SKIPPED)]
        tokens = _SUITES[self.suite]
        try:
            ref, hyp = (tokens(text, self.language) for text in (sample.target, answer.text))
        except UsageError as exc:
            return self.unscored(f"package-missing: {exc}.")
        except NormalizationError as exc:
            return self.unscored(f"normalizer-failed: {exc}.")
        return [_verdict("wer", ref, hyp, str, None)]


_SUITES: dict[Suite, Callable[[str, str], list[str]]] = {"kimi-evalkit": kimi_tokens, "ultraeval": ue_tokens}


def _verdict(
    metric: str, ref: Sequence[str], hyp: Sequence[str], fold: Callable[[str], str], touched: str | None
) -> Verdict:
    found = align([fold(t) for t in ref], [fold(t) for t in hyp])
    rate = rate_of(found.counts)
    return Verdict(
        metric,
        rate,
        counts=_counts(found.counts, rate),
        detail=alignment_detail(ref, hyp, found.ops),
        touched=_touched(found.counts.errors, ref, touched),
    )


def _counts(counts: ErrorCounts, rate: float) -> dict[str, float]:
    """All counts of an utterance; "wrong" is 1 when its rate isn't 0, for the sentence error rate."""
    correct = counts.length - counts.deletions - counts.substitutions
    return {**counts.to_counts(), "correct": correct, "wrong": float(rate != 0)}


def _touched(errors: float, ref: Sequence[str], touched: str | None) -> str | None:
    return touched or (EMPTY_REFERENCE if errors and not ref else None)


def _no_reference(sample: Sample) -> str:
    return f"no-reference: the reference must be the transcript, but it is {sample.target!r:.40}."


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


@cache
def _opencc_version() -> str:
    return _version("opencc")


@cache
def _simplified() -> Callable[[str], str]:
    """Traditional to simplified, character by character and without regional words. Raises UsageError."""
    try:
        convert = import_module("opencc").OpenCC("t2s").convert
    except ImportError as exc:
        raise UsageError(
            'folding traditional characters to simplified needs OpenCC: pip install "evalkit[zh]"'
        ) from exc
    return lambda text: str(convert(text.encode("utf-8", "replace").decode("utf-8")))
