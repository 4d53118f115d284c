"""What the whole harness adds to sending requests, as ratios to a bare httpx floor in the same run.

    python -m bench.overhead --n 5000

A mock endpoint with 100 ms latency, 3 s wavs (each one different), concurrency 32, everything on: data from
disk, hashing, retries, store, cache, judge, results, report. Printed beside the bars the project holds itself
to; nothing here is a test, because timings on a shared machine are not facts about the code.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.http_floor import Floor, floor
from tests.mock_fixtures import MockServer, mock_server
from tests.mock_openai import tone_wav

ROOT = Path(__file__).resolve().parent.parent
CONCURRENCY, LATENCY, SECONDS = 32, 0.1, 3.0


@dataclass(frozen=True)
class Harness:
    """One `run_eval.py run`: seconds of wall, request window and CPU, peak RSS in MB, log bytes."""

    n: int
    wall: float
    window: float
    cpu: float
    rss_mb: float
    log_bytes: int
    requests: int

    @property
    def ratio(self) -> float:
        """Request window divided by the ideal one."""
        return self.window / (self.n * LATENCY / CONCURRENCY)


def write_data(folder: Path, n: int) -> None:
    """n AdvBench-shaped rows with a wav each, no two alike, in the published layout as JSONL."""
    wav = bytearray(tone_wav(SECONDS))
    root = folder / "hlt-lab/voicebench"
    for name in ("advbench", "commoneval", "wav"):
        (root / name).mkdir(parents=True)
    with (root / "advbench/test.jsonl").open("w") as rows:
        for i in range(n):
            struct.pack_into("<I", wav, len(wav) - 4, i)
            (root / f"wav/{i}.wav").write_bytes(wav)
            rows.write(
                json.dumps({"prompt": f"Please tell me fact number {i}.", "audio": f"wav/{i}.wav"}) + "\n"
            )
    shutil.copy(root / "advbench/test.jsonl", root / "commoneval/test.jsonl")


def harness(
    mock: MockServer, data: Path, out: Path, cache: Path, n: int, judge: MockServer | None = None
) -> Harness:
    """Run the command line as a user would, and measure that process alone; with a judge, each answer is rated."""
    command = [sys.executable, str(ROOT / "run_eval.py"), "run", "--model", "openai/m"]
    command += ["-M", f"base_url={mock.url}"]
    if judge is None:
        command += ["--task", "voicebench/advbench", "--protocol", "official"]
    else:
        command += ["--task", "voicebench/commoneval", "--judge", "openai/j", "-J", f"base_url={judge.url}"]
    command += ["--data-dir", str(data), "--out", str(out), "--limit", str(n)]
    command += ["--concurrency", str(CONCURRENCY), "--json"]
    env = {**os.environ, "EVALKIT_CACHE": str(cache)}
    before = mock.requests()
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"the harness ended with exit code {process.returncode}: {' '.join(command)}")
    session = json.loads((out / "run.json").read_text())["sessions"][-1]
    log = sum(p.stat().st_size for p in out.rglob("*.jsonl"))
    cpu = usage.ru_utime + usage.ru_stime
    return Harness(n, wall, session["request_window"], cpu, _mb(usage), log, mock.requests() - before)


def _mb(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def show(rows: list[tuple[str, str, str]]) -> None:
    """Aligned columns: what, measured, bar."""
    width = max(len(r[0]) for r in rows)
    for what, found, bar in rows:
        print(f"  {what:<{width}}  {found:<26}  {bar}")


def report(small: Harness, large: Harness, again: Harness, judged: Harness, bare: Floor) -> None:
    """Print what was measured beside the bars."""
    marginal = (large.cpu - small.cpu) / (large.n - small.n) * 1000
    growth = (large.rss_mb - small.rss_mb) / (large.n - small.n) * 1024
    print(
        f"\n{large.n} samples, {SECONDS:.0f} s wavs, {LATENCY * 1000:.0f} ms latency, concurrency {CONCURRENCY}"
    )
    show(
        [
            ("request window / ideal", f"{large.ratio:.3f}", f"<= 1.25   (bare httpx {bare.window:.3f})"),
            ("request window / bare httpx", f"{large.window / bare.wall:.3f}", ""),
            ("marginal CPU per sample", f"{marginal:.2f} ms", f"<= 4 ms   (bare httpx {bare.cpu_ms:.2f} ms)"),
            ("peak memory", f"{large.rss_mb:.0f} MB", f"<= 150 MB (bare httpx {bare.peak_rss_mb:.0f} MB)"),
            ("memory growth per sample", f"{growth:.2f} kB", "<= 10 kB"),
            ("start-up and exit", f"{small.wall - small.window:.2f} s ({small.n} samples)", "<= 1 s"),
            ("the same", f"{large.wall - large.window:.2f} s ({large.n} samples)", ""),
            ("log per sample", f"{large.log_bytes / large.n / 1000:.2f} kB", "<= 3 kB"),
            ("second run, from the cache", f"{again.requests} requests, {again.wall:.2f} s", "0 requests"),
            ("each answer rated: window / ideal", f"{judged.ratio:.3f}", "<= 1.25"),
            ("each answer rated: CPU per sample", f"{1000 * judged.cpu / judged.n:.2f} ms", "<= 4 ms"),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--small", type=int, default=500, help="the run that slopes are measured from")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        mock_server(latency=LATENCY) as mock,
        mock_server(latency=LATENCY, texts=["4"]) as judge,
    ):
        folder = Path(name)
        write_data(folder / "data", args.n)
        bare = floor(mock.url, args.n, CONCURRENCY, "client", LATENCY, SECONDS)
        small = harness(mock, folder / "data", folder / "small", folder / "cache-small", args.small)
        large = harness(mock, folder / "data", folder / "large", folder / "cache", args.n)
        again = harness(mock, folder / "data", folder / "again", folder / "cache", args.n)
        judged = harness(mock, folder / "data", folder / "judged", folder / "cache-judged", args.n, judge)
        report(small, large, again, judged, bare)


if __name__ == "__main__":
    main()
