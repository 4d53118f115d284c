"""What speaks: the user's CosyVoice checkout, weights folder, speaker and Python, checked and told by digests."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.records import JSON
from evalkit.runners.embedded.weights import file_sha256
from evalkit.runners.fun_audio_chat.speech.speaker import Speaker, find_speaker

WEIGHTS = ("cosyvoice3.yaml", "flow.pt", "hift.pt")
"""All that is read of the weights folder Fun-CosyVoice3-0.5B-2512, beside the speaker file."""
MATCHA = Path("third_party") / "Matcha-TTS"
TIMEOUT = 600.0
"""Seconds per block of up to 30 s of speech; a CPU takes minutes."""


@dataclass(frozen=True)
class VocoderSetup:
    """Where the vocoder's parts are, and how it runs.

    Attributes:
        cosyvoice: CosyVoice checkout with its Matcha-TTS submodule.
        weights: folder with cosyvoice3.yaml, flow.pt and hift.pt. Trusted like code: the YAML names what is called.
        speaker: whose voice.
        python: the interpreter that has the checkout's packages; default this one.
        device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
        timeout: seconds per block of up to 30 s of speech.
    """

    cosyvoice: Path
    weights: Path
    speaker: Speaker
    python: str = sys.executable
    device: str = "auto"
    timeout: float = TIMEOUT

    @classmethod
    def of(
        cls,
        cosyvoice: str | None,
        vocoder: str | None,
        *,
        speaker: str | None = None,
        voice: str | None = None,
        python: str | None = None,
        device: str = "auto",
        timeout: float = TIMEOUT,
    ) -> VocoderSetup:
        """The setup as the user named it: `cosyvoice=DIR vocoder=DIR [speaker=FILE] [voice=NAME] [python=PATH]`.

        Raises:
            UsageError: something isn't there; one sentence that says what to do.
        """
        if not cosyvoice or not vocoder:
            lacks, what = (
                ("cosyvoice=DIR", "a checkout of CosyVoice with its submodules")
                if not cosyvoice
                else ("vocoder=DIR", "the weights folder Fun-CosyVoice3-0.5B-2512")
            )
            raise UsageError(f"to make sound of speech ids, name {what}: {lacks}.")
        checkout, weights = Path(cosyvoice).expanduser(), Path(vocoder).expanduser()
        if not (checkout / "cosyvoice").is_dir():
            raise UsageError(
                f"cosyvoice={checkout} is no checkout of CosyVoice (it has no folder cosyvoice)."
            )
        if not (checkout / MATCHA / "matcha").is_dir():
            raise UsageError(
                f"cosyvoice={checkout} lacks its submodule {MATCHA.as_posix()}: call "
                f"`git -C {checkout} submodule update --init --recursive`."
            )
        if not weights.is_dir():
            raise UsageError(f"vocoder={weights}: there is no such folder.")
        for name in WEIGHTS:
            if not (weights / name).is_file():
                raise UsageError(f"vocoder={weights} has no {name}; it is to be Fun-CosyVoice3-0.5B-2512.")
        if not (device in ("auto", "cpu", "cuda") or (device.startswith("cuda:") and device[5:].isdigit())):
            raise UsageError(f"the vocoder's device is auto, cpu, cuda or cuda:N, not {device!r}.")
        interpreter = shutil.which(str(Path(python).expanduser())) if python else sys.executable
        if interpreter is None:
            raise UsageError(f"python={python} is no program that can be run.")
        found = find_speaker(weights, speaker, voice)
        # The worker is told whole paths: it may be anywhere.
        return cls(checkout.resolve(), weights.resolve(), found.absolute(), interpreter, device, timeout)

    def identity(self) -> Mapping[str, JSON]:
        """Digests of all that decides the sound of given ids. No paths; torch is not imported.

        Raises:
            UsageError: a file can't be read.
        """
        return self._identity

    @cached_property
    def _identity(self) -> dict[str, JSON]:
        try:
            digests = {name.partition(".")[0]: file_sha256(self.weights / name) for name in WEIGHTS}
            code = _code_sha256(self.cosyvoice)
        except OSError as exc:
            raise UsageError(f"{exc.filename or self.weights}: {exc.strerror or exc}.") from exc
        return {
            "vocoder": "cosyvoice3",
            **{f"{name}_sha256": digest for name, digest in digests.items()},
            "speaker": dict(self.speaker.identity()),
            "code_sha256": code,
            "commit": _commit(self.cosyvoice),
        }


def _code_sha256(checkout: Path) -> str:
    """sha256 over the Python files of the checkout that can be imported: names and contents, in order of names."""
    digest = hashlib.sha256()
    for top in (checkout / "cosyvoice", checkout / MATCHA / "matcha"):
        for path in sorted(top.rglob("*.py"), key=lambda p: p.as_posix()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(checkout).as_posix()}\0{content}\n".encode("utf-8", "replace"))
    return digest.hexdigest()


def _commit(checkout: Path) -> str | None:
    """The commit the checkout stands at; None where it is no git checkout of its own."""
    if not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
