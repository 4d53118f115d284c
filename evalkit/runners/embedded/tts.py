"""The mouth of the embedded cascade: a long-lived worker process that speaks (see tts_worker.py)."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evalkit.audio import pcm_wav
from evalkit.errors import RunnerError
from evalkit.records import JSON, Audio
from evalkit.runners.embedded.weights import Weights, need, voice_config, voice_file
from evalkit.runners.worker_process import WorkerDied, WorkerProcess, WorkerRefused

WORKER = Path(__file__).with_name("tts_worker.py")
START_TIMEOUT = 120.0
SPEAK_TIMEOUT = 120.0
DIED = "tts-worker-died"


@dataclass(frozen=True, slots=True)
class Speech:
    """Mono 16-bit PCM, its rate in Hz, and the seconds it took to make."""

    pcm: bytes
    sample_rate: int
    seconds: float

    @property
    def silent(self) -> bool:
        """True when there was nothing to speak."""
        return not self.pcm

    def audio(self) -> Audio:
        """As a wav file in memory; nothing spoken gives a wav of 0 frames."""
        return pcm_wav(self.pcm, self.sample_rate)


class PiperProcess:
    """One worker, started on first use and again after a death; one text at a time, thread-safe."""

    def __init__(self, voice: Path) -> None:
        self._worker = WorkerProcess(
            # -P: do not look for modules beside the script, whose neighbours have common names.
            [sys.executable, "-P", str(WORKER), str(voice), str(voice_config(voice))],
            {"OMP_NUM_THREADS": "1"},
        )

    @property
    def pid(self) -> int | None:
        """Process id of the worker while it is up."""
        return self._worker.pid

    def prepare(self) -> None:
        """Start the worker. Raises RunnerError."""
        try:
            self._worker.start(START_TIMEOUT)
        except WorkerRefused as exc:
            raise RunnerError(DIED, f"the voice can't be loaded: {exc}", fatal=True) from None
        except WorkerDied as exc:
            raise _death(exc) from exc

    def speak(self, text: str) -> Speech:
        """Speak a text.

        Raises:
            RunnerError: the worker died ("tts-worker-died", worth a retry: the next call starts a new one)
                or can't speak this text ("tts-failed").
        """
        with self._worker.lock:
            self.prepare()
            began = time.perf_counter()
            asked: dict[str, JSON] = {"text": text.replace("\x00", " ").encode("utf-8", "replace").decode()}
            try:
                header, pcm = self._worker.ask(asked, b"", SPEAK_TIMEOUT, "while it was speaking")
            except WorkerDied as exc:
                raise _death(exc) from exc
            if "error" in header:
                raise RunnerError(
                    "tts-failed", f"the voice can't speak this answer: {str(header['error'])[:300]}"
                )
            return Speech(pcm, int(header["rate"]), time.perf_counter() - began)

    def close(self) -> None:
        """End the worker; a later call starts a new one."""
        self._worker.stop()


def _death(exc: WorkerDied) -> RunnerError:
    return RunnerError(DIED, f"the voice's process {exc}; the next try starts a new one", retryable=True)


@cache
def _shared(voice: str) -> PiperProcess:
    return PiperProcess(Path(voice))


def embedded_voice(voice: str | None = None) -> tuple[PiperProcess, Weights]:
    """The one worker of this process for this voice, and the voice's weights.

    Raises:
        UsageError: not installed, or not the pinned bytes.
    """
    need("piper", "onnxruntime")
    weights = voice_file(voice)
    return _shared(str(weights.path.resolve())), weights
