"""Text embedders: NV-Embed-v2 as MMAU-Pro's scorer loads it, and whatever sentence-transformers loads.

All packages are in the extra `embedder` and are imported at first use. MMAU-Pro sheet section 4.1.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.config import offline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

DEFAULT = "nvidia/NV-Embed-v2"
MAX_LENGTH = 4096
"""Tokens of a text that count."""
EXTRA = 'pip install "evalkit[embedder]"'
_HEAD_BYTES = 1 << 20


class EmbedderError(Exception):
    """No embedding can be had; the message is the reason, code first."""


class Embedder(Protocol):
    """Turns texts into vectors; called from several threads."""

    @property
    def label(self) -> str:
        """Name and revision or digest, for signatures: "nvidia/NV-Embed-v2@7604d305b621"."""
        ...

    def encode(self, texts: Sequence[str]) -> Array:
        """One row per text, (n, d), encoded in one call, not normalised. Raises EmbedderError."""
        ...


def open_embedder(given: str | None = None) -> Embedder:
    """The embedder of that name: hub id, hub id @ revision, or folder; nothing is loaded yet."""
    name = given or DEFAULT
    return NvEmbed(name) if _is_nv_embed(name) else SentenceTransformers(name)


def _is_nv_embed(name: str) -> bool:
    config = Path(name) / "config.json"
    if not config.is_file():
        return name.startswith("nvidia/NV-Embed-")
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("model_type") == "nvembed"


class _Loaded:
    """What both kinds share: name, revision, loading once, one call at a time."""

    needs: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.folder = Path(name) if Path(name).is_dir() else None
        self.repo, _, self.asked = (name, "", "") if self.folder else name.partition("@")
        self._lock = threading.Lock()
        self._model: Any = None
        self._failure: str | None = None

    @cached_property
    def revision(self) -> str | None:
        """The commit of a hub model, resolved once; "main" or what was asked for where nobody can say."""
        if self.folder is not None:
            return None
        wanted = self.asked or "main"
        if self.lacks or re.fullmatch(r"[0-9a-f]{40}", wanted):
            return wanted
        return _commit(self.repo, wanted) or wanted

    @property
    def lacks(self) -> list[str]:
        """Packages of the extra that aren't installed."""
        return [package for package in self.needs if find_spec(package) is None]

    @cached_property
    def label(self) -> str:
        """Name and revision; of a folder, its name and a digest of its files."""
        if self.folder is not None:
            return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.folder.resolve().name)}@{_digest(self.folder)}"
        return f"{self.repo}@{(self.revision or '')[:12]}"

    def encode(self, texts: Sequence[str]) -> Array:
        """One row per text, (n, d), in one call. Raises EmbedderError; a failed load is not tried again."""
        if self.lacks:
            raise EmbedderError(
                f"embedder-missing: {EXTRA} to match answers with options by embedding "
                f"({', '.join(self.lacks)} not installed), or use --protocol strict"
            )
        with self._lock:
            if self._model is None and self._failure is None:
                try:
                    self._model = self._load(str(self.folder or self.repo), self.revision)
                except Exception as exc:  # whatever the libraries, the hub and a model's own code raise
                    self._failure = f"{type(exc).__name__}: {_first_line(exc)}"
            if self._failure is not None:
                raise EmbedderError(
                    f"embedder-failed: {self.label} can't be loaded ({self._failure}); name another with "
                    "-O embedder=HUB_ID_OR_FOLDER"
                )
            try:
                return self._encode(self._model, list(texts))
            except Exception as exc:
                raise EmbedderError(
                    f"embedder-failed: {self.label} raised {type(exc).__name__}: {_first_line(exc)}; "
                    "name another with -O embedder=HUB_ID_OR_FOLDER"
                ) from exc

    def _load(self, place: str, revision: str | None) -> Any:
        raise NotImplementedError

    def _encode(self, model: Any, texts: list[str]) -> Array:
        raise NotImplementedError


class NvEmbed(_Loaded):
    """NV-Embed through transformers and the model's own code, in fp32, no instruction. Needs about 31 GB."""

    needs = ("torch", "transformers")

    def _load(self, place: str, revision: str | None) -> Any:
        import torch
        from transformers import AutoModel

        # The model's code comes with its weights: the public scorer runs it, too.
        where: dict[str, Any] = {"revision": revision or "main", "local_files_only": offline()}
        model = AutoModel.from_pretrained(place, trust_remote_code=True, **where)
        return model.float().to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def _encode(self, model: Any, texts: list[str]) -> Array:
        import torch

        with torch.inference_mode():
            found: Array = model.encode(texts, instruction="", max_length=MAX_LENGTH).float().cpu().numpy()
        return found


class SentenceTransformers(_Loaded):
    """Any model or folder that sentence-transformers loads; none of a model's own code is run."""

    needs = ("torch", "sentence_transformers")

    def _load(self, place: str, revision: str | None) -> Any:
        from sentence_transformers import SentenceTransformer

        where: dict[str, Any] = {"revision": revision, "local_files_only": offline()}
        model = SentenceTransformer(place, trust_remote_code=False, **where)
        return model.float().eval()

    def _encode(self, model: Any, texts: list[str]) -> Array:
        found: Array = model.encode(texts, convert_to_numpy=True, show_progress_bar=False)
        return found


def _commit(repo: str, wanted: str) -> str | None:
    """The commit of a branch or tag of a hub model: the hub's word, or the local cache's when offline."""
    try:
        from huggingface_hub import HfApi, constants
    except ImportError:
        return None
    if not offline():
        try:
            return HfApi().model_info(repo, revision=wanted, timeout=20).sha
        except Exception:  # whatever its HTTP client raises; loading will say what is wrong
            pass
    ref = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "refs" / wanted
    try:
        return ref.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _digest(folder: Path) -> str:
    """12 hex digits over the names, sizes and heads of a folder's files; weights of 30 GB aren't read to the end."""
    total = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        with file.open("rb") as data:
            head = hashlib.sha256(data.read(_HEAD_BYTES)).hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0{head}\n".encode())
    return total.hexdigest()[:12]


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or ["no message"])[0][:200]
