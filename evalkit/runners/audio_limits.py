"""What audio an endpoint takes: how long, how large, in which formats. Checked, told, never mended in silence.

The check is on the audio as it will be sent. What is beyond a limit is not sent at all: nothing is cut, and a
conversion is a matter of record (`SentAudio.converted`). The remedy is the user's: `max_audio_seconds`,
`max_audio_mb`, `audio_formats` in the options of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from evalkit.errors import RunnerError, UsageError
from evalkit.runners.option_values import Parse, number

KNOWN_FORMATS = ("wav", "mp3", "flac", "ogg", "aiff", "aac")
MEGABYTE = 1024 * 1024
UNLIMITED = ("none", "any")
"""What a user writes to lift a limit that a model has by default."""


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """Limits of one endpoint; None: none.

    Attributes:
        max_seconds: duration of one piece of audio, in s.
        max_bytes: size of one piece of encoded audio, and of the whole body of a request, in bytes.
        formats: containers it takes, as `Audio.format` names them.
    """

    max_seconds: float | None = None
    max_bytes: int | None = None
    formats: tuple[str, ...] | None = None

    def takes(self, fmt: str | None) -> bool:
        """May audio in this container be sent as it is?"""
        return self.formats is None or fmt in self.formats

    def check(self, whose: str, *, fmt: str | None, seconds: float | None, size: int) -> None:
        """Check one piece of audio as it will be sent.

        Args:
            whose: begins the sentence: "sample q1", "the judge's request".
            fmt, seconds, size: container, duration in s (None when unknown) and bytes, as they will be sent.

        Raises:
            RunnerError: "audio-format", "audio-too-long" or "audio-too-large"; not worth a retry.
        """
        if not self.takes(fmt):
            assert self.formats is not None
            raise RunnerError(
                "audio-format",
                f"{whose}: the audio is {fmt or 'in an unknown container'}, the model takes "
                f"{', '.join(self.formats)}: convert the data, or set audio_formats if it takes more; "
                "nothing was sent",
                unsent=True,
            )
        if self.max_seconds is not None and seconds is not None and seconds > self.max_seconds:
            raise RunnerError(
                "audio-too-long",
                f"{whose}: the audio lasts {seconds:.2f} s, the limit is {self.max_seconds:g} s: raise "
                "max_audio_seconds if the model takes more, or bind a model that does; nothing was sent or cut",
                unsent=True,
            )
        self._fits(f"{whose}: the audio", size)

    def check_request(self, whose: str, size: int) -> None:
        """Check the body of a whole request, in bytes. Raises RunnerError of kind "audio-too-large"."""
        self._fits(f"{whose}: the request with its audio", size)

    def _fits(self, what: str, size: int) -> None:
        if self.max_bytes is not None and size > self.max_bytes:
            raise RunnerError(
                "audio-too-large",
                f"{what} has {_mb(size)} MB, the limit is {_mb(self.max_bytes)} MB: raise max_audio_mb "
                "if the model takes more, or send a smaller format; nothing was sent or cut",
                unsent=True,
            )


def _mb(size: int) -> str:
    """MB with as many digits as tell two sizes on both sides of a limit apart."""
    return f"{size / MEGABYTE:.6g}"


def _or_none(parse: Parse) -> Parse:
    def either(name: str, value: Any) -> Any:
        return None if value is None or str(value).strip().lower() in UNLIMITED else parse(name, value)

    return either


def _bytes(name: str, value: Any) -> int:
    return int(number(0, 1_000_000, open_low=True)(name, value) * MEGABYTE)


def _formats(name: str, value: Any) -> tuple[str, ...]:
    words = value.replace("+", ",").split(",") if isinstance(value, str) else list(value)
    found = tuple(dict.fromkeys(str(w).strip().lower().lstrip(".") for w in words if str(w).strip()))
    if not found or not set(found) <= set(KNOWN_FORMATS):
        raise UsageError(f"{name} lists some of {', '.join(KNOWN_FORMATS)} (e.g. wav,mp3), not {value!r}")
    return found


LIMIT_PARSERS: Mapping[str, Parse] = {
    "max_audio_seconds": _or_none(number(0, 86_400, open_low=True)),
    "max_audio_mb": _or_none(_bytes),
    "audio_formats": _or_none(_formats),
}
"""Parsers by option; "none" lifts a limit. `max_audio_mb` becomes bytes."""

_FIELDS = {"max_audio_seconds": "max_seconds", "max_audio_mb": "max_bytes", "audio_formats": "formats"}


def limits_of(given: Mapping[str, Any], default: AudioLimits | None = None) -> AudioLimits:
    """The default limits with the user's options on top; other names in `given` are left alone.

    Args:
        given: options as strings, or as they are when called from Python.

    Raises:
        UsageError: an option that can't be.
    """
    wished = {
        _FIELDS[name]: LIMIT_PARSERS[name](name, value) for name, value in given.items() if name in _FIELDS
    }
    return replace(default or AudioLimits(), **wished)
