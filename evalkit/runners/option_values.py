"""Options as the user writes them (`-M name=value`, `-J`, `-L`) made into checked values, for any runner.

Each maker gives a parser (name, value) -> value that raises UsageError with one sentence naming the option.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from evalkit.errors import UsageError
from evalkit.records import JSON

Parse = Callable[[str, Any], Any]

DECODING = ("temperature", "top_p", "max_tokens", "seed")
"""Options that say how a model under test decodes; a judge's decoding belongs to the protocol."""


def decoding_of(options: object) -> dict[str, JSON]:
    """The decoding options that are set, by our names."""
    return {name: value for name in DECODING if (value := getattr(options, name)) is not None}


def check_known(given: Collection[str], known: Collection[str], runner: str) -> None:
    """Raises UsageError that names the options which `runner` does not know, and those it does."""
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(
            f"unknown option {', '.join(unknown)} for {runner}; known: {', '.join(sorted(known))}"
        )


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


def yes_no(name: str, value: Any) -> bool:
    """yes or no; true, false, 1 and 0 are taken, too."""
    word = str(value).strip().lower()
    if word not in ("yes", "no", "true", "false", "1", "0"):
        raise UsageError(f"{name} must be yes or no, not {value!r}")
    return word in ("yes", "true", "1")


def text(name: str, value: Any) -> str:
    """Words, not none."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} must not be empty")
    return value


def json_object(name: str, value: Any, *, example: str, reserved: Collection[str]) -> dict[str, JSON]:
    """Fields to merge into a request: a JSON object, or its text.

    Args:
        example: one that would do, as JSON.
        reserved: fields that the runner itself sets.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as exc:
            raise UsageError(f"{name} is not JSON ({exc}); quote it: -M '{name}={example}'") from None
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be a JSON object such as {example}")
    if taken := [k for k in reserved if k in value]:
        raise UsageError(f"{name} can't set {', '.join(taken)}: the runner does")
    return dict(value)
