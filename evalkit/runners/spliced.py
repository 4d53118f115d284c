"""Audio in the JSON body of a request, as base64.

`json.dumps` never walks the audio: it sees a short mark in its place, and the base64 bytes are put
where the mark stands.
"""

from __future__ import annotations

import binascii
import json
import secrets
from collections.abc import Sequence

from evalkit.records import JSON

_MARK = f"@audio-{secrets.token_hex(12)}-"


def splice(payload: JSON, audios: Sequence[bytes]) -> bytes:
    """`payload` as JSON, with the i-th audio's base64 in place of ``mark(i)``."""
    rest = json.dumps(payload, separators=(",", ":")).encode()
    parts: list[bytes] = []
    for i, data in enumerate(audios):
        before, _, rest = rest.partition(mark(i).encode())
        parts += (before, binascii.b2a_base64(data, newline=False))
    return b"".join((*parts, rest))


def mark(index: int) -> str:
    """Stands for the base64 of audio `index` in a payload; random, so no text of a sample can hold it."""
    return f"{_MARK}{index}@"
