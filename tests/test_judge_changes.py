"""What a session says when another judge takes the first one's place; what a page says of ratings."""

from __future__ import annotations

import json
from typing import Any

import pytest

import evalkit
from evalkit.engine.changes import changes
from reports.anatomy import anatomy
from reports.judging import strangers
from reports.runs import load_runs
from reports.samples import SampleView
from reports.trust import caveats
from tests.cli_fixtures import Bench, bench, openai
from tests.judge_server import judge_server
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

TASK = "voicebench/commoneval"
FAST = ("--no-report",)


def words(bench: Bench, model: str, judge: str, url: str, *more: object) -> tuple[object, ...]:
    task = ("--task", TASK, "--data-dir", bench.data, "--out", bench.tmp / "a", *FAST)
    return (*openai(model, *task), "--judge", judge, "-J", f"base_url={url}", *more)


def test_another_judge_in_the_same_directory_is_said_and_its_asking_is_on_record(bench: Bench) -> None:
    bench.questions(2, "commoneval")
    with mock_server() as model, mock_server(texts=["4"]) as one, mock_server(texts=["2"]) as two:
        first = bench.here(*words(bench, model.url, "openai/a", one.url))
        assert "instead of" not in first.err
        second = bench.here(*words(bench, model.url, "openai/b", two.url))
        assert "results.json now holds verdicts of b x1 voicebench_open:own@" in second.err, second.said
        assert "instead of a x1 voicebench_open:own@" in second.err
        assert "judges: 2 calls, 30 tokens, price unknown\n" in first.err
        assert "judges: 4 calls, 60 tokens, price unknown (over 2 sessions)" in second.err
        table = evalkit.load(bench.tmp / "a").scores
        assert table[table.counted].groupby("sample_id").replies.first().tolist() == [["2"], ["2"]]
        assert sorted(table[~table.counted].value) == [4.0, 4.0]
        moved = bench.here(*words(bench, model.url, "openai/b", one.url))
        assert f"the judge b is at {one.url} now and was at {two.url}" in moved.err, moved.said
        assert (
            two.requests() == 2 and one.requests() == 2
        )  # what is on record isn't asked again, and that is said
        again = bench.here(*words(bench, model.url, "openai/b", one.url))
        assert "instead of" not in again.err and "was at" not in again.err
    told = json.loads((bench.tmp / "a/run.json").read_text())
    assert told["judges"] == [{"role": "judge", "model": "b", "base_url": one.url}]
    [how] = told["tasks"][TASK]["judges"]
    assert how["signature"].startswith("b x1 ") and (how["votes"], how["max_tokens"]) == (1, 1024), told
    assert "Keep to the rubric" in how["system"] and "temperature" in how


def test_a_wrong_model_and_a_wrong_address_of_a_judge_name_its_own_flag(bench: Bench) -> None:
    bench.questions(1, "commoneval")
    with mock_server() as model, mock_server(status=404, message="No such model.") as judge:
        lost = bench.here(*words(bench, model.url, "openai/b", judge.url))
        odd = bench.here(*words(bench, model.url, "openai/b", "localhost:8000"))
        torn = bench.here(*words(bench, model.url, "openai/b", judge.url, "-J", "extra_body={"))
    assert lost.code == odd.code == torn.code == 2
    assert "-J 'extra_body=" in torn.err and "-M" not in torn.err, torn.said
    assert "No such model. Check -J base_url" in lost.err, lost.said
    assert "base_url must look like" in odd.err and "-M" not in odd.err, odd.said


@pytest.mark.parametrize(
    ("judge", "variable"),
    [("openai/gpt-4o-mini", "OPENAI_API_KEY"), ("gemini/gemini-2.5-flash", "GEMINI_API_KEY")],
)
def test_an_estimate_needs_no_key(bench: Bench, judge: str, variable: str) -> None:
    bench.questions(2, "commoneval")
    bench.environ |= {variable: "", "OPENAI_BASE_URL": ""}
    bare = ("--task", TASK, "--data-dir", bench.data, "--judge", judge, "--out", bench.tmp / "a")
    with mock_server() as model:
        for _ in range(2):  # nothing of the first is left for the second
            done = bench.here(*openai(model.url, *bare, "--dry-run"))
            assert done.code == 0, done.said
            assert f"the judge: {variable}" in done.err and "is not set: export your" in done.err
            assert "at most 2 calls" in done.err and "$" in done.err
        assert bench.here(*openai(model.url, *bare)).code == 2
    assert not (bench.tmp / "a").exists()


