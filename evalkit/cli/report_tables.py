"""`report --table`: tables in the layout of the report's own, or in one of yours."""

from __future__ import annotations

import argparse

from evalkit.errors import UsageError


def write(args: argparse.Namespace) -> int:
    """Write the tables and say where they are, or print them."""
    raise UsageError("tables are not there yet")
