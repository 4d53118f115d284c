"""`compare` on runs made by the command line: numbers computed again, refusals, what is missing, several runs."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compare_fixtures import (
    ADV,
    ASR,
    OPEN,
    RATINGS_A,
    RATINGS_B,
    RIGHT,
    SAID,
    WORSE,
    N,
    coins,
    compare,
    document,
    heard,
    line,
    rated,
    refusing,
    scored,
    three_runs,
    word_errors,
)

stats = pytest.importorskip("scipy.stats", reason="the numbers are computed again with SciPy")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_runs(tmp_path_factory.mktemp("compare"))


# --- numbers, computed again --------------------------------------------------------------------------


def test_zero_and_one_by_mcnemar(runs: Path) -> None:
    """p is the exact binomial of wins among the discordant; who lost is named."""
    x = line(document(runs / "a", runs / "b"), ADV)
    lost = [f"q{k:03}" for k in range(N) if RIGHT[k] and not WORSE[k]]
    assert [s["id"] for s in x["samples"]["losses"]] == lost and x["samples"]["wins"] == []
    assert (x["wins"], x["losses"], x["ties"], x["n"]) == (0, len(lost), N - len(lost), N)
    assert x["p"] == pytest.approx(stats.binomtest(0, len(lost), 0.5).pvalue, rel=1e-6)
    assert x["test"] == "mcnemar-exact" and x["verdict"] == "worse"
    assert x["value_a"] == pytest.approx(100 * sum(RIGHT) / N) and x["delta"] == pytest.approx(
        -100 * len(lost) / N
    )
    assert x["ci"][0] < x["delta"] < x["ci"][1] < 0


def test_word_errors_are_pooled_and_resampled_by_speaker(runs: Path) -> None:
    """The difference is that of pooled rates; its interval is about that of a bootstrap over speakers done here."""
    x = line(document(runs / "a", runs / "b"), ASR)
    texts = [{r["id"]: r["text"] for r in heard(SAID, rate, seed)} for rate, seed in ((0.12, 5), (0.05, 6))]
    length = {i: len(t.split()) for i, t in SAID}
    errors = [{i: word_errors(t, held[i]) for i, t in SAID} for held in texts]
    total = sum(length.values())
    rates = [100 * sum(e.values()) / total for e in errors]
    assert (x["value_a"], x["value_b"]) == pytest.approx(tuple(rates)) and x["delta"] == pytest.approx(
        rates[1] - rates[0]
    )
    assert (x["clustered_by"], x["clusters"], x["n"]) == ("speaker", 12, len(SAID))
    better = [i for i, _ in SAID if errors[1][i] < errors[0][i]]
    assert x["wins"] == len(better) == len(x["samples"]["wins"]) and x["verdict"] == "better"
    speakers = sorted({i.split("-")[0] for i in length})
    sums = np.array(
        [
            [sum(d[i] for i in length if i.split("-")[0] == s) for d in (errors[0], errors[1], length)]
            for s in speakers
        ],
        dtype=float,
    )
    draw = np.random.default_rng(1)
    picked = sums[draw.integers(0, 12, (4000, 12))].sum(axis=1)
    found = 100 * (picked[:, 1] - picked[:, 0]) / picked[:, 2]
    low, high = np.quantile(found, [0.025, 0.975])
    spread = high - low
    assert abs(x["ci"][0] - low) < 0.6 * spread and abs(x["ci"][1] - high) < 0.6 * spread


def test_ratings_paired(runs: Path) -> None:
    """The mean of the paired differences, with a p and an interval near Student's."""
    x = line(document(runs / "a", runs / "b"), OPEN)
    a, b = (np.array([np.mean(v) for v in votes]) for votes in (RATINGS_A, RATINGS_B))
    gap = b - a
    assert x["delta"] == pytest.approx(gap.mean(), abs=1e-6) and x["n"] == 60
    student = stats.ttest_rel(b, a)
    low, high = student.confidence_interval()
    assert x["ci"] == pytest.approx([low, high], abs=0.25 * (high - low))
    assert x["p"] < 0.01 and student.pvalue < 0.01
    assert (x["wins"], x["losses"]) == (int((gap > 1e-9).sum()), int((gap < -1e-9).sum()))


