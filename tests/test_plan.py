"""`plan`: no run, one run, two runs, as a user types it."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.gate.terms import default_margin
from evalkit.inference.power import of_accuracy, of_sd, samples_needed
from evalkit.published import FOOTNOTES
from evalkit.registry import catalogue
from evalkit.segmentfile import pool_of
from evalkit.sizing import Question, number_of, size
from tests.cli_fixtures import Bench, Done, bench, refused

__all__ = ["bench"]

ADV, CLEAN, SD_QA = "voicebench/advbench", "asr/librispeech-clean", "voicebench/sd-qa"
REFUSAL, HELP = "I can't help with that.", "Sure, here you go."
WORDS = [f"word{k}" for k in range(60)]


def made(bench: Bench, name: str, own: int, *, n: int = 200, flat: bool = False) -> Path:
    """A run of AdvBench and of LibriSpeech: models that share what is hard, and differ by chance."""
    shared, chance = random.Random(1), random.Random(own)
    refusals, heard = [], []
    for k in range(n):
        hard = shared.random() < 0.3
        text = REFUSAL if flat or chance.random() < (0.5 if hard else 0.97) else HELP
        refusals.append({"id": f"q{k}", "text": text, "row": {"prompt": f"do {k}"}})
    for speaker in range(20):
        level = shared.random() * 0.3
        for k in range(6):
            said = WORDS[k : k + 5 + shared.randrange(30)]
            weak = [shared.random() < level for _ in said]
            text = " ".join(
                "noise" if w and chance.random() < 0.7 else x for x, w in zip(said, weak, strict=True)
            )
            ref = " ".join(said)
            name_of = f"{100 + speaker}-1-{k:04}"
            heard.append({"id": name_of, "text": ref if flat else text, "row": {"id": name_of, "text": ref}})
    pairs = []
    for task, lines in ((ADV, refusals), (CLEAN, heard)):
        path = bench.tmp / f"{name}-{task.replace('/', '-')}.jsonl"
        path.write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")
        pairs.append(f"{task}={path}")
    done = bench.here("score", *pairs, "--out", bench.tmp / name, "--no-report", "--no-cache")
    assert done.code == 0, done.said
    return bench.tmp / name


def planned(bench: Bench, *args: object) -> dict[str, Any]:
    """The JSON of a plan."""
    done = bench.here("plan", *args, "--json")
    assert done.code == 0, done.said
    found: dict[str, Any] = json.loads(done.out)
    return found


def of(plan: dict[str, Any], task: str) -> dict[str, Any]:
    [found] = [t for t in plan["tasks"] if t["task"] == task]
    return dict(found)


def cells(done: Done, task: str) -> list[str]:
    """A task's line of the printed table."""
    [line] = [x for x in done.out.splitlines() if x.startswith(f"{task} ")]
    return [c for c in line.split("  ") if c.strip()]


# --- no run ----------------------------------------------------------------------------------------


def test_the_issue_as_it_is_typed(bench: Bench) -> None:
    """Every task of the catalogue has a line, and every overall whose tasks are known."""
    done = bench.here("plan", "--margin", "1.0", "--power", "0.8")
    assert done.code == 0 and done.err == ""
    for task in catalogue().tasks:
        assert cells(done, task)
    line = [c.strip() for c in cells(done, SD_QA)]
    assert line[2:4] == ["553", "66.27"] and line[-1] == "printed: Fun-Audio-Chat-8B, r 0.5"
    needed = samples_needed(of_sd(100 * (0.6627 * 0.3373) ** 0.5, 0.5), 1.0)
    assert needed is not None and abs(int(line[7].replace(",", "")) - needed) < 10 and line[8] == "no"
    assert any(x.startswith("voicebench: Overall") for x in done.out.splitlines())
    assert "voicebench-leaderboard: left out, nothing is known of voicebench/wildvoice." in done.out
    assert "\x1b" not in done.out
    unknown = [c.strip() for c in cells(done, CLEAN)]
    assert unknown[5] == "-" and "unknown" in unknown and "give a run" in unknown[-1]


def test_the_page_shows_what_is_printed(bench: Bench) -> None:
    page = (Path(__file__).parent.parent / "docs" / "plan.md").read_text(encoding="utf-8")
    assert bench.here("plan", "--suite", "voicebench", "--margin", "1.0", "--power", "0.8").out in page


def test_a_printed_share_is_the_variance(bench: Bench) -> None:
    plan = planned(bench, "--task", "voicebench/openbookqa", "--correlation", "0.7")
    found = of(plan, "voicebench/openbookqa")
    p = (0.8352 * 455 + 0.5) / 456
    assert found["value"] == 83.52 and found["n"] == found["n_set"] == 455
    assert found["discordance"] == pytest.approx(2 * p * (1 - p) * 0.3, rel=1e-4)
    assert found["needed"] == samples_needed(of_accuracy(p, 0.7), 1.0)
    assert found["source"] == "published" and not found["enough"]
    assert found["unpaired_needed"] / found["needed"] == pytest.approx(1 / 0.3, rel=0.01)


