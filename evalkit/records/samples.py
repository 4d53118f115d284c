"""What is asked: audio, turns, samples, and what has to come out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from evalkit.records.values import JSON, RECORD_VERSION, digest_of


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
        setting: a way of asking that the modality does not tell and that a model may have a prompt of its own for
            ("spoken-persona"); "" for none. No judge is told of it.
    """

    id: str
    task: str
    turns: tuple[Turn, ...]
    target: JSON = None
    tools: tuple[Mapping[str, JSON], ...] = ()
    meta: Mapping[str, JSON] = field(default_factory=dict)
    cluster: str = ""
    setting: str = ""

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
            **({"setting": self.setting} if self.setting else {}),
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
            setting=obj.get("setting", ""),
        )
