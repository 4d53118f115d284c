"""A batch of speech to its transcripts: from the cache, or from the ASR engine; each on record as a call."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from evalkit.audio import AudioError, materialise
from evalkit.cache import Cache
from evalkit.engine.metering import note_transcripts
from evalkit.interfaces import Transcriber
from evalkit.records import Audio, Failure, Transcript

InThread = Callable[[Callable[[], list[Transcript]]], Awaitable[list[Transcript]]]
"""Runs a call in a worker thread."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of speech and the sample it answers."""

    audio: Audio
    task: str
    sample_id: str


async def transcribe(
    asr: Transcriber, cache: Cache | None, pieces: Sequence[Piece], language: str | None, in_thread: InThread
) -> list[Transcript]:
    """One transcript per piece, in order; an engine that fails gives transcripts with `error` set."""
    audios = [p.audio for p in pieces]
    places = [(p.task, p.sample_id) for p in pieces]
    keys = [Cache.key("transcript", a.digest(), asr.signature, language) for a in audios]
    held = [cache.get(k) if cache else None for k in keys]
    if all(held):
        known = [Transcript.from_json(h) for h in held if h]
        note_transcripts(asr.signature, places, audios, known, cached=True)
        return known
    started = time.perf_counter()

    def call() -> list[Transcript]:
        nonlocal started
        if not all(a.seconds for a in audios):  # predictions don't say how long they are
            measured[:] = [_measured(a) for a in audios]
        started = time.perf_counter()  # not the wait for a free thread
        return asr.transcribe(audios, language)

    measured = list(audios)
    try:
        heard = await in_thread(call)
        if len(heard) != len(audios):
            raise ValueError(f"gave {len(heard)} transcripts for {len(audios)} pieces of audio")
    except Exception as exc:
        failure = Failure("error", f"{asr.signature}: {type(exc).__name__}: {str(exc)[:300]}")
        heard = [Transcript(a.digest(), asr.signature, "", error=failure) for a in audios]
    note_transcripts(asr.signature, places, measured, heard, time.perf_counter() - started)
    for key, transcript in zip(keys, heard, strict=True):
        if cache is not None and transcript.error is None:
            cache.put(key, transcript.to_json())
    return heard


def _measured(audio: Audio) -> Audio:
    """The audio with its length, its bytes forgotten again; as it was when it can't be read."""
    if audio.seconds:
        return audio
    try:
        return replace(audio, seconds=materialise(audio).seconds)
    except AudioError:
        return audio
