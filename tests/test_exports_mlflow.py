"""Export to MLflow's local store (SQLite). Heavy to import: everything that needs it is here."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from evalkit.exports.numbers import run_digest
from reports.runs import load_runs
from tests.cli_fixtures import Bench, ToyRunner, bench, refused
from tests.test_exports import ADV, advbench

__all__ = ["bench"]

for _needed in ("mlflow", "sqlalchemy", "alembic"):
    if importlib.util.find_spec(_needed) is None:
        pytest.skip(f"{_needed} is not installed (extra mlflow)", allow_module_level=True)


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of SQLAlchemy


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store for the module: making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def there(store: str, bench: Bench) -> Any:
    bench.monkeypatch.chdir(bench.tmp)
    bench.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    bench.monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    return mlflow.MlflowClient(tracking_uri=store)


def runs_of(client: Any, experiment: str) -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def test_numbers_parameters_signatures_and_files_arrive_once(store: str, there: Any, bench: Bench) -> None:
    run = advbench(bench)
    words = ["export", run, "--to", "mlflow", "--tracking-uri", store, "--experiment", "first", "--json"]
    done = bench.here(*words)
    assert done.code == 0, done.said
    [said] = json.loads(done.out)
    assert said["new"] is True
    [view] = load_runs([run])
    held = view.results["tasks"][ADV]["metrics"]["refusal"]
    [found] = runs_of(there, "first")
    assert found.info.run_id == said["mlflow_run"] and found.info.status == "FINISHED"
    assert found.data.metrics[f"{ADV}/refusal"] == held["value"]
    assert [found.data.metrics[f"{ADV}/refusal.ci_{end}"] for end in ("low", "high")] == held["ci"]
    assert found.data.metrics[f"{ADV}/refusal.n_scored"] == 520
    tags = found.data.tags
    assert tags["evalkit.results"] == run_digest(view) and tags["mlflow.runName"] == "My Model"
    assert tags[f"evalkit.signature.{ADV}/refusal"] == held["signature"] and "evalkit.partial" not in tags
    assert found.data.params[f"protocol.{ADV}"] == view.results["tasks"][ADV]["protocol"]
    assert {a.path for a in there.list_artifacts(found.info.run_id)} >= {"results.json", "run.json"}
    kept = Path(there.download_artifacts(found.info.run_id, "results.json"))
    assert kept.read_bytes() == (run / "results.json").read_bytes()
    assert json.loads(bench.here(*words).out)[0] == {**said, "new": False}
    assert len(runs_of(there, "first")) == 1


def test_other_results_are_another_run_and_a_half_logged_one_is_replaced(
    store: str, there: Any, bench: Bench
) -> None:
    bench.runner(ToyRunner)
    bench.questions(3)
    words = ["run", "--model", "toy/m", "--task", ADV, "--data-dir", bench.data, "--no-report", "--no-cache"]
    export = ["export", bench.tmp / "a", "--to", "mlflow", "--tracking-uri", store, "--experiment", "second"]
    for limit in (2, 3):
        bench.here(*words, "--out", bench.tmp / "a", "--limit", limit)
        assert bench.here(*export, "--no-artifacts").code == 0
    first, second = runs_of(there, "second")
    assert first.data.tags["evalkit.results"] != second.data.tags["evalkit.results"]
    assert "partial data, by request" in first.data.tags["evalkit.partial"]
    [view] = load_runs([bench.tmp / "a"])
    current = next(r for r in (first, second) if r.data.tags["evalkit.results"] == run_digest(view))
    there.set_terminated(current.info.run_id, "FAILED")
    assert bench.here(*export, "--no-artifacts").code == 0
    assert {r.info.status for r in runs_of(there, "second")} == {"FINISHED"}
    assert len(runs_of(there, "second")) == 2


def test_a_store_that_refuses_gets_one_sentence(there: Any, bench: Bench) -> None:
    run = advbench(bench, n=2)
    (bench.tmp / "no.db").write_text("this is no database, whatever its name says" * 9)
    for uri, said in (
        ("nosuch://x", "MLflow: "),
        ("sqlite:///nowhere/x.db", "there is no folder nowhere"),
        ("sqlite:///no.db", "MLflow's store: (sqlite3.DatabaseError) file is not a database. Check"),
    ):
        refused(bench.here("export", run, "--to", "mlflow", "--tracking-uri", uri), said)
    with bench.monkeypatch.context() as patch:  # root may write everywhere
        patch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
        closed = ("--tracking-uri", "sqlite:///new.db")
        refused(
            bench.here("export", run, "--to", "mlflow", *closed), "MLflow's store new.db can't be written"
        )
    bench.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    bench.monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = ["--to", "mlflow", "--tracking-uri", "http://me:hush-hush@127.0.0.1:1"]
    assert "hush" not in refused(
        bench.here("export", run, *words), "MLflow: API request to http://127.0.0.1:1"
    )
