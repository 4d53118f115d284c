"""`manifest`: look at a manifest of spoken style and empathy before anything is run on it.

`check` reads it; `separate` asks a model that only reads whether the words alone give the emotion away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._style_manifest import Found, check, read_item
from benchmarks._style_separation import Separation, separate
from evalkit.chat import ChatModel
from evalkit.cli import options, wording
from evalkit.cli.listing import table
from evalkit.errors import RunnerError, UsageError
from evalkit.files import numbered_lines
from evalkit.registry import make_chat
from judges.manner import Manner


def call(args: argparse.Namespace) -> int:
    """Do what was asked; the exit code."""
    path = Path(args.file)
    path = path / "manifest.jsonl" if path.is_dir() else path
    return look(path, json_out=args.json) if args.what == "check" else part(path, args)


def look(path: Path, *, json_out: bool) -> int:
    """Print what was found; 0 when nothing has to be mended, else 2."""
    found = check(path)
    if json_out:
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


def part(path: Path, args: argparse.Namespace) -> int:
    """Print which items don't belong to their track; 0 when all do, else 1. Raises UsageError."""
    if not args.judge:
        raise UsageError("say who reads: --judge openai/MODEL")
    target = path.parent / (args.write or "")
    if args.write and (Path(args.write).name != args.write or args.write in ("..", path.name)):
        raise UsageError(f"--write {args.write}: name another file in the manifest's own folder")
    if (found := check(path)).problems:
        raise UsageError(f"{found.problems[0]}. Mend it first: run_eval.py manifest check {path}")
    lines = [line.rstrip(b"\n") for _, line in numbered_lines(path)]
    items = [read_item(json.loads(x), str(path)) for x in lines]
    model = make_chat(args.judge, options.pairs(args.J, "-J"))
    manner = Manner(wording=wording.chosen(args).get(wording.OPTION, "own"))
    parted = asyncio.run(_asked(separate(items, model, manner), model))
    wrong = [s for s in parted if not s.fits]
    rows = [_row(s) for s in (parted if args.json else wrong)]
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif rows:
        print(table(rows))
    print(f"{len(parted) - len(wrong)} of {len(parted)} items belong to their track", file=sys.stderr)
    if args.write:
        keep = {i.id for i in items} - {s.item.id for s in wrong}
        kept = [x for x, i in zip(lines, items, strict=True) if i.id in keep]
        target.write_bytes(b"".join(x + b"\n" for x in kept))
        print(f"{target}: {len(kept)} items", file=sys.stderr)
    return 1 if wrong else 0


async def _asked(asking: Any, model: ChatModel) -> Sequence[Separation]:
    try:
        found: Sequence[Separation] = await asking
        return found
    except RunnerError as exc:
        raise UsageError(f"the judge: {exc.message.replace('-M base_url', '-J base_url')}") from exc
    finally:
        if (close := getattr(model, "close", None)) is not None:
            await close()


def _row(found: Separation) -> dict[str, Any]:
    state = found.item.user_state
    return {
        "id": found.item.id,
        "track": found.item.track,
        "emotion": state.emotion if state else "",
        "the words say": found.named,
        "fits": found.fits,
    }
