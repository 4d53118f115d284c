"""Standard output that a departed reader or a poor terminal can't turn into a failed run."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Forgiving:
    """A stream that goes on into nothing once its reader (head, less) has gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            # Model output may hold what this terminal's encoding has not.
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self.leave()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self.leave()

    def leave(self) -> None:
        """Send all that is still to come into nothing."""
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def forgiving_stdout() -> Iterator[None]:
    """Within, `sys.stdout` is forgiving."""
    held = sys.stdout
    sys.stdout = mine = Forgiving(held)
    try:
        yield
    finally:
        sys.stdout = held
        try:
            held.flush()
        except OSError:  # told already; Python must not stumble over it again on its way out
            mine.leave()
