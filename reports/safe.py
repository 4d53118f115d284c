"""Text that came from models and data sets, made fit for pages, tables and spreadsheets.

Nothing is dropped silently: what can't be shown is shown as a mark of itself.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from evalkit.records import JSON

# C0 and C1 controls but tab and line feed, lone surrogates, direction overrides, and the code points that
# no interchange may hold.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
# The same in JSON text, where the encoder has spelled some out. A backslash that stands there for another reason
# ("\\\\rho") only costs time.
_ODD_IN_JSON = re.compile(_ODD.pattern[:-1] + r"]|\\(?:u00[01]|[rbf])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MAX_DEPTH = 40


def _mark(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\u27e8U+{code:04X}\u27e9"


def visible(text: str) -> str:
    """The text with line ends as line feeds and with every control character as a visible mark.

    NUL becomes U+2400 and so on, a lone surrogate U+FFFD, a direction override its code point in brackets.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ODD.sub(_mark, text) if _ODD.search(text) else text


def plain(value: Any, depth: int = 0) -> JSON:
    """A copy that strict JSON can hold: texts made visible, NaN and infinities spelled out."""
    if isinstance(value, str):
        return visible(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth >= _MAX_DEPTH:
        return "\u2026"
    if isinstance(value, Mapping):
        return {visible(str(k)): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, depth + 1) for v in value]
    return visible(str(value))


def _json(value: Any) -> str:
    """Strict JSON with texts made visible. What needs no change, which is nearly everything, is not copied first."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if not _ODD_IN_JSON.search(text):
            return text
    except (TypeError, ValueError, RecursionError):
        pass  # NaN, or no JSON at all
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element or the line."""
    text = _json(value)
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escape)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def guard(text: str) -> str:
    """A text cell for a spreadsheet: one that would start a formula gets a leading apostrophe."""
    shown = visible(text)
    return "'" + shown if text.startswith(_FORMULA) or shown.startswith(_FORMULA) else shown


def as_text(value: JSON) -> str:
    """One string for any value: strings as they are, None as "", several texts one below the other."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, saying how many were cut."""
    return text if len(text) <= limit else f"{text[:limit]}\u2026 [{len(text) - limit} more characters]"


def slug(name: str) -> str:
    """A name that can be a file name and an element id: "voicebench_sd-qa"."""
    return re.sub(r"[^\w.-]+", "_", name.replace("/", "_"), flags=re.ASCII).lstrip(".") or "_"