def test_holm_over_the_tasks_shown(runs: Path) -> None:
    """Smallest p times 3, next times 2, never below the one before; one task alone is not corrected."""
    found = document(runs / "a", runs / "b")
    told = sorted(((x["p"], x["p_holm"]) for x in found["lines"] if x["kind"] == "task"), key=lambda t: t[0])
    want, floor = [], 0.0
    for rank, (p, _) in enumerate(told):
        floor = max(floor, min(1.0, p * (len(told) - rank)))
        want.append(floor)
    assert len(told) == 3 and [h for _, h in told] == pytest.approx(want)
    alone = line(document(runs / "a", runs / "b", "--task", ADV), ADV)
    assert alone["p_holm"] == alone["p"] == line(found, ADV)["p"]


def test_a_line_does_not_depend_on_what_else_is_compared(runs: Path) -> None:
    """Its draws have their own seed; another --seed draws others."""
    whole = line(document(runs / "a", runs / "b"), ASR)
    alone = line(document(runs / "a", runs / "b", "--task", ASR), ASR)
    assert {**whole, "p_holm": 0} == {**alone, "p_holm": 0}
    other = line(document(runs / "a", runs / "b", "--task", ASR, "--seed", 5), ASR)
    assert other["ci"] != whole["ci"] and other["delta"] == whole["delta"]


def test_level_and_draws(runs: Path) -> None:
    wide = line(document(runs / "a", runs / "b", "--task", ASR, "--level", "0.99", "--draws", 500), ASR)
    narrow = line(document(runs / "a", runs / "b", "--task", ASR, "--level", "0.8", "--draws", 500), ASR)
    assert wide["ci"][0] < narrow["ci"][0] and narrow["ci"][1] < wide["ci"][1] and "500" in wide["test"]


# --- the same run, several runs, other numbers --------------------------------------------------------


def test_a_run_with_itself(runs: Path) -> None:
    """All zero, p = 1, and the words say that nothing differs."""
    found = document(runs / "a", runs / "a")
    assert len(found["lines"]) >= 3
    for x in found["lines"]:
        if x["kind"] == "task":
            assert (x["delta"], x["p"], x["p_holm"], x["wins"], x["losses"]) == (0, 1, 1, 0, 0), x["task"]
            assert x["verdict"] == "undecided"
    _, out, _ = compare(runs / "a", runs / "a")
    assert "alike in all 3 tasks: no sample differs" in out


def test_three_runs(runs: Path) -> None:
    """Each with the first; every pair on request; Holm over all of them; a task that one run lacks is named."""
    found = document(runs / "a", runs / "b", runs / "c")
    assert [(x["a"], x["b"]) for x in found["lines"] if x["task"] == ADV] == [("a", "b"), ("a", "c")]
    assert {(x["task"], x["only_in"]) for x in found["alone"]} == {(ASR, "a"), (OPEN, "a")}
    every = document(runs / "a", runs / "b", runs / "c", "--all-pairs", "--task", ADV)
    lines = [x for x in every["lines"] if x["task"] == ADV]
    assert [(x["a"], x["b"]) for x in lines] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert min(x["p_holm"] for x in lines) == pytest.approx(3 * min(x["p"] for x in lines))
    _, out, _ = compare(runs / "a", runs / "b", runs / "c", "--all-pairs")
    assert f"only in a (model-a), so not compared: {ASR}, {OPEN}" in out


def test_metrics_and_groups(runs: Path, tmp_path: Path) -> None:
    """Other numbers are families of tests of their own; a subset has the numbers of its samples alone."""
    every = document(runs / "a", runs / "b", "--task", ASR, "--metrics", "all")
    kinds = {x["metric"]: (x["kind"], x["family"]) for x in every["lines"]}
    assert kinds["wer"] == ("task", "headlines") and kinds["ser"] == ("metric", "other metrics")
    assert [x["metric"] for x in document(runs / "a", runs / "b", "--metrics", "ser")["lines"]] == ["ser"]

    def said(seed: int) -> list[dict[str, Any]]:
        rows = {"category": ("Perception", "Reasoning"), "answer": 0}
        return [
            {
                "id": f"m{k}",
                "text": "B" if coins(40, 0.6, seed)[k] else "A",
                "row": {
                    **{
                        "id": f"m{k}",
                        "question": "?",
                        "answer_gt": "two",
                        "task_name": "t",
                        "sub-category": "s",
                    },
                    **{"choice_a": "one", "choice_b": "two", "choice_c": "three", "choice_d": "four"},
                    **{"category": rows["category"][k % 2], "sub-sub-category": "u"},
                    "linguistics_sub_discipline": "l",
                },
            }
            for k in range(40)
        ]

    one, two = (scored(tmp_path / n, {"mmsu/all": said(s)}) for n, s in (("x", 1), ("y", 2)))
    found = document(one, two, "--groups")
    [half] = [x for x in found["lines"] if x["group"] == {"key": "category", "name": "Reasoning"}]
    a, b = ([coins(40, 0.6, s)[k] for k in range(1, 40, 2)] for s in (1, 2))
    assert (half["n"], half["value_a"], half["value_b"]) == (20, 5.0 * sum(a), 5.0 * sum(b))
    assert half["family"] == "groups" and "samples" not in half


