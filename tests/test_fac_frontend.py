"""Fun-Audio-Chat front end: slots counted as published, log-mel equal to Whisper's, the edges of both."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from evalkit.audio import AudioError, decode
from evalkit.records import Audio
from evalkit.runners.fun_audio_chat.frontend import log_mel, speech_slots
from tests.fun_audio_chat_fixtures import CLIPS, clip_wave, needs_torch, reference

RATE = 16_000
BEFORE_TORCH = "import sys, evalkit.runners.fun_audio_chat.frontend; print('torch' in sys.modules)"


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    """A wave whose second half is much louder, so that the clip's loudest bin decides about the first."""
    wave = np.random.default_rng(seed).standard_normal(samples) * 0.2
    wave[: samples // 2] *= 1e-5
    return wave.clip(-1, 1).astype(np.float32)


def whisper(wave: NDArray[np.float32], chunk_length: int) -> NDArray[np.float32]:
    """Valid frames of the library's extractor, the clip padded to the whole window."""
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=chunk_length)
    found = extractor(
        wave, sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="np"
    )
    return found["input_features"][0][:, : int(found["attention_mask"].sum())]


@pytest.mark.parametrize(
    ("samples", "slots", "groups"),
    [
        (0, 0, 0),
        (639, 0, 0),
        (640, 1, 1),
        (8000, 12, 3),
        (18560, 28, 6),  # 29 by exact arithmetic
        (37117, 57, 12),
        (74240, 115, 23),  # 116 and 24 by exact arithmetic
        (96000, 150, 30),
        (640000, 1000, 200),
    ],
)
def test_slots_are_counted_as_published(samples: int, slots: int, groups: int) -> None:
    assert speech_slots(samples) == (slots, groups)


