"""`report`: HTML and CSV from runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.store import Run


def call(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    runs = [Path(r) for r in args.runs]
    found = {str(r): Run(r).results() for r in runs}
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    formats = [f.strip() for f in args.format.split(",") if f.strip()]
    if unknown := sorted(set(formats) - {"html", "csv", "md"}):
        raise UsageError(f"there is no report format {unknown[0]!r}; known: html, csv, md.")
    from reports import write_report

    limits: dict[str, Any] = {}
    if args.max_samples is not None:
        limits |= {"max_samples_per_task": args.max_samples, "max_audio_samples": args.max_samples}
    if args.max_audio_mb is not None:
        limits["max_audio_mb"] = args.max_audio_mb
    for path in write_report(runs, Path(args.out) if args.out else runs[0], formats, **limits):
        print(path)
    return 0
