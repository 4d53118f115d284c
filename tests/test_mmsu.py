"""MMSU: the official letters with their defects, rows, and protocols end to end on the smoke data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import mmsu
from benchmarks._mmsu_tasks import TASKS_47, check_names
from evalkit.errors import UsageError
from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Score, Turn, Verdict
from evalkit.sources import DataOptions, Row, open_source
from judges.mmsu_letters import DIES, EXCLUDED, STALE, MMSULetters, letter_of
from tests.cli_fixtures import Bench, Done, bench, lines, result

__all__ = ["bench"]

TASK = "mmsu/all"
HERE = Path(__file__).parent
SMOKE = HERE.parent / "benchmarks" / "smoke"
CASES = lines(HERE / "vectors" / "mcq.mmsu_records.jsonl")
CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")

# --- the letters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        *(("B", "B"), ("B.", "B"), (" B ", "B"), ("B. text", "B"), ("(B)", "B"), ("\\boxed{B}", "B")),
        *(("I choose (B)", "B"), ("The answer is B.", "B"), ("答案是B。", "B"), ("\nB\n", "B")),
        *(("(B)text", None), ("(B) text", None), ("**B**", None), ("The answer is B", None), ("b", None)),
        *(('{"answer": "B"}', None), ("E", None), ("Ａ", None), ("<think>x</think>B", None), ("b.", None)),
        *(("Answer:\nB", "A"), ("Based on it", "B"), ("Cannot be determined", "C"), ("Dog", "D")),
        *(("x", None), ("xB", None), ("Bx", "B"), ("B\n.", "B"), ("x\nB\n.", "B"), ("xB\n\n.", "B")),
        *(("None", "blank"), ("", "blank"), ("  ", "blank"), ("\n", "blank"), (" None\n", "blank")),
        *(("none", None), ("None.", None), ("No\nne", "blank"), ("null", None), (None, None)),
    ],
)
def test_letters(response: str | None, letter: str | None) -> None:
    assert letter_of(response) == letter


def options_of(case: dict[str, Any]) -> list[str | None]:
    return [case[c] for c in CHOICES]


def sample_of(case: dict[str, Any], key: str = "s") -> Sample:
    meta = {"options": options_of(case)}
    return Sample(key, TASK, (Turn("user", ("?",)),), target=case["answer_gt"], meta=meta)


def verdicts(case: dict[str, Any], text: str) -> list[Verdict]:
    return MMSULetters().score(sample_of(case), Answer(text, Response("s", text=text)))


def settled(found: list[list[Verdict]]) -> list[Score]:
    """What the judge makes of a whole task, in this order: the scores of its first metric."""
    judge = MMSULetters()
    scores = [
        Score.of(v, sample_id=f"{k:06}", judge="j", response="r") for k, vs in enumerate(found) for v in vs
    ]
    return [s for s in judge.settle(scores) if s.metric == "acc"]


def outcome(score: Score) -> str:
    if score.touched == DIES:
        return "raises:UnboundLocalError"
    if score.value is None:
        assert score.touched == EXCLUDED and score.reason
        return "excluded"
    return "correct" if score.value else "wrong"


def test_vectors() -> None:
    """Every record scored by itself, as the public script would."""
    assert len(CASES) > 500
    for case in CASES:
        if case["response"] is None:
            assert (letter_of(None), case["outcome"]) == (None, "excluded")
            continue
        found = verdicts(case, case["response"])
        [score] = settled([found])
        assert outcome(score) == case["outcome"], case
        assert found[1].value == float(case["outcome"] == "correct"), "everything counts in the second metric"


def naive_run(records: list[tuple[list[str | None], str, str]]) -> list[str]:
    """The script's loop in plain words: a variable that outlives its record."""
    out, held = [], ""
    for options, right, response in records:
        p = "".join(c for c in response.strip() if c != "\n")
        if p not in ("", "None"):
            if p[0] in "ABCD":
                held = p[0]
            elif len(p) > 1 and p[-2] in "ABCD":
                held = p[-2]
            else:
                out.append("excluded")
                continue
        elif not held:
            out.append("raises:UnboundLocalError")
            continue
        out.append("correct" if options["ABCD".index(held)] == right else "wrong")
    return out


