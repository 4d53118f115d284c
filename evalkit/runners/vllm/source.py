"""What vLLM is to run: a folder, or a model of the hub at a commit, and what its small files say of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.records import JSON, digest_of
from evalkit.runners.fun_audio_chat.folder.config import MODEL_TYPE
from evalkit.runners.fun_audio_chat.folder.digests import digest, file_digests

INSTALL = 'pip install "evalkit[vllm]"'
SMALL = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
"""Files of a hub model that describe it; its weights are vLLM's to fetch."""
_DECIDING = frozenset(
    {".json", ".jinja", ".txt", ".model", ".tiktoken", ".py"}
    | {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
)
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """A model.

    Attributes:
        name: what vLLM is given: a folder, or OWNER/NAME of the hub.
        label: its name in tables.
        folder: where its small files lie.
        commit: of a hub model; None for a folder.
    """

    name: str
    label: str
    folder: Path
    commit: str | None = None

    @cached_property
    def config(self) -> Mapping[str, JSON]:
        """config.json; {} where there is none. Raises UsageError when it is no JSON object."""
        path = self.folder / "config.json"
        if not path.is_file():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise UsageError(f"{path} can't be read: {exc}") from exc
        if not isinstance(found, dict):
            raise UsageError(f"{path} is no JSON object")
        return found

    @property
    def fun_audio_chat(self) -> bool:
        """Is it a Fun-Audio-Chat checkpoint?"""
        return self.config.get("model_type") == MODEL_TYPE

    def pinned(self) -> dict[str, JSON]:
        """What tells these weights from others: the commit, or the digest of the folder. Raises UsageError."""
        if self.commit is not None:
            return {"revision": self.commit}
        if self.fun_audio_chat:
            return {"checkpoint": digest(self.folder)}  # the same as the runner of that name gives
        found = (p for p in self.folder.rglob("*") if p.suffix.lower() in _DECIDING and p.is_file())
        files = sorted(
            p for p in found if not any(part.startswith(".") for part in p.relative_to(self.folder).parts)
        )
        sums = file_digests(files)
        named = [[str(p.relative_to(self.folder)), s] for p, s in zip(files, sums, strict=True)]
        return {"checkpoint": digest_of(named)}


def open_source(model: str, revision: str | None) -> Source:
    """The model that the user named.

    Args:
        model: a folder, or OWNER/NAME of the hub, perhaps with "@REVISION".
        revision: branch, tag or commit, of a hub model.

    Raises:
        UsageError: neither a folder nor a name, or a hub model whose description can't be had.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise UsageError(f"{model} is a folder: revision is for models of the hub")
        if not any((folder / name).is_file() for name in ("config.json", "params.json")):
            raise UsageError(f"{model} has no config.json: is it the folder of a model?")
        return Source(str(folder), folder.resolve().name, folder)
    if folder.is_file():
        raise UsageError(f"{model} is a file: name the folder of a model, or OWNER/NAME of the hub")
    name, _, at = model.partition("@")
    if not _HUB.fullmatch(name):
        raise UsageError(f"there is no folder {model}, and it is no name of the hub (OWNER/NAME)")
    if at and revision is not None and at != revision:
        raise UsageError(f"two revisions: {at} after the model's name, and revision={revision}")
    return _of_hub(name, at or revision)


def _of_hub(name: str, revision: str | None) -> Source:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as exc:
        raise UsageError(f"reading {name} from the hub needs huggingface_hub: {INSTALL}") from exc
    try:
        folder = Path(
            snapshot_download(name, revision=revision, allow_patterns=[*SMALL], local_files_only=offline())
        )
    except Exception as exc:  # whatever its HTTP client raises, which changes with its version
        said = (str(exc).strip() or type(exc).__name__).splitlines()[0][:200]
        at = f"@{revision}" if revision else ""
        raise UsageError(
            f"there is no folder {name}, and {name}{at} can't be read from the hub: {said} "
            "Check the name, the network and HF_TOKEN, or give the folder of a copy."
        ) from exc
    return Source(name, name, folder, folder.name)


def vllm_version() -> str:
    """The version installed, without importing it. Raises UsageError when there is none."""
    if find_spec("vllm") is None:
        raise UsageError(f"the vllm runner needs vLLM: {INSTALL}")
    return _version_installed()


@cache
def _version_installed() -> str:
    try:
        return version("vllm")
    except PackageNotFoundError:  # builds for other devices go by names of their own
        names = packages_distributions().get("vllm", [])
        return f"{names[0]} {version(names[0])}" if names else "unknown"