def test_slots_fall_short_of_exact_arithmetic_at_463_lengths() -> None:
    short = [n for n in range(0, 300 * RATE + 1, 640) if speech_slots(n)[0] != n // 640]
    assert len(short) == 463
    # Between the multiples of 640 there is no such length: the exact value is far from a whole number.
    every = np.arange(300 * RATE + 1)
    assert np.count_nonzero((every / 16000 * 25).astype(np.int64) != every // 640) == 463


@pytest.mark.parametrize("group", [1, 5, 7])
def test_the_last_group_may_be_part_filled(group: int) -> None:
    assert speech_slots(37117, group) == (57, -(-57 // group))


@needs_torch
@pytest.mark.parametrize("i", range(CLIPS))
def test_reference_mels(i: int) -> None:
    """The bound is what another machine's Fourier transform leaves in the quietest bins of pure tones."""
    clip = log_mel(clip_wave(i), chunk_length=300)
    known = reference("dense")
    assert clip.mel.dtype == np.float32 and clip.mel.shape[1] == int(known[f"in{i}.n_mel"])
    np.testing.assert_allclose(clip.mel, known[f"in{i}.mel"], rtol=0, atol=5e-5)
    assert np.mean(np.abs(clip.mel - known[f"in{i}.mel"]) > 1e-6) < 0.02
    slots = int(known[f"in{i}.speech_attention_mask"].sum())
    assert (clip.speech_tokens, clip.groups * 5) == (slots, len(known[f"in{i}.speech_ids"]))
    assert clip.samples == len(clip_wave(i))


@needs_torch
def test_equal_to_the_librarys_extractor() -> None:
    edges = (1, 159, 160, 161, 399, 640, 641, 2 * RATE, 2 * RATE - 1, 2 * RATE + 1)
    window = tuple(30 * RATE - n for n in (400, 360, 201, 200, 199, 40, 39, 1, 0, -1, -RATE))
    drawn = np.random.default_rng(7).integers(1, 12 * RATE, 12)
    for samples in (*edges, *window, *(int(n) for n in drawn)):
        wave = noise(samples, seed=samples)
        clip = log_mel(wave, chunk_length=30)
        np.testing.assert_allclose(
            clip.mel, whisper(wave, 30), rtol=0, atol=1e-6, err_msg=f"{samples} samples"
        )
        assert clip.mel.shape == (128, -(-min(samples, 30 * RATE) // 160))


@needs_torch
@pytest.mark.parametrize("from_end", [1, 20, 100, 190])
def test_a_click_at_the_end_counts_as_the_loudest(from_end: int) -> None:
    """It stands in frames that are not valid too, and these take part in the clip's maximum."""
    wave = np.full(1600, 1e-4, dtype=np.float32)
    wave[-from_end] = 1.0
    np.testing.assert_allclose(log_mel(wave, chunk_length=30).mel, whisper(wave, 30), rtol=0, atol=1e-6)


@needs_torch
@pytest.mark.parametrize("i", range(CLIPS))
def test_the_window_changes_nothing_in_what_fits(i: int) -> None:
    np.testing.assert_array_equal(
        log_mel(clip_wave(i), chunk_length=5).mel, log_mel(clip_wave(i), chunk_length=300).mel
    )


@needs_torch
def test_beyond_the_window_frames_are_cut_and_placeholders_are_not() -> None:
    wave = noise(40 * RATE)
    wave[30 * RATE :] = 1.0  # unheard: it may not set the maximum either
    clip = log_mel(wave, chunk_length=30)
    assert (clip.mel.shape, clip.speech_tokens, clip.groups, clip.samples) == (
        (128, 3000),
        1000,
        200,
        40 * RATE,
    )
    np.testing.assert_array_equal(clip.mel, log_mel(wave[: 30 * RATE], chunk_length=30).mel)


@needs_torch
@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 1), (320, 2), (639, 4)])
def test_shorter_than_a_slot(samples: int, frames: int) -> None:
    clip = log_mel(noise(samples), chunk_length=300)
    assert (clip.mel.shape, clip.speech_tokens, clip.groups) == ((128, frames), 0, 0)
    assert clip.mel.dtype == np.float32


@needs_torch
def test_silence_is_flat_and_finite() -> None:
    mel = log_mel(np.zeros(RATE, dtype=np.float32), chunk_length=300).mel
    assert np.all(mel == mel[0, 0]) and mel[0, 0] == pytest.approx(-1.5)


@needs_torch
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(broken: float) -> None:
    wave = noise(8000)
    wave[100] = broken
    with pytest.raises(AudioError, match="no numbers"):
        log_mel(wave, chunk_length=300)


@needs_torch
def test_samples_beyond_any_energy_are_refused() -> None:
    with pytest.raises(AudioError, match="far beyond"):
        log_mel(np.full(8000, 1e30, dtype=np.float32), chunk_length=300)


@needs_torch
def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        log_mel(np.zeros((2, 100), dtype=np.float32), chunk_length=30)
    with pytest.raises(ValueError, match="at least 1 second"):
        log_mel(np.zeros(100, dtype=np.float32), chunk_length=0)


@needs_torch
def test_the_wave_is_left_as_it_was_and_may_be_a_view() -> None:
    wave = noise(16000).astype(np.float64)
    before = wave.copy()
    clip = log_mel(wave[::2], chunk_length=30)
    np.testing.assert_array_equal(wave, before)
    contiguous = np.ascontiguousarray(wave[::2], dtype=np.float32)
    contiguous.flags.writeable = False
    np.testing.assert_array_equal(clip.mel, log_mel(contiguous, chunk_length=30).mel)


@needs_torch
def test_a_stereo_mp3_of_8_khz() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000 * 2) / 8000)
    file = io.BytesIO()
    sf.write(file, np.stack([tone, 0.5 * tone], axis=1), 8000, format="MP3", subtype="MPEG_LAYER_III")
    wave, rate = decode(Audio(data=file.getvalue(), origin="tone.mp3"), RATE)
    clip = log_mel(wave, chunk_length=300)
    assert rate == RATE and 1.9 < clip.samples / RATE < 2.3
    assert (clip.speech_tokens, clip.groups) == speech_slots(len(wave))
    loudest = clip.mel[:, 20:180].mean(axis=1).argmax()
    same = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    assert loudest == log_mel(same, chunk_length=300).mel[:, 20:80].mean(axis=1).argmax()


@needs_torch
def test_worker_threads_agree() -> None:
    waves = [noise(4000 + 777 * i, seed=i) for i in range(12)]
    alone = [log_mel(w, chunk_length=30).mel for w in waves]
    with ThreadPoolExecutor(8) as pool:
        for mel, clip in zip(alone, pool.map(lambda w: log_mel(w, chunk_length=30), waves), strict=True):
            np.testing.assert_array_equal(mel, clip.mel)


def test_importing_it_loads_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_TORCH], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
