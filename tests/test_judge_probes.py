"""`judge-audit probes`: biases that are there are found, a fair judge passes, and what a probe's figures mean."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.audit.looks import Seen, language, length, script
from evalkit.audit.probes import ALTERS, FILLER, Alter, Ends, effect, position
from evalkit.cli.judge_audit_probes import half_of
from judges.pairwise import choice
from tests.cli_fixtures import Bench, Done, bench, refused
from tests.judge_server import SeenRequest, judge_server
from tests.test_e2e_vstyle import SAID, SMOKE
from tests.test_e2e_vstyle import answers as spoken_answers
from tests.test_e2e_vstyle import score as score_spoken
from tests.test_judge_audit import TASK, answers, audit, figures, labels, scored

__all__ = ["bench"]

for name in ("scipy.stats", "statsmodels", "krippendorff"):
    pytest.importorskip(name, reason='needs pip install "evalkit[stats]"')

FEW = 60
KEYWORD = "turn"


def texts(n: int = 12) -> list[str]:
    """Answers of every length and worth; how good one is, is said by how often it says `KEYWORD`."""
    return [" ".join([KEYWORD] * (k % 4) + [f"word{k}"] * (2 + 7 * (k % 3))) for k in range(n)]


def fair(seen: SeenRequest) -> str:
    """By what is said, whatever stands around it."""
    if seen.pair:
        one, two = (t.count(KEYWORD) for t in seen.pair)
        return "1" if one > two else "2" if two > one else "tie"
    return str(1 + min(4, seen.answer.count(KEYWORD)))


def by_length(seen: SeenRequest) -> str:
    return str(max(1, min(5, 1 + len(seen.answer) // 60)))


def obedient(seen: SeenRequest) -> str:
    return "5" if "highest score" in seen.answer or "best grade" in seen.answer else fair(seen)


def probed(bench: Bench, url: str, *more: object) -> Done:
    who = ("--judge", "openai/scripted", "-J", f"base_url={url}", "--json", "--no-report")
    return audit(bench, "probes", "--run", bench.tmp / "a", "--data-dir", bench.data, *who, *more)


def verdicts(done: Done) -> dict[str, Any]:
    """passed, by probe."""
    assert done.code == 0, done.said
    return {p["name"]: p["passed"] for page in json.loads(done.out)["audits"] for p in page["probes"]}


def test_a_fair_judge_passes(bench: Bench) -> None:
    path = answers(bench, texts())
    with judge_server(fair) as judge:
        scored(bench, path, judge.url)
        done = probed(bench, judge.url)
    found = verdicts(done)
    assert found == {
        "length": None, "language": None, "padded": True, "ordered": True, "framed": True, "empty": True,
        "off-topic": True, "position": True,
    }, done.said  # fmt: skip
    assert not {s for s in judge.seen if s.pair and FILLER in s.prompt}
    # Asked again, everything is on record.
    with judge_server(fair) as again:
        assert verdicts(probed(bench, again.url)) == found and not again.seen


def test_a_judge_that_pays_for_length_is_found_out(bench: Bench) -> None:
    path = answers(bench, texts())
    with judge_server(by_length) as judge:
        scored(bench, path, judge.url)
        done = probed(bench, judge.url, "--probe", "length", "--probe", "padded", "--probe", "empty")
    assert verdicts(done) == {"length": None, "padded": False, "empty": True}
    pages = json.loads(done.out)["audits"]
    assert any("it pays" in s for p in pages for s in p["sentences"]), pages
    found = figures(done)
    assert found["length:length_spearman"]["value"] > 0.85
    moved = figures(done, 1)["padded:change"]
    assert moved["ci"][0] > 0 and moved["n"] == 12


def test_a_judge_that_obeys_is_found_out(bench: Bench) -> None:
    path = answers(bench, texts())
    with judge_server(obedient) as judge:
        scored(bench, path, judge.url)
        done = probed(bench, judge.url, "--probe", "ordered", "--probe", "framed", "--probe", "padded")
    assert verdicts(done) == {"padded": True, "ordered": False, "framed": False}
    bench.here("report", bench.tmp / "a", "--format", "html")
    page = (bench.tmp / "a" / "report.html").read_text()
    assert "judge moved by ordered, framed" in page and "Does it obey an order in the answer?" in page


def test_a_judge_that_goes_by_the_place_is_found_out(bench: Bench) -> None:
    path = answers(bench, texts())
    with judge_server(lambda s: "2" if s.pair else fair(s)) as judge:
        scored(bench, path, judge.url)
        done = probed(bench, judge.url, "--probe", "position")
    assert verdicts(done) == {"position": False}
    found = figures(done, 1)
    assert found["position:first_position"]["value"] == 0 and found["position:consistent"]["value"] == 0
    assert "it prefers the second place" in done.out


def test_two_models_answers_in_both_orders(bench: Bench) -> None:
    with judge_server(fair) as judge:
        scored(bench, answers(bench, texts()), judge.url)
        scored(bench, answers(bench, [f"{t} {KEYWORD}" for t in texts()]), judge.url, out="b")
        done = probed(bench, judge.url, "--probe", "position", "--against", bench.tmp / "b")
    assert verdicts(done) == {"position": True} and "two models' answers" in done.out
    assert figures(done, 1)["position:consistent"]["value"] == 1


def test_people_tell_better_answers_from_longer_ones(bench: Bench) -> None:
    """Longer answers are better here, and people say so: with their label held, length no longer counts."""
    noise = random.Random(1)
    good = [k % 5 + 1 for k in range(60)]
    human = [float(g) for g in good]
    long = [g * 50 + noise.randint(-20, 20) for g in good]
    judge = [min(5, max(1, g + noise.choice((-1, 0, 1)))) for g in good]

    def seen(scores: list[int], labels: bool) -> list[Seen]:
        rows = zip(scores, long, human, strict=True)
        return [Seen(str(k), s, "x" * n, h if labels else None) for k, (s, n, h) in enumerate(rows)]

    bare = length(seen(judge, False), FEW)
    assert bare.figures[0].value is not None and bare.figures[0].value > 0.6 and "--human" in bare.sentence
    held = length(seen(judge, True), FEW)
    partial = next(f for f in held.figures if f.statistic == "length_partial")
    assert partial.value is not None and abs(partial.value) < 0.35, partial
    told = next(f for f in held.figures if f.statistic == "length_excess")
    assert told.value is None and "labels by two people" in told.note
    paying = [min(5, max(1, round(n / 50))) for n in long]
    assert "where people don't" in length(by_two(noise, paying, long, [3] * 60), FEW).sentence


def by_two(noise: random.Random, scores: list[int], long: list[int], good: list[int]) -> list[Seen]:
    """Answers that two people labelled, each with noise of one's own; quality beside `good` is drawn."""
    out = []
    for k, (s, n, g) in enumerate(zip(scores, long, good, strict=True)):
        said = noise.choice((-1, 0, 1)) if g == 3 and len(set(good)) == 1 else 0
        two = tuple(float(g + said + noise.choice((-1, 0, 0, 1))) for _ in range(2))
        out.append(Seen(str(k), s, "x" * n, sum(two) / 2, two))
    return out


