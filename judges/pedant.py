"""PEDANT 0.2.17, the "panda" half of SD-QA: VoiceBench sheet section 6.

An answer that contains the reference is right; of any other, a small classifier decides from the words
and their overlap. Later versions of PEDANT differ by tens of points, so this is that one version.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.pedant_weights import SHA256, Classifier, WeightsError, default_folder, load_or_fetch

EMPTY_REFERENCE = "empty_reference"
"""`Verdict.touched` where nothing is left of the reference, which every answer then contains."""

NO_QUESTION = "no-question: PEDANT's classifier reads the question too; give it in words (column prompt)"

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Overlap(NamedTuple):
    """How far the word sets of an answer and a reference agree, each from 0 to 1."""

    f1: float
    precision: float
    recall: float


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single spaces."""
    plain = " ".join(text.lower().translate(_NO_PUNCTUATION).split())
    return " ".join(_ARTICLES.sub(" ", plain).split())


def expand(text: str) -> str:
    """Contractions and slang written out ("dont" becomes "do not"); needs the package contractions."""
    import contractions

    return str(contractions.fix(text))


def overlap(candidate: str, reference: str) -> Overlap:
    """Overlap of the word sets of two normalised texts; 0 where a quotient is undefined."""
    words = set(normalise(expand(normalise(candidate))).split())
    wanted = set(normalise(expand(normalise(reference))).split())
    common = len(words & wanted)
    if not common:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = common / len(words), common / len(wanted)
    return Overlap(2 * precision * recall / (precision + recall), precision, recall)


def classifier_text(candidate: str, reference: str, question: str) -> str:
    """What the classifier reads; the first two are normalised already, the question is not."""
    return f"[CLS] {candidate} [SEP] {reference} [SEP] {expand(normalise(question))} [SEP]"


class Pedant(Judge):
    """Is the answer equivalent to the reference (`sample.target`, a string) for the question?

    Args:
        metric: name of the metric.
        weights: folder with the two files of the classifier; by default `$EVALKIT_PEDANT` or "pedant" in
            the user's cache folder, where they are downloaded to at first use.
        sha256: expected digests by file name, for tests with small files.

    Answers that contain the reference need no classifier; without one, all others are unscored.
    Detail of each verdict: "panda" (bool or None) and "rule" ("substring" or "classifier"); from the
    classifier also "f1", "precision", "recall" and "margin" (its decision value).
    """

    heavy = True  # the first call reads 4 MB, or downloads them

    def __init__(
        self,
        metric: str = "panda",
        weights: str | Path | None = None,
        sha256: Mapping[str, str] = SHA256,
    ) -> None:
        self.metrics = (metric,)
        self.folder = Path(weights).expanduser() if weights else default_folder()
        self.sha256 = sha256
        self._lock = Lock()
        self._classifier: Classifier | None = None
        self._problem: str | None = None

    @property
    def signature(self) -> str:
        return "pedant@0.2.17"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        if not isinstance(sample.target, str):
            return self.unscored(
                f"bad-target: the reference must be a string, but it is {sample.target!r:.40}."
            )
        reference = normalise(normalise(sample.target.lower()))
        candidate = normalise(normalise(answer.text.lower()))
        if reference in candidate:
            detail = {"panda": True, "rule": "substring"}
            touched = None if reference else EMPTY_REFERENCE
            return [Verdict(self.metrics[0], 1.0, detail=detail, touched=touched)]
        if not sample.question and sample.meta.get("question") is None:
            return self.unscored(NO_QUESTION, panda=None, rule="classifier")
        try:
            return [self._classified(candidate, reference, sample.question.lower())]
        except WeightsError as exc:
            reason = self._without_weights(exc)
        except ImportError:
            reason = 'pedant-contractions: the package is missing, pip install "evalkit[voicebench]".'
        return self.unscored(reason, panda=None, rule="classifier")

    def _classified(self, candidate: str, reference: str, question: str) -> Verdict:
        classifier = self._loaded()
        agreement = overlap(candidate, reference)
        margin = classifier.margin(classifier_text(candidate, reference, question), agreement)
        panda = classifier.says_correct(margin)
        detail: dict[str, JSON] = {
            "panda": panda,
            "rule": "classifier",
            **agreement._asdict(),
            "margin": margin,
        }
        return Verdict(self.metrics[0], float(panda), detail=detail)

    def _loaded(self) -> Classifier:
        """The classifier, loaded once; a failure is remembered, so nothing is downloaded twice in vain."""
        with self._lock:
            if self._problem is not None:
                raise WeightsError(self._problem)
            if self._classifier is None:
                try:
                    self._classifier = load_or_fetch(self.folder, self.sha256)
                except WeightsError as exc:
                    self._problem = str(exc)
                    raise
            return self._classifier

    def _without_weights(self, exc: WeightsError) -> str:
        wanted = ", ".join(f"{name} (sha256 {digest})" for name, digest in self.sha256.items())
        return (
            f"pedant-weights: {exc} This answer needs PEDANT's classifier: put {wanted} into {self.folder}."
        )
