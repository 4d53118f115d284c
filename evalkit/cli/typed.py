"""The command as it was typed, fit to be put on record: quoted for a shell, without secrets."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evalkit.cli.options import HIDDEN, SECRET, without_secrets

_LETTER = re.compile(r"(-[MJLA]=?)(?=[^=\s])")
_SHORTEST = 8
"""Letters of an environment's secret that are too few to be looked for in a command: they may be a word of it."""


def command(argv: Sequence[str]) -> str:
    """The command line.

    Values of secret-looking names are replaced, as in run.json; so is what stands in an environment variable of such
    a name. Logins and queries of URLs are left out.

    Args:
        argv: the arguments without the program's name.
    """
    program = "run_eval.py" if Path(sys.argv[0]).name == "run_eval.py" else "evalkit"
    held = [v for k, v in os.environ.items() if SECRET.search(k) and len(v) >= _SHORTEST]
    out, scoring = [program], False
    for word in argv:
        shown = word if scoring or word.startswith("-O") else _cleaned(word)
        scoring = word == "-O"  # a scoring option is never secret: wer_tokens
        for secret in held:
            shown = shown.replace(secret, HIDDEN)
        out.append(shown)
    return shlex.join(out)


def _cleaned(word: str) -> str:
    flag = found[0] if (found := _LETTER.match(word)) and "=" in word[2:] else ""
    name, equals, value = word.removeprefix(flag).partition("=")
    if not equals:
        return without_secrets({"word": word})["word"]
    if name.startswith("--") and not value:
        return word
    bare = name.lstrip("-").replace("-", "_")
    return f"{flag}{name}={without_secrets({bare: value})[bare]}"
