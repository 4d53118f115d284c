"""Data sets as declared, as the user redirects them, and as found in a folder in the hub's file layouts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.files import sha256_of
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
        citation: who is to be cited ("arXiv 2410.17196").
        edition: edition of a data set that has several ("15.0"); stands in signatures.
        files: globs of the files that hold rows, for data that doesn't lie in the hub's own layouts;
            tried in order, before those. "{config}" and "{split}" stand for config and split.
        media: globs of what the rows refer to, to be fetched along with them.
        pins: sha256 of files by name, where a published number stands on one edition of a file.
        mirrors: other copies of the same data, in their own layout, for --data-repo.
        withdrawn: the hub no longer has it, or never had: since when, and what to do instead. A local copy is read.
        hosted: False: the hub has it in a mirror only; without --data-dir the first one is read.
        keep: which rows belong to the task, where one file holds the rows of several; asked of rows that came
            with predictions, too.
        opener: finds the rows in a way of its own (a manifest's); else they are looked for as above.
    """

    repo: str
    config: str | None = None
    splits: tuple[str, ...] = ("test",)
    revision: str | None = None
    licence: str = "not stated"
    citation: str = ""
    edition: str = ""
    files: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[HubData, ...] = ()
    withdrawn: str = ""
    hosted: bool = True
    keep: Callable[[Row], bool] | None = None
    opener: Callable[[HubData, DataOptions, str], Source] | None = field(
        default=None, repr=False, compare=False
    )

    def at(self, repo: str) -> HubData:
        """The same data in another repository: a declared mirror, or a copy in this layout."""
        if repo == self.repo:
            return self
        copy = replace(
            self, repo=repo, edition="not stated" if self.edition else "", hosted=True, withdrawn=""
        )
        found = next((m for m in self.mirrors if m.repo == repo), copy)
        facts = {k: getattr(found, k) or getattr(self, k) for k in ("citation", "edition", "keep")}
        return replace(found, **facts)

    def globs(self, split: str) -> list[str]:
        """`files` with config and split filled in."""
        return [f.format(config=self.config or "", split=split) for f in self.files]


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
            **({"edition": edition} if (edition := self.edition()) else {}),
            **({"pinned": pinned} if (pinned := self.pinned()) is not None else {}),
        }

    def edition(self) -> str:
        """The edition read: as a local archive's folder names it, else as declared."""
        if not self.spec.edition:
            return ""
        if self.kind in ("local", "manifest"):
            found = re.search(r"cv-corpus-(\d+\.\d+)", self.files[0][1] if self.files else self.root)
            return found.group(1) if found else "not stated"
        return self.spec.edition

    def pinned(self) -> bool | None:
        """Are the files those a published number stands on? None when nothing is known of them."""
        known = [(f, self.spec.pins[n]) for _, f in self.files if (n := Path(f).name) in self.spec.pins]
        return all(sha256_of(f) == digest for f, digest in known) if known else None

    def rows(self) -> Iterator[Row]:
        """Every row of every split that belongs to the task, streamed."""
        keep = self.spec.keep
        return self.all_rows() if keep is None else filter(keep, self.all_rows())

    def all_rows(self) -> Iterator[Row]:
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
        found = {
            split: _declared(root, spec, split) or _split_files(root, spec, split) for split in spec.splits
        }
        if all(found.values()) or (partial and any(found.values())):
            files = [(split, str(f)) for split in spec.splits for f in found[split]]
            return Source(spec, files, str(root), kind="local")
    wanted = f"{spec.repo}/{spec.config or 'data'}/{spec.splits[0]}-*.parquet (or .jsonl, .json, .csv)"
    if globs := spec.globs(spec.splits[0]):
        wanted = f"{' or '.join(globs)}, or {wanted}"
    mirrors = ", ".join(m.repo for m in spec.mirrors if not m.withdrawn)
    raise LayoutError(
        f"{task}: found no {spec.config or 'split'}/{spec.splits[0]} of {spec.repo} in {folder}. "
        f"Expected e.g. {wanted} below it{f', or with --data-repo a copy of {mirrors}' if mirrors else ''}."
    )


def _declared(root: Path, spec: HubData, split: str) -> list[Path]:
    """Files of one split where the data set's declaration says they are."""
    return next((sorted(found) for g in spec.globs(split) if (found := list(root.glob(g)))), [])


def _split_files(root: Path, spec: HubData, split: str) -> list[Path]:
    """Files of one split in the layouts the hub uses, the most specific first."""
    config = spec.config
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
