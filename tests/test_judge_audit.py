"""`judge-audit` as users call it: people, two judges, repeats; what is kept, printed, refused; the page and the CSV."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.audit import book
from evalkit.audit.labels import Columns, mapping, read_labels, renamed
from evalkit.audit.repeats import as_on_record, least_difference
from evalkit.errors import UsageError
from tests.cli_fixtures import Bench, Done, bench, refused
from tests.judge_server import SeenRequest, judge_server
from tests.test_e2e_vstyle import SMOKE

__all__ = ["bench"]

for name in ("scipy.stats", "statsmodels", "krippendorff"):
    pytest.importorskip(name, reason='needs pip install "evalkit[stats]"')

TASK = "voicebench/commoneval"
HOSTILE = "</script><script>alert(1)</script> =HYPERLINK(1)"
QUICK = ("--draws", 20)


def answers(bench: Bench, texts: Sequence[str]) -> Path:
    """Predictions q00, q01, ... to as many spoken questions."""
    bench.questions(len(texts), "commoneval")
    path = bench.tmp / "p.jsonl"
    rows = [{"id": f"q{k:02}", "text": text} for k, text in enumerate(texts)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def scored(bench: Bench, path: Path, url: str, judge: str = "scripted", out: str = "a") -> Done:
    who = ("--judge", f"openai/{judge}", "-J", f"base_url={url}", "--no-cache")
    more = ("--task", TASK, "--data-dir", bench.data, "--out", bench.tmp / out, "--no-report")
    return bench.here("score", path, *more, *who)


def audit(bench: Bench, *args: object) -> Done:
    return bench.here("judge-audit", *args, *QUICK)


def figures(done: Done, at: int = 0) -> dict[str, dict[str, Any]]:
    """By subset and name, of the answer for machines."""
    page = json.loads(done.out)["audits"][at]
    return {f"{f['subset']}:{f['pair']}.{f['statistic']}".replace(":.", ":"): f for f in page["figures"]}


def labels(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(dict(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def by_number(seen: SeenRequest) -> str:
    """The rating an answer asks for: its last digit."""
    return seen.answer.strip()[-1]


# --- humans ----------------------------------------------------------------------------------------


def test_people_and_a_run(bench: Bench) -> None:
    path = answers(bench, [f"Answer {k % 5 + 1}" for k in range(10)])
    with judge_server(by_number) as judge:
        assert scored(bench, path, judge.url).code == 0
    human = bench.tmp / "people.csv"
    rows = [
        f"q{k:02},{who},{min(5, max(1, k % 5 + 1 + shift * (k % 3 == 0)))},{'long' if k < 5 else 'short'}"
        for who, shift in (("ann", 1), ("bob", -1))
        for k in range(10)
    ]
    human.write_text("sample_id,annotator,rating,part\n" + "\n".join([*rows, "q99,ann,3,long"]) + "\n")
    done = audit(bench, "humans", "--run", bench.tmp / "a", "--human", human, "--group", "part", "--json")
    assert done.code == 0, done.said
    found = figures(done)
    assert found["all:judge-people.spearman"]["value"] > 0.9 and found["all:judge-people.spearman"]["n"] == 10
    assert found["all:people-people.kappa"]["note"] == "mean over 1 pairs"
    assert found["part=long:judge-people.accuracy"]["n"] == 5
    low, high = found["all:judge-people.kappa"]["ci"]
    assert low <= found["all:judge-people.kappa"]["value"] <= high
    page = json.loads(done.out)["audits"][0]
    assert page["accepted"] is True and page["unmatched"] == {"judge": 0, "people": 1}
    assert "1 sample that people labelled have no verdict of the judge ('q99')" in done.err
    [kept] = (bench.tmp / "a" / "audit").glob("humans_*.json")
    assert json.loads(kept.read_text()) == page
    shown = audit(bench, "humans", "--run", bench.tmp / "a", "--human", human)
    assert "accepted" in shown.out and "Krippendorff's alpha" in shown.out and "report.html" in shown.out


def test_another_judge_on_record_is_picked_by_words_of_its_signature(bench: Bench) -> None:
    path = answers(bench, [f"Answer {k % 5 + 1}" for k in range(10)])
    with judge_server(by_number) as judge:
        assert scored(bench, path, judge.url, "fair").code == 0
    with judge_server(lambda seen: "3") as judge:
        assert scored(bench, path, judge.url, "lazy").code == 0
    human = labels(bench.tmp / "h.jsonl", [{"id": f"q{k:02}", "label": k % 5 + 1} for k in range(10)])
    common = ("humans", "--run", bench.tmp / "a", "--human", human)
    pages = [
        json.loads(audit(bench, *common, *more, "--json").out)["audits"]
        for more in ((), ("--judges", "fair x1"))
    ]
    [counted], [picked] = pages
    assert counted["judge"].startswith("lazy ") and picked["judge"].startswith("fair ")
    by = {f["statistic"]: f["value"] for f in picked["figures"] if f["pair"] == "judge-people"}
    assert by["accuracy"] == 1.0
    assert len(list((bench.tmp / "a" / "audit").glob("humans_*.json"))) == 2, (
        "beside the other, not in its place"
    )
    both = json.loads(audit(bench, *common, "--judges", "fair", "lazy", "--json").out)["audits"]
    assert [p["judge"].split()[0] for p in both] == ["fair", "lazy"]
    refused(audit(bench, *common, "--judges", "gpt"), "'gpt'", "fair x1", "--judges")
    looked = audit(
        bench, "probes", "--run", bench.tmp / "a", "--judges", "fair", "--probe", "length", "--json"
    )
    [page] = json.loads(looked.out)["audits"]
    assert page["judge"].startswith("fair "), looked.said
    scores = ("humans", "--human", human, "--scores", human, "--judges", "fair")
    refused(audit(bench, *scores), "--judges", "leave it out")


def test_a_narrow_terminal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from evalkit.cli import audit_text

    rows = [{"id": k, "ann": k % 5, "bob": (k + k % 2) % 5, "gpt": k % 5} for k in range(40)]
    path = labels(bench.tmp / "all.jsonl", rows)
    monkeypatch.setattr(audit_text, "_columns", lambda: 80)
    done = audit(bench, "humans", "--human", path, "--label", "ann,bob", "--scores", path, "--score", "gpt")
    above = done.out.partition("differing most")[0]
    assert done.code == 0 and "people among themselves" in above
    assert max(map(len, above.splitlines())) <= 80, above


def test_words_are_mapped(bench: Bench) -> None:
    path = labels(bench.tmp / "w.jsonl", [{"id": "a", "label": "Correct "}, {"id": "b", "label": "wrong"}])
    assert read_labels([path], Columns()).raters[0].scores == {"a": 1.0, "b": 0.0}
    path = labels(bench.tmp / "w.jsonl", [{"id": "a", "label": "so-so"}, {"id": "b", "label": True}])
    found = read_labels([path], Columns(words=mapping(["so-so=0.5"])))
    assert found.raters[0].scores == {"a": 0.5, "b": 1.0}
    labels(bench.tmp / "w.jsonl", [{"id": "a", "label": "so-so"}])
    with pytest.raises(UsageError, match="neither numbers nor words"):
        read_labels([path], Columns())
    with pytest.raises(UsageError, match="--map WORD=NUMBER"):
        mapping(["so-so"])


def test_one_file_of_several_annotators_and_later_rows(bench: Bench) -> None:
    rows = [
        {"id": "a", "rater": "x", "score": 1},
        {"id": "a", "rater": "y", "score": 2},
        {"id": "a", "rater": "x", "score": 3},
        {"id": "b", "rater": "y", "score": "?"},
    ]
    found = read_labels([labels(bench.tmp / "l.jsonl", rows)], Columns())
    assert {r.name: r.scores for r in found.raters} == {"x": {"a": 3.0}, "y": {"a": 2.0}}
    assert found.told == [
        "x: 1 row displaced by a later one of the same sample",
        "y: 1 row left out: no number in score",
    ]


def test_people_and_judge_side_by_side_in_one_table(bench: Bench) -> None:
    path = bench.tmp / "all.csv"
    rows = [f"s{k},{k % 3 + 1},{(k + k % 2) % 3 + 1},{k % 3 + 1}" for k in range(9)]
    path.write_text("\ufeffid,ann,bob,gpt\n" + "\n".join(rows) + "\n", encoding="utf-8")
    done = audit(
        bench, "humans", "--human", path, "--label", "ann,bob", "--scores", path, "--score", "gpt", "--json"
    )
    assert done.code == 0, done.said
    assert json.loads(done.out)["audits"][0]["about"] == ["ann", "bob"]
    found = figures(done)
    assert (
        0.5 < found["all:judge-each.accuracy"]["value"] < 1 and found["all:people-people.accuracy"]["n"] == 9
    )
    long = labels(
        bench.tmp / "l.jsonl", [{"id": k, "annotator": a, "mos": 3, "score": 2} for k in (1, 2) for a in "xy"]
    )
    done = audit(bench, "humans", "--human", long, "--label", "mos", "--scores", long, "--json")
    assert done.code == 0 and json.loads(done.out)["audits"][0]["n"] == 2, done.said


def test_people_refusals(bench: Bench) -> None:
    path = answers(bench, ["Answer 1", "Answer 2"])
    with judge_server(by_number) as judge:
        scored(bench, path, judge.url)
    run = ("--run", bench.tmp / "a")
    other = labels(bench.tmp / "o.jsonl", [{"id": "x1", "mos": 3}])
    refused(audit(bench, "humans", *run, "--human", other), "no sample in common", "'x1'", "'q00'")
    bare = labels(bench.tmp / "b.jsonl", [{"id": "q00", "stars": 3}])
    refused(audit(bench, "humans", *run, "--human", bare), "no column", "stars", "--label")
    done = audit(bench, "humans", *run, "--human", bare, "--label", "stars", "--metric", "nope")
    refused(done, "no such metric", "nope", "geval")
    done = audit(bench, "humans", *run, "--human", bare, "--label", "stars")
    assert (
        done.code == 0
        and "undefined" in done.out
        and "nan" not in done.out.split("n\n", 1)[1].partition("all")[0]
    )
    refused(audit(bench, "humans", "--run", bench.tmp / "none", "--human", bare), "no results.json")


FILES = {
    "semicolons.csv": "\ufeffid;label\r\n1;4,5\r\n2;2\r\n",
    "marked.csv": "sep=;\nid;label\n1;4.5\n2;2\n",
    "tabs.csv": "ID\t Label \n1\t4.5\n2\t 2 \n",
    "of-five.txt": "id,label\n1 ,4.5/5\n2, 2 / 5\n",
    "array.json": '[{"id": 1, "label": 4.5},\n {"id": 2.0, "label": "2"}]',
    "gaps.csv": 'id,label,said\n1,4.5,"two\nlines"\n2,2,\n3,n/a,\n4,nan,\n5,,\n',
}


@pytest.mark.parametrize("name", FILES)
def test_files_as_people_have_them(bench: Bench, name: str) -> None:
    path = bench.tmp / name
    path.write_text(FILES[name], encoding="utf-8", newline="")
    assert read_labels([path], Columns(("id",))).raters[0].scores == {"1": 4.5, "2": 2.0}
    path.write_text(FILES[name].removeprefix("\ufeff"), encoding="utf-16", newline="")
    assert read_labels([path], Columns()).raters[0].scores == {"1": 4.5, "2": 2.0}


def test_ids_that_a_spreadsheet_spelled_otherwise(bench: Bench) -> None:
    path = labels(bench.tmp / "l.jsonl", [{"id": i, "label": 3} for i in ("007.0", "12", "x1.0", "5")])
    found = read_labels([path], Columns())
    renamed(found, ["007", "0012", "5", "x1", "05"])
    assert set(found.raters[0].scores) == {"007", "0012", "x1.0", "5"}
    assert found.told == ["2 ids are matched as numbers ('12' is '0012')"]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("e.csv", b"", "is empty"),
        ("h.csv", b"id,label\n", "no rows"),
        ("l.csv", b"id,label\n1,3\n2,Jos\xe9\n", "not UTF-8 (line 3)"),
        ("w.xlsx", b"PK\x03\x04....", "save the sheet as CSV"),
        ("n.jsonl", b'{"id": 1, "labels": {"overall": 3}}\n', "labels.overall"),
        ("b.jsonl", b"[1, 2]\n", "no row that can be read"),
        ("m.csv", b"id,label\n1,good\n2,fair\n", "others are not ('fair')"),
        ("i.csv", b"nr,label\n1,3\n", "no column"),
    ],
)
def test_one_sentence_on_files_that_cannot_be_read(bench: Bench, name: str, data: bytes, says: str) -> None:
    path = bench.tmp / name
    path.write_bytes(data)
    refused(audit(bench, "humans", "--human", path, "--scores", path), says, name)
    with pytest.raises(UsageError):
        read_labels([path], Columns(("id",)))


def test_a_comma_that_splits_a_label_is_told(bench: Bench) -> None:
    path = bench.tmp / "c.csv"
    path.write_text("id,label\n1,3,5\n2,4\n")
    found = read_labels([path], Columns())
    assert found.raters[0].scores == {"2": 4.0} and "1 row left out: more columns" in found.told[0]


def test_labels_on_another_scale_are_noticed(bench: Bench) -> None:
    score = labels(bench.tmp / "s.jsonl", [{"id": k, "score": k % 5 + 1} for k in range(40)])
    for top, kind, says in (
        (20, "mixed", "Two scales"),
        (2, "rating", "if these are two scales"),
        (1, "rating", ""),
    ):
        human = labels(
            bench.tmp / f"h{top}.jsonl", [{"id": k, "label": (k % 5 + 1) * top} for k in range(40)]
        )
        done = audit(bench, "humans", "--human", human, "--scores", score, "--json")
        page = json.loads(done.out)["audits"][0]
        assert page["scale"]["kind"] == kind and (says in " ".join(page["sentences"])), done.said
        assert ("scales" in " ".join(page["sentences"])) == bool(says)


def test_the_verdict_says_how_sure_it_is(bench: Bench) -> None:
    draw = random.Random(5)
    rows = [{"id": k, "good": draw.gauss(0, 1)} for k in range(30)]
    for name, noise in (("ann", 0.6), ("bob", 0.6), ("judge", 1.0)):
        for row in rows:
            row[name] = round(row["good"] + draw.gauss(0, noise), 2)
    path = labels(bench.tmp / "all.jsonl", rows)
    done = audit(
        bench, "humans", "--human", path, "--label", "ann,bob", "--scores", path, "--score", "judge", "--json"
    )
    page = json.loads(done.out)["audits"][0]
    gap = next(f for f in page["figures"] if f["statistic"] == "rho_gap")
    rho = page["rho"]["all"]
    assert gap["value"] == pytest.approx(rho["human"] - rho["average"], abs=1e-4)
    assert page["accepted"] == (gap["value"] <= 0.1) and gap["ci"][0] < 0.1 < gap["ci"][1], gap
    assert "other samples might have said otherwise" in page["sentences"][0]
    assert any("60 responses and 3 annotators" in s for s in page["sentences"])


# --- judges ----------------------------------------------------------------------------------------


def test_two_judges_of_one_run(bench: Bench) -> None:
    texts = [f"Answer {k % 5 + 1}" for k in range(8)]
    texts[3] = f"{HOSTILE} 4"
    path = answers(bench, texts)
    with (
        judge_server(by_number) as fair,
        judge_server(lambda s: "1" if HOSTILE in s.answer else by_number(s)) as stern,
    ):
        assert scored(bench, path, fair.url).code == 0
        assert scored(bench, path, stern.url, "stern").code == 0
    done = audit(bench, "judges", "--run", bench.tmp / "a", "--json")
    assert done.code == 0, done.said
    page = json.loads(done.out)["audits"][0]
    assert page["n"] == 8 and page["n_differing"] == 1
    [apart] = page["samples"]
    assert (apart["sample_id"], apart["first"], apart["second"], apart["difference"]) == (
        "q03",
        4.0,
        1.0,
        3.0,
    )
    assert HOSTILE in apart["answer"] and apart["replies_first"] == ["4"] and apart["replies_second"] == ["1"]
    found = figures(done)
    assert found["all:first-second.accuracy"]["value"] == 7 / 8
    assert found["all:first-second.mean_difference"]["value"] == pytest.approx(3 / 8)
    assert found["all:first-second.p_value"]["value"] == 1.0
    [kept] = (bench.tmp / "a" / "audit").glob("judges_*.json")
    before = kept.read_bytes()
    assert audit(bench, "judges", "--run", bench.tmp / "a").code == 0 and kept.read_bytes() == before
    html = (bench.tmp / "a" / "report.html").read_text()
    assert "How far to trust the judges" in html and "<script>alert(1)" not in html
    assert f'href="#/r1/{TASK}/~/q03"' in html
    with (bench.tmp / "a" / "csv" / "judge_audit.csv").open() as file:
        rows = list(csv.DictReader(file))
    accuracy = next(r for r in rows if r["statistic"] == "first-second.accuracy")
    assert (accuracy["value"], accuracy["n"], accuracy["subset"]) == ("0.875", "8", "all")
    assert accuracy["audit"] == "judges" and "stern" in accuracy["against"] and accuracy["ci_low"]
    with (bench.tmp / "a" / "csv" / "judge_audit_samples.csv").open() as file:
        [one] = csv.DictReader(file)
    assert one["sample_id"] == "q03" and not one["answer"].startswith("=")


def test_judges_less_than_a_step_apart_say_so(bench: Bench) -> None:
    """Same verdict on all, once rounded, and another number on one: both are said, and which is which."""
    path = answers(bench, [f"Answer {k % 5 + 1}" for k in range(4)])
    with (
        judge_server(by_number) as whole,
        judge_server(lambda s: {"4": "4.25"}.get(by_number(s), by_number(s))) as half,
    ):
        assert scored(bench, path, whole.url).code == 0
        assert scored(bench, path, half.url, "half").code == 0
    done = audit(bench, "judges", "--run", bench.tmp / "a", "--json")
    told = json.loads(done.out)["audits"][0]["sentences"]
    assert "They differ on 1 of 4 answers (25.0 %), before ratings are rounded to whole steps." in told
    assert figures(done)["all:first-second.accuracy"]["value"] == 1.0


def test_two_runs_of_the_same_answers(bench: Bench) -> None:
    path = answers(bench, [f"Answer {k % 5 + 1}" for k in range(6)])
    with judge_server(by_number) as fair, judge_server(lambda s: "3") as flat:
        scored(bench, path, fair.url)
        scored(bench, path, flat.url, "flat", "b")
    done = audit(
        bench, "judges", "--run", bench.tmp / "a", "--against", bench.tmp / "b", "--json", "--no-report"
    )
    assert done.code == 0, done.said
    found = figures(done)
    assert found["all:first-second.spearman"]["value"] is None
    assert "the second gave 3 to every sample" in found["all:first-second.spearman"]["note"]
    assert any("on average" in s for s in json.loads(done.out)["audits"][0]["sentences"])
    refused(audit(bench, "judges", "--run", bench.tmp / "a"), "no two judges", "--against")
    rows = [{"id": f"q{k:02}", "text": f"Other {k % 5 + 1}"} for k in range(6)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with judge_server(by_number) as fair:
        scored(bench, path, fair.url, out="c")
    refused(
        audit(bench, "judges", "--run", bench.tmp / "a", "--against", bench.tmp / "c"),
        "share 6 samples", "the answers differ",
    )  # fmt: skip


# --- repeats ---------------------------------------------------------------------------------------


def again(bench: Bench, url: str, *more: object) -> Done:
    who = ("--judge", "openai/scripted", "-J", f"base_url={url}")
    return audit(bench, "repeats", "--run", bench.tmp / "a", "--data-dir", bench.data, *who, "--json", *more)


def test_a_steady_judge(bench: Bench) -> None:
    path = answers(bench, [f"Answer {k % 4 + 1}" for k in range(8)])
    with judge_server(by_number) as judge:
        scored(bench, path, judge.url)
        done = again(bench, judge.url, "--repeats", 3)
        assert done.code == 0, done.said
        asked = len(judge.seen)
    assert asked == 8 + 24, "asked afresh, three times each"
    found = figures(done)
    assert found["all:identical"]["value"] == 1 and found["all:headline_sd"]["value"] == 0
    assert found["all:as_on_record"]["value"] == 1 and found["all:alpha"]["value"] == 1
    assert "is the same every time" in done.out
    results = json.loads((bench.tmp / "a" / "results.json").read_text())
    assert found["all:headline_mean"]["value"] == results["tasks"][TASK]["metrics"]["geval"]["value"]
    # What was asked is kept: nobody is asked for it again.
    with judge_server(lambda s: 500) as gone:
        assert again(bench, gone.url, "--repeats", 3).code == 0 and not gone.seen
    calls = (bench.tmp / "a" / "audit" / "calls.jsonl").read_text().splitlines()
    assert len(calls) == 24, "the audit has a ledger of its own"


def test_repeats_of_a_judge_that_wavers(bench: Bench) -> None:
    path = answers(bench, [f"Answer {k % 4 + 1}" for k in range(8)])
    with judge_server(lambda s: str(int(by_number(s)) + s.number % 2)) as judge:
        scored(bench, path, judge.url)
        done = again(bench, judge.url, "--repeats", 4, "--judge-concurrency", 1, "--limit", 5)
    assert done.code == 0, done.said
    found = figures(done)
    assert found["all:identical"]["n"] == 5 and found["all:identical"]["value"] < 1
    assert found["all:within_sample_sd"]["value"] > 0
    page = json.loads(done.out)["audits"][0]
    assert page["samples"] and page["samples"][0]["difference"] == 1.0 and page["repeats"] == 4
    numbers = found["all:headline_mean"]["note"].partition(": ")[2].split(", ")
    assert len(numbers) == 4 and len(set(numbers)) > 1


def test_failures_are_asked_for_again(bench: Bench) -> None:
    path = answers(bench, [f"Answer {k % 4 + 1}" for k in range(4)])
    with judge_server(by_number) as judge:
        scored(bench, path, judge.url)
    with judge_server(lambda s: "no idea" if s.answer.endswith("2") else by_number(s)) as half:
        done = again(bench, half.url, "--repeats", 2, "--retries", 1)
    assert done.code == 1 and "2 of 8 verdicts are lacking" in done.err
    assert "no verdict (2): judge-unparseable: " in done.err
    with judge_server(by_number) as judge:
        done = again(bench, judge.url, "--repeats", 2)
        assert done.code == 0 and len(judge.seen) == 2, "only what was lacking"


def test_a_budget_stops_asking(bench: Bench) -> None:
    path = answers(bench, [f"Answer {k % 4 + 1}" for k in range(6)])
    with judge_server(by_number) as judge:
        scored(bench, path, judge.url)
        before = len(judge.seen)
        done = again(bench, judge.url, "--repeats", 2, "--judge-budget", "5calls")
        assert len(judge.seen) - before == 5
        assert done.code == 1 and "7 of 12 verdicts are lacking" in done.err, done.said
        assert again(bench, judge.url, "--repeats", 2).code == 0 and len(judge.seen) - before == 12


def test_what_repeats_refuses(bench: Bench) -> None:
    path = answers(bench, ["Answer 1", "Answer 2"])
    with judge_server(by_number) as judge:
        scored(bench, path, judge.url)
        run = ("--run", bench.tmp / "a")
        refused(audit(bench, "repeats", *run), "no votes of a judge", "--judge")
        bench.questions(2, "commoneval", more="x")
        rows = (bench.data / "hlt-lab/voicebench/commoneval/test.jsonl").read_text()
        changed = rows.replace("question number", "another question")
        (bench.data / "hlt-lab/voicebench/commoneval/test.jsonl").write_text(changed)
        refused(again(bench, judge.url), "none of the 2 answers", "--data-dir")


def test_votes_on_record_need_no_judge(bench: Bench) -> None:
    """VoiceBench's official protocol asks for three votes."""
    path = answers(bench, [f"Answer {k % 4 + 1}" for k in range(6)])
    recorded = []
    for k, line in enumerate(path.read_text().splitlines()):
        low = k % 4 + 1
        recorded.append(json.loads(line) | {"judge": [str(low), str(low), str(min(5, low + k % 2))]})
    labels(path, recorded)
    more = ("--task", TASK, "--protocol", "official", "--data-dir", bench.data, "--out", bench.tmp / "a")
    assert bench.here("score", path, *more, "--no-report").code == 0
    done = audit(bench, "repeats", "--run", bench.tmp / "a", "--json", "--no-report")
    assert done.code == 0, done.said
    found = figures(done)
    assert found["all:identical"]["value"] == 0.5 and found["all:identical"]["n"] == 6
    assert "3 repeats" in found["all:alpha"]["note"]