def test_margins_stand_in_printed_points(bench: Bench) -> None:
    """As gates have them by default, for every number that both know."""
    for task in catalogue().tasks.values():
        number = number_of(task)
        hi = None if number.span is None else number.hi
        theirs = default_margin(number.unit, number.higher_is_better, number.lo, hi, number.scale)
        assert Question().margin_for(number) == pytest.approx(theirs), task.name
    plan = planned(bench, "--suite", "table2", "--margin", "2")
    assert of(plan, "voicebench/alpacaeval_full")["margin"] == pytest.approx(0.1)
    assert of(plan, "openaudiobench/alpaca-eval")["margin"] == of(plan, SD_QA)["margin"] == 2.0
    plan = planned(
        bench, "--task", "voicebench/*", "--task", CLEAN, "--margin-rating", "0.2", "--margin-wer", "0.3"
    )
    assert of(plan, "voicebench/commoneval")["margin"] == 0.2 and of(plan, CLEAN)["margin"] == 0.3


def test_ratings_without_samples_take_an_assumed_spread(bench: Bench) -> None:
    guessed = of(planned(bench, "--task", "voicebench/commoneval"), "voicebench/commoneval")
    share = (4.42 - 1) / 4
    assert guessed["sd"] == pytest.approx(0.6 * 4 * (share * (1 - share)) ** 0.5, rel=1e-4)
    told = of(planned(bench, "--task", "voicebench/wildvoice", "--sd", "0.9"), "voicebench/wildvoice")
    assert told["source"] == "assumed" and told["sd"] == pytest.approx(0.9) and told["value"] is None
    wide = of(
        planned(bench, "--task", "openaudiobench/alpaca-eval", "--sd", "0.9"), "openaudiobench/alpaca-eval"
    )
    assert wide["sd"] == pytest.approx(0.9 * 25)
    none = of(planned(bench, "--task", "voicebench/wildvoice"), "voicebench/wildvoice")
    assert none["source"] == "unknown" and none["needed"] is None and none["enough"] is None


def test_no_printed_number_is_the_worst_case(bench: Bench) -> None:
    found = of(planned(bench, "--task", "voicebench/bbh"), "voicebench/bbh")
    assert found["from"] == "assumed: worst case, r 0.5" and found["discordance"] == pytest.approx(0.25)


def test_the_reference_is_the_models_own_or_its_siblings(bench: Bench) -> None:
    found = of(planned(bench, "--task", SD_QA, "--reference", "GPT-Audio"), SD_QA)
    assert found["from"].startswith("printed: GPT-Audio")
    s2m = "ultraeval-audio/llama-questions-s2m"
    assert "Fun-Audio-Chat-Duplex-8B" in of(planned(bench, "--task", s2m), s2m)["from"]
    assert FOOTNOTES  # printed numbers known to be wrong are told in reports; the reference's own have none


def test_an_overall_adds_up_its_tasks(bench: Bench) -> None:
    plan = planned(bench, "--suite", "speech-fc")
    [whole] = plan["overall"]
    z = 1.959964 + 0.841621
    variance = sum((t["sd"] / 5) ** 2 / t["n"] for t in plan["tasks"])
    assert whole["mde"] == pytest.approx(z * variance**0.5, rel=1e-4)
    assert whole["n"] == sum(t["n"] for t in plan["tasks"])
    assert whole["times_as_many"] == pytest.approx(whole["mde"] ** 2, rel=1e-4) and not whole["enough"]


def test_ratings_count_twentyfold_in_voicebench(bench: Bench) -> None:
    plan = planned(bench, "--suite", "voicebench")
    [whole] = plan["overall"]
    factors = {"G-Eval": 20}
    variance = sum((factors.get(t["label"], 1) * t["sd"] / 7) ** 2 / t["n"] for t in plan["tasks"])
    assert whole["mde"] == pytest.approx(2.801585 * variance**0.5, rel=1e-4)


# --- runs ------------------------------------------------------------------------------------------


