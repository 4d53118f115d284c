"""Numbers beside the score of the paralinguistic track: the gap to the control run. Internal-set sheet section 4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speech_style import GAP
from evalkit.segments import Segments, segment_row
from evalkit.stats import DIFFERENCE, estimate
from judges.lalm_presets import WITHHELD
from tests.cli_fixtures import Bench, Done, bench, lines, refused, result
from tests.mock_gemini import KEY, FakeGemini
from tests.test_speech_style import OWN, PARALINGUISTIC, predictions

__all__ = ["bench"]


@pytest.fixture(autouse=True)
def key(bench: Bench) -> None:
    bench.environ["GEMINI_API_KEY"] = KEY


def scored(bench: Bench, path: Path, *more: object, task: str = PARALINGUISTIC) -> Done:
    args = ["score", path, "--task", task, "--data-dir", OWN, "--out", bench.tmp / "a", "--no-report"]
    return bench.here(*args, *more)


def live(fake: FakeGemini, *more: object) -> list[object]:
    return ["--lalm-judge", "gemini/x", "-L", f"base_url={fake.url}", "--judge-concurrency", 1, *more]


SPOKEN: dict[str, dict[str, Any]] = {"ep-1": {"audio": "x.wav"}, "ep-2": {"audio": "x.wav"}}


@pytest.mark.parametrize(
    ("texts", "score", "control", "gap"),
    [
        (("[[4]]", "[[3]]", "[[5]]", "[[3]]"), 4.5, 3.0, 1.5),
        (("[[4]]", "[[4]]", "[[3]]", "[[3]]"), 3.5, 3.5, 0.0),
        (("[[2]]", "[[4]]", "[[3]]", "[[4]]"), 2.5, 4.0, -1.5),
    ],
)
def test_the_gap_stands_beside_the_score(
    bench: Bench, texts: tuple[str, ...], score: float, control: float, gap: float
) -> None:
    """Each answer is judged with voice and cue, then without; a small gap is told."""
    path = predictions(bench, SPOKEN)
    with FakeGemini(texts=texts) as fake:
        done = scored(bench, path, *live(fake, "-O", "control_gap=yes"))
        assert done.code == 0, done.said
        assert len(fake.asked) == 4
        assert scored(bench, path, *live(fake, "-O", "control_gap=yes")).code == 0 and len(fake.asked) == 4
    audios = [sum("inlineData" in p for p in b["contents"][0]["parts"]) for b in fake.asked]
    told = [WITHHELD in b["contents"][0]["parts"][0]["text"] for b in fake.asked]
    assert (audios, told) == ([2, 1, 2, 1], [False, True, False, True])
    out = bench.tmp / "a"
    found = {m: result(out, PARALINGUISTIC, m) for m in ("score", "control", "control_gap")}
    assert [f["value"] for f in found.values()] == [score, control, gap]
    assert [f["primary"] for f in found.values()] == [True, False, False]
    small = gap < 0.2
    assert ("measures text" in found["control_gap"].get("warning", "")) is small
    assert (f"Gap to control is {gap:.2f}: below 0.2" in done.err) is small
    assert bench.here("report", out).code == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Gap to control" in page and ("measures text" in page) is small
    entry = json.loads((out / "results.json").read_text())["tasks"][PARALINGUISTIC]
    assert entry["headline"] == "score"


def test_without_the_option_nobody_is_asked_twice(bench: Bench) -> None:
    path = predictions(bench, SPOKEN)
    with FakeGemini(texts=["[[4]]", "[[5]]", "[[1]]"]) as fake:
        assert scored(bench, path, *live(fake)).code == 0 and len(fake.asked) == 2
        entry = json.loads((bench.tmp / "a/results.json").read_text())["tasks"][PARALINGUISTIC]
        assert list(entry["metrics"]) == ["score"]
        signed = entry["metrics"]["score"]["signature"]
        assert scored(bench, path, *live(fake, "-O", "control_gap=yes")).code == 0
        assert len(fake.asked) == 4, "only the control run is new"
        assert result(bench.tmp / "a", PARALINGUISTIC)["signature"] == signed


def test_the_control_protocol_needs_no_second_judge(bench: Bench) -> None:
    path = predictions(bench, SPOKEN)
    with FakeGemini() as fake:
        more = live(fake, "--protocol", "control", "-O", "control_gap=yes")
        assert scored(bench, path, *more).code == 0 and len(fake.asked) == 2


def test_recorded_replies_go_by_name(bench: Bench) -> None:
    """A reply that stands alone is the score's: it says nothing of the control run."""
    both = {
        k: {"audio": "x.wav", "judge": {"score": "[[4]]", "control": f"[[{n}]]"}}
        for k, n in (("ep-1", 1), ("ep-2", 2))
    }
    assert scored(bench, predictions(bench, both), "-O", "control_gap=yes").code == 0
    assert result(bench.tmp / "a", PARALINGUISTIC, "control_gap")["value"] == 2.5
    alone = {k: {"audio": "x.wav", "judge": "[[4]]"} for k in SPOKEN}
    done = scored(bench, predictions(bench, alone), "-O", "control_gap=yes", "--out", bench.tmp / "b")
    found = result(bench.tmp / "b", PARALINGUISTIC, "control_gap")
    assert (found["value"], found["n_scored"]) == (None, 0), done.said


def test_options_are_checked(bench: Bench) -> None:
    refused(scored(bench, predictions(bench, SPOKEN), "-O", "control_gap=perhaps"), "control_gap=perhaps")


def test_the_difference_is_weighted_and_paired() -> None:
    segments = Segments()
    for name, values in (("score", {"a": 5.0, "b": 2.0, "c": 1.0}), ("control", {"a": 3.0, "b": 2.0})):
        weights = {"a": 3.0, "b": 1.0, "c": 9.0}
        segments.scored[name] = {
            i: (v, {"weighted": v * weights[i], "weight": weights[i]}) for i, v in values.items()
        }
    rows = [segment_row(GAP, segments, i, None) for i in "abc"]
    assert rows == [[15.0, 3.0, 9.0, 3.0], [2.0, 1.0, 2.0, 1.0], None]
    import numpy as np

    found = estimate(np.asarray(rows[:2]), DIFFERENCE, missing=1, lo=-4, hi=4, seed=0)
    assert found.value == pytest.approx(17 / 4 - 11 / 4) and found.bounds is None
    assert found.ci is not None and found.ci[0] >= 0.0, "the same samples on both sides"


def test_failures_of_the_control_run_are_asked_for_again(bench: Bench) -> None:
    path = predictions(bench, SPOKEN)
    steps = [{"text": "[[4]]"}, {"block": "SAFETY"}]
    with FakeGemini(script=steps, texts=["[[4]]"]) as fake:
        more = live(fake, "-O", "control_gap=yes", "--retries", 1)
        done = scored(bench, path, *more)
        assert "judge-content-filter" in result(bench.tmp / "a", PARALINGUISTIC, "control")["reasons"], (
            done.said
        )
        assert scored(bench, path, *more).code == 0 and len(fake.asked) == 5
    assert len(lines(bench.tmp / "a" / PARALINGUISTIC / "scores.jsonl")) == 5
