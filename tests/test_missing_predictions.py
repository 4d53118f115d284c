"""Predictions that lack their answer: what each protocol scores in its place, and that it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judges.mmsu_letters import EXCLUDED, STALE
from tests.cli_fixtures import Bench, Done, bench, lines, result

__all__ = ["bench"]

MISSING = "missing_prediction"
SMOKE = Path(__file__).parent.parent / "benchmarks" / "smoke"
MMSU, MMAU, PRO = "mmsu/all", "mmau/test-mini", "mmau-pro/full"


def score(bench: Bench, records: list[dict[str, Any]], task: str, protocol: str, *more: object) -> Done:
    path = bench.tmp / "answers.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    args = ("--task", task, "--protocol", protocol, *more)
    return bench.here("score", path, *args, "--no-report", "--out", bench.tmp / protocol)


def answers(folder: Path, task: str) -> dict[str, str]:
    return {x["sample_id"]: x["text"] for x in lines(folder / task / "responses.jsonl") if "error" not in x}


def mmsu(key: str, right: str = "B", **given: object) -> dict[str, Any]:
    """A record of MMSU's own file; `response` as given, or not at all."""
    choices = {"choice_a": "one", "choice_b": "two", "choice_c": "three", "choice_d": None}
    places = {"category": "Reasoning", "sub-category": "Linguistics", "task_name": "pause_perception"}
    return {
        "id": key,
        "question": "?",
        **choices,
        "answer_gt": choices[f"choice_{right.lower()}"],
        **places,
        **given,
    }


def test_mmsu_as_its_script_has_it(bench: Bench) -> None:
    """Section 4: a missing key is an empty string, which reuses the letter held; null is left out."""
    records = [
        mmsu("a", response="B"),
        mmsu("b", response=None),
        mmsu("c"),
        mmsu("d", right="A"),
        mmsu("e", response=""),
    ]
    done = score(bench, records, MMSU, "official")
    found = result(bench.tmp / "official", MMSU)
    assert (found["n"], found["n_scored"], found["n_errors"], found["value"]) == (5, 4, 0, 75.0), done.said
    assert found["touched"] == {EXCLUDED: 1, STALE: 3}
    everything = result(bench.tmp / "official", MMSU, "official_all")
    assert (everything["value"], everything["n_scored"], everything["touched"]) == (20.0, 5, {MISSING: 3})
    assert result(bench.tmp / "official", MMSU, "letter_aware")["value"] == 20.0
    assert "mmsu/all: 3 predictions lack their answer, and official scores something in its place" in done.err


def test_strict_takes_a_missing_answer_for_wrong(bench: Bench) -> None:
    records = [mmsu("a", response="B"), mmsu("b", response=None), mmsu("c"), mmsu("d", response="")]
    assert score(bench, records, MMSU, "strict").code == 0
    found = result(bench.tmp / "strict", MMSU)
    assert (found["n"], found["n_scored"], found["value"], found["touched"]) == (4, 4, 25.0, {MISSING: 2})


def mmau(key: str, **given: object) -> dict[str, Any]:
    return {"id": key, "question": "?", "choices": ["dog", "cat"], "answer": "cat", "task": "sound", **given}


@pytest.mark.parametrize("given", [{}, {"model_output": None}], ids=["absent", "null"])
def test_mmau(bench: Bench, given: dict[str, Any]) -> None:
    """Skipped publicly: an error here, with bounds. Wrong by our rule."""
    records = [mmau("a", model_output="cat"), mmau("b", model_output=""), mmau("c", **given)]
    assert score(bench, records, MMAU, "official", "--format", "mmau").code == 1
    found = result(bench.tmp / "official", MMAU)
    assert (found["value"], found["n_errors"], found["touched"]) == (50.0, 1, {})
    assert found["bounds"] == pytest.approx([100 / 3, 200 / 3])
    assert score(bench, records, MMAU, "strict", "--format", "mmau").code == 0
    found = result(bench.tmp / "strict", MMAU)
    assert (found["value"], found["touched"]) == (pytest.approx(100 / 3), {MISSING: 1})


def test_mmau_by_kimis_judge(bench: Bench) -> None:
    """The word null is judged; its reply on record counts."""
    rows = [
        {"subset": "sound", "question": "?\n(A) dog (B) cat", "answer": "cat", "task_type": "mqa"}
        for _ in "abc"
    ]
    said: list[dict[str, Any]] = [{"prediction": "cat"}, {"prediction": None}, {}]
    verdicts = ("yes", "no", "no")
    records = [
        r | s | {"audio_path": f"{k}.wav", "judge_text": v}
        for k, (r, s, v) in enumerate(zip(rows, said, verdicts, strict=True))
    ]
    done = score(bench, records, MMAU, "kimi-evalkit", "--format", "kimi-audio-evalkit")
    found = result(bench.tmp / "kimi-evalkit", MMAU)
    assert done.code == 0 and (found["n_scored"], found["touched"]) == (3, {MISSING: 2}), done.said
    assert found["value"] == pytest.approx(100 / 3)
    assert answers(bench.tmp / "kimi-evalkit", MMAU) == {"0": "cat", "1": "null", "2": "null"}


