"""What sending the requests costs without a harness: the floor that `bench/overhead.py` is measured from.

    python -m bench.http_floor --n 1000 --variant client --variant runner

starts a mock with 100 ms latency and sends it the same wavs by each variant: "client" is the bare
AsyncClient of httpx (or httpx2), "transport" its connection pool alone, "openai" AsyncOpenAI, and
"runner" evalkit's own `OpenAIRunner.generate` without an engine. Every run is a process of its own, so
that its CPU and peak memory are its own.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav

VARIANTS = ("client", "transport", "openai", "runner")
ROOT = Path(__file__).resolve().parent.parent

Ask = Callable[[int], Awaitable[str]]
"""Sends request i and returns the reply's text."""


@dataclass(frozen=True)
class Floor:
    """One run: wall and CPU seconds of the request window alone, and the process's peak RSS in MB."""

    variant: str
    n: int
    concurrency: int
    wall: float
    cpu: float
    peak_rss_mb: float
    latency: float

    @property
    def window(self) -> float:
        """Request window divided by the ideal one (n * latency / concurrency)."""
        return self.wall / (self.n * self.latency / self.concurrency)

    @property
    def cpu_ms(self) -> float:
        """CPU per request in ms."""
        return 1000 * self.cpu / self.n

    def __str__(self) -> str:
        return (
            f"{self.variant:10s} n={self.n} window/ideal={self.window:.3f} "
            f"cpu={self.cpu_ms:.2f} ms/request rss={self.peak_rss_mb:.0f} MB"
        )


def floor(
    url: str,
    n: int,
    concurrency: int = 32,
    variant: str = "client",
    latency: float = 0.1,
    seconds: float = 3.0,
) -> Floor:
    """Run a variant in a fresh process against the mock at `url`; wavs of `seconds` s at 16 kHz."""
    command = [sys.executable, "-m", "bench.http_floor", "--child", url, "--variant", variant]
    command += ["--n", str(n), "--concurrency", str(concurrency), "--latency", str(latency)]
    command += ["--seconds", str(seconds)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return Floor(**json.loads(done.stdout))


def body_of(wav: bytes, index: int) -> bytes:
    """The request body a careful hand would write."""
    payload = {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": f"question {index}"},
                    {"type": "input_audio", "input_audio": {"data": "@", "format": "wav"}},
                ],
            }
        ],
    }
    return json.dumps(payload).encode().replace(b"@", base64.b64encode(wav))


def text_of(body: bytes) -> str:
    return str(json.loads(body)["choices"][0]["message"]["content"])


def make_client(url: str, wav: bytes, concurrency: int) -> Ask:
    """The bare AsyncClient."""
    from evalkit.runners.httpx_module import httpx

    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    client = httpx.AsyncClient(limits=limits, timeout=60)
    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}

    async def ask(i: int) -> str:
        reply = await client.post(f"{url}/chat/completions", content=body_of(wav, i), headers=headers)
        return text_of(reply.content)

    return ask


def make_transport(url: str, wav: bytes, concurrency: int) -> Ask:
    """The connection pool under the AsyncClient."""
    from evalkit.runners.httpx_module import httpx

    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    pool = httpx.AsyncHTTPTransport(limits=limits)
    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}

    async def ask(i: int) -> str:
        request = httpx.Request("POST", f"{url}/chat/completions", headers=headers, content=body_of(wav, i))
        reply = await pool.handle_async_request(request)
        return text_of(await reply.aread())

    return ask


def make_openai(url: str, wav: bytes, concurrency: int) -> Ask:
    """AsyncOpenAI as its manual shows it."""
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0)

    async def ask(i: int) -> str:
        content = json.loads(body_of(b"", i))["messages"][0]["content"]
        content[1]["input_audio"]["data"] = base64.b64encode(wav).decode()
        reply = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": content}]
        )
        return reply.choices[0].message.content or ""

    return ask


def make_runner(url: str, wav: bytes, concurrency: int) -> Ask:
    """evalkit's runner, fed with samples as the engine hands them over."""
    from evalkit.audio import materialise
    from evalkit.records import Audio, Modality, Sample, Turn
    from evalkit.runners.openai import OpenAIRunner

    runner = OpenAIRunner("m", base_url=url, concurrency=concurrency)
    audio = materialise(Audio(data=wav))

    async def ask(i: int) -> str:
        turn = Turn("user", (f"question {i}", audio))
        return (await runner.generate(Sample(str(i), "bench/floor", (turn,)), Modality.S2T)).text

    return ask


def measure(url: str, n: int, concurrency: int, variant: str, latency: float, seconds: float) -> Floor:
    """Send n requests from this process, after a warm-up that opens the connections."""
    wav = tone_wav(seconds)
    make = {"client": make_client, "transport": make_transport, "openai": make_openai, "runner": make_runner}

    async def send(ask: Ask, count: int) -> None:
        numbers = iter(range(count))

        async def worker() -> None:
            for i in numbers:
                text = await ask(i)
                if f"{seconds:.1f} s" not in text:
                    raise RuntimeError(f"the mock did not hear the audio: {text!r}")

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    async def both() -> tuple[float, float]:
        ask = make[variant](url, wav, concurrency)
        await send(ask, 2 * concurrency)
        wall, cpu = time.perf_counter(), time.process_time()
        await send(ask, n)
        return time.perf_counter() - wall, time.process_time() - cpu

    wall, cpu = asyncio.run(both())
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Floor(variant, n, concurrency, wall, cpu, rss, latency)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--latency", type=float, default=0.1, help="s before each reply of the mock")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the wavs in s")
    parser.add_argument("--variant", action="append", choices=VARIANTS)
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        found = measure(args.child, args.n, args.concurrency, args.variant[0], args.latency, args.seconds)
        print(json.dumps(asdict(found)))
        return
    for variant in args.variant or VARIANTS:
        with mock_server(latency=args.latency) as mock:
            print(floor(mock.url, args.n, args.concurrency, variant, args.latency, args.seconds), flush=True)


if __name__ == "__main__":
    main()
