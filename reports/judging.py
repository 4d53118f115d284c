"""How a number was judged, in a few words: in whose wording, weighted or not, in what form. Read off signatures."""

from __future__ import annotations

import re
from collections.abc import Iterable

WEIGHED = re.compile(r",(geval-(?:logprobs|\d+-samples)[\w-]*)")
AS_JSON = re.compile(r"@[0-9a-f]{4}\S*,json\b")
RECORDED = re.compile(r"\brecorded x\d+ \S+")
"""Replies that came with the predictions: what they were asked with is not known."""
NOBODY = re.compile(r"(?:^|\W)unbound x\d")
_WORDING = re.compile(r":((?:own|official|user)(?:\+(?:own|official|user))*)@[0-9a-f]+")
_WORDS = {"own": "evalkit's wording", "official": "official wording", "user": "the user's wording"}


def judging(judges: Iterable[str]) -> str:
    """ "official wording; plain", "evalkit's wording; geval-logprobs; json"; "" where no model judges.

    Several judges of one number that were asked in different ways are told one by one, joined by " + ".
    """
    return " + ".join(dict.fromkeys(said for j in judges if (said := _one(j))))


def _one(signature: str) -> str:
    if NOBODY.search(signature):
        return ""
    parts = ["recorded replies"] if RECORDED.search(signature) else []
    for origin in dict.fromkeys(_WORDING.findall(signature)):
        parts.append(" and ".join(_WORDS[o] for o in origin.split("+")))
    if not parts:
        return ""
    parts.append("/".join(dict.fromkeys(WEIGHED.findall(signature))) or "plain")
    return "; ".join([*parts, "json"] if AS_JSON.search(signature) else parts)


def marks(said: str) -> list[tuple[str, str]]:
    """What of it sets a number apart from the published ones, or ties it to them: (mark, sentence)."""
    out = []
    if "geval-" in said:
        out.append(("geval", f"Ratings are weighted with their probabilities (G-Eval; {said})."))
    if "json" in said.replace(";", " ").split():
        out.append(("as-json", f"The judge was held to a JSON Schema ({said})."))
    if _WORDS["user"] in said:
        out.append(("user-wording", f"Judged in the user's own wording ({said})."))
    if _WORDS["official"] in said:
        out.append(("official-wording", f"Judged in the public toolkit's wording ({said})."))
    return out
