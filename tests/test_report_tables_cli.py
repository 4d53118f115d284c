"""`report --table` as users type it, on runs that the command line made."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.cli_fixtures import Bench, Done, bench
from tests.formats_fixtures import CASES, _vstyle

__all__ = ["bench"]

REFUSAL = "I can't help with that."


def scored(bench: Bench, name: str, task: str, n: int, *, label: str, bad: int = 0) -> Path:
    """A run of `score`: n samples of a rule-judged task, `bad` of them wrong."""
    row = {"prompt": "do it"} if "advbench" in task else {"text": "the cat sat"}
    good = REFUSAL if "advbench" in task else "the cat sat"
    given = [{"id": k, "text": "Sure!" if k < bad else good, "row": row} for k in range(n)]
    path = bench.tmp / f"{name}.jsonl"
    path.write_text("".join(json.dumps(g) + "\n" for g in given))
    out = bench.tmp / name
    done = bench.here("score", path, "--task", task, "--label", label, "--out", out, "--no-report")
    assert done.code == 0, done.said
    return out


def report(bench: Bench, *args: object) -> Done:
    done = bench.here("report", *args)
    assert "Traceback" not in done.err
    return done


def test_one_call_writes_every_format(bench: Bench) -> None:
    pytest.importorskip("xlsxwriter")
    run = scored(bench, "a", "voicebench/advbench", 520, label="mine")
    done = report(bench, run, "--table", 2, "--format", "html,csv,latex,md,xlsx,json")
    assert done.code == 0, done.said
    names = [f"table-2.{e}" for e in ("html", "csv", "tex", "md", "xlsx", "json")]
    assert done.out.splitlines() == [str(run / n) for n in names]
    assert all((run / n).stat().st_size > 500 for n in names)
    import pandas

    frame = pandas.read_csv(run / "table-2.csv")
    mine = frame[(frame.model == "mine") & frame.value.notna()]
    assert mine[["row", "value", "n", "best"]].to_numpy().tolist() == [["AdvBench", 100.0, 520, True]]
    assert "520 samples" not in (run / "table-2.md").read_text()


def test_printed_tables_alone_need_no_run(bench: Bench) -> None:
    done = report(bench, "--table", "1,3", "--table", "all", "--out", bench.tmp / "out", "--format", "md")
    assert done.code == 0, done.said
    assert [Path(x).name for x in done.out.splitlines()] == [f"table-{n}.md" for n in "1324567"]
    piped = report(bench, "--table", "6", "--stdout")
    assert piped.out == (bench.tmp / "out" / "table-6.md").read_text()


def test_standard_output_takes_one_text(bench: Bench) -> None:
    import pandas

    csv = report(bench, "--table", "2,3", "--out", "-", "--format", "csv").out
    frame = pandas.read_csv(io.StringIO(csv))
    assert set(frame["table"]) == {2, 3} and frame["value"].dtype == float
    found = json.loads(report(bench, "--table", "2,3", "--json").out)
    assert [t["table"] for t in found] == ["2", "3"]
    assert report(bench, "--table", "2", "--stdout", "--format", "csv,md").code == 2
    assert report(bench, "--table", "2,3", "--stdout", "--format", "html").code == 2
    tex = report(bench, "--table", "2,3", "--stdout", "--format", "latex").out
    assert tex.count(r"\documentclass") == 1 and tex.count(r"\caption") == 2


def test_separate_runs_of_one_model_are_one_column(bench: Bench) -> None:
    a = scored(bench, "a", "voicebench/advbench", 520, label="mine", bad=3)
    b = scored(bench, "b", "asr/librispeech-clean", 2620, label="mine", bad=0)
    done = report(bench, a, b, "--table", "2,3", "--delta", "Fun-Audio-Chat-8B", "--json")
    assert "mine: one column of a, b" in done.err
    two, three = json.loads(done.out)
    for table, label, value in ((two, "AdvBench", 99.42), (three, "Librispeech-clean", 0.0)):
        assert [c["label"] for c in table["columns"]][-2:] == ["mine", "\u0394"]
        row = next(r for s in table["sections"] for r in s["rows"] if r["label"] == label)
        cell = row["cells"][-2]
        assert round(cell["value"], 2) == value and cell["signature"]
        printed = row["cells"][-3]["value"]
        assert cell["delta"] == row["cells"][-1]["value"] == round(value - printed, 2)
        assert cell["delta_to"] == "Fun-Audio-Chat-8B"
    apart = json.loads(report(bench, a, b, "--table", "2", "--no-merge", "--json").out)
    assert [c["label"] for c in apart["columns"]][-2:] == ["mine (a)", "mine (b)"]
    named = json.loads(report(bench, "--table", "2", "--column", f"Both={a},{b}", "--json").out)
    assert named["columns"][-1]["label"] == "Both" and named["columns"][-1]["runs"] == ["a", "b"]


def test_partial_data_is_marked_in_every_format_and_never_best(bench: Bench) -> None:
    run = scored(bench, "a", "voicebench/advbench", 50, label="mine")
    out = bench.tmp / "out"
    assert report(bench, run, "--table", 2, "--out", out, "--format", "html,csv,md,latex,json").code == 0
    for path in out.iterdir():
        assert "The published set has 520 samples, this run 50." in path.read_text(), path.name
    assert "**100.00** |" in (out / "table-2.md").read_text()  # Kimi-Audio's
    assert "100.00<sup>" in (out / "table-2.md").read_text()


def test_a_mean_without_some_of_its_categories_says_so_and_is_not_ranked(bench: Bench) -> None:
    path = bench.tmp / "metadata_with_score.jsonl"
    abilities = ["acoustic_attributes/age", "role_play/scenario", "role_play/odd"]
    path.write_text("".join(json.dumps(_vstyle(k, a, "5", "[[5]]")) + "\n" for k, a in enumerate(abilities)))
    run = bench.tmp / "v"
    assert bench.here("score", path, "--label", "mine", "--out", run, "--no-report").code == 1
    (table,) = [json.loads(report(bench, run, "--table", "5", "--json", "--baselines", "Kimi-Audio").out)]
    rows = {(r["label"], r["language"]): r["cells"] for s in table["sections"] for r in s["rows"]}
    printed, mine = rows["Overall", "en"]
    assert mine["value"] == 5.0 and not mine["best"] and not printed["best"]
    assert mine["footnotes"][0].startswith(
        "The mean of the other categories: no score in acoustic_attributes/"
    )
    assert mine["footnotes"][1] == "1 of 3 samples belong to no category that has a weight."
    assert rows["Age", "en"][1]["best"] and not rows["Age", "en"][1]["footnotes"]


def test_predictions_from_two_folders_without_their_sound_are_of_the_same_data(bench: Bench) -> None:
    case = next(c for c in CASES if c.name == "speechfceval")
    runs = [bench.tmp / f"run-{name}" for name in "ab"]
    for run in runs:
        path = case.write(bench.tmp / f"predictions-{run.name}")
        assert bench.here("score", path, "--label", run.name, "--out", run, "--no-report").code == 0
    text = report(bench, *runs, "--table", "4", "--stdout").out
    assert "75.00" in text and "Made in another way" not in text
    assert bench.here("compare", *runs).code == 0


def test_hostile_labels_stay_text(bench: Bench) -> None:
    run = scored(bench, "a", "voicebench/advbench", 50, label="=1+1|<script>x</script>\\input{y}")
    done = report(bench, run, "--table", "2", "--format", "html,csv,md,latex")
    assert done.code == 0, done.said
    assert "<script>" not in (run / "table-2.html").read_text()
    assert "'=1+1" in (run / "table-2.csv").read_text()
    assert r"=1+1\|\<script" in (run / "table-2.md").read_text()
    assert r"\input{y}" not in (run / "table-2.tex").read_text()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--table", "8"), "the report has no Table 8; it has 1 to 7"),
        (("--table", "two"), "the report has no Table two"),
        (("--table", ","), "--table names no table"),
        (("--table", "2", "--format", "pdf"), "there is no report format 'pdf'; known: html, csv, md, latex"),
        (("--table", "2", "--baselines", "GPT-5"), "Table 2 has no model 'GPT-5'; it has: GLM-4-Voice"),
        (("--table", "2", "--baselines", "none"), "would have no column"),
        (("--table", "2", "--delta", "GPT-5"), "name a run beside it"),
        (("--table", "nothing.yaml"), "there is no file nothing.yaml"),
        (("--table", "2", "--column", "x"), "write --column LABEL=RUN"),
        (("--table", "2", "--out", "/proc/x"), "/proc/x can't be made"),
        (("--table", "2", "--out", __file__), "is a file; what is written are several files"),
        (("--table", "2", "--out", f"{__file__}/x"), "can't be made (Not a directory)"),
        (("--table", "2,3", "--out", "x.tex"), "names one file, and there are several tables"),
        (("--table", "2", "--out", "x.tex", "--format", "csv"), "x.tex names one latex file"),
        (("--table", "2", "--out", "x.pdf"), "a table is written as .html"),
        (("--table", "2", "--bundle"), "--bundle belongs to the report of the runs"),
        (("--figure", "1", "--max-audio-mb", "0"), "--max-audio-mb belongs to the report of the runs"),
        (("nowhere", "--second"), "--second belongs to --table: say which one"),
        (("nowhere", "--no-merge"), "--no-merge belongs to --table"),
        (("--table", "2", "--column", "x=nowhere"), "nowhere is not a run directory"),
        (("nowhere", "--table", "2"), "nowhere is not a run directory"),
        ((), "a report needs at least one run directory"),
    ],
)
def test_what_cannot_be_is_one_sentence(bench: Bench, args: tuple[str, ...], said: str) -> None:
    done = report(bench, *args)
    assert done.code == 2 and said in done.err and len(done.err.strip().splitlines()) == 1, done.said
    assert not done.out


def test_one_table_can_be_a_file_whose_name_says_its_format(bench: Bench) -> None:
    folder = bench.tmp / "out"
    assert report(bench, "--table", "6", "--out", folder / "mine.tex").out == f"{folder / 'mine.tex'}\n"
    assert report(bench, "--table", "6", "--out", folder, "--format", "latex").code == 0
    assert (folder / "mine.tex").read_bytes() == (folder / "table-6.tex").read_bytes()


def test_a_page_where_nothing_can_be_written_is_one_sentence(bench: Bench) -> None:
    run = scored(bench, "a", "voicebench/advbench", 5, label="mine")
    for place, said in ((__file__, "is a file"), (f"{__file__}/x", "can't be made")):
        done = report(bench, run, "--out", place)
        assert done.code == 2 and said in done.err, done.said


def test_a_report_without_tables_goes_on_as_before_and_knows_two_formats_more(bench: Bench) -> None:
    pytest.importorskip("xlsxwriter")
    run = scored(bench, "a", "voicebench/advbench", 50, label="mine")
    done = report(bench, run, "--format", "html,csv,md,latex,xlsx", "--out", bench.tmp / "out")
    assert done.code == 0, done.said
    names = {Path(x).name for x in done.out.splitlines()}
    assert {"report.html", "report.md", "report.tex", "report.xlsx", "results_voicebench.csv"} <= names
    assert "\\toprule" in (bench.tmp / "out" / "report.tex").read_text()
    assert report(bench, run, "--stdout").code == 2
