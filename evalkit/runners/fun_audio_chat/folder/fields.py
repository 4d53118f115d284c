"""Fields of a JSON file, each read with its type, its default and an error that names file and field."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.records import JSON

MOST = 2**31 - 1
"""Largest whole number taken: sizes and ids are far below."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of a JSON file.

    Attributes:
        path: the file.
        values: the object as it is.
        within: name of the object inside the file, with a trailing "."; "" for the file itself.
    """

    path: Path
    values: Mapping[str, JSON]
    within: str = ""

    def error(self, name: str, trouble: str) -> UsageError:
        """An error about one field."""
        return UsageError(f"{self.path}: {self.within}{name[:100]} {trouble}")

    def integer(self, name: str, default: int | None, least: int) -> int:
        """A whole number from `least` to MOST. Raises UsageError; a default of None means it must be there."""
        value = self.values.get(name)
        if value is None:
            if default is None:
                raise self.error(name, "is missing")
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST:
            raise self.error(name, f"must be a whole number from {least} to {MOST}, not {_shown(value)}")
        return value

    def number(self, name: str, default: float, *, above: float | None = None) -> float:
        """A finite number. Raises UsageError."""
        value = self.values.get(name)
        if value is None:
            return default
        right = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max
        )
        if not right or (above is not None and value <= above):
            limit = "" if above is None else f" above {above:g}"
            raise self.error(name, f"must be a number{limit}, not {_shown(value)}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false. Raises UsageError."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(name, f"must be true or false, not {_shown(value)}")
        return value

    def text(self, name: str, default: str) -> str:
        """A string. Raises UsageError."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(name, f"must be a string, not {_shown(value)}")
        return value

    def choice(self, name: str, default: str | None, known: tuple[str, ...]) -> str:
        """One of a few strings. Raises UsageError."""
        value = self.text(name, "" if default is None else default)
        if value not in known:
            raise self.error(name, f"is {_shown(value)}; supported: {', '.join(known)}")
        return value

    def part(self, name: str) -> Fields:
        """The object under a name. Raises UsageError."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.error(
                name, "is missing" if value is None else f"must be an object, not {_shown(value)}"
            )
        return Fields(self.path, value, f"{self.within}{name}.")


def read_json(path: Path, *, missing_ok: bool = False) -> Fields:
    """The object in a JSON file; an empty one where it may be missing and is.

    Raises:
        UsageError: it is missing, can't be read, is no JSON or no object.
    """
    if missing_ok and not path.exists():
        return Fields(path, {})
    try:
        value = json.loads(path.read_bytes())
    except OSError as exc:
        raise UsageError(f"{path} can't be read: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path} is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise UsageError(f"{path} must hold a JSON object, not {_shown(value)}")
    return Fields(path, value)


def _shown(value: JSON) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # Python writes no number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."
