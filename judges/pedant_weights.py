"""PEDANT's classifier: where its two files are, what proves them genuine, and what they compute.

VoiceBench sheet section 6: a tf-idf vectoriser over 94,053 words and a linear classifier over those and
three overlap features, made by scikit-learn 1.3.2. Only files with the pinned sha256 are read, without
scikit-learn (see `judges.inert_pickle`), and the arithmetic is done here.
"""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import re
import tempfile
import unicodedata
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import cache_dir, offline
from judges.unicode_forms import normalized

if TYPE_CHECKING:
    from judges.inert_pickle import Holder

CLASSIFIER = "lr_classifier"
VECTORISER = "tf-idf_vectorizer"
SHA256: Mapping[str, str] = {
    CLASSIFIER: "9c3dd5998745ece1cfb6cb16b953358f794e8716d63a08f3b212d8bc32a59b8b",
    VECTORISER: "e886c9ba3ddb15a4b693b075dfe19cfad36dc74e7f8f195b8d9e98e989f2ba4f",
}
URL = "https://github.com/zli12321/qa_metrics/raw/master/qa_metrics/classifier/"
FOLDER_VARIABLE = "EVALKIT_PEDANT"
CORRECT = "correct"

_LARGEST = 64 * 2**20


class WeightsError(Exception):
    """The classifier can't be had; one sentence says why and what to do."""


