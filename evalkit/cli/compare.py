"""`compare`: what differs between runs, sample by sample, and how sure that is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import UsageError

NOT_COMPARABLE = 5
FORMATS = ("html", "csv", "md", "json")


def _listed(given: Sequence[str] | str | None) -> list[str]:
    """Words of a comma-separated option that may be repeated."""
    texts = [given] if isinstance(given, str) else given or ()
    return [w.strip() for text in texts for w in text.split(",") if w.strip()]


def call(args: argparse.Namespace) -> int:
    """Compare, print, write; 5 when a task was refused."""
    formats = _listed(args.format)
    if unknown := [f for f in formats if f not in FORMATS]:
        raise UsageError(f"a comparison has no format {unknown[0]!r}; there are: {', '.join(FORMATS)}.")
    if formats and not args.out:
        raise UsageError("--format needs --out DIR (or --out - to print one text format).")
    if args.out == "-" and (len(formats) != 1 or formats == ["html"]):
        raise UsageError("--out - prints one text format: add --format md, csv or json.")
    if args.out and args.out != "-" and Path(args.out).is_file():
        raise UsageError(f"{args.out} is a file; --out names a folder to write into.")
    if args.out and Path(args.out).suffix.lstrip(".") in FORMATS and not Path(args.out).is_dir():
        raise UsageError(
            f"--out {args.out} names a file; name the folder to write into (and --format picks)."
        )
    from reports.comparison import compare_runs, words

    found = compare_runs(
        [Path(r) for r in args.runs],
        all_pairs=args.all_pairs,
        tasks=args.task or (),
        metrics=_listed(args.metrics),
        groups=args.groups,
        level=args.level,
        draws=args.draws,
        seed=args.seed,
        allow=_listed(args.allow),
        published=args.published or (),
    )
    if not found.lines:
        raise UsageError(_nothing_shared(found))
    refused = words.refusals(found)
    shown = found.shown
    written: list[Path] = []
    if args.json or args.out == "-":
        from reports.comparison.formats import text_of

        sys.stdout.write(text_of(found, "json" if args.json else formats[0], samples=args.samples))
    elif shown:
        from reports.comparison.console import print_comparison

        print_comparison(found, sys.stdout, samples=args.samples)
    if args.out and args.out != "-" and shown:
        from reports.comparison.formats import write_comparison

        audio = {} if args.max_audio_mb is None else {"max_audio_mb": args.max_audio_mb}
        try:
            written = write_comparison(
                found, Path(args.out), formats or FORMATS, samples=args.samples, **audio
            )
        except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as exc:
            raise UsageError(
                f"{exc.filename} can't be written ({exc.strerror}); name another folder with --out."
            ) from exc
    for path in written:
        print(path, file=sys.stderr if args.json else sys.stdout)
    sys.stdout.flush()
    for sentence in refused:
        print(f"error: {sentence}", file=sys.stderr)
    if refused:
        print(words.remedy(found), file=sys.stderr)
    return NOT_COMPARABLE if refused else 0


def _nothing_shared(found: object) -> str:
    from reports.comparison import Comparison

    assert isinstance(found, Comparison)
    if any(s.kind == "published" for s in found.sides):
        return "the report prints none of these tasks' numbers for that model."
    held = [f"{s.label} has {', '.join(s.view.tasks) or 'none'}" for s in found.sides if s.view is not None]
    return f"the runs have no task in common: {'; '.join(held)}."
