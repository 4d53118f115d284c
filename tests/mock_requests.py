"""What a request to the mock endpoint holds: its texts, its audio, and a summary for the log; sound for its replies.
Pure functions."""

from __future__ import annotations

import array
import base64
import hashlib
import math
import struct
from typing import Any

JSON = Any


def tone_wav(seconds: float, rate: int = 16_000, hz: float = 440.0) -> bytes:
    """A 16-bit mono wav of a sine tone."""
    frames = array.array(
        "h", (int(12_000 * math.sin(2 * math.pi * hz * i / rate)) for i in range(int(seconds * rate)))
    )
    data = frames.tobytes()
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    head = (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE")
        + fmt
        + struct.pack("<4sI", b"data", len(data))
    )
    return head + data


def wav_seconds(encoded: str) -> float | None:
    """Duration of a base64 wav, from the chunks at its start; None when it is no wav."""
    head = base64.b64decode(encoded[:4096])
    if head[:4] != b"RIFF":
        return None
    pos, byte_rate = 12, 0
    while pos + 8 <= len(head):
        tag, size = struct.unpack_from("<4sI", head, pos)
        if tag == b"fmt ":
            byte_rate = struct.unpack_from("<I", head, pos + 16)[0]
        elif tag == b"data":
            return float(size / byte_rate) if byte_rate else None
        pos += 8 + size + (size & 1)
    return None


def parts_of(request: dict[str, JSON]) -> tuple[list[str], list[str]]:
    """Texts and base64 audios of all messages, in order."""
    texts: list[str] = []
    audios: list[str] = []
    for message in request.get("messages", []):
        content = message.get("content")
        parts: list[JSON] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        for part in parts:
            if part["type"] == "text":
                texts.append(part["text"])
            elif part["type"] == "input_audio":
                audios.append(part["input_audio"]["data"])
            elif part["type"] == "audio_url":
                audios.append(part["audio_url"]["url"].split(",", 1)[1])
    return texts, audios


def summary(value: JSON) -> JSON:
    """The request with every long string (base64) replaced by its length and digest."""
    if isinstance(value, dict):
        return {k: summary(v) for k, v in value.items()}
    if isinstance(value, list):
        return [summary(v) for v in value]
    if isinstance(value, str) and len(value) > 2000:
        try:
            decoded = base64.b64decode(value.split("base64,", 1)[-1], validate=True)
        except ValueError:  # a long prompt
            return value
        return {"chars": len(value), "sha256": hashlib.sha256(decoded).hexdigest(), "bytes": len(decoded)}
    return value
