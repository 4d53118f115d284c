"""The device of a bench: its name, its clock, its memory, and how fast its memory is read."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GIB = 2**30


def name_of(device: torch.device) -> str:
    """The device's name, for a heading."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    model = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")
    threads = torch.get_num_threads()
    return f"{model or 'CPU'}, {threads} thread{'s' * (threads > 1)}"


def wait(device: torch.device) -> None:
    """Until all that was asked of the device is done."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of a piece of work, the device's part of it included."""
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def clean(device: torch.device) -> None:
    """Give memory back, and count the peak anew."""
    import torch

    if device.type == "cuda":
        gc.collect()
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> tuple[int, int]:
    """Peak memory in bytes: (allocated, reserved) since `clean` on a GPU; on a CPU twice the process's peak so far."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return most, most


def bandwidth(device: torch.device, *, size: int | None = None, repeats: int = 8) -> dict[str, float]:
    """Bytes per second of memory, the best of several: "copy" (read and written) and "read" (a sum).

    Args:
        size: bytes to go over; None: 2 GiB on a GPU, 256 MiB on a CPU, in both cases far more than any cache.
    """
    import torch

    n = (size or (2 * GIB if device.type == "cuda" else GIB // 4)) // 4
    source = torch.ones(n, dtype=torch.float32, device=device)
    target = torch.empty_like(source)

    def best(work: Callable[[], object]) -> float:
        work()
        return min(seconds(work, device) for _ in range(repeats))

    found = {
        "copy": 2 * 4 * n / best(lambda: target.copy_(source)),
        "read": 4 * n / best(lambda: source.sum()),
    }
    return found
