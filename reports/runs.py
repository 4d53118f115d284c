"""A run as reports see it: its manifest and results, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.store import Run


@dataclass(frozen=True)
class RunView:
    """One run: what ran, and what came out.

    Attributes:
        key: short name inside a report ("r1").
        label: what columns call it; runs of one model are told apart by their folder.
    """

    root: Path
    key: str
    label: str
    results: Mapping[str, Any]
    manifest: Mapping[str, Any]

    @property
    def demo(self) -> bool:
        """True when the model is no baseline of anything."""
        return bool((self.results.get("model") or {}).get("demo"))

    @property
    def given(self) -> bool:
        """True when the answers came from files of predictions: then the time they took isn't known."""
        return str((self.results.get("model") or {}).get("runner", "")).startswith("replay/")

    @property
    def smoke(self) -> bool:
        """True when every task ran on our own few questions, which are no benchmark."""
        return bool(self.tasks) and all(smoke(e) for e in self.tasks.values())

    @property
    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """Entries of results.json by task name."""
        found: Mapping[str, Mapping[str, Any]] = self.results.get("tasks") or {}
        return found

    @property
    def overalls(self) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.results.get("overall") or {}
        return found

    @property
    def suite(self) -> str:
        """The suite's name, or "" when tasks were named one by one."""
        return str(self.manifest.get("suite") or "")

    @property
    def sessions(self) -> list[Mapping[str, Any]]:
        """The calls that wrote the run, the first one first."""
        return [s for s in self.manifest.get("sessions") or () if isinstance(s, Mapping)]

    @property
    def date(self) -> str:
        """Day the run was started ("2026-11-22"), or ""."""
        return str(next((s["started"] for s in self.sessions if s.get("started")), ""))[:10]

    @property
    def seconds(self) -> float | None:
        """Wall time of all calls together, or None when none of them ended."""
        known = [float(s["seconds"]) for s in self.sessions if isinstance(s.get("seconds"), int | float)]
        return sum(known) if known else None


def load_runs(paths: Sequence[Path | str]) -> list[RunView]:
    """Read runs.

    Raises:
        UsageError: no run given, or a folder without results.json.
    """
    if not paths:
        raise UsageError("a report needs at least one run directory")
    loaded = []
    for path in paths:
        run = Run(path)
        results = run.results()
        try:
            manifest = run.manifest()
        except UsageError:  # results.json alone is enough for tables
            manifest = {}
        label = str((results.get("model") or {}).get("label") or run.root.name)
        loaded.append((run.root, label, results, manifest))
    labels = [label for _, label, _, _ in loaded]
    folders = [root.name for root, _, _, _ in loaded]

    def name(i: int) -> str:
        if labels.count(labels[i]) == 1:
            return labels[i]
        place = folders[i] if folders.count(folders[i]) == 1 else f"{folders[i]} #{i + 1}"
        return f"{labels[i]} ({place})"

    return [
        RunView(root, f"r{i + 1}", name(i), results, manifest)
        for i, (root, _, results, manifest) in enumerate(loaded)
    ]


def smoke(entry: Mapping[str, Any]) -> bool:
    """True when a task ran on our own few questions in the benchmark's layout."""
    return (entry.get("data") or {}).get("kind") == "smoke"


def own_data(entry: Mapping[str, Any]) -> bool:
    """True when a task's data is always the user's own (Table 6's three measures): it compares with no print."""
    return str((entry.get("data") or {}).get("repo", "")).startswith("local/")


def headline(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The headline metric of a task's entry."""
    found: Mapping[str, Any] = entry["metrics"][entry["headline"]]
    return found
