"""Unicode normalisation that takes no longer than its text is long, whatever a model wrote.

The library sorts each run of combining marks by insertion: one letter under 100,000 marks takes minutes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

_SHORT = 64
_LONG_RUN = re.compile(rf"[^\w\s!-~]{{{_SHORT},}}")
"""Only there can a run of marks be that long: none of them is a letter, a digit, a blank or a sign of ASCII."""


def normalized(form: Form, text: str) -> str:
    """What `unicodedata.normalize` gives."""
    if len(text) >= _SHORT and not text.isascii():
        text = _LONG_RUN.sub(lambda found: _sorted(form, found.group()), text)
    return unicodedata.normalize(form, text)


def _sorted(form: Form, text: str) -> str:
    """The text decomposed, each run of marks in canonical order: by class, those of one class as they stand."""
    apart = unicodedata.normalize
    decomposed: Form = "NFKD" if form in ("NFKC", "NFKD") else "NFD"
    out: list[str] = []
    marks: list[str] = []
    for c in "".join(apart(decomposed, c) for c in text):
        if unicodedata.combining(c):
            marks.append(c)
            continue
        out += sorted(marks, key=unicodedata.combining)
        marks = []
        out.append(c)
    return "".join([*out, *sorted(marks, key=unicodedata.combining)])
