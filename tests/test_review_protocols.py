"""Numbers that a second reading of the sheets found wrong, each held here; and cases worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.voicebench import skip_by_length
from evalkit.interfaces import Answer
from evalkit.records import JSON, Audio, Response, Sample, Transcript, Turn
from evalkit.registry import catalogue
from evalkit.results import build_results
from evalkit.store import RunWriter
from evalkit.task import Metric
from judges.asr_wer import AsrWer
from judges.bbh import BBH
from judges.mcq import ChoiceTemplates
from judges.pedant import Pedant
from judges.qa_match import ExistMatch
from tests.cli_fixtures import Bench, Done, bench, lines, result
from tests.run_fixtures import ACC, CARD, TASK, answer, fail, score, toy_plan, toy_task

__all__ = ["bench"]

Given = Mapping[str, Any]


def scored(bench: Bench, task: str, given: Sequence[Given], *more: object) -> tuple[Done, Any, Any]:
    """Score the predictions; how it went, the task's entry in results.json, and the scores by sample."""
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(dict(g)) + "\n" for g in given), encoding="utf-8")
    out = bench.tmp / "out"
    done = bench.here("score", path, "--task", task, "--out", out, "--no-report", *more)
    entry = json.loads((out / "results.json").read_text(encoding="utf-8"))["tasks"][task]
    by_sample: dict[str, dict[str, Any]] = {}
    for line in lines(out / task / "scores.jsonl"):
        by_sample.setdefault(line["sample_id"], {})[line["metric"]] = line
    return done, entry, by_sample


# --- groups --------------------------------------------------------------------------------------


def test_a_group_counts_its_own_failures_reasons_and_touched(tmp_path: Path) -> None:
    """They were those of the whole task, and samples that failed left the group."""
    writer = RunWriter(tmp_path)
    for sample_id, group, value, touched in (
        ("a", "law", 1, None),
        ("b", "law", None, None),
        ("c", "bio", 0, "random_letter"),
    ):
        why = None if value is not None else "bad-target: the reference is no letter."
        score(writer, answer(writer, sample_id, group=group), "acc", value, touched=touched, reason=why)
    fail(writer, "d", group="law")
    writer.close()
    plan = toy_plan(toy_task(replace(ACC), groups=("domain",)), n=4)
    groups = build_results(writer, [plan], CARD)["tasks"][TASK]["groups"]["domain"]
    law, bio = groups["law"]["acc"], groups["bio"]["acc"]
    counted = ("n", "n_scored", "n_unscored", "n_errors")
    assert [law[k] for k in counted] == [3, 1, 1, 1]
    assert [bio[k] for k in counted] == [1, 1, 0, 0]
    assert law["bounds"] == [pytest.approx(100 / 3), 100.0] and bio["bounds"] == [0.0, 0.0]
    assert law["touched"] == {} and bio["touched"] == {"random_letter": 1}
    assert list(law["reasons"]) == ["bad-target"] and bio["reasons"] == {}


def test_rows_without_a_domain_are_not_filed_under_the_first(bench: Bench) -> None:
    """Rows that came with predictions know no split; they all were "biology"."""
    row = {"prompt": "?", "reference": "A"}
    given = [
        {"id": "a", "text": "A.", "row": row},
        {"id": "b", "text": "A.", "row": {**row, "domain": "law"}},
    ]
    _, entry, _ = scored(bench, "voicebench/mmsu", given, "--protocol", "official")
    assert {name: g["acc"]["n"] for name, g in entry["groups"]["domain"].items()} == {"?": 1, "law": 1}


def test_a_sample_counts_once_per_reason(tmp_path: Path) -> None:
    """Two judges that miss a sample for the same reason are one unscored sample."""
    writer = RunWriter(tmp_path)
    for sample_id in "ab":
        response = answer(writer, sample_id)
        for name in ("acc", "gpt"):
            score(writer, response, name, None, reason="no-text: there is none.")
    writer.close()
    both = Metric("both", "Both", sources=("acc", "gpt"))
    found = build_results(writer, [toy_plan(toy_task(both), n=2)], CARD)["tasks"][TASK]["metrics"]["both"]
    assert (found["n_unscored"], found["reasons"]["no-text"]["n"]) == (2, 2)


# --- SD-QA ---------------------------------------------------------------------------------------


def asked(sample_id: str, said: str, votes: Sequence[str]) -> dict[str, JSON]:
    """Answers that hold the reference need no classifier."""
    row = {"prompt": "which city", "reference": "Paris"}
    return {"id": sample_id, "text": said, "judge": list(votes), "row": row}


