"""Steps replayed as CUDA graphs: decoding is bound by launching kernels, some thousands a step in the 8B.

A graph belongs to a number of rows and a length of the caches. Both are rounded up, so that few graphs serve a run;
rows beyond the active ones compute in slots that nobody reads. The first step of a new size runs as it is, and so warms
up what the second one captures. Where capturing fails, steps run as they are from then on.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import torch

from evalkit.runners.fun_audio_chat.decoding.generation import step
from evalkit.runners.fun_audio_chat.decoding.memory import ran_out
from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK, Rows

FEW = (1, 2, 4, 8)
CAPTURES_AT = 2
MOST = 48
"""Graphs kept: one of the 8B has some ten thousand nodes, which take megabytes of the device's memory."""

_CAPTURING = threading.Lock()  # one capture at a time in a process
_STREAMS: dict[torch.device, Any] = {}


class Stepper:
    """Takes steps of a batch, by graphs where that works.

    Args:
        graphs: capture and replay; for CUDA and a dense model.
        fixed: always run all slots, so that the kernels, and with them the last bits, are those of any other batch.

    Attributes:
        graphs: does it capture? False after a capture failed.
        failed: did one fail?
    """

    def __init__(self, rows: Rows, *, graphs: bool, fixed: bool) -> None:
        self.rows, self.graphs, self.fixed = rows, graphs, fixed
        self.failed = False
        rows.apart = fixed
        self.block = BLOCK if graphs or fixed else BLOCK // 4
        self._met: dict[tuple[int, int], int] = {}
        self._captured: dict[tuple[int, int], Any] = {}
        self._pool: Any = None

    def forget(self) -> None:
        """The caches have moved: what was captured points at freed memory."""
        self._met.clear()
        self._captured.clear()
        self._pool = None  # torch takes no pool again whose graphs are all gone

    def size(self, n: int) -> int:
        """Rows to run for `n` active ones."""
        if self.fixed:
            return self.rows.slots
        if not self.graphs:
            return n
        near = next((f for f in FEW if f >= n), -(-n // 8) * 8)
        return min(near, self.rows.slots)

    def step(self, n: int, longest: int) -> None:
        """One step of the `n` active rows, of which the longest takes `longest` positions after it."""
        rows = self.rows
        size = self.size(n)
        if size > n:
            rows.place[n:size] = 0  # idle slots write where the next prompt will
        length = rows.length if self.fixed else min(rows.length, -(-longest // self.block) * self.block)
        if not self.graphs:
            step(rows, size, length)
            return
        key = (size, length)
        self._met[key] = met = self._met.get(key, 0) + 1
        graph = self._captured.pop(key, None)
        if graph is None and met >= CAPTURES_AT:
            graph = self._capture(size, length)
        if graph is None:
            step(rows, size, length)
            return
        self._captured[key] = graph  # the latest is last
        if len(self._captured) > MOST:
            del self._captured[next(iter(self._captured))]
        graph.replay()

    def _capture(self, size: int, length: int) -> Any:
        """A step as a graph, not yet run; None when that failed.

        Raises:
            Exception: memory ran out.
        """
        device, stream = self.rows.place.device, torch.cuda.current_stream()
        if device not in _STREAMS:  # torch's own choice is of the GPU that was the first to capture
            _STREAMS[device] = torch.cuda.Stream(device)
        try:
            # Graphs run one after the other and leave their results in `rows`: they can share memory.
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with (
                _CAPTURING,
                torch.inference_mode(),
                torch.cuda.graph(
                    graph, pool=self._pool, stream=_STREAMS[device], capture_error_mode="thread_local"
                ),
            ):
                step(self.rows, size, length)
        except Exception as exc:
            torch.cuda.set_stream(stream)  # what fails in there leaves its own stream behind
            if ran_out(exc):
                raise
            self.graphs, self.failed = False, True
            self.forget()
            why = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
            print(
                f"fun-audio-chat: no CUDA graphs, slower steps instead ({why})", file=sys.stderr, flush=True
            )
            return None
        return graph
