"""What can be known of a device's memory: how much is left, and whether an error says that none was."""

from __future__ import annotations

import re

import torch

SAID = re.compile(r"out of memory|can't allocate memory|_ALLOC_FAILED", re.IGNORECASE)


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can still be had there, once what torch only keeps is given back; None for a CPU.

    Takes milliseconds, and waits for the device.
    """
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def give_back(device: torch.device) -> None:
    """Let other processes, and graphs, have what torch only keeps. Silent on a device that is lost."""
    if device.type == "cuda":
        try:
            torch.cuda.empty_cache()
        except RuntimeError:  # who meets the device next is told
            return


def ran_out(exc: BaseException) -> bool:
    """Did memory run out? cuBLAS, cuDNN and graphs take memory past torch, and have words of their own for it.

    An error that was raised while another one was handled counts for both: a capture that fails says so itself.
    """
    at: BaseException | None = exc
    for _ in range(8):
        if at is None:
            return False
        if isinstance(at, torch.OutOfMemoryError | MemoryError) or SAID.search(str(at)):
            return True
        at = at.__context__
    return False
