"""Data sets as declared, as the user redirects them, and as found in a folder in the hub's file layouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.interfaces import UsageError
from evalkit.records import JSON
from evalkit.rows import SUFFIXES, Row, read_rows


@dataclass(frozen=True)
class HubData:
    """A data set as published: hub id, config, splits, and the columns worth reading.

    Attributes:
        repo: hub id, "hlt-lab/voicebench".
        config: name of the configuration, or None.
        splits: splits read, in order.
        revision: commit or tag to read; None means "main", resolved to a commit and recorded.
        licence: SPDX id or the card's wording.
    """

    repo: str
    config: str | None = None
    splits: tuple[str, ...] = ("test",)
    revision: str | None = None
    licence: str = "not stated"


@dataclass(frozen=True)
class DataOptions:
    """What the user says about data: a mirror folder, another revision, streaming instead of a download.

    `smoke` marks our own few questions in a benchmark's layout: never to be taken for the benchmark.
    """

    data_dir: str | None = None
    revision: str | None = None
    stream: bool = False
    smoke: bool = False


@dataclass
class Source:
    """An opened data set: files per split, in order."""

    spec: HubData
    files: list[tuple[str, str]]
    root: str
    revision: str | None = None
    kind: str = "local"
    opener: Any = None

    def describe(self) -> dict[str, JSON]:
        """For the run's manifest and the signature."""
        return {
            "repo": self.spec.repo,
            "config": self.spec.config,
            "splits": list(self.spec.splits),
            "revision": self.revision,
            "kind": self.kind,
            "licence": self.spec.licence,
        }

    def rows(self) -> Iterator[Row]:
        """Every row of every split, streamed."""
        for split, file in self.files:
            yield from read_rows(file, split=split, root=self.root, opener=self.opener)


class LayoutError(UsageError):
    """The folder holds none of the file layouts we read ourselves."""


def roots(spec: HubData, folder: Path) -> list[Path]:
    """Folders below `folder` (itself the last) that may hold a copy of the data set."""
    places = (folder / spec.repo, folder / spec.repo.split("/")[-1], folder)
    return [p for p in places if p.is_dir()]


def open_folder(spec: HubData, folder: Path, task: str, *, partial: bool = False) -> Source:
    """The files of each split; with `partial`, of those splits that are there.

    Raises:
        UsageError: no such folder.
        LayoutError: the data set isn't there, or lies there in another layout.
    """
    if not folder.is_dir():
        raise UsageError(f"{task}: --data-dir {folder} is not a folder")
    for root in roots(spec, folder):
        found = {split: _split_files(root, spec.config, split) for split in spec.splits}
        if all(found.values()) or (partial and any(found.values())):
            files = [(split, str(f)) for split in spec.splits for f in found[split]]
            return Source(spec, files, str(root), kind="local")
    wanted = f"{spec.repo}/{spec.config or 'data'}/{spec.splits[0]}-*.parquet"
    raise LayoutError(
        f"{task}: found no {spec.config or 'split'}/{spec.splits[0]} of {spec.repo} in {folder}. "
        f"Expected e.g. {wanted} (or .jsonl, .json, .csv) below it."
    )


def _split_files(root: Path, config: str | None, split: str) -> list[Path]:
    """Files of one split in the layouts the hub uses, the most specific first."""
    folders = (
        [root / config, root / "data" / config, root / config / "data"] if config else [root / "data", root]
    )
    for folder in folders:
        if not folder.is_dir():
            continue
        for suffix in SUFFIXES:
            found = sorted(folder.glob(f"{split}-*{suffix}")) or sorted(folder.glob(f"{split}{suffix}"))
            if found:
                return found
    return []
