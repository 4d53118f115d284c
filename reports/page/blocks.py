"""Data inside a page: JSON as it is where there is little, else compressed; the page's script opens a block when it
needs it and not before.

Compressed means gzip in base64, which `DecompressionStream` of every browser since 2023 reads without any request.
Twenty thousand samples are a fifth of their size then, and a page with them is there before they are unpacked.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reports.safe import script_json

WORTH_PACKING = 150_000
"""Characters of JSON beyond which a block is compressed."""
LEVEL = 4
"""Of gzip: a second for 40 MB; level 9 takes six times as long for a tenth less."""


@dataclass(frozen=True)
class Data:
    """A block as it stands in the page: the element's id, its text, and whether that is compressed."""

    key: str
    text: str
    packed: bool = False

    def pieces(self) -> Iterator[str]:
        """The element. Both kinds of text hold no "<": JSON has it escaped, base64 has none."""
        kind = "text/plain" if self.packed else "application/json"
        yield f'<script type="{kind}" id="{self.key}"{" data-gzip" if self.packed else ""}>'
        yield self.text
        yield "</script>\n"


def block(key: str, value: Any, *, limit: int = WORTH_PACKING) -> Data:
    """A block of any size; its reader is `unpack(id)` in the page, which gives a promise.

    Args:
        key: id of the element; letters, digits, "-", "_" and "." (`safe.slug`).
        limit: characters of JSON up to which it is left readable.
    """
    text = script_json(value)
    if len(text) <= limit:
        return Data(key, text)
    return packed_block(key, text)


def packed_block(key: str, json: str) -> Data:
    """A block of JSON text, compressed. The same text gives the same bytes."""
    raw = json.encode("utf-8")
    return Data(key, base64.b64encode(gzip.compress(raw, LEVEL, mtime=0)).decode("ascii"), packed=True)


def plain_block(key: str, value: Any) -> Data:
    """A block that the page's script may read at once, with `block(id)`."""
    return Data(key, script_json(value))