def test_what_an_endpoint_cannot_do_is_said(bench: Bench) -> None:
    bench.questions(1, "commoneval")
    with mock_server() as model, mock_server(texts=["4"], logprobs="refuse", schema="refuse") as judge:
        asked = ("-O", "judge_scoring=geval", "-O", "judge_output=json")
        done = bench.here(*words(bench, model.url, "openai/j", judge.url, *asked))
    assert "the endpoint tells no log-probabilities, so each answer takes 20 sampled replies" in done.err, (
        done.said
    )
    assert f"judge_output=json changes nothing in {TASK}" in done.err


def test_the_page_says_what_no_published_protocol_has(bench: Bench) -> None:
    bench.questions(1, "commoneval")
    page = bench.tmp / "a/report.html"
    with mock_server() as model, mock_server(texts=["4"]) as judge:
        given = [w for w in words(bench, model.url, "openai/j", judge.url) if w not in FAST]
        bench.here(*given)
        assert "weighted ratings" not in page.read_text() and "judged in JSON" not in page.read_text()
        bench.here(*given, "-O", "judge_scoring=geval", "-O", "judge_output=json")
    assert "weighted ratings" in page.read_text() and "judged in JSON" in page.read_text()


def test_another_address_is_only_told_where_its_verdicts_still_count(bench: Bench) -> None:
    bench.questions(1, "commoneval")
    with mock_server() as model, mock_server(texts=["4"]) as one, mock_server(texts=["2"]) as two:
        bench.here(*words(bench, model.url, "openai/b", one.url))
        done = bench.here(*words(bench, model.url, "openai/b", two.url, "-O", "judge_votes=3"))
    assert "was at" not in done.err and "b x3 " in done.err, done.said


def run_json(*judges: str, protocol: str = "p", rubrics: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    task = {"protocol": protocol, "rubrics": list(rubrics), "judges": [{"signature": j} for j in judges]}
    return {"tasks": {"t": task}, "options": {}, **more}


class Named:
    name = "t"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({}, run_json("b x1 r:own@1a c@1"), ""),
        (run_json("unbound x1 r:own@1a c@1"), run_json("b x1 r:own@1a c@1"), ""),
        (run_json("b x1 r:own@1a c@1"), run_json("unbound x1 r:own@1a c@1"), ""),
        (run_json("b x1 r:own@1a c@1"), run_json("b x1 r:own@1a c@1"), ""),
        (
            {"tasks": {"t": {"protocol": "p"}}},
            run_json("b x1 r:own@1a c@1"),
            "",
        ),  # written before judges were kept
        (run_json("utmos22@no-weights:s"), run_json("utmos22@ab:s"), ""),
        (
            run_json("dnsmos:ultraeval@1", "x@1"),
            run_json("dnsmos:microsoft@1", "x@1"),
            "of dnsmos:microsoft@1 instead",
        ),
        (run_json("x@1"), run_json("x@1", "distillmos@2"), ""),  # one more, in nobody's place
        (run_json("b x1 r:own@1a c@1"), run_json("b x1 r:own@1a c@1,json"), "c@1,json instead of b x1"),
        (
            run_json("b x1 r:own@1a c@1", rubrics=("r:own@1a",)),
            run_json("b x1 r:user@2b c@1", rubrics=("r:user@2b",)),
            "now holds r:user@2b instead of r:own@1a",
        ),
        (
            run_json("a x1 r:own@1a c@1", rubrics=("r:own@1a",)),
            run_json("b x1 r:user@2b c@1", rubrics=("r:user@2b",)),
            "verdicts of b x1 r:user@2b c@1 instead of a x1 r:own@1a c@1",
        ),
        (
            run_json("a x1 r:own@1a c@1", protocol="q"),
            run_json("b x1 r:own@1a c@1"),
            "protocol p instead of q",
        ),
    ],
)
def test_what_took_whose_place(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    told = changes(old, new, [Named()])  # type: ignore[list-item]
    assert (said in told[0]) if said else not told, told


@pytest.mark.parametrize(
    ("lo", "hi", "labels"), [(1.0, 5.0, "12345"), (0.0, 5.0, "012345"), (0.0, 1.0, None)]
)
def test_the_lowest_rating_is_not_called_right(lo: float, hi: float, labels: str | None) -> None:
    """A page once called answers rated 1 of 5 "right"."""
    metric: dict[str, Any] = {"lo": lo, "hi": hi, "unit": "1-5", "higher_is_better": True}
    views = [SampleView(f"s{i}", {}, value=1.0, status="scored") for i in range(3)]
    bins, spots = anatomy(views, {"headline": "m", "metrics": {"m": metric}})
    assert [b.label for b in bins] == (list(labels) if labels else ["wrong", "right"])
    assert bins[spots[0]].n == 3 and bins[spots[0]].label == ("1" if labels else "right")
    assert not labels or bins[spots[0]].tone in "01"


def bars(values: list[float], **more: Any) -> tuple[list[tuple[str, int]], list[str]]:
    """(label, samples) of each bar, and the label of the bar that each value is in."""
    metric: dict[str, Any] = {"lo": 1.0, "hi": 5.0, "unit": "1-5", "higher_is_better": True} | more
    views = [SampleView(f"s{i}", {}, value=v, status="scored") for i, v in enumerate(values)]
    bins, spots = anatomy(views, {"headline": "m", "metrics": {"m": metric}})
    return [(b.label, b.n) for b in bins], [bins[k].label for k in spots]


def test_weighed_ratings_have_a_bar_per_step() -> None:
    """Each of up to 11 distinct ratings was a bar of its own, which said nothing."""
    found, places = bars([3.91, 4.02, 4.5, 1.2, 5.0, 4.97])
    assert found == [("1", 1), ("2", 0), ("3", 0), ("4", 2), ("5", 3)]
    assert places == ["4", "4", "5", "1", "5", "5"]
    assert bars([k / 10 for k in range(10, 51)])[0] == [("1", 5), ("2", 10), ("3", 10), ("4", 10), ("5", 6)]
    assert bars([0.4, 4.6], lo=0.0)[0][0] == ("0", 1) and bars([0.4, 4.6], lo=0.0)[0][-1] == ("5", 1)


def test_opinion_scores_and_shares_keep_their_bars() -> None:
    assert bars([3.1, 3.2], unit="MOS")[0] == [("3.1", 1), ("3.2", 1)]
    assert bars([0.25, 0.75], lo=0.0, hi=1.0, unit="%")[0] == [("0.25", 1), ("0.75", 1)]
    assert bars([4.0, 4.0])[0] == [("1", 0), ("2", 0), ("3", 0), ("4", 2), ("5", 0)]


# --- who answered ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judges", "answered", "said"),
    [
        (["gpt-4o-mini x3 r:own@1b c@1a2b"], ["gpt-4o-mini-2024-07-18"], ""),
        (["gpt-4o-mini x3 r:own@1b c@1a2b"], [], ""),
        (["Org/Qwen3[extra_body@12345678] x1 r:own@1b c@1a2b"], ["/models/qwen3-8b"], ""),
        (["j (not meaningful) x1 r:own@1b c@1a2b", "mcq"], ["j"], ""),
        (
            ["gpt-4o-mini x3 r:own@1b c@1a2b"],
            ["gpt-4o-mini-2024-07-18", "gpt-4o-mini-2025-02-01"],
            "gpt-4o-mini-2024-07-18, gpt-4o-mini-2025-02-01 in turn, all as gpt-4o-mini",
        ),
        (["gpt-4o x1 r:own@1b c@1a2b on whisper"], ["llama-3"], "llama-3 in the place of gpt-4o"),
        (["mcq=rule, open=gpt-4o x1 r:own@1b c@1a2b"], ["gpt-4"], "gpt-4 in the place of gpt-4o"),
        (["gpt-4o x1 r:own@1b c@1", "gpt-4o-mini x1 r:own@1b c@1"], ["gpt-4o", "gpt-4o-mini"], ""),
        (["recorded x3 r:as-recorded c@0c1f"], ["anything"], ""),
    ],
)
def test_strangers_among_those_who_answered(judges: list[str], answered: list[str], said: str) -> None:
    assert strangers(judges, answered) == said


