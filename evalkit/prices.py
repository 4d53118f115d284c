"""What models that judge cost: the price table that ships with evalkit, and the user's own over it.

`evalkit/data/prices.yaml` and `prices.yaml` in the configuration folder: USD per million tokens by model name
(or a glob of names). An entry of the user's takes the place of ours of the same name. ``-J price_in=...`` wins
over both. Floor 2.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from evalkit.config import config_dir
from evalkit.errors import UsageError
from evalkit.records import JSON
from evalkit.usage import Tokens

MILLION = 1_000_000
MOST = 1e9
"""No price is higher; with more, sums over large runs would leave what JSON can hold."""
AUDIO_RATE = 25.0
"""Tokens per second of audio where the table doesn't say."""

NUMBERS = ("input", "cached_input", "output", "audio_input", "audio_output", "audio_tokens_per_second")
WORDS = ("as_of", "source")
OPTIONS = {
    "price_in": "input",
    "price_cached_in": "cached_input",
    "price_out": "output",
    "price_audio_in": "audio_input",
    "price_audio_out": "audio_output",
}
"""Options of a role (``-J``, ``-L``) that give its model's price, and what they stand for."""

_DATED = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{2}-\d{2}|\d{3})$")
"""End of a snapshot's name: gpt-4o-mini-2024-07-18, gemini-2.5-pro-preview-05-06, gemini-2.0-flash-001."""
_STAGE = re.compile(r"-(latest|preview|exp)$")


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in USD per million tokens.

    Attributes:
        cached_input, audio_input, audio_output: None: as `input` or `output`.
        audio_tokens_per_second: what a second of audio counts as, for estimates.
        as_of: the day the price was looked up ("2025-06-01").
        source: where it is from, in words.
    """

    input: float
    output: float
    cached_input: float | None = None
    audio_input: float | None = None
    audio_output: float | None = None
    audio_tokens_per_second: float | None = None
    as_of: str = ""
    source: str = ""

    def usd(self, tokens: Tokens) -> float:
        """The money these tokens cost. Parts that overlap (cached audio) are billed as audio."""
        heard, spoken = min(tokens.audio_input, tokens.input), min(tokens.audio_output, tokens.output)
        known = min(tokens.cached, tokens.input - heard)
        total = (
            (tokens.input - heard - known) * self.input
            + known * _or(self.cached_input, self.input)
            + heard * _or(self.audio_input, self.input)
            + (tokens.output - spoken) * self.output
            + spoken * _or(self.audio_output, self.output)
        )
        return total / MILLION

    @property
    def audio_rate(self) -> float:
        """Tokens per second of audio."""
        return _or(self.audio_tokens_per_second, AUDIO_RATE)

    def to_json(self) -> dict[str, JSON]:
        return {k: v for k in (*NUMBERS, *WORDS) if (v := getattr(self, k)) not in (None, "")}


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value


def audio_rate(price: Price | None) -> float:
    """Tokens per second of audio of a model, priced or not."""
    return price.audio_rate if price is not None else AUDIO_RATE


@dataclass(frozen=True)
class PriceTable:
    """Prices by model name or glob.

    Attributes:
        mine: entries of the user's own file.
        sha256: over the bytes of the files read.
        file: the user's own file, whether it is there or not.
    """

    ours: Mapping[str, Price]
    mine: Mapping[str, Price] = field(default_factory=dict)
    sha256: str = ""
    file: Path = Path("prices.yaml")

    def of(self, model: str) -> Price | None:
        """The price of a model: under its name, its name without a date, or the longest glob that fits."""
        names = list(_names(model.lower()))
        for table in (self.mine, self.ours):
            known = {k.lower(): v for k, v in table.items()}
            for name in names:
                if name in known:
                    return known[name]
            globs = sorted((k for k in known if _is_glob(k)), key=len, reverse=True)
            for name in names:
                if (hit := next((g for g in globs if fnmatchcase(name, g)), None)) is not None:
                    return known[hit]
        return None


def _is_glob(name: str) -> bool:
    return any(c in name for c in "*?[")


def _names(model: str) -> list[str]:
    """The name as given, then shorn of a date, of a stage of release, and of both."""
    out = [model]
    for _ in range(3):
        shorn = _STAGE.sub("", _DATED.sub("", out[-1], 1), 1)
        if shorn == out[-1] or not shorn:
            break
        out.append(shorn)
    return out


def given_price(options: Mapping[str, str], flag: str, table: Price | None) -> Price | None:
    """The price that options of a role give, over the table's; None when they give none.

    Raises:
        UsageError: no number, or a price of the input without one of the output.
    """
    given: dict[str, Any] = {}
    for option, name in OPTIONS.items():
        if option in options:
            given[name] = _number(options[option], f"{flag} {option}")
    if not given:
        return None
    base: dict[str, Any] = table.to_json() if table is not None else {}
    if lacking := [o for o in ("price_in", "price_out") if OPTIONS[o] not in base | given]:
        raise UsageError(
            f"{flag} {lacking[0]} is missing: a price is {flag} price_in=USD and {flag} price_out=USD, "
            "per million tokens."
        )
    if "input" in given and "cached_input" not in given:
        base.pop("cached_input", None)  # the table's would be of another price
    return Price(**(base | given | {"as_of": "", "source": f"given with {flag}"}))


def _number(value: Any, what: str) -> float:
    """A price. Raises UsageError."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= MOST:
        raise UsageError(
            f"{what} is a price in USD per million tokens, from 0 to {MOST:,.0f}, not {_told(value)}."
        )
    return number


