"""Audio at the borders: probing, decoding, resampling, encoding, paths that stay in their folder.

Decoding is done here and nowhere else (never by the `datasets` library): libsndfile for wav, flac,
ogg, opus and mp3; soxr for resampling.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import wave
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.records import Audio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MAX_AUDIO_BYTES = 512 * 1024 * 1024
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that git put there in the place of one it has not fetched."""


class AudioError(Exception):
    """This piece of audio can't be used; the sentence names it and says why."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the container says: duration in s, rate in Hz, channels, format suffix."""

    seconds: float
    sample_rate: int
    channels: int
    format: str


def sniff_format(data: bytes) -> str:
    """Container by magic bytes: "wav", "flac", "ogg", "mp3", "aiff", or "" when unknown."""
    if data[:4] in (b"RIFF", b"RIFX") and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "ogg"
    if data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0):
        return "mp3"
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    return ""


def probe(data: bytes) -> AudioInfo:
    """Duration, rate and channels of encoded audio, without decoding it.

    Raises:
        AudioError: empty, unknown container, or a wav whose header promises more than is there.
    """
    if not data:
        raise AudioError("the audio is empty (0 bytes)")
    if data.startswith(LFS_POINTER):
        raise AudioError("this is a git-lfs pointer, not the audio: run git lfs pull in the data's folder")
    fmt = sniff_format(data)
    if fmt == "wav" and (info := _probe_wav(data)) is not None:
        return info
    import soundfile as sf

    try:
        found = sf.info(io.BytesIO(data))
    except (sf.LibsndfileError, RuntimeError, TypeError) as exc:
        raise AudioError(
            f"the audio can't be read ({len(data)} bytes, {fmt or 'unknown container'}): {_cause(exc)}"
        ) from exc
    if found.samplerate <= 0:
        raise AudioError("the audio header gives no sample rate")
    return AudioInfo(
        found.frames / found.samplerate, found.samplerate, found.channels, fmt or found.format.lower()
    )


def _cause(exc: Exception) -> str:
    """libsndfile's own words; the whole message names an object in memory, another one at every run."""
    return str(getattr(exc, "error_string", None) or exc)


def _probe_wav(data: bytes) -> AudioInfo | None:
    """Read the RIFF chunks by hand: cheap, and it sees truncation, which libsndfile forgives."""
    if data[:4] != b"RIFF":
        return None
    pos, byte_rate, rate, channels = 12, 0, 0, 0
    while pos + 8 <= len(data):
        tag, size = data[pos : pos + 4], struct.unpack_from("<I", data, pos + 4)[0]
        body = pos + 8
        if tag == b"fmt " and body + 16 <= len(data):
            _, channels, rate, byte_rate, _, _ = struct.unpack_from("<HHIIHH", data, body)
        elif tag == b"data":
            if not (byte_rate and rate):
                return None
            held = len(data) - body
            # Streaming writers leave 0 or the maximum as the size: then the file's end decides.
            if size in (0, 0xFFFFFFFF, 0x7FFFFFFF) or size >= 0xFFFFFF00:
                size = held
            if size > held:
                raise AudioError(
                    f"truncated wav: the header promises {size / byte_rate:.2f} s, "
                    f"the file holds {held / byte_rate:.2f} s"
                )
            return AudioInfo(size / byte_rate, rate, channels, "wav")
        pos = body + size + (size & 1)
    return None


def decode(audio: Audio, sample_rate: int | None = None) -> tuple[Samples, int]:
    """Decode to mono float32 in [-1, 1].

    Args:
        audio: encoded audio.
        sample_rate: resample (soxr, high quality) to this rate in Hz; None keeps the native rate.

    Returns:
        Samples of shape (frames,) and their rate. Channels are averaged; resampling overshoot is clipped.

    Raises:
        AudioError: missing file or broken audio, naming the file.
    """
    import numpy as np
    import soundfile as sf

    where = audio.path or audio.origin or "audio in memory"
    try:
        data = audio.read()
        samples, rate = sf.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except OSError as exc:
        raise AudioError(f"{where}: {exc.strerror or exc}") from exc
    except (sf.LibsndfileError, RuntimeError, TypeError) as exc:
        raise AudioError(f"{where}: the audio can't be decoded: {_cause(exc)}") from exc
    mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    if sample_rate is not None and sample_rate != rate:
        import soxr

        mono = np.clip(soxr.resample(mono, rate, sample_rate), -1.0, 1.0) if len(mono) else mono
        rate = sample_rate
    return np.ascontiguousarray(mono, dtype=np.float32), int(rate)


def encode_wav(samples: Samples, sample_rate: int) -> bytes:
    """16-bit PCM wav of mono samples in [-1, 1]."""
    return _encode(samples, sample_rate, "WAV", "PCM_16")


def pcm_wav(pcm: bytes, sample_rate: int) -> Audio:
    """Mono 16-bit little-endian PCM as a wav file in memory; no PCM gives a wav of 0 frames."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm)
    data = out.getvalue()
    return Audio(
        data=data,
        format="wav",
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=len(pcm) / 2 / sample_rate,
        sample_rate=sample_rate,
    )


def encode_flac(samples: Samples, sample_rate: int) -> bytes:
    """16-bit FLAC of mono samples in [-1, 1]: the store's format for generated speech.

    FLAC can't hold nothing at all: an empty signal becomes one sample of silence.
    """
    import numpy as np

    some = samples if len(samples) else np.zeros(1, np.float32)
    return _encode(some, sample_rate, "FLAC", "PCM_16")


def encode_mp3(samples: Samples, sample_rate: int) -> bytes:
    """MP3 of mono samples: small and playable in every browser, for reports."""
    return _encode(samples, sample_rate, "MP3", "MPEG_LAYER_III")


def _encode(samples: Samples, sample_rate: int, fmt: str, subtype: str) -> bytes:
    import numpy as np
    import soundfile as sf

    out = io.BytesIO()
    sf.write(out, np.clip(samples, -1.0, 1.0), sample_rate, format=fmt, subtype=subtype)
    return out.getvalue()


def materialise(audio: Audio) -> Audio:
    """The same audio with its bytes read, hashed and probed; what the engine hands to runners.

    Raises:
        AudioError: missing, unreadable, oversized, empty or broken audio, naming the file.
    """
    where = audio.path or audio.origin or "audio in memory"
    try:
        if audio.path is not None and audio.data is None and os.path.getsize(audio.path) > MAX_AUDIO_BYTES:
            raise AudioError(f"{where}: larger than {MAX_AUDIO_BYTES >> 20} MiB")
        data = audio.read()
    except OSError as exc:
        raise AudioError(f"{where}: {exc.strerror or exc}") from exc
    try:
        info = probe(data)
    except AudioError as exc:
        raise AudioError(f"{where}: {exc}") from exc
    return replace(
        audio,
        data=data,
        format=info.format,
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=info.seconds,
        sample_rate=info.sample_rate,
        origin=audio.origin or audio.path,
    )


def inside(root: str | os.PathLike[str], relative: str) -> Path:
    """`root/relative`, if that stays inside `root`.

    Checked on the spelling, not on resolved links, because hub caches are made of links.

    Raises:
        AudioError: absolute paths and paths that climb out with "..".
    """
    if "\x00" in relative:
        raise AudioError("an audio path holds a NUL character")
    base = os.path.abspath(root)
    path = os.path.normpath(os.path.join(base, relative))
    if Path(relative).is_absolute() or (path != base and not path.startswith(base.rstrip(os.sep) + os.sep)):
        raise AudioError(f"the path {relative!r} leaves its folder {base}")
    return Path(path)
