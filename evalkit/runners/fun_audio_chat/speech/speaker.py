"""Whose voice speaks: the file of speaker embeddings, found, named and told by its digest. Nothing is loaded here.

Source: runner specification, section 10. The published file is `utils/new_spk2info.pt` of the Fun-Audio-Chat
repository; `vocoder_worker.py` reads it, with `weights_only=True`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.files import sha256_of
from evalkit.records import JSON

PUBLISHED_SHA256 = "c6ec1c7877542e90397de80c0915c98632a168aa717cae96b0e90ace3ab9d9ed"
"""Of the published file of 588,690 bytes."""
DEFAULT_VOICE = "中文女"
"""The published results use it for every language; the file also holds 中文男."""
NAMES = ("new_spk2info.pt", "spk2info.pt")
"""What the file is called in a weights folder, the published name first."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A file of speaker embeddings, and the key of one in it.

    Attributes:
        path: a .pt file: {voice: {"embedding": (1, 192) float32, ...}}.
        voice: key of the embedding.
        sha256: hex digest of the file.
    """

    path: Path
    voice: str
    sha256: str

    @property
    def published(self) -> bool:
        """True when the file is, byte for byte, the one that published results were spoken with."""
        return self.sha256 == PUBLISHED_SHA256

    def absolute(self) -> Speaker:
        """The same, with a path that holds in any working directory."""
        return replace(self, path=self.path.resolve())

    def identity(self) -> Mapping[str, JSON]:
        return {"sha256": self.sha256, "voice": self.voice, "published": self.published}

    def remark(self) -> str | None:
        """What is to be told where the voice is not that of published results; else None."""
        if not self.published:
            return (
                f"{self.path.name} is not the published file of speaker embeddings (sha256 {self.sha256[:12]}..., "
                f"published {PUBLISHED_SHA256[:12]}...): speech will not sound as in published results."
            )
        if self.voice != DEFAULT_VOICE:
            return f"published results are spoken by {DEFAULT_VOICE}, not by {self.voice}."
        return None


def find_speaker(weights: Path, given: str | None = None, voice: str | None = None) -> Speaker:
    """The speaker file that was named, or the one that lies in the weights folder.

    Raises:
        UsageError: there is none.
    """
    path = (
        Path(given).expanduser() if given else next((p for n in NAMES if (p := weights / n).is_file()), None)
    )
    if path is None:
        raise UsageError(
            f"{weights} holds no speaker embeddings ({' or '.join(NAMES)}): copy utils/new_spk2info.pt of the "
            "Fun-Audio-Chat repository there, or name the file: speaker=FILE."
        )
    if not path.is_file():
        raise UsageError(f"there is no file of speaker embeddings {path}.")
    return Speaker(path, voice or DEFAULT_VOICE, sha256_of(path))
