"""CSV: tidy, harmless in a spreadsheet, whole in pandas."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixtures import HOSTILE, make_run

from evalkit.errors import UsageError
from evalkit.store import Run
from reports import write_report
from reports.csvout import _cell
from reports.safe import guard, script_json, visible


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("csv")
    make_run(root / "run")
    written = write_report([root / "run"], root / "out", ["csv"])
    assert all(p.is_file() for p in written)
    return root / "out" / "csv"


def test_one_row_per_number(out: Path) -> None:
    frame = pd.read_csv(out / "results_voicebench.csv")
    assert set(frame["source"]) == {"published", "run"}
    ours = frame[(frame["source"] == "run") & (frame["task"] == "voicebench/sd-qa")]
    assert list(ours["metric_id"]) == ["acc", "panda", "gpt"]
    acc = ours.iloc[0]
    assert acc["bound_low"] < acc["value"] < acc["bound_high"]
    assert (acc["n"], acc["n_scored"], acc["n_errors"], acc["n_unscored"]) == (40, 37, 2, 1)
    assert frame["value"].dtype == float
    judging = dict(zip(ours["metric_id"], ours["judging"], strict=True))
    assert judging["gpt"] == "evalkit's wording; plain"
    assert len(frame[frame["source"] == "published"]) == 56


def test_one_row_per_sample(out: Path) -> None:
    frame = pd.read_csv(out / "samples_voicebench_sd-qa.csv")
    assert len(frame) == 40
    assert list(frame["status"].value_counts().sort_index()) == [2, 37, 1]
    assert frame["panda"].dtype == float
    wrong = frame[frame["sample_id"] == "q-0004"].iloc[0]
    assert wrong["gpt_reason"].startswith("judge-unbound:")
    assert frame[frame["status"] == "error"]["error"].str.startswith("http-500:").all()
    hostile = frame[frame["sample_id"] == "q-0000"].iloc[0]["text"]
    assert hostile == visible(HOSTILE)
    speech = pd.read_csv(out / "samples_ultraeval-audio_llama-questions.csv")
    assert speech["transcript"].str.contains("planet").all()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_defused_and_numbers_stay(start: str) -> None:
    assert guard(start + "cmd|' /C calc'!A0").startswith("'")
    assert _cell(-3.5) == -3.5
    assert _cell("-3.5") == "'-3.5"


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_survives_a_round_trip(text: str) -> None:
    cell = guard(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in cell if c not in "\n\t")
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow([cell, 1.5])
    file.getvalue().encode("utf-8")
    assert next(csv.reader(io.StringIO(file.getvalue(), newline=""))) == [cell, "1.5"]


@given(
    st.recursive(st.none() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v))
)
def test_script_json_can_not_leave_its_element(value: object) -> None:
    text = script_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    text.encode("utf-8")


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pdf"):
        write_report([tmp_path], tmp_path, ["pdf"])


def test_results_that_do_not_say_what_they_read(tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "run"))
    results = run.results()
    for entry in results["tasks"].values():
        for metric in entry["metrics"].values():
            del metric["reads"]
    run.write_results(results)
    found = write_report([run.root], tmp_path / "out", ["csv"])
    sdqa = next(p for p in found if p.name == "samples_voicebench_sd-qa.csv")
    assert {"panda", "gpt"} <= set(sdqa.read_text(encoding="utf-8-sig").splitlines()[0].split(","))
