"""UTMOS up to its weights (which no package ships), and the resampler in front of it."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf

from evalkit.audio import encode_wav
from evalkit.errors import UsageError
from evalkit.interfaces import Answer
from evalkit.records import Audio, Response, Sample, Transcript, Verdict
from judges.sinc_resample import resample
from judges.torchaudio_stand_in import torchaudio_stand_in
from judges.utmos import Utmos
from judges.utmos_model import CHECKPOINT, COMMIT, HUB_NAMES, REPO, fetch, weights_path
from judges.weights import WeightsError

SAMPLE = Sample("1", "ultraeval/llama-questions", ())
TONE = Audio(data=encode_wav((0.3 * np.sin(np.arange(24000) * 0.1)).astype(np.float32), 24000))
SILENCE = Audio(data=encode_wav(np.zeros(24000, np.float32), 24000))
TINY = Audio(data=encode_wav(np.full(300, 0.5, np.float32), 16000))


def float_wav(samples: np.ndarray) -> Audio:
    out = io.BytesIO()
    sf.write(out, samples, 16000, format="WAV", subtype="FLOAT")
    return Audio(data=out.getvalue())


NAN = float_wav(np.array([0.5, np.nan] * 8000, np.float32))


@pytest.fixture(autouse=True)
def no_weights_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_UTMOS", raising=False)


def judge(
    audio: Audio | None = TONE,
    text: str = "Paris",
    language: str = "en",
    weights: Path | None = None,
    heard: str | None = None,
) -> Verdict:
    transcript = Transcript("0" * 64, "asr", text if heard is None else heard, language)
    answer = Answer(text, Response("1", text=text, audio=audio), transcript)
    (verdict,) = Utmos(str(weights) if weights else None).score(SAMPLE, answer)
    assert verdict.metric == "utmos"
    return verdict


# --- resampler -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("n", [1, 7, 4801])
def test_resampled_length_is_rounded_up(rate: int, n: int) -> None:
    assert len(resample(np.ones(n, np.float32), rate, 16000)) == -(-n * 16000 // rate)


def test_same_rate_and_no_samples_pass_through() -> None:
    x = np.arange(5, dtype=np.float32)
    assert resample(x, 16000, 16000) is x
    assert len(resample(x[:0], 24000, 16000)) == 0


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 44100])
def test_a_tone_in_the_band_is_kept(rate: int) -> None:
    def tone(sr: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(sr) / sr + 0.3).astype(np.float32)

    got, want = resample(tone(rate), rate, 16000), tone(16000)
    assert np.abs(got - want)[200:-200].max() < 2e-3


def test_a_tone_above_the_new_band_goes_and_a_constant_stays() -> None:
    high = np.sin(2 * np.pi * 11000 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(resample(high, 48000, 16000))[200:-200].max() < 2e-2
    assert resample(np.ones(24000, np.float32), 24000, 16000)[200:-200] == pytest.approx(1.0, abs=1e-3)


def test_one_impulse_gives_the_documented_kernel() -> None:
    """3:2 down, by the closed form: sinc(t) * cos^2(pi t / 12) * 0.99 * 2/3 with t = 0.99 * (2/3 k - m)."""
    x = np.zeros(60, np.float32)
    x[30] = 1
    t = 0.99 * (20.0 - np.arange(40))
    want = np.sinc(t) * np.cos(np.pi * np.clip(t, -6, 6) / 12) ** 2 * 0.99 * 2 / 3
    assert resample(x, 24000, 16000) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(
    ("rate", "n", "want"),
    [
        (24000, 267, [0.2515144050, 0.3521700203, -0.4958253503, 0.1694968790, 0.3309616447]),
        (44100, 146, [0.2104289830, 0.3900540173, 0.5092803240, 0.1763560176, 0.1813252270]),
    ],
)
def test_equal_to_torchaudio(rate: int, n: int, want: list[float]) -> None:
    """Against torchaudio.functional.resample 2.8.0 with its defaults."""
    k = np.arange(400)
    x = (0.5 * np.sin(0.05 * k) + 0.3 * np.cos(0.0007 * k * k)).astype(np.float32)
    got = resample(x, rate, 16000)
    assert len(got) == n
    assert got[[0, 1, 50, 100, n - 1]] == pytest.approx(want, abs=2e-5)


# --- up to the weights ---------------------------------------------------------------------------


def test_no_weights_anywhere() -> None:
    reason = str(judge().reason)
    assert reason.startswith("weights: not scored: weights not found at -O utmos_weights or EVALKIT_UTMOS")
    assert 'pip install "evalkit[utmos]"' in reason
    assert Utmos().signature == "utmos22-strong@no-weights:sinc6-hann"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "utmos.pt"
    reason = str(judge(weights=missing).reason)
    assert reason.startswith(f"weights: not scored: weights not found at {missing};")


def test_the_variable_names_the_file_and_the_signature_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "utmos.pt"
    file.write_bytes(b"abc")
    monkeypatch.setenv("EVALKIT_UTMOS", str(file))
    assert weights_path(None) == file
    assert Utmos().signature == "utmos22-strong@ba7816bf8f01:sinc6-hann"
    with pytest.raises(WeightsError):
        weights_path(str(tmp_path / "other.pt"))


@pytest.mark.parametrize(
    ("kwargs", "code"),
    [
        ({"audio": None}, "no-audio"),
        ({"audio": Audio(data=b"junk")}, "bad-audio"),
        ({"audio": SILENCE}, "silent-audio"),
        ({"text": "巴黎"}, "not-english"),
        ({"language": "zh", "heard": "巴黎"}, "not-english"),
        ({"language": "en", "text": "", "heard": "巴黎"}, "not-english"),
        ({"audio": TINY}, "too-short"),
        ({"audio": NAN}, "bad-audio"),
        (
            {"language": "fr"},
            "weights",
        ),  # heard "Paris": taken for French, but those are the words of the text
    ],
)
def test_what_cannot_be_rated_says_why(kwargs: dict[str, object], code: str) -> None:
    verdict = judge(**kwargs)  # type: ignore[arg-type]
    assert verdict.value is None
    assert str(verdict.reason).startswith(f"{code}: ")


def test_the_stand_in_for_torchaudio_passes_equal_rates_only_and_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = ModuleType("torchaudio")
    monkeypatch.setitem(sys.modules, "torchaudio", real)
    with torchaudio_stand_in():
        import torchaudio

        assert torchaudio.__spec__ is not None
        wave = object()
        assert torchaudio.functional.resample(wave, orig_freq=16000, new_freq=16000) is wave
        with pytest.raises(ValueError, match="24000"):
            torchaudio.functional.resample(wave, orig_freq=24000, new_freq=16000)
    assert sys.modules["torchaudio"] is real
    assert "torchaudio.functional" not in sys.modules


# --- with torch ----------------------------------------------------------------------------------


def test_torchscript_is_loaded_and_fed_one_clip_at_16_khz(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason='needs pip install "evalkit[utmos]"')

    class Length(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, wave):  # type: ignore[no-untyped-def]
            return torch.ones(wave.shape[0]) * wave.shape[1] / 16000

    file = tmp_path / "tiny.pt"
    torch.jit.script(Length()).save(str(file))
    verdict = judge(weights=file)
    assert verdict.value == pytest.approx(1.0)
    assert verdict.detail == {"seconds": 1.0}


HUBCONF = """
dependencies = ["torch", "torchaudio"]
import torch
import torchaudio

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))

    def forward(self, wave, sr):
        wave = torchaudio.functional.resample(wave, orig_freq=sr, new_freq=16000)
        return self.gain * torch.ones(wave.shape[0])

