"""DistillMOS: a learned mean opinion score of speech, 1 to 5, whose weights come with the package (MIT, Microsoft).

It is no UTMOS and is never called so: another model, another scale. On when asked for (`-O distillmos=yes`). The
package asks for torchaudio and transformers, for things it does not do here: torch is all that is needed.
Embedded-default sheet section 7.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict
from judges.listening import SAMPLE_RATE, rated
from judges.torchaudio_stand_in import torchaudio_stand_in
from judges.weights import WeightsError, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Scorer = Callable[[NDArray[np.float32]], float]

SHORTEST = SAMPLE_RATE // 10
"""Samples (0.1 s) below which there is nothing to rate: the model would see padding alone."""
WEIGHTS = "weights/distill_mos_v7.pt"
SHA256 = "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"
INSTALL = (
    'pip install "evalkit[distillmos]" (or, beside a torch of your own, pip install --no-deps distillmos==0.9.1 '
    "xls-r-sqa==0.1.0)"
)

_LOCK = threading.Lock()


def load_distillmos() -> Scorer:
    """A function from mono float32 samples at 16 kHz to a score, 1 to 5; one clip at a time, on the CPU.

    The model takes windows of 7.68 s at up to 1 s hops, scales each to its peak, and means their scores.

    Raises:
        WeightsError: torch or the package is missing, or its weights are not the published ones.
    """
    path = weights_file()
    import torch

    try:
        model = _model_class()(load_weights=False)
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    except (ImportError, RuntimeError, AttributeError, TypeError, KeyError) as exc:
        raise WeightsError(f"not scored: distillmos can't be loaded: {exc}"[:300]) from exc
    model.eval()

    def score(samples: NDArray[np.float32]) -> float:
        with torch.no_grad():
            return float(model(torch.from_numpy(samples)[None]).reshape(-1)[0])

    return score


def weights_file() -> Path:
    """The weights inside the package, after a look at their bytes. Raises WeightsError; imports nothing."""
    if missing := [m for m in ("torch", "distillmos", "xls_r_sqa") if find_spec(m) is None]:
        raise WeightsError(f"not scored: {', '.join(missing)} not installed: {INSTALL}")
    spec = find_spec("distillmos")
    homes = spec.submodule_search_locations if spec is not None else None
    path = Path(next(iter(homes or [""]))) / WEIGHTS
    try:
        found = sha256_of(path)
    except OSError as exc:
        raise WeightsError(f"not scored: weights not found at {path}: {INSTALL}") from exc
    if found != SHA256:
        raise WeightsError(
            f"not scored: weights at {path} have sha256 {found[:12]}..., not {SHA256[:12]}...; reinstall: {INSTALL}"
        )
    return path


def _model_class() -> Any:
    with torchaudio_stand_in():
        from distillmos import ConvTransformerSQAModel

    return ConvTransformerSQAModel


@cache
def _loaded() -> Scorer:
    return load_distillmos()


def _rate(samples: NDArray[np.float32]) -> float:
    with _LOCK:
        return _loaded()(samples)


class DistillMos(Judge):
    """DistillMOS of the spoken answer: a learned quality score, under its own name.

    Unscored: "no-audio", "bad-audio", "silent-audio", "too-short" (below 0.1 s), "weights", "distillmos-failed".
    """

    metrics = ("distillmos",)
    reads = "audio"
    heavy = True

    @property
    def signature(self) -> str:
        return f"distillmos-v7@{SHA256[:8]}:sinc6-hann"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        return rated(self, answer, _rate, SHORTEST)
