"""DistillMOS: what it can't rate, and, where torch and the package are, the numbers of the package itself."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from evalkit.audio import encode_wav
from evalkit.interfaces import Answer, Judge
from evalkit.records import Audio, Response, Sample, Verdict
from judges.distillmos import SHA256, DistillMos, load_distillmos
from judges.dnsmos import Dnsmos, DnsmosPersonalised
from judges.quality import quality_judges
from judges.utmos import Utmos
from judges.weights import WeightsError

SAMPLE = Sample("1", "ultraeval/llama-questions", ())
ROOT = Path(__file__).parent.parent
TONE = (0.3 * np.sin(np.arange(24000) * 0.1)).astype(np.float32)

INSTALLED = all(find_spec(m) is not None for m in ("torch", "distillmos", "xls_r_sqa"))
installed = pytest.mark.skipif(not INSTALLED, reason='needs pip install "evalkit[distillmos]"')


def judged(audio: Audio | None) -> Verdict:
    (verdict,) = DistillMos().score(SAMPLE, Answer("", Response("1", audio=audio)))
    assert verdict.metric == "distillmos"
    return verdict


def wav(samples: np.ndarray, rate: int = 16000, subtype: str = "FLOAT") -> Audio:
    out = io.BytesIO()
    sf.write(out, samples, rate, format="WAV", subtype=subtype)
    return Audio(data=out.getvalue())


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (None, "no-audio"),
        (Audio(data=b"junk"), "bad-audio"),
        (wav(np.zeros(0, np.float32)), "silent-audio"),
        (wav(TONE * 1e-3), "silent-audio"),
        (wav(np.array([0.5, np.nan] * 8000, np.float32)), "bad-audio"),
        (wav(TONE[:1599]), "too-short"),
        (wav(TONE[:2300], 24000), "too-short"),
    ],
    ids=["none", "junk", "empty", "silence", "nan", "99 ms", "96 ms"],
)
def test_what_cannot_be_rated_says_why(audio: Audio | None, code: str) -> None:
    verdict = judged(audio)
    assert verdict.value is None
    assert str(verdict.reason).startswith(f"{code}: ")


def test_its_own_name_and_the_weights_in_the_signature() -> None:
    assert DistillMos().signature == f"distillmos-v7@{SHA256[:8]}:sinc6-hann"
    assert DistillMos().languages is None


@pytest.mark.skipif(INSTALLED, reason="it is installed")
def test_without_the_package_it_says_how_to_get_it() -> None:
    reason = str(judged(wav(TONE)).reason)
    assert reason.startswith("weights: not scored: ")
    assert 'pip install "evalkit[distillmos]"' in reason


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, [Utmos, Dnsmos]),
        ({"distillmos": "no"}, [Utmos, Dnsmos]),
        ({"distillmos": "yes"}, [Utmos, Dnsmos, DistillMos]),
        ({"dnsmos_personalised": "yes"}, [Utmos, Dnsmos, DnsmosPersonalised]),
    ],
)
def test_it_is_on_when_asked_for(options: dict[str, str], kinds: list[type[Judge]]) -> None:
    assert [type(j) for j in quality_judges(options)] == kinds


# --- with the package ----------------------------------------------------------------------------

COMMON_VOICE = "TwinkStart/CommonVoice_15/cv-corpus-15.0-2023-09-08"
REFERENCE = {
    "tests/data/espeak_paris.flac": 2.2845473289489746,
    "benchmarks/smoke/{CV}/en/clips/common_voice_en_90001.mp3": 1.8390748500823975,
    "benchmarks/smoke/{CV}/en/clips/common_voice_en_90002.mp3": 2.6702094078063965,
    "benchmarks/smoke/{CV}/zh-CN/clips/common_voice_zh-CN_90002.mp3": 2.7273786067962646,
    "benchmarks/smoke/{CV}/zh-CN/clips/common_voice_zh-CN_90004.mp3": 3.9643661975860596,
}
"""What distillmos 0.9.1 itself gives (torch 2.13, CPU), audio resampled as torchaudio does it."""


@installed
@pytest.mark.parametrize(("file", "want"), REFERENCE.items(), ids=[Path(f).stem for f in REFERENCE])
def test_equal_to_the_package(file: str, want: float) -> None:
    path = ROOT / file.format(CV=COMMON_VOICE)
    assert judged(Audio(path=str(path))).value == pytest.approx(want, abs=1e-4)


@installed
def test_long_audio_loud_audio_and_the_modules_left_behind() -> None:
    long = np.tile(TONE, 12)
    value = judged(wav(long)).value
    assert value is not None
    assert 1 <= value <= 5
    # Each window is scaled to its peak: loudness is not rated.
    assert judged(wav(long * 0.1)).value == pytest.approx(value, abs=1e-3)
    assert "torchaudio" not in sys.modules or sys.modules["torchaudio"].__spec__ is not None


@installed
def test_altered_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judges.distillmos.SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="have sha256 b18b3ac60227"):
        load_distillmos()


def test_sixteen_bits_do_not_change_what_is_refused() -> None:
    assert str(judged(Audio(data=encode_wav(np.zeros(16000, np.float32), 16000))).reason).startswith(
        "silent-audio"
    )
