"""Function calls, options and kinds of errors in reports: counted, shown, and inert whatever they hold."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import HOSTILE, Answer, FixedJudge, accuracy, plan_of, task_of
from test_reports_html import Page, block, browser, dump

from evalkit.plan import ModelCard
from evalkit.records import JSON, Response, Score, Verdict
from evalkit.results import build_results
from evalkit.store import Run, RunWriter
from evalkit.task import Metric
from reports import write_report
from reports.errors import DEFECTS, DIFFERENT, WRONG, error_table
from reports.runs import load_runs
from reports.safe import visible
from reports.samples import read_samples
from reports.terminal import console_table
from tests.cli_fixtures import Bench, bench

__all__ = ["bench"]

EVIL = HOSTILE + "\U0001f600\u2028'\"`${x}"
LONG = "y" * 100_000
TASK = "fc/toy"


def verdicts(code: str, calls: Any, expected: Any, *, strict: str = "", reasons: Sequence[str] = ()) -> Any:
    right, also = float(code == "correct"), float((strict or code) == "correct")
    detail: dict[str, JSON] = {"error_type": code, "error_reasons": list(reasons), "calls": calls}
    return (
        Verdict("acc", right, detail={**detail, "expected": expected}),
        Verdict("strict", also, detail={**detail, "error_type": strict or code}),
    )


def made(name: Any, **arguments: JSON) -> dict[str, JSON]:
    return {"name": name, "arguments": arguments}


LAMP = [{"lamp.dim": {"percent": [10], "room": ["", "all"]}}]
ANSWERS = [
    Answer("right", "<tool_call>", "Dim it.", LAMP, verdicts("correct", [made("lamp.dim", percent=10)], LAMP)),
    Answer(
        *("lax", "<tool_call>", "Dim it a bit.", LAMP),
        verdicts("correct", [made("lamp.dim", percent=10)], LAMP, strict="strict:no_match"),
    ),
    *(
        Answer(
            *(f"value-{k}", "<tool_call>", "Dim it much.", LAMP),
            verdicts("value_error:others", [made("lamp.dim", percent=k)], LAMP, reasons=["'percent': off"]),
        )
        for k in range(3)
    ),
    Answer("none", "No.", "Dim it?", LAMP, verdicts("wrong_count", [], LAMP, reasons=["0 calls, 1 wanted"])),
    Answer(
        *("evil", EVIL, EVIL, [{EVIL: {EVIL: [EVIL]}}]),
        verdicts(EVIL, [made(EVIL, **{EVIL: EVIL})], [{EVIL: {EVIL: [EVIL]}}], strict=LONG, reasons=[EVIL]),
    ),
    Answer(
        *("odd", "", "Odd.", [None, 3]),
        verdicts("odd", [None, 3, "x", {"name": None}, {"arguments": [1]}, {"name": {}, "arguments": 5}], [1]),
    ),
    Answer("long", LONG, LONG, LONG, verdicts(LONG, [made(LONG, **{LONG: LONG})], {LONG: {LONG: LONG}})),
]  # fmt: skip


def write(root: Path, answers: Sequence[Answer], metrics: Sequence[Metric], **asked: Any) -> Path:
    """A run of one task, whose judges are called like the public checkers."""
    judges = [FixedJudge(f"calls-bfcl@1:{m.name}", m.name) for m in metrics]
    task = task_of(TASK, "Toy calls", metrics, judges, groups=("region",))
    writer, signed = RunWriter(root), {j.metrics[0]: j.signature for j in judges}
    for a in answers:
        told = {"question": a.question, "target": a.target, "groups": {"region": a.group}} | asked
        response = Response(a.id, a.text)
        writer.append_response(TASK, response, input=f"in-{a.id}", asked=told)
        writer.append_scores(
            TASK,
            [
                Score.of(v, sample_id=a.id, judge=signed[v.metric], response=response.digest())
                for v in a.verdicts
            ],
        )
    writer.write_manifest({"v": 1})
    plan = plan_of(task, judges, len(answers))
    writer.write_results(build_results(writer, [plan], ModelCard("m", "m@1")))
    writer.close()
    return root


CALLS = (accuracy(), Metric("strict", "Accuracy (strict)", primary=False))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calls")
    write(
        root / "run",
        ANSWERS,
        CALLS,
        options=[EVIL, None, LONG, "Dim"],
        before=[["user", EVIL], "odd", [1, 2]],
    )
    write_report([root / "run"], root / "page.html", ["html", "csv"])
    return root


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "page.html").read_text(encoding="utf-8")


def test_error_codes_are_counted_and_pick_their_samples(root: Path) -> None:
    [run] = load_runs([root / "run"])
    table, picks = error_table(list(read_samples(run, TASK)), run.tasks[TASK])
    assert table is not None and (table.title, table.whole) == (WRONG, "% of answers")
    kinds = {k.label: k for k in table.kinds}
    worst = table.kinds[0]
    assert (worst.label, worst.n, worst.frequent) == ("value_error:others", 3, "'percent': off \u00d73")
    assert worst.share == pytest.approx(100 * 3 / len(ANSWERS)) and worst.pick is not None
    assert picks[worst.pick].samples == {"value-0", "value-1", "value-2"}
    assert "correct" not in kinds
    lax = kinds["right, but not by Accuracy (strict)"]
    assert (lax.n, lax.frequent) == (1, "strict:no_match \u00d71")
    assert all(len(k.label) < 200 and len(k.frequent) < 1000 for k in table.kinds)


def test_no_table_where_verdicts_have_no_codes(tmp_path: Path) -> None:
    answers = [Answer("a", verdicts=(Verdict("acc", 1.0, touched="odd_rule"), Verdict("other", 0.0)))]
    run = write(tmp_path / "run", answers, (accuracy(), Metric("other", "Other", primary=False)))
    [view] = load_runs([run])
    table, picks = error_table(list(read_samples(view, TASK)), view.tasks[TASK])
    assert table is None
    assert [(p.group, p.label, p.samples) for p in picks] == [
        (DIFFERENT, "right by Accuracy, wrong by Other", {"a"}),
        (DEFECTS, "odd_rule", {"a"}),
    ]


def test_ratings_are_not_right_or_wrong(tmp_path: Path) -> None:
    answers = [Answer("a", verdicts=(Verdict("acc", 1.0), Verdict("other", 0.0))),
               Answer("b", verdicts=(Verdict("acc", 0.0), Verdict("other", 3.0)))]  # fmt: skip
    run = write(tmp_path / "run", answers, (accuracy(), Metric("other", "Rating", hi=5.0, primary=False)))
    [view] = load_runs([run])
    assert error_table(list(read_samples(view, TASK)), view.tasks[TASK]) == (None, [])


def test_nothing_in_calls_options_or_codes_is_markup(text: str) -> None:
    page = Page(text)
    assert (
        "<script>alert" not in text
        and "<img" not in text
        and "onerror" not in "".join(name for _, attrs in page.elements for name in attrs)
    )
    assert "\u202e" not in text and "\x1b" not in text and "\x00" not in text
    assert len([t for t, attrs, _ in page.inline if t == "script" and "type" not in attrs]) == 1
    data = block(page, "d-r1_fc_toy")
    evil = next(s for s in data["samples"] if s["i"] == "evil")
    assert evil["o"][0] == visible(EVIL) and evil["o"][1] is None and len(evil["o"][2]) < 2_100
    assert evil["bf"] == [["user", visible(EVIL)], ["1", "2"]]
    assert evil["s"][0]["d"]["calls"][0]["name"] == visible(EVIL)
    assert any(p["label"].startswith("</script>") for p in data["picks"])
    assert len(text) < 1_000_000, "100,000 characters in a dozen places are cut"


def test_codes_and_defects_are_columns_and_start_no_formula(root: Path, tmp_path: Path) -> None:
    answers = [Answer("a", verdicts=(Verdict("acc", 0.0, detail={"error_type": "=1+1"}, touched="@x"),)),
               Answer("b", verdicts=(Verdict("acc", 1.0),))]  # fmt: skip
    run = write(tmp_path / "run", answers, (accuracy(),))
    write_report([run], tmp_path / "out", ["csv"])
    with (tmp_path / "out/csv/samples_fc_toy.csv").open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["acc_error_type"], first["acc_touched"]) == ("'=1+1", "'@x")
    assert second["acc_error_type"] == second["acc_touched"] == ""
    csv.field_size_limit(10_000_000)
    with (root / "csv/samples_fc_toy.csv").open(encoding="utf-8", newline="") as file:
        rows = {r["sample_id"]: r for r in csv.DictReader(file)}
    assert rows["evil"]["acc_error_type"] == visible(EVIL)
    assert all(len(v) < 33_000 for r in rows.values() for v in r.values())


@browser
@pytest.mark.parametrize("name", [a.id for a in ANSWERS])
def test_a_card_shows_expected_beside_made(root: Path, name: str) -> None:
    found, complaints = dump(f"file://{root / 'page.html'}#/r1/fc/toy/~/{name}")
    assert not complaints and found.count('aria-expanded="true">') == 1
    body = found[found.index('class="body"') : found.index("Groups</dt>")]
    assert "<script" not in body and "<img" not in body and "[object Object]" not in body
    if name.startswith("value"):
        table = body[body.index('class="calls"') :]
        assert '<td>10</td><td class="off">' in table or "value-10" in name
        assert re.search(r"<td>10</td><td class=\"off\">\d</td>", table)
        assert "or left out" in table and "error_type" in body and body.count("value_error:others") == 2
    if name == "right":
        assert 'class="calls"' in body and 'class="off"' not in body
    if name == "none":
        assert "no call" in body


@browser
def test_a_kind_of_error_filters_the_list(root: Path, text: str) -> None:
    """Pressed by a script of the test's own: the page's policy lets no other run, so a copy goes without."""
    press = "document.querySelector('.pick').click();"
    copy = root / "pressed.html"
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    copy.write_text(free.replace("start();\n})();", f"start();\n{press}\n}})();"), encoding="utf-8")
    found, complaints = dump(f"file://{copy}#/r1/fc/toy")
    assert not complaints and 'aria-pressed="true"' in found
    ids = re.findall(r'class="id mono">(.*?)</span>', found)
    assert ids == ["value-0", "value-1", "value-2"]


@browser
@pytest.mark.parametrize(
    ("target", "right"), [("Two", "B"), ("two ", "B"), ("B", "B"), ("Z", ""), ("None of these", "D")]
)
def test_options_have_their_right_and_their_chosen_one(tmp_path: Path, target: str, right: str) -> None:
    answers = [Answer("q", "C", "How many?", target,
                      (Verdict("acc", 0.0, detail={"letter": "C", "right": ["B"]}),
                       Verdict("strict", 0.0, detail={"chosen": 0, "option": "One", "reason": "option"})))]  # fmt: skip
    run = write(tmp_path / "run", answers, CALLS, options=["One", "Two", None, "None of these"])
    (path,) = write_report([run], tmp_path / "out", ["html"])
    found, complaints = dump(f"file://{path}#/r1/fc/toy/~/q")
    items = re.findall(r'<li(?: class="([a-z ]*)")?><span class="letter">(\w)</span>(.*?)</li>', found)
    assert not complaints and len(items) == 4
    assert [letter for kind, letter, _ in items if "right" in kind] == ([right] if right else [])
    assert [letter for kind, letter, _ in items if "chosen" in kind] == ["A", "C"]
    assert "as acc reads it" in items[2][2] and "(none)" in items[2][2]


def test_one_instruction_for_all_stands_once(tmp_path: Path) -> None:
    answers = [
        Answer(f"u{k}", "x", "Transcribe this.", f"words {k}", (Verdict("acc", 1.0),)) for k in range(3)
    ]
    run = write(tmp_path / "run", answers, (accuracy(),))
    (path,) = write_report([run], tmp_path / "out", ["html"])
    data = block(Page(path.read_text(encoding="utf-8")), "d-r1_fc_toy")
    assert data["question"] == "Transcribe this." and not any("q" in s for s in data["samples"])
    answers[0] = Answer("u0", "x", "Another.", "words 0", (Verdict("acc", 1.0),))
    (path,) = write_report([write(tmp_path / "b", answers, (accuracy(),))], tmp_path / "out", ["html"])
    data = block(Page(path.read_text(encoding="utf-8")), "d-r1_fc_toy")
    assert data["question"] is None and all("q" in s for s in data["samples"])


def test_many_groups_fold_and_one_group_needs_no_table(tmp_path: Path) -> None:
    def page(groups: int) -> str:
        answers = [
            Answer(f"g{k}", verdicts=(Verdict("acc", 1.0),), group=f"g{k % groups:02d}") for k in range(60)
        ]
        run = write(tmp_path / f"run{groups}", answers, (accuracy(),))
        (path,) = write_report([run], tmp_path / f"out{groups}", ["html"])
        return path.read_text(encoding="utf-8").partition("<main")[2].partition("</main>")[0]

    assert "Show all 47" in page(47) and page(47).count('scope="row">g') == 47
    assert "By region" in page(20) and "Show all" not in page(20)
    assert "By region" not in page(1) and "The same for all samples: region: g00." in page(1)


def test_verdicts_that_depend_on_the_record_before_are_shown_as_results_have_them(bench: Bench) -> None:
    rows = [
        {"id": f"q{k}", "task_name": "content_grounding", "category": "Perception", "sub-category": "Linguistics",
         "question": "Which?", "choice_a": "one", "choice_b": "two", "choice_c": "three", "choice_d": "four",
         "answer_gt": "two", "response": said}
        for k, said in enumerate(["", "B", "None", "A", "", "no letter"])
    ]  # fmt: skip
    file = bench.tmp / "m.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    bench.here("score", file, "--out", bench.tmp / "a", "--no-report")
    [run] = load_runs([bench.tmp / "a"])
    views = {v.id: v for v in read_samples(run, "mmsu/all")}
    assert [views[f"q{k}"].value for k in range(6)] == [None, 1.0, 1.0, 0.0, 0.0, None]
    metric = run.tasks["mmsu/all"]["metrics"]["acc"]
    assert metric["n_scored"] == sum(v.value is not None for v in views.values())
    assert views["q0"].code == "script-dies" and views["q5"].code == "excluded-format"
    line = next(iter(Run(run.root).task("mmsu/all").final_lines()))
    assert line["asked"]["options"] == ["one", "two", "three", "four"]


def test_names_from_a_data_set_move_no_cursor(root: Path) -> None:
    results = Run(root / "run").results()
    entry = results["tasks"][TASK]
    entry["benchmark"], entry["title"], entry["protocol"] = EVIL, EVIL, EVIL
    entry["metrics"]["acc"]["label"] = EVIL + LONG
    for columns in (None, 80):
        said = console_table(results, columns=columns)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said)
