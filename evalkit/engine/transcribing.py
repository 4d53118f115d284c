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
    keys = [Cache.key("transcript", p.audio.digest(), asr.signature, language) for p in pieces]
    held = [cache.get(k) if cache else None for k in keys]
    known = {k: Transcript.from_json(h) for k, h in zip(keys, held, strict=True) if h}
    before = [p for p, k in zip(pieces, keys, strict=True) if k in known]
    if before:
        places, audios = [(p.task, p.sample_id) for p in before], [p.audio for p in before]
        note_transcripts(asr.signature, places, audios, [known[k] for k in keys if k in known], cached=True)
    # The same sound twice in a batch is heard once.
    new = {k: p for k, p in zip(keys, pieces, strict=True) if k not in known}
    if new:
        known |= zip(new, await _heard(asr, list(new.values()), language, in_thread), strict=True)
    for key in new:
        if cache is not None and known[key].error is None:
            cache.put(key, known[key].to_json())
    return [known[k] for k in keys]


async def _heard(
    asr: Transcriber, pieces: Sequence[Piece], language: str | None, in_thread: InThread
) -> list[Transcript]:
    audios = [p.audio for p in pieces]
    places = [(p.task, p.sample_id) for p in pieces]
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
    return heard


def _measured(audio: Audio) -> Audio:
    """The audio with its length, its bytes forgotten again; as it was when it can't be read."""
    if audio.seconds:
        return audio
    try:
        return replace(audio, seconds=materialise(audio).seconds)
    except AudioError:
        return audio
