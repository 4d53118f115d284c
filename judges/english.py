"""Two metrics (ASR-WER, UTMOS) are defined for English only: is this English?"""

from __future__ import annotations

import re

from evalkit.records import Transcript

_CJK = re.compile(
    "[\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


def text_not_english(text: str) -> str | None:
    """A clause when `text` holds Chinese, Japanese or Korean characters, else None."""
    return "the text is not English" if _CJK.search(text) else None


def speech_not_english(transcript: Transcript | None) -> str | None:
    """A clause when the ASR engine heard another language; None for English, unknown or no transcript."""
    heard = (transcript.language if transcript else None) or "en"
    if heard.lower().replace("_", "-").split("-")[0] in ("en", "english"):
        return None
    return f"the speech was heard as {heard[:20]!r}"
