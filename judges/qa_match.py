"""UltraEval-Audio's text rules for spoken question answering.

Sources: UltraEval-Audio sheet section 4.1 (exist match) and section 8 (exact match).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.unicode_forms import normalized

EMPTY_REFERENCE = "empty_reference"
"""`touched` of a match that only a reference without tokens brought about."""

NO_REFERENCE = "empty-reference: the reference has no words to look for; mend the target"

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class QAMatch:
    """What the public evaluators give back, and which reference decided it.

    Attributes:
        match: does the prediction match?
        pred: the reference side when matched (its public form), else the raw prediction.
        ref: the reference side.
        matched: the reference that matched, None without a match.
    """

    match: bool
    pred: JSON
    ref: JSON
    matched: JSON = None


@lru_cache(maxsize=1)
def _token() -> Any:
    """Runs of letters, digits and marks, or one other visible character."""
    import regex

    flags = regex.IGNORECASE | regex.UNICODE | regex.MULTILINE
    return regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]", flags=flags)


def tokens(text: str) -> list[str]:
    """Tokens of the NFD form, lower-cased after matching. Raises TypeError when `text` is no string."""
    return [t.lower() for t in _token().findall(normalized("NFD", text))]


def _padded(words: list[str]) -> str:
    """Tokens hold no blank, so a run of them is a substring of the blank-padded line."""
    return f" {' '.join(words)} "


@lru_cache(maxsize=65536)
def _reference_line(reference: str) -> str:
    """The padded tokens of a reference, "" when it has none; a task asks for the same ones each run."""
    words = tokens(reference)
    return _padded(words) if words else ""


def _holds(line: str, reference: JSON) -> bool:
    if not isinstance(reference, str):
        raise TypeError(f"a reference must be text, not {type(reference).__name__}")
    return _reference_line(reference) in line


def qa_exist_match(label: JSON, pred: JSON) -> QAMatch:
    """Does the token list of any reference occur, unbroken, in the prediction's tokens?

    A string is one reference; a dict stands for its keys. References are tried in order and the first
    match ends the search. A reference without tokens always matches. Raises TypeError when `label`
    can't be walked or when the search meets an item that is no string, as the public code does.
    UltraEval-Audio sheet section 4.1.
    """
    references: Iterable[JSON] = [label] if isinstance(label, str) else label
    line = _padded(tokens(str(pred)))
    for reference in references:
        if _holds(line, reference):
            return QAMatch(True, references, references, reference)
    return QAMatch(False, pred, references)


def normalize_answer(value: JSON) -> str:
    """Lower-case, ASCII punctuation deleted, articles to blanks, blanks squeezed; any value via `str`."""
    bare = str(value).lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def qa_exact_match(label: JSON, pred: JSON) -> QAMatch:
    """Equality after `normalize_answer`; a list label matches when any item does, the first one counts.

    On a match both `pred` and `ref` are the item that matched. UltraEval-Audio sheet section 8.
    """
    wanted = normalize_answer(pred)
    for reference in label if isinstance(label, list) else [label]:
        if normalize_answer(reference) == wanted:
            return QAMatch(True, reference, reference, reference)
    return QAMatch(False, pred, label)


class ExistMatch(Judge):
    """Accuracy by `qa_exist_match`: 1 when a reference in `sample.target` occurs in the answer.

    Args:
        reads: judge the transcript of the speech, or the text.
        empty_reference: what a match through a reference without tokens counts. "match": 1, as in the
            public scorer, marked ``touched="empty_reference"``. "unscored": blank references are
            ignored; when no other is left the sample stays unscored.
        metric: name of the metric.

    A target that is no text, or an item of it, stays unscored (an error row in the public scorer).
    UltraEval-Audio sheet section 4.1.
    """

    def __init__(
        self,
        reads: Literal["text", "speech"] = "speech",
        empty_reference: Literal["match", "unscored"] = "match",
        metric: str = "acc",
    ) -> None:
        self.metrics = (metric,)
        self.reads = reads
        self.empty_reference = empty_reference

    @property
    def signature(self) -> str:
        return f"qa-exist-match:{self.reads},empty={self.empty_reference}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        try:
            found = qa_exist_match(sample.target, answer.text)
        except TypeError:
            what = f"must be text or a list of texts, but it is {sample.target!r:.60}"
            return self.unscored(f"bad-reference: the reference {what}; mend the target of this sample")
        if self.empty_reference == "unscored" and isinstance(found.ref, list) and not found.ref:
            return self.unscored(NO_REFERENCE)
        if not found.match or _reference_line(found.matched):
            return [self._verdict(found.match, found.matched)]
        return [self._blank(list(found.ref), answer.text)]

    def _blank(self, references: list[JSON], text: str) -> Verdict:
        """A blank reference matched: did a real one match too, and if not, what counts?"""
        real = [r for r in references if isinstance(r, str) and _reference_line(r)]
        other = qa_exist_match(real, text)
        if other.match or (real and self.empty_reference == "unscored"):
            return self._verdict(other.match, other.matched)
        if self.empty_reference == "match":
            return self._verdict(True, "", touched=EMPTY_REFERENCE)
        return self.unscored(NO_REFERENCE)[0]

    def _verdict(self, match: bool, matched: JSON, touched: str | None = None) -> Verdict:
        detail = {"match": int(match), "matched_reference": matched}
        return Verdict(self.metrics[0], float(match), detail=detail, touched=touched)
