"""evalkit: evaluate large audio language models, and say how every number was made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.frames import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`evalkit.load`, imported when first asked for, so that `import evalkit` costs nothing."""
    if name == "load":
        return import_module("evalkit.frames").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
