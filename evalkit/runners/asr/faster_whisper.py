"""Whisper through faster-whisper (CTranslate2): the engine behind `--asr` and inside the embedded model.

Decoding is made to be repeatable: temperature 0 as a scalar (no sampling fallback), no conditioning on
earlier text. With `batch` above 1 pieces are heard several at once, which can change a word here and there;
then the batch is part of the signature.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.runners.asr.pieces import (
    NO_SPEECH,
    SAMPLE_RATE,
    UNSURE,
    WINDOW_SECONDS,
    AsrEngine,
    Heard,
    is_silent,
)

if TYPE_CHECKING:
    from evalkit.audio import Samples


def _why(exc: Exception) -> str:
    """Why weights can't be loaded, in a line: the hub's client takes a paragraph to say that they aren't there."""
    if type(exc).__name__ == "LocalEntryNotFoundError":
        reached = "the network is forbidden (EVALKIT_OFFLINE)" if offline() else "the hub can't be reached"
        return f"they are not on this machine, and {reached}"
    said = shorten(str(exc), 400, placeholder=" ...") or "no message"
    return f"{type(exc).__name__}: {said}"


@dataclass
class FasterWhisper(AsrEngine):
    """A Whisper model, loaded on first use, safe to share between threads.

    Attributes:
        model: a size ("large-v3"), a hub id, or a folder in CTranslate2 layout.
        label: what signatures call it.
        device: "auto", "cuda" or "cpu".
        compute_type: a CTranslate2 type; "" means float16 on a GPU and float32 on a CPU.
        language: None: the language the task asks for; "auto": always detect; else always this one.
        threads: CPU threads; 0 leaves it to CTranslate2.
        pin: short digest of the weights for the signature, where they are known.
        english_only: the weights are known to know English alone (the model is asked as well, once loaded).
        batch: pieces heard at once; 1 is faster-whisper's sequential way, more its batched one, in which a piece
            beyond 30 s is cut at pauses instead of at predicted time stamps.
        revision: commit or tag of the hub repository; None takes its main branch as it is now.
    """

    title = "faster-whisper"
    model: str
    label: str
    device: str = "auto"
    compute_type: str = ""
    beam: int = 5
    language: str | None = None
    threads: int = 0
    pin: str = ""
    english_only: bool = False
    batch: int = 1
    revision: str | None = None
    _model: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if find_spec("faster_whisper") is None:
            raise UsageError('the ASR engine faster-whisper is not installed: pip install "evalkit[speech]".')

    def _placed(self) -> tuple[str, str]:
        """The device and compute type that "auto" comes to on this machine."""
        device = self.device
        if device == "auto":
            import ctranslate2  # type: ignore[import-untyped, unused-ignore]

            device = "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"
        return device, self.compute_type or ("float16" if device.startswith("cuda") else "float32")

    @property
    def signature(self) -> str:
        pin = f"@{self.pin}" if self.pin else ""
        lang = "en" if self.english_only else f"lang={self.language or 'task'}"
        batch = f",batch={self.batch}" if self.batch > 1 else ""
        return f"faster-whisper/{self.label}{pin}:{self._placed()[1]},beam={self.beam},{lang}{batch}"

    def prepare(self) -> None:
        """Load the weights (fetching them from the hub where that is allowed).

        Raises:
            UsageError: they can't be had or this machine can't run them.
        """
        with self._lock:
            self._loaded()

    def _loaded(self) -> Any:
        if self._model is not None:
            return self._model
        from faster_whisper import WhisperModel

        device, compute_type = self._placed()
        index = int(device.partition(":")[2] or 0)
        try:
            self._model = WhisperModel(
                self.model,
                device=device.partition(":")[0],
                device_index=index,
                compute_type=compute_type,
                cpu_threads=self.threads,
                local_files_only=offline(),
                **({"revision": self.revision} if self.revision else {}),
            )
        except Exception as exc:  # hub clients, CTranslate2 and httpx raise a zoo of classes here
            raise UsageError(
                f"the ASR weights {self.model!r} can't be loaded on {device} as {compute_type} "
                f"({_why(exc)}). "
                "Pass a folder with CTranslate2 weights: --asr faster-whisper/PATH."
            ) from exc
        return self._model

    def hears_english_only(self) -> bool:
        """Do the weights know English alone?"""
        # faster-whisper itself only warns and transcribes as English, which would then be scored.
        with self._lock:
            return self._english_alone()

    def _english_alone(self) -> bool:
        return self.english_only or not self._loaded().model.is_multilingual

    def hear(self, samples: Samples, language: str | None = None) -> Heard:
        """Words in 16 kHz mono float32 samples of shape (frames,); silence gives "".

        Raises:
            UsageError: the weights can't be had.
            RuntimeError, ValueError: the engine failed on this piece.
        """
        with self._lock:
            model, began = self._loaded(), time.perf_counter()
            wanted = "en" if self._english_alone() else language
            if is_silent(samples):
                return Heard("", wanted, time.perf_counter() - began)
            segments, info = model.transcribe(
                samples,
                language=wanted,
                beam_size=self.beam,
                temperature=0.0,
                condition_on_previous_text=False,
                # Time stamps steer the windows of long audio; within one window they only cost words.
                without_timestamps=len(samples) <= WINDOW_SECONDS * SAMPLE_RATE,
            )
            text = _joined(segments)
            return Heard(text, info.language, time.perf_counter() - began)

    def hear_batch(self, pieces: Sequence[Samples], language: str | None) -> list[Heard]:
        """See `AsrEngine.hear_batch`; with `batch` 1 each piece is heard on its own, as by `hear`."""
        if self.batch == 1:
            return [self.hear(p, language) for p in pieces]
        with self._lock:
            model = self._loaded()
            known = "en" if self._english_alone() else language
            spoken = [known or str(model.detect_language(p)[0]) for p in pieces]
            heard = [Heard("", code) for code in spoken]
            for code in dict.fromkeys(spoken):
                mine = [i for i, other in enumerate(spoken) if other == code]
                short = [i for i in mine if len(pieces[i]) <= WINDOW_SECONDS * SAMPLE_RATE]
                for i, text in zip(short, self._together([pieces[i] for i in short], code), strict=True):
                    heard[i] = Heard(text, code)
                for i in (i for i in mine if i not in short):
                    segments, _ = self._batched().transcribe(
                        pieces[i], batch_size=self.batch, **self._way(code)
                    )
                    heard[i] = Heard(_joined(filter(_is_speech, segments)), code)
            return heard

    def _together(self, pieces: Sequence[Samples], language: str) -> list[str]:
        """Words in pieces of up to 30 s, heard in one go: one long recording whose windows are the pieces."""
        import numpy as np

        if not pieces:
            return []
        gap = np.zeros(SAMPLE_RATE // 10, np.float32)  # no window has it; it keeps their starts apart
        lengths = [len(p) + len(gap) for p in pieces]
        starts = [0, *np.cumsum(lengths).tolist()[:-1]]
        # faster-whisper rounds seconds down to samples: a quarter of a sample keeps each boundary in place.
        windows = [
            {"start": (a + 0.25) / SAMPLE_RATE, "end": (a + len(p) + 0.25) / SAMPLE_RATE}
            for a, p in zip(starts, pieces, strict=True)
        ]
        segments, _ = self._batched().transcribe(
            np.concatenate([part for p in pieces for part in (p, gap)]),
            clip_timestamps=windows,
            batch_size=len(pieces),
            **self._way(language),
        )
        said: list[list[Any]] = [[] for _ in pieces]
        for segment in filter(_is_speech, segments):
            # `seek` is where its window begins, in 10 ms; time stamps are a guess, which may lie outside.
            said[bisect_right(starts, segment.seek * SAMPLE_RATE / 100 + len(gap) / 2) - 1].append(segment)
        return [_joined(segments) for segments in said]

    def _batched(self) -> Any:
        from faster_whisper import BatchedInferencePipeline

        return BatchedInferencePipeline(model=self._loaded())

    def _way(self, language: str) -> dict[str, Any]:
        return {"language": language, "beam_size": self.beam, "temperature": 0.0, "without_timestamps": True}


def _is_speech(segment: Any) -> bool:
    """The rule by which the sequential way drops what it takes for no speech, left out of the batched one."""
    return bool(segment.no_speech_prob <= NO_SPEECH or segment.avg_logprob > UNSURE)


def _joined(segments: Any) -> str:
    return " ".join(text for s in segments if (text := s.text.strip()))


def local_folder(model: str) -> Path | None:
    """The folder that `model` names, when it looks like a path.

    Raises:
        UsageError: it looks like a path but holds no CTranslate2 model.
    """
    path = Path(model).expanduser()
    if not (path.is_dir() or path.is_absolute() or model.startswith((".", "~"))):
        return None
    if not (path / "model.bin").is_file():
        raise UsageError(f"{model} holds no CTranslate2 Whisper model (there is no model.bin in it).")
    return path
