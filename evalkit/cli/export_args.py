"""The arguments of `export`; declared apart, so that a bare start imports nothing of it."""

from __future__ import annotations

import argparse

TARGETS = ("model-index", "mlflow", "wandb", "csv", "parquet")


def add(p: argparse.ArgumentParser) -> None:
    """What to export, and where to."""
    p.add_argument("runs", nargs="+", metavar="RUN", help="run directories (model-index: of one model)")
    p.add_argument(
        "--to",
        required=True,
        choices=TARGETS,
        help="model-index: YAML for a model card on the Hugging Face hub; mlflow, wandb: a run of a tracker; "
        "csv, parquet: the tables of evalkit.load",
    )
    p.add_argument(
        "--out",
        metavar="FILE|DIR",
        help="where to write: model-index: a file, or - for the screen (default); csv, parquet: a folder (default: "
        "tables in the first run)",
    )
    p.add_argument(
        "--json", action="store_true", help="for machines: what was exported, and what was left out"
    )
    group = p.add_argument_group("model-index")
    group.add_argument(
        "--name", metavar="NAME", help="the model's name on the card (default: the run's label)"
    )
    group.add_argument(
        "--include-partial",
        action="store_true",
        help="also numbers that are of part of a benchmark, of smoke data, incomplete, or by a stand-in judge",
    )
    group = p.add_argument_group("trackers")
    group.add_argument("--tracking-uri", metavar="URI", help="mlflow: its store (default: as MLflow has it)")
    group.add_argument("--experiment", metavar="NAME", help="mlflow: experiment (default evalkit)")
    group.add_argument("--project", metavar="NAME", help="wandb: project (default evalkit)")
    group.add_argument("--entity", metavar="NAME", help="wandb: team or user")
    group.add_argument(
        "--no-artifacts", action="store_true", help="send numbers only: neither results.json nor the report"
    )
