"""What tests of the Fun-Audio-Chat runner share: the two tiny checkpoints, their reference arrays, the three clips.

Not a conftest: a test module that wants these imports them by name. `tests/data/fun_audio_chat/README.txt` lists
every array of `reference(kind)`. No torch is imported here.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

DATA = Path(__file__).parent / "data" / "fun_audio_chat"
DENSE = DATA / "dense"
MOE = DATA / "moe"
FOLDERS = {"dense": DENSE, "moe": MOE}
CLIPS = 3
"""Clips of 8000, 37117 and 74240 samples at 16 kHz."""

PACKAGES = ("torch", "transformers", "safetensors")
MISSING = [p for p in PACKAGES if find_spec(p) is None]

needs_torch = pytest.mark.skipif(
    bool(MISSING), reason=f'needs {", ".join(MISSING)}: pip install "evalkit[local]"'
)


@cache
def reference(kind: str) -> Mapping[str, NDArray[Any]]:
    """Every reference array of a checkpoint by name; arrays are read-only.

    Args:
        kind: "dense" or "moe". The clips and their mels (`in{i}.wav_i16`, `in{i}.mel`) are with "dense" only.
    """
    import numpy as np

    with np.load(FOLDERS[kind] / "reference.npz", allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    for array in arrays.values():
        array.flags.writeable = False
    return MappingProxyType(arrays)


def clip_wave(i: int) -> NDArray[np.float32]:
    """Clip `i` (0, 1 or 2): float32 samples in [-1, 1) at 16 kHz, shape (N,)."""
    import numpy as np

    return (reference("dense")[f"in{i}.wav_i16"] / np.float32(32768.0)).astype(np.float32)


@cache
def meta() -> Mapping[str, Any]:
    """`meta.json`: special token ids, overrides, margins, notes on every run."""
    return MappingProxyType(json.loads((DATA / "meta.json").read_text()))
