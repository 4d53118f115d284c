"""Ctrl-C and SIGTERM: the first asks to stop, the second stops at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def listen(stop: Callable[[], None]) -> None:
    """Call `stop` in the running loop at the first signal; leave the process at the second.

    Everything finished is on disk by then: lines are appended whole, and nothing is buffered.
    """
    import asyncio

    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        stop()
        loop.remove_signal_handler(number)
        for n in NUMBERS:
            signal.signal(n, _at_once)

    for number in NUMBERS:
        try:
            loop.add_signal_handler(number, first, number)
        except (NotImplementedError, RuntimeError, ValueError):  # other threads, other platforms
            return


def _at_once(number: int, frame: Any) -> None:
    # A worker thread may be deep in a model for minutes yet; only leaving without it is quick.
    print("interrupted twice: left at once; run the same command to go on.", file=sys.stderr, flush=True)
    os._exit(130)


def raise_interrupt(number: int, frame: Any) -> None:
    """A handler that makes SIGTERM what Ctrl-C is."""
    raise KeyboardInterrupt


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of both signals back afterwards; an event loop leaves the defaults behind."""
    held = {n: signal.getsignal(n) for n in NUMBERS}
    try:
        yield
    finally:
        for number, handler in held.items():
            with suppress(ValueError, TypeError):  # not the main thread; a handler set from C
                signal.signal(number, handler)