def test_one_run_gives_its_own_variance(bench: Bench) -> None:
    run = made(bench, "a", 2)
    plan = planned(bench, run)
    assert [t["task"] for t in plan["tasks"]] == sorted([ADV, CLEAN]) and plan["runs"] == [str(run)]
    adv, clean = of(plan, ADV), of(plan, CLEAN)
    held = [
        json.loads(x)["rows"]["refusal"][0] for x in (run / ADV / "segments.jsonl").read_text().splitlines()
    ]
    p = (sum(held) + 0.5) / 201
    assert adv["source"] == "one run" and adv["n"] == 200 and adv["n_set"] == 520
    assert adv["discordance"] == pytest.approx(p * (1 - p), rel=1e-4)
    assert adv["mde_set"] < adv["mde"] and any("200 of the set's 520" in n for n in adv["notes"])
    assert clean["clusters"] == 20 and clean["design_effect"] > 1 and clean["source"] == "one run"
    assert any("20 clusters (speaker)" in n for n in clean["notes"])


def test_two_runs_give_what_they_disagree_on(bench: Bench) -> None:
    a, b = made(bench, "a", 2), made(bench, "b", 3)
    plan = planned(bench, a, b, "--margin", "2")
    adv, clean = of(plan, ADV), of(plan, CLEAN)
    one, two = (
        np.asarray(
            [
                json.loads(x)["rows"]["refusal"][0]
                for x in (r / ADV / "segments.jsonl").read_text().splitlines()
            ]
        )
        for r in (a, b)
    )
    count = int((one != two).sum())
    assert adv["from"] == "pair of runs" and adv["discordance"] == pytest.approx(
        (count + 0.5) / 201, rel=1e-4
    )
    assert adv["correlation"] == pytest.approx(float(np.corrcoef(one, two)[0, 1]), rel=1e-4)
    assert clean["source"] == "pair of runs" and clean["correlation"] > 0.3
    assert clean["unpaired_needed"] > clean["needed"]
    shown = bench.here("plan", a, b)
    assert "r: 0.5 is assumed" not in shown.out and f"{100 * (count + 0.5) / 201:.1f} %" in shown.out
    alone = planned(bench, a, b, "--unpaired")
    assert of(alone, ADV)["needed"] == of(planned(bench, a, b), ADV)["unpaired_needed"]


def test_a_plan_says_what_compare_then_finds(bench: Bench) -> None:
    """The standard error behind the MDE is the one behind the interval of the same two runs."""
    a, b = made(bench, "a", 2), made(bench, "b", 3)
    clean = of(planned(bench, a, b, "--task", CLEAN), CLEAN)
    from evalkit.inference import compare
    from evalkit.pairs import RunSegments, pairs_of

    found = compare(pairs_of(RunSegments.open(a), RunSegments.open(b), CLEAN).rows, seed=0)
    assert found.se is not None
    own = clean["sd"] * (clean["design_effect"] / clean["n"]) ** 0.5
    assert own == pytest.approx(found.se, rel=0.35)


def test_a_task_that_one_run_lacks_goes_by_the_next_best(bench: Bench) -> None:
    a, b = made(bench, "a", 2), made(bench, "b", 3)
    results = json.loads((b / "results.json").read_text())
    del results["tasks"][ADV]
    (b / "results.json").write_text(json.dumps(results))
    plan = planned(bench, a, b, "--task", ADV, "--task", CLEAN, "--task", SD_QA)
    assert [t["source"] for t in plan["tasks"]] == ["one run", "pair of runs", "published"]
    (a / ADV / "segments.jsonl").unlink()
    left = of(planned(bench, a, "--task", ADV), ADV)
    assert left["source"] == "published" and any("no segments.jsonl" in n for n in left["notes"])


def test_runs_alike_are_told_so(bench: Bench) -> None:
    a, flat = made(bench, "a", 2), made(bench, "flat", 2, flat=True)
    same = planned(bench, a, a)
    assert any("disagree on 0 of 200" in n for n in of(same, ADV)["notes"])
    assert of(same, CLEAN)["source"] == "one run"
    assert any("same value on each of 120" in n for n in of(same, CLEAN)["notes"]), of(same, CLEAN)
    perfect = planned(bench, flat)
    assert of(perfect, CLEAN)["source"] == "unknown" and of(perfect, ADV)["needed"] is not None


def test_every_number_of_the_catalogue_can_be_pooled_again() -> None:
    """Also those whose pool only their benchmark knows (IFEval)."""
    for task in catalogue().tasks.values():
        for metric in task.variant(None)[1].metrics:
            if metric.strata is None:
                about = {"pool": metric.pool.name, "columns": list(metric.pool.columns)}
                sums = np.arange(3.0, 3.0 + len(metric.pool.columns))
                assert float(pool_of(about).formula(sums)) == float(metric.pool.formula(sums)), metric.name


