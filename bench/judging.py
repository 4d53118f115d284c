"""How fast judges are asked, against the endpoint's own limit, as ratios to a bare httpx floor in the same run.

    python -m bench.judging

A mock endpoint with 100 ms latency that serves 32 requests at a time; `score` over made-up answers, all of the harness
on (rubrics, contracts, store, cache, ledger, results). The floor sends the very requests the harness sent, and reads
what a careful hand would read of the replies. Window and CPU are those of the answers that a large run has more than a
small one: neither the start nor the request that finds out what the endpoint can do counts.

| way of judging | what is asked |
|---|---|
| plain | one rating per answer |
| 3 votes | three, in one request |
| 3 votes singly | three, of an endpoint that takes no `n` |
| G-Eval | one, with 20 log-probabilities per token |
| G-Eval, reasoned | the same after 120 words of reasoning |
| JSON | one, by JSON Schema |
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bench.http_floor import Floor
from bench.overhead import show
from bench.synthetic import predictions
from evalkit.registry import catalogue
from tests.mock_fixtures import mock_server

ROOT = Path(__file__).resolve().parent.parent
TASK = "voicebench/alpacaeval_full"
SLOTS, LATENCY = 32, 0.1
REASONED = "The answer keeps to the question, and says in order what was asked for; " * 8 + "so: [[4]]"


@dataclass(frozen=True)
class Way:
    """A way of judging: arguments of the command line, what the mock does, requests per answer."""

    name: str
    words: tuple[str, ...] = ()
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    requests: int = 1


GEVAL = ("-O", "judge_scoring=geval")
WAYS = (
    Way("plain"),
    Way("3 votes", ("--protocol", "official")),
    Way("3 votes singly", ("--protocol", "official"), {"refuse_n": True}, 3),
    Way("G-Eval", GEVAL),
    Way("G-Eval, reasoned", GEVAL, {"texts": [REASONED]}),
    Way("JSON", ("-O", "judge_output=json")),
)


@dataclass(frozen=True)
class Judged:
    """One `run_eval.py score`: answers, requests, seconds between the first and the last, CPU seconds, one request."""

    n: int
    requests: int
    window: float
    cpu: float
    cache_bytes: int
    request: dict[str, Any]


def judged(way: Way, answers: Path, n: int, folder: Path) -> Judged:
    """Judge n answers as a user would, and measure that process alone."""
    behaviour = {"texts": ["4"], **way.behaviour}
    with mock_server(latency=LATENCY, slots=SLOTS, **behaviour) as mock:
        command = [sys.executable, str(ROOT / "run_eval.py"), "score", str(answers), "--task", TASK]
        command += ["--limit", str(n), "--judge", "openai/j", "-J", f"base_url={mock.url}", *way.words]
        command += ["--judge-concurrency", str(SLOTS), "--out", str(folder / "run"), "--json", "--no-report"]
        env = {**os.environ, "EVALKIT_CACHE": str(folder / "cache")}
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        if process.returncode != 0:
            raise SystemExit(f"{way.name}: exit code {process.returncode}\n{said.decode()[-2000:]}")
        stats = mock.stats()
    kept = sum(p.stat().st_size for p in (folder / "cache").rglob("*") if p.is_file())
    cpu = usage.ru_utime + usage.ru_stime
    return Judged(n, stats["requests"], stats["seconds"], cpu, kept, stats["last"])


def floor(way: Way, request: Mapping[str, Any], n: int) -> Floor:
    """Send such requests n times from a fresh process that does nothing else."""
    with mock_server(latency=LATENCY, slots=SLOTS, **{"texts": ["4"], **way.behaviour}) as mock:
        given = json.dumps({"url": mock.url, "n": n, "request": request})
        command = [sys.executable, "-m", "bench.judging", "--child"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=ROOT, env=env, input=given, check=True, capture_output=True, text=True
        )
    return Floor(**json.loads(done.stdout))


def measure(url: str, n: int, request: dict[str, Any]) -> Floor:
    """Send n requests from this process, after a warm-up that opens the connections."""
    from evalkit.runners.httpx_module import httpx

    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}

    async def send(client: Any, count: int) -> None:
        numbers = iter(range(count))

        async def worker() -> None:
            for k in numbers:
                body = json.dumps({**request, "user": str(k)}).encode()
                reply = await client.post(f"{url}/chat/completions", content=body, headers=headers)
                assert all(c["message"]["content"] for c in json.loads(reply.content)["choices"])

        await asyncio.gather(*(worker() for _ in range(SLOTS)))

    async def both() -> tuple[float, float]:
        limits = httpx.Limits(max_connections=SLOTS, max_keepalive_connections=SLOTS)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            await send(client, 2 * SLOTS)
            wall, cpu = time.perf_counter(), time.process_time()
            await send(client, n)
            return time.perf_counter() - wall, time.process_time() - cpu

    wall, cpu = asyncio.run(both())
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Floor("client", n, SLOTS, wall, cpu, rss, LATENCY)


def rows(way: Way, answers: Path, n: int, small: int) -> list[tuple[str, str, str]]:
    """What one way of judging costs, beside the floor."""
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        few, many = judged(way, answers, small, Path(a)), judged(way, answers, n, Path(b))
    bare = floor(way, many.request, n * way.requests)
    window, ideal = many.window - few.window, (n - small) * way.requests * LATENCY / SLOTS
    cpu = (many.cpu - few.cpu) / (n - small) * 1000
    kept = (many.cache_bytes - few.cache_bytes) / (n - small) / 1000
    floors = bare.cpu_ms * way.requests
    return [
        (f"{way.name}: window / ideal", f"{window / ideal:.3f}", f"bare httpx {bare.window:.3f}"),
        (
            "  window / bare httpx",
            f"{window / ideal / bare.window:.3f}",
            f"{(n - small) / window:.0f} answers/s",
        ),
        ("  CPU per judged answer", f"{cpu:.2f} ms", f"bare httpx {floors:.2f} ms ({cpu / floors:.1f} x)"),
        ("  requests, cache per answer", f"{many.requests / n:.3f}, {kept:.1f} kB", ""),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=600, help="answers per way of judging")
    parser.add_argument("--small", type=int, default=100, help="the run that slopes are measured from")
    parser.add_argument("--only", help="the ways whose names have this in them")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        given = json.load(sys.stdin)
        print(json.dumps(asdict(measure(given["url"], given["n"], given["request"]))))
        return
    task = catalogue().select([TASK])[0]
    with tempfile.TemporaryDirectory() as name:
        answers = Path(name) / "answers.jsonl"
        answers.write_bytes(b"".join(islice(predictions(task, args.n), args.n)))
        print(f"{args.n} answers, {LATENCY * 1000:.0f} ms latency, {SLOTS} at a time; one rating each")
        for way in WAYS:
            if not args.only or args.only.lower() in way.name.lower():
                show(rows(way, answers, args.n, args.small))


if __name__ == "__main__":
    main()