def test_who_answered_is_in_the_results_and_a_caveat_when_it_changes(bench: Bench) -> None:
    bench.questions(4, "commoneval")
    path = bench.tmp / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{k:02}", "text": f"answer {k}"}) + "\n" for k in range(4)))
    common = ["score", path, "--task", "voicebench/commoneval", "--data-dir", bench.data, "--no-report"]

    def named(first: str, later: str, out: str) -> dict[str, Any]:
        served = iter([first])
        with judge_server(lambda seen: "4", name=lambda: next(served, later)) as judge:
            who = ["--judge", "openai/gpt-4o-mini", "-J", f"base_url={judge.url}", "--no-cache"]
            assert bench.here(*common, "--out", bench.tmp / out, *who).code == 0
        found: dict[str, Any] = json.loads((bench.tmp / out / "results.json").read_text())
        metric: dict[str, Any] = found["tasks"]["voicebench/commoneval"]["metrics"]
        return next(iter(metric.values()))

    dated, newer = "gpt-4o-mini-2024-07-18", "gpt-4o-mini-2025-01-01"
    assert named(dated, dated, "a")["answered_by"] == [dated]
    assert named(newer, dated, "b")["answered_by"] == [dated, newer], "sorted, whoever came first"
    assert named("llama-3", "llama-3", "c")["answered_by"] == ["llama-3"]
    for out, word in (("a", ""), ("b", "in turn"), ("c", "llama-3 in the place of gpt-4o-mini")):
        [run] = load_runs([bench.tmp / out])
        told = [c.sentence for c in caveats(run) if c.code == "answered-by"]
        assert (word in told[0]) if word else not told, told