def _told(value: Any) -> str:
    try:
        return repr(str(value)[:40])
    except ValueError:  # Python writes no number of more than some thousand digits
        return "that"


def load_prices() -> PriceTable:
    """Our table with the user's over it. Raises UsageError for a file that can't be read as one."""
    ours, data = _packaged()
    path = config_dir() / "prices.yaml"
    try:
        own = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return PriceTable(ours, {}, hashlib.sha256(data).hexdigest(), path)
    except OSError as exc:
        raise UsageError(f"the prices in {path} can't be read: {exc.strerror or exc}.") from exc
    mine = _entries(own, str(path))
    return PriceTable(ours, mine, hashlib.sha256(data + b"\0" + own).hexdigest(), path)


@cache
def _packaged() -> tuple[Mapping[str, Price], bytes]:
    data = resources.files("evalkit").joinpath("data", "prices.yaml").read_bytes()
    return _entries(data, "evalkit/data/prices.yaml"), data


def _entries(data: bytes, where: str) -> dict[str, Price]:
    """The entries of a price file. Raises UsageError that names the file and the entry."""
    import yaml

    try:
        found = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        why = " ".join(str(exc).split())[:200]
        raise UsageError(
            f"the prices in {where} are no YAML ({why}). Mend the file, or move it away."
        ) from exc
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"the prices in {where} are no mapping. Write `MODEL: {{input: 1, output: 2}}`.")
    return {str(name): _entry(str(name), entry, where) for name, entry in found.items()}


def _entry(name: str, entry: Any, where: str) -> Price:
    what = f"the price of {name!r} in {where}"
    if not isinstance(entry, dict):
        raise UsageError(f"{what} is no mapping. Write {{input: 1, output: 2}}, in USD per million tokens.")
    if unknown := [str(k) for k in entry if k not in (*NUMBERS, *WORDS)]:
        raise UsageError(f"{what} has a field {unknown[0]!r}; known: {', '.join((*NUMBERS, *WORDS))}.")
    if lacking := [k for k in ("input", "output") if entry.get(k) is None]:
        raise UsageError(f"{what} lacks {lacking[0]!r}: USD per million tokens, 0 for what costs nothing.")
    numbers = {k: _number(entry[k], f"{what}: {k}") for k in NUMBERS if entry.get(k) is not None}
    words = {k: str(entry[k]) for k in WORDS if entry.get(k) is not None}
    return Price(**numbers, **words)  # type: ignore[arg-type]


def money(usd: float) -> str:
    """A sum of money: cents, and of less than a cent what is left of it."""
    if usd == 0 or usd >= 0.00995:
        return f"${usd:,.2f}"
    return f"${usd:.4f}" if usd >= 0.00005 else "less than $0.0001"