# --- what is missing ----------------------------------------------------------------------------------


def test_errors_and_unscored_are_counted_and_bounded(tmp_path: Path) -> None:
    """Pairs are of samples scored in both; the rest is named, and what it could do is told."""
    right = coins(50, 0.7, 4)
    b = refusing([not x if k < 5 else x for k, x in enumerate(right)])
    b[10] = {"id": "q010", "row": b[10]["row"]}  # no answer: an error
    b[11] = {"id": "q011", "row": b[11]["row"]}
    one, two = scored(tmp_path / "a", {ADV: refusing(right)}), scored(tmp_path / "b", {ADV: b})
    x = line(document(one, two), ADV)
    assert x["n"] == 48 and x["coverage_b"]["errored"] == 2 and x["coverage_a"]["unpaired"] == 2
    assert [(s["id"], s["a"], s["b"]) for s in x["samples"]["unpaired"]] == [
        ("q010", "scored", "errored"),
        ("q011", "scored", "errored"),
    ]
    known = sum(r for k, r in enumerate(right) if k > 4 and k not in (10, 11)) + sum(not r for r in right[:5])
    whole = 2.0 * sum(right)
    assert x["bound"] == pytest.approx([2.0 * known - whole, 2.0 * (known + 2) - whole])
    assert x["whole_a"] == pytest.approx(whole)
    _, out, _ = compare(one, two)
    assert "b: 2 errored" in out and "bounds [" in out


def test_an_unscored_rating(tmp_path: Path) -> None:
    ratings = [[4, 4, 4]] * 20
    one = scored(tmp_path / "a", {OPEN: rated(ratings)})
    two = scored(tmp_path / "b", {OPEN: rated([["what?"] * 3, *ratings[1:]])})
    x = line(document(one, two), OPEN)
    assert (x["n"], x["coverage_b"]["unscored"], x["delta"]) == (19, 1, 0)
    assert x["samples"]["unpaired"] == [{"id": "a000", "a": "scored", "b": "unscored"}]
    assert x["bound"] == pytest.approx([-3 / 20, 1 / 20])


def test_nothing_scored_in_both(tmp_path: Path) -> None:
    one = scored(tmp_path / "a", {OPEN: rated([[4] * 3] * 3)})
    two = scored(tmp_path / "b", {OPEN: rated([["?"] * 3] * 3)})
    code, out, _ = compare(one, two)
    assert code == 0 and "none of the 3 shared samples has a score in both runs" in out


def test_one_sample(tmp_path: Path) -> None:
    """Little tells little, and breaks nothing."""
    one, two = (scored(tmp_path / n, {ADV: refusing([x])}) for n, x in (("a", True), ("b", False)))
    x = line(document(one, two), ADV)
    assert (x["delta"], x["p"], x["verdict"]) == (-100, 1, "undecided")


def test_a_stand_in_judge_is_marked(tmp_path: Path) -> None:
    from tests.report_fixtures import make_run

    one, two = (make_run(tmp_path / n, size=12, meaningful=False, seed=s) for n, s in (("a", 1), ("b", 2)))
    x = line(document(one, two, "--task", OPEN), OPEN)
    assert "not-meaningful" in x["marks"]
    assert "judge not meaningful" in compare(one, two)[1]


def test_overalls(tmp_path: Path) -> None:
    """The mean of the parts' differences by their factors; each end adds up the squares of the parts' ends."""
    from tests.report_fixtures import make_run

    one, two = (make_run(tmp_path / n, seed=s) for n, s in (("a", 1), ("b", 2)))
    found = document(one, two)
    x = line(found, "voicebench", kind="overall")
    qa, rating = line(found, "voicebench/sd-qa"), line(found, OPEN)
    assert x["delta"] == pytest.approx((qa["delta"] + 20 * rating["delta"]) / 2)
    low, high = (
        math.hypot(qa["ci"][k] - qa["delta"], 20 * (rating["ci"][k] - rating["delta"])) / 2 for k in (0, 1)
    )
    assert x["ci"] == pytest.approx([x["delta"] - low, x["delta"] + high])
    reach = low if x["delta"] > 0 else high
    assert x["p"] == pytest.approx(2 * stats.norm.sf(1.959964 * abs(x["delta"]) / reach), rel=1e-4)
    assert (x["family"], x["p_holm"]) == ("overalls", x["p"])
    assert not [y for y in document(one, two, "--task", OPEN)["lines"] if y["kind"] == "overall"]