def utmos22_strong(pretrained=True):
    assert not pretrained
    return Tiny()
"""


def test_a_state_dict_goes_through_the_checkout(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason='needs pip install "evalkit[utmos]"')
    file = tmp_path / "state.pt"
    torch.save({"gain": torch.full((1,), 3.5)}, file)
    answer = Answer("", Response("1", text="Paris", audio=TONE))
    (verdict,) = Utmos(str(file), str(tmp_path)).score(SAMPLE, answer)
    assert str(verdict.reason).startswith("weights: not scored:")
    assert "checkout" in str(verdict.reason)
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    (verdict,) = Utmos(str(file), str(tmp_path)).score(SAMPLE, answer)
    assert verdict.value == pytest.approx(3.5)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason='needs pip install "evalkit[utmos]"')
    file = tmp_path / "junk.pt"
    file.write_bytes(b"junk")
    assert "neither TorchScript nor a state dict" in str(judge(weights=file).reason)


# --- torch's hub, without a network: its folder filled by hand, and a hub that is out of reach -------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that torch takes for its hub's; any fetch fails the test."""
    torch = pytest.importorskip("torch", reason='needs pip install "evalkit[utmos]"')
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: pytest.fail("fetched"))
    monkeypatch.setattr(torch.hub, "_get_cache_or_reload", lambda *a, **k: pytest.fail("fetched"))
    return tmp_path / "hub"


