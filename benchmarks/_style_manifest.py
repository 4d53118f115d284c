"""The user's own sets of spoken style and empathy: one item a line in `manifest.jsonl`, and its validation.

Source: internal-set sheet section 2. Every problem names its line; nothing is asked before all are mended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from evalkit.audio import AudioError, decode, inside, probe
from evalkit.errors import UsageError
from evalkit.files import numbered_lines, sha256_of
from evalkit.records import Audio
from judges.lalm_presets import TRACK_FIELDS, Track

SHORTEST, LONGEST = 0.3, 60.0
"""Seconds of a user turn."""
ENOUGH = 20
"""Items below which a reported row is mostly noise."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class Requirement(_Part):
    """A demand on the voice that can be checked."""

    type: Text
    value: Text | float
    scope: str | None = None


class Content(_Part):
    """What has to be said: in these words (`text`), or freely."""

    mode: Literal["verbatim", "free"]
    text: str | None = None

    @model_validator(mode="after")
    def _words(self) -> Content:
        if self.mode == "verbatim" and not (self.text or "").strip():
            raise ValueError("content that is verbatim needs its text")
        return self


class UserState(_Part):
    """How the user feels."""

    emotion: Text
    intensity: float | None = Field(None, ge=0, le=100)
    situation: str | None = None


class Cue(_Part):
    """What can be heard in the user's turn that carries the state."""

    type: Text
    description: Text


class Earlier(_Part):
    """An earlier turn."""

    role: Literal["system", "user", "assistant"]
    text: str = ""
    audio: Text | None = None


class Item(_Part):
    """One line of the manifest; fields as the sheet has them, others are kept."""

    id: Text
    track: Track
    category: Text
    language: Language
    audio: Text
    transcript: Text
    reply_language: Language | None = None
    history: list[Earlier] = []
    system_prompt: str | None = None
    requirements: list[Requirement] = []
    content: Content | None = None
    user_state: UserState | None = None
    cue: Cue | None = None
    pair_id: Text | None = None
    speaker_id: str | int | None = None
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _complete(self) -> Item:
        missing = [name for name in TRACK_FIELDS[self.track] if not getattr(self, name)]
        if missing:
            raise ValueError(f"the track {self.track} needs {' and '.join(missing)}")
        return self


def read_item(values: Mapping[str, Any], where: str) -> Item:
    """An item from the fields of a line. Raises UsageError: one sentence that begins with `where`."""
    try:
        return Item.model_validate(dict(values))
    except ValidationError as exc:
        raise UsageError(f"{where}: {_sentence(exc)}") from exc


def _sentence(exc: ValidationError) -> str:
    first = exc.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"the field {place!r} is missing"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
    return f"field {place!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"


@dataclass
class Found:
    """What a look at a manifest came to.

    Attributes:
        problems: what has to be mended before anything runs, a sentence each.
        warnings: what a reader of the numbers should know.
        counts: items by track, then by category.
        sha256: digest of the manifest's bytes.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    sha256: str = ""

    def items(self, track: str) -> int:
        return self.counts.get(track, Counter()).total()


def check(path: Path) -> Found:
    """Look at every line of a manifest, its audio, and the meta file beside it.

    Raises:
        UsageError: there is no such file, or it can't be read.
    """
    found = Found(sha256=_sha256(path))
    seen: dict[str, int] = {}
    pairs: dict[str, set[str]] = {}
    for number, values in _lines(path, found):
        where = f"{path}:{number}"
        try:
            item = read_item(values, where)
        except UsageError as exc:
            found.problems.append(str(exc))
            continue
        if (first := seen.setdefault(item.id, number)) != number:
            found.problems.append(f"{where}: the id {item.id!r} stands on line {first} already")
        found.counts.setdefault(item.track, Counter())[item.category] += 1
        for name in [item.audio, *(e.audio for e in item.history if e.audio)]:
            if (why := unusable(path.parent, name)) is not None:
                found.problems.append(f"{where}: {why}")
        if item.track == "empathy_paralinguistic" and item.pair_id and item.cue:
            pairs.setdefault(item.pair_id, set()).add(item.cue.description)
    if not seen and not found.problems:
        found.problems.append(f"{path}: the manifest holds no items")
    lone = [p for p, cues in pairs.items() if len(cues) < 2]
    if lone:
        found.warnings.append(f"{path}: the pair {lone[0]!r} has one cue only ({len(lone)} such pairs)")
    for track, counts in found.counts.items():
        if counts.total() < ENOUGH:
            found.warnings.append(
                f"{path}: {counts.total()} items of {track}, fewer than {ENOUGH}: mostly noise"
            )
    _check_meta(path, found)
    return found


def _lines(path: Path, found: Found) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in numbered_lines(path):
        try:
            values = json.loads(line)
        except ValueError as exc:
            found.problems.append(f"{path}:{number}: not JSON ({exc})")
            continue
        if isinstance(values, dict):
            yield number, values
        else:
            found.problems.append(f"{path}:{number}: expected an object, found {type(values).__name__}")


def unusable(folder: Path, relative: str) -> str | None:
    """Why a user turn's audio can't be used; None when it decodes and is 0.3 to 60 s long."""
    try:
        path = inside(folder, relative)
        seconds = probe(path.read_bytes()).seconds
        if not SHORTEST <= seconds <= LONGEST:
            return f"{relative} is {seconds:.2f} s long, not {SHORTEST} to {LONGEST:g} s"
        decode(Audio(path=str(path)))
    except OSError as exc:
        return f"{relative}: {exc.strerror or exc}"
    except AudioError as exc:
        return str(exc)
    return None


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as exc:
        raise UsageError(f"{path} can't be read: {exc.strerror or exc}") from exc


def meta_path(path: Path) -> Path:
    """`manifest.meta.json` beside `manifest.jsonl`."""
    return path.with_name(f"{path.stem}.meta.json")


def _check_meta(path: Path, found: Found) -> None:
    """The meta file's digest and counts, where it gives them."""
    file = meta_path(path)
    if not file.is_file():
        found.warnings.append(
            f"{path}: there is no {file.name} beside it, so nothing says which version it is"
        )
        return
    try:
        meta = json.loads(file.read_bytes())
    except (OSError, ValueError):
        meta = None
    if not isinstance(meta, dict):
        found.problems.append(f"{file}: not a JSON object")
        return
    if (told := meta.get("sha256")) not in (None, found.sha256):
        found.problems.append(
            f"{file}: sha256 is {str(told)[:12]}..., but {path.name} has {found.sha256[:12]}..."
        )
    counts = meta.get("counts")
    for track, wanted in counts.items() if isinstance(counts, dict) else ():
        if wrong := _miscounted(wanted, found.counts.get(track, Counter())):
            found.problems.append(f"{file}: counts of {track} say {wrong}")


def _miscounted(wanted: Any, counts: Counter[str]) -> str:
    """How the counts of a track differ: a number for the whole track, or one for each category."""
    if isinstance(wanted, dict):
        categories = [*wanted, *(c for c in counts if c not in wanted)]
        wrong = next((c for c in categories if wanted.get(c, 0) != counts[c]), None)
        return "" if wrong is None else f"{wanted.get(wrong, 0)} of {wrong}, the manifest has {counts[wrong]}"
    return "" if wanted == counts.total() else f"{wanted} items, the manifest has {counts.total()}"
