"""What is compared, and how: the caller's choices, checked."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ALLOWABLE = ("protocol", "prompt", "data", "n", "judges", "evalkit")
"""Parts of a signature that a caller may let differ; "all" stands for all of them."""
ALL, HEADLINE = "all", "headline"


@dataclass(frozen=True)
class Settings:
    """How lines are made.

    Attributes:
        tasks: globs; none: every task.
        metrics: names of metrics; ("headline",) or ("all",).
        allow: parts of signatures that may differ.
    """

    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    groups: bool
    level: float
    draws: int
    seed: int
    allow: tuple[str, ...]

    def wants(self, task: str) -> bool:
        """Is a task to be compared?"""
        return not self.tasks or any(fnmatchcase(task, glob) for glob in self.tasks)

    def seed_of(self, *names: str) -> int:
        """The seed of one line's draws: the same however many others are compared with it."""
        return zlib.crc32("|".join((str(self.seed), *names)).encode())


def wanted_metrics(entry: Mapping[str, Any], chosen: Settings) -> list[str]:
    """Names of the metrics of a task that are compared, the headline first."""
    names = [entry["headline"], *(m for m in entry["metrics"] if m != entry["headline"])]
    if ALL in chosen.metrics:
        return names
    return [
        m for m in names if m in chosen.metrics or (m == entry["headline"] and HEADLINE in chosen.metrics)
    ]
