"""ASR through a transformers pipeline: any speech recogniser on the hub, or a folder of one.

For protocols that ask for that pipeline (UltraEval sheet section 3: Whisper large-v3, greedy, the language
detected, half precision on a GPU). Whisper hears up to 30 s at once; longer audio goes through the model's own
sequential long form, steered by the time stamps it predicts. `-A chunk=SECONDS` cuts it into overlapping
windows instead, which is faster and misses words at the seams: no public protocol here does that.
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
from evalkit.runners.asr.pieces import SAMPLE_RATE, WINDOW_SECONDS, AsrEngine, Heard

if TYPE_CHECKING:
    from evalkit.audio import Samples

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
SETTINGS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
)
DTYPES = ("auto", "float32", "float16", "bfloat16")


@dataclass
class TransformersAsr(AsrEngine):
    """A transformers ASR pipeline, loaded on first use, safe to share between threads.

    Attributes:
        model: a hub id, or a folder as `save_pretrained` writes it.
        label: what signatures call it.
        revision: commit or tag of the hub repository; None takes its main branch as it is now.
        device: "auto", "cuda", "cuda:N" or "cpu".
        dtype: of DTYPES; "auto" is float16 on a GPU and float32 on a CPU.
        beam: 1 is greedy.
        chunk: 0: the model's own long form; else seconds of overlapping windows.
        batch: pieces of up to 30 s heard at once; padding can change a word here and there, so it is signed.
        pin: short digest of a folder's files, or the commit, for the signature.
    """

    title = "transformers"
    model: str
    label: str
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    beam: int = 1
    batch: int = 1
    chunk: int = 0
    language: str | None = None
    pin: str = ""
    _pipe: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if missing := [m for m in ("torch", "transformers") if find_spec(m) is None]:
            raise UsageError(
                f'the ASR engine transformers lacks {" and ".join(missing)}: pip install "evalkit[local]"; '
                "faster-whisper has the same weights without torch."
            )

    @property
    def signature(self) -> str:
        pin = f"@{self.pin}" if self.pin else ""
        lang = "en" if self.model.endswith(".en") else f"lang={self.language or 'task'}"
        more = f",batch={self.batch}" if self.batch > 1 else ""
        more += f",chunk={self.chunk}" if self.chunk else ""
        return f"transformers/{self.label}{pin}:{self._typed()},beam={self.beam},{lang}{more}"

    def _placed(self) -> str:
        if self.device != "auto":
            return self.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    def _typed(self) -> str:
        if self.dtype != "auto":
            return self.dtype
        return "float16" if self._placed().startswith("cuda") else "float32"

    def prepare(self) -> None:
        """Load the weights (fetching them from the hub where that is allowed). Raises UsageError."""
        with self._lock:
            self._loaded()

    def _loaded(self) -> Any:
        if self._pipe is None:
            try:
                self._pipe = self._load()
            except Exception as exc:  # hub clients, safetensors and torch raise a zoo of classes here
                said = " ".join(str(exc).split())[:300] or "no message"
                raise UsageError(
                    f"the ASR model {self.model!r} can't be loaded on {self._placed()} as {self._typed()} "
                    f"({type(exc).__name__}: {said}). Pass a folder: --asr transformers//PATH."
                ) from exc
        return self._pipe

    def _load(self) -> Any:
        import torch
        import transformers as t

        where: dict[str, Any] = {"revision": self.revision, "local_files_only": offline()}
        config = t.AutoConfig.from_pretrained(self.model, **where)
        ctc = any(name.endswith("ForCTC") for name in config.architectures or ())
        cls = t.AutoModelForCTC if ctc else t.AutoModelForSpeechSeq2Seq
        model = cls.from_pretrained(self.model, dtype=getattr(torch, self._typed()), **where)
        tokenizer = t.AutoTokenizer.from_pretrained(self.model, **where)
        if tokenizer.pad_token is None:  # batches need one
            tokenizer.pad_token = tokenizer.eos_token
        return t.pipeline(
            "automatic-speech-recognition",
            model=model.eval(),
            tokenizer=tokenizer,
            feature_extractor=t.AutoFeatureExtractor.from_pretrained(self.model, **where),
            device=self._placed(),
        )

    def _whisper(self) -> bool:
        return str(getattr(self._loaded(), "type", "")) == "seq2seq_whisper"

    def hears_english_only(self) -> bool:
        """Do the weights know English alone? Loads them where their name does not tell. Raises UsageError."""
        if self.model.endswith(".en"):
            return True
        with self._lock:
            generation = getattr(self._loaded().model, "generation_config", None)
            return self._whisper() and not getattr(generation, "is_multilingual", True)

    def hear_batch(self, pieces: Sequence[Samples], language: str | None) -> list[Heard]:
        """See `AsrEngine.hear_batch`. A recogniser other than Whisper takes no language and names none."""
        english = self.hears_english_only()
        with self._lock:
            began = time.perf_counter()
            spoken: list[str | None]
            if not self._whisper():
                texts, spoken = self._texts(pieces, None), [None for _ in pieces]
            elif english:
                texts, spoken = self._texts(pieces, None), ["en"] * len(pieces)
            else:
                spoken = [language] * len(pieces) if language else self._languages(pieces)
                texts = [""] * len(pieces)
                for code in dict.fromkeys(spoken):
                    mine = [i for i, other in enumerate(spoken) if other == code]
                    for i, text in zip(mine, self._texts([pieces[i] for i in mine], code), strict=True):
                        texts[i] = text
            seconds = (time.perf_counter() - began) / len(pieces)
        return [Heard(text.strip(), code, seconds) for text, code in zip(texts, spoken, strict=True)]

    def _languages(self, pieces: Sequence[Samples]) -> list[str | None]:
        """What each piece is spoken in, by the model's own look at its first 30 s, as generation has it."""
        pipe = self._loaded()
        heads = [p[: int(WINDOW_SECONDS * SAMPLE_RATE)] for p in pieces]
        features = pipe.feature_extractor(
            heads, sampling_rate=SAMPLE_RATE, return_tensors="pt"
        ).input_features
        model = pipe.model
        found = model.detect_language(features.to(model.device, model.dtype)).reshape(-1).tolist()
        names = {i: token for token, i in model.generation_config.lang_to_id.items()}
        return [names[i].strip("<|>") for i in found]

    def _texts(self, pieces: Sequence[Samples], language: str | None) -> list[str]:
        """The words of each piece. One at a time goes what the pipeline can't batch (the long form) or hears words in
        the padding of (a recogniser other than Whisper, which pads all to 30 s)."""
        pipe = self._loaded()
        options: dict[str, Any] = {}
        if self._whisper():
            generate: dict[str, Any] = {"num_beams": self.beam}
            if language is not None:
                generate |= {"language": language, "task": "transcribe"}
            options = {"return_timestamps": True, "generate_kwargs": generate}
        if self.chunk:
            options["chunk_length_s"] = self.chunk
        limit = WINDOW_SECONDS * SAMPLE_RATE
        short = [i for i, p in enumerate(pieces) if len(p) <= limit] if self._whisper() else []
        groups = [short] if short else []
        groups += [[i] for i in range(len(pieces)) if i not in short]
        texts = [""] * len(pieces)
        for group in groups:
            inputs = [{"raw": pieces[i], "sampling_rate": SAMPLE_RATE} for i in group]
            size = self.batch if self.chunk else len(group)
            for i, found in zip(group, pipe(inputs, batch_size=size, **options), strict=True):
                texts[i] = str(found["text"])
        return texts


def folder_of(model: str) -> Path | None:
    """The folder that `model` names, when it looks like a path.

    Raises:
        UsageError: it looks like a path but holds no transformers model.
    """
    path = Path(model).expanduser()
    if not (path.is_absolute() or model.startswith((".", "~")) or path.is_dir()):
        return None
    if not (path / "config.json").is_file() or not any(any(path.glob(w)) for w in WEIGHTS):
        raise UsageError(f"{model} holds no transformers model (config.json and *.safetensors).")
    return path


def commit_of(model: str, revision: str | None) -> str:
    """The commit that a hub id and revision mean: of the hub where the network is allowed, else of the local cache.

    "" when neither knows it: then loading fails, too, and says why.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    if not offline():
        try:
            return str(HfApi().model_info(model, revision=revision, timeout=10).sha or "")
        except Exception:  # unreachable, unknown, gated: loading will tell; the cache may still have it
            pass
    held = try_to_load_from_cache(model, "config.json", revision=revision)
    parts = Path(held).parts if isinstance(held, str) else ()
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else ""
