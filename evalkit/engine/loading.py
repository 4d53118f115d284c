"""Rows to samples with their audio read and hashed, in a thread, a bounded chunk at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from evalkit.audio import AudioError, materialise
from evalkit.engine.state import TaskState
from evalkit.errors import UsageError
from evalkit.records import Audio, Failure, Sample, Turn, digest_of
from evalkit.sources import Row, Source
from evalkit.store import INSTEAD
from evalkit.task import Task

CHUNK_ITEMS = 16
CHUNK_BYTES = 4 << 20


@dataclass(slots=True)
class Item:
    """One sample on its way through the pipeline.

    Attributes:
        input: content digest of what a model would be sent; names the sample's content, not its id.
        broken: why it can't be sent at all (missing or broken audio).
        ref: what scores of its answer refer to, once there is one.
    """

    state: TaskState
    sample: Sample
    input: str
    broken: Failure | None = None
    ref: str = ""

    @property
    def instead(self) -> str:
        """Its input where a protocol says something in the model's place."""
        return INSTEAD + self.input

    @property
    def seconds(self) -> float:
        """Total audio in s, for bucketing."""
        return sum(a.seconds or 0.0 for a in self.sample.audios)

    @property
    def size(self) -> int:
        """Bytes of audio held."""
        return sum(len(a.data or b"") for a in self.sample.audios)

    def drop_audio(self) -> None:
        """Forget the encoded input once it was sent: judges don't need it, and memory has to stay flat."""
        self.sample = with_audio(self.sample, lambda a: replace(a, data=None if a.path else b""))


def with_audio(sample: Sample, change: Callable[[Audio], Audio]) -> Sample:
    """The sample with each piece of audio replaced by `change(audio)`."""
    turns = tuple(
        Turn(t.role, tuple(change(p) if isinstance(p, Audio) else p for p in t.parts)) for t in sample.turns
    )
    return replace(sample, turns=turns)


def load(state: TaskState, sample: Sample) -> Item:
    """Read and hash the audio of a sample; broken audio makes a broken item, not an exception."""
    try:
        if sample.audios:
            sample = with_audio(sample, materialise)
    except AudioError as exc:
        # Nothing was read, so the content has no digest. The word keeps a later, mended file from being taken for
        # the same input; where the file should have been plays no part, so that predictions scored in two folders
        # without their sound are of the same data.
        named = digest_of([sample.id, sample.question, sample.target])[:16]
        return Item(state, sample, f"broken:{named}", Failure("bad-audio", str(exc)))
    return Item(state, sample, input_digest(sample))


def input_digest(sample: Sample) -> str:
    """What names the content of a sample: what a model is sent; without that, the question and its answer."""
    if any(t.parts for t in sample.turns):
        return sample.content_digest()
    return digest_of([sample.id, sample.question, sample.target])


def items(state: TaskState, limit: int | None) -> Iterator[Item]:
    """Every sample of a task, loaded, in source order.

    Raises:
        UsageError: a row that can't become a sample, naming row and file.
    """
    for row in islice(rows_of(state), limit):
        yield load(state, state.unique(sample_of(state.plan.task, row)))


def rows_of(state: TaskState) -> Iterator[Row]:
    """Every row of a task. Raises UsageError when a file turns out to be unreadable on the way."""
    yield from readable(state.name, state.source)


def readable(task: str, source: Source) -> Iterator[Row]:
    """Every row of a task's data. Raises UsageError when a file turns out to be unreadable on the way."""
    try:
        yield from source.rows()
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        where = ", ".join(Path(f).name for _, f in source.files[:3])
        raise UsageError(f"{task}: the data in {source.root} ({where}) can't be read: {exc}") from exc


def sample_of(task: Task, row: Row) -> Sample:
    """A row as a sample. Raises UsageError that names task and row."""
    try:
        return task.to_sample(task.name, row)
    except UsageError as exc:
        raise UsageError(f"{task.name}: {exc}") from exc
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        raise UsageError(f"{task.name}: {row.where} can't be read as a sample: {exc}") from exc


def take(source: Iterator[Item]) -> list[Item]:
    """The next chunk: at most CHUNK_ITEMS samples or about CHUNK_BYTES of audio; empty at the end."""
    chunk: list[Item] = []
    held = 0
    for item in source:
        chunk.append(item)
        held += item.size
        if len(chunk) >= CHUNK_ITEMS or held >= CHUNK_BYTES:
            break
    return chunk
