"""`judge-audit repeats` and `probes`: the judge is asked again."""

from __future__ import annotations

import argparse


def repeats(args: argparse.Namespace) -> int:
    """Asked again."""
    raise NotImplementedError


def probes(args: argparse.Namespace) -> int:
    """Probed."""
    raise NotImplementedError
