"""The nouns: what flows from a data set to a table.

Everything here is immutable, versioned and survives a JSON round trip. This is the lowest floor:
it imports nothing of ours.

A *sample* is asked, a *response* answers it, a *transcript* puts spoken answers into words, a *score*
is what a judge made of an answer. Failure is a value: ``Response.error`` and ``Score.value is None``
are stored and counted, never dropped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

RECORD_VERSION = 1

JSON = Any
"""A value `json.dumps` can write: None, bool, int, float, str, list or dict of those."""


class Modality(StrEnum):
    """What goes in and what must come out of the model under test."""

    S2T = "S2T"
    """Speech in, text out."""
    S2S = "S2S"
    """Speech in, speech out; the spoken answer is what is scored."""
    T2T = "T2T"
    """Text in, text out (control runs)."""

    @property
    def wants_audio(self) -> bool:
        """True when the model has to speak its answer."""
        return self is Modality.S2S


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def canonical_json(value: JSON) -> str:
    """One spelling per value: sorted keys, no blanks, UTF-8 kept. For digests, not for reading."""
    return _CANONICAL(value)


def digest_of(value: JSON) -> str:
    """sha256 (hex) of the canonical JSON of `value`; lone surrogates are escaped, never an error."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of encoded audio: a file or bytes, decoded only when somebody asks for samples.

    Attributes:
        path: file that holds it, or None when `data` does.
        data: the encoded bytes (wav, flac, mp3, ...), or None when only `path` is known.
        format: container as a lower-case suffix without the dot ("wav", "flac", "mp3", "ogg").
        sha256: hex digest of the encoded bytes, once known.
        seconds, sample_rate: duration in s and rate in Hz of the encoded audio, once known.
        origin: where a report can find the bytes again ("file.parquet#row=3&column=audio", a path).
    """

    path: str | None = None
    data: bytes | None = field(default=None, repr=False)
    format: str | None = None
    sha256: str | None = None
    seconds: float | None = None
    sample_rate: int | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        if self.path is None and self.data is None:
            raise ValueError("Audio needs a path or data")

    def read(self) -> bytes:
        """The encoded bytes. Raises OSError when the file is missing or unreadable."""
        if self.data is not None:
            return self.data
        assert self.path is not None
        return Path(self.path).read_bytes()

    def digest(self) -> str:
        """sha256 (hex) of the encoded bytes; reads the file when it is not known yet."""
        return self.sha256 or hashlib.sha256(self.read()).hexdigest()

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {}
        for name in ("path", "format", "sha256", "seconds", "sample_rate", "origin"):
            if (value := getattr(self, name)) is not None:
                out[name] = value
        if self.path is None and self.data is not None:
            out["data"] = base64.b64encode(self.data).decode("ascii")
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Audio:
        known = {
            k: obj[k] for k in ("path", "format", "sha256", "seconds", "sample_rate", "origin") if k in obj
        }
        if "data" in obj:
            known["data"] = base64.b64decode(obj["data"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation: a role ("system", "user", "assistant") and its parts in order."""

    role: str
    parts: tuple[str | Audio, ...]

    @property
    def text(self) -> str:
        """The text parts joined by newlines."""
        return "\n".join(p for p in self.parts if isinstance(p, str))

    def to_json(self) -> dict[str, JSON]:
        return {
            "role": self.role,
            "parts": [{"text": p} if isinstance(p, str) else {"audio": p.to_json()} for p in self.parts],
        }

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Turn:
        parts = (p["text"] if "text" in p else Audio.from_json(p["audio"]) for p in obj["parts"])
        return cls(obj["role"], tuple(parts))


