"""Numbers beside the score of the paralinguistic track: gap to the control run, pair sensitivity. Internal-set sheet
section 4."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speech_style import GAP
from evalkit.engine.retry import Retry
from evalkit.pools import DIFFERENCE
from evalkit.segments import Segments, segment_row
from evalkit.stats import estimate
from judges.lalm_presets import WITHHELD
from tests.cli_fixtures import Bench, Done, bench, lines, refused, result
from tests.mock_gemini import KEY, FakeGemini
from tests.mock_openai import tone_wav
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
    assert found.ci == (-4.0, 4.0), "two samples say nothing, and no difference goes beyond its range"
    found = estimate(np.asarray(rows[:2] * 20), DIFFERENCE, lo=-4, hi=4, seed=0)
    assert found.ci is not None and found.ci[0] > 1.0, "the same samples on both sides: none got worse"


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


# --- pair sensitivity -------------------------------------------------------------------------------

PAIRED = "pair_sensitivity"


def spoken(bench: Bench, *ids: str) -> Path:
    """Answers with a sound of each one's own."""
    path = predictions(bench, {k: {"audio": f"{k}.wav"} for k in ids})
    for n, k in enumerate(ids):
        (bench.tmp / f"{k}.wav").write_bytes(tone_wav(0.3 + 0.1 * n))
    return path


@pytest.mark.parametrize(
    ("swapped", "share"),
    [
        (("[[2]]", "[[4]]"), 100.0),
        (("[[5]]", "[[4]]"), 0.0),
        (("[[4]]", "[[4]]"), 0.0),
        (("[[1]]", "[[5]]"), 100.0),
    ],
)
def test_a_pair_is_sensitive_when_its_sum_falls(bench: Bench, swapped: tuple[str, str], share: float) -> None:
    """Scores 4 and 4; two more calls, with the answers swapped."""
    path = spoken(bench, "ep-1", "ep-2")
    with FakeGemini(texts=["[[4]]", "[[4]]", *swapped]) as fake:
        more = live(fake, "-O", "pair_sensitivity=yes")
        done = scored(bench, path, *more)
        assert done.code == 0, done.said
        own = dict(fake.heard[:2])  # question to answer; which comes first is left to chance
        (first, to_first), (second, to_second) = fake.heard[2:]
        assert {first, second} == set(own) and (to_first, to_second) == (own[second], own[first])
        assert scored(bench, path, *more).code == 0 and len(fake.asked) == 4, "on record"
    found = result(bench.tmp / "a", PARALINGUISTIC, PAIRED)
    assert (found["value"], found["primary"], found["n_unscored"]) == (share, False, 0)
    told = [s for s in lines(bench.tmp / "a" / PARALINGUISTIC / "scores.jsonl") if s["metric"] == PAIRED]
    assert [s["counts"]["weight"] for s in told] == [1.0, 0.0]
    assert told[0]["detail"]["scores"] == [4.0, 4.0]
    assert told[0]["detail"]["swapped"] == [float(s[2]) for s in swapped]


def test_a_failed_pair_is_asked_for_again_and_nothing_else(bench: Bench) -> None:
    path = spoken(bench, "ep-1", "ep-2")
    steps = [{"text": "[[4]]"}, {"text": "[[4]]"}, {"text": "[[3]]"}, {"block": "SAFETY"}]
    with FakeGemini(script=steps, texts=["[[2]]"]) as fake:
        more = live(fake, "-O", "pair_sensitivity=yes", "--retries", 1)
        assert scored(bench, path, *more).code == 0, "a number beside the score doesn't fail the run"
        found = result(bench.tmp / "a", PARALINGUISTIC, PAIRED)
        assert found["value"] is None and found["reasons"]["judge-content-filter"]["n"] == 2
        assert scored(bench, path, *more).code == 0
        assert result(bench.tmp / "a", PARALINGUISTIC, PAIRED)["value"] == 100.0
        # The plain scores come from the cache of replies; the swapped one that came went with the failed attempt.
        assert len(fake.asked) <= 6


