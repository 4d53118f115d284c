"""`export`: a run for other tools."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.exports.numbers import told
from evalkit.linefiles import write_atomically
from reports.runs import RunView, load_runs

_ONLY = {
    "name": ("model-index",),
    "include_partial": ("model-index",),
    "tracking_uri": ("mlflow",),
    "experiment": ("mlflow",),
    "project": ("wandb",),
    "entity": ("wandb",),
    "no_artifacts": ("mlflow", "wandb"),
    "out": ("model-index", "csv", "parquet"),
}


def call(args: argparse.Namespace) -> int:
    """Export, and say where it went."""
    for name, targets in _ONLY.items():
        if getattr(args, name) and args.to not in targets:
            raise UsageError(
                f"--{name.replace('_', '-')} has no meaning with --to {args.to}; it is for {' and '.join(targets)}."
            )
    if args.to in ("csv", "parquet"):
        return _files(args)
    views = load_runs(args.runs)
    if args.to == "model-index":
        return _card(args, views)
    return (_mlflow if args.to == "mlflow" else _wandb)(args, views)


def _files(args: argparse.Namespace) -> int:
    from evalkit.exports.files import to_files

    out = Path(args.out) if args.out else Path(args.runs[0]) / "tables"
    written = [str(p) for p in to_files(args.runs, out, args.to)]
    print(json.dumps({"written": written}) if args.json else "\n".join(written))
    return 0


def _card(args: argparse.Namespace, views: Sequence[RunView]) -> int:
    from evalkit.exports.model_index import model_index

    found = model_index(views, args.name, include_partial=args.include_partial)
    for line in told(found.left_out):
        print(line, file=sys.stderr)
    text = (
        json.dumps({"model-index": found.value}, indent=1, ensure_ascii=False) + "\n"
        if args.json
        else found.yaml
    )
    if args.out in (None, "-"):
        print(text, end="")
    else:
        write_atomically(Path(args.out), text)
        print(args.out)
    return 0


def _mlflow(args: argparse.Namespace, views: Sequence[RunView]) -> int:
    from evalkit.exports.mlflow import to_mlflow

    out: list[dict[str, Any]] = []
    for view in views:
        found = to_mlflow(view, args.tracking_uri, args.experiment or "evalkit", files=not args.no_artifacts)
        out.append(
            {
                "run": str(view.root),
                "mlflow_run": found.run_id,
                "experiment_id": found.experiment_id,
                "new": found.new,
            }
        )
        if not args.json:
            done = "logged" if found.new else "there already"
            print(
                f"{view.root}: {done} as MLflow run {found.run_id} of experiment {args.experiment or 'evalkit'}"
            )
    if args.json:
        print(json.dumps(out, indent=1))
    return 0


def _wandb(args: argparse.Namespace, views: Sequence[RunView]) -> int:
    from evalkit.exports.wandb import to_wandb

    out = []
    for view in views:
        sent = to_wandb(view, args.project or "evalkit", args.entity, files=not args.no_artifacts)
        out.append({"run": str(view.root), "wandb_run": sent.run_id, "place": sent.place})
        if not args.json:
            print(f"{view.root}: W&B run {sent.run_id}, {sent.place}")
    if args.json:
        print(json.dumps(out, indent=1))
    return 0
