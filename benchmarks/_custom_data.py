"""The rows of a data set of one's own: found where its manifest says, and checked before anything is asked.

The check reads every row once: columns that are needed, ids that occur once, audio that opens. It costs a pass
over the data and saves the run that would have ended at row 900.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path

from benchmarks._custom_rows import Reader
from evalkit.audio import AudioError, materialise
from evalkit.errors import UsageError
from evalkit.folders import DataOptions, HubData, LayoutError, Source, open_folder
from evalkit.rows import SUFFIXES, Row, header_of
from evalkit.sources import open_source


@dataclass(frozen=True)
class OwnData:
    """The data of one manifest."""

    reader: Reader

    def open(self, spec: HubData, options: DataOptions, task: str) -> Source:
        """The rows: on the hub, or where the manifest says. Raises UsageError."""
        if self.reader.manifest.data.hub:
            return open_source(replace(spec, opener=None), options, task=task)
        return self._local(spec, task)

    def _local(self, spec: HubData, task: str) -> Source:
        data, home = self.reader.manifest.data, self.reader.path.parent
        place = home / str(data.path)
        if place.is_dir():
            files, root = self._layout(spec, place, task), place
        else:
            # An absolute pattern has to start at its anchor; `home` falls out of the join then.
            anchor = Path(place.anchor) if place.is_absolute() else Path()
            named = (
                sorted(anchor.glob(str(place.relative_to(anchor))))
                if has_magic(str(data.path)) and not place.exists()
                else [place]
            )
            files = [(data.split, str(f)) for f in named if f.is_file()]
            if not files:
                raise UsageError(
                    f"{self.reader.path}: data: there is no {data.path!r} beside it; paths start at the manifest"
                )
            root = Path(os.path.commonpath([Path(f).parent for _, f in files]))
        if odd := [f for _, f in files if Path(f).suffix not in SUFFIXES]:
            known = ", ".join(s.lstrip(".") for s in SUFFIXES)
            raise UsageError(
                f"{self.reader.path}: data: {Path(odd[0]).name} is none of the kinds that are read: {known}"
            )
        for _, file in files:
            self._distinct(file)
        if data.audio_dir:
            root = home / data.audio_dir
            if not root.is_dir():
                raise UsageError(
                    f"{self.reader.path}: data.audio_dir: there is no folder {data.audio_dir!r} beside it"
                )
        return Source(spec, files, str(root), kind="custom")

    def _distinct(self, file: str) -> None:
        """Of two columns called the same only one would be read."""
        names = header_of(file) if file.endswith((".csv", ".tsv")) else []
        if twice := next((n for i, n in enumerate(names) if n and n in names[:i]), None):
            raise UsageError(
                f"{self.reader.path}: data: {Path(file).name} has two columns {twice!r}; rename one"
            )

    def _layout(self, spec: HubData, folder: Path, task: str) -> list[tuple[str, str]]:
        try:
            return open_folder(replace(spec, opener=None), folder, task).files
        except LayoutError as exc:
            if any((folder / name).exists() for name in ("dataset_dict.json", "state.json")):
                what = f"{self.reader.manifest.data.path!r} was written by save_to_disk, which is not read"
                raise UsageError(
                    f"{self.reader.path}: data: {what}; write each split with to_parquet"
                ) from exc
            raise UsageError(
                f"{self.reader.path}: data: the folder {self.reader.manifest.data.path!r} has no files of split "
                f"{self.reader.manifest.data.split!r}; name a file, or give config and split"
            ) from exc

    def check(self, source: Source) -> tuple[str, ...]:
        """Every row makes a sample, every id occurs once, all audio opens; else UsageError for the first."""
        name = f"custom/{self.reader.manifest.name}"
        if source.kind in ("hub-stream", "given"):  # a look would fetch it all; rows with answers need less
            return ()
        seen: dict[str, str] = {}
        for row in source.rows():
            try:
                sample = self.reader.to_sample(name, row)
                for audio in sample.audios:
                    if materialise(audio).seconds == 0:
                        raise AudioError(f"{audio.path or audio.origin}: the audio holds no sound (0 s)")
            except AudioError as exc:
                raise UsageError(f"{name}: {row.where}: {exc}; mend the file, or leave the row out") from exc
            except UsageError as exc:
                raise UsageError(f"{name}: {exc}") from exc
            if (first := seen.setdefault(sample.id, row.where)) != row.where:
                raise UsageError(
                    f"{name}: {row.where} has the id {sample.id!r}, as has {first}; {self._unique(row)}"
                )
        if not seen:
            raise UsageError(
                f"{name}: {self.reader.manifest.data.path or self.reader.manifest.data.hub} holds no rows"
            )
        return ()

    def _unique(self, row: Row) -> str:
        if row.get(self.reader.manifest.columns.id):
            return "ids must be unique"
        return "rows without an id go by their content: give them ids, or leave one out"
