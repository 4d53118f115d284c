"""A judge's agreement with people: the three figures of the VStyle sheet, section 8."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.audit.agreement import agreement, averaged, by_category, rater, spearman
from evalkit.errors import UsageError
from tests.cli_fixtures import Bench, Done, bench, refused
from tests.test_e2e_vstyle import SAID, answers, score

__all__ = ["bench"]

for name in ("scipy.stats", "statsmodels", "krippendorff"):
    pytest.importorskip(name, reason='needs pip install "evalkit[stats]"')


def ranks(values: Sequence[float]) -> list[float]:
    """Average ranks, from the definition."""
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def rho(one: Sequence[float], two: Sequence[float]) -> float:
    """Pearson's correlation of the average ranks, from the definition."""
    x, y = ranks(one), ranks(two)
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return top / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30))
def test_rho_with_ties(pairs: list[tuple[int, int]]) -> None:
    one = {str(k): float(a) for k, (a, _) in enumerate(pairs)}
    two = {str(k): float(b) for k, (_, b) in enumerate(pairs)}
    found = spearman(one, two | {"only here": 3.0})
    assert found is not None
    if len(set(one.values())) == 1 or len(set(two.values())) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(rho(list(one.values()), list(two.values())), abs=1e-9)


def test_the_three_figures() -> None:
    a = {"1": 1.0, "2": 2.0, "3": 3.0, "4": 5.0}
    b = {"1": 2.0, "2": 1.0, "3": 4.0, "5": 1.0}
    judge = {"1": 1.0, "2": 3.0, "3": 4.0, "4": 4.0, "6": 5.0}
    found = agreement([a, b], judge)
    mean = [1.5, 1.5, 3.5, 5.0]
    assert averaged([a, b]) == {"1": 1.5, "2": 1.5, "3": 3.5, "4": 5.0, "5": 1.0}
    assert found.average == pytest.approx(rho(mean, [1, 3, 4, 4]))
    assert found.individual == pytest.approx(
        (rho([1, 2, 3, 5], [1, 3, 4, 4]) + rho([2, 1, 4], [1, 3, 4])) / 2
    )
    assert found.human == pytest.approx(rho([1, 2, 3], [2, 1, 4]))
    assert (found.n, found.annotators, found.pairs) == (4, 2, 1)


def test_constant_scores_are_nan_and_stay_it() -> None:
    steady, other = {"1": 3.0, "2": 3.0}, {"1": 1.0, "2": 2.0}
    found = agreement([steady, other], {"1": 4.0, "2": 5.0})
    assert math.isnan(found.individual) and math.isnan(found.human) and found.average == pytest.approx(1.0)
    assert found.to_json()["individual"] is None


def test_one_common_key_makes_no_rho() -> None:
    lone, other = {"1": 3.0}, {"1": 1.0, "2": 2.0}
    found = agreement([lone, other], {"1": 4.0, "2": 5.0})
    assert (found.individual, found.annotators, found.pairs) == (pytest.approx(1.0), 1, 0)
    assert math.isnan(found.human) and math.isnan(agreement([], {}).average)


def test_rows_that_are_skipped() -> None:
    rows: list[Mapping[str, Any]] = [
        {"id": 1, "instruct_id": 7, "mos": "4", "ability": "empathy/anger"},
        {"id": "1", "instruct_id": "7", "mos": 5},
        {"id": 2, "mos": 3},
        {"instruct_id": 2, "mos": 3},
        {"id": 3, "instruct_id": 1},
        {"id": 3, "instruct_id": 1, "mos": "API failed: 4"},
        {"id": 4, "instruct_id": 1, "mos": None},
        {"id": 0, "instruct_id": 0, "mos": "1_0"},
    ]
    found = rater("a", rows, "mos")
    assert found.scores == {"1_7": 5.0, "0_0": 10.0} and found.abilities == {"1_7": "empathy/anger"}
    assert found.skipped == {"no id or instruct_id": 2, "no number in mos": 3}


def test_categories_are_filtered_on_both_sides() -> None:
    def rows(column: str, *scores: int) -> list[Mapping[str, Any]]:
        abilities = ("empathy/anger", "empathy/joy_excitement", "instruction/style", "instruction/style")
        return [
            {"id": k, "instruct_id": k, "ability": a, column: s}
            for k, (a, s) in enumerate(zip(abilities, scores, strict=True))
        ]

    judge = rater("judge", rows("gemini_score", 1, 2, 3, 4), "gemini_score")
    human = rater("h", rows("mos", 1, 2, 4, 3), "mos")
    found = by_category([human], judge)
    assert {c: a.average for c, a in found.items()} == {
        "empathy": pytest.approx(1.0),
        "instruction": pytest.approx(-1.0),
    }
    assert [a.n for a in found.values()] == [2, 2]


def test_without_scipy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(UsageError, match=r"evalkit\[stats\]"):
        spearman({"1": 1.0, "2": 2.0}, {"1": 1.0, "2": 2.0})


