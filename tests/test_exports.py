"""Exports that need no tracker: frames, model-index, CSV and parquet; Weights & Biases by a stand-in and offline."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import evalkit
from evalkit.exports.flat import metrics, parameters
from evalkit.exports.model_index import model_index
from evalkit.exports.numbers import run_digest
from evalkit.registry import catalogue
from reports.runs import load_runs
from tests.cli_fixtures import Bench, Done, bench, refused

pd = pytest.importorskip("pandas")

__all__ = ["bench"]

ADV, ASR, MMSU = "voicebench/advbench", "asr/common-voice-en", "mmsu/all"
REFUSAL = "I can't help with that."


def score(bench: Bench, task: str, given: list[dict[str, Any]], out: str, *more: object) -> Done:
    path = bench.tmp / f"{out}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(x) + "\n" for x in given), encoding="utf-8")
    words = ["score", path, "--task", task, "--label", "My Model", "--no-cache", "--no-report", *more]
    return bench.here(*words, "--out", bench.tmp / out)


def advbench(bench: Bench, out: str = "adv", n: int = 520) -> Path:
    given = [
        {"id": k, "text": "Sure!" if k % 65 == 0 else REFUSAL, "row": {"prompt": f"{k}"}} for k in range(n)
    ]
    assert score(bench, ADV, given, out).code == 0
    return bench.tmp / out


def speech(bench: Bench, out: str = "asr") -> Path:
    said = ("the cat sat", "a dog barked twice", "birds", "it rained all day")
    heard = ("the cat sat", "a dog parked", "bird", "it rained today")
    genders = ("female", "male", "female", "male")
    given = [
        {"id": f"u{k}", "text": t, "row": {"sentence": s, "gender": g, "client_id": f"s{k % 2}"}}
        for k, (s, t, g) in enumerate(zip(said, heard, genders, strict=True))
    ]
    done = score(bench, ASR, given, out)
    assert done.code == 0, done.said
    return bench.tmp / out


def mcq(bench: Bench, out: str = "mmsu") -> Path:
    given = [
        {
            "id": f"q{k}",
            "text": "AB"[k % 3 == 0],
            "row": {
                "question": f"{k}?",
                **{f"choice_{c}": f"{c}{k}" for c in "abcd"},
                "answer_gt": f"a{k}",
                "category": ("Perception", "Reasoning")[k % 2],
                "sub-category": "x",
                "task_name": f"t{k % 4}",
            },
        }
        for k in range(20)
    ]
    done = score(bench, MMSU, given, out)
    assert done.code == 0, done.said
    return bench.tmp / out


# --- model-index ------------------------------------------------------------------------------------


def hub() -> Any:
    return pytest.importorskip("huggingface_hub.repocard_data")


def test_the_hub_reads_it_and_writes_the_same(bench: Bench) -> None:
    """Through the hub's own classes and back; a card with it is valid."""
    card = hub()
    runs = [advbench(bench), speech(bench)]
    done = bench.here("export", *runs, "--to", "model-index")
    assert done.code == 0, done.said
    found = yaml.safe_load(done.out)
    name, results = card.model_index_to_eval_results(found["model-index"])
    assert name == "My Model" and card.eval_results_to_model_index(name, results) == found["model-index"]
    by_type = {r.metric_type: r for r in results}
    held = json.loads((runs[0] / "results.json").read_text())["tasks"][ADV]["metrics"]["refusal"]
    refusal = by_type["refusal"]
    assert refusal.metric_value == pytest.approx(held["value"], abs=1e-4)
    assert refusal.metric_args["ci_95"] == pytest.approx(held["ci"], abs=1e-4)
    assert refusal.metric_args["signature"] == held["signature"] and refusal.verified is False
    assert (refusal.dataset_type, refusal.dataset_config, refusal.dataset_split) == (
        *("hlt-lab/voicebench", "advbench", "test"),
    )
    assert by_type["wer"].task_type == "automatic-speech-recognition"
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(model_name=name, eval_results=results)
    again = ModelCard(f"---\n{data.to_yaml()}\n---\n# My Model\n").data
    assert again.eval_results == results
    # What `metadata_update` asks before it writes: the same metric again is found, another is not.
    assert all(any(new.is_equal_except_value(old) for old in results) for new in results)
    assert not by_type["wer"].is_equal_except_value(refusal)


def test_every_task_is_told_apart_on_a_card() -> None:
    """The hub groups by task type and data set; no two of our tasks may fall into one group."""
    from evalkit.exports.model_index import _apart, _block

    blocks = []
    for task in catalogue().tasks.values():
        data = {"repo": task.data.repo, "config": task.data.config, "splits": list(task.data.splits)}
        entry = {"title": task.title, "benchmark": task.benchmark, "subset": task.subset, "data": data}
        blocks.append(_block(task.name, entry | {"modality": str(task.modality)}, overall=False))
    keys = [
        (b["task"]["type"], *(b["dataset"].get(k) for k in ("type", "config", "split")))
        for b in _apart(blocks)
    ]
    assert len(set(keys)) == len(keys)