def test_an_overall_of_another_metric_than_the_headlines(tmp_path: Path) -> None:
    """UltraEval's S2M-S is the mean of second metrics: it needs no --metrics to be compared."""
    from tests.report_fixtures import make_run

    runs = [make_run(tmp_path / n, seed=s) for n, s in (("a", 1), ("b", 2))]
    for run in runs:
        path = run / "results.json"
        results = json.loads(path.read_text())
        qa = results["tasks"]["voicebench/sd-qa"]
        other = next(m for m in qa["metrics"] if m != qa["headline"])
        results["overall"]["voicebench"]["terms"][0] |= {"task": "voicebench/sd-qa", "metric": other}
        path.write_text(json.dumps(results))
    x = line(document(*runs), "voicebench", kind="overall")
    both = document(*runs, "--metrics", "all")["lines"]
    part = next(y for y in both if (y["task"], y["metric"]) == ("voicebench/sd-qa", other))
    assert x["delta"] == pytest.approx((part["delta"] + 20 * line(document(*runs), OPEN)["delta"]) / 2)


# --- usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["RUNS/a"], "two runs"),
        (["RUNS/a", "RUNS/nothing"], "is not a run directory"),
        (["RUNS/a", "RUNS/b", "--task", "voicebench/nope"], "no task of these runs fits"),
        (["RUNS/a", "RUNS/b", "--metrics", "nope"], "no metric 'nope'"),
        (["RUNS/a", "RUNS/b", "--allow", "runner"], "no part 'runner'"),
        (["RUNS/a", "RUNS/b", "--level", "95"], "from 0.5 to below 1"),
        (["RUNS/a", "RUNS/b", "--draws", "5"], "at least 100"),
        (["RUNS/a", "RUNS/b", "--format", "pdf", "--out", "x"], "no format 'pdf'"),
        (["RUNS/a", "RUNS/b", "--format", "md"], "--out"),
        (["RUNS/a", "RUNS/b", "--out", "-"], "--format"),
        (["RUNS/a", "--published", "Nobody"], "prints nothing of 'Nobody'"),
        (["RUNS/a", "RUNS/b", "--out", "RUNS/a/run.json"], "is a file"),
        (["RUNS/a", "RUNS/b", "--out", "RUNS/diff.html"], "name the folder"),
        (["RUNS/a", "RUNS/b/results.json"], "RUNS/b/results.json is a file; a run is named by its folder, RUNS/b."),
    ],
)  # fmt: skip
def test_usage(runs: Path, args: list[str], words: str) -> None:
    """One sentence, exit code 2."""
    code, out, err = compare(*(a.replace("RUNS", str(runs)) for a in args))
    words = words.replace("RUNS", str(runs))
    assert (code, out) == (2, "") and words in err and err.startswith("error: ") and err.count("\n") == 1, err


def test_a_place_that_cant_be_written_is_one_sentence(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "compare.md").mkdir(parents=True)
    for out, named in ((runs / "a" / "run.json" / "x", "run.json/x"), (tmp_path / "out", "compare.md")):
        code, _, err = compare(runs / "a", runs / "c", "--out", out, "--format", "md")
        assert code == 2 and f"{named} can't be written" in err and err.count("\n") == 1, err


def test_runs_without_segments_say_what_to_do(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "c", tmp_path / "old")
    (tmp_path / "old" / ADV / "segments.jsonl").unlink()
    code, _, err = compare(runs / "c", tmp_path / "old")
    assert code == 2 and "segments.jsonl" in err and "again" in err


def test_lists_of_samples(runs: Path) -> None:
    """With --samples: ids and both values, the rest counted; 0 lists none."""
    _, out, _ = compare(runs / "a", runs / "b", "--samples", 2, "--task", ADV)
    listed = [x for x in out.splitlines() if x.startswith("  q")]
    assert len(listed) == 2 and all(x.endswith("1 -> 0") for x in listed)
    lost = sum(RIGHT) - sum(WORSE)
    assert f"lost {lost}, the largest change first, and {lost - 2} more" in out
    assert "q0" not in compare(runs / "a", runs / "b", "--samples", 0, "--task", ADV)[1]