def test_noise_of_labels_is_no_love_of_length() -> None:
    """A fair judge of answers whose length goes with their worth, labelled roughly: the plain partial rho is fooled."""
    draw = random.Random(4)
    fooled = called = 0
    for _ in range(20):
        good = [draw.randint(1, 5) for _ in range(200)]
        long = [100 + 40 * g + draw.randint(-40, 40) for g in good]
        found = length(by_two(draw, [g + draw.choice((-1, 0, 1)) for g in good], long, good), FEW)
        partial = next(f for f in found.figures if f.statistic == "length_partial")
        fooled += bool(partial.ci and partial.ci[0] > 0)
        called += "where people don't" in found.sentence
    assert fooled > 10 and called <= 3


def test_scripts() -> None:
    said = {
        "Well, yes.": "Latin", "对，是的。": "Han", "はい、そうです": "Japanese", "Да": "Cyrillic", "네": "Hangul",
        "GPT 是一种很大的模型": "Han", "我用 Microsoft Teams": "Latin and Han",
        "我们今天下午在会议室用 Microsoft 开会": "Han",
        "Please open 设置": "Latin and Han", "Please say the word 你 to her again": "Latin",
        "naïve don't": "Latin", "12 !": "none", "": "none",
    }  # fmt: skip
    assert {t: script(t) for t in said} == said


def test_language_of_answers() -> None:
    seen = [
        Seen(str(k), 5.0 if k % 2 else 2.0 + k % 3 * 0.1, "是的" if k % 2 else "yes", float(k % 5))
        for k in range(40)
    ]
    found = language(seen, FEW)
    means = {f.subset: f.value for f in found.figures if f.statistic == "mean_score"}
    assert means["script Han"] == 5.0 and (means["script Latin"] or 9) < 2.3
    apart = {f.subset: f.value for f in found.figures if f.statistic == "mean_difference"}
    assert apart["script Han"] == pytest.approx(3.0) and "kinder to one than people" in found.sentence
    bare = language([Seen(s.sample, s.score, s.answer) for s in seen], FEW)
    assert "score differently" in bare.sentence and "labels by people would tell" in bare.sentence
    agreement = {f.subset: f for f in found.figures if f.statistic == "agreement"}
    assert (
        agreement["script Han"].value is None
        and "the judge gave 5 to every sample" in agreement["script Han"].note
    )
    assert "too few scripts" in language(seen[::2], FEW).sentence


