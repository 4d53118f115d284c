"""A run as a run of Weights & Biases. The digest of the results is its id: the same results are one run there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.exports.flat import artifacts, metrics, parameters, signatures
from evalkit.exports.numbers import needed, numbers, run_digest
from reports.runs import RunView

COLUMNS = (
    "task",
    "metric",
    "label",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "n_scored",
    "protocol",
    "partial",
    "signature",
)


@dataclass(frozen=True)
class Sent:
    """The run's id there, and where it is: a URL, or offline the folder that `wandb sync` takes."""

    run_id: str
    place: str


def to_wandb(
    run: RunView, project: str = "evalkit", entity: str | None = None, *, files: bool = True
) -> Sent:
    """Send a run's results; with WANDB_MODE=offline they are written to ./wandb alone.

    Args:
        files: results.json, run.json and the report as an artifact, too.

    Raises:
        UsageError: wandb is not installed, or refuses (no key, no network).
    """
    wandb = needed("wandb", "wandb")
    os.environ.setdefault("WANDB_SILENT", "true")
    digest = run_digest(run)
    try:
        with wandb.init(
            project=project,
            entity=entity,
            id=digest,
            name=run.label,
            resume="allow",
            job_type="evaluation",
            config={**parameters(run), "evalkit": run.results.get("evalkit"), "git": run.manifest.get("git")},
            tags=["evalkit", *(["partial"] if any(n.why for n in numbers(run)) else [])],
        ) as there:
            there.summary.update(
                {**metrics(run), **{f"signature/{k}": v for k, v in signatures(run).items()}}
            )
            there.log({"results": wandb.Table(columns=list(COLUMNS), data=_rows(run))})
            if files:
                kept = wandb.Artifact(f"evalkit-{digest}", type="evaluation")
                for path in artifacts(run):
                    kept.add_file(str(path), name=path.name)
                there.log_artifact(kept)
            place = there.url or _near(Path(there.dir).parent)
    except (wandb.Error, OSError) as exc:
        raise UsageError(f"Weights & Biases: {' '.join(str(exc).split())}") from exc
    return Sent(digest, str(place))


def _near(folder: Path) -> str:
    """A folder, as seen from the current one where it lies below that."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _rows(run: RunView) -> list[list[object]]:
    out: list[list[object]] = []
    for n in numbers(run):
        low, high = n.found.get("ci") or (None, None)
        of_task = n.entry.get("protocol", "")
        cells = (
            n.task,
            n.metric,
            n.found["label"],
            n.value,
            low,
            high,
            n.found.get("n"),
            n.found.get("n_scored"),
        )
        out.append([*cells, of_task, "; ".join(n.why), n.found["signature"]])
    return out
