"""What the ASR engines share: pieces of audio made ready, batches of like length, failures as transcripts.

An engine says how it hears a batch (`AsrEngine.hear_batch`); that nothing is lost is seen to here. Audio that
can't be read, a language the weights don't know and a piece that the engine fails on each give a transcript
with an error of their own; silence is recognised by level before a model can imagine words in it; a batch
that does not fit into memory is halved, and one bad piece does not take its batch with it.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.audio import AudioError, decode
from evalkit.errors import OutOfMemory, UsageError
from evalkit.records import Audio, Failure, Transcript

if TYPE_CHECKING:
    from evalkit.audio import Samples

SAMPLE_RATE = 16_000
SILENCE_PEAK = 1e-3
"""Peak amplitude (-60 dBFS) below which a piece counts as silent."""
WINDOW_SECONDS = 30.0
"""What a Whisper model hears at once."""
NO_SPEECH, UNSURE = 0.6, -1.0
"""Whisper's own thresholds for taking a window for no speech: its probability, mean log-probability of the words."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard: words, the language they were taken for, and the seconds it took."""

    text: str
    language: str | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece to hear: its place in the call, the digest of its bytes, 16 kHz mono samples."""

    place: int
    digest: str
    samples: Samples


def is_silent(samples: Samples) -> bool:
    """True for no samples at all and for nothing louder than -60 dBFS."""
    return len(samples) == 0 or float(abs(samples).max()) < SILENCE_PEAK


def language_code(language: str | None) -> str | None:
    """The bare ISO code: "en-US" and "EN" give "en"; None stays None."""
    return language.replace("_", "-").split("-")[0].lower() or None if language else None


def number(options: Mapping[str, str], name: str, default: int) -> int:
    """A whole number among the options of an engine; 0 only where 0 is the default. Raises UsageError."""
    try:
        value = int(options.get(name, default))
    except ValueError:
        value = -1
    if value < (1 if default else 0):
        raise UsageError(f"the ASR option {name} takes a whole number, not {options[name]!r}.")
    return value


def out_of_memory(exc: Exception) -> bool:
    """Is this how torch, CTranslate2, Python or a runner says that something did not fit?"""
    known = isinstance(exc, OutOfMemory | MemoryError) or type(exc).__name__ == "OutOfMemoryError"
    return known or "out of memory" in str(exc).lower()


class AsrEngine(ABC):
    """A `Transcriber` that hears batches.

    Attributes:
        title: what messages call the engine.
        label: what they call its weights.
        batch: pieces heard at once; the pipeline hands over that many, of like length.
        language: None: the language the task asks for; "auto": always detect; else always this one.
        fits: the largest batch that has not run out of memory, once one has.
    """

    title: ClassVar[str] = ""
    label: str
    batch: int
    language: str | None
    fits: int = 0

    @property
    @abstractmethod
    def signature(self) -> str:
        """See `evalkit.interfaces.Transcriber`."""

    @abstractmethod
    def hears_english_only(self) -> bool:
        """Do the weights know English alone? May load them (UsageError)."""

    @abstractmethod
    def hear_batch(self, pieces: Sequence[Samples], language: str | None) -> list[Heard]:
        """What is said in each piece, in order; none is silent. `language` None: detect it.

        Raises:
            UsageError: the weights can't be had.
            RuntimeError, ValueError, MemoryError, OutOfMemory: the engine failed on this batch.
        """

    def transcribe(self, audios: Sequence[Audio], language: str | None) -> list[Transcript]:
        """See `evalkit.interfaces.Transcriber`. Raises UsageError for weights that can't be had."""
        import numpy as np

        asked = language_code(self.language if self.language is not None else language)
        asked = None if asked == "auto" else asked
        foreign = asked not in (None, "en") and self.hears_english_only()
        done: dict[int, Transcript] = {}
        pieces = []
        for place, audio in enumerate(audios):
            if foreign:
                message = f"{self.label} hears English only, not {asked!r}: pass a multilingual --asr."
                done[place] = self._failed(_digest(audio), Failure("language-unsupported", message), asked)
                continue
            try:
                piece = Piece(place, audio.digest(), decode(audio, SAMPLE_RATE)[0])
            except (AudioError, OSError) as exc:
                done[place] = self._failed(audio.sha256 or "", Failure("bad-audio", str(exc)))
                continue
            if len(piece.samples) and not bool(np.isfinite(piece.samples).all()):
                why = "some samples are not finite numbers"
                done[place] = self._failed(piece.digest, Failure("bad-audio", why))
            elif is_silent(piece.samples):
                done[place] = Transcript(piece.digest, self.signature, "", asked)
            else:
                pieces.append(piece)
        for piece, heard in self._heard(pieces, asked):
            if isinstance(heard, Failure):
                done[piece.place] = self._failed(piece.digest, heard)
            else:
                done[piece.place] = Transcript(piece.digest, self.signature, heard.text, heard.language)
        return [done[place] for place in range(len(audios))]

    def _failed(self, digest: str, failure: Failure, language: str | None = None) -> Transcript:
        return Transcript(digest, self.signature, "", language, failure)

    def _heard(self, pieces: Sequence[Piece], asked: str | None) -> list[tuple[Piece, Heard | Failure]]:
        """Each piece with what was heard in it; batches hold pieces of like length."""
        found: list[tuple[Piece, Heard | Failure]] = []
        waiting = sorted(pieces, key=lambda p: len(p.samples))
        while waiting:
            size = min(self.batch, self.fits or self.batch)
            group, waiting = waiting[:size], waiting[size:]
            try:
                heard = self.hear_batch([p.samples for p in group], asked)
                if len(heard) != len(group):
                    raise RuntimeError(f"{len(heard)} transcripts came of {len(group)} pieces")
                found += zip(group, heard, strict=True)
            except (RuntimeError, ValueError, MemoryError, OutOfMemory) as exc:
                if out_of_memory(exc):
                    _free()
                    if len(group) > 1:
                        self.fits = len(group) // 2
                        waiting = [*group, *waiting]
                        continue
                    seconds = len(group[0].samples) / SAMPLE_RATE
                    message = f"{self.title} ran out of memory on {seconds:.1f} s of audio alone."
                    found.append((group[0], Failure("out-of-memory", message)))
                elif len(group) > 1:
                    for piece in group:
                        found += self._heard([piece], asked)
                else:
                    message = f"{self.title} failed: {str(exc)[:300]}"
                    found.append((group[0], Failure("asr-failed", message)))
        return found


def _digest(audio: Audio) -> str:
    try:
        return audio.digest()
    except OSError:
        return audio.sha256 or ""


def _free() -> None:
    """Give back what torch holds on to, so that a smaller batch has room."""
    torch = sys.modules.get("torch")
    if torch is not None and (cuda := getattr(torch, "cuda", None)) is not None and cuda.is_available():
        cuda.empty_cache()
