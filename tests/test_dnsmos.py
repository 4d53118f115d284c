"""DNSMOS against the numbers that the `speechmos` package itself gives (0.0.1.1, librosa 0.11.0)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.audio import decode, encode_wav
from evalkit.interfaces import Answer
from evalkit.records import Audio, Response, Sample
from judges.dnsmos import (
    Dnsmos,
    DnsmosModel,
    DnsmosPersonalised,
    PersonalisedModel,
    shared_model,
    weights_folder,
)
from judges.dnsmos_features import WINDOW, log_mel, windows
from judges.weights import WeightsError
from tests.dnsmos_cases import CASES, PAIRS, ROOT, STORED, Case

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


@pytest.fixture(scope="module")
def model() -> DnsmosModel:
    return DnsmosModel()


PERSONALISED = cache(PersonalisedModel)


def by_us(case: Case, convention: str) -> list[float]:
    """Overall, signal, background and, but for the personalised network, P.808."""
    if convention == "personalised":
        return list(PERSONALISED()(case.samples(), "microsoft"))
    return list(shared_model(None)(case.samples(), convention))  # type: ignore[arg-type]


@needs_weights
@pytest.mark.parametrize(("case", "convention"), PAIRS, ids=[f"{c.name}-{how}" for c, how in PAIRS])
def test_equal_to_what_speechmos_gave(case: Case, convention: str) -> None:
    """Numbers of the package on committed audio, to 1e-5 (largest difference seen: 4.8e-7)."""
    stored = json.loads(STORED.read_text())["scores"]
    (want,) = [r["scores"] for r in stored if (r["case"], r["convention"]) == (case.name, convention)]
    got = by_us(case, convention)
    assert got == pytest.approx(want[: len(got)], abs=1e-5)


@pytest.mark.skipif(
    any(find_spec(m) is None for m in ("speechmos", "librosa", "onnxruntime")),
    reason="needs speechmos and librosa",
)
def test_equal_to_what_speechmos_gives_here() -> None:
    """The same against the package itself, in a process of its own (it must never be imported here)."""
    said = subprocess.run(
        [sys.executable, "-m", "tests.dnsmos_cases"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = json.loads(said.stdout)["scores"]
    assert len(rows) == len(PAIRS)
    for row in rows:
        (case,) = [c for c in CASES if c.name == row["case"]]
        got = by_us(case, row["convention"])
        assert got == pytest.approx(row["scores"][: len(got)], abs=1e-5), row


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


@needs_weights
def test_the_personalised_judge_has_its_own_names_and_weights() -> None:
    found = DnsmosPersonalised("microsoft")
    assert found.signature == "dnsmos-personalised:microsoft@9e3a1974"
    verdicts = found.score(SAMPLE, Answer("", Response("1", audio=Audio(path=str(CLIP)))))
    assert [v.metric for v in verdicts] == ["dnsmos_p_ovrl", "dnsmos_p_sig", "dnsmos_p_bak"]
    assert [v.value for v in verdicts] == pytest.approx(by_us(Case("espeak"), "personalised"), abs=1e-9)
    (silent, *_) = found.score(SAMPLE, Answer("", Response("1")))
    assert str(silent.reason).startswith("no-audio")


@needs_weights
def test_one_model_serves_two_threads_alike() -> None:
    alone = by_us(Case("espeak"), "ultraeval")
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: by_us(Case("espeak"), "ultraeval"), range(6)))
    assert found == [alone] * 6


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
