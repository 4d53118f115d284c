"""What all records are made of: JSON values, their digests, the version of the format."""

from __future__ import annotations

import hashlib
import json
from typing import Any

RECORD_VERSION = 1

JSON = Any
"""A value `json.dumps` can write: None, bool, int, float, str, list or dict of those."""

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def canonical_json(value: JSON) -> str:
    """One spelling per value: sorted keys, no blanks, UTF-8 kept. For digests, not for reading."""
    return _CANONICAL(value)


def digest_of(value: JSON) -> str:
    """sha256 (hex) of the canonical JSON of `value`; lone surrogates are escaped, never an error."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "backslashreplace")).hexdigest()
