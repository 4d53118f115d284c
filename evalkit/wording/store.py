"""The user's store of imported texts: `prompts/<sha256>.txt` in the configuration folder, each just what was hashed.

A text is checked whenever it is read: what somebody altered is no official text any more.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from evalkit.config import config_dir
from evalkit.errors import UsageError

_MOST = 1 << 20
"""Bytes of a file that may be a prompt."""
_NAME = re.compile(r"([0-9a-f]{64})\.txt")


class Altered(UsageError):
    """A stored text is not what its name says."""


def folder() -> Path:
    """Where imported texts lie; not created here."""
    return config_dir() / "prompts"


def path_of(sha256: str) -> Path:
    """The file of a text, there or not."""
    return folder() / f"{sha256}.txt"


def read(sha256: str) -> str | None:
    """The text with this digest; None when it was not imported.

    Raises:
        Altered: the file holds something else.
        UsageError: it can't be read.
    """
    path = path_of(sha256)
    try:
        found = path.stat()
        # Never opened: a pipe would wait for ever, and what is that long is no prompt.
        data = path.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size <= _MOST else b""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise UsageError(f"the imported prompt {path} can't be read ({exc.strerror or exc})") from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Altered(
            f"the imported prompt {path} was altered: it no longer has the sha256 of its name. "
            "Delete it and import it again: run_eval.py prompts import PATH"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Altered(f"the file {path} is no imported prompt: it holds no text. Delete it") from exc


def keep(text: str) -> bool:
    """Store a text under its digest, whole or not at all; False when it was there already. Raises UsageError."""
    data = text.encode("utf-8")
    sha256 = hashlib.sha256(data).hexdigest()
    with suppress(Altered):
        if read(sha256) is not None:
            return False
    path = path_of(sha256)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(made).replace(path)
        except OSError:
            with suppress(OSError):
                Path(made).unlink()
            raise
    except OSError as exc:
        raise UsageError(
            f"the prompt can't be stored in {path.parent} ({exc.strerror or exc}); EVALKIT_CONFIG names another folder"
        ) from exc
    return True


def stored() -> list[str]:
    """sha256 of every file in the store by its name, sorted, altered or not."""
    try:
        names = [p.name for p in folder().iterdir()]
    except OSError:
        return []
    return sorted(m.group(1) for n in names if (m := _NAME.fullmatch(n)))
