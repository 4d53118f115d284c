"""How a number was judged, in a few words: in whose wording, weighted or not, in what form. Read off signatures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

WEIGHED = re.compile(r",(geval-(?:logprobs|\d+-samples)[\w-]*)")
AS_JSON = re.compile(r"@[0-9a-f]{4}\S*,json\b")
RECORDED = re.compile(r"\brecorded x\d+ \S+")
"""Replies that came with the predictions: what they were asked with is not known."""
NOBODY = re.compile(r"(?:^|\W)unbound x\d")
_WORDING = re.compile(r":((?:own|official|user)(?:\+(?:own|official|user))*)@[0-9a-f]+")
_BOUND = re.compile(r"(?:^|, )(?:\w+=)?([^\s\[,]+)(?:\[[^\]]*\])?(?: \(not meaningful\))? x\d+ ")
_NOBODYS = ("unbound", "recorded")
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


def bound(judges: Iterable[str]) -> list[str]:
    """The models that these signatures name, without the options that bend them."""
    return list(dict.fromkeys(name for j in judges for name in _BOUND.findall(j) if name not in _NOBODYS))


def strangers(judges: Iterable[str], answered: Sequence[str]) -> str:
    """What is odd about the models that answered in these judges' stead, in words; "" where nothing is.

    Args:
        answered: names that endpoints report. A dated snapshot of the model bound is no stranger; two of them are.
    """
    names = bound(judges)
    unknown = [a for a in answered if not any(_same(a, b) for b in names)]
    if names and unknown:
        return f"{', '.join(unknown)} in the place of {', '.join(names)}"
    for name in names:
        mine = [
            a
            for a in answered
            if _same(a, name) and not any(len(b) > len(name) and _same(a, b) for b in names)
        ]
        if len(mine) > 1:
            return f"{', '.join(mine)} in turn, all as {name}"
    return ""


def _same(answered: str, name: str) -> bool:
    """Does the reported name hold the bound one, or its last part ("org/name")?"""
    said = answered.casefold()
    return name.casefold() in said or name.casefold().rpartition("/")[2] in said
