"""Audio inside a report: found again, checked against its digest, made small, within a budget."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.audio import AudioError, decode, encode_mp3, sniff_format
from evalkit.records import Audio
from evalkit.sources import fetch_origins
from reports.samples import SampleView

MIME = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg"}
WORTH_ENCODING = 16_384


@dataclass(frozen=True)
class Clip:
    """A piece of audio a sample has: sent to the model, or spoken by it."""

    role: str
    sha256: str
    origin: str
    label: str


@dataclass
class SoundBox:
    """The clips a report carries, each once, and why others are left out.

    Attributes:
        budget: bytes that may still be spent, counted as they stand in the page (base64).
        clips: digest to data URI.
        missing: digest to one sentence that says why it isn't here.
    """

    budget: int
    clips: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add_all(self, clips: Iterable[Clip], share: int) -> None:
        """Carry these clips, as far as `share` bytes of the budget go."""
        wanted = [c for c in clips if c.sha256 not in self.clips and c.sha256 not in self.missing]
        share = min(share, self.budget)
        if not wanted or share <= 0:
            return
        found = fetch_origins(c.origin for c in wanted if c.origin)
        for clip in wanted:
            if clip.sha256 in self.clips or clip.sha256 in self.missing:
                continue
            data = found.get(clip.origin)
            reason = _why_not(clip, data)
            if reason or data is None:
                self.missing[clip.sha256] = reason
                continue
            uri = data_uri(data)
            if len(uri) > share:
                continue  # left out, which the page says in words of its own
            self.clips[clip.sha256] = uri
            share -= len(uri)
            self.budget -= len(uri)


def _why_not(clip: Clip, data: bytes | None) -> str:
    if not clip.origin:
        return "The run does not say where this audio came from."
    if data is None:
        return f"The audio is no longer at {clip.label}."
    if hashlib.sha256(data).hexdigest() != clip.sha256:
        return f"{clip.label} has changed since the run: its digest is another one, so it is not played here."
    if not sniff_format(data):
        return f"{clip.label} holds no audio that a browser plays."
    return ""


def data_uri(data: bytes) -> str:
    """The audio as a data URI: as it is, or as MP3 when that is smaller."""
    kind = sniff_format(data)
    if (len(data) > WORTH_ENCODING and kind not in ("mp3", "ogg")) or kind not in MIME:
        try:
            smaller = encode_mp3(*decode(Audio(data=data)))
            if len(smaller) < len(data) or kind not in MIME:
                data, kind = smaller, "mp3"
        except (AudioError, ValueError, RuntimeError):
            pass  # a rate MP3 doesn't know: the original is played
    return (
        f"data:{MIME.get(kind, 'application/octet-stream')};base64,{base64.b64encode(data).decode('ascii')}"
    )


def origin_label(origin: str) -> str:
    """ "row 3 of usa.parquet", or the file's name: no folders of the machine that ran it."""
    file, _, fragment = origin.partition("#row=")
    name = Path(file).name
    return f"row {fragment.partition('&')[0]} of {name}" if fragment else name


def clips_of(view: SampleView, root: Path) -> list[Clip]:
    """The audio of a sample: what was sent, then what was spoken."""
    out = []
    for sent in view.line.get("sent") or ():
        origin = str(sent.get("origin") or "")
        out.append(Clip("in", str(sent.get("sha256", "")), origin, origin_label(origin)))
    audio = view.line.get("audio")
    if isinstance(audio, dict) and view.speech_sha256:
        path = str(audio.get("path") or "")
        inside = (root / path).resolve()
        sound = path and inside.is_relative_to(root.resolve())  # a line from elsewhere can't name any file
        out.append(Clip("out", view.speech_sha256, str(inside) if sound else "", Path(path).name))
    return out


def pick(views: Sequence[SampleView], places: Sequence[int], count: int) -> list[SampleView]:
    """Samples to carry audio for: in turn one of each bar of the anatomy, so that every kind can be heard."""
    by_place: dict[int, list[SampleView]] = {}
    for view, place in zip(views, places, strict=True):
        by_place.setdefault(place, []).append(view)
    picked: list[SampleView] = []
    queues = [iter(v) for _, v in sorted(by_place.items())]
    while queues and len(picked) < count:
        for queue in list(queues):
            following = next(queue, None)
            if following is None:
                queues.remove(queue)
            elif len(picked) < count:
                picked.append(following)
    return picked
