"""results.json: pooled, covered, withheld where it must be, and the same bytes every time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.plan import ScoringPlan
from evalkit.records import JSON
from evalkit.results import build_results
from evalkit.signature import differences
from evalkit.store import Run, RunWriter
from evalkit.task import Overall, Part
from tests.run_fixtures import ACC, CARD, TASK, Known, answer, fail, score, toy_plan, toy_run, toy_task


def entry(run: Run, plan: ScoringPlan | None = None) -> dict[str, Any]:
    found: dict[str, Any] = build_results(run, [plan or toy_plan(n=4)], CARD)["tasks"][TASK]
    return found


def metric(run: Run, name: str = "acc", plan: ScoringPlan | None = None) -> dict[str, Any]:
    found: dict[str, Any] = entry(run, plan)["metrics"][name]
    return found


# --- one number ----------------------------------------------------------------------------------


def test_coverage_is_counted(tmp_path: Path) -> None:
    found = metric(toy_run(tmp_path))
    counted = {k: found[k] for k in ("n", "n_scored", "n_unscored", "n_errors", "n_pending")}
    assert counted == {"n": 4, "n_scored": 3, "n_unscored": 0, "n_errors": 1, "n_pending": 0}
    assert found["value"] == pytest.approx(200 / 3)
    assert found["bounds"] == [50.0, 75.0]  # d could be wrong, or right
    assert found["ci_method"] == "wilson" and found["ci"][0] < found["value"] < found["ci"][1]


def test_rates_are_pooled_never_averaged(tmp_path: Path) -> None:
    found = metric(toy_run(tmp_path), "wer")
    assert found["value"] == 1.0  # 1 error in 100 words; the mean of the three rates would be 33.33
    assert found["bounds"] is None and found["ci_method"].startswith("bootstrap")


def test_a_mean_of_two_judges_needs_both_and_is_withheld(tmp_path: Path) -> None:
    found = metric(toy_run(tmp_path), "both")
    assert (found["value"], found["ci"], found["withheld"]) == (None, None, True)
    assert (found["n_scored"], found["n_unscored"]) == (2, 1)
    assert found["bounds"] == [25.0, 75.0]  # c and d open, a 1 and b 0
    assert found["reasons"] == {"judge-error": {"n": 1, "example": "judge-error: the judge timed out"}}
    assert found["judges"] == ["rules@1", "gpt x1"]


def test_withheld_only_while_something_is_unscored(tmp_path: Path) -> None:
    toy_run(tmp_path)
    writer = RunWriter(tmp_path)
    response = answer(writer, "c", group="y")
    score(writer, response, "gpt", 0)
    writer.close()
    found = metric(writer, "both")
    assert (found["withheld"], found["value"], found["reasons"]) == (False, 50.0, {})


def test_pending_samples_are_counted_and_bound(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    found = entry(run, toy_plan(n=6))
    assert (found["n"], found["complete"]) == (6, False)
    assert found["metrics"]["acc"]["n_pending"] == 2
    assert found["metrics"]["acc"]["bounds"] == [pytest.approx(100 * 2 / 6), pytest.approx(100 * 5 / 6)]
    assert entry(run, toy_plan(n=4))["complete"] is True
    # Interrupted before the source was read to its end: what was published is what is still to come.
    assert entry(run, toy_plan(toy_task(expected=10)))["n"] == 10
    assert entry(run, toy_plan(toy_task(expected=10)))["complete"] is False
    assert entry(run, toy_plan(toy_task(expected=10), limited=True))["n"] == 4


def test_only_the_samples_of_this_run_count(tmp_path: Path) -> None:
    found = entry(toy_run(tmp_path), toy_plan(n=2, ids=frozenset({"a", "b"}), limited=True))
    assert (found["n"], found["metrics"]["acc"]["n_scored"], found["metrics"]["acc"]["value"]) == (2, 2, 50.0)
    assert found["metrics"]["acc"]["n_errors"] == 0


# --- which scores count --------------------------------------------------------------------------


def test_scores_of_an_earlier_answer_do_not_count(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    score(writer, answer(writer, "a", "old answer"), "acc", 1)
    answer(writer, "a", "new answer")
    writer.close()
    found = metric(writer, plan=toy_plan(n=1))
    assert (found["value"], found["n_unscored"]) == (None, 1)


def test_scores_by_another_judge_do_not_count(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    response = answer(writer, "a")
    score(writer, response, "acc", 1, judge="rules@0")
    score(writer, response, "gpt", 1, judge="rules@1")
    writer.close()
    found = entry(writer, toy_plan(n=1))["metrics"]
    assert [found[m]["n_scored"] for m in ("acc", "both")] == [0, 0]


def test_a_score_on_a_failed_sample_does_not_count(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    score(writer, fail(writer, "a"), "acc", 1)
    writer.close()
    found = metric(writer, plan=toy_plan(n=1))
    assert (found["value"], found["n_errors"], found["n_unscored"]) == (None, 1, 0)


def test_a_later_verdict_displaces_but_a_failure_to_judge_does_not(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    response = answer(writer, "a")
    for value in (1, 0, None):
        score(writer, response, "acc", value, reason=None if value is not None else "judge-error: x")
    writer.close()
    found = metric(writer, plan=toy_plan(n=1))
    assert (found["value"], found["n_scored"], found["reasons"]) == (0.0, 1, {})


def test_defects_of_public_scorers_are_counted_once_per_sample(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    for sample_id in "abc":
        response = answer(writer, sample_id)
        for _ in range(2):
            score(writer, response, "acc", 1, touched="random_letter" if sample_id != "c" else None)
    writer.close()
    assert metric(writer, plan=toy_plan(n=3))["touched"] == {"random_letter": 2}


def test_a_stand_in_judge_taints_the_number(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    response = answer(writer, "a")
    score(writer, response, "acc", 1)
    score(writer, response, "gpt", 1, detail={"meaningful": False})
    writer.close()
    found = entry(writer, toy_plan(n=1))["metrics"]
    assert (found["acc"]["meaningful"], found["both"]["meaningful"]) == (True, False)


# --- the file ------------------------------------------------------------------------------------


def test_the_same_run_gives_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    def written(name: str, order: str) -> bytes:
        writer = RunWriter(tmp_path / name)
        for sample_id in order:
            value = ord(sample_id) % 3 / 2
            score(writer, answer(writer, sample_id, group=sample_id), "acc", value)
        writer.close()
        task = toy_task(replace(ACC), groups=("domain",))
        writer.write_results(build_results(writer, [toy_plan(task, n=5)], CARD))
        return (tmp_path / name / "results.json").read_bytes()

    one = written("one", "abcde")
    assert written("two", "abcde") == one
    assert written("three", "decab") == one
    assert written("four", "abcdf") != one


def test_an_open_range_is_left_out_for_json_has_no_infinity(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    plan = toy_plan(toy_task(replace(ACC, name="acc", hi=float("inf"))), n=4)
    results = build_results(run, [plan], CARD)
    found = results["tasks"][TASK]["metrics"]["acc"]
    assert found["lo"] == 0.0 and "hi" not in found
    json.dumps(results, allow_nan=False)


def test_groups_pool_their_own_segments(tmp_path: Path) -> None:
    found = entry(toy_run(tmp_path), toy_plan(toy_task(groups=("domain",)), n=4))["groups"]["domain"]
    assert {name: g["wer"]["value"] for name, g in found.items()} == {"x": 10.0, "y": 0.0}
    assert {name: (g["acc"]["value"], g["acc"]["n_scored"]) for name, g in found.items()} == {
        "x": (50.0, 2),
        "y": (100.0, 1),
    }


def test_a_group_that_is_not_recorded_is_a_question_mark(tmp_path: Path) -> None:
    found = entry(toy_run(tmp_path), toy_plan(toy_task(groups=("region",)), n=4))["groups"]
    assert list(found["region"]) == ["?"]


def digest(run: Run) -> JSON:
    return entry(run, toy_plan())["data"]["digest"]


def test_the_digest_of_the_data_sees_every_sample(tmp_path: Path) -> None:
    def made(name: str, inputs: dict[str, str], text: str = "Fine.") -> JSON:
        writer = RunWriter(tmp_path / name)
        for sample_id, given in inputs.items():
            answer(writer, sample_id, text, input=given)
        writer.close()
        return digest(writer)

    base = made("base", {"a": "1", "b": "2"})
    assert made("turned", {"b": "2", "a": "1"}) == base
    assert made("said", {"a": "1", "b": "2"}, "Otherwise.") == base
    others = [
        made("changed", {"a": "1", "b": "3"}),
        made("renamed", {"a": "1", "c": "2"}),
        made("swapped", {"a": "2", "b": "1"}),
        made("fewer", {"a": "1"}),
        made("more", {"a": "1", "b": "2", "c": "3"}),
    ]
    assert len({str(d) for d in (base, *others)}) == 6


def test_a_changed_sample_shows_in_the_signature(tmp_path: Path) -> None:
    lines = []
    for name, given in (("one", "x"), ("two", "y")):
        writer = RunWriter(tmp_path / name)
        score(writer, answer(writer, "a", input=given), "acc", 1)
        writer.close()
        lines.append(metric(writer, plan=toy_plan(n=1))["signature"])
    assert differences(*lines) == ["data"]


def test_judges_of_transcripts_sign_with_the_asr_engine(tmp_path: Path) -> None:
    task = toy_task()
    plan = toy_plan(task, asr="faster-whisper/large-v3")
    speech = Known("rules@1", "acc", "wer")
    speech.reads = "speech"
    assert plan.sign(plan.judges[0]) == "rules@1"
    assert plan.sign(speech) == "rules@1 on faster-whisper/large-v3"


# --- overalls ------------------------------------------------------------------------------------


def overall(run: Run, *parts: Part, plan: ScoringPlan | None = None, **more: Any) -> Any:
    made = Overall("o", "Overall", parts, "formula", **more)
    return build_results(run, [plan or toy_plan(n=4)], CARD, [made])["overall"].get("o")


def test_an_overall_is_the_mean_of_its_parts(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    found = overall(run, Part(TASK, metric="acc"), Part(TASK, 20.0, "wer"))
    assert found["value"] == pytest.approx((200 / 3 + 20 * 1.0) / 2)
    assert found["ci"][0] < found["value"] < found["ci"][1]
    assert found["complete"] is False  # d has no score
    rounded = overall(run, Part(TASK), round_parts=0)
    assert rounded["value"] == 67.0


def test_an_overall_with_a_part_missing_has_no_value(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    found = overall(run, Part(TASK), Part("bench/other"))
    assert (found["value"], found["ci"], found["missing"]) == (None, None, ["bench/other"])
    withheld = overall(run, Part(TASK, metric="both"), Part(TASK))
    assert (withheld["value"], withheld["missing"]) == (None, [TASK])
    assert overall(run, Part("bench/other")) is None


def test_an_overall_of_another_protocol_is_not_given(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    assert overall(run, Part(TASK), protocol="kimi") is None
    assert overall(run, Part(TASK), protocol="official")["value"] == pytest.approx(200 / 3)
