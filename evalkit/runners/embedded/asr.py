"""The ears of the embedded cascade: Whisper tiny.en, int8, on one thread; also an engine for `--asr`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from evalkit.records import Audio, Transcript
from evalkit.runners.asr.faster_whisper import FasterWhisper
from evalkit.runners.embedded.weights import asr_folder, need

COMPUTE_TYPE = "int8"
BEAM = 5


@cache
def _shared(folder: str, sha256: str) -> FasterWhisper:
    label = "tiny.en" if folder == "" else "custom"
    return FasterWhisper(
        model=folder or str(asr_folder().path),
        label=label,
        device="cpu",
        compute_type=COMPUTE_TYPE,
        beam=BEAM,
        threads=1,
        pin=sha256[:8],
        english_only=True,
    )


def embedded_asr(asr_model: str | None = None) -> FasterWhisper:
    """The one instance of this process, shared by the model under test and `--asr embedded`.

    Args:
        asr_model: folder of other English CTranslate2 weights; None for the packaged tiny.en.

    Raises:
        UsageError: not installed, or not the pinned bytes.
    """
    need("faster_whisper")
    weights = asr_folder(asr_model)
    return _shared(str(weights.path) if asr_model else "", weights.sha256)


class EmbeddedAsr:
    """`Transcriber` over the shared tiny.en; signature "faster-whisper/tiny.en@1a5afae0:int8,beam=5,en".

    A task in another language gets transcripts with an error, never English guesses.
    """

    def __init__(self, asr_model: str | None = None) -> None:
        self._engine = embedded_asr(asr_model)

    @property
    def signature(self) -> str:
        return self._engine.signature

    def prepare(self) -> None:
        """Load the weights. Raises UsageError."""
        self._engine.prepare()

    def transcribe(self, audios: Sequence[Audio], language: str | None) -> list[Transcript]:
        """See `evalkit.interfaces.Transcriber`."""
        return self._engine.transcribe(audios, language)