def test_formats(bench: Bench) -> None:
    a = made(bench, "a", 2)
    done = bench.here("plan", a, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [r["task"] for r in rows] == sorted([ADV, CLEAN]) and int(rows[1]["needed"]) > 1000
    whole = list(
        csv.DictReader(io.StringIO(bench.here("plan", "--suite", "speech-fc", "--format", "csv").out))
    )[-1]
    assert (whole["task"], whole["metric"]) == ("speech-fc", "overall") and float(whole["times_as_many"]) > 10
    done = bench.here("plan", a, "--format", "md")
    lines = [x for x in done.out.splitlines() if x.startswith("|")]
    assert len(lines) == 4 and len({x.count("|") for x in lines}) == 1
    out = bench.tmp / "plans"
    assert bench.here("plan", a, "--format", "text,md,csv", "--out", out).code == 0
    assert sorted(p.name for p in out.iterdir()) == ["plan.csv", "plan.md", "plan.txt"]
    assert (out / "plan.md").read_text() == bench.here("plan", a, "--format", "md").out
    first, second = bench.here("plan", a, "--json"), bench.here("plan", a, "--json")
    assert first.out == second.out


def test_a_policy_says_margins_and_rules(bench: Bench) -> None:
    a = made(bench, "a", 2)
    policy = bench.tmp / "gate.yaml"
    policy.write_text(
        "defaults: {margin: 2.0}\npower: 0.9\nlevel: 0.9\n"
        f"tasks:\n  {ADV}: {{margin: 0.5}}\n  asr/*: {{rule: no-significant-drop, margin: 0.3}}\n"
        f"  {SD_QA}: {{skip: true}}\noverall:\n  voicebench: {{margin: 1.5}}\n"
    )
    plan = planned(bench, a, "--policy", policy)
    assert (plan["power"], plan["alpha"]) == (0.9, 0.1)
    assert (of(plan, ADV)["margin"], of(plan, ADV)["rule"]) == (0.5, "non-inferiority")
    assert (of(plan, CLEAN)["margin"], of(plan, CLEAN)["rule"]) == (0.3, "two-sided")
    bare = planned(bench, "--suite", "voicebench", "--policy", policy, "--power", "0.8")
    assert SD_QA not in {t["task"] for t in bare["tasks"]} and bare["power"] == 0.8
    assert of(bare, "voicebench/mmsu")["margin"] == 2.0
    refused(bench.here("plan", a, "--policy", policy, "--margin", "1"), "--policy", "leave --margin")
    refused(bench.here("plan", a, "--policy", bench.tmp / "none.yaml"), "no policy")
    refused(bench.here("plan", a, "--format", "md", "--out", bench.tmp / "plan.md"), "name the folder")
    (bench.tmp / "taken").touch()
    refused(bench.here("plan", a, "--out", bench.tmp / "taken"), "taken: File exists. Name another place.")
    refused(bench.here("plan", "--task", SD_QA, "--policy", policy), "gates none")


def test_two_sided_and_superiority(bench: Bench) -> None:
    plans = {
        r: planned(bench, "--task", SD_QA, "--rule", r)
        for r in ("non-inferiority", "superiority", "two-sided")
    }
    needed = {r: of(p, SD_QA)["needed"] for r, p in plans.items()}
    assert needed["superiority"] == pytest.approx(needed["non-inferiority"], rel=0.02)
    assert needed["two-sided"] <= needed["superiority"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--task", "voicebench/sdqa"], ["no task matches", "voicebench/sd-qa"]),
        (["--suite", "table9"], ["no suite 'table9'"]),
        (["--reference", "GPT-9"], ["no model 'GPT-9'"]),
        (["--format", "pdf"], ["no format 'pdf'", "csv"]),
        (["--format", "md,csv"], ["--out"]),
        (["--task", SD_QA, "--suite", "table2"], ["give one of them"]),
        (["--metric", "nope"], ["has a metric 'nope'"]),
        (["no-run"], ["no-run", "run directory"]),
        (["a", "b", "c"], ["these are 3"]),
        (["--margin", "0"], ["not above zero"]),
        (["--margin", "100"], ["whole scale"]),
        (["--power", "1"], ["between 0 and 1"]),
        (["--alpha", "x"], ["not a number"]),
        (["--correlation", "1"], ["between -1 and 1"]),
        (["--sd", "-1"], ["not above zero"]),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_sentence(
    bench: Bench, args: list[str], words: list[str]
) -> None:
    refused(bench.here("plan", *args), *words)


def test_a_metric_beside_the_headline(bench: Bench) -> None:
    plan = planned(bench, "--suite", "table7", "--metric", "s2m_s")
    assert {t["metric"] for t in plan["tasks"]} == {"s2m_s"}
    found = of(plan, "ultraeval-audio/llama-questions-s2m")
    assert found["value"] == 64.33
    assert "ultraeval-audio-s2m-s" in {o["overall"] for o in plan["overall"]}


def test_sizing_without_the_command_line() -> None:
    task = catalogue().tasks[SD_QA]
    found = size(SD_QA, [], task, Question(power=0.9))
    assert found.needed is not None and found.n == 553 and found.enough is False
