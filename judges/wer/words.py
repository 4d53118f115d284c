"""Words as the languages write them, for data of one's own: compute-wer ends a word at any letter beyond ASCII."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GAPLESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Tibetan, Myanmar, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # iteration marks and zero, kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_WORDS = re.compile(rf"[{_GAPLESS}]|[^\s{_GAPLESS}]+")
_CHARS = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Words:
    """What stands between blanks; of scripts without gaps between words (Han, kana, Thai, ...) each character.

    Attributes:
        char: every character but blanks is a token.
    """

    char: bool = False

    @property
    def label(self) -> str:
        """For signatures."""
        return "chars" if self.char else "words"

    def fold(self, token: str) -> str:
        """The token as it is compared: in any case."""
        return token.upper()

    def tokens(self, text: str) -> list[str]:
        """Tokens of a text, spelled as in the text."""
        return (_CHARS if self.char else _WORDS).findall(text)
