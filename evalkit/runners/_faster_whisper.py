"""Whisper through faster-whisper (CTranslate2): the engine behind `--asr` and inside the embedded model.

Decoding is made to be repeatable: temperature 0 as a scalar (no sampling fallback), no conditioning on
earlier text. Silence is recognised by level before the model can imagine words in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.records import Audio, Failure, Transcript

if TYPE_CHECKING:
    from evalkit.audio import Samples

SAMPLE_RATE = 16_000
SILENCE_PEAK = 1e-3
"""Peak amplitude (-60 dBFS) below which a piece counts as silent."""
WINDOW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard: words, the language they were taken for, and the seconds it took."""

    text: str
    language: str | None
    seconds: float


def is_silent(samples: Samples) -> bool:
    """True for no samples at all and for nothing louder than -60 dBFS."""
    return len(samples) == 0 or float(abs(samples).max()) < SILENCE_PEAK


def language_code(language: str | None) -> str | None:
    """The bare ISO code: "en-US" and "EN" give "en"; None stays None."""
    return language.replace("_", "-").split("-")[0].lower() or None if language else None


@dataclass
class FasterWhisper:
    """A Whisper model, loaded on first use, one piece at a time, safe to share between threads.

    Attributes:
        model: a size ("large-v3"), a hub id, or a folder in CTranslate2 layout.
        label: what signatures call it.
        device: "auto", "cuda" or "cpu".
        compute_type: a CTranslate2 type; "" means float16 on a GPU and float32 on a CPU.
        language: None: the language the task asks for; "auto": always detect; else always this one.
        threads: CPU threads; 0 leaves it to CTranslate2.
        pin: short digest of the weights for the signature, where they are known.
        english_only: the weights are known to know English alone (the model is asked as well, once loaded).
    """

    model: str
    label: str
    device: str = "auto"
    compute_type: str = ""
    beam: int = 5
    language: str | None = None
    threads: int = 0
    pin: str = ""
    english_only: bool = False
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
        return f"faster-whisper/{self.label}{pin}:{self._placed()[1]},beam={self.beam},{lang}"

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
            )
        except Exception as exc:  # hub clients, CTranslate2 and httpx raise a zoo of classes here
            raise UsageError(
                f"the ASR weights {self.model!r} can't be loaded on {device} as {compute_type} "
                f"({type(exc).__name__}: {str(exc).splitlines()[0][:200] if str(exc) else 'no message'}). "
                "Pass a folder with CTranslate2 weights: --asr faster-whisper/PATH."
            ) from exc
        return self._model

    def _hears_english_only(self) -> bool:
        return self.english_only or not self._loaded().model.is_multilingual

    def hear(self, samples: Samples, language: str | None = None) -> Heard:
        """Words in 16 kHz mono float32 samples of shape (frames,); silence gives "".

        Raises:
            UsageError: the weights can't be had.
            RuntimeError, ValueError: the engine failed on this piece.
        """
        with self._lock:
            model, began = self._loaded(), time.perf_counter()
            wanted = "en" if self._hears_english_only() else language
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
            text = " ".join(s.text.strip() for s in segments).strip()
            return Heard(text, info.language, time.perf_counter() - began)

    def _refuses_foreign(self) -> bool:
        # faster-whisper itself only warns and transcribes as English, which would then be scored.
        with self._lock:
            return self._hears_english_only()

    def transcribe(self, audios: Sequence[Audio], language: str | None) -> list[Transcript]:
        """See `evalkit.interfaces.Transcriber`."""
        return [self._one(audio, language) for audio in audios]

    def _one(self, audio: Audio, language: str | None) -> Transcript:
        from evalkit.audio import AudioError, decode

        try:
            digest = audio.digest()
            asked = language_code(self.language if self.language is not None else language)
            asked = None if asked == "auto" else asked
            if asked not in (None, "en") and self._refuses_foreign():
                message = f"{self.label} hears English only, not {asked!r}: pass a multilingual --asr."
                return Transcript(digest, self.signature, "", asked, Failure("language-unsupported", message))
            heard = self.hear(decode(audio, SAMPLE_RATE)[0], asked)
            return Transcript(digest, self.signature, heard.text, heard.language)
        except (AudioError, OSError) as exc:
            return Transcript(audio.sha256 or "", self.signature, "", None, Failure("bad-audio", str(exc)))
        except (RuntimeError, ValueError) as exc:
            message = f"faster-whisper failed: {str(exc)[:300]}"
            return Transcript(audio.sha256 or "", self.signature, "", None, Failure("asr-failed", message))


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
