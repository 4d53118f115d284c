"""A model in a process of its own, for any runner: started on first use, asked in turn, cleared up when it is no use.

What one frame is, both ways: a line of JSON, an object (the header), then the `bytes` bytes that the header announces.
The worker's first frame says that it is ready, or {"error": "..."} that it can't be and why. It ends when its standard
input does; it has its standard error for itself, of which the last line is told when it dies.

The worker's own file imports nothing of evalkit, and may run under another Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

from evalkit.records import JSON

Frame = tuple[dict[str, Any], bytes]


class WorkerDied(Exception):
    """The process ended or took too long, and was cleared up. Reads on after its name: "died while ... (exit ...)"."""


class WorkerRefused(Exception):
    """The process can't do its work at all, and was cleared up; its own words."""


class WorkerProcess:
    """One worker; a start after a death is a new one. Thread-safe; hold `lock` around calls that belong together.

    Args:
        command: the program and its arguments.
        env: what is set in its environment, beside and over what this process has.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.lock = threading.RLock()
        self._command, self._env = list(command), dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the worker while it is up; waits for nobody."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self, timeout: float, opening: Mapping[str, JSON] | None = None) -> dict[str, Any] | None:
        """Start it, unless it is up.

        Args:
            timeout: s until it has to be ready.
            opening: the header of a first frame, for a worker that is told what to load.

        Returns:
            What it says of itself; None where it was up already.

        Raises:
            OSError: the program can't be run.
            WorkerRefused: it says that it can't do its work.
            WorkerDied: it ended, or was not ready in time.
        """
        with self.lock:
            if self.pid is not None:
                return None
            self.stop()
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **self._env},
            )
            told, _ = self._exchange(opening, b"", timeout, "while it was starting")
            if "error" in told:
                self.stop()
                raise WorkerRefused(str(told["error"]))
            return told

    def ask(self, header: Mapping[str, JSON], body: bytes, timeout: float, when: str) -> Frame:
        """Send a frame to a worker that was started, and read its answer.

        Args:
            header: without `bytes`.
            timeout: s until the whole answer has to be there; else the process is killed.
            when: what a death is told with: "while it ...".

        Raises:
            WorkerDied: it ended before it had answered, or took too long.
        """
        with self.lock:
            return self._exchange(header, body, timeout, when)

    def stop(self) -> None:
        """End it, by force where it takes more than 5 s. Nothing to do where there is none."""
        with self.lock:
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

    def _exchange(self, header: Mapping[str, JSON] | None, body: bytes, timeout: float, when: str) -> Frame:
        """A worker that takes too long is killed, which ends the reading. No header: only read."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerDied(f"died {when} (it was not started)")
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        watchdog = threading.Timer(timeout, end)
        watchdog.daemon = True
        watchdog.start()
        try:
            if header is not None:
                sized = {**header, "bytes": len(body)} if body else header
                process.stdin.write(json.dumps(sized).encode() + b"\n" + body)
                process.stdin.flush()
            return _frame(process.stdout)
        except (OSError, ValueError, TypeError) as exc:
            if late.is_set():
                when += f", after {timeout:g} s without an answer (timeout)"
            raise self._dead(process, when) from exc
        except BaseException:  # Ctrl-C: the rest of this answer must not be read as the next one
            process.kill()
            self.stop()
            raise
        finally:
            watchdog.cancel()

    def _dead(self, process: subprocess.Popen[bytes], when: str) -> WorkerDied:
        """Clear up, and say what is known of its end."""
        process.kill()
        status, last = process.wait(), ""
        if self._errors is not None:
            size = self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, size - 2000))
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            last = f"; its last words: {lines[-1][:200]}" if lines else ""
        self.stop()
        return WorkerDied(f"died {when} (exit status {status}{last})")


def _frame(stream: IO[bytes]) -> Frame:
    """Read one frame whole. Raises ValueError when it is none, or the stream ends before."""
    header = json.loads(stream.readline())
    if not isinstance(header, dict):
        raise ValueError("a header that is no object")
    wanted = int(header.get("bytes", 0))
    body = stream.read(wanted) if wanted else b""
    if len(body) != wanted:
        raise ValueError("the stream ended")
    return header, body
