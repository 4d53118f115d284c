"""Whisper through the original package (torch): the reference engine behind `--asr`.

One piece at a time, as the package transcribes. With `batch` above 1 pieces of up to 30 s are decoded together:
each is heard once from its start to its end, where `transcribe` may go back to where its time stamps stopped, so
a word can differ, and the batch is part of the signature. Longer pieces go one at a time either way.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.runners.asr.pieces import NO_SPEECH, SAMPLE_RATE, UNSURE, WINDOW_SECONDS, AsrEngine, Heard

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
        batch: pieces of up to 30 s heard at once.
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
        batch = f",batch={self.batch}" if self.batch > 1 else ""
        return f"openai-whisper/{self.label}{pin}:{self._precision},beam={self.beam},{lang}{batch}"

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
        """See `AsrEngine.hear_batch`."""
        short = [i for i, p in enumerate(pieces) if len(p) <= WINDOW_SECONDS * SAMPLE_RATE]
        if self.batch == 1 or not short:
            return [self._hear(samples, language) for samples in pieces]
        heard = dict(zip(short, self._together([pieces[i] for i in short], language), strict=True))
        return [heard.get(i) or self._hear(p, language) for i, p in enumerate(pieces)]

    def _together(self, pieces: Sequence[Samples], language: str | None) -> list[Heard]:
        """Pieces of up to 30 s decoded as one batch, from the picture of sound that `transcribe` makes of each."""
        import torch
        import whisper
        from whisper.audio import N_FRAMES, N_SAMPLES

        english = self.hears_english_only()
        with self._lock:
            model = self._loaded()
            half = self._precision == "fp16"
            kind = torch.float16 if half else torch.float32
            sound = [whisper.log_mel_spectrogram(p, model.dims.n_mels, padding=N_SAMPLES) for p in pieces]
            spoken = ["en" if english else language] * len(pieces)
            if spoken[0] is None:  # asked of the silence after the piece, too, as `transcribe` asks
                heads = torch.stack([whisper.pad_or_trim(mel, N_FRAMES) for mel in sound])
                _, odds = model.detect_language(heads.to(model.device, kind))
                spoken = [max(each, key=each.get) for each in odds]
            heard = [Heard("", code) for code in spoken]
            for code in dict.fromkeys(spoken):
                mine = [i for i, other in enumerate(spoken) if other == code]
                windows = [whisper.pad_or_trim(sound[i][:, :-N_FRAMES], N_FRAMES) for i in mine]
                options = whisper.DecodingOptions(
                    language=code, beam_size=self.beam, temperature=0.0, fp16=half
                )
                found = whisper.decode(model, torch.stack(windows).to(model.device, kind), options)
                for i, result in zip(mine, found, strict=True):
                    nothing = result.no_speech_prob > NO_SPEECH and result.avg_logprob < UNSURE
                    heard[i] = Heard("" if nothing else result.text.strip(), code)
        return heard

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
