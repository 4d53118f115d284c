"""`manifest check`: look at a manifest of spoken style and empathy before anything is run on it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks._style_manifest import Found, check


def call(args: argparse.Namespace) -> int:
    """Print what was found; 0 when nothing has to be mended, else 2."""
    path = Path(args.file)
    found = check(path / "manifest.jsonl" if path.is_dir() else path)
    if args.json:
        print(json.dumps(as_json(found), indent=1, ensure_ascii=False))
    else:
        for track, counts in found.counts.items():
            held = ", ".join(f"{category} {n}" for category, n in sorted(counts.items()))
            print(f"{track}: {counts.total()} items ({held})")
        print(f"sha256 {found.sha256}")
        for line in found.problems:
            print(f"mend: {line}", file=sys.stderr)
        for line in found.warnings:
            print(f"note: {line}", file=sys.stderr)
    return 2 if found.problems else 0


def as_json(found: Found) -> dict[str, object]:
    """What was found, for machines; `counts` is what `manifest.meta.json` wants."""
    return {
        "problems": found.problems,
        "warnings": found.warnings,
        "sha256": found.sha256,
        "counts": {track: dict(counts) for track, counts in found.counts.items()},
    }
