"""Audio at the borders: headers, decoding, truncation, paths that stay inside."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evalkit import audio
from evalkit.audio import (
    AudioError,
    decode,
    encode_flac,
    encode_mp3,
    encode_wav,
    inside,
    materialise,
    probe,
    sniff_format,
)
from evalkit.records import Audio

RATE = 16000


def tone(seconds: float = 0.5, rate: int = RATE, pitch: float = 440.0) -> NDArray[np.float32]:
    t = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * pitch * t)).astype(np.float32)


def container(fmt: str, subtype: str | None = None, channels: int = 1, rate: int = RATE) -> bytes:
    out = io.BytesIO()
    sf.write(out, np.tile(tone(rate=rate)[:, None], channels), rate, format=fmt, subtype=subtype)
    return out.getvalue()


@pytest.mark.parametrize(
    ("fmt", "subtype", "suffix", "slack"),
    [
        ("WAV", "PCM_16", "wav", 0),
        ("WAV", "PCM_24", "wav", 0),
        ("WAV", "FLOAT", "wav", 0),
        ("WAVEX", "PCM_16", "wav", 0),
        ("FLAC", "PCM_16", "flac", 0),
        ("OGG", "VORBIS", "ogg", 0.01),
        ("OGG", "OPUS", "ogg", 0.01),
        ("AIFF", "PCM_16", "aiff", 0),
        ("MP3", "MPEG_LAYER_III", "mp3", 0.15),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_probe_agrees_with_decoding(fmt: str, subtype: str, suffix: str, slack: float, channels: int) -> None:
    data = container(fmt, subtype, channels)
    info = probe(data)
    samples, rate = decode(Audio(data=data))
    assert (info.format, info.channels, sniff_format(data)) == (suffix, channels, suffix)
    assert info.sample_rate == rate
    assert info.seconds == pytest.approx(0.5, abs=slack or 1e-9)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert len(samples) / rate == pytest.approx(0.5, abs=slack or 1e-9)


def test_channels_are_averaged() -> None:
    out = io.BytesIO()
    sf.write(
        out, np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1), RATE, format="WAV", subtype="FLOAT"
    )
    samples, _ = decode(Audio(data=out.getvalue()))
    assert samples == pytest.approx(0.125)


@given(st.lists(st.integers(-32768, 32767), max_size=50), st.sampled_from([8000, 16000, 44100]))
def test_sixteen_bits_come_back_exactly(values: list[int], rate: int) -> None:
    samples = np.array(values, dtype=np.float32) / np.float32(32768)
    for encode in (encode_wav, encode_flac) if values else (encode_wav,):  # FLAC: see the next test
        got, got_rate = decode(Audio(data=encode(samples, rate)))
        assert got_rate == rate
        np.testing.assert_array_equal(got, samples)


def test_an_empty_answer_is_a_flac_of_one_silent_sample() -> None:
    data = encode_flac(np.zeros(0, np.float32), RATE)
    assert probe(data).seconds == 1 / RATE
    assert decode(Audio(data=data))[0].tolist() == [0.0]


def test_encoding_clips_instead_of_wrapping() -> None:
    for encode in (encode_wav, encode_flac):
        got, _ = decode(Audio(data=encode(np.array([2.0, -2.0], np.float32), RATE)))
        assert got[0] > 0.99 and got[1] == -1.0


def test_resampling_keeps_pitch_and_stays_in_range() -> None:
    square = np.sign(tone(pitch=1000.0, rate=48000)).astype(np.float32)
    got, rate = decode(Audio(data=encode_wav(square, 48000)), 16000)
    assert rate == 16000 and len(got) == 8000
    assert np.abs(got).max() <= 1.0
    assert np.argmax(np.abs(np.fft.rfft(got))) == 500  # 1000 Hz, in bins of 2 Hz
    assert decode(Audio(data=encode_wav(square[:0], 48000)), 16000)[0].shape == (0,)


def test_mp3_is_an_mp3() -> None:
    data = encode_mp3(tone(), RATE)
    assert sniff_format(data) == "mp3" and len(data) < len(encode_wav(tone(), RATE)) / 2


@pytest.mark.parametrize("held", [44, 45, 2044])
def test_a_truncated_wav_is_told(held: int) -> None:
    with pytest.raises(AudioError, match=r"truncated wav: the header promises 0\.50 s"):
        probe(encode_wav(tone(), RATE)[:held])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFF24])
def test_a_streamed_wav_ends_with_its_file(size: int) -> None:
    data = bytearray(encode_wav(tone(), RATE))
    struct.pack_into("<I", data, 40, size)
    assert probe(bytes(data)).seconds == pytest.approx(0.5)


def test_a_wav_with_chunks_before_the_sound() -> None:
    data = encode_wav(tone(), RATE)
    odd = b"LIST" + struct.pack("<I", 5) + b"hello\x00"  # odd sizes are padded
    assert probe(data[:36] + odd + data[36:]).seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"RIFF\x00\x00\x00\x00WAVE", b"not audio at all", b"fLaC", b"OggS" + b"\x00" * 60]
)
def test_junk_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(AudioError, match="the audio"):
        probe(data)
    with pytest.raises(AudioError, match=r"rows\.parquet#row=3.*the audio"):
        materialise(Audio(data=data, origin="rows.parquet#row=3"))
    with pytest.raises(AudioError, match="decoded"):
        decode(Audio(data=data))


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda b: b"RIFF\x10\x00\x00\x00WAVE" + b))
@example(b"RIFF\x10\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + b"\x00" * 16 + b"data\x00\x00\x00\x00")
@example(
    b"RIFF\x10\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e"
    + b"\x00" * 10
    + b"data\x00\x00\x00\x00"
)
def test_no_bytes_escape_as_another_exception(data: bytes) -> None:
    for read in (lambda: probe(data), lambda: decode(Audio(data=data))):
        with suppress(AudioError):
            read()


def test_materialise_fills_in_what_is_known_of_the_bytes(tmp_path: Path) -> None:
    data = encode_flac(tone(), RATE)
    file = tmp_path / "wrongly-named.wav"
    file.write_bytes(data)
    got = materialise(Audio(path=str(file), format="wav"))
    assert (got.data, got.format, got.seconds, got.sample_rate) == (data, "flac", 0.5, RATE)
    assert got.sha256 == hashlib.sha256(data).hexdigest()
    assert got.origin == str(file)
    assert materialise(Audio(data=data, origin="x")).origin == "x"


def test_missing_and_oversized_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav: No such file"):
        materialise(Audio(path=str(tmp_path / "gone.wav")))
    with pytest.raises(AudioError, match=r"gone\.wav: No such file"):
        decode(Audio(path=str(tmp_path / "gone.wav")))
    (tmp_path / "big.wav").write_bytes(encode_wav(tone(), RATE))
    monkeypatch.setattr(audio, "MAX_AUDIO_BYTES", 100)
    with pytest.raises(AudioError, match=r"big\.wav: larger than"):
        materialise(Audio(path=str(tmp_path / "big.wav")))


@pytest.mark.parametrize(
    "relative", ["a.wav", "b/a.wav", "./a.wav", "b/../a.wav", "b/..//./a.wav", "..a/x.wav"]
)
def test_inside_lets_pass(tmp_path: Path, relative: str) -> None:
    assert inside(tmp_path, relative) == Path(os.path.normpath(tmp_path / relative))


@pytest.mark.parametrize("relative", ["/etc/passwd", "../x.wav", "b/../../x.wav", "..", "//x", "a\x00.wav"])
def test_inside_refuses(tmp_path: Path, relative: str) -> None:
    with pytest.raises(AudioError):
        inside(tmp_path / "data", relative)


def test_a_sibling_that_shares_the_name_is_outside(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="leaves its folder"):
        inside(tmp_path / "data", "../data-2/x.wav")


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "data"]), max_size=8))
def test_inside_never_leaves(parts: list[str]) -> None:
    try:
        found = inside("/base/data", "/".join(parts))
    except AudioError:
        return
    assert str(found) == "/base/data" or str(found).startswith("/base/data/")


def test_links_inside_are_followed(tmp_path: Path) -> None:
    """Hub caches are folders of links to blobs that lie elsewhere."""
    blob = tmp_path / "blobs" / "abc"
    blob.parent.mkdir()
    blob.write_bytes(encode_wav(tone(), RATE))
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "x.wav").symlink_to(blob)
    assert materialise(Audio(path=str(inside(tmp_path / "snapshot", "x.wav")))).seconds == 0.5


def test_what_is_said_of_broken_audio_is_the_same_at_every_run() -> None:
    """It is on record: the address of an object would make two runs differ."""
    with pytest.raises(AudioError) as found:
        probe(b"not a sound")
    assert str(found.value).endswith("(11 bytes, unknown container): Format not recognised.")
    with pytest.raises(AudioError) as found:
        decode(Audio(data=b"not a sound"))
    assert "BytesIO" not in str(found.value)
