"""Multiple choice by the nearest option: embeddings, cosine, the largest wins. MMAU-Pro sheet section 4.1.

There is no threshold and no "unreadable": every answer, also an empty one, is nearest to some option.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.embedders import Embedder, EmbedderError
from judges.mmau_pro_if import EMPTY_OUTPUT

if TYPE_CHECKING:
    from judges.embedders import Array

FEW_OPTIONS = "few_options"
"""`touched` of a row with less than two options, which the public scorer leaves out."""
UNANSWERABLE = "unanswerable"
"""`touched` of a row whose reference is none of its options: nothing can be right."""

OPTIONS_KEPT = 256
"""Option lists whose embeddings are kept: 16 MB for four options of NV-Embed-v2."""


def normalised(rows: Array) -> Array:
    """Each row divided by its length, in fp32; a zero row stays zero."""
    import numpy as np

    rows = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    out: Array = rows / np.maximum(lengths, np.float32(1e-12))
    return out


def nearest(answer: Array, options: Array) -> tuple[int, float]:
    """Place of the option most like the answer, the first among equals, and 100 x their cosine.

    Args:
        answer: (d,), normalised.
        options: (n, d), normalised.

    Raises:
        EmbedderError: an embedding isn't finite.
    """
    import numpy as np

    likeness = (options @ answer) * np.float32(100.0)
    if not np.isfinite(likeness).all():
        raise EmbedderError(
            "embedder-nonfinite: the embedder gave inf or nan; name another with -O embedder=..."
        )
    place = int(np.argmax(likeness))
    return place, float(likeness[place])


class EmbeddingMatch(Judge):
    """1 when the option nearest to the answer is the reference, word for word; else 0.

    `sample.meta["options"]` holds the options, `sample.target` the reference. Options are encoded without
    letters, the answer as it is.

    Args:
        embedder: see `judges.embedders.open_embedder`.
        metric: name of the metric.
    """

    heavy = True

    def __init__(self, embedder: Embedder, metric: str = "acc") -> None:
        self.metrics = (metric,)
        self.embedder = embedder
        self._options = lru_cache(maxsize=OPTIONS_KEPT)(self._embedded)

    @property
    def signature(self) -> str:
        return f"nearest-option:{self.embedder.label}"

    def _embedded(self, texts: tuple[str, ...]) -> Array:
        return normalised(self.embedder.encode(texts))

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        options = sample.meta.get("options")
        if not isinstance(options, Sequence) or isinstance(options, str) or len(options) < 2:
            reason = "few-options: the public scorer leaves out rows with less than two options; mend the row"
            return [Verdict(self.metrics[0], None, reason=reason, touched=FEW_OPTIONS)]
        if not all(isinstance(option, str) for option in options):
            return self.unscored("bad-options: an option isn't text; mend the row")
        try:
            place, likeness = nearest(self._embedded((answer.text,))[0], self._options(tuple(options)))
        except EmbedderError as exc:
            return self.unscored(str(exc))
        detail: dict[str, JSON] = {
            "matched": options[place],
            "place": place,
            "cosine": round(likeness / 100, 6),
        }
        touched = None
        if sample.target not in options:
            touched = UNANSWERABLE
        elif not answer.text.strip():
            touched = EMPTY_OUTPUT
        return [
            Verdict(self.metrics[0], float(options[place] == sample.target), detail=detail, touched=touched)
        ]