# --- the book --------------------------------------------------------------------------------------


def test_files_that_are_no_audit_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    for k, text in enumerate(
        ("[]", "{", '{"v": 1}', '{"v": 99, "audit": "humans", "figures": []}', "[" * 99_999)
    ):
        (folder / f"x{k}.json").write_text(text)
    (folder / "y.json").write_text(
        '{"v": 1, "audit": "humans", "figures": [{"statistic": "x", "value": "much"}]}'
    )
    assert book.read(tmp_path) == []
    assert book.read(tmp_path / "nowhere") == []


# --- right or wrong, spoken or written -------------------------------------------------------------

QA = "openaudiobench/llama-questions"


def right_or_wrong(seen: SeenRequest) -> str:
    if seen.pair:
        return "tie"
    same = seen.reference.splitlines()[0].casefold() in seen.answer.casefold()
    return f"Looked at it.\nThe score is [{'Correct' if same else 'Incorrect'}]"


def test_a_judge_of_right_and_wrong(bench: Bench) -> None:
    """Yes-no figures, people's words, and the probe with the reference, on smoke data found without being named."""
    done = bench.here("show", QA, "--suite", "smoke", "--json", "--limit", 9)
    samples = [json.loads(line) for line in done.out.splitlines()]
    texts = [str(s["target"][0] if isinstance(s["target"], list) else s["target"]) for s in samples]
    said = [
        {"id": s["id"], "text": t if k else "No idea."}
        for k, (s, t) in enumerate(zip(samples, texts, strict=True))
    ]
    path = labels(bench.tmp / "qa.jsonl", said)
    with judge_server(right_or_wrong) as judge:
        who = ("--judge", "openai/scripted", "-J", f"base_url={judge.url}")
        more = ("--task", QA, "--data-dir", SMOKE, "--out", bench.tmp / "a", "--no-report", "--no-cache")
        assert bench.here("score", path, *more, *who).code == 0
        people = [{"id": s["id"], "label": "wrong" if k < 2 else "correct"} for k, s in enumerate(samples)]
        done = audit(
            bench,
            "humans",
            "--run",
            bench.tmp / "a",
            "--human",
            labels(bench.tmp / "h.jsonl", people),
            "--json",
        )
        assert done.code == 0, done.said
        found = figures(done)
        assert found["all:judge-people.accuracy"]["value"] == pytest.approx((len(samples) - 1) / len(samples))
        assert found["all:judge-people.mean_difference"]["value"] == pytest.approx(1 / len(samples))
        page = json.loads(done.out)["audits"][0]
        assert page["scale"]["kind"] == "yes-no" and page["accepted"] is None
        done = audit(bench, "repeats", "--run", bench.tmp / "a", *who, "--repeats", 2, "--json")
        assert done.code == 0, done.said
        entry = json.loads((bench.tmp / "a" / "results.json").read_text())["tasks"][QA]
        value = entry["metrics"][entry["headline"]]["value"]
        assert figures(done)["all:headline_mean"]["value"] == pytest.approx(value)
        done = audit(bench, "probes", "--run", bench.tmp / "a", *who, "--json")
    assert done.code == 0, done.said
    passed = {p["name"]: p["passed"] for page in json.loads(done.out)["audits"] for p in page["probes"]}
    assert passed["reference"] is True and passed["empty"] is True and passed["off-topic"] is True


def test_the_noise_of_repeats() -> None:
    """Two numbers differ by sqrt(2) of one's noise; repeats of one sample stand together."""
    assert least_difference(1.0, 5) == pytest.approx(2.776445 * math.sqrt(2), rel=1e-6)
    turns = [{"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0}, {"a": 1.0}]
    found = as_on_record(turns, {"a": 1.0, "b": 2.0, "c": 9.0}, 50)
    assert found.value == pytest.approx(4 / 5) and found.n == 2 and found.ci == (0.5, 1.0)
    assert as_on_record(turns, {"c": 1.0}).value is None
