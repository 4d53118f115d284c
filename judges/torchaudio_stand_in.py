"""A stand-in for torchaudio while a model's code is imported that names it but is never let resample.

PyPI's torchaudio is a CUDA build that dies beside a CPU build of torch (embedded-default sheet section 7), and
audio reaches these models at their own rate, so names are all that is needed of it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_LOCK = threading.RLock()
"""`sys.modules` is everybody's: one import with a stand-in at a time."""


@contextmanager
def torchaudio_stand_in() -> Iterator[None]:
    """While open, `import torchaudio` gives a module whose `functional.resample` takes equal rates only."""
    names = ("torchaudio", "torchaudio.functional", "torchaudio.transforms")
    modules = {name: _module(name) for name in names}
    package, functional, transforms = modules.values()
    vars(functional)["resample"] = _no_resample
    vars(transforms).update(MFCC=_Missing, Resample=_Missing)
    vars(package).update(functional=functional, transforms=transforms)
    with _LOCK:
        before = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        try:
            yield
        finally:
            for name, module in before.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module


def _module(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)  # torch.hub asks for it to see that the package is there
    return module


class _Missing:
    """A class that is named, and must not be used."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("torchaudio is not here: resample before the model")


def _no_resample(wave: Any, orig_freq: int, new_freq: int, **_: Any) -> Any:
    if orig_freq != new_freq:
        raise ValueError(f"resample before the model: {orig_freq} Hz is not {new_freq} Hz")
    return wave
