"""Speech ids become sound: a long-lived process that holds CosyVoice3's flow and vocoder (see vocoder_worker.py).

Nothing of torch or CosyVoice is imported here. Source: runner specification, section 10.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.audio import pcm_wav
from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON, Audio, digest_of
from evalkit.runners.fun_audio_chat.speech.segments import audible, blocks
from evalkit.runners.fun_audio_chat.speech.vocoder_setup import VocoderSetup
from evalkit.runners.worker_process import WorkerDied, WorkerProcess, WorkerRefused

WORKER = Path(__file__).with_name("vocoder_worker.py")
START_TIMEOUT = 600.0
"""Seconds to import the checkout and load 1.5 GB of weights, from a slow disk too."""
KIND = "vocoder"
"""Kind of every RunnerError from here."""


class Vocoder:
    """One worker process, started on first use and again after a death; one answer at a time, thread-safe.

    The same ids give the same audio, whatever was spoken before, on the same device and number of threads.

    Args:
        setup: the checkout, the weights, the speaker, the Python that runs them.
    """

    def __init__(self, setup: VocoderSetup) -> None:
        self.setup = setup
        self.facts: Mapping[str, JSON] = {}
        self._deaths: set[str] = set()
        self._worker = WorkerProcess(
            [setup.python, str(WORKER)],
            # The same sums in the same order on every call, where the GPU's libraries offer a choice.
            {
                "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
                "PYTHONIOENCODING": "utf-8",
            },
        )

    @property
    def pid(self) -> int | None:
        """Process id of the worker while it is up."""
        return self._worker.pid

    def identity(self) -> Mapping[str, JSON]:
        """All that decides the sound of given ids: digests of weights, code and speaker."""
        return self.setup.identity()

    def prepare(self) -> None:
        """Start the worker and load the weights.

        Raises:
            UsageError: something is missing or does not fit together; the sentence says what.
            RunnerError: the process died.
        """
        try:
            self._start()
        except RunnerError as error:
            raise UsageError(error.message) if error.fatal else error from None

    def speak(self, ids: Sequence[int]) -> Audio | None:
        """The sound of speech ids; ids that are no sound (bos, eos, pad) are left out.

        Args:
            ids: speech ids as generated, at most about half an hour of them (25 a second).

        Returns:
            A wav in memory, mono, 24 kHz, 960 samples per audible id; None where no id is audible.

        Raises:
            RunnerError: kind "vocoder". Retryable when the process died or ran out of memory for the first time on
                these ids (the next call starts a new process); fatal when it can't be started at all.
        """
        kept = audible(ids)
        if not kept:
            return None
        key = digest_of(kept)
        sizes = [len(b) for b in blocks(kept)]
        with self._worker.lock:
            self._start()
            try:
                told, pcm = self._worker.ask(
                    {"op": "speak", "blocks": sizes},
                    struct.pack(f"<{len(kept)}i", *kept),
                    self.setup.timeout * len(sizes),
                    f"while it spoke {len(kept)} tokens",
                )
            except WorkerDied as exc:
                raise self._death(exc, key) from exc
            if "error" in told:
                if told.get("dead"):
                    self._worker.stop()
                again = bool(told.get("again")) and self._first_time(key)
                raise RunnerError(KIND, f"the vocoder failed on {told['error']}", retryable=again)
            self._deaths.discard(key)
            return pcm_wav(pcm, int(told["rate"]))

    def close(self) -> None:
        """End the worker; a later call starts a new one."""
        self._worker.stop()

    def _start(self) -> None:
        """Start the worker, unless it is up. Raises RunnerError."""
        settings = self.setup
        opening: dict[str, JSON] = {
            "op": "load",
            "cosyvoice": str(settings.cosyvoice),
            "weights": str(settings.weights),
            "speaker": str(settings.speaker.path),
            "voice": settings.speaker.voice,
            "device": settings.device,
        }
        with self._worker.lock:
            try:
                told = self._worker.start(START_TIMEOUT, opening)
            except OSError as exc:
                raise RunnerError(
                    KIND, f"python={settings.python} can't be started: {exc.strerror or exc}.", fatal=True
                ) from exc
            except WorkerRefused as exc:
                raise RunnerError(KIND, f"the vocoder can't be loaded: {exc}", fatal=True) from None
            except WorkerDied as exc:
                raise self._death(exc, "start") from exc
            if told is not None:
                self._deaths.discard("start")
                self.facts = {k: told[k] for k in ("device", "torch") if k in told}

    def _first_time(self, key: str) -> bool:
        """Is this the first failure of its kind on `key`? Then it is worth another try."""
        first = key not in self._deaths
        self._deaths.add(key)
        return first

    def _death(self, exc: WorkerDied, key: str) -> RunnerError:
        again = self._first_time(key)
        then = "the next try starts a new one" if again else "it died so before, and is not tried again"
        message = f"the vocoder's process {exc}; {then}"
        return RunnerError(KIND, message, retryable=again, fatal=key == "start" and not again)