def test_what_is_no_whole_result_is_left_out_with_a_sentence(bench: Bench) -> None:
    whole, part = advbench(bench), mcq(bench)
    done = bench.here("export", whole, part, "--to", "model-index")
    assert done.code == 0 and "another number of samples than was published: mmsu/all acc" in done.err
    assert MMSU not in done.out and ADV in done.out
    more = bench.here("export", whole, part, "--to", "model-index", "--include-partial")
    assert "partial: another number of samples than was published" in more.out and MMSU in more.out
    # Of VoiceBench's overall nobody ran all parts: it isn't missed.
    assert "overall" not in done.err
    refused(bench.here("export", part, "--to", "model-index"), "--include-partial")
    refused(bench.here("export", whole, whole, "--to", "model-index"), "two of the runs have")


def test_smoke_limited_and_demo_numbers_are_left_out(bench: Bench) -> None:
    given = [{"id": k, "text": REFUSAL, "row": {"prompt": f"{k}"}} for k in range(5)]
    assert score(bench, ADV, given, "a", "--limit", "3").code == 0
    [view] = load_runs([bench.tmp / "a"])
    with pytest.raises(evalkit.errors.UsageError, match="partial data, by request"):
        model_index([view])
    results = json.loads(json.dumps(view.results))
    results["tasks"][ADV] |= {"limited": False, "n": 520}
    for change, why in (
        ({"data": {"kind": "smoke", "repo": "x"}}, "smoke data"),
        ({"limited": True}, "partial data"),
    ):
        entry = results["tasks"][ADV] | change
        doubtful = SimpleNamespace(**{**vars(view), "results": {**results, "tasks": {ADV: entry}}})
        assert why in model_index_error(view, doubtful.results)
    assert "demo model" in model_index_error(view, {**results, "model": {**results["model"], "demo": True}})


def model_index_error(view: Any, results: dict[str, Any]) -> str:
    from dataclasses import replace

    with pytest.raises(evalkit.errors.UsageError) as caught:
        model_index([replace(view, results=results)])
    return str(caught.value)


def test_it_goes_into_a_file_or_onto_the_screen(bench: Bench) -> None:
    run = advbench(bench)
    done = bench.here(
        "export", run, "--to", "model-index", "--out", bench.tmp / "card.yaml", "--name", "A: B"
    )
    assert done.code == 0 and done.out.strip().endswith("card.yaml")
    [index] = yaml.safe_load((bench.tmp / "card.yaml").read_text(encoding="utf-8"))["model-index"]
    assert index["name"] == "A: B"
    screen = bench.here("export", run, "--to", "model-index", "--json", "--out", "-")
    assert json.loads(screen.out)["model-index"][0]["results"] == index["results"]


# --- files ------------------------------------------------------------------------------------------


def test_csv_loads_without_options_and_starts_no_formula(bench: Bench) -> None:
    given = [{"id": "=1+1", "text": '=HYPERLINK("x")\r\n\x00', "row": {"prompt": 'a,"b"\n\ud800'}}]
    assert score(bench, ADV, given, "a").code == 0
    done = bench.here("export", bench.tmp / "a", "--to", "csv", "--out", bench.tmp / "t")
    assert done.code == 0 and len(done.out.splitlines()) == 4, done.said
    samples = pd.read_csv(bench.tmp / "t/samples.csv")
    assert samples.sample_id[0] == "'=1+1" and samples.text[0].startswith("'=HYPERLINK")
    results = pd.read_csv(bench.tmp / "t/results.csv")
    assert results.value.tolist() == evalkit.load(bench.tmp / "a").results.value.tolist()


