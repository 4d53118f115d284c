"""A sample's audio made into clips for the towers, with the proof of what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.audio import AudioError, decode, probe
from evalkit.errors import RunnerError
from evalkit.records import Audio, SentAudio
from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig
from evalkit.runners.fun_audio_chat.frontend import SAMPLE_RATE, log_mel
from evalkit.runners.fun_audio_chat.requests import Clip

if TYPE_CHECKING:
    from evalkit.audio import Samples


def hear(
    audios: Sequence[Audio], config: CheckpointConfig, max_seconds: float | None, whose: str
) -> tuple[tuple[Clip, ...], tuple[SentAudio, ...]]:
    """Clips of encoded audio, and their proofs: what lies beyond the model's window is told as not sent.

    Args:
        max_seconds: most seconds of a piece that are taken; None: all.
        whose: begins the sentence of an error: "sample q1".

    Raises:
        RunnerError: kind "bad-audio".
    """
    clips: list[Clip] = []
    sent: list[SentAudio] = []
    for audio in audios:
        wave, whole, converted = wave_of(audio, max_seconds, whose)
        try:
            clip = log_mel(
                wave,
                chunk_length=config.chunk_length,
                bins=config.audio.num_mel_bins,
                group=config.audio.group_size,
            )
        except AudioError as exc:
            raise RunnerError("bad-audio", f"{whose}: {exc}", unsent=True) from exc
        clips.append(clip)
        given = min(len(wave), config.chunk_length * SAMPLE_RATE)
        sent.append(
            SentAudio(
                audio.digest(),
                given / SAMPLE_RATE,
                SAMPLE_RATE,
                truncated=given < whole,
                origin=audio.origin or audio.path,
                converted=converted or given < whole,
            )
        )
    return tuple(clips), tuple(sent)


def wave_of(audio: Audio, max_seconds: float | None, whose: str) -> tuple[Samples, int, bool]:
    """Mono samples at 16 kHz, cut to `max_seconds`; how many there were before; whether rate or channels changed.

    Raises:
        RunnerError: kind "bad-audio".
    """
    try:
        info = probe(audio.read())
        wave, _ = decode(audio, SAMPLE_RATE)
    except (AudioError, OSError) as exc:
        raise RunnerError("bad-audio", f"{whose}: {exc}", unsent=True) from exc
    kept = wave if max_seconds is None else wave[: int(max_seconds * SAMPLE_RATE)]
    return kept, len(wave), info.sample_rate != SAMPLE_RATE or info.channels != 1
