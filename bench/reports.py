"""What a report of 20,000 samples costs to build and to use, beside reading the same lines with json alone.

    python -m bench.reports

Made-up predictions of five tasks (ASR with its alignments, choices, ratings by a recorded judge, function calls,
spoken answers with their transcripts and sound), scored by the command line, then `report RUN --format html` in a
process of its own; where there is a chromium and playwright, also how long the page takes in it. Nothing here is
a test, because timings on a shared machine are not facts about the code; the ratios beside them nearly are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.overhead import show
from bench.synthetic import predictions
from evalkit.registry import catalogue
from tests.mock_openai import tone_wav

ROOT = Path(__file__).resolve().parent.parent
SHARES = {
    "asr/common-voice-en": 0.545,
    "mmsu/all": 0.25,
    "voicebench/commoneval": 0.15,
    "speech-fc/bfcl-single": 0.05,
    "ultraeval-audio/triviaqa": 0.005,
}
"""Parts of the samples by task."""
SPOKEN = "ultraeval-audio/triviaqa"
READ = """
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).rglob("*.jsonl"):
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
"""


@dataclass(frozen=True)
class Took:
    """One process: seconds of wall and CPU, peak memory in MB."""

    wall: float
    cpu: float
    rss_mb: float


def measured(command: Sequence[str], env: dict[str, str] | None = None) -> Took:
    """Run a command to its end and measure that process alone."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env or dict(os.environ), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    return Took(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _lines(task: str, n: int, folder: Path) -> Iterator[bytes]:
    rng = random.Random(task)
    for k, line in enumerate(predictions(catalogue().tasks[task], n)):
        if task != SPOKEN:
            yield line
            continue
        sound = folder / f"{k}.wav"
        sound.write_bytes(tone_wav(rng.uniform(0.5, 4.0), rate=16000, hz=rng.uniform(100, 400)))
        yield json.dumps(json.loads(line) | {"audio": str(sound)}).encode() + b"\n"


def make_run(folder: Path, n: int, out: str = "run") -> Path:
    """A run directory with n samples, scored from made-up predictions."""
    words = []
    sounds = folder / "sounds"
    sounds.mkdir(exist_ok=True)
    for task, share in SHARES.items():
        path = folder / f"{task.replace('/', '_')}.jsonl"
        with path.open("wb") as file:
            file.writelines(_lines(task, max(2, round(n * share)), sounds))
        words.append(f"{task}={path}")
    run = folder / out
    env = {
        **os.environ,
        "EVALKIT_CACHE": str(folder / "cache"),
        "EVALKIT_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    measured(
        [
            sys.executable,
            str(ROOT / "run_eval.py"),
            "score",
            *words,
            "--out",
            str(run),
            "--json",
            "--no-report",
        ],
        env,
    )
    return run


def report(run: Path, out: Path, *options: str) -> Took:
    """Build the page of a run as a user does."""
    command = [
        sys.executable,
        str(ROOT / "run_eval.py"),
        "report",
        str(run),
        "--out",
        str(out),
        "--format",
        "html",
    ]
    return measured([*command, *options])


def in_browser(page: Path, route: str, word: str) -> dict[str, float]:
    """Milliseconds in chromium; {} where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    if (found := shutil.which("chromium")) is None:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(page.as_uri())
        timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
        out = {"page ready": float(tab.evaluate(timing)), "first paint": float(tab.evaluate(paint))}
        started = time.perf_counter()
        tab.evaluate(f"location.hash = '#/{route}'")
        tab.wait_for_selector(".view.on .item")
        out["samples open"] = 1000 * (time.perf_counter() - started)
        started = time.perf_counter()
        tab.fill(".view.on .toolbar input", word)
        count = "document.querySelector('.view.on .count').textContent"
        while len(set(str(tab.evaluate(count)).split(" of "))) == 1:
            time.sleep(0.002)
        out["search (120 ms of it waiting for more keys)"] = 1000 * (time.perf_counter() - started)
        tab.fill(".view.on .toolbar input", "")
        while len(set(str(tab.evaluate(count)).split(" of "))) > 1:
            time.sleep(0.002)
        started = time.perf_counter()
        tab.select_option(".view.on .toolbar select[aria-label='Outcome']", index=1)
        tab.evaluate("new Promise((done) => requestAnimationFrame(done))")
        out["filter by outcome"] = 1000 * (time.perf_counter() - started)
        out["elements in the list"] = float(
            tab.evaluate("document.querySelectorAll('.view.on .item').length")
        )
        browser.close()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000, help="samples")
    parser.add_argument("--keep", metavar="DIR", help="make everything there, and leave it there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(args.keep or name)
        folder.mkdir(parents=True, exist_ok=True)
        run = folder / "run" if (folder / "run/results.json").exists() else make_run(folder, args.n)
        floor = measured([sys.executable, "-c", READ, str(run)])
        idle = measured(
            [sys.executable, "-c", "import reports.html, reports.tables, numpy, jinja2, soundfile"]
        )
        page = report(run, folder / "page")
        bundle = report(run, folder / "bundle", "--bundle")
        log = sum(p.stat().st_size for p in run.rglob("*.jsonl")) / 1e6
        size = (folder / "page/report.html").stat().st_size / 1e6
        files = list((folder / "bundle/audio").glob("*"))
        sound = sum(p.stat().st_size for p in files) / 1e6
        told = f"{len(files):,} files of audio, {sound:.0f} MB"
        print(f"\n{args.n:,} samples in {len(SHARES)} tasks, {log:.1f} MB of lines")
        show(
            [
                ("report, one file", f"{page.wall:.2f} s", "<= 10 s"),
                ("the same by json alone", f"{floor.wall:.2f} s", f"ratio {page.wall / floor.wall:.1f}"),
                ("CPU", f"{page.cpu:.2f} s", f"ratio {page.cpu / floor.cpu:.1f}"),
                ("peak memory", f"{page.rss_mb:.0f} MB", f"<= 500 MB (imports alone {idle.rss_mb:.0f} MB)"),
                ("page", f"{size:.1f} MB", f"{size / log:.2f} of the lines; audio included"),
                (
                    "report --bundle",
                    f"{bundle.wall:.2f} s, {bundle.rss_mb:.0f} MB",
                    told,
                ),
            ]
        )
        route = "r1/asr/common-voice-en"
        for what, found in in_browser(folder / "page/report.html", route, "kitchen").items():
            print(f"  chromium: {what:<46} {found:8.0f}{'' if 'elements' in what else ' ms'}")


if __name__ == "__main__":
    main()