REPLIES = st.one_of(
    st.sampled_from(["", " ", "None", "A", "B.", "(C)", "x", "(D)text", "The answer is B.", "n\none"]),
    st.text(st.sampled_from("ABCDEab .()\nNone"), max_size=8),
)
TEXTS = st.sampled_from(["one", "two", "three", None])


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(TEXTS, min_size=4, max_size=4), st.sampled_from(["one", "two"]), REPLIES)))
def test_a_whole_run_against_a_naive_loop(records: list[tuple[list[str | None], str, str]]) -> None:
    found = []
    for options, right, response in records:
        case = dict(zip(CHOICES, options, strict=True)) | {"answer_gt": right}
        found.append(verdicts(case, response))
    scores = settled(found)
    assert [outcome(s) for s in scores] == naive_run(records)
    for score, (_, _, response) in zip(scores, records, strict=True):
        assert (score.touched == STALE) == (letter_of(response) == "blank" and score.value is not None)
        assert (score.touched == STALE) == ("reused" in score.detail)


def test_an_excluded_record_does_not_change_the_letter_held() -> None:
    case = {**dict.fromkeys(CHOICES, "x"), "choice_b": "right", "answer_gt": "right"}
    scores = settled([verdicts(case, r) for r in ("B", "(A)text", "", "A", "None")])
    assert [(s.value, s.touched) for s in scores] == [
        (1.0, None),
        (None, EXCLUDED),
        (1.0, STALE),
        (0.0, None),
        (0.0, STALE),
    ]
    assert [s.detail.get("reused") for s in scores] == [None, None, "B", None, "A"]


def test_bad_samples_are_unscored_and_pass_through() -> None:
    bad = Sample("s", TASK, (), target=None, meta={"options": ["x"]})
    found = MMSULetters().score(bad, Answer("B", Response("s", text="B")))
    assert [v.value for v in found] == [None, None] and all(v.reason for v in found)
    [score] = settled([found])
    assert score.value is None and score.touched is None


# --- rows ---------------------------------------------------------------------------------------------


def smoke() -> dict[str, Sample]:
    task = mmsu.TASKS[0]
    source = open_source(task.data, DataOptions(data_dir=str(SMOKE)), task=TASK)
    return {s.id: s for s in (task.to_sample(TASK, row) for row in source.rows())}


def test_the_parquet_shape() -> None:
    found = smoke()
    two = found["gender_prediction_smoke"]
    assert two.meta["options"] == [None, "A woman", None, "A man"] and two.target == "A man"
    assert two.turns[0].text.endswith("options:\n(A)None\n(B)A woman\n(C)None\n(D)A man")
    assert (two.meta["task_name"], two.meta["category/sub-category"]) == (
        "gender_prediction",
        "Perception / Paralinguistics",
    )
    assert all(len(s.audios) == 1 and s.audios[0].data for s in found.values())


def test_prompts() -> None:
    task = mmsu.TASKS[0]
    source = open_source(task.data, DataOptions(data_dir=str(SMOKE)), task=TASK)
    rows = {r["id"]: r for r in source.rows()}
    row = rows["gender_prediction_smoke"]
    short = task.asking("letter-only").to_sample(TASK, row)
    asked = short.turns[0].text
    assert asked.endswith(
        "\n\nQuestion: Is the speaker a man or a woman?\n\nA. None\nB. A woman\nC. None\nD. A man"
    )
    again = task.asking("reletter").to_sample(TASK, row)
    assert again.turns[0].text.endswith("options:\n(A)A woman\n(B)A man")
    assert again.meta["options"] == ["A woman", "A man"]
    [counted, _] = MMSULetters().score(again, Answer("B", Response("s", text="B")))
    assert counted.value == 1.0, "letters are those that were shown"


