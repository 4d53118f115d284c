"""Where evalkit keeps things on this machine, and whether it may use the network.

Environment: EVALKIT_CACHE (default ~/.cache/evalkit), EVALKIT_CONFIG (default ~/.config/evalkit), EVALKIT_OFFLINE and HF_HUB_OFFLINE
(any value but "" and "0" means: no network).
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder for weights and caches; not created here."""
    if given := os.environ.get("EVALKIT_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "evalkit"


def config_dir() -> Path:
    """The folder for what the user sets up once (prompts, prices); not created here."""
    if given := os.environ.get("EVALKIT_CONFIG"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "evalkit"


def offline() -> bool:
    """True when the user forbids the network."""
    return any(os.environ.get(name, "") not in ("", "0") for name in ("EVALKIT_OFFLINE", "HF_HUB_OFFLINE"))
