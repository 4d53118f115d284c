"""UltraEval-Audio as S2M: one answer, two numbers; what is missing; the rows and averages of Table 7."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ultraeval_audio_s2m import SECTION
from evalkit.engine.judging import obstacle
from evalkit.interfaces import Answer, Roles
from evalkit.overalls import overall_result
from evalkit.published import published
from evalkit.records import Audio, Failure, Response, Sample, Transcript, Turn
from evalkit.registry import catalogue
from evalkit.results import ScoringPlan
from evalkit.stats import round_half_up
from judges.llm_presets import chatbot_judge
from judges.missing import OrMissing
from judges.qa_match import ExistMatch
from reports.runs import load_runs
from reports.tables import build_tables
from tests.cli_fixtures import Bench, Done, bench, judged, lines, result
from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav

__all__ = ["bench"]

SMOKE = Path(__file__).parent.parent / "benchmarks" / "smoke"
SETS = ("alpaca-eval", "llama-questions", "triviaqa", "web-questions")
LLAMA, ALPACA = "ultraeval-audio/llama-questions-s2m", "ultraeval-audio/alpaca-eval-s2m"
SPEECH = Audio(data=tone_wav(0.2))
HEARD = Transcript("", "given", "Rome it is")


def sample(target: Any = "Rome") -> Sample:
    return Sample("x", LLAMA, (Turn("user", ()),), target=target, meta={"question": "?"})


def judge(
    text: str | None, audio: bool, transcript: Transcript | None, protocol: str, target: Any = "Rome"
) -> Any:
    """(S2M-T, S2M-S) verdicts of one answer, as the engine gets them."""
    meta = {"text": "none given"} if text is None else {}
    response = Response("x", text=text or "", audio=SPEECH if audio else None, meta=meta)
    _, variant = catalogue().tasks[LLAMA].variant(protocol)
    out = []
    for one in list(variant.judges(Roles()))[:2]:
        words = response.text if one.reads == "text" else transcript.text if transcript else ""
        why = obstacle(one, response, transcript)
        out += one.unscored(why) if why else one.score(sample(target), Answer(words, response, transcript))
    assert [v.metric for v in out] == ["s2m_t", "s2m_s"]
    return out


# --- what is missing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "audio", "transcript", "report", "official"),
    [
        ("In Rome.", True, HEARD, (1, 1), (1, 1)),
        ("In Paris.", True, HEARD, (0, 1), (0, 1)),
        ("In Rome.", False, None, (1, 0), (1, None)),
        ("In Rome.", False, HEARD, (1, 1), (1, 1)),  # the words of the speech were handed over without it
        (None, True, HEARD, (0, 1), (None, 1)),
        (" ", True, HEARD, (0, 1), (None, 1)),
        ("", False, None, (0, 0), (None, None)),
        ("In Rome.", True, Transcript("", "given", ""), (1, 0), (1, 0)),  # silence is an answer, and wrong
    ],
)
def test_a_missing_half(text: Any, audio: bool, transcript: Any, report: Any, official: Any) -> None:
    assert tuple(v.value for v in judge(text, audio, transcript, "report")) == report
    found = judge(text, audio, transcript, "official")
    assert tuple(v.value for v in found) == official
    assert [v.touched for v in found] == [None if v.value is not None else "missing_dropped" for v in found]


def test_what_could_not_be_looked_at_is_not_missing() -> None:
    for protocol in ("report", "official"):
        deaf = judge("Rome", True, None, protocol)[1]
        assert deaf.value is None and deaf.reason.startswith("asr-unbound") and not deaf.touched
        broken = judge("Rome", True, Transcript("", "x", "", error=Failure("crash", "boom")), protocol)[1]
        assert broken.value is None and broken.reason.startswith("asr-crash")


def test_a_blank_reference_saves_nothing_that_is_missing() -> None:
    assert [v.value for v in judge("", False, None, "report", target="")] == [0, 0]
    assert [v.touched for v in judge("x", True, HEARD, "official", target="")] == ["empty_reference"] * 2
    assert [v.value for v in judge("x", True, HEARD, "report", target="")] == [None, None]


@pytest.mark.parametrize(("value", "touched"), [(1.0, None), (None, "missing_dropped")])
def test_nobody_is_asked_about_nothing(value: float | None, touched: str | None) -> None:
    """Duplex sheet section 2: rating 1 by default; dropped reproduces 198 of 199."""
    wrapped = OrMissing(chatbot_judge(None, reads="speech", metric="s2m_s"), value)
    [found] = asyncio.run(wrapped.ask(sample(), Answer("", Response("x", text="words"))))
    assert (found.metric, found.value, found.touched) == ("s2m_s", value, touched)
    [asked] = asyncio.run(wrapped.ask(sample(), Answer("Rome", Response("x", audio=SPEECH), HEARD)))
    assert asked.value is None and (asked.reason or "").startswith("judge-unbound")


def test_signatures_tell_the_halves_and_the_protocols_apart() -> None:
    task = catalogue().tasks[ALPACA]
    signed = [j.signature for v in task.variants.values() for j in list(v.judges(Roles()))[:2]]
    assert len(set(signed)) == 4
    assert (
        ExistMatch().signature == ExistMatch(metric="other").signature == "qa-exist-match:speech,empty=match"
    )


# --- end to end ------------------------------------------------------------------------------------


def ids(bench: Bench, task: str) -> list[str]:
    shown = bench.here("show", task, "--data-dir", SMOKE, "--ids")
    assert shown.code == 0, shown.said
    return shown.out.split()


def score(bench: Bench, answers: Sequence[Mapping[str, Any]], task: str, *more: object) -> Done:
    (bench.tmp / "a.wav").write_bytes(tone_wav(0.3))
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(dict(a)) + "\n" for a in answers), encoding="utf-8")
    out = ["--out", bench.tmp / "out", "--no-report", "--progress", "none"]
    return bench.here("score", path, "--task", task, "--data-dir", SMOKE, *out, *more)


def both(bench: Bench, task: str) -> list[tuple[Any, int]]:
    found = [result(bench.tmp / "out", task, m) for m in ("s2m_t", "s2m_s")]
    return [(f["value"], f["n_scored"]) for f in found]


@pytest.mark.parametrize(
    ("protocol", "wanted"), [("report", [(200 / 3, 3), (100 / 3, 3)]), ("official", [(100.0, 2), (50.0, 2)])]
)
def test_one_answer_two_accuracies(bench: Bench, protocol: str, wanted: Any) -> None:
    """Text and speech may disagree, and either may be missing."""
    smoke = ids(bench, LLAMA)
    targets = [
        json.loads(x)["target"]
        for x in bench.here("show", LLAMA, "--data-dir", SMOKE, "--json").out.splitlines()
    ]
    answers = [
        {"id": smoke[0], "text": f"It is {targets[0]}.", "audio": "a.wav", "transcript": targets[0]},
        {"id": smoke[1], "text": targets[1]},
        {"id": smoke[2], "audio": "a.wav", "transcript": "no idea"},
    ]
    done = score(bench, answers, LLAMA, "--protocol", protocol)
    assert done.code == int(protocol == "official"), done.said
    assert both(bench, LLAMA) == [(pytest.approx(v), n) for v, n in wanted]
    for metric in ("s2m_t", "s2m_s"):
        found = result(bench.tmp / "out", LLAMA, metric)
        assert found["touched"] == ({"missing_dropped": 1} if protocol == "official" else {})


@pytest.mark.parametrize(
    ("protocol", "wanted"), [("report", [(20 * 10 / 3, 3), (50.0, 2)]), ("official", [(95.0, 2), (90.0, 1)])]
)
def test_two_judges_with_recorded_replies(bench: Bench, protocol: str, wanted: Any) -> None:
    replies = [("Rating: [[9]]", "[[9]]"), ("[[10]]", "[[8]]"), ("[[7]]", "no rating")]
    answers: list[dict[str, Any]] = [
        {"id": i, "text": "An answer.", "audio": "a.wav", "transcript": "an answer"}
        for i in ids(bench, ALPACA)
    ]
    for answer, (text, speech) in zip(answers, replies, strict=True):
        answer["judge"] = {"s2m_t": text, "s2m_s": speech}
    del answers[1]["audio"], answers[1]["transcript"]
    answers[2]["text"] = ""
    done = score(bench, answers, ALPACA, "--protocol", protocol)
    assert done.code == 1, done.said
    # text: 9, 10 and a missing one; speech: 9, a missing one and an unreadable reply
    assert both(bench, ALPACA) == [(pytest.approx(v), n) for v, n in wanted]
    assert set(result(bench.tmp / "out", ALPACA, "s2m_s")["reasons"]) >= {"judge-unparseable"}


def test_the_rows_of_table_7(bench: Bench) -> None:
    """A run of all four sets: each printed row has its cell, once, and both averages stand below them."""
    (bench.tmp / "a.wav").write_bytes(tone_wav(0.3))
    answers = [
        {"id": i, "text": "Rome", "audio": "a.wav", "transcript": "no idea"}
        for s in SETS
        for i in ids(bench, f"ultraeval-audio/{s}-s2m")
    ]
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(a) + "\n" for a in answers), encoding="utf-8")
    args = ["run", "--model", f"replay/{path}", "--suite", "ultraeval-audio-s2m", "--data-dir", SMOKE]
    with mock_server(texts=["Rating: [[7]]"]) as mock:
        done = bench.here(
            *args, *judged(mock.url), "--out", bench.tmp / "o", "--no-report", "--progress", "none"
        )
    assert done.code == 0, done.said
    [table] = build_tables(load_runs([bench.tmp / "o"]))
    printed = table.sections[0]
    names = [
        f"{r} ({c})"
        for r in ("Llama Q.", "AlpacaEval", "TriviaQA", "Web Q.", "Avg.")
        for c in ("S2M-T", "S2M-S")
    ]
    assert [r.label for r in printed.rows] == names
    assert [r.metric for r in printed.rows] == ["S2M-T", "S2M-S"] * 5
    by_name = {r.label: r.cells[-1] for r in printed.rows}
    assert by_name["Llama Q. (S2M-T)"].value and by_name["Llama Q. (S2M-S)"].value == 0.0
    own = [(r.task, r.metric) for s in table.sections[1:] for r in s.rows]
    assert own and not {m for _, m in own} & {"S2M-T", "S2M-S", "Mean"}, "placed rows are not shown twice"
    found = json.loads((bench.tmp / "o/results.json").read_text(encoding="utf-8"))["overall"]
    # 33.33 (Llama Q.), 70 (rated 7), 0 and 0; of the speech, only the rating counts
    assert found["ultraeval-audio-s2m-t"]["value"] == pytest.approx((33.33 + 70) / 4)
    assert found["ultraeval-audio-s2m-s"]["value"] == 17.5
    scores = lines(bench.tmp / "o" / LLAMA / "scores.jsonl")
    assert {s["metric"] for s in scores} >= {"s2m_t", "s2m_s", "asr_wer", "utmos", "dnsmos_ovrl"}


# --- the printed averages --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "column"), [("s2m_t", "S2M-T"), ("s2m_s", "S2M-S")])
def test_all_eight_averages(name: str, column: str) -> None:
    """Duplex sheet sections 1 and 8: half-up from the printed cells, in all four models."""
    section = published("7", SECTION)
    overall = catalogue().overalls[f"ultraeval-audio-s2m-{column[-1].lower()}"]
    assert [c.printed for c in overall.cells] == [column]
    for model in section.models:
        entries, plans = {}, {}
        for part in overall.parts:
            task = catalogue().tasks[part.task]
            protocol, variant = task.variant(None)
            [cell] = [c for c in task.cells if c.printed == column]
            assert part.metric == cell.metric == name
            row = section.row(cell.row, metric=column)
            assert row is not None
            number = {"value": row.value(model), "signature": "", "n_scored": 1, "meaningful": True}
            entries[part.task] = {"headline": "s2m_t", "metrics": {"s2m_t": number, name: number}, "n": 1}
            plans[part.task] = ScoringPlan(task, protocol, variant, (), {})
        found = overall_result(overall, entries, plans)
        total = section.row("Avg.", metric=column)
        assert found is not None and total is not None
        assert round_half_up(found["value"], overall.decimals) == total.value(model), model
