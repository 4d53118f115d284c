"""Clears up after a Ray cluster of our own when its run is over, however that ended: run as a script, with its folder.

It waits until its standard input closes, which the end of the run's process does, too. Then it ends what still has
the folder in its environment, and removes the folder. Needs /proc; elsewhere only the folder goes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

VARIABLE = "RAY_FOLDER_OF_EVALKIT"


def members(folder: str) -> list[int]:
    """Process ids of what belongs to the cluster."""
    mark = f"{VARIABLE}={folder}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(place.name) != os.getpid() and mark in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def main(folder: str) -> None:
    """Wait for the end, and clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for _ in range(3):  # what is just being started is seen at the next look
        for pid in members(folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