@dataclass(frozen=True, slots=True)
class Sample:
    """One question of a task.

    Attributes:
        id: the data set's own key where it has one, never a row position; unique within the task.
        task: "benchmark/subset".
        turns: what the user says (and earlier turns of a dialogue).
        target: the reference answer(s), as the judges of the task expect them; None if there is none.
        tools: tool definitions as data, for function calling.
        meta: what judges and reports need beside that ("question", "region", "domain", ...).
        cluster: what it shares with samples that it is not independent of: a speaker, a recording, a question put
            by several voices (`Task.cluster` says which); "" for none. No judge is told of it.
    """

    id: str
    task: str
    turns: tuple[Turn, ...]
    target: JSON = None
    tools: tuple[Mapping[str, JSON], ...] = ()
    meta: Mapping[str, JSON] = field(default_factory=dict)
    cluster: str = ""

    @property
    def audios(self) -> tuple[Audio, ...]:
        """Every piece of audio in the turns, in order."""
        return tuple(p for t in self.turns for p in t.parts if isinstance(p, Audio))

    @property
    def question(self) -> str:
        """The words of the question, for judges and reports: `meta["question"]` or the last user text."""
        if isinstance(q := self.meta.get("question"), str):
            return q
        return next((t.text for t in reversed(self.turns) if t.role == "user"), "")

    def content_digest(self) -> str:
        """sha256 over what a model would be sent: roles, texts, audio digests, tools."""
        turns = [
            [t.role, [p if isinstance(p, str) else {"audio": p.digest()} for p in t.parts]]
            for t in self.turns
        ]
        return digest_of({"turns": turns, "tools": [dict(t) for t in self.tools]})

    def to_json(self) -> dict[str, JSON]:
        return {
            "v": RECORD_VERSION,
            "id": self.id,
            "task": self.task,
            "turns": [t.to_json() for t in self.turns],
            "target": self.target,
            "tools": [dict(t) for t in self.tools],
            "meta": dict(self.meta),
            **({"cluster": self.cluster} if self.cluster else {}),
        }

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Sample:
        return cls(
            id=obj["id"],
            task=obj["task"],
            turns=tuple(Turn.from_json(t) for t in obj["turns"]),
            target=obj.get("target"),
            tools=tuple(obj.get("tools") or ()),
            meta=obj.get("meta") or {},
            cluster=obj.get("cluster", ""),
        )


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


FINAL = "final"
"""Key of `Verdict.detail`, true where a verdict has no value and asking again is not to change that."""

Gap = Literal["absent", "null"]
"""How a prediction lacks its answer: its record has no such field, or nothing in it."""
MISSING_PREDICTION = "missing_prediction"
"""`touched` of a verdict on what the public scorer scores where a prediction lacks its answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of one answer, before the engine adds whose answer it was.

    Attributes:
        metric: which of the judge's metrics this is.
        value: 0/1, a rating, or a rate of this one segment; None means unscored.
        counts: segment statistics for metrics that pool counts ("errors", "length", ...).
        detail: how the verdict came about: matched template, judge replies, alignment, ...
        reason: when unscored, the code first: "judge-unbound: no judge bound, pass --judge".
        touched: name of a known defect of the public scorer that decided this verdict ("random_letter"); several are
            joined by "+", and each is counted.
    """

    metric: str
    value: float | None
    counts: Mapping[str, float] | None = None
    detail: Mapping[str, JSON] = field(default_factory=dict)
    reason: str | None = None
    touched: str | None = None

    @property
    def code(self) -> str:
        """The short code of the reason ("judge-unbound"); "" when there is none."""
        return (self.reason or "").partition(":")[0]


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict on record, signed by its judge; `response` names the answer, its question and its target."""

    sample_id: str
    metric: str
    value: float | None
    counts: Mapping[str, float] | None = None
    detail: Mapping[str, JSON] = field(default_factory=dict)
    judge: str = ""
    response: str = ""
    reason: str | None = None
    touched: str | None = None

    @classmethod
    def of(cls, verdict: Verdict, *, sample_id: str, judge: str, response: str) -> Score:
        return cls(
            sample_id=sample_id,
            metric=verdict.metric,
            value=verdict.value,
            counts=verdict.counts,
            detail=verdict.detail,
            judge=judge,
            response=response,
            reason=verdict.reason,
            touched=verdict.touched,
        )

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {
            "v": RECORD_VERSION,
            "sample_id": self.sample_id,
            "metric": self.metric,
            "value": self.value,
            "judge": self.judge,
            "response": self.response,
        }
        if self.counts is not None:
            out["counts"] = dict(self.counts)
        if self.reason is not None:
            out["reason"] = self.reason
        if self.touched is not None:
            out["touched"] = self.touched
        out["detail"] = dict(self.detail)
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Score:
        return cls(
            sample_id=obj["sample_id"],
            metric=obj["metric"],
            value=obj["value"],
            counts=obj.get("counts"),
            detail=obj.get("detail") or {},
            judge=obj.get("judge", ""),
            response=obj.get("response", ""),
            reason=obj.get("reason"),
            touched=obj.get("touched"),
        )
