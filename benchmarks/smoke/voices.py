"""The voices of the smoke data: flite for English, espeak-ng for Mandarin. Only for building the data."""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path

MP3_LEVEL = 0.9
"""libsndfile's compression level for mp3, 0 to 1: about 28 kbit/s at 16 kHz mono."""


def speak(text: str, voice: str, stretch: float) -> bytes:
    """Speech as a wav file (16 kHz mono). Raises CalledProcessError or FileNotFoundError (no flite)."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speech.wav"
        command = [
            "flite",
            "-voice",
            voice,
            "--setf",
            f"duration_stretch={stretch}",
            "-t",
            text,
            "-o",
            str(out),
        ]
        subprocess.run(command, check=True)
        return out.read_bytes()


def to_mp3(wav: bytes) -> bytes:
    """The same speech as mono mp3 at its own rate."""
    import soundfile as sf

    samples, rate = sf.read(io.BytesIO(wav), dtype="float32")
    out = io.BytesIO()
    sf.write(out, samples, rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=MP3_LEVEL)
    return out.getvalue()


def speak_mandarin(text: str, speed: int = 150) -> bytes:
    """Mandarin speech as a wav file (22.05 kHz mono). Raises CalledProcessError or FileNotFoundError."""
    command = ["espeak-ng", "-v", "cmn", "-s", str(speed), "--stdout", text]
    return subprocess.run(command, check=True, capture_output=True).stdout


def to_flac(wav: bytes) -> bytes:
    """The same speech as FLAC at its own rate."""
    import soundfile as sf

    samples, rate = sf.read(io.BytesIO(wav), dtype="float32")
    out = io.BytesIO()
    sf.write(out, samples, rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()