def row(given: bool = False, file: str = "x.json", root: str = ".", **values: Any) -> Row:
    return Row(values, file=file, number=0, split="train", root=root, given=given)


FULL = {"id": "a", "question": "?", "audio": b"RIFF", "answer_gt": "x", **dict.fromkeys(CHOICES, "x")}


@pytest.mark.parametrize("lacks", ["question", "audio", "answer_gt", *CHOICES])
def test_a_column_that_lacks_is_named(lacks: str) -> None:
    with pytest.raises(UsageError, match=f"no column '{lacks}'"):
        mmsu.to_sample(TASK, row(**{k: v for k, v in FULL.items() if k != lacks}))


def test_the_json_shape(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a.wav").write_bytes(b"RIFFdata")
    facts = {k: v for k, v in FULL.items() if k != "audio"}
    rows = [
        facts | {"audio_path": p} for p in ("audio/a.wav", "a.wav", "/somewhere/else/a.wav", "other/a.wav")
    ]
    (tmp_path / "mmsu.json").write_text(json.dumps(rows), encoding="utf-8")
    task = mmsu.TASKS[0]
    source = open_source(task.data, DataOptions(data_dir=str(tmp_path)), task=TASK)
    for read in source.rows():
        assert task.to_sample(TASK, read).audios[0].read() == b"RIFFdata", read["audio_path"]


def test_rows_that_come_with_predictions_need_no_sound() -> None:
    facts = {k: v for k, v in FULL.items() if k not in ("audio", "id", "question")}
    sample = mmsu.to_sample(TASK, row(given=True, **facts))
    assert sample.turns[0].parts == () and sample.id


def test_there_are_47_tasks() -> None:
    assert len(TASKS_47) == 47 and "casual_reasoning" in TASKS_47


def test_the_names_of_tasks_are_checked(tmp_path: Path) -> None:
    task = mmsu.TASKS[0]

    def notes(names: list[str]) -> list[str]:
        path = tmp_path / "mmsu.json"
        path.write_text(json.dumps([{"task_name": n} for n in names]), encoding="utf-8")
        return check_names(open_source(task.data, DataOptions(data_dir=str(tmp_path)), task=TASK))

    assert notes(sorted(TASKS_47)) == []
    assert len(notes([*TASKS_47, "causal_reasoning"])) == 1
    strange, missing = notes(["pause_perception", "causal_reasoning"])
    assert "causal_reasoning" in strange and "46 of its 47" in missing
    parquet = check_names(open_source(task.data, DataOptions(data_dir=str(SMOKE)), task=TASK))
    assert len(parquet) == 1 and "43 of its 47" in parquet[0], parquet
    assert check_names(open_source(task.data, DataOptions(data_dir=str(SMOKE), smoke=True), task=TASK)) == []


# --- end to end -----------------------------------------------------------------------------------------

ANSWERS = {
    "content_grounding_smoke": "B",  # right
    "gender_prediction_smoke": "(D)A man",  # left out; right by our rule
    "deixis_resolution_smoke": "",  # the letter held is B: wrong
    "sarcasm_detection_smoke": "None",  # the letter held is B: right
}


def replay(bench: Bench, protocol: str, answers: dict[str, str] = ANSWERS, *more: object) -> Done:
    path = bench.tmp / "p.jsonl"
    path.write_text(
        "".join(json.dumps({"id": k, "text": t}) + "\n" for k, t in answers.items()), encoding="utf-8"
    )
    args = ["run", "--model", f"replay/{path}", "--task", TASK, "--protocol", protocol, "--no-report"]
    return bench.here(*args, "--data-dir", SMOKE, "--out", bench.tmp / "a", *more)


def test_official_on_the_smoke_data(bench: Bench) -> None:
    done = replay(bench, "official")
    out = bench.tmp / "a"
    found = result(out, TASK)
    assert (found["n"], found["n_scored"], found["n_unscored"]) == (4, 3, 1), done.said
    assert found["value"] == pytest.approx(200 / 3)
    assert found["touched"] == {EXCLUDED: 1, STALE: 2}
    assert set(found["reasons"]) == {"excluded-format"}
    everything = result(out, TASK, "official_all")
    assert (everything["value"], everything["n_scored"]) == (25.0, 4)
    assert result(out, TASK, "letter_aware")["value"] == 50.0
    # 1, 0 and 1 over the three tasks that have a counted record
    assert result(out, TASK, "acc_macro")["value"] == pytest.approx(200 / 3)


def test_the_order_is_the_data_sets(bench: Bench) -> None:
    """A file of predictions in another order changes nothing."""
    replay(bench, "official", dict(reversed(ANSWERS.items())))
    found = result(bench.tmp / "a", TASK)
    assert found["value"] == pytest.approx(200 / 3) and found["touched"] == {EXCLUDED: 1, STALE: 2}


def test_the_order_is_known_whatever_protocol_came_first(bench: Bench) -> None:
    """Answers scored by `strict` and then by `official` in one place: the stale letter is that of the record before."""
    alone = dict(reversed(ANSWERS.items()))
    replay(bench, "strict", alone)
    replay(bench, "official", alone)
    found = result(bench.tmp / "a", TASK)
    assert found["value"] == pytest.approx(200 / 3) and found["touched"] == {EXCLUDED: 1, STALE: 2}
    answered = lines(bench.tmp / "a" / TASK / "responses.jsonl")
    assert sorted(x["asked"]["order"] for x in answered) == [0, 1, 2, 3], "asked once, each in its place"


def test_a_blank_before_any_letter(bench: Bench) -> None:
    done = replay(bench, "official", ANSWERS | {"content_grounding_smoke": " "})
    found = result(bench.tmp / "a", TASK)
    assert (found["n_scored"], found["value"]) == (0, None), done.said
    assert set(found["reasons"]) == {"excluded-format", "script-dies"}
    assert found["touched"] == {EXCLUDED: 1, DIES: 3}
    assert result(bench.tmp / "a", TASK, "official_all")["value"] == 0.0


def test_strict_on_the_smoke_data(bench: Bench) -> None:
    done = replay(bench, "strict")
    assert done.code == 0, done.said
    found = result(bench.tmp / "a", TASK)
    assert (found["n"], found["n_scored"], found["value"], found["touched"]) == (4, 4, 50.0, {})
    entry = json.loads((bench.tmp / "a/results.json").read_text(encoding="utf-8"))["tasks"][TASK]
    assert set(entry["groups"]["category/sub-category"]) == {
        f"{a} / {b}" for a in ("Perception", "Reasoning") for b in ("Linguistics", "Paralinguistics")
    }
    assert len(entry["groups"]["task_name"]) == 4 and len(entry["groups"]["category"]) == 2


def test_the_public_scripts_own_file(bench: Bench) -> None:
    """All vectors as one JSONL, in the file's order: counts as a loop over them gives."""
    cases = [c for c in CASES if c["response"] is not None]
    path = bench.tmp / "mmsu.jsonl"
    rows = [c | {"id": f"{k:04}"} for k, c in enumerate(cases)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    done = bench.here("score", path, "--protocol", "official", "--no-report", "--out", bench.tmp / "a")
    found = result(bench.tmp / "a", TASK)
    want = Counter(naive_run([(options_of(c), c["answer_gt"], c["response"]) for c in cases]))
    counted = want["correct"] + want["wrong"]
    assert (found["n"], found["n_scored"]) == (len(cases), counted), done.said
    assert found["value"] == pytest.approx(100 * want["correct"] / counted)
    assert found["touched"][EXCLUDED] == want["excluded"] and found["touched"][STALE] > 20
    assert want["raises:UnboundLocalError"] == found["touched"].get(DIES, 0)