def test_parquet_keeps_types(bench: Bench) -> None:
    pytest.importorskip("pyarrow")
    run = speech(bench)
    assert bench.here("export", run, "--to", "parquet", "--out", bench.tmp / "t").code == 0
    frames = evalkit.load(run)
    for name in ("samples", "scores", "results", "groups"):
        found = pd.read_parquet(bench.tmp / "t" / f"{name}.parquet")
        pd.testing.assert_frame_equal(found, getattr(frames, name), check_dtype=name != "scores")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_a_server_may_send_goes_into_files(bench: Bench, kind: str) -> None:
    """Lone surrogates and formulas in a reason and in a judge's replies; lists are JSON in a CSV."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    path = advbench(bench, n=2) / ADV / "scores.jsonl"
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    first |= {"reason": "=\ud800 \u00e9", "detail": {"replies": ["=1+1", "\udfff"]}}
    path.write_text(json.dumps(first) + "\n" + json.dumps(second) + "\n", encoding="utf-8")
    done = bench.here("export", bench.tmp / "adv", "--to", kind, "--out", bench.tmp / "t")
    assert done.code == 0, done.said
    read = pd.read_csv if kind == "csv" else pd.read_parquet
    table = read(bench.tmp / f"t/scores.{kind}").set_index("sample_id", drop=False)
    [found] = table[table.reason.notna()].to_dict("records")
    assert found["reason"] == ("'" if kind == "csv" else "") + "=\ufffd \u00e9"
    replies = json.loads(found["replies"]) if kind == "csv" else list(found["replies"])
    assert replies == ["=1+1", "\ufffd"]


# --- Weights & Biases -------------------------------------------------------------------------------


class FakeRun:
    """What the exporter uses of a run there."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.summary, self.logged, self.kept = given, {}, {}, []  # type: ignore[var-annotated]
        self.url, self.dir, self.ended = "", "/w/offline-run/files", False

    def __enter__(self) -> FakeRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True

    def log(self, values: dict[str, Any]) -> None:
        self.logged |= values

    def log_artifact(self, artifact: Any) -> None:
        self.kept.append(artifact)


def test_wandb_is_sent_numbers_signatures_and_files(bench: Bench) -> None:
    """Against the documented calls: init, summary, a table, an artifact; the digest of the results is the id."""
    runs: list[FakeRun] = []

    def init(**given: Any) -> FakeRun:
        runs.append(FakeRun(given))
        return runs[-1]

    class Artifact(SimpleNamespace):
        def add_file(self, path: str, name: str) -> None:
            self.files = [*getattr(self, "files", []), name]

    fake = SimpleNamespace(
        init=init,
        Table=lambda columns, data: (columns, data),
        Artifact=lambda name, type: Artifact(name=name, type=type),
        Error=RuntimeError,
    )
    bench.monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    run = advbench(bench)
    done = bench.here("export", run, "--to", "wandb", "--project", "p")
    assert done.code == 0 and "/w/offline-run" in done.out, done.said
    [there] = runs
    [view] = load_runs([run])
    assert there.given["id"] == run_digest(view) and there.given["project"] == "p" and there.ended
    assert there.summary[f"{ADV}/refusal"] == view.results["tasks"][ADV]["metrics"]["refusal"]["value"]
    assert there.summary[f"signature/{ADV}/refusal"].startswith(f"{ADV}|protocol=")
    columns, data = there.logged["results"]
    assert all(len(row) == len(columns) for row in data)
    assert "results.json" in there.kept[0].files
    bench.here("export", run, "--to", "wandb", "--no-artifacts")
    assert not runs[1].kept and runs[1].given["id"] == there.given["id"]

    def no_key(**given: Any) -> FakeRun:
        raise RuntimeError("api_key not configured")

    fake.init = no_key
    refused(bench.here("export", run, "--to", "wandb"), "Weights & Biases: api_key not configured")


def test_wandb_offline_writes_here(bench: Bench) -> None:
    pytest.importorskip("wandb")
    run = advbench(bench)
    bench.environ["WANDB_MODE"] = "offline"
    done = bench.process("export", run, "--to", "wandb", "--json")
    assert done.code == 0, done.said
    [sent] = json.loads(done.out)
    [folder] = (bench.tmp / "wandb").glob("offline-run-*")
    assert sent["place"] == f"wandb/{folder.name}" and sent["wandb_run"] in folder.name
    assert any(p.suffix == ".wandb" and p.stat().st_size for p in folder.iterdir())


# --- what is refused --------------------------------------------------------------------------------


def test_bad_calls_get_one_sentence(bench: Bench) -> None:
    run = advbench(bench, n=3)
    refused(bench.here("export", bench.tmp / "nowhere", "--to", "csv"), "nowhere")
    refused(bench.here("export", run, "--to", "csv", "--name", "x"), "--name has no meaning with --to csv")
    refused(bench.here("export", run, "--to", "mlflow", "--out", "x"), "--out has no meaning")
    for extra in ("mlflow", "wandb"):
        bench.monkeypatch.setitem(sys.modules, extra, None)  # type: ignore[arg-type]
        refused(bench.here("export", run, "--to", extra), f'pip install "evalkit[{extra}]"')


def test_flat_names_are_what_trackers_take(bench: Bench) -> None:
    [view] = load_runs([mcq(bench)])
    found = metrics(view)
    assert all(math.isfinite(v) for v in found.values())
    assert not any(
        set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./ ")
        for name in found
    )
    assert f"{MMSU}/acc.ci_low" in found and parameters(view)["runner"].startswith("replay/")
    assert os.fspath(bench.tmp) not in json.dumps(parameters(view))
