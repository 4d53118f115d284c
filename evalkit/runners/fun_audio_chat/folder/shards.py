"""The weight files of a checkpoint folder and what is in them, without reading a weight.

Only safetensors: other formats are pickles, which run what they hold. Source: runner specification, sections 1 and 3.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.fields import read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_LFS = b"version https://git-lfs"
_HEADER = 100 << 20
"""The format's own limit on a header, in bytes."""
_FLOATS = ("BF16", "F16", "F32", "F64")


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor on disk: its file and its shape."""

    path: Path
    shape: tuple[int, ...]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the checkpoint, in order of name.

    Raises:
        UsageError: there are none, or two sets, or the index names one that is not there.
    """
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file() and index.is_file():
        raise UsageError(f"{folder} has both {SINGLE} and {INDEX}: keep the one that is to be evaluated")
    if single.is_file():
        return [single]
    if index.is_file():
        files = sorted(set(_weight_map(index).values()))
        if absent := [f for f in files if not (folder / f).is_file()]:
            raise UsageError(
                f"{index} names {some(absent)}, not in the folder: download the checkpoint again"
            )
        return [folder / f for f in files]
    if found := sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern)):
        raise UsageError(
            f"{folder} has {some(found)} and no {SINGLE}: weights are read from safetensors only, convert them"
        )
    raise UsageError(f"{folder} has no weights: neither {SINGLE} nor {INDEX}")


def entries(folder: Path) -> dict[str, Entry]:
    """Every tensor on disk by its name, in the order it lies in its file.

    Raises:
        UsageError: as `weight_files`; a file is torn, no safetensors file, a git-lfs pointer; two files have the same
            tensor; index and files differ; a tensor that is no floating point number.
    """
    found: dict[str, Entry] = {}
    odd: list[str] = []
    for path in weight_files(folder):
        with opened(path) as file:
            for name in file.offset_keys():
                if name in found:
                    raise UsageError(f"{name} is in {found[name].path} and in {path}: which one is meant?")
                piece = file.get_slice(name)
                if piece.get_dtype() not in _FLOATS:
                    odd.append(f"{name} ({piece.get_dtype()})")
                found[name] = Entry(path, tuple(piece.get_shape()))
    if odd:
        raise UsageError(f"{folder}: quantised weights are not supported: {some(odd)}")
    if (index := folder / INDEX).is_file():
        named = _weight_map(index)
        wrong = [n for n in named if n not in found or found[n].path.name != named[n]]
        wrong += [n for n in found if n not in named]
        if wrong:
            raise UsageError(f"{index} and the files it names do not agree about {some(sorted(wrong))}")
    return found


def check_whole(folder: Path) -> None:
    """Are the weight files as long as their own headers say? Reads the headers alone, without safetensors or torch.

    Raises:
        UsageError: as `weight_files`; a file is torn, cut off, or none.
    """
    for path in weight_files(folder):
        try:
            with path.open("rb") as file:
                _refuse_pointer(path, file.read(len(_LFS)))
                file.seek(0)
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size) if size <= _HEADER else b"")
            ends = [part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"]
            promised = 8 + size + max(ends, default=0)
        except OSError as exc:
            raise UsageError(f"{path} can't be read: {exc.strerror or exc}") from exc
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as exc:
            raise _torn(path, "its header can't be read") from exc
        if promised != (held := path.stat().st_size):
            raise _torn(path, f"it holds {held:,} bytes, and its header speaks of {promised:,}")


def _refuse_pointer(path: Path, head: bytes) -> None:
    if head == _LFS:
        raise UsageError(f"{path} is a git-lfs pointer, not the weights: run git lfs pull in its folder")


def _torn(path: Path, why: object) -> UsageError:
    return UsageError(f"{path} is torn or not a safetensors file ({why}): download it again")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file under `with`, its tensors mapped into memory. Raises UsageError when it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            _refuse_pointer(path, file.read(len(_LFS)))
        reader = safe_open(path, framework="pt", device="cpu")
    except OSError as exc:
        raise UsageError(f"{path} can't be read: {exc.strerror or exc}") from exc
    except SafetensorError as exc:
        raise _torn(path, exc) from exc
    with reader:
        yield reader


def _weight_map(index: Path) -> dict[str, str]:
    own = read_json(index).part("weight_map")
    for name, file in own.values.items():
        # A file elsewhere could be anybody's; a folder of shards is flat.
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise own.error(name, f"must name a .safetensors file in the same folder, not {file!r}")
    if not own.values:
        raise UsageError(f"{index}: weight_map is empty")
    return dict(own.values)


def some(names: list[str], most: int = 10) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
