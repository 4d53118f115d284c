"""Speech ids become sound: a long-lived process that holds CosyVoice3's flow and vocoder (see vocoder_worker.py).

Nothing of torch or CosyVoice is imported here. Source: runner specification, section 10.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import struct
import subprocess
import tempfile
import threading
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON, Audio, digest_of
from evalkit.runners.fun_audio_chat.segments import SAMPLE_RATE, audible, blocks
from evalkit.runners.fun_audio_chat.vocoder_setup import VocoderSetup

WORKER = Path(__file__).with_name("vocoder_worker.py")
START_TIMEOUT = 600.0
"""Seconds to import the checkout and load 1.5 GB of weights, from a slow disk too."""
KIND = "vocoder"
"""Kind of every RunnerError from here."""

Frame = tuple[dict[str, Any], bytes]


def wav(pcm: bytes, rate: int = SAMPLE_RATE) -> Audio:
    """Mono 16-bit PCM as a wav file in memory; no PCM gives a wav of 0 frames."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    data = out.getvalue()
    return Audio(
        data=data,
        format="wav",
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=len(pcm) / 2 / rate,
        sample_rate=rate,
    )


class Vocoder:
    """One worker process, started on first use and again after a death; one answer at a time, thread-safe.

    The same ids give the same audio, whatever was spoken before, on the same device and number of threads.

    Args:
        setup: the checkout, the weights, the speaker, the Python that runs them.
    """

    def __init__(self, setup: VocoderSetup) -> None:
        self.setup = setup
        self.facts: Mapping[str, JSON] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._deaths: set[str] = set()

    @property
    def pid(self) -> int | None:
        """Process id of the worker while it is up."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def identity(self) -> Mapping[str, JSON]:
        """All that decides the sound of given ids: digests of weights, code and speaker."""
        return self.setup.identity()

    def prepare(self) -> None:
        """Start the worker and load the weights.

        Raises:
            UsageError: something is missing or does not fit together; the sentence says what.
            RunnerError: the process died.
        """
        with self._lock:
            try:
                self._running()
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
        with self._lock:
            key = digest_of(kept)
            sizes = [len(b) for b in blocks(kept)]
            body = struct.pack(f"<{len(kept)}i", *kept)
            header = {"op": "speak", "blocks": sizes, "bytes": len(body)}
            process = self._running()
            when = f"while it spoke {len(kept)} tokens"
            told, pcm = self._asked(process, header, body, self.setup.timeout * len(sizes), when, key)
            if "error" in told:
                if told.get("dead"):
                    self._stop()
                again = bool(told.get("again")) and self._first_time(key)
                raise RunnerError(KIND, f"the vocoder failed on {told['error']}", retryable=again)
            self._deaths.discard(key)
            return wav(pcm, int(told["rate"]))

    def close(self) -> None:
        """End the worker; a later call starts a new one."""
        with self._lock:
            self._stop()

    # --- the process ------------------------------------------------------------------------------

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        settings = self.setup
        try:
            process = self._process = subprocess.Popen(
                [settings.python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # The same sums in the same order on every call, where the GPU's libraries offer a choice.
                env={"CUBLAS_WORKSPACE_CONFIG": ":4096:8", **os.environ, "PYTHONIOENCODING": "utf-8"},
            )
        except OSError as exc:
            raise RunnerError(
                KIND, f"python={settings.python} can't be started: {exc.strerror or exc}.", fatal=True
            ) from exc
        header = {
            "op": "load",
            "cosyvoice": str(settings.cosyvoice),
            "weights": str(settings.weights),
            "speaker": str(settings.speaker.path),
            "voice": settings.speaker.voice,
            "device": settings.device,
        }
        told, _ = self._asked(process, header, b"", START_TIMEOUT, "while it was starting", "start")
        if "error" in told:
            self._stop()
            raise RunnerError(KIND, f"the vocoder can't be loaded: {told['error']}", fatal=True)
        self._deaths.discard("start")
        self.facts = {k: told[k] for k in ("device", "torch") if k in told}
        return process

    def _asked(
        self,
        process: subprocess.Popen[bytes],
        header: Mapping[str, JSON],
        body: bytes,
        timeout: float,
        when: str,
        key: str,
    ) -> Frame:
        """Send one frame and read the answer; a worker that takes too long is killed, which ends the reading."""
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        watchdog = threading.Timer(timeout, end)
        watchdog.daemon = True
        watchdog.start()
        try:
            head = json.dumps(header).encode()
            process.stdin.write(struct.pack(">I", len(head)) + head + body)
            process.stdin.flush()
            return _frame(process.stdout)
        except (OSError, ValueError, struct.error) as exc:
            if late.is_set():
                when += f", after {timeout:g} s without an answer (timeout)"
            raise self._died(when, key) from exc
        finally:
            watchdog.cancel()

    def _first_time(self, key: str) -> bool:
        """Is this the first failure of its kind on `key`? Then it is worth another try."""
        first = key not in self._deaths
        self._deaths.add(key)
        return first

    def _died(self, when: str, key: str) -> RunnerError:
        """Clear up after a worker that is no use any more, and say what is known of its end."""
        process, errors = self._process, self._errors
        status, last = "unknown", ""
        if process is not None:
            process.kill()
            status = str(process.wait())
        if errors is not None:
            size = errors.seek(0, os.SEEK_END)
            errors.seek(max(0, size - 2000))
            lines = errors.read().decode("utf-8", "replace").strip().splitlines()
            last = f"; its last words: {lines[-1][:200]}" if lines else ""
        self._stop()
        again = self._first_time(key)
        then = "the next try starts a new one" if again else "it died so before, and is not tried again"
        message = f"the vocoder's process died {when} (exit status {status}{last}); {then}"
        return RunnerError(KIND, message, retryable=again, fatal=key == "start" and not again)

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


def _frame(stream: IO[bytes]) -> Frame:
    """Read one frame whole. Raises ValueError when the stream ends before."""
    head = stream.read(struct.unpack(">I", _whole(stream, 4))[0])
    header = json.loads(head)
    if not isinstance(header, dict):
        raise ValueError("a header that is no object")
    return header, _whole(stream, int(header.get("bytes", 0)))


def _whole(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) != size:
        raise ValueError("the stream ended")
    return data