def test_a_tied_vote_does_not_withhold_sd_qa(bench: Bench) -> None:
    """Only PEDANT's missing classifier does: that a vote ties says nothing about the answer."""
    given = [
        asked("a", "It is Paris.", ["Yes", "yes", "no"]),
        asked("b", "Paris", ["No", "no", "Yes"]),
        asked("c", "Paris!", ["Yes", "No", "Maybe"]),
    ]
    done, entry, found = scored(bench, "voicebench/sd-qa", given, "--protocol", "official")
    assert done.code == 1  # one sample is unscored, and says so
    detail = found["c"]["gpt"]["detail"]
    assert (detail["gpt_majority"], detail["vote_tie"]) == (None, True)
    acc = entry["metrics"]["acc"]
    assert (acc["value"], acc["n"], acc["n_scored"], acc["withheld"]) == (75.0, 3, 2, False)
    # PEDANT has all three right; the judge has one right, one wrong, one tied.
    assert acc["bounds"] == [pytest.approx(100 * (1 + 1 / 3) / 2), pytest.approx(100 * (1 + 2 / 3) / 2)]
    assert {k: r["n"] for k, r in acc["reasons"].items()} == {"vote-tie": 1}


def test_without_pedants_classifier_sd_qa_stays_withheld(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    given = [asked("a", "Paris", ["Yes"] * 3), asked("b", "Rome", ["No"] * 3)]
    empty = tmp_path / "no-weights"
    empty.mkdir()
    more = ("--protocol", "official", "-O", f"pedant_weights={empty}")
    _, entry, _ = scored(bench, "voicebench/sd-qa", given, *more)
    acc, gpt = entry["metrics"]["acc"], entry["metrics"]["gpt"]
    assert (acc["value"], acc["withheld"], acc["bounds"]) == (None, True, [50.0, 75.0])
    assert (gpt["value"], gpt["withheld"]) == (50.0, False)


def test_pedants_classifier_is_not_fed_a_missing_question() -> None:
    def verdict(meta: dict[str, JSON], said: str) -> Any:
        sample = Sample("a", "t/t", (Turn("user", ()),), target="Paris", meta=meta)
        return Pedant(weights="nowhere").score(sample, Answer(said, Response("a", text=said)))[0]

    assert verdict({"question": None}, "in paris").value == 1.0
    missing = verdict({"question": None}, "Rome")
    assert missing.value is None and (missing.reason or "").startswith("no-question:")


# --- rows as they come ---------------------------------------------------------------------------


def test_a_row_without_a_prompt_is_scored_where_no_rule_reads_it(bench: Bench) -> None:
    """It ended the whole file, although recorded votes and rules need no question."""
    given = [{"id": "a", "text": "Hello.", "judge": ["5", "4", "3"], "row": {"prompt": None}}]
    given.append({"id": "b", "text": "Hi.", "judge": ["1"], "row": {}})
    _, entry, _ = scored(bench, "voicebench/alpacaeval_full", given, "--protocol", "official")
    assert entry["metrics"]["geval"]["value"] == pytest.approx((5 + 4 + 3 + 1) / 4)  # votes, not items


def test_ultraevals_alpaca_rows_need_no_reference(bench: Bench) -> None:
    """Its judge never sees the column `output` (UltraEval-Audio sheet, section 4.3)."""
    given = [{"id": 1, "text": "Hi.", "judge": "Rating: [[7]]", "row": {"instruction": "Greet me."}}]
    _, entry, _ = scored(bench, "ultraeval-audio/alpaca-eval-s2t", given)
    assert entry["metrics"]["geval"]["value"] == 70.0


@pytest.mark.parametrize(
    ("sample_id", "row"),
    [
        ("x1", {"id": "navigate_3"}),
        ("navigate_3", {}),
        ("navigate_3", {"id": "17"}),
        ("x1", {"id": "17", "sample_id": "navigate_3"}),
    ],
)
def test_bbh_finds_its_task_in_either_id(bench: Bench, sample_id: str, row: Given) -> None:
    given = [{"id": sample_id, "text": "No.", "row": {"prompt": "?", "reference": "No", **row}}]
    done, entry, found = scored(bench, "voicebench/bbh", given)
    assert done.code == 0, done.said
    assert found[sample_id]["acc"]["detail"]["pred"] == 0 and entry["metrics"]["acc"]["value"] == 100.0


@pytest.mark.parametrize("target", ["b", None, 2, ["B"]])
def test_what_was_read_shows_even_where_the_reference_is_bad(target: JSON) -> None:
    said = Answer("The answer is B.", Response("a", text="The answer is B."))
    letter = ChoiceTemplates().score(Sample("a", "t/t", (), target=target), said)[0]
    assert (letter.value, letter.detail["extracted"], letter.detail["extraction_failed"]) == (
        None,
        "B",
        False,
    )
    said = Answer("yes", Response("a", text="yes"))
    yes = BBH().score(Sample("navigate_1", "t/t", (), target=target), said)[0]
    assert (yes.value, yes.detail["pred"], yes.detail["random_fallback"]) == (None, 1, False)


def test_no_reference_at_all_is_unscored_when_strict() -> None:
    """Official: an empty list never matches. Strict: there is nothing to look for."""
    sample, said = Sample("a", "t/t", (), target=[]), Answer("42", Response("a", text="42"))
    assert ExistMatch("text", "match").score(sample, said)[0].value == 0.0
    strict = ExistMatch("text", "unscored").score(sample, said)[0]
    assert strict.value is None and (strict.reason or "").startswith("empty-reference:")


# --- speech --------------------------------------------------------------------------------------


def test_a_transcript_that_came_alone_is_compared_not_taken_for_silence() -> None:
    """Words given without their sound were a WER of 100 %."""
    response = Response("a", text="the cat sat")
    heard = Transcript("", "given", "the cat sits")
    found = AsrWer().score(Sample("a", "t/t", ()), Answer(heard.text, response, heard))[0]
    assert found.value == pytest.approx(1 / 3) and "no_speech" not in found.detail
    silent = AsrWer().score(Sample("a", "t/t", ()), Answer("", response, None))[0]
    assert (silent.value, silent.detail["no_speech"]) == (1.0, "missing")


def test_audio_of_unknown_length_is_not_skipped() -> None:
    known, unknown = Audio(data=b"x", seconds=61.0), Audio(data=b"x")
    assert skip_by_length(Sample("a", "t/t", (Turn("user", (known,)),))) is not None
    assert skip_by_length(Sample("a", "t/t", (Turn("user", (unknown,)),))) is None


# --- by hand -------------------------------------------------------------------------------------


def test_open_votes_pool_by_vote_under_official_and_by_item_under_kimi(bench: Bench) -> None:
    votes = (["5"], ["1", "2", "3"], ["[[4]]", "x", "5"])
    given = [{"id": k, "text": "t", "judge": v, "row": {"prompt": "p"}} for k, v in enumerate(votes)]
    _, entry, found = scored(bench, "voicebench/commoneval", given, "--protocol", "official")
    geval = entry["metrics"]["geval"]
    assert geval["value"] == pytest.approx((5 + 1 + 2 + 3) / 4)
    assert found["2"]["geval"]["value"] is None and geval["n_unscored"] == 1
    # the missing item weighs as much as the mean one: 2 votes of 1, or of 5
    assert geval["bounds"] == [pytest.approx((11 + 2) / 6), pytest.approx((11 + 10) / 6)]
    (bench.tmp / "out").rename(bench.tmp / "official")
    _, entry, _ = scored(bench, "voicebench/commoneval", given)
    assert entry["protocol"] == "kimi-evalkit"
    assert entry["metrics"]["geval"]["value"] == pytest.approx((5 + 1 + 4) / 3, abs=1e-8)


def test_wilson_and_bounds_by_hand(bench: Bench) -> None:
    """3 of 4 refused, one prediction without text: 75 %, and between 3/5 and 4/5 in truth."""
    texts = ["I'm sorry", "It is illegal", "Sure!", "I cannot", None]
    given = [{"id": k, "text": t, "row": {"prompt": f"p{k}"}} for k, t in enumerate(texts)]
    done, _, _ = scored(bench, "voicebench/advbench", given, "--protocol", "official")
    assert done.code == 1
    found = result(bench.tmp / "out", "voicebench/advbench")
    assert [found[k] for k in ("n", "n_scored", "n_errors", "n_pending")] == [5, 4, 1, 0]
    z, p, n = 1.959963984540054, 0.75, 4
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 100 / (1 + z * z / n)
    assert found["ci"] == [pytest.approx((centre - half) * scale), pytest.approx((centre + half) * scale)]
    assert (found["value"], found["bounds"]) == (75.0, [60.0, 80.0])


def test_default_protocols_are_the_reports() -> None:
    tasks = catalogue().tasks
    default = {name: t.default_protocol for name, t in tasks.items()}
    for subset in ("alpacaeval_full", "commoneval", "sd-qa", "mmsu", "openbookqa", "ifeval", "advbench"):
        assert default[f"voicebench/{subset}"] == "kimi-evalkit"
    others = {n: p for n, p in default.items() if n in ("voicebench/bbh", "voicebench/wildvoice")}
    assert set(others.values()) == {"official"}
    spoken = {n: p for n, p in default.items() if n.startswith("ultraeval-audio/")}
    assert {p for n, p in spoken.items() if not n.endswith("-s2m")} == {"official"}
    assert {p for n, p in spoken.items() if n.endswith("-s2m")} == {"report"}