def test_an_attempt_keeps_what_came(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retry, "wait", lambda self, n, error: 0.0 if n < 3 and error.retryable else None)
    path = spoken(bench, "ep-1", "ep-2")
    steps = [{"text": "[[4]]"}, {"text": "[[4]]"}, {"text": "[[3]]"}, {"status": 503, "error": "busy"}]
    with FakeGemini(script=steps, texts=["[[2]]"]) as fake:
        assert scored(bench, path, *live(fake, "-O", "pair_sensitivity=yes")).code == 0
        assert len(fake.asked) == 5
    assert result(bench.tmp / "a", PARALINGUISTIC, PAIRED)["value"] == 100.0


def test_half_a_pair_has_nothing_to_swap(bench: Bench) -> None:
    path = spoken(bench, "ep-1")
    with FakeGemini(texts=["[[4]]"]) as fake:
        done = scored(bench, path, *live(fake, "-O", "pair_sensitivity=yes", "--limit", 1))
        assert done.code == 0 and len(fake.asked) == 1, done.said
    found = result(bench.tmp / "a", PARALINGUISTIC, PAIRED)
    assert found["value"] is None and set(found["reasons"]) == {"pair-alone"}


def test_silence_swaps_as_the_1_it_is(bench: Bench) -> None:
    """An answer without speech is a 1 in its own place and in the other's."""
    path = predictions(bench, {"ep-1": {"audio": "x.wav"}, "ep-2": {"text": "Hm."}})
    with FakeGemini(texts=["[[4]]", "[[2]]"]) as fake:
        scored(bench, path, *live(fake, "-O", "pair_sensitivity=yes"))
        assert len(fake.asked) == 2
    [first, _] = [
        s for s in lines(bench.tmp / "a" / PARALINGUISTIC / "scores.jsonl") if s["metric"] == PAIRED
    ]
    assert (first["detail"]["scores"], first["detail"]["swapped"], first["value"]) == (
        [4.0, 1.0],
        [1.0, 2.0],
        1.0,
    )


def test_items_without_a_pair_weigh_nothing(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(OWN, folder)
    (folder / "manifest.meta.json").unlink()
    rows = lines(folder / "manifest.jsonl")
    rows.append({**rows[-1], "id": "ep-3"} | {"pair_id": None})
    (folder / "manifest.jsonl").write_text(
        "".join(json.dumps({k: v for k, v in r.items() if v is not None}) + "\n" for r in rows)
    )
    path = spoken(bench, "ep-1", "ep-2", "ep-3")
    with FakeGemini(texts=["[[4]]", "[[4]]", "[[4]]", "[[1]]", "[[1]]"]) as fake:
        args = [
            "score",
            path,
            "--task",
            PARALINGUISTIC,
            "--data-dir",
            folder,
            "--out",
            bench.tmp / "a",
            "--no-report",
        ]
        done = bench.here(*args, *live(fake, "-O", "pair_sensitivity=yes"))
        assert done.code == 0 and len(fake.asked) == 5, done.said
    found = result(bench.tmp / "a", PARALINGUISTIC, PAIRED)
    assert (found["value"], found["n_scored"]) == (100.0, 3)


def test_recorded_replies_hold_no_swapped_ones(bench: Bench) -> None:
    path = predictions(bench, {k: {"audio": "x.wav", "judge": "[[4]]"} for k in SPOKEN})
    assert scored(bench, path, "-O", "pair_sensitivity=yes").code == 0
    found = result(bench.tmp / "a", PARALINGUISTIC, PAIRED)
    assert found["value"] is None and set(found["reasons"]) == {"pair-recorded"}


def test_a_refused_key_ends_the_run_in_the_second_half_too(bench: Bench) -> None:
    path = spoken(bench, "ep-1", "ep-2")
    steps = [{"text": "[[4]]"}, {"text": "[[4]]"}, {"status": 403, "error": "billing"}]
    with FakeGemini(script=steps) as fake:
        done = scored(bench, path, *live(fake, "-O", "pair_sensitivity=yes"))
    assert done.code == 2 and "the lalm-judge: the Gemini API rejected" in done.err, done.said
