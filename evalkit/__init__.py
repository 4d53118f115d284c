"""evalkit: evaluate large audio language models, and say how every number was made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.frames import load as load
    from reports.comparison.frames import compare as compare

__version__ = "0.1.0"


_DOORS = {"load": "evalkit.frames", "compare": "reports.comparison.frames"}


def __getattr__(name: str) -> Any:
    """`evalkit.load` and `evalkit.compare`, imported when first asked for, so that `import evalkit` costs nothing."""
    if name in _DOORS:
        return getattr(import_module(_DOORS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