def write(path: Path, rows: Sequence[Mapping[str, Any] | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8"
    )
    return path


def judged_by(column: str, scores: Sequence[Any]) -> list[Mapping[str, Any]]:
    return [{"id": k, "instruct_id": k, "ability": "empathy/anger", column: s} for k, s in enumerate(scores)]


def command(bench: Bench, *args: object) -> Done:
    return bench.here("judge-audit", "humans", "--draws", 20, *args)


def rho_of(done: Done) -> dict[str, Any]:
    """VStyle's three figures in the answer for machines."""
    found: dict[str, Any] = json.loads(done.out)["audits"][0]["rho"]
    return found


def test_the_command(bench: Bench) -> None:
    folder = bench.tmp / "human"
    write(folder / "ann.jsonl", [*judged_by("mos", [1, 2, 3, 4, 5]), "not JSON", "[1]"])
    write(folder / "bob.jsonl", judged_by("mos", [2, 1, 3, 5, 4]))
    model = write(bench.tmp / "judge.jsonl", judged_by("gemini_score", ["1", "3", "API failed: x", "4", "5"]))
    done = command(bench, "--human", folder, "--scores", model)
    assert done.code == 0, done.said
    overall = next(line for line in done.out.splitlines() if line.startswith("all"))
    # 4 keys: the mean of people is 1.5 1.5 4.5 4.5
    assert overall.split()[1:] == ["0.8944", "0.8000", "0.8000", "4"], overall
    assert "ann.jsonl: left out, no JSON object: line 6, 7" in done.err
    assert "judge: 1 row left out: no number in gemini_score" in done.err
    told = command(bench, "--human", folder, "--scores", model, "--json")
    found = rho_of(told)
    assert found["all"]["average"] == found["categories"]["empathy"]["average"] == 0.8944
    assert json.loads(told.out)["audits"][0]["raters"]["bob"] == {"n": 5, "skipped": {}}


def test_a_rho_that_is_nan_stays_it(bench: Bench) -> None:
    one = write(bench.tmp / "h" / "a.jsonl", judged_by("mos", [3, 3, 3])).parent
    write(one / "b.jsonl", judged_by("mos", [1, 2, 3]))
    model = write(bench.tmp / "judge.jsonl", judged_by("gemini_score", [1, 2, 3]))
    done = command(bench, "--human", one, "--scores", model)
    overall = next(line for line in done.out.splitlines() if line.startswith("all"))
    assert overall.split()[1:] == ["1.0000", "nan", "nan", "3"]
    assert "no yardstick" in done.out and done.code == 0


def test_what_the_command_refuses(bench: Bench) -> None:
    (bench.tmp / "empty").mkdir()
    refused(command(bench, "--human", bench.tmp / "empty", "--run", bench.tmp), "no results.json")
    human = write(bench.tmp / "h.jsonl", judged_by("mos", [1, 2]))
    none = bench.tmp / "none.jsonl"
    refused(command(bench, "--human", human, "--scores", none), "none.jsonl", "can't be read")
    other = write(bench.tmp / "m.jsonl", [{"id": 9, "instruct_id": 9, "gemini_score": 1}])
    refused(command(bench, "--human", bench.tmp / "empty", "--scores", other), "no .jsonl file")
    refused(
        command(bench, "--human", human, "--scores", other),
        "no sample in common",
        "instruct_id",
        "'9_9'",
        "'0_0'",
    )


def test_a_run_against_people(bench: Bench) -> None:
    path = answers(bench, {str(k): {"say": SAID, "judge": f"[[{k}]]"} for k in (1, 2, 3, 4)})
    assert score(bench, path).code == 0
    human = write(bench.tmp / "ann.jsonl", [{"id": k, "mos": 5 - k} for k in (1, 2, 3, 4)])
    done = command(bench, "--human", human, "--run", bench.tmp / "a", "--json", "--no-report")
    assert done.code == 0, done.said
    told = rho_of(done)
    assert sorted(told["categories"]) == ["acoustic_attributes", "empathy", "instruction", "role_play"]
    assert told["all"] == {
        "average": -1.0, "individual": -1.0, "human": None, "n": 4, "annotators": 1, "pairs": 0,
    }  # fmt: skip
    wrong = command(bench, "--human", human, "--run", bench.tmp / "a", "--task", "vstyle/zh")
    refused(wrong, "no task 'vstyle/zh'")


def test_scores_that_no_field_holds_are_told(bench: Bench) -> None:
    one, two = bench.tmp / "ann.jsonl", bench.tmp / "judge.jsonl"
    one.write_text('{"id": 1, "instruct_id": 1, "mos": 4}\n')
    two.write_text('{"id": 1, "instruct_id": 1, "grade": 4}\n')
    refused(command(bench, "--human", one, "--scores", two), "judge.jsonl has no column", "grade", "--score")
