"""Runs against the numbers that the report prints: unpaired, from n, where n is known and the protocol the same."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.compare_fixtures import (
    ADV,
    ASR,
    OPEN,
    VOICE,
    coins,
    compare,
    heard,
    rated,
    refusing,
    scored,
    utterances,
)

MODEL = "Fun-Audio-Chat-8B"
RIGHT = coins(520, 0.95, 1)
RATINGS = [[2 + k % 4] * 3 for k in range(636)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of AdvBench and AlpacaEval, part of LibriSpeech, and Common Voice, of which no count is published."""
    root = tmp_path_factory.mktemp("published")
    spoken = [
        {"id": x["id"], "text": x["text"], "row": {"path": f"{x['id']}.mp3", "sentence": x["row"]["text"]}}
        for x in heard(utterances(4, 5), 0.1, 1)
    ]
    given = {ADV: refusing(RIGHT), OPEN: rated(RATINGS), ASR: heard(utterances(4, 5), 0.1, 1), VOICE: spoken}
    return scored(root / "mine", given, label="mine")


def lines(*args: object, code: int = 0) -> dict[str, dict[str, Any]]:
    got, out, err = compare(*args, "--json")
    assert got == code, err
    return {x["task"]: x for x in json.loads(out)["lines"]}


def test_a_proportion_from_n(run: Path) -> None:
    """Pooled z and Newcombe's interval, with statsmodels' own; labelled unpaired, with the printed n."""
    found = pytest.importorskip("statsmodels.stats.proportion")
    x = lines(run, "--published", MODEL, "--task", ADV)[ADV]
    right, printed = sum(RIGHT), 0.9865 * 520
    assert (x["paired"], x["value_a"], x["test"]) == (False, 98.65, "unpaired-z(proportions)")
    assert x["value_b"] == pytest.approx(100 * right / 520) and x["delta"] == pytest.approx(
        x["value_b"] - 98.65
    )
    assert x["p"] == pytest.approx(found.proportions_ztest([right, printed], [520, 520])[1], rel=1e-6)
    low, high = found.confint_proportions_2indep(right, 520, printed, 520, compare="diff", method="newcomb")
    assert x["ci"] == pytest.approx([100 * low, 100 * high], abs=0.02)
    assert (x["printed_n"], x["wins"], x["losses"]) == (520, 0, 0) and "samples" not in x
    _, out, _ = compare(run, "--published", MODEL, "--task", ADV)
    assert "unpaired, printed of 520" in out and "as printed" in out


def test_a_rating_takes_its_spread_from_ours(run: Path) -> None:
    """Nothing is known of the printed one's spread; said in the name of the test."""
    np, stats = pytest.importorskip("numpy"), pytest.importorskip("scipy.stats")
    x = lines(run, "--published", MODEL, "--task", OPEN)[OPEN]
    own = np.array([r[0] for r in RATINGS], dtype=float)
    se = own.std(ddof=1) * math.sqrt(2 / 636)
    assert x["test"] == "unpaired-t(spread of ours)" and x["delta"] == pytest.approx(own.mean() - 4.80)
    assert x["p"] == pytest.approx(2 * stats.t.sf(abs(x["delta"]) / se, 635), rel=1e-3)


def test_no_test_where_n_is_not_known(run: Path) -> None:
    """The difference stands there alone, and says so."""
    x = lines(run, "--published", MODEL, "--task", VOICE)[VOICE]
    assert x["delta"] is not None and (x["p"], x["ci"], x["verdict"]) == (None, None, "untested")
    assert any("No test" in n for n in x["notes"])


def test_part_of_the_data_is_refused(run: Path) -> None:
    code, out, err = compare(run, "--published", MODEL, "--task", ASR)
    assert (code, out) == (5, "")
    assert f"2,620 samples in {MODEL}, 20 samples in mine" in err and "--allow n" in err
    x = lines(run, "--published", MODEL, "--task", ASR, "--allow", "n")[ASR]
    assert x["delta"] > 0 and [p["part"] for p in x["allowed"]] == ["n"]
    assert lines(run, "--published", MODEL, "--task", ASR, "--allow", "data")[ASR]["delta"] == x["delta"]


def test_smoke_data_is_not_the_benchmark(tmp_path: Path) -> None:
    from tests.report_fixtures import make_run

    root = make_run(tmp_path / "a", size=12)
    path = root / "results.json"
    path.write_text(re.sub(r'"kind": ?"local"', '"kind":"smoke"', path.read_text()))
    code, _, err = compare(root, "--published", MODEL)
    assert code == 5 and "the smoke data in my-model" in err


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    root = scored(tmp_path / "a", {OPEN: rated(RATINGS)}, "--protocol", "official")
    code, out, err = compare(root, "--published", MODEL)
    assert (code, out) == (5, "") and "the protocol differs (protocol)" in err


def test_beside_other_runs_and_models(run: Path) -> None:
    """Pairs of runs, then each run with each model; one family of tests; names in any case."""
    models = ("--published", MODEL.lower(), "--published", "Kimi-Audio")
    code, out, err = compare(run, run, *models, "--task", ADV, "--json")
    assert code == 0, err
    found = json.loads(out)
    told = [(x["a"], x["b"], x["paired"]) for x in found["lines"] if x["task"] == ADV]
    assert told == [
        ("a", "b", True),
        ("c", "a", False),
        ("c", "b", False),
        ("d", "a", False),
        ("d", "b", False),
    ]
    assert [s["kind"] for s in found["sides"]] == ["run", "run", "published", "published"]
    ps = sorted(x["p"] for x in found["lines"] if x["task"] == ADV)
    assert min(x["p_holm"] for x in found["lines"] if x["task"] == ADV) == pytest.approx(min(1.0, 5 * ps[0]))


def test_what_is_known_against_a_printed_number(tmp_path: Path) -> None:
    """Footnotes and misprints come along."""
    rows = [
        {"id": f"i{k}", "text": "word " * 3, "row": {"prompt": "?", "instruction_id_list": [], "kwargs": []}}
        for k in range(345)
    ]
    root = scored(tmp_path / "a", {"voicebench/ifeval": rows})
    x = lines(root, "--published", "GLM-4-Voice", "--task", "voicebench/ifeval")["voicebench/ifeval"]
    assert "misprint" in x["marks"] and any("52.80" in n for n in x["notes"])


def test_written(run: Path, tmp_path: Path) -> None:
    """All formats cope with a side that has no samples."""
    code, _, err = compare(run, "--published", MODEL, "--allow", "n", "--out", tmp_path)
    assert code == 0, err
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "as printed" in page and "forest" in page
    assert (tmp_path / "compare_pairs.csv").read_text(encoding="utf-8").count("\n") == 1
    assert "unpaired, printed of 520" in (tmp_path / "compare.md").read_text(encoding="utf-8")
