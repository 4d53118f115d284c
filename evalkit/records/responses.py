"""What came back: responses, failures, proof of what was sent, transcripts of speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evalkit.records.samples import Audio
from evalkit.records.values import JSON, RECORD_VERSION, digest_of


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer (or no verdict).

    `kind` is a short code for counting ("http-500", "timeout", "bad-audio", "no-audio-sent");
    `message` is one sentence for a person.
    """

    kind: str
    message: str
    attempts: int = 1

    def to_json(self) -> dict[str, JSON]:
        return {"kind": self.kind, "message": self.message, "attempts": self.attempts}

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Failure:
        return cls(obj["kind"], obj["message"], obj.get("attempts", 1))


@dataclass(frozen=True, slots=True)
class SentAudio:
    """Proof of what the model was given: digest of the *source* bytes, then what was sent of them.

    Attributes:
        sha256: hex digest of the encoded audio as it stood in the data set.
        seconds: duration sent, in s.
        sample_rate: rate sent, in Hz.
        truncated: True when less than the whole was sent.
        origin: where a report can find the bytes again.
        format: container that was sent ("wav", "mp3"); None on records that don't say.
        converted: True when other bytes than those of the data set were sent (flac as 16-bit wav, resampled).
    """

    sha256: str
    seconds: float
    sample_rate: int
    truncated: bool = False
    origin: str | None = None
    format: str | None = None
    converted: bool = False

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {
            "sha256": self.sha256,
            "seconds": round(self.seconds, 4),
            "sample_rate": self.sample_rate,
            "truncated": self.truncated,
        }
        if self.origin is not None:
            out["origin"] = self.origin
        if self.format is not None:
            out["format"] = self.format
        if self.converted:
            out["converted"] = True
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> SentAudio:
        return cls(
            obj["sha256"],
            obj["seconds"],
            obj["sample_rate"],
            bool(obj.get("truncated")),
            obj.get("origin"),
            obj.get("format"),
            bool(obj.get("converted")),
        )


def recordings(line: Mapping[str, JSON]) -> str:
    """What names the recordings that a response's line says were sent; "" where none were."""
    heard = [str(s.get("sha256", ""))[:16] for s in line.get("sent") or () if isinstance(s, Mapping)]
    return heard[0] if len(heard) == 1 else digest_of(list(heard))[:16] if any(heard) else ""


def cut_off(meta: Mapping[str, JSON]) -> bool:
    """Does what a runner says of an answer (`Response.meta`) say that the limit of tokens ended it?"""
    return bool(meta.get("truncated")) or meta.get("finish_reason") in ("length", "max_tokens")


@dataclass(frozen=True, slots=True)
class Response:
    """What a model made of one sample; an error is stored here, never a missing row.

    Attributes:
        text: the answer in words ("" when the model said nothing).
        audio: the spoken answer, if any.
        tool_calls: native tool calls, as the endpoint gave them.
        sent: one entry per piece of audio the model was given.
        usage: token and audio counts as the model reports them.
        timing: seconds: "generate", "first_token", ...; never part of a digest.
        error: why there is no answer; then `text` and `audio` mean nothing.
        meta: anything else worth keeping (finish reason, served model name, "truncated").
    """

    sample_id: str
    text: str = ""
    audio: Audio | None = None
    tool_calls: tuple[Mapping[str, JSON], ...] = ()
    sent: tuple[SentAudio, ...] = ()
    usage: Mapping[str, JSON] = field(default_factory=dict)
    timing: Mapping[str, float] = field(default_factory=dict)
    error: Failure | None = None
    meta: Mapping[str, JSON] = field(default_factory=dict)

    def digest(self) -> str:
        """16 hex digits that name this answer: its words, speech and calls; scores refer to it."""
        body = {
            "text": self.text,
            "audio": self.audio.digest() if self.audio else None,
            "calls": [dict(c) for c in self.tool_calls],
        }
        return digest_of(body)[:16]

    def with_error(self, failure: Failure) -> Response:
        return replace(self, error=failure)

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {"v": RECORD_VERSION, "sample_id": self.sample_id, "text": self.text}
        if self.audio:
            out["audio"] = self.audio.to_json()
        if self.tool_calls:
            out["tool_calls"] = [dict(c) for c in self.tool_calls]
        out["sent"] = [s.to_json() for s in self.sent]
        if self.usage:
            out["usage"] = dict(self.usage)
        if self.timing:
            out["timing"] = {k: round(v, 4) for k, v in self.timing.items()}
        if self.meta:
            out["meta"] = dict(self.meta)
        if self.error:
            out["error"] = self.error.to_json()
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Response:
        return cls(
            sample_id=obj["sample_id"],
            text=obj.get("text") or "",
            audio=Audio.from_json(obj["audio"]) if obj.get("audio") else None,
            tool_calls=tuple(obj.get("tool_calls") or ()),
            sent=tuple(SentAudio.from_json(s) for s in obj.get("sent") or ()),
            usage=obj.get("usage") or {},
            timing=obj.get("timing") or {},
            error=Failure.from_json(obj["error"]) if obj.get("error") else None,
            meta=obj.get("meta") or {},
        )


@dataclass(frozen=True, slots=True)
class Transcript:
    """Words heard in a piece of speech, keyed by (audio digest, ASR signature)."""

    audio_sha256: str
    asr: str
    text: str
    language: str | None = None
    error: Failure | None = None

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {
            "v": RECORD_VERSION,
            "audio_sha256": self.audio_sha256,
            "asr": self.asr,
            "text": self.text,
        }
        if self.language:
            out["language"] = self.language
        if self.error:
            out["error"] = self.error.to_json()
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Transcript:
        return cls(
            audio_sha256=obj["audio_sha256"],
            asr=obj["asr"],
            text=obj.get("text") or "",
            language=obj.get("language"),
            error=Failure.from_json(obj["error"]) if obj.get("error") else None,
        )
