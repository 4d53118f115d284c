"""The ASR engine as the pipeline sees it: spoken answers gathered into batches of like length."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from evalkit.cache import Cache
from evalkit.engine.loading import Item
from evalkit.engine.state import TaskState
from evalkit.engine.transcribing import InThread, Piece, transcribe
from evalkit.interfaces import Transcriber
from evalkit.records import Response, Transcript

Spoken = tuple[Item, Response]

ASR_BATCH = 8
"""Pieces an engine is given at once when it doesn't say how many it likes (`batch`)."""
WINDOW = 4
"""Batches in a window that is sorted by length before it is cut into batches."""
PATIENCE = 0.05
"""Seconds to wait for one more answer before a window that isn't full is heard as it is."""


class Ears:
    """Gathers answers for an ASR engine, and has them heard.

    Args:
        engine: its attribute `batch`, if it has one, says how many pieces it hears at once.
        cache: transcripts of earlier runs.
        in_thread: runs a call in a worker thread.
    """

    def __init__(self, engine: Transcriber, cache: Cache | None, in_thread: InThread) -> None:
        self._engine, self._cache, self._in_thread = engine, cache, in_thread
        self.batch = max(1, int(getattr(engine, "batch", ASR_BATCH)))
        self.window = WINDOW * self.batch if self.batch > 1 else 1

    def key(self, state: TaskState) -> str:
        """What a transcript on record is signed with: the engine, and the language asked for."""
        return f"{self._engine.signature}|{state.language or 'auto'}"

    async def gather(self, queue: asyncio.Queue[Spoken]) -> list[list[Spoken]]:
        """What is waiting, at least one answer, as batches of one language and of like length."""
        window = [await queue.get()]
        while len(window) < self.window:
            try:
                window.append(await asyncio.wait_for(queue.get(), PATIENCE))
            except TimeoutError:
                break
        return list(self._batches(window))

    def _batches(self, window: Sequence[Spoken]) -> Iterator[list[Spoken]]:
        for language in dict.fromkeys(i.state.language for i, _ in window):
            mine = [(i, r) for i, r in window if i.state.language == language]
            mine.sort(key=lambda spoken: (spoken[1].audio.seconds or 0.0) if spoken[1].audio else 0.0)
            for start in range(0, len(mine), self.batch):
                yield mine[start : start + self.batch]

    async def hear(
        self,
        batch: Sequence[Spoken],
        keep: Callable[[Item, Transcript], None] = lambda item, transcript: None,
    ) -> list[Transcript]:
        """A signed transcript of each answer of a batch, in order; a failure is a transcript with `error`.

        Args:
            keep: puts one on record; called for all before anybody waits for anything else, and also when the run
                is stopped meanwhile: the engine ends its batch in any case, and shall not have worked for nothing.
        """
        hearing = asyncio.ensure_future(self._heard(batch))
        try:
            await asyncio.shield(hearing)
        finally:
            for (item, _), transcript in zip(batch, heard := await hearing, strict=True):
                keep(item, transcript)
        return heard

    async def _heard(self, batch: Sequence[Spoken]) -> list[Transcript]:
        pieces = [Piece(r.audio, i.state.name, i.sample.id) for i, r in batch if r.audio]
        heard = await transcribe(
            self._engine, self._cache, pieces, batch[0][0].state.language, self._in_thread
        )
        return [replace(t, asr=self.key(item.state)) for (item, _), t in zip(batch, heard, strict=True)]
