"""Options as the user writes them (`-M name=value`, `-J`, `-L`) made into checked values, for any runner.

Each maker gives a parser (name, value) -> value that raises UsageError with one sentence naming the option.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from evalkit.errors import UsageError

Parse = Callable[[str, Any], Any]


def number(lo: float, hi: float, *, open_low: bool = False) -> Callable[[str, Any], float]:
    """A number from `lo` (above it, if `open_low`) to `hi`."""

    def parse(name: str, value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = math.nan
        if not (lo < found <= hi if open_low else lo <= found <= hi):
            raise UsageError(
                f"{name} must be a number {'above' if open_low else 'from'} {lo:g} to {hi:g}, not {value!r}"
            )
        return found

    return parse


def integer(lo: int, hi: int) -> Callable[[str, Any], int]:
    """A whole number from `lo` to `hi`."""

    def parse(name: str, value: Any) -> int:
        try:
            found = int(str(value))
        except ValueError:
            found = lo - 1
        if not lo <= found <= hi:
            raise UsageError(f"{name} must be a whole number from {lo} to {hi}, not {value!r}")
        return found

    return parse


def choice(*allowed: str) -> Callable[[str, Any], str]:
    """One of these words."""

    def parse(name: str, value: Any) -> str:
        if value not in allowed:
            raise UsageError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return str(value)

    return parse


def text(name: str, value: Any) -> str:
    """Words, not none."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} must not be empty")
    return value
