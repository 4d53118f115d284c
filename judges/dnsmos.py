"""DNSMOS P.835 (signal, background, overall) and P.808: how clean speech sounds, 1 to 5, no reference needed.

Two conventions that are not comparable (UltraEval sheet section 7): "microsoft" repeats short audio and
averages windows of 9.01 s taken every second; "ultraeval" scores the first 9.01 s, padded with zeros. The
weights are Microsoft's own files, found in the `speechmos` package (which is never imported: it needs
librosa and hangs on empty audio) or in a folder of the user's.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.audio import AudioError, decode
from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict
from judges.dnsmos_features import SAMPLE_RATE, Convention, log_mel, windows
from judges.silence import is_silent
from judges.weights import WeightsError, sha256_of

if TYPE_CHECKING:
    from judges.dnsmos_features import Samples

P835, P808 = "sig_bak_ovr.onnx", "model_v8.onnx"
SHA256 = {
    P835: "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    P808: "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
}
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)
"""Calibration of the raw P.835 outputs, highest power first."""

_LOCK = threading.Lock()


class Mos(NamedTuple):
    """One clip's scores, 1 to 5."""

    ovrl: float
    sig: float
    bak: float
    p808: float


def weights_folder(folder: str | None = None) -> Path:
    """The folder that holds both ONNX files: `folder`, or the one inside `speechmos`.

    Raises:
        WeightsError: a file is missing.
    """
    spec = None if folder else find_spec("speechmos")
    homes = [folder] if folder else list(spec.submodule_search_locations or ()) if spec else []
    for home in homes:
        for place in (Path(home), Path(home) / "dnsmos_models"):
            if all((place / name).is_file() for name in SHA256):
                return place
    where = " or ".join(homes) or "the package speechmos (not installed)"
    raise WeightsError(f'not scored: weights not found at {where} (pip install "evalkit[speech]")')


class DnsmosModel:
    """Both networks, loaded and checked against their sha256.

    Raises:
        WeightsError: weights missing or altered, or onnxruntime not installed.
    """

    def __init__(self, folder: str | None = None) -> None:
        place = weights_folder(folder)
        self._p835 = _session(place / P835)
        self._p808 = _session(place / P808)

    def __call__(self, samples: Samples, convention: Convention = "microsoft") -> Mos:
        """Scores of one clip: the mean over its windows.

        Args:
            samples: mono float32 at 16 kHz in [-1, 1], not empty.
        """
        import numpy as np

        scores = [self._window(window) for window in windows(samples, convention)]
        return Mos(*(float(v) for v in np.mean(scores, axis=0)))

    def _window(self, window: Samples) -> Mos:
        import numpy as np

        sig, bak, ovrl = (float(v) for v in self._p835.run(None, {"input_1": window[None]})[0][0])
        p808 = float(self._p808.run(None, {"input_1": log_mel(window[:-160])[None]})[0][0][0])
        return Mos(
            ovrl=float(np.polyval(_OVRL, ovrl)),
            sig=float(np.polyval(_SIG, sig)),
            bak=float(np.polyval(_BAK, bak)),
            p808=p808,
        )


def _session(path: Path) -> Any:
    try:
        import onnxruntime as ort
    except ImportError as exc:
        raise WeightsError(
            'not scored: onnxruntime is not installed (pip install "evalkit[speech]")'
        ) from exc
    found = sha256_of(path)
    if found != SHA256[path.name]:
        raise WeightsError(
            f"not scored: weights at {path} have sha256 {found[:12]}..., not {SHA256[path.name][:12]}...; "
            'reinstall them (pip install --force-reinstall "evalkit[speech]")'
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # more threads change the last digits
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@cache
def _loaded(folder: str | None) -> DnsmosModel:
    return DnsmosModel(folder)


def shared_model(folder: str | None) -> DnsmosModel:
    """The one model of this process for these weights: its buffers weigh more than its weights.

    Raises:
        WeightsError: weights missing or altered, or onnxruntime not installed; tried again next time.
    """
    with _LOCK:
        return _loaded(folder)


class Dnsmos(Judge):
    """Speech quality of the spoken answer.

    Args:
        convention: "microsoft" or "ultraeval".
        weights: folder with the two ONNX files (option `dnsmos_weights`); None looks into `speechmos`.

    Unscored: "no-audio", "bad-audio", "silent-audio" (the networks give silence 1.8), "weights".
    """

    metrics = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808")
    reads = "audio"
    heavy = True

    def __init__(self, convention: Convention = "microsoft", weights: str | None = None) -> None:
        if convention not in ("microsoft", "ultraeval"):
            raise ValueError(f"unknown DNSMOS convention {convention!r}: microsoft or ultraeval")
        self.convention = convention
        self._weights = weights

    @property
    def signature(self) -> str:
        return f"dnsmos:{self.convention}@{SHA256[P835][:8]}+{SHA256[P808][:8]}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        import numpy as np

        if answer.response.audio is None:
            return self.unscored("no-audio: the response has no speech.")
        try:
            samples, _ = decode(answer.response.audio, SAMPLE_RATE)
        except AudioError as exc:
            return self.unscored(f"bad-audio: {exc}")
        if is_silent(samples):
            return self.unscored("silent-audio: there is no sound to rate.")
        if not np.isfinite(samples).all():
            return self.unscored("bad-audio: some samples are not finite numbers.")
        try:
            mos = shared_model(self._weights)(np.clip(samples, -1.0, 1.0), self.convention)
        except WeightsError as exc:
            return self.unscored(f"weights: {exc}")
        detail = {"seconds": round(len(samples) / SAMPLE_RATE, 3)}
        return [
            Verdict(metric, value, detail=detail) for metric, value in zip(self.metrics, mos, strict=True)
        ]
