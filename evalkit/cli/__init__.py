"""The command line: `evalkit` and `python run_eval.py` are the same thing.

Exit codes: 0 all scored, 1 finished with errors or unscored samples, 2 usage (bad arguments, bad input,
bad key, unreachable endpoint), 3 internal (a bug, a full disk), 130 interrupted.
"""

from __future__ import annotations

from evalkit.cli.main import entry, main

__all__ = ["entry", "main"]
