"""The engines behind `--asr`: faster-whisper, openai-whisper, and the embedded tiny.en.

``--asr faster-whisper/large-v3``, ``--asr faster-whisper//path/to/folder``,
``--asr openai-whisper/large-v3``, ``--asr embedded``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from evalkit.audio import AudioError, decode
from evalkit.errors import UsageError
from evalkit.interfaces import Transcriber
from evalkit.records import Audio, Failure, Transcript
from evalkit.runners._faster_whisper import SAMPLE_RATE, FasterWhisper, is_silent, language_code, local_folder
from evalkit.runners.embedded.asr import EmbeddedAsr
from evalkit.runners.embedded.weights import checked

DEFAULT_SIZE = "large-v3"
DEFAULT_BEAM = 5


def make_transcriber(spec: str, options: Mapping[str, str]) -> Transcriber:
    """Build the ASR engine that `spec` names; weights are loaded on first use or by its `prepare()`.

    Args:
        spec: "ENGINE" or "ENGINE/MODEL".
        options: device, compute_type, beam, threads, language ("auto", or an ISO code that overrides the
            task's); asr_model for "embedded".

    Raises:
        UsageError: unknown engine or option, missing package, a folder without weights.
    """
    engine, _, model = spec.partition("/")
    if engine not in _ENGINES:
        raise UsageError(
            f"there is no ASR engine {engine!r}; known: {', '.join(_ENGINES)}. "
            "Write --asr ENGINE/MODEL, e.g. --asr faster-whisper/large-v3."
        )
    build, known = _ENGINES[engine]
    if unknown := sorted(set(options) - set(known)):
        raise UsageError(f"the ASR engine {engine} has no option {unknown[0]!r}; known: {', '.join(known)}.")
    return build(model, options)


def default_engine() -> str | None:
    """The engine for a user who names none: the reference Whisper where a GPU and the package are, else none.

    On a CPU large-v3 takes minutes per answer, so there the user has to choose.
    """
    from importlib.util import find_spec
    from shutil import which

    if which("nvidia-smi") is None or find_spec("whisper") is None:
        return None
    return f"openai-whisper/{DEFAULT_SIZE}"


def _faster_whisper(model: str, options: Mapping[str, str]) -> Transcriber:
    folder = local_folder(model) if model else None
    name = folder.name if folder else model or DEFAULT_SIZE
    pin = checked(folder / "model.bin", None, "the ASR model").sha256[:8] if folder else ""
    return FasterWhisper(
        model=str(folder) if folder else name,
        label=name,
        device=options.get("device", "auto"),
        compute_type=options.get("compute_type", ""),
        beam=_number(options, "beam", DEFAULT_BEAM),
        language=language_code(options.get("language")),
        threads=_number(options, "threads", 0),
        pin=pin,
        english_only=name.endswith(".en"),
    )


def _openai_whisper(model: str, options: Mapping[str, str]) -> Transcriber:
    return OpenAIWhisper(
        model=model or DEFAULT_SIZE,
        device=options.get("device", "auto"),
        beam=_number(options, "beam", DEFAULT_BEAM),
        language=language_code(options.get("language")),
    )


def _embedded(model: str, options: Mapping[str, str]) -> Transcriber:
    if model not in ("", "tiny.en"):
        raise UsageError(f"the embedded ASR is tiny.en, not {model!r}; write --asr faster-whisper/{model}.")
    return EmbeddedAsr(options.get("asr_model"))


_ENGINES: Mapping[str, tuple[Callable[[str, Mapping[str, str]], Transcriber], tuple[str, ...]]] = {
    "faster-whisper": (_faster_whisper, ("device", "compute_type", "beam", "language", "threads")),
    "openai-whisper": (_openai_whisper, ("device", "beam", "language")),
    "embedded": (_embedded, ("asr_model",)),
}


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    try:
        number = int(options.get(name, default))
    except ValueError:
        number = -1
    if number < (1 if default else 0):
        raise UsageError(f"the ASR option {name} takes a whole number, not {options[name]!r}.")
    return number


@dataclass
class OpenAIWhisper:
    """Whisper through the original package (torch), loaded on first use, one piece at a time.

    Attributes:
        model: a size, or a path to a .pt file.
        device: "auto", "cuda", "cuda:N" or "cpu"; half precision on a GPU, single on a CPU.
        language: None: the language the task asks for; "auto": always detect; else always this one.
    """

    model: str
    device: str = "auto"
    beam: int = DEFAULT_BEAM
    language: str | None = None
    _model: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if find_spec("whisper") is None or find_spec("torch") is None:
            raise UsageError(
                'the ASR engine openai-whisper is not installed: pip install "evalkit[whisper]" '
                "(it brings torch); faster-whisper has the same weights without torch."
            )

    @property
    def signature(self) -> str:
        name = self.model.replace("\\", "/").rsplit("/", 1)[-1]
        lang = "en" if self._english_only else f"lang={self.language or 'task'}"
        return f"openai-whisper/{name}:{self._precision},beam={self.beam},{lang}"

    @property
    def _english_only(self) -> bool:
        return self.model.removesuffix(".pt").endswith(".en")

    @property
    def _precision(self) -> str:
        return "fp16" if self._placed().startswith("cuda") else "fp32"

    def _placed(self) -> str:
        if self.device != "auto":
            return self.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    def prepare(self) -> None:
        """Load the weights. Raises UsageError."""
        with self._lock:
            self._loaded()

    def _loaded(self) -> Any:
        if self._model is None:
            import whisper

            try:
                self._model = whisper.load_model(self.model, device=self._placed())
            except (RuntimeError, OSError, ValueError, KeyError, AssertionError) as exc:
                raise UsageError(
                    f"the ASR weights {self.model!r} can't be loaded ({type(exc).__name__}: "
                    f"{str(exc)[:200]}). Pass a file: --asr openai-whisper//path/large-v3.pt."
                ) from exc
        return self._model

    def transcribe(self, audios: Sequence[Audio], language: str | None) -> list[Transcript]:
        """See `evalkit.interfaces.Transcriber`. Raises UsageError for weights that can't be had."""
        return [self._one(audio, language) for audio in audios]

    def _one(self, audio: Audio, language: str | None) -> Transcript:
        asked = language_code(self.language if self.language is not None else language)
        asked = None if asked == "auto" else asked
        if self._english_only and asked not in (None, "en"):
            message = f"{self.model} hears English only, not {asked!r}: pass a multilingual --asr."
            return self._failed(audio, "language-unsupported", message)
        try:
            digest = audio.digest()
            samples, _ = decode(audio, SAMPLE_RATE)
            if is_silent(samples):
                return Transcript(digest, self.signature, "", asked)
            with self._lock:
                heard = self._loaded().transcribe(
                    samples,
                    language="en" if self._english_only else asked,
                    beam_size=self.beam,
                    temperature=0.0,
                    condition_on_previous_text=False,
                    fp16=self._precision == "fp16",
                )
        except (AudioError, OSError) as exc:
            return self._failed(audio, "bad-audio", str(exc))
        except (RuntimeError, ValueError) as exc:
            return self._failed(audio, "asr-failed", f"openai-whisper failed: {str(exc)[:300]}")
        return Transcript(digest, self.signature, str(heard["text"]).strip(), heard.get("language"))

    def _failed(self, audio: Audio, kind: str, message: str) -> Transcript:
        return Transcript(audio.sha256 or "", self.signature, "", None, Failure(kind, message))
