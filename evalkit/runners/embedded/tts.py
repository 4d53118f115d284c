"""The mouth of the embedded cascade: a long-lived worker process that speaks (see tts_worker.py)."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from evalkit.errors import RunnerError
from evalkit.records import Audio
from evalkit.runners.embedded.weights import Weights, need, voice_config, voice_file

WORKER = Path(__file__).with_name("tts_worker.py")
START_TIMEOUT = 120.0
SPEAK_TIMEOUT = 120.0


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
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate)
            file.writeframes(self.pcm)
        data = out.getvalue()
        return Audio(
            data=data,
            format="wav",
            sha256=hashlib.sha256(data).hexdigest(),
            seconds=len(self.pcm) / 2 / self.sample_rate,
            sample_rate=self.sample_rate,
        )


class PiperProcess:
    """One worker, started on first use and again after a death; one text at a time, thread-safe."""

    def __init__(self, voice: Path) -> None:
        self._voice = voice
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the worker while it is up."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def prepare(self) -> None:
        """Start the worker. Raises RunnerError."""
        with self._lock:
            self._running()

    def speak(self, text: str) -> Speech:
        """Speak a text.

        Raises:
            RunnerError: the worker died ("tts-worker-died", worth a retry: the next call starts a new one)
                or can't speak this text ("tts-failed").
        """
        with self._lock:
            process, began = self._running(), time.perf_counter()
            assert process.stdin is not None
            line = json.dumps({"text": text.replace("\x00", " ").encode("utf-8", "replace").decode()})
            try:
                process.stdin.write(line.encode() + b"\n")
                process.stdin.flush()
            except OSError as exc:
                raise self._died("while it was asked to speak") from exc
            header, pcm = self._answer(process, SPEAK_TIMEOUT, "while it was speaking")
            if "error" in header:
                raise RunnerError(
                    "tts-failed", f"the voice can't speak this answer: {str(header['error'])[:300]}"
                )
            return Speech(pcm, int(header["rate"]), time.perf_counter() - began)

    def close(self) -> None:
        """End the worker; a later call starts a new one."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            # -P: do not look for modules beside the script, whose neighbours have common names.
            [sys.executable, "-P", str(WORKER), str(self._voice), str(voice_config(self._voice))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        header, _ = self._answer(self._process, START_TIMEOUT, "while it was starting")
        if "error" in header:
            self._stop()
            raise RunnerError("tts-worker-died", f"the voice can't be loaded: {header['error']}", fatal=True)
        return self._process

    def _answer(
        self, process: subprocess.Popen[bytes], timeout: float, when: str
    ) -> tuple[dict[str, Any], bytes]:
        """Read one header and its bytes; a worker that takes too long is killed, which ends the reading."""
        assert process.stdout is not None
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            header = json.loads(process.stdout.readline())
            wanted = int(header.get("bytes", 0))
            pcm = process.stdout.read(wanted) if wanted else b""
        except (OSError, ValueError, AttributeError) as exc:
            raise self._died(when) from exc
        finally:
            watchdog.cancel()
        if len(pcm) != wanted:
            raise self._died(when)
        return header, pcm

    def _died(self, when: str) -> RunnerError:
        """Clear up after a worker that is no use any more, and say what is known of its end."""
        process, errors = self._process, self._errors
        status, last = "unknown", ""
        if process is not None:
            process.kill()
            status = str(process.wait())
        if errors is not None:
            errors.seek(0)
            lines = errors.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
            last = f"; its last words: {lines[-1][:200]}" if lines else ""
        self._stop()
        message = (
            f"the voice's process died {when} (exit status {status}{last}); the next try starts a new one"
        )
        return RunnerError("tts-worker-died", message, retryable=True)

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._errors is not None:
            self._errors.close()
            self._errors = None


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
