"""Whisper through the original package (torch): the reference engine behind `--asr`, one piece at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.runners.asr_pieces import AsrEngine, Heard

if TYPE_CHECKING:
    from evalkit.audio import Samples


@dataclass
class OpenAIWhisper(AsrEngine):
    """Whisper as OpenAI published it, loaded on first use.

    Attributes:
        model: a size, or a path to a .pt file.
        device: "auto", "cuda", "cuda:N" or "cpu"; half precision on a GPU, single on a CPU.
        language: None: the language the task asks for; "auto": always detect; else always this one.
        pin: short digest of the weights for the signature, where they are a file of the user's.
    """

    title = "openai-whisper"
    model: str
    device: str = "auto"
    beam: int = 5
    language: str | None = None
    pin: str = ""
    batch: int = 1
    _model: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if find_spec("whisper") is None or find_spec("torch") is None:
            raise UsageError(
                'the ASR engine openai-whisper is not installed: pip install "evalkit[whisper]" '
                "(it brings torch); faster-whisper has the same weights without torch."
            )
        self.label = self.model.replace("\\", "/").rsplit("/", 1)[-1]

    @property
    def signature(self) -> str:
        pin = f"@{self.pin}" if self.pin else ""
        lang = "en" if self._named_english() else f"lang={self.language or 'task'}"
        return f"openai-whisper/{self.label}{pin}:{self._precision},beam={self.beam},{lang}"

    def _named_english(self) -> bool:
        return self.model.removesuffix(".pt").endswith(".en")

    def hears_english_only(self) -> bool:
        """Do the weights know English alone? Loads them where their name does not tell. Raises UsageError."""
        if self._named_english():
            return True
        with self._lock:
            return not getattr(self._loaded(), "is_multilingual", True)

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

            if offline() and not self._at_hand():
                raise UsageError(
                    f"the ASR weights {self.model!r} are not on this machine and the network is forbidden "
                    "(EVALKIT_OFFLINE). Pass a file: --asr openai-whisper//path/large-v3.pt."
                )
            try:
                self._model = whisper.load_model(self.model, device=self._placed())
            except Exception as exc:  # on a foreign file torch's reader fails in any way at all
                raise UsageError(
                    f"the ASR weights {self.model!r} can't be loaded ({type(exc).__name__}: "
                    f"{str(exc)[:200]}). Pass a file: --asr openai-whisper//path/large-v3.pt."
                ) from exc
        return self._model

    def _at_hand(self) -> bool:
        """Is it a file of the user's, or one that the package fetched earlier?"""
        import os

        kept = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "whisper"
        return Path(self.model).is_file() or any(kept.glob(f"{self.model}*.pt"))

    def hear_batch(self, pieces: Sequence[Samples], language: str | None) -> list[Heard]:
        """See `AsrEngine.hear_batch`; the package takes one piece at a time."""
        return [self._hear(samples, language) for samples in pieces]

    def _hear(self, samples: Samples, language: str | None) -> Heard:
        with self._lock:
            heard = self._loaded().transcribe(
                samples,
                language="en" if self._named_english() else language,
                beam_size=self.beam,
                temperature=0.0,
                condition_on_previous_text=False,
                fp16=self._precision == "fp16",
            )
        return Heard(str(heard["text"]).strip(), heard.get("language"))
