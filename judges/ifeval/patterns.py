"""Regular expressions built from data-set text, run so that none of them can hang a run.

The public scorer puts keywords, forbidden words, section splitters and postscript markers into its
patterns *unescaped* (VoiceBench sheet, Appendix D), so ``.`` and ``(a|b)`` mean what they mean to `re`.
Text without repetition, grouping or classes is matched here. Anything else runs in a child process under
a time limit: `re` itself can't be interrupted from a thread, and another engine would mean other rules.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from functools import lru_cache
from typing import Literal

from judges.ifeval.errors import Unscorable

Operation = Literal["search", "findall", "split"]

TIME_LIMIT = 5.0
"""Seconds one guarded match may take, start of the child process included."""

_RISKY = frozenset("*+?{(|[\\")

_CHILD = """
import json, re, sys
op, pattern, flags, text = json.load(sys.stdin)
found = getattr(re, op)(pattern, text, flags=flags)
print(int(found is not None) if op == "search" else len(found))
"""


@lru_cache(maxsize=1024)
def check_pattern(pattern: str, source: str) -> None:
    """Raise `Unscorable` ("bad-regex") when `pattern`, made from the text `source`, is no valid pattern."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise Unscorable(
            "bad-regex",
            f"the data set's {source!r} is used as a regular expression and is not a valid one ({exc}); "
            "mend the row or leave it out",
        ) from exc


def is_plain(source: str) -> bool:
    """True when `source` holds nothing that can make a match slower than linear in the text."""
    return _RISKY.isdisjoint(source)


def count(op: Operation, pattern: str, text: str, *, source: str, flags: int = 0) -> int:
    """What `re` makes of it: 1 or 0 for "search", the number of matches ("findall") or pieces ("split").

    Args:
        source: the data-set text inside `pattern`; decides whether the match needs a guard.

    Raises:
        Unscorable: the pattern is invalid ("bad-regex") or took longer than `TIME_LIMIT` ("regex-timeout").
    """
    check_pattern(pattern, source)
    if not is_plain(source):
        return _guarded(op, pattern, flags, text)
    if op == "search":
        return int(re.search(pattern, text, flags) is not None)
    if op == "findall":
        return len(re.findall(pattern, text, flags))
    return len(re.split(pattern, text, flags=flags))


@lru_cache(maxsize=256)
def _guarded(op: Operation, pattern: str, flags: int, text: str) -> int:
    job = json.dumps([op, pattern, flags, text]).encode("ascii")
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD],
            input=job,
            capture_output=True,
            timeout=TIME_LIMIT,
            check=True,
        )
    except subprocess.TimeoutExpired as exc:
        raise Unscorable(
            "regex-timeout",
            f"the data set's pattern {pattern!r} ran over {TIME_LIMIT:g} s on this response; look at the row",
        ) from exc
    except (OSError, subprocess.CalledProcessError) as exc:
        raise Unscorable(
            "regex-failed", f"the data set's pattern {pattern!r} could not be run in a child process ({exc})"
        ) from exc
    return int(done.stdout)
