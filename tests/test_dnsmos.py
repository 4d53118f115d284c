"""DNSMOS against the numbers that the `speechmos` package itself gives (0.0.1.1, librosa 0.11.0)."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.audio import decode, encode_wav
from evalkit.interfaces import Answer
from evalkit.records import Audio, Response, Sample
from judges.dnsmos import Dnsmos, DnsmosModel, weights_folder
from judges.dnsmos_features import WINDOW, Convention, log_mel, windows
from judges.weights import WeightsError

CLIP = Path(__file__).parent / "data" / "espeak_paris.flac"
"""2.1 s of espeak-ng at 16 kHz: "The capital of France is Paris."."""
SAMPLE = Sample("1", "ultraeval/llama-questions", ())

Samples = NDArray[np.float32]


def usable() -> bool:
    try:
        import onnxruntime  # noqa: F401

        weights_folder()
    except (ImportError, WeightsError):
        return False
    return True


needs_weights = pytest.mark.skipif(not usable(), reason='needs pip install "evalkit[speech]"')


def clip() -> Samples:
    return decode(Audio(path=str(CLIP)))[0]


def fading(seconds: float | None = None) -> Samples:
    """The clip eight times over (17.2 s), fading to 5 %."""
    long = np.tile(clip(), 8)
    long = (long * np.linspace(1, 0.05, len(long), dtype=np.float32)).astype(np.float32)
    return long if seconds is None else long[: int(seconds * 16000)]


@pytest.fixture(scope="module")
def model() -> DnsmosModel:
    return DnsmosModel()


@needs_weights
@pytest.mark.parametrize(
    ("samples", "convention", "want"),
    [
        (
            clip(),
            "microsoft",
            (2.992088952253955, 3.2599351011083315, 3.9349771765145563, 3.4888813495635986),
        ),
        (
            fading(12.5),
            "microsoft",
            (3.0216747394073473, 3.280115872345879, 3.973819003731714, 3.576843500137329),
        ),
        (clip(), "ultraeval", (2.8454708394960595, 3.1666987696435025, 3.894085266690639, 3.021484375)),
        (
            fading(),
            "ultraeval",
            (3.0682604922490486, 3.310932152845525, 4.0145723384469685, 3.6194145679473877),
        ),
    ],
    ids=["short-repeated", "hops", "short-padded", "long-cut"],
)
def test_equal_to_speechmos(
    model: DnsmosModel, samples: Samples, convention: Convention, want: tuple[float, ...]
) -> None:
    assert model(samples, convention) == pytest.approx(want, abs=1e-5)


def test_windows() -> None:
    short = np.arange(1, 1001, dtype=np.float32)
    (padded,) = windows(short, "ultraeval")
    assert len(padded) == WINDOW == 144160
    assert not padded[1000:].any()
    repeated = windows(short, "microsoft")
    assert {len(w) for w in repeated} == {WINDOW}
    assert (repeated[0][:2000] == np.tile(short, 2)).all()
    assert len(windows(np.ones(30 * 16000, np.float32), "ultraeval")) == 1
    starts = [int(w[0]) for w in windows(np.arange(12 * 16000, dtype=np.float32), "microsoft")]
    assert starts[0] == 0
    assert all(s % 16000 == 0 for s in starts)
    with pytest.raises(ValueError, match="no samples"):
        windows(short[:0], "microsoft")


def test_log_mel_shape_and_range() -> None:
    picture = log_mel(windows(clip(), "ultraeval")[0][:-160])
    assert picture.shape == (900, 120)
    assert picture.dtype == np.float32
    assert picture.max() == pytest.approx(1.0)
    assert picture.min() == pytest.approx(-1.0)


def test_log_mel_peaks_in_the_band_of_a_tone() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    # 1 kHz is 15 mel; the bands' centres lie (15 + 27 ln 8 / ln 6.4) / 121 mel apart.
    spacing = (15 + 27 * np.log(8) / np.log(6.4)) / 121
    assert int(log_mel(tone)[50].argmax()) == round(15 / spacing) - 1


def float_wav(value: float) -> Audio:
    """1 s of the clip with one sample replaced, as a float wav, which may hold anything."""
    import soundfile as sf

    samples, out = clip()[:16000].copy(), io.BytesIO()
    samples[8000] = value
    sf.write(out, samples, 16000, format="WAV", subtype="FLOAT")
    return Audio(data=out.getvalue())


def judged(audio: Audio | None, **options: str) -> dict[str, str | float | None]:
    verdicts = Dnsmos(**options).score(SAMPLE, Answer("", Response("1", audio=audio)))  # type: ignore[arg-type]
    return {v.metric: v.value if v.value is not None else v.reason for v in verdicts}


@needs_weights
def test_the_judge_gives_four_verdicts_and_resamples() -> None:
    got = judged(Audio(path=str(CLIP)))
    assert list(got) == ["dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808"]
    assert got["dnsmos_ovrl"] == pytest.approx(2.99209, abs=1e-4)
    doubled = Audio(data=encode_wav(np.repeat(clip(), 2), 32000))
    assert judged(doubled)["dnsmos_sig"] == pytest.approx(3.26, abs=0.3)


@needs_weights
def test_overshoot_is_clipped() -> None:
    assert judged(float_wav(7.0)) == judged(float_wav(1.0))


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (None, "no-audio"),
        (Audio(data=b"junk"), "bad-audio"),
        (Audio(data=encode_wav(np.zeros(0, np.float32), 16000)), "silent-audio"),
        (float_wav(np.nan), "bad-audio"),
        (Audio(data=encode_wav(np.full(16000, 5e-4, np.float32), 24000)), "silent-audio"),
    ],
    ids=["none", "junk", "empty", "nan", "silence"],
)
def test_what_cannot_be_rated_says_why(audio: Audio | None, code: str) -> None:
    assert all(str(reason).startswith(f"{code}: ") for reason in judged(audio).values())


def test_missing_weights_name_the_place_and_the_extra(tmp_path: Path) -> None:
    reason = str(judged(Audio(path=str(CLIP)), weights=str(tmp_path))["dnsmos_ovrl"])
    assert reason == f'weights: not scored: weights not found at {tmp_path} (pip install "evalkit[speech]")'


@needs_weights
def test_altered_weights_are_refused(tmp_path: Path) -> None:
    for file in weights_folder().iterdir():
        if file.suffix == ".onnx":
            (tmp_path / file.name).write_bytes(file.read_bytes()[:-1] + b"\0")
    assert "sha256" in str(judged(Audio(path=str(CLIP)), weights=str(tmp_path))["dnsmos_ovrl"])


@needs_weights
def test_speechmos_is_never_imported(model: DnsmosModel) -> None:
    assert "speechmos" not in sys.modules


def test_the_signature_tells_the_conventions_apart() -> None:
    assert Dnsmos("microsoft").signature != Dnsmos("ultraeval").signature
    with pytest.raises(ValueError, match="microsoft"):
        Dnsmos("librosa")  # type: ignore[arg-type]
