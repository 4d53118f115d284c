"""CUDA graphs without CUDA: what a capture would record is recorded here, and replayed as a device would.

A capture runs nothing: afterwards all that was written is put back, and what the step computed on the way is spoilt.
A replay runs the recorded operations on the recorded tensors and numbers, whatever has become of the Python objects
around them. Memory pools and streams follow the rules of torch's allocator.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = (
    "item",
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique",
    "_to_cpu",
    "bincount",
    "multinomial",
    "rand",
)
"""Operations that wait for the device, or draw from a generator of its own."""


class Recorder(TorchDispatchMode):
    """Keeps operations as they are run, and refuses those that a capture would."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.own: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(func)
        if any(name.startswith(f"aten.{w}") for w in WAITS):
            raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({name})")
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if "index" in name and any(t.dtype == torch.bool for t in tree_leaves(args[1]) if t is not None):
            raise RuntimeError(
                f"CUDA error: operation not permitted when stream is capturing ({name}: counts)"
            )
        if func._schema.is_mutable:
            for tensor in given:
                self._keep(tensor)
        out = func(*args, **kwargs)
        known = {_memory(t) for t in given}
        made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor) and _memory(t) not in known]
        self.own |= {_memory(t) for t in made}
        self.ops.append((func, args, kwargs, out))
        return out

    def _keep(self, tensor: torch.Tensor) -> None:
        if (at := _memory(tensor)) not in self.own and at not in self.before:
            whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
            self.before[at] = whole, whole.clone()

    def undo(self) -> None:
        """Nothing was run: memory from outside is as it was, that of the capture holds what it happens to hold."""
        for whole, kept in self.before.values():
            whole.copy_(kept)
        for *_, out in self.ops:
            for tensor in tree_leaves(out):
                if isinstance(tensor, torch.Tensor) and _memory(tensor) in self.own:
                    tensor.fill_(True if tensor.dtype == torch.bool else 12345)

    def run(self) -> None:
        """What was recorded, once more."""
        for func, args, kwargs, out in self.ops:
            given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
            if func._schema.is_mutable:
                func(*args, **kwargs)
                continue
            if {_memory(t) for t in tree_leaves(out)} & {_memory(t) for t in given}:
                continue  # a view
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                old.copy_(new)


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


class Graph:
    """In the place of torch.cuda.CUDAGraph."""

    recorded: Recorder | None = None

    def replay(self) -> None:
        assert self.recorded is not None
        Device.replays += 1
        with torch.inference_mode():
            self.recorded.run()


class Stream:
    """In the place of torch.cuda.Stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device


class Capture:
    """In the place of torch.cuda.graph."""

    def __init__(self, graph: Graph, *, pool: Any, stream: Any, capture_error_mode: str) -> None:
        assert stream.device == torch.device("cpu")  # of the very device
        assert capture_error_mode == "thread_local"  # other threads of the process may use the device
        self.graph, self.pool = graph, pool

    def __enter__(self) -> None:
        Device.stream = "capture"
        users = Device.pools.setdefault(self.pool, weakref.WeakSet())
        if self.pool in Device.used and not users:
            raise RuntimeError("it->second->use_count > 0 INTERNAL ASSERT FAILED")
        if Device.refuses is not None:
            raise Device.refuses
        Device.used.add(self.pool)
        users.add(self.graph)
        self.recorder = Recorder()
        self.recorder.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self.recorder.__exit__(*exc)
        self.recorder.undo()
        if exc[0] is not None:  # the stream stays the capture's, as torch leaves it
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self.graph.recorded = self.recorder
        Device.captures += 1
        Device.stream = "own"


class Device:
    """What the pretended device counts."""

    pools: dict[Any, Any]
    used: set[Any]
    captures = replays = 0
    stream = "own"
    refuses: Exception | None = None


def pretend(monkeypatch: Any) -> type[Device]:
    """Let torch.cuda's graphs be those of this module."""
    Device.pools, Device.used = {}, set()
    Device.captures = Device.replays = 0
    Device.stream, Device.refuses = "own", None
    handles = itertools.count(1)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(handles))
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Device.stream)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda s: setattr(Device, "stream", s))
    return Device
