"""Where evalkit keeps things on this machine, and whether it may use the network.

Environment: EVALKIT_CACHE (default ~/.cache/evalkit), EVALKIT_CONFIG (default ~/.config/evalkit), EVALKIT_OFFLINE and
HF_HUB_OFFLINE (any value but "" and "0" means: no network).
"""

from __future__ import annotations

import os
from pathlib import Path

from evalkit.errors import UsageError


def cache_dir() -> Path:
    """The folder for weights and caches; not created here."""
    if given := os.environ.get("EVALKIT_CACHE"):
        return _at_home(given, "EVALKIT_CACHE")
    return _at_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "EVALKIT_CACHE") / "evalkit"


def config_dir() -> Path:
    """The folder for what the user sets up once (prompts, prices); not created here."""
    if given := os.environ.get("EVALKIT_CONFIG"):
        return _at_home(given, "EVALKIT_CONFIG")
    return _at_home(os.environ.get("XDG_CONFIG_HOME") or "~/.config", "EVALKIT_CONFIG") / "evalkit"


def _at_home(path: str, name: str) -> Path:
    """The path, a leading "~" put right. Raises UsageError where nobody knows the home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError as exc:
        raise UsageError(f"where is home ({path})? HOME is not set; set it, or {name} to a folder") from exc


def offline() -> bool:
    """True when the user forbids the network."""
    return any(os.environ.get(name, "") not in ("", "0") for name in ("EVALKIT_OFFLINE", "HF_HUB_OFFLINE"))
