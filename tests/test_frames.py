"""A run as pandas tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import evalkit
from evalkit.audio import encode_wav
from evalkit.errors import UsageError
from evalkit.records import Audio, Transcript
from evalkit.results import build_results
from evalkit.store import RunWriter
from evalkit.task import Overall, Part
from tests.run_fixtures import CARD, TASK, answer, score, toy_plan, toy_run

pd = pytest.importorskip("pandas")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The toy run, with a spoken answer "e" from the cache, a superseded answer, and results."""
    toy_run(tmp_path)
    writer = RunWriter(tmp_path)
    sound = encode_wav(np.zeros(1600, np.float32), 16000)
    score(writer, answer(writer, "e", "old"), "acc", 0)
    speech = writer.keep_speech(Audio(data=sound))
    response = answer(writer, "e", "new", audio=speech, meta={"cached": True})
    score(writer, response, "acc", None, reason="judge-error: x")
    score(writer, response, "acc", 1, touched="random_letter")
    score(writer, response, "acc", None, reason="judge-error: y")
    writer.append_transcript(TASK, Transcript(str(speech.sha256), "whisper", "heard words"))
    overall = Overall("o", "Overall", (Part(TASK),), "formula")
    writer.write_results(build_results(writer, [toy_plan(n=5)], CARD, [overall]))
    writer.close()
    return tmp_path


def test_samples(run: Path) -> None:
    table = evalkit.load(run).samples.set_index("sample_id")
    assert list(table.index) == ["a", "b", "c", "d", "e"]
    a, d, e = (table.loc[i] for i in "ade")
    assert (a["task"], a["question"], a["target"], a["text"]) == (TASK, "a?", '["A", "B"]', "Fine.")
    assert (a["seconds_sent"], a["n_sent"], bool(a["cached"])) == (1.75, 2, False)
    assert (d["error_kind"], d["error_message"]) == ("timeout", "No answer within 60 s.")
    assert pd.isna(d["text"]) and pd.isna(a["error_kind"]) and pd.isna(a["audio"])
    assert (e["text"], e["transcript"], bool(e["cached"])) == ("new", "heard words", True)
    assert Path(e["audio"]).is_absolute() and Path(e["audio"]).is_file()


def test_scores_are_those_that_count(run: Path) -> None:
    table = evalkit.load(run).scores
    acc = table[table.metric == "acc"].set_index("sample_id")
    assert acc["value"].to_dict() == {"a": 1.0, "b": 0.0, "c": 1.0, "e": 1.0}
    assert acc.loc["e", "touched"] == "random_letter"
    wer = table[table.metric == "wer"]
    assert wer["counts_errors"].sum() / wer["counts_length"].sum() == 0.01
    gpt = table[table.metric == "gpt"].set_index("sample_id")
    assert math.isnan(gpt.loc["c", "value"]) and gpt.loc["c", "reason"].startswith("judge-error")
    assert set(table["judge"]) == {"rules@1", "gpt x1"}


def test_results_are_the_numbers_of_the_file(run: Path) -> None:
    table = evalkit.load(run).results.set_index("metric")
    acc = table.loc["acc"]
    assert (acc["value"], acc["n"], acc["n_scored"], acc["n_errors"]) == (75.0, 5, 4, 1)
    assert acc["ci_low"] < 75 < acc["ci_high"]
    assert (acc["bound_low"], acc["bound_high"]) == (60.0, 80.0)
    assert acc["signature"].startswith(f"{TASK}|protocol=official|")
    assert math.isnan(table.loc["wer", "bound_low"])
    assert math.isnan(table.loc["both", "value"]) and bool(table.loc["both", "withheld"])
    assert (table.loc["overall", "task"], table.loc["overall", "value"]) == ("o", 75.0)


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.write_manifest({"v": 1})
    writer.close()
    frames = evalkit.load(str(tmp_path))
    assert [len(t) for t in (frames.samples, frames.scores, frames.results)] == [0, 0, 0]
    assert repr(frames) == "Frames(samples: 0 rows, scores: 0 rows, results: 0 rows, groups: 0 rows)"
    assert {"sample_id", "seconds_sent"} <= set(frames.samples) and "value" in frames.scores
    assert frames.results["value"].dtype == float


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no list; .* evalkit\.load\(\*runs\)"):
        evalkit.load([tmp_path, tmp_path])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is not a run directory"):
        evalkit.load(tmp_path)


def test_other_names_are_still_unknown() -> None:
    with pytest.raises(AttributeError, match="lod"):
        evalkit.lod  # noqa: B018
