"""A run as a run of MLflow: numbers, parameters, signatures, files. The same results are never logged twice."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.exports.flat import artifacts, metrics, parameters, signatures
from evalkit.exports.numbers import needed, numbers, run_digest
from reports.runs import RunView

DIGEST = "evalkit.results"
"""Tag that names the results: a run of the experiment that has it is this one."""
_DEFAULT = "mlflow.db"
"""MLflow's own store, without an address and without a folder mlruns."""
_KEY, _VALUE, _PARAM, _BATCH = 250, 5000, 6000, 900
"""Characters of a tag's or metric's name, of a tag, of a parameter; numbers sent at once. MLflow refuses more."""


@dataclass(frozen=True)
class Logged:
    """Where the results are, and whether this call put them there."""

    experiment_id: str
    run_id: str
    new: bool


def to_mlflow(
    run: RunView, tracking_uri: str | None = None, experiment: str = "evalkit", *, files: bool = True
) -> Logged:
    """Log a run's results, unless the experiment has them already.

    Args:
        tracking_uri: MLflow's store ("sqlite:///mlflow.db", "http://..."); None: as MLflow has it.
        files: results.json, run.json and the report as artifacts, too.

    Raises:
        UsageError: MLflow is not installed, or refuses.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"
    )  # a wrong address is told in seconds, not minutes
    _findable(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", ""))
    mlflow = needed("mlflow", "mlflow")
    for talkative in ("mlflow", "alembic"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    try:
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        return _log(client, mlflow.entities, run, experiment, files)
    except mlflow.exceptions.MlflowException as exc:
        raise UsageError(f"MLflow: {_said(exc)}") from exc
    except ModuleNotFoundError as exc:  # a store's own needs: sqlalchemy, alembic; drivers of databases
        what = '"evalkit[mlflow]"' if exc.name in ("sqlalchemy", "alembic") else exc.name
        raise UsageError(f"MLflow's store needs {exc.name}: pip install {what}") from exc
    except Exception as exc:
        if type(exc).__module__.partition(".")[0] != "sqlalchemy":
            raise
        raise UsageError(f"MLflow's store: {_said(exc)}. Check --tracking-uri.") from exc


def _findable(uri: str) -> None:
    """Raises UsageError for a SQLite file that can't be there: MLflow would try again for two minutes."""
    path = uri.removeprefix("sqlite:///").partition("?")[0] if uri else _DEFAULT
    if not uri and Path("mlruns").is_dir():
        return
    if path in ("", uri):
        return
    file, folder = Path(path), Path(path).parent
    if not folder.is_dir():
        raise UsageError(f"--tracking-uri {uri}: there is no folder {folder}.")
    if not os.access(folder, os.W_OK | os.X_OK) or (file.exists() and not os.access(file, os.W_OK)):
        raise UsageError(
            f"MLflow's store {path} can't be written: no permission. Name another with --tracking-uri."
        )


def _said(exc: Exception) -> str:
    """What an error says, on one line, without logins and without SQL."""
    text = str(exc).partition("\n[SQL:")[0].partition("\n(Background on")[0]
    return re.sub(r"://[^/@\s]*@", "://", " ".join(text.split()))


def _log(client: Any, entities: Any, run: RunView, experiment: str, files: bool) -> Logged:
    found = client.get_experiment_by_name(experiment)
    home = found.experiment_id if found else client.create_experiment(experiment)
    digest = run_digest(run)
    for old in client.search_runs([home], filter_string=f"tags.`{DIGEST}` = '{digest}'"):
        if old.info.status == "FINISHED":
            return Logged(home, old.info.run_id, False)
        client.delete_run(old.info.run_id)  # what a kill left half logged
    began, ended = _times(run)
    tags = {
        DIGEST: digest,
        "mlflow.runName": run.label[:_KEY],
        "mlflow.source.name": "evalkit",
        "evalkit.version": str(run.results.get("evalkit") or ""),
        "evalkit.git": str(run.manifest.get("git") or ""),
        "evalkit.partial": "; ".join(dict.fromkeys(w for n in numbers(run) for w in n.why)),
        **{f"evalkit.signature.{k}": v for k, v in signatures(run).items()},
    }
    made = client.create_run(home, start_time=began, tags=dict(_fitting(tags, _VALUE))).info.run_id
    try:
        known = [entities.Metric(k[:_KEY], v, ended, 0) for k, v in metrics(run).items()]
        given = [entities.Param(k, v) for k, v in _fitting(parameters(run), _PARAM)]
        for at in range(0, len(given), 90):
            client.log_batch(made, params=given[at : at + 90])
        for at in range(0, len(known), _BATCH):
            client.log_batch(made, metrics=known[at : at + _BATCH])
        for path in artifacts(run) if files else ():
            client.log_artifact(made, str(path))
    except BaseException:
        client.set_terminated(made, "FAILED")
        raise
    client.set_terminated(made, "FINISHED", end_time=ended)
    return Logged(home, made, True)


def _fitting(values: Mapping[str, str], most: int) -> Iterator[tuple[str, str]]:
    """Those that say something, cut to what MLflow takes; a cut is marked."""
    for key, value in values.items():
        if value:
            yield key[:_KEY], value if len(value) <= most else value[: most - 1] + "\u2026"


def _times(run: RunView) -> tuple[int, int]:
    """When the run began and ended, ms since 1970; 0 where it isn't on record."""
    at = [str(s[k]) for s in run.sessions for k in ("started", "ended") if s.get(k)]

    def stamp(text: str) -> int:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return 0
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)

    times = [t for t in map(stamp, at) if t]
    return (min(times), max(times)) if times else (0, 0)
