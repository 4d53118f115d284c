"""The weights of a checkpoint folder as a state dict, every key accounted for.

Source: runner specification, section 3. Names in memory are those on disk, but for two things: the experts of a
mixture, one matrix each on disk, are stacked as transformers 5.x holds them; and a matrix that is tied to another is
that other one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig
from evalkit.runners.fun_audio_chat.folder.digests import digest as digest
from evalkit.runners.fun_audio_chat.folder.shards import Entry, entries, opened, some

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]

_EXPERT = re.compile(
    r"(language_model\.model\.layers\.\d+\.mlp\.experts)\.(\d+)\.(gate|up|down)_proj\.weight"
)
_FUSED = re.compile(r"(language_model\.model\.layers\.\d+\.mlp\.experts)\.(gate_up|down)_proj")
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(\S+))?")
_FILES_AT_ONCE = 4
_TAKEN = ("*.safetensors", "*.json", "*.txt", "*.jinja")
_NOT_TAKEN = ("speech_tokenizer/*",)


def ties(config: CheckpointConfig) -> dict[str, str]:
    """Matrices that are other ones: name to name."""
    own = {"audio_invert_tower.lm_head.weight": "audio_tower.embed_tokens.weight"}
    if config.tied_text_head:
        own["language_model.lm_head.weight"] = "language_model.model.embed_tokens.weight"
    return own


@dataclass(frozen=True, slots=True)
class _Piece:
    """Where a tensor on disk goes: all of `target`, or the rows `start` and on of its expert."""

    source: str
    target: str
    expert: int | None = None
    start: int = 0


def load_state(
    config: CheckpointConfig, expected: Mapping[str, Shape], *, dtype: torch.dtype, device: torch.device | str
) -> dict[str, torch.Tensor]:
    """Every tensor of `expected`, in its dtype and on its device; read one by one, so that little host memory is used.

    Args:
        config: of the folder.
        expected: names and shapes as the modules have them (see the head of this file). A tied name may be among
            them or not; its tensor is the very one it is tied to.
        dtype, device: what every tensor is turned into.

    Raises:
        UsageError: names that are missing, unexpected, of another shape, tied but different; a file that can't be
            read; not enough memory on the device.
    """
    import torch

    on_disk = entries(config.folder)
    alias = ties(config)
    plan = _plan(config.folder, expected, on_disk, alias)
    _check_ties(config.folder, on_disk, alias)
    try:
        state = _read(plan, expected, on_disk, dtype, torch.device(device))
    except torch.OutOfMemoryError as exc:
        size = sum(_count(s) for s in expected.values()) * dtype.itemsize / 1e9
        raise UsageError(f"{config.folder}: the weights ({size:.1f} GB) do not fit on {device}") from exc
    for name, other in alias.items():
        if name in expected:
            state[name] = state[other]
    return state


def _plan(
    folder: Path, expected: Mapping[str, Shape], on_disk: Mapping[str, Entry], alias: Mapping[str, str]
) -> list[_Piece]:
    """Which tensor on disk goes where. Raises UsageError when names or shapes do not fit."""
    missing: list[str] = []
    wrong: list[str] = []
    pieces: list[_Piece] = []
    wanted: dict[str, Shape] = {}
    stood_in = {other: name for name, other in alias.items() if name in on_disk and other not in on_disk}
    for target, shape in expected.items():
        if target in alias:
            continue
        source = stood_in.get(target, target)
        fused = _FUSED.fullmatch(target)
        if fused and source not in on_disk:
            parts = _experts(fused[1], fused[2], target, shape)
        else:
            parts = [(_Piece(source, target), shape)]
        absent = [p.source for p, _ in parts if p.source not in on_disk]
        missing += absent if len(absent) < len(parts) else [target]
        pieces += [p for p, _ in parts if p.source in on_disk]
        wanted.update((p.source, s) for p, s in parts)
    for name, other in alias.items():
        if other in wanted:
            wanted[name] = wanted[other]
    for name, entry in on_disk.items():
        if name in wanted and entry.shape != wanted[name]:
            wrong.append(f"{name} {list(entry.shape)}, not {list(wanted[name])}")
    unexpected = [n for n in on_disk if n not in wanted]
    troubles = (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
    if told := [f"{what}: {some(names)}" for what, names in troubles if names]:
        raise UsageError(
            f"the weights in {folder} are not those that its config.json describes; {'; '.join(told)}"
        )
    return pieces


def _experts(stem: str, kind: str, target: str, shape: Shape) -> list[tuple[_Piece, Shape]]:
    """The matrices of single experts that make up a stacked one, with their shapes."""
    count, rows, columns = shape
    if kind == "down":
        return [(_Piece(f"{stem}.{e}.down_proj.weight", target, e), (rows, columns)) for e in range(count)]
    half = rows // 2
    return [
        (_Piece(f"{stem}.{e}.{name}_proj.weight", target, e, start), (half, columns))
        for e in range(count)
        for name, start in (("gate", 0), ("up", half))
    ]


def _check_ties(folder: Path, on_disk: Mapping[str, Entry], alias: Mapping[str, str]) -> None:
    """A tied matrix that is on disk all the same must be equal to the other one."""
    import torch

    different = []
    for name, other in alias.items():
        if name not in on_disk or other not in on_disk:
            continue
        with opened(on_disk[name].path) as one, opened(on_disk[other].path) as two:
            left, right = one.get_tensor(name), two.get_tensor(other)
            if left.dtype != right.dtype:
                left, right = left.float(), right.float()
            if not torch.equal(left, right):
                different.append(f"{name} differs from {other}")
    if different:
        raise UsageError(f"{folder}: tied weights must be equal: {'; '.join(different)}")


def _read(
    plan: list[_Piece],
    expected: Mapping[str, Shape],
    on_disk: Mapping[str, Entry],
    dtype: torch.dtype,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """Every piece where it belongs, several files at once: one thread alone waits for the disk, or for the GPU."""
    import torch

    by_source = {p.source: p for p in plan}
    state: dict[str, torch.Tensor] = {}
    stacking, stop = threading.Lock(), threading.Event()

    def read_file(path: Path) -> None:
        with opened(path) as file:
            for source, entry in on_disk.items():
                if stop.is_set():
                    return
                if entry.path != path or source not in by_source:
                    continue
                piece = by_source[source]
                tensor = file.get_tensor(source)
                if piece.expert is None:
                    # A copy: what is only mapped would change with the file.
                    state[piece.target] = tensor.to(device=device, dtype=dtype, copy=True)
                    continue
                with stacking:  # experts of one layer may lie in two files
                    if piece.target not in state:
                        state[piece.target] = torch.empty(expected[piece.target], dtype=dtype, device=device)
                end = piece.start + tensor.shape[0]
                state[piece.target][piece.expert, piece.start : end].copy_(tensor)

    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        try:
            for job in [pool.submit(read_file, p) for p in dict.fromkeys(e.path for e in on_disk.values())]:
                job.result()
        finally:
            stop.set()
    return state


def _count(shape: Shape) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def resolve(model: str) -> Path:
    """The folder of a checkpoint: a folder as it is, else OWNER/NAME[@REVISION] from the hub or its local cache.

    Raises:
        UsageError: neither, or the hub can't be reached.
    """
    try:
        path = Path(model).expanduser()
        if model and path.exists():
            return path
    except RuntimeError:  # nobody knows that user's home
        pass
    except OSError as exc:
        raise UsageError(f"the checkpoint {model[:200]} can't be read: {exc.strerror or exc}") from exc
    hub = _HUB_ID.fullmatch(model)
    if hub is None:
        raise UsageError(
            f'the checkpoint "{model}" is not there: give its folder, or OWNER/NAME[@REVISION] of the hub'
        )
    return _from_hub(hub[1], hub[2])


def _from_hub(repo: str, revision: str | None) -> Path:
    told = repo if revision is None else f"{repo}@{revision}"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as exc:
        raise UsageError(
            f'there is no folder {told}, and fetching it from the hub needs pip install "evalkit[local]"'
        ) from exc
    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=list(_TAKEN),
                ignore_patterns=list(_NOT_TAKEN),
                local_files_only=offline(),
            )
        )
    except LocalEntryNotFoundError as exc:
        why = "we are offline" if offline() else "the hub can't be reached"
        raise UsageError(
            f"there is no folder {told}, the local hub cache does not hold it, and {why}; give the checkpoint's folder"
        ) from exc
    except Exception as exc:  # whatever its HTTP client raises, which changes with its version
        line = (str(exc).strip() or type(exc).__name__).splitlines()[0][:200].rstrip(".")
        raise UsageError(
            f"there is no folder {told}, and the hub does not give it: {line}; check the name, the network and "
            "HF_TOKEN, or give the checkpoint's folder"
        ) from exc
