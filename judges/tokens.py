"""Which characters of a reply each of its tokens stands for, and how likely a token was."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from evalkit.chat import Token

_RUNS = re.compile("\ufffd+|[^\ufffd]+")
_SPECIAL = re.compile(r"(?:\s|\ufffd|<[^<>]{1,60}>)*")
_PIECES = str.maketrans({"\u2581": " ", "\u0120": " ", "\u010a": "\n"})
"""How vocabularies spell a blank and a line break, where a server tells raw pieces."""


def probability(logprob: float) -> float:
    """0 to 1; 0 for minus infinity, for what stands in its place (-9999), and for nan."""
    return 0.0 if math.isnan(logprob) else math.exp(min(0.0, logprob))


def starts(reply: str, tokens: Sequence[Token]) -> list[int] | None:
    """Where in the reply each token starts, and at the end where the last one stops; None when they don't spell it.

    The reply may lack what the tokens have around it: blanks, marks of the chat template (``<|im_end|>``, ``</s>``),
    and before it a part that ends with such a mark (thinking). A token that ends inside a character shows U+FFFD
    there, of which several in a row can be one character. Places outside the reply are below 0, or beyond its end.
    """
    for texts in ([t.text for t in tokens], [t.text.translate(_PIECES) for t in tokens]):
        joined = "".join(texts)
        if (found := _plainly(reply, joined)) is None:
            found = _around_gaps(reply, joined)
        if found is not None:
            out, place = [], 0
            for text in texts:
                out.append(found[place] if isinstance(found, list) else place - found)
                place += len(text)
            out.append(found[place] if isinstance(found, list) else place - found)
            return out
    return None


def _plainly(reply: str, joined: str) -> int | None:
    """Where the reply starts in the joined tokens, when it stands there as it is."""
    shift = joined.rfind(reply) if reply else -1
    if shift < 0 or _SPECIAL.fullmatch(joined, shift + len(reply)) is None:
        return None
    head = joined[:shift].rstrip()
    return shift if not head or head.endswith(">") else None


def _around_gaps(reply: str, joined: str) -> list[int] | None:
    """The place in the reply of each character of the joined tokens, some of which are U+FFFD, and of their end."""
    if "\ufffd" not in joined:
        return None
    lead = len(joined) - len(joined.lstrip())
    places, at = list(range(-lead, 0)), 0
    runs = [m.group() for m in _RUNS.finditer(joined, lead)]
    for k, run in enumerate(runs):
        last = k == len(runs) - 1
        if at >= len(reply) and _SPECIAL.fullmatch(rest := "".join(runs[k:])):
            return [*places, *range(at, at + len(rest) + 1)]
        if run[0] != "\ufffd":
            if not _goes_on(reply, at, run, last):
                return None
            places += range(at, at + len(run))
            at += len(run)
            continue
        after = "" if last else runs[k + 1]
        ahead = k + 1 == len(runs) - 1
        steps = (n for n in range(1, len(run) + 1) if _goes_on(reply, at + n, after, ahead))
        step = len(reply) - at if last else next(steps, None)
        if step is None:
            return None
        places += [at] * len(run)
        at += step
    return [*places, at] if at >= len(reply) else None


def _goes_on(reply: str, at: int, run: str, last: bool) -> bool:
    """Does the reply go on with this run? The last one may have blanks and marks behind it."""
    if reply.startswith(run, at):
        return True
    rest = reply[at:]
    return last and bool(rest) and run.startswith(rest) and _SPECIAL.fullmatch(run, len(rest)) is not None
