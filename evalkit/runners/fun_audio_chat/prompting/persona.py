"""The system prompt for spoken answers with a persona, which the report's VStyle runs used. Its text is not ours.

It is the published text if the user imported it (`run_eval.py prompts import CHECKOUT`), or one from a file.
Source: runner specification, section 6.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.prompting.chatml import S2M
from evalkit.wording import store
from evalkit.wording.extras import SPOKEN_S2M

SETTING = "spoken-persona"
"""What `Sample.setting` says where a persona is wanted."""
MISSING = (
    "fun-audio-chat: asked without a persona, with the plain prompt for spoken answers; the report asks these tasks "
    "with one. To have it: run_eval.py prompts import CHECKOUT (of Fun-Audio-Chat); to do without it: -M persona=none"
)
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Persona:
    """A system text for spoken answers with a persona.

    Attributes:
        system: the whole system text; None: there is no persona, the plain prompt stands.
        origin: "official" (imported), "file", "none" (the user wants none) or "missing" (wanted, not imported).
    """

    system: str | None
    origin: Literal["official", "file", "none", "missing"]

    @property
    def sha256(self) -> str | None:
        """sha256 (hex) of the system text."""
        return None if self.system is None else hashlib.sha256(self.system.encode()).hexdigest()


def persona_of(chosen: str, plain: str) -> Persona:
    """The persona that the user chose.

    Args:
        chosen: "auto" (the published one, if it was imported), "none", or a file that holds one, with or without
            the published prompt for spoken answers before it.
        plain: the system text for spoken answers, which stands before the persona.

    Raises:
        UsageError: the file can't be read or holds no text; the imported text was altered.
    """
    if chosen == "none":
        return Persona(None, "none")
    if chosen == "auto":
        found = store.read(SPOKEN_S2M.sha256)
        return Persona(None, "missing") if found is None else Persona(_joined(plain, found), "official")
    try:
        text = Path(chosen).expanduser().read_bytes()[:_MOST].decode("utf-8-sig").strip()
    except (OSError, RuntimeError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise UsageError(f"persona={chosen} can't be read ({why}): write auto, none, or a text file") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"persona={chosen} is no text file in UTF-8") from exc
    if not text:
        raise UsageError(f"persona={chosen} holds no text")
    return Persona(_joined(plain, text if text.startswith(S2M) else f"{S2M} {text}"), "file")


def _joined(plain: str, whole: str) -> str:
    """A persona's text with the run's own prompt in the place of the published one."""
    return plain + whole.removeprefix(S2M) if whole.startswith(S2M) else whole