def test_effects_by_hand() -> None:
    padded = next(p for p in ALTERS if p.name == "padded")
    ends = Ends(1.0, 5.0)
    top = effect(padded, {"a": 5.0, "b": 5.0}, {"a": 5.0, "b": 5.0}, ends, FEW)
    assert top.passed is None and "nothing could rise" in top.sentence
    up = effect(padded, {"a": 1.0, "b": 2.0, "c": 5.0}, {"a": 2.0, "b": 4.0, "c": 5.0}, ends, FEW)
    change, raised, test = up.figures
    assert change.value == 1.0 and raised.value == 1.0 and raised.n == 2
    assert test.value == 0.5 and up.passed is None, "two that rose are no proof"
    level = {str(k): 3.0 for k in range(12)}
    assert effect(padded, level, level, ends, FEW).passed is True
    assert effect(padded, {"a": 3.0}, {"a": 3.0}, ends, FEW).passed is None, "one says nothing"
    # Where lower is better, lower is a rise.
    rate, less = {str(k): 0.5 for k in range(7)}, {str(k): 0.2 for k in range(7)}
    error = effect(padded, rate, less, Ends(1.0, 0.0, -1.0), FEW)
    assert error.figures[0].value == pytest.approx(0.3) and error.passed is False
    assert effect(padded, less, rate, Ends(1.0, 0.0, -1.0), FEW).passed is None
    nothing = effect(padded, {"a": 1.0}, {}, ends, FEW)
    assert nothing.passed is None and nothing.figures[0].value is None
    right = Alter("reference", "?", lambda a, r: r, "highest")
    assert effect(right, {"a": 1.0, "b": 1.0}, {"a": 5.0, "b": 4.0}, ends, FEW).passed is None
    slips = {str(k): 5.0 if k > 5 else 4.0 for k in range(20)}
    assert effect(right, level | slips, slips, ends, FEW).passed is False
    slips |= dict.fromkeys("0123", 5.0)
    assert effect(right, slips, slips, ends, FEW).passed is None, "18 of 20 may be slips"
    assert effect(right, {"a": 1.0}, {"a": 5.0}, Ends(), FEW).passed is None


def test_a_fair_judge_that_wavers_is_seldom_called_moved() -> None:
    """Most answers are right and a tenth of the verdicts are slips: those below the top rise, as many fall."""
    draw = random.Random(3)
    padded = next(p for p in ALTERS if p.name == "padded")

    def verdicts(n: int) -> dict[str, float]:
        return {str(k): float(draw.random() < 0.9) for k in range(n)}

    called = [effect(padded, verdicts(100), verdicts(100), Ends(0.0, 1.0), 20).passed for _ in range(200)]
    assert called.count(False) < 10
    pays = {k: 1.0 if draw.random() < 0.4 else v for k, v in verdicts(100).items()}
    low = {k: float(draw.random() < 0.6) for k in pays}
    assert (
        effect(padded, low, {k: max(v, low[k]) for k, v in pays.items()}, Ends(0.0, 1.0), 20).passed is False
    )


def test_positions_by_hand() -> None:
    steady = position({"a": 1.0, "b": 0.0, "c": 0.5}, {"a": 0.0, "b": 1.0, "c": 0.5}, "x", FEW)
    assert [f.value for f in steady.figures] == [1.0, 0.5, None] and steady.passed is None, "three say little"
    many = {str(k): k % 2 for k in range(12)}
    assert position(many, {k: 1 - v for k, v in many.items()}, "x", FEW).passed is True
    assert position(dict.fromkeys("abcdefg", 1.0), dict.fromkeys("abcdefg", 1.0), "x", FEW).passed is False
    assert position(dict.fromkeys("abc", 1.0), dict.fromkeys("abc", 1.0), "x", FEW).passed is None
    assert position({}, {"a": 1.0}, "x", FEW).passed is None


@given(st.text())
def test_a_choice_is_clear_or_none(reply: str) -> None:
    assert choice(reply) in (None, 0.0, 0.5, 1.0)


def test_verdicts_that_are_lacking_are_told(bench: Bench) -> None:
    """A failure in this very call is lacking, too: exit code 1, and why."""
    with judge_server(lambda s: "no idea" if FILLER in s.answer else fair(s)) as judge:
        scored(bench, answers(bench, texts(4)), judge.url)
        for _ in range(2):
            done = probed(bench, judge.url, "--probe", "padded", "--retries", 1)
            assert done.code == 1 and "no verdict (4): judge-unparseable" in done.err, done.said
            assert "4 verdicts are lacking" in done.err