def default_folder() -> Path:
    """`$EVALKIT_PEDANT`, or "pedant" in the user's cache folder."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given).expanduser() if given else cache_dir() / "pedant"


def _verified(data: bytes, name: str, sha256: Mapping[str, str], where: str) -> bytes:
    if (found := hashlib.sha256(data).hexdigest()) != sha256[name]:
        raise WeightsError(f"{where} has sha256 {found}, but PEDANT 0.2.17 needs {sha256[name]}; not read.")
    return data


def _write(path: Path, data: bytes) -> None:
    """Put `data` at `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as handle:
        handle.write(data)
    Path(handle.name).replace(path)


def fetch_pedant(dest: Path, *, base_url: str = URL, sha256: Mapping[str, str] = SHA256) -> None:
    """Download the two files into `dest`, keeping only what has the expected sha256.

    Raises WeightsError when the network is switched off, unreachable, or serves something else.
    """
    if offline():
        raise WeightsError("the network is switched off by EVALKIT_OFFLINE or HF_HUB_OFFLINE.")
    for name in (CLASSIFIER, VECTORISER):
        try:
            with urllib.request.urlopen(base_url + name, timeout=60) as reply:
                data = reply.read(_LARGEST)
            _write(dest / name, _verified(data, name, sha256, base_url + name))
        except (OSError, ValueError) as exc:
            raise WeightsError(f"{base_url}{name} could not be fetched: {exc}.") from exc


def _read(folder: Path, name: str, sha256: Mapping[str, str]) -> Any:
    """The object in file `name` (or `name`.pkl) of `folder`, its sha256 checked first."""
    path = next((p for p in (folder / name, folder / f"{name}.pkl") if p.is_file()), None)
    if path is None:
        raise FileNotFoundError(folder / name)
    try:
        from judges import inert_pickle  # brings NumPy; most runs never come here

        return inert_pickle.load(_verified(path.read_bytes(), name, sha256, str(path)))
    except (OSError, pickle.UnpicklingError) as exc:
        raise WeightsError(f"{path} can't be read: {exc}.") from exc


@dataclass(frozen=True)
class Vectoriser:
    """Words to tf-idf weights, as scikit-learn's TfidfVectorizer does it for single words."""

    vocabulary: Mapping[str, int]
    idf: Sequence[float]
    token_pattern: str
    lowercase: bool
    strip_accents: str | None
    binary: bool
    sublinear: bool
    norm: str | None

    @classmethod
    def of(cls, held: Holder) -> Vectoriser:
        """From the pickled vectoriser. Raises WeightsError when it uses anything not implemented here."""
        fixed = {"analyzer": "word", "ngram_range": (1, 1), "tokenizer": None, "preprocessor": None}
        for name, value in fixed.items():
            if held.get(name) != value:
                raise WeightsError(
                    f"the vectoriser has {name}={held.get(name)!r}, only {value!r} is supported."
                )
        inner, vocabulary = held.get("_tfidf"), held.get("vocabulary_")
        return cls(
            vocabulary={word: int(index) for word, index in vocabulary.items()},
            idf=_idf(inner, len(vocabulary)),
            token_pattern=held.get("token_pattern"),
            lowercase=held.get("lowercase"),
            strip_accents=held.get("strip_accents"),
            binary=held.get("binary"),
            sublinear=inner.get("sublinear_tf"),
            norm=inner.get("norm"),
        )

    def __call__(self, text: str) -> list[tuple[int, float]]:
        """(index, weight) of each known word, by index; stop words went when the vocabulary was made."""
        words = re.findall(self.token_pattern, self._prepared(text))
        counts = Counter(self.vocabulary[w] for w in words if w in self.vocabulary)
        weights = [(index, self._weight(count) * self.idf[index]) for index, count in sorted(counts.items())]
        length = self._length([w for _, w in weights])
        return [(index, weight / length) for index, weight in weights] if length else weights

    def _prepared(self, text: str) -> str:
        text = text.lower() if self.lowercase else text
        if self.strip_accents is None or text.isascii():
            return text
        text = normalized("NFKD", text)
        if self.strip_accents == "ascii":
            return text.encode("ascii", "ignore").decode("ascii")
        return "".join(c for c in text if not unicodedata.combining(c))

    def _weight(self, count: int) -> float:
        if self.binary:
            return 1.0
        return math.log(count) + 1.0 if self.sublinear else float(count)

    def _length(self, weights: list[float]) -> float:
        if self.norm == "l2":
            return math.sqrt(sum(w * w for w in weights))
        return sum(map(abs, weights)) if self.norm == "l1" else 1.0


def _idf(inner: Holder, size: int) -> list[float]:
    """Inverse document frequencies, kept as a vector (new versions) or a diagonal matrix (up to 1.4)."""
    if not inner.get("use_idf"):
        return [1.0] * size
    values = inner.get("idf_", inner.get("_idf"))
    if values is None:
        import numpy as np

        diagonal = inner.get("_idf_diag")
        values = np.bincount(diagonal.get("indices"), weights=diagonal.get("data"), minlength=size)
    if len(values) != size:
        raise WeightsError("the vectoriser's vocabulary and document frequencies do not belong together.")
    return [float(v) for v in values]


@dataclass(frozen=True)
class Classifier:
    """The linear classifier over tf-idf weights and the three overlap features."""

    vectoriser: Vectoriser
    coefficients: Sequence[float]
    intercept: float
    classes: tuple[str, str]

    @classmethod
    def of(cls, linear: Holder, vectoriser: Vectoriser) -> Classifier:
        """From the pickled classifier. Raises WeightsError when it does not fit the vectoriser."""
        import numpy as np

        coefficients = np.ravel(linear.get("coef_"))
        classes = tuple(str(c) for c in linear.get("classes_"))
        if len(coefficients) != len(vectoriser.vocabulary) + 3 or len(classes) != 2 or CORRECT not in classes:
            raise WeightsError("the classifier and the vectoriser do not belong together.")
        intercept = float(np.ravel(linear.get("intercept_"))[0])
        return cls(vectoriser, [float(c) for c in coefficients], intercept, (classes[0], classes[1]))

    def margin(self, text: str, overlap: tuple[float, float, float]) -> float:
        """The decision value; above 0 it speaks for the second class. `overlap`: F1, precision, recall."""
        total = 0.0
        for index, weight in self.vectoriser(text):
            total += weight * self.coefficients[index]
        for coefficient, value in zip(self.coefficients[-3:], overlap, strict=True):
            total += value * coefficient
        return total + self.intercept

    def says_correct(self, margin: float) -> bool:
        """Does this decision value mean "correct"?"""
        return self.classes[int(margin > 0)] == CORRECT


def load(folder: Path, sha256: Mapping[str, str] = SHA256) -> Classifier:
    """The classifier from the two files in `folder`.

    Raises FileNotFoundError when one is missing, WeightsError when one is not what it should be.
    """
    vectoriser, linear = (_read(folder, name, sha256) for name in (VECTORISER, CLASSIFIER))
    try:
        return Classifier.of(linear, Vectoriser.of(vectoriser))
    except (AttributeError, TypeError, ValueError, KeyError, IndexError) as exc:
        raise WeightsError(f"the files in {folder} are no PEDANT classifier: {exc}.") from exc


def load_or_fetch(folder: Path, sha256: Mapping[str, str] = SHA256) -> Classifier:
    """The classifier from `folder`, downloaded there first when it is missing. Raises WeightsError."""
    try:
        return load(folder, sha256)
    except FileNotFoundError:
        fetch_pedant(folder, sha256=sha256)
    return load(folder, sha256)
