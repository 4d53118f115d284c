"""`compare` refuses numbers that were made in different ways, says in what, and compares them when told to."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.compare_fixtures import (
    ADV,
    ASR,
    OPEN,
    RATINGS_A,
    RIGHT,
    SAID,
    N,
    compare,
    document,
    heard,
    line,
    rated,
    refusing,
    scored,
    three_runs,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_runs(tmp_path_factory.mktemp("compare"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same questions in other ways: some only, other targets and ids, another protocol."""
    root = tmp_path_factory.mktemp("others")
    scored(root / "few", {ADV: refusing(RIGHT)}, "--limit", 40)
    moved = [{**x, "id": f"other{k}"} for k, x in enumerate(refusing(RIGHT))]
    scored(root / "moved", {ADV: moved})
    asked = [{**x, "row": {"prompt": f"something else {k}"}} for k, x in enumerate(refusing(RIGHT))]
    scored(root / "asked", {ADV: asked, ASR: heard(SAID, 0.05, 9)})
    scored(root / "official", {OPEN: rated(RATINGS_A)}, "--protocol", "official")
    scored(root / "kimi", {OPEN: rated(RATINGS_A)}, "--protocol", "kimi-evalkit")
    return root


def test_all_refused_shows_only_the_refusal(runs: Path, others: Path) -> None:
    """Exit 5, nothing on stdout, the part and both its values, what to do; no file is written."""
    code, out, err = compare(runs / "a", others / "few", "--out", others / "none")
    assert (code, out) == (5, "") and not (others / "none").exists()
    assert (
        f"{ADV} is not compared" in err
        and "the data differ (data)" in err
        and "(n): 160 in model-a, 40 in model-few" in err
    )
    assert "model-few has 40 samples, by --limit" in err and err.rstrip().endswith("--allow data.")
    digests = re.findall(r"#([0-9a-f]{8})", err)
    assert len(set(digests)) == 2


def test_tasks_that_may_be_compared_are_still_shown(runs: Path, others: Path) -> None:
    code, out, err = compare(runs / "a", others / "asked")
    assert code == 5 and ASR in out and f"{ADV} is not compared" in err
    assert ADV not in out.split("only in")[0]
    found = document(runs / "a", others / "asked", code=5)
    x = line(found, ADV)
    assert x["verdict"] == "refused" and [p["part"] for p in x["refused"]] == ["data"] and x["delta"] is None
    assert line(found, ASR)["verdict"] != "refused" and found["refusals"]


def test_told_otherwise(runs: Path, others: Path) -> None:
    """--allow compares and says so; of the shared samples, those with another question are counted."""
    few = line(document(runs / "a", others / "few", "--allow", "data"), ADV)
    assert (few["n"], few["delta"], few["coverage_a"]["only"]) == (40, 0, N - 40)
    assert (
        [p["part"] for p in few["allowed"]] == ["data", "n"]
        and "limited" in few["marks"]
        and few["bound"] is None
    )
    asked = line(document(runs / "a", others / "asked", "--allow", "data", "--task", ADV), ADV)
    assert any("160 of the 160 shared samples have another question" in n for n in asked["notes"])
    _, out, _ = compare(runs / "a", others / "asked", "--allow", "data", "--task", ADV)
    assert "data differs, allowed; questions or targets changed" in out
    _, out, _ = compare(runs / "a", others / "few", "--allow", "all")
    assert "data, n differ, allowed" in out
    code, _, err = compare(others / "official", others / "kimi", "--allow", "protocol")
    assert code == 5 and err.rstrip().endswith("--allow protocol,judges."), err
    code, _, err = compare(runs / "a", others / "few", "--allow", "n")
    assert code == 5 and "data" in err


def test_no_shared_sample(runs: Path, others: Path) -> None:
    code, out, _ = compare(runs / "a", others / "moved", "--allow", "data")
    assert (
        code == 0
        and "no sample id is in both runs: model-a has q000" in out
        and "model-moved has other0" in out
    )


def test_another_protocol(others: Path) -> None:
    code, out, err = compare(others / "official", others / "kimi")
    assert (code, out) == (
        5,
        "",
    ) and "(protocol): official in model-official, kimi-evalkit in model-kimi" in err


def test_a_number_that_one_run_lacks(runs: Path, others: Path, tmp_path: Path) -> None:
    """Not refused where the rest was made in one way: said, whichever run lacks it."""
    shutil.copytree(runs / "a", tmp_path / "less")
    path = tmp_path / "less" / "results.json"
    results = json.loads(path.read_text())
    del results["tasks"][ASR]["metrics"]["ser"]
    path.write_text(json.dumps(results))
    for pair, where in (
        ((runs / "a", tmp_path / "less"), "(less)"),
        ((tmp_path / "less", runs / "a"), "(less)"),
    ):
        x = line(document(*pair, "--task", ASR, "--metrics", "all"), ASR, metric="ser")
        assert x["verdict"] == "untested" and x["delta"] is None and f"model-a {where} has no ser" in x["why"]
    every = document(others / "official", others / "kimi", "--metrics", "all", code=5)
    assert every["lines"] and all(x["verdict"] == "refused" for x in every["lines"])


def test_another_version_of_evalkit(runs: Path, tmp_path: Path) -> None:
    """Numbers of two versions may be made in two ways."""
    shutil.copytree(runs / "c", tmp_path / "old")
    path = tmp_path / "old" / "results.json"
    path.write_text(re.sub(r"\|evalkit=[\d.]+", "|evalkit=0.0.1", path.read_text()))
    code, _, err = compare(runs / "c", tmp_path / "old")
    assert code == 5 and "evalkit's version differs (evalkit)" in err and "0.0.1 in model-c (old)" in err
    assert compare(runs / "c", tmp_path / "old", "--allow", "evalkit")[0] == 0


def test_decoding_belongs_to_the_runner(runs: Path, tmp_path: Path) -> None:
    """It may differ, and is told."""
    shutil.copytree(runs / "c", tmp_path / "hot")
    path = tmp_path / "hot" / "results.json"
    path.write_text(path.read_text().replace("|gen=default", "|gen=temperature=1"))
    x = line(document(runs / "c", tmp_path / "hot"), ADV)
    assert "decoding" in x["marks"] and any("temperature=1" in n for n in x["notes"])


def test_no_task_in_common(runs: Path, others: Path) -> None:
    code, _, err = compare(runs / "c", others / "kimi")
    assert code == 2 and "no task in common" in err


def test_an_answer_that_is_missing_is_no_other_question(tmp_path: Path) -> None:
    """MMSU's scorer has words for a prediction without its output: the question stays the same, so do the data."""

    def said(without: int) -> list[dict[str, object]]:
        choices = {
            f"choice_{x}": word for x, word in zip("abcd", ("one", "two", "three", "four"), strict=True)
        }
        about = {"category": "Perception", "sub-category": "s", "task_name": "t", "answer_gt": "two"}
        rows = [{"id": f"m{k}", "question": f"{k}?", **about, **choices} for k in range(12)]
        return [
            {"id": r["id"], "row": r, **({"text": "B"} if k >= without else {})} for k, r in enumerate(rows)
        ]

    one, two = (scored(tmp_path / n, {"mmsu/all": said(k)}) for n, k in (("a", 0), ("b", 3)))
    x = line(document(one, two), "mmsu/all")
    assert (x["n"], x["coverage_b"]["unscored"], x["refused"]) == (9, 3, [])
