"""Where the model runs and in what numbers, decided without torch: a run's identity needs it, and loads nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.shards import weight_files

if TYPE_CHECKING:
    import torch

INSTALL = 'pip install "evalkit[local]"'
PACKAGES = ("torch", "transformers", "safetensors")
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
ROOM = 0.5
"""GB that must be free beside the weights, for the state of one short answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the model runs, and in what: "cpu", "cuda" or "cuda:N"; "float32", "bfloat16" or "float16"."""

    device: str
    dtype: str

    @property
    def cuda(self) -> bool:
        """Is it a GPU?"""
        return self.device.startswith("cuda")


def place_of(device: str, dtype: str) -> Place:
    """Device and dtype with "auto" decided.

    Raises:
        UsageError: a dtype that the device can't compute in.
    """
    if device == "auto":
        device = "cuda" if gpu_in_sight() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    if device == "cpu" and dtype == "float16":
        raise UsageError("dtype=float16 needs a GPU; on a CPU take dtype=float32 or dtype=bfloat16")
    return Place(device, dtype)


def gpu_in_sight() -> bool:
    """Is there a GPU that the torch installed here was built for? Looks at files only; torch has the last word.

    Torch is not imported for this: it takes seconds, and a dry run has no need of it.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    built = _torch_built_for()
    if built == "cuda":
        return any(Path(f"/dev/{name}").exists() for name in (*(f"nvidia{n}" for n in range(64)), "dxg"))
    return built == "hip" and Path("/dev/kfd").exists()


def _torch_built_for() -> str:
    """ "cuda", "hip" or "" by what torch says of itself in its `version.py`."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        said = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    for kind in ("cuda", "hip"):
        if re.search(rf"^{kind}\b[^=\n]*=\s*['\"]", said, re.MULTILINE):
            return kind
    return ""


def need_packages() -> None:
    """Raises UsageError when a package that runs the model is not installed."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UsageError(f"fun-audio-chat needs {', '.join(missing)}: {INSTALL}")


def torch_place(place: Place, *, asked: str, weights: int) -> tuple[str, torch.dtype]:
    """The place as torch takes it, after a look whether the weights fit there. Imports torch.

    Args:
        asked: the device as the user named it.
        weights: bytes of the weights in `place.dtype`.

    Returns:
        Device ("cpu", "cuda:0", ...) and dtype.

    Raises:
        UsageError: torch is missing, sees no such GPU, or there is not enough memory.
    """
    need_packages()
    import torch

    dtype: Any = getattr(torch, place.dtype)
    if not place.cuda:
        if (
            asked == "auto" and torch.cuda.is_available()
        ):  # where our look at files was wrong: ask, don't crawl
            raise UsageError(
                "torch finds a GPU here that evalkit did not expect: say device=cuda or device=cpu"
            )
        _fits("this machine", _memory_available(), weights)
        return "cpu", dtype
    if not torch.cuda.is_available():
        built = (
            "is a build without CUDA"
            if torch.version.cuda is None and torch.version.hip is None
            else "sees none"
        )
        raise UsageError(
            f"device={asked} needs a GPU, and the torch installed here ({torch.__version__}) {built}: "
            "mend the installation, or say device=cpu"
        )
    index = int(place.device.partition(":")[2] or 0)
    if index >= (count := torch.cuda.device_count()):
        raise UsageError(
            f"device={asked}: there is no such GPU, the last is cuda:{count - 1} (CUDA_VISIBLE_DEVICES may hide some)"
        )
    ampere = torch.version.hip is not None or torch.cuda.get_device_capability(index) >= (8, 0)
    if dtype is torch.bfloat16 and not ampere:
        name = torch.cuda.get_device_name(index)
        raise UsageError(f"{name} has no bfloat16: say dtype=float16 or dtype=float32")
    try:
        free, _ = torch.cuda.mem_get_info(index)
    except RuntimeError as exc:  # taken exclusively by another process, or lost
        raise UsageError(f"the GPU cuda:{index} can't be used: {' '.join(str(exc).split())[:200]}") from exc
    _fits(f"the GPU cuda:{index}", free, weights)
    if dtype is torch.float32:  # who asks for float32 wants it: TF32 keeps 10 bits of 23
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return f"cuda:{index}", dtype


def weight_bytes(folder: Path, stored: str | None, place: Place) -> int:
    """About how much memory the weights of a checkpoint take there.

    Args:
        stored: dtype on disk as config.json has it; None: bfloat16, as published.

    Raises:
        UsageError: there are no weights.
    """
    size = sum(path.stat().st_size for path in weight_files(folder))
    return size * _BYTES[place.dtype] // _BYTES.get(stored or "", 2)


def _fits(where: str, free: int | None, weights: int) -> None:
    if free is not None and weights + ROOM * 1e9 > free:
        raise UsageError(
            f"the weights take {weights / 1e9:.1f} GB and {where} has {free / 1e9:.1f} GB of memory free: free some, "
            "or take another device or dtype"
        )


def _memory_available() -> int | None:
    """Bytes of main memory that can be had without swapping; None where the system doesn't say."""
    try:
        said = Path("/proc/meminfo").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(r"^MemAvailable:\s*(\d+) kB", said, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
