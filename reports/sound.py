"""Audio inside a report: found again, checked against its digest, made small, within a budget."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.audio import AudioError, decode, encode_mp3, sniff_format
from evalkit.records import JSON, Audio
from evalkit.sources import fetch_origins
from reports.samples import SampleView

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVELS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
BARS, BATCH = 160, 64
SMALL = ("mp3", "ogg")
MIME = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "ogg": "audio/ogg"}
WORTH_ENCODING = 16_384


@dataclass(frozen=True)
class Clip:
    """A piece of audio a sample has: sent to the model, or spoken by it."""

    role: str
    sha256: str
    origin: str
    label: str


def batched(clips: Sequence[Clip], size: int) -> Iterator[list[Clip]]:
    """Parts of a list, so that the sound of one part alone is in memory."""
    rest = iter(clips)
    while some := list(islice(rest, size)):
        yield some


@dataclass
class SoundBox:
    """The clips a report carries, each once, and why others are left out.

    Attributes:
        budget: bytes that may still be spent, counted as they stand in the page (base64) or in the folder.
        folder: where files of clips go ("audio" beside the page); None puts the clips into the page.
        clips: digest to data URI, or to the file's link relative to the page.
        waves: digest to what a player draws: `w`, peaks of the wave (`peaks_of`), and `s`, seconds.
        missing: digest to one sentence that says why it isn't here.
        files: names of the files written.
    """

    budget: int
    folder: Path | None = None
    clips: dict[str, str] = field(default_factory=dict)
    waves: dict[str, dict[str, JSON]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    def add_all(self, clips: Iterable[Clip], share: int) -> None:
        """Carry these clips, as far as `share` bytes of the budget go."""
        wanted = [
            c for c in dict.fromkeys(clips) if c.sha256 not in self.clips and c.sha256 not in self.missing
        ]
        share = min(share, self.budget)
        for some in batched(wanted, BATCH):
            if share <= 0:
                return
            found = fetch_origins(c.origin for c in some if c.origin)
            for clip in some:
                share -= self._add(clip, found.get(clip.origin), share)

    def _add(self, clip: Clip, data: bytes | None, room: int) -> int:
        """Carry one clip if it fits; the bytes it took."""
        if clip.sha256 in self.clips or clip.sha256 in self.missing:
            return 0
        reason = _why_not(clip, data)
        if reason or data is None:
            self.missing[clip.sha256] = reason
            return 0
        kind, wave, seconds = sniff_format(data), "", 0.0
        try:
            samples, rate = decode(Audio(data=data))
            wave, seconds = peaks_of(samples), len(samples) / rate
            if kind not in MIME or (self.folder is None and len(data) > WORTH_ENCODING and kind not in SMALL):
                smaller = encode_mp3(samples, rate)
                if len(smaller) < len(data) or kind not in MIME:
                    data, kind = smaller, "mp3"
        except (AudioError, ValueError, RuntimeError):
            pass  # a rate MP3 doesn't know, or what only browsers read: the original is played
        took = len(data) if self.folder is not None else 4 * ((len(data) + 2) // 3) + 30
        if took > room:
            return 0  # left out, which the page says in words of its own
        self.clips[clip.sha256] = self._keep(data, kind)
        if wave:
            self.waves[clip.sha256] = {"w": wave, "s": round(seconds, 3)}
        self.budget -= took
        return took

    def _keep(self, data: bytes, kind: str) -> str:
        if self.folder is None:
            mime = MIME.get(kind, "application/octet-stream")
            return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
        name = f"{hashlib.sha256(data).hexdigest()}.{kind}"
        self.folder.mkdir(parents=True, exist_ok=True)
        if name not in self.files:
            (self.folder / name).write_bytes(data)
        self.files.add(name)
        return f"{self.folder.name}/{name}"

    def told(self) -> dict[str, JSON]:
        """What the page's players know of each clip: its wave, and its link where it is a file."""
        links = self.clips if self.folder is not None else {}
        return {
            sha: {**self.waves.get(sha, {}), **({"u": links[sha]} if sha in links else {})}
            for sha in dict.fromkeys([*self.waves, *links])
        }


def peaks_of(samples: NDArray[np.float32], bars: int = BARS) -> str:
    """The wave of a clip in `bars` characters: the loudest point of each stretch, relative to the loudest of all.

    Args:
        samples: (frames,) or (frames, channels), -1 to 1.

    Returns:
        One of 64 characters per bar ("0" silence); fewer bars where there are fewer frames, "" for none.
    """
    import numpy as np

    wave = np.abs(samples) if samples.ndim == 1 else np.abs(samples).max(axis=1)
    if not len(wave):
        return ""
    starts = np.unique(np.linspace(0, len(wave), min(bars, len(wave)), endpoint=False).astype(int))
    tops = np.nan_to_num(np.maximum.reduceat(wave, starts), posinf=1.0)
    levels = np.round(63 * np.minimum(1.0, tops / max(float(tops.max()), 0.05))).astype(int)
    return "".join(LEVELS[i] for i in levels)


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


def pick(views: Sequence[SampleView], places: Sequence[int], count: int | None) -> list[SampleView]:
    """Samples to carry audio for: in turn one of each bar of the anatomy, so that every kind can be heard.

    Args:
        count: how many; None for all of them, in the same order.
    """
    count = len(views) if count is None else count
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