def pro(key: str, category: str, **given: object) -> dict[str, Any]:
    row = {"id": key, "category": category, "question": "?", "length_type": "short", "choices": None}
    return (
        row | {"audio_path": [f"{key}.wav"], "answer": "cat", "task_identifier": None, "kwargs": None} | given
    )


def test_mmau_pro(bench: Bench) -> None:
    """Sections 4.1 and 4.3: rules see the word nan, which may pass; by ours it doesn't."""
    rule = {"task_identifier": "Number Words (at most)", "kwargs": {"N": 3}}
    records = [
        pro("a", "instruction following", **rule, model_output="one two three four"),
        pro("b", "instruction following", **rule, model_output=None),
        pro("c", "sound", choices=["dog", "cat"], model_output=None),
        pro("d", "open"),
    ]
    score(bench, records, PRO, "official")
    rules = result(bench.tmp / "official", PRO, "instruction_following")
    assert (rules["value"], rules["touched"]) == (50.0, {MISSING: 1})
    assert answers(bench.tmp / "official", PRO) == {"a": "one two three four", "b": "nan", "c": "", "d": ""}
    done = score(bench, records, PRO, "strict")
    found = result(bench.tmp / "strict", PRO)
    assert done.code == 0, done.said
    assert (found["value"], found["n_scored"], found["touched"]) == (0.0, 4, {MISSING: 3})


def test_voicebench_has_no_word_for_a_missing_answer(bench: Bench) -> None:
    """VoiceBench sheet section 4: Kimi's `null` stands for skipped audio there, and for nothing else."""
    records = [{"id": k, "row": {"prompt": "?"}, **t} for k, t in enumerate(({"text": "I can't help"}, {}))]
    for protocol in ("kimi-evalkit", "official"):
        score(bench, records, "voicebench/advbench", protocol)
        assert result(bench.tmp / protocol, "voicebench/advbench")["n_errors"] == 1


def of_smoke(bench: Bench) -> tuple[Path, list[object]]:
    """Predictions for three of the four smoke items of MMAU, two of them without an answer."""
    given = [
        {"id": "smoke-knocks", "text": "Somebody knocks on a door"},
        {"id": "smoke-scale", "text": None},
        {"id": "smoke-market"},
    ]
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in given), encoding="utf-8")
    return path, ["--task", MMAU, "--data-dir", SMOKE, "--no-report"]


def test_a_run_from_the_file_agrees_and_a_missing_record_stays_an_error(bench: Bench) -> None:
    """`run --model replay/FILE` scores the same; a sample that the file has no line for was never scored publicly."""
    path, args = of_smoke(bench)
    args += ["--protocol", "strict"]
    one = bench.here("score", path, *args, "--out", bench.tmp / "a")
    two = bench.here("run", "--model", f"replay/{path}", *args, "--out", bench.tmp / "b")
    found = [result(bench.tmp / x, MMAU) for x in "ab"]
    assert found[0] | {"ci": 0} == found[1] | {"ci": 0}, (one.said, two.said)
    assert (found[0]["n_scored"], found[0]["n_errors"], found[0]["touched"]) == (3, 1, {MISSING: 2})
    assert all("2 predictions lack their answer" in done.err for done in (one, two))
    said = {"smoke-knocks": "Somebody knocks on a door", "smoke-scale": "", "smoke-market": ""}
    assert answers(bench.tmp / "b", MMAU) == said
    before = (bench.tmp / "b/results.json").read_bytes()
    bench.here("run", "--model", f"replay/{path}", *args, "--out", bench.tmp / "b")
    assert (bench.tmp / "b/results.json").read_bytes() == before


def test_the_word_of_one_protocol_is_no_answer_under_another(bench: Bench) -> None:
    """Scored again into the same place under a protocol without such a word, the prediction is an error again."""
    path, args = of_smoke(bench)
    for protocol, errors in (("strict", 1), ("official", 3), ("strict", 1)):
        words = ["run", "--model", f"replay/{path}", *args, "--protocol", protocol]
        done = bench.here(*words, "--out", bench.tmp / "a")
        assert result(bench.tmp / "a", MMAU)["n_errors"] == errors, done.said


def test_each_protocol_has_its_own_word(bench: Bench) -> None:
    """Run again under a protocol that says something else in the model's place, the first one's word is not judged."""
    path = bench.tmp / "p.jsonl"
    path.write_text(json.dumps({"id": "smoke-5", "text": None}) + "\n", encoding="utf-8")
    common = ["--task", PRO, "--data-dir", SMOKE, "--no-report"]
    for protocol, word, value in (
        ("official", "nan", 100.0),
        ("strict", "", 0.0),
        ("official", "nan", 100.0),
    ):
        for way in (["score", path], ["run", "--model", f"replay/{path}"]):
            out = bench.tmp / str(way[0])
            done = bench.here(*way, *common, "--protocol", protocol, "--out", out)
            assert answers(out, PRO) == {"smoke-5": word}, done.said
            assert result(out, PRO, "instruction_following")["value"] == value
