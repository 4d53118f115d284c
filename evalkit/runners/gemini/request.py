"""Messages made into the body of a generateContent request, and the proof of what went into it.

Parts keep their order. Audio goes as it is, wherever the API takes its container; else as a 16-bit mono wav,
which the proof says (`SentAudio.converted`). Nothing is resampled or cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.audio import AudioError, decode, encode_wav, probe
from evalkit.errors import RunnerError
from evalkit.records import JSON, Audio, SentAudio
from evalkit.runners.audio_limits import AudioLimits
from evalkit.runners.spliced import mark

MIME = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aiff": "audio/aiff",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
}
Messages = Sequence[tuple[str, Sequence[str | Audio]]]
"""(role, parts) in order."""

ROLES = {"assistant": "model", "user": "user"}

NO_SCHEMA_WORDS = ("$schema", "$id", "$defs", "additionalProperties", "const", "examples", "default")
"""What JSON Schema has and `responseSchema` (a part of OpenAPI's) doesn't."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of audio to send and its proof."""

    data: bytes
    mime: str
    sent: SentAudio


async def pieces_of(audios: Sequence[Audio], limits: AudioLimits, whose: str) -> list[Piece]:
    """Pieces of audio as they will be sent; reading and conversions run in a worker thread.

    Raises:
        RunnerError: "bad-audio", when a piece can't be read; "audio-too-long", "audio-too-large" and
            "audio-format" as the limits have it, the length also of all pieces together.
    """
    out = []
    for audio in audios:
        try:
            out.append(await asyncio.to_thread(_piece, audio, limits))
        except (AudioError, OSError) as exc:
            raise RunnerError("bad-audio", f"{whose}: {exc}", unsent=True) from exc
        sent = out[-1].sent
        limits.check(whose, fmt=sent.format, seconds=sent.seconds, size=len(out[-1].data))
    if len(out) > 1:
        longest = AudioLimits(max_seconds=limits.max_seconds)
        longest.check(
            f"{whose}, all of it together", fmt=None, seconds=sum(p.sent.seconds for p in out), size=0
        )
    return out


def _piece(audio: Audio, limits: AudioLimits) -> Piece:
    data, fmt, seconds, rate = audio.read(), audio.format, audio.seconds, audio.sample_rate
    if fmt is None or seconds is None or rate is None:
        info = probe(data)
        fmt, seconds, rate = info.format, info.seconds, info.sample_rate
    origin = audio.origin or audio.path
    if (limits.takes(fmt) and fmt in MIME) or not limits.takes("wav"):
        return Piece(
            data, MIME.get(fmt, ""), SentAudio(audio.digest(), seconds, rate, origin=origin, format=fmt)
        )
    samples, rate = decode(audio)
    proof = SentAudio(audio.digest(), len(samples) / rate, rate, origin=origin, format="wav", converted=True)
    return Piece(encode_wav(samples, rate), MIME["wav"], proof)


def contents_of(
    messages: Messages, pieces: Sequence[Piece], files: Sequence[str], system: str | None = None
) -> dict[str, JSON]:
    """`contents` and, where there is one, `systemInstruction`.

    Args:
        pieces: the audio of all messages, in order.
        files: URIs of the pieces where they were uploaded; () leaves a mark in the place of each one's base64.
        system: goes before system messages of the request's own.
    """
    told = [system] if system else []
    contents: list[JSON] = []
    index = 0
    for role, parts in messages:
        if role == "system":
            told += [p for p in parts if isinstance(p, str)]
            continue
        out: list[JSON] = []
        for part in parts:
            if isinstance(part, str):
                out.append({"text": part})
                continue
            mime = pieces[index].mime
            if files:
                out.append({"fileData": {"mimeType": mime, "fileUri": files[index]}})
            else:
                out.append({"inlineData": {"mimeType": mime, "data": mark(index)}})
            index += 1
        contents.append({"role": ROLES.get(role, role), "parts": out})
    body: dict[str, JSON] = {"contents": contents}
    if told:
        body["systemInstruction"] = {"parts": [{"text": "\n\n".join(told)}]}
    return body


def merged(body: Mapping[str, JSON], extra: Mapping[str, JSON]) -> dict[str, JSON]:
    """The body with the user's fields on top, `generationConfig` field by field; None takes a field out."""
    config = {**(body.get("generationConfig") or {}), **(extra.get("generationConfig") or {})}
    whole = {**body, **extra, "generationConfig": {k: v for k, v in config.items() if v is not None}}
    return {k: v for k, v in whole.items() if v is not None and not (k == "generationConfig" and not v)}


def openapi(schema: JSON) -> JSON:
    """A JSON Schema as `responseSchema` takes it: types in capitals, words it doesn't know left out, `const` as a
    one-word `enum`, other enums of numbers as a range."""
    if isinstance(schema, list):
        return [openapi(s) for s in schema]
    if not isinstance(schema, Mapping):
        return schema
    out: dict[str, JSON] = {}
    for key, value in schema.items():
        if key == "type":
            named = [str(t) for t in (value if isinstance(value, list) else [value])]
            out |= {"nullable": True} if "null" in named else {}
            out[key] = next((t.upper() for t in named if t != "null"), "STRING")
        elif key == "properties" and isinstance(value, Mapping):
            out[key] = {name: openapi(inner) for name, inner in value.items()}
        elif key == "enum" and isinstance(value, list) and any(not isinstance(v, str) for v in value):
            numbers = [v for v in value if isinstance(v, int | float)]
            out |= {"minimum": min(numbers), "maximum": max(numbers)} if numbers else {}
        elif key not in NO_SCHEMA_WORDS:
            out[key] = openapi(value) if key not in ("enum", "required") else value
    if isinstance(schema.get("const"), str):
        out["enum"] = [schema["const"]]
    return out