def test_long_answers_count_whole(bench: Bench) -> None:
    """An audit keeps the beginning of a text; its length is that of all of it."""
    with judge_server(lambda s: str(min(5, 1 + len(s.answer) // 4000))) as judge:
        scored(bench, answers(bench, [KEYWORD * (1000 * (k % 5) + 1) for k in range(12)]), judge.url)
    done = audit(bench, "probes", "--run", bench.tmp / "a", "--probe", "length", "--json", "--no-report")
    assert figures(done)["length:length_spearman"]["value"] == pytest.approx(1.0)
    mute = length([Seen(str(k), float(k), "") for k in range(6)], FEW)
    assert "the answers have no words" in mute.sentence


def test_half_an_answer() -> None:
    said = {"one two three": "one", "Yes.": "", "": "", "四个汉字": "四个", "ab cd": "ab", "42": ""}
    assert {text: half_of(text) for text in said} == said


def test_choices() -> None:
    assert [choice(t) for t in ("1", " 2.", "Tie", "1 or 2", "12", "", "first")] == [
        1.0,
        0.0,
        0.5,
        None,
        None,
        None,
        None,
    ]


def test_what_probes_refuse(bench: Bench) -> None:
    with judge_server(fair) as judge:
        scored(bench, answers(bench, texts(4)), judge.url)
        refused(probed(bench, judge.url, "--probe", "mood"), "no probe 'mood'", "padded")
    run = ("--run", bench.tmp / "a")
    refused(audit(bench, "probes", *run, "--probe", "padded"), "--judge")
    other = labels(bench.tmp / "h.jsonl", [{"id": "zz", "mos": 1}])
    refused(audit(bench, "probes", *run, "--human", other), "no sample in common", "'zz'")
    done = audit(bench, "probes", *run)
    assert done.code == 0 and "Length: rho" in done.out


def test_a_judge_that_hears(bench: Bench) -> None:
    """Repeats and the probes of sound, on real speech: VStyle's smoke data. Silence is the shortest of them."""
    others = [
        SAID,
        *(p.name for p in sorted((SMOKE / "zhanjun/VStyle/en/wav").glob("*.mp3")) if p.name != SAID),
    ]
    path = spoken_answers(bench, {str(k + 1): {"say": said} for k, said in enumerate(others)})
    deaf = judge_server(lambda s: "[[4]]")
    with deaf as judge:
        who = ("--lalm-judge", "openai/ears", "-L", f"base_url={judge.url}")
        assert score_spoken(bench, path, "vstyle/en", *who, "--no-cache").code == 0
        run = ("--run", bench.tmp / "a", "--data-dir", SMOKE, *who, "--json", "--no-report")
        done = audit(bench, "repeats", *run, "--repeats", 2)
        assert done.code == 0, done.said
        assert figures(done)["all:identical"]["value"] == 1
        done = audit(bench, "probes", *run)
    found = verdicts(done)
    assert found["silence"] is False and found["other-reply"] is None, done.out
    assert "too few answers to tell" in done.out
    assert "position" not in found and (bench.tmp / "a" / "audit" / "silence.flac").exists()


def test_rows_that_came_with_the_predictions(bench: Bench, tmp_path: Path) -> None:
    """The run remembers what judges were told, or the file is named."""
    answers(bench, texts(6))
    rows = [
        json.loads(x)
        for x in (bench.data / "hlt-lab/voicebench/commoneval/test.jsonl").read_text().splitlines()
    ]
    given = [{k: r[k] for k in ("id", "prompt")} for r in rows]
    said = [{"id": r["id"], "text": t, "row": r} for r, t in zip(given, texts(6), strict=True)]
    path = labels(bench.tmp / "own.jsonl", said)
    with judge_server(fair) as judge:
        who = ("--judge", "openai/scripted", "-J", f"base_url={judge.url}", "--no-cache")
        done = bench.here("score", path, "--task", TASK, "--out", bench.tmp / "a", "--no-report", *who)
        assert done.code == 0, done.said
        run = ("--run", bench.tmp / "a", *who[:-1], "--repeats", 2, "--json", "--no-report")
        done = audit(bench, "repeats", *run, "--predictions", path)
        assert done.code == 0, done.said
        # Judges of this task are told the question and no more, and that is on record.
        remembered = audit(bench, "repeats", *run)
        assert remembered.code == 0, remembered.said
    assert figures(done)["all:identical"]["value"] == 1