def fill(hub: Path, name: str = HUB_NAMES[0], *, code: bool = True, weights: bool = True) -> None:
    import torch

    if code:
        (hub / name).mkdir(parents=True)
        (hub / name / "hubconf.py").write_text(HUBCONF)
    if weights:
        (hub / "checkpoints").mkdir(parents=True)
        torch.save({"gain": torch.full((1,), 3.25)}, hub / "checkpoints" / CHECKPOINT)


@pytest.mark.parametrize("name", HUB_NAMES)
def test_what_torchs_hub_holds_is_used_by_tag_or_by_commit_and_never_fetched_again(
    hub: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(hub, name)
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    found = Utmos("hub")
    asyncio.run(found.ready())
    assert found.signature.startswith("utmos22-strong@")
    assert "no-weights" not in found.signature
    (verdict,) = found.score(SAMPLE, Answer("", Response("1", text="Paris", audio=TONE)))
    assert verdict.value == pytest.approx(3.25)


@pytest.mark.parametrize(("code", "weights"), [(False, False), (True, False), (False, True)])
def test_the_hub_is_refused_where_the_network_is_forbidden(
    hub: Path, code: bool, weights: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(hub, code=code, weights=weights)
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    with pytest.raises(UsageError, match="network is forbidden"):
        asyncio.run(Utmos("hub").ready())


def test_nothing_is_fetched_unless_the_user_says_hub(hub: Path, tmp_path: Path) -> None:
    for judge_of_nothing in (Utmos(), Utmos(str(tmp_path / "none.pt"))):
        asyncio.run(judge_of_nothing.ready())
    (verdict,) = Utmos("hub").score(SAMPLE, Answer("", Response("1", text="Paris", audio=TONE)))
    assert str(verdict.reason).startswith("weights: ")


def test_the_code_is_fetched_at_the_pinned_commit_and_trusted(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    asked: list[object] = []

    def load(repo: str, name: str, **options: object) -> None:
        asked.append((repo, name, options))
        fill(hub, HUB_NAMES[1], weights=False)

    def download(url: str, to: str, **_: object) -> None:
        asked.append(url)
        torch.save({"gain": torch.ones(1)}, to)

    monkeypatch.setattr(torch.hub, "load", load)
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert fetch() == hub / "checkpoints" / CHECKPOINT
    assert asked[0] == (f"{REPO}:{COMMIT}", "utmos22_strong", {"trust_repo": True, "pretrained": False})
    assert str(asked[1]).endswith(f"/v1.0.0/{CHECKPOINT}")


def test_a_hub_out_of_reach_is_told_in_one_sentence(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def load(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load", load)
    with pytest.raises(UsageError, match=r"can't be fetched from torch's hub \(OSError: no route to host\)"):
        asyncio.run(Utmos("hub").ready())


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason='needs pip install "evalkit[utmos]"')
    if torch.cuda.is_available():
        pytest.skip("there is one")
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    torch.save({"gain": torch.ones(1)}, tmp_path / "state.pt")
    found = Utmos(str(tmp_path / "state.pt"), str(tmp_path), "cuda")
    assert found.signature.endswith(":sinc6-hann,cuda")
    (verdict,) = found.score(SAMPLE, Answer("", Response("1", text="Paris", audio=TONE)))
    assert "UTMOS can't be put on cuda" in str(verdict.reason)
