"""The mock server as a context manager, in a process of its own so that its CPU is not the client's.

with mock_server(latency=0.1, rules=[{"match": "cat", "set": {"status": 500}}]) as mock:
    ... base_url=mock.url ...
    assert mock.stats()["requests"] == 3
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
"""Variables that would send the requests of a test elsewhere."""


@dataclass(frozen=True)
class MockServer:
    """A running mock: `url` is the base_url for clients, `pid` its process."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        """The request log: counts by path and status, connections, seconds from the first request to the last reply,
        the last request and its headers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/stats", timeout=10) as reply:
            out: dict[str, Any] = json.load(reply)
            return out

    def requests(self) -> int:
        """How many requests came in, `/stats` not counted."""
        return int(self.stats()["requests"])


@contextmanager
def mock_server(**behaviour: Any) -> Iterator[MockServer]:
    """Start a mock with these `Behaviour` fields; it stops with the block, or with this process."""
    command = [sys.executable, "-m", "tests.mock_openai", "--until-stdin-closes"]
    command += ["--behaviour", json.dumps(behaviour)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdin is not None and process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.startswith("port="):
                raise RuntimeError("the mock server did not start; its error is on stderr")
            yield MockServer(int(line.removeprefix("port=")), process.pid)
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
