"""What vLLM and its processes print: sent on to stderr, never to stdout, and its last lines kept for error messages."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

KEPT = 2000
"""Lines kept; a failed start prints several tracebacks, of which the first says why."""
MOST = 160
"""Characters of a cause, roughly."""
DRAIN_SECONDS = 5.0
_DRAINED = b"\0evalkit has read all of this\0"
_ERROR = re.compile(r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|OutOfMemory)): (.+)")
_EMPTY = re.compile(r"initialization failed|See (?:stack trace|root cause)|background process", re.IGNORECASE)
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|no available memory|less than desired GPU memory|"
    r"KV cache.{0,80}(?:larger|needed|not enough)|larger than the.{0,60}KV cache|Cannot allocate memory|"
    r"Not enough (?:available )?memory|insufficient memory",
    re.IGNORECASE,
)


class Chatter:
    """Lines printed by processes that were started within `captured`, for as long as they live."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._drained = threading.Event()

    @contextmanager
    def captured(self) -> Iterator[None]:
        """Within, all that is printed goes to stderr; processes started within keep to that.

        Where the file descriptors can't be moved (none are open), nothing happens.
        """
        self._drained.clear()
        try:
            saved = os.dup(1), os.dup(2)
            read, write = os.pipe()
        except OSError:
            yield
            return
        reader = threading.Thread(
            target=self._pass_on, args=(read, os.dup(saved[1])), name="vllm-chatter", daemon=True
        )
        reader.start()
        _flush()
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.close(write)
        try:
            yield
        finally:
            _flush()
            with suppress(OSError):
                os.write(1, _DRAINED)
                self._drained.wait(DRAIN_SECONDS)  # so that `cause` knows all that was said
            for kept, number in zip(saved, (1, 2), strict=True):
                os.dup2(kept, number)
                os.close(kept)

    def _pass_on(self, source: int, target: int) -> None:
        rest = b""
        with suppress(OSError):
            while piece := os.read(source, 65536):
                if drained := _DRAINED in rest + piece:
                    piece = piece.replace(_DRAINED, b"")
                with suppress(OSError):  # a reader of stderr that went away is no reason to block vLLM
                    os.write(target, piece)
                *lines, rest = (rest + piece).split(b"\n")
                self._lines.extend(line.decode("utf-8", "replace") for line in lines)
                if drained:
                    self._drained.set()
        for number in (source, target):
            with suppress(OSError):
                os.close(number)

    def cause(self) -> str:
        """The first error with something to say among the lines kept; "" when there is none."""
        told = [m for line in list(self._lines) if (m := _ERROR.search(line)) and not _EMPTY.search(line)]
        short = next((m for m in told if _MEMORY.search(m[0])), told[0] if told else None)
        return _shortened(" ".join(short[0].split())) if short else ""


def _shortened(message: str) -> str:
    """The first sentence or two of an error message: vLLM's go on with advice on its own flags."""
    if len(message) <= MOST:
        return message
    end = message.rfind(". ", 0, MOST)
    return message[: end if end > 20 else MOST]


def is_memory(text: str) -> bool:
    """Does an error message speak of memory that was not enough?"""
    return _MEMORY.search(text) is not None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
