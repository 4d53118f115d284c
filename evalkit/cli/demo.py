"""`demo`: the demo suite on the embedded model: real speech in, real speech out, on a CPU, with no key."""

from __future__ import annotations

import argparse
import sys

from evalkit.cli import run
from evalkit.cli.main import parser
from evalkit.cli.summary import conclude
from evalkit.engine.session import execute

ABOUT = """The embedded demo: Whisper tiny.en hears the question, SmolLM2-135M answers, Piper speaks the answer.
A real and deliberately weak model: its rows are labelled `embedded demo` and are no baseline of anything.
The same small LLM stands in as judge, so every judged score below is marked as not meaningful.
"""


def call(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every sample was answered, whatever this machine lacks for scoring it."""
    print(ABOUT, file=sys.stderr)
    words = ["run", "--model", "embedded", "--suite", "demo", "--judge", "embedded", "--asr", "embedded"]
    words += ["--out", args.out, "--progress", args.progress]
    words += ["--limit", str(args.limit)] if args.limit else []
    words += ["--no-cache"] if args.no_cache else []
    job = run.prepare(parser().parse_args(words))
    run.announce(job)
    outcome = execute(job)
    return conclude(outcome, job.out, json_out=args.json, report=True, forgiving=True)
