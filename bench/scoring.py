"""How fast predictions are scored: synthetic ones for every task of the catalogue, by the command line.

    python -m bench.scoring

Each task gets its published number of samples (made-up rows, answers of many shapes, recorded judge replies
where a judge is asked, transcripts where speech is read); what needs the sound itself is left out. One `score`
a benchmark, one process each, one after another. Nothing here is a test, because timings on a shared machine
are not facts about the code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.synthetic import predictions, size
from evalkit.registry import catalogue
from evalkit.task import Task

ROOT = Path(__file__).resolve().parent.parent
TARGET = 60.0
PROFILED = """
import cProfile, sys
from evalkit.cli import main
profile = cProfile.Profile()
code = profile.runcall(main, sys.argv[2:])
profile.dump_stats(sys.argv[1])
sys.exit(code)
"""


@dataclass(frozen=True)
class Scored:
    """One call of `score`: samples, verdicts on record, seconds of wall and CPU, peak memory in MB."""

    name: str
    tasks: int
    samples: int
    verdicts: int
    wall: float
    cpu: float
    rss_mb: float


def score(
    name: str, tasks: Sequence[Task], folder: Path, share: float, *, profile: Path | None = None
) -> Scored:
    """Write predictions for these tasks, score them as a user would, and measure that process alone."""
    words = []
    for task in tasks:
        path = folder / f"{task.name.replace('/', '_')}.jsonl"
        with path.open("wb") as file:
            for line in predictions(task, max(2, round(size(task) * share))):
                file.write(line)
        words.append(f"{task.name}={path}")
    out = folder / f"run-{name}"
    program = ["-c", PROFILED, str(profile)] if profile else [str(ROOT / "run_eval.py")]
    command = [sys.executable, *program, "score", *words, "--out", str(out), "--json", "--no-report"]
    env = {
        **os.environ,
        "EVALKIT_CACHE": str(folder / "cache"),
        "EVALKIT_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    started = time.perf_counter()
    with (folder / f"{name}.err").open("w") as said:
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{name}: exit code {process.returncode}: {(folder / f'{name}.err').read_text()}")
    entries = json.loads((out / "results.json").read_text())["tasks"].values()
    verdicts = sum(m["n_scored"] for e in entries for m in e["metrics"].values())
    samples = sum(e["n"] for e in entries)
    cpu = usage.ru_utime + usage.ru_stime
    return Scored(name, len(tasks), samples, verdicts, wall, cpu, usage.ru_maxrss / 1024)


def show(rows: Sequence[Scored]) -> None:
    """A line for each benchmark, and the total beside the bar."""
    titles = (
        ("tasks", 5),
        ("samples", 8),
        ("numbers from", 12),
        ("wall s", 7),
        ("samples/s", 9),
        ("peak MB", 8),
    )
    print(f"{'benchmark':<16}", *(f"{name:>{width}}" for name, width in titles))
    for r in rows:
        rate = r.samples / r.wall
        print(
            f"{r.name:<16} {r.tasks:>5} {r.samples:>8,} {r.verdicts:>12,} {r.wall:>7.2f} {rate:>9,.0f} {r.rss_mb:>8.0f}"
        )
    samples, wall = sum(r.samples for r in rows), sum(r.wall for r in rows)
    print(
        f"\n{samples:,} samples in {wall:.1f} s, {samples / wall:,.0f} a second, CPU {sum(r.cpu for r in rows):.1f} s, "
        f"peak memory {max(r.rss_mb for r in rows):.0f} MB   (bar: {TARGET:.0f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="BENCHMARK", action="append", help="these benchmarks only")
    parser.add_argument("--share", type=float, default=1.0, help="part of the published numbers of samples")
    parser.add_argument(
        "--profile", metavar="FILE", help="write cProfile's record of the last benchmark there"
    )
    args = parser.parse_args()
    groups: dict[str, list[Task]] = {}
    for task in catalogue().tasks.values():
        if not args.only or task.benchmark in args.only:
            groups.setdefault(task.benchmark, []).append(task)
    with tempfile.TemporaryDirectory() as name:
        profile = Path(args.profile).absolute() if args.profile else None
        rows = [score(b, tasks, Path(name), args.share, profile=profile) for b, tasks in groups.items()]
    show(rows)
    if args.share == 1.0 and not args.only:
        one = max(rows, key=lambda r: r.samples)
        with tempfile.TemporaryDirectory() as name:
            quarter = score(one.name, groups[one.name], Path(name), 0.25)
        growth = 1024 * (one.rss_mb - quarter.rss_mb) / (one.samples - quarter.samples)
        print(f"memory growth per sample: {growth:.2f} kB ({one.name}, from {quarter.samples:,} samples)")


if __name__ == "__main__":
    main()
