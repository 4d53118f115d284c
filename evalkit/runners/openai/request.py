"""A sample made into the body of a chat/completions request, and the proof of what went into it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from evalkit.audio import AudioError, decode, encode_wav, probe
from evalkit.errors import RunnerError
from evalkit.records import JSON, Audio, Sample, SentAudio, Turn
from evalkit.runners.openai.options import Options
from evalkit.runners.spliced import mark

MIME = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""Of other containers it is "audio/" and their name."""
JSON_TYPES = {
    **{
        "dict": "object",
        "float": "number",
        "int": "integer",
        "bool": "boolean",
        "any": "string",
        "enum": "string",
    },
    **dict.fromkeys(("tuple", "list", "objectArray", "list(string)", "list(enum)"), "array"),
}
"""Python's names for types (BFCL's, ACEBench's), which data sets' tool definitions use, in JSON Schema's words."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes to send, their container ("wav", "mp3"), and their proof."""

    data: bytes
    format: str
    sent: SentAudio


async def encode_all(sample: Sample, options: Options) -> list[Encoded]:
    """Every piece of a sample's audio as it will be sent. Raises as `encode_parts`."""
    return await encode_parts(sample.audios, options, f"sample {sample.id}")


async def encode_parts(audios: Sequence[Audio], options: Options, whose: str) -> list[Encoded]:
    """Pieces of audio as they will be sent; conversions run in a worker thread.

    Raises:
        RunnerError: kind "bad-audio", when a piece can't be read or decoded; as `AudioLimits.check`, when it is
            beyond the limits in the options.
    """
    out: list[Encoded] = []
    for audio in audios:
        try:
            ready = unchanged(audio, options)
            if ready is None:
                ready = await asyncio.to_thread(converted, audio, options)
            sent = ready.sent
            options.limits.check(whose, fmt=ready.format, seconds=sent.seconds, size=len(ready.data))
            out.append(ready)
        except (AudioError, OSError) as exc:
            raise RunnerError("bad-audio", f"{whose}: {exc}", unsent=True) from exc
    return out


def unchanged(audio: Audio, options: Options) -> Encoded | None:
    """The bytes as they stand, when the endpoint takes them so; None when they need converting."""
    data = audio.read()
    fmt, seconds, rate = audio.format, audio.seconds, audio.sample_rate
    if fmt is None or seconds is None or rate is None:
        info = probe(data)
        fmt, seconds, rate = info.format, info.seconds, info.sample_rate
    if fmt is None or not options.limits.takes(fmt) or (options.sample_rate or rate) != rate:
        return None
    if options.max_seconds is not None and seconds > options.max_seconds:
        return None
    origin = audio.origin or audio.path
    return Encoded(data, fmt, SentAudio(audio.digest(), seconds, rate, origin=origin, format=fmt))


def converted(audio: Audio, options: Options) -> Encoded:
    """Decoded, resampled and cut as the options say; a 16-bit mono wav."""
    samples, rate = decode(audio, options.sample_rate)
    keep = len(samples)
    if options.max_seconds is not None:
        keep = min(keep, int(options.max_seconds * rate))
    proof = SentAudio(
        audio.digest(),
        keep / rate,
        rate,
        truncated=keep < len(samples),
        origin=audio.origin or audio.path,
        format="wav",
        converted=True,
    )
    return Encoded(encode_wav(samples[:keep], rate), "wav", proof)


def messages_of(turns: Sequence[Turn], formats: Sequence[str], options: Options) -> list[JSON]:
    """The turns as messages; text-only turns as plain strings, which every server takes.

    Args:
        formats: format of each piece of audio, in order.
    """
    messages: list[JSON] = []
    system = [options.system] if options.system else []
    index = 0
    for turn in turns:
        if turn.role == "system" and not messages and not any(isinstance(p, Audio) for p in turn.parts):
            system.append(turn.text)  # one system message: many chat templates refuse a second
            continue
        parts: list[JSON] = []
        for part in turn.parts:
            if isinstance(part, str):
                parts.append({"type": "text", "text": part})
            else:
                parts.append(audio_part(index, formats[index], options.audio_part))
                index += 1
        plain = all(isinstance(p, str) for p in turn.parts)
        messages.append({"role": turn.role, "content": turn.text if plain else parts})
    if system:
        messages.insert(0, {"role": "system", "content": "\n\n".join(system)})
    return messages


def audio_part(index: int, fmt: str, kind: str) -> JSON:
    """One audio part of a message, in the spelling the server wants."""
    if kind == "audio_url":
        return {
            "type": "audio_url",
            "audio_url": {"url": f"data:{MIME.get(fmt, f'audio/{fmt}')};base64,{mark(index)}"},
        }
    return {"type": "input_audio", "input_audio": {"data": mark(index), "format": fmt}}


def tools_of(tools: Sequence[Mapping[str, JSON]], *, strict_names: bool) -> tuple[list[JSON], dict[str, str]]:
    """Tool definitions in the API's shape, and the names that had to change (sent name -> own name).

    Args:
        tools: as the API wants them, or bare functions (name, description, parameters).
        strict_names: the server takes only letters, digits, "_" and "-" in names (OpenAI's own does).
    """
    out: list[JSON] = []
    renamed: dict[str, str] = {}
    functions = [dict(t["function"] if isinstance(t.get("function"), Mapping) else t) for t in tools]
    taken = {str(f.get("name", "")) for f in functions}
    for function in functions:
        name = str(function.get("name", ""))
        if strict_names and (safe := re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]) != name:
            # Two names may come out alike ("a.b" and "a_b", or any two in Chinese): a number tells them apart.
            numbered = (f"{safe[:60]}_{k}" for k in count(2))
            function["name"] = (
                safe if safe and safe not in taken else next(s for s in numbered if s not in taken)
            )
            taken.add(function["name"])
            renamed[function["name"]] = name
        if "parameters" in function:
            function["parameters"] = json_schema(function["parameters"])
        out.append({"type": "function", "function": function})
    return out, renamed


def json_schema(schema: JSON) -> JSON:
    """`schema` with Python's type names replaced by JSON Schema's, at every depth."""
    if isinstance(schema, list):
        return [json_schema(s) for s in schema]
    if not isinstance(schema, Mapping):
        return schema
    out: dict[str, JSON] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            out[key] = JSON_TYPES.get(value, value)
        elif key == "properties" and isinstance(value, Mapping):
            out[key] = {name: json_schema(inner) for name, inner in value.items()}
        elif key in ("default", "enum", "const", "examples"):
            out[key] = value
        else:
            out[key] = json_schema(value)
    return out


def merged(payload: dict[str, JSON], extra: Mapping[str, JSON]) -> dict[str, JSON]:
    """`payload` with `extra` on top; None takes a field out."""
    return {k: v for k, v in {**payload, **extra}.items() if v is not None}
