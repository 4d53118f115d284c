"""VStyle through the command line: recorded and live judgements of real speech, failures, retries, weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evalkit.audio import decode, encode_flac, encode_wav
from evalkit.records import Audio
from judges.lalm import DROPPED, SCORED_1
from tests.cli_fixtures import Bench, Done, bench, lines, result
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

SMOKE = Path(__file__).parent.parent / "benchmarks" / "smoke"
EN, ZH = "vstyle/en", "vstyle/zh"
WORDS = SMOKE / "zhanjun/VStyle/en/wav"


def answers(bench: Bench, given: Mapping[str, Mapping[str, Any]]) -> Path:
    """A predictions file with real speech (`say`: which smoke recording) and recorded replies (`judge`)."""
    rows = []
    for key, more in given.items():
        row: dict[str, Any] = {"id": key, **{k: v for k, v in more.items() if k != "say"}}
        if "say" in more:
            shutil.copy(WORDS / str(more["say"]), bench.tmp / f"{key}.mp3")
            row["audio"] = f"{key}.mp3"
        rows.append(row)
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def score(bench: Bench, path: Path, task: str = EN, *more: object) -> Done:
    out = bench.tmp / "a"
    return bench.here("score", path, "--task", task, "--data-dir", SMOKE, "--out", out, "--no-report", *more)


SAID = "acoustic_attributes-speed-1.mp3"


def test_recorded_replies_on_spoken_answers(bench: Bench) -> None:
    """Weights are shared out among the abilities there are; who is missing is told."""
    path = answers(
        bench,
        {
            str(k): {"say": SAID, "judge": f"Step by step.\nFinal score: [[{v}]]"}
            for k, v in enumerate((5, 4, 2, 3), 1)
        },
    )
    done = score(bench, path)
    assert done.code == 0, done.said
    found = result(bench.tmp / "a", EN)
    # speed 1/48, instruction/emotion 1/12, character 1/8, joy 1/16
    assert found["value"] == pytest.approx(
        (5 / 48 + 4 / 12 + 2 / 8 + 3 / 16) / (1 / 48 + 1 / 12 + 1 / 8 + 1 / 16)
    )
    assert (found["n"], found["n_scored"], len(found["strata_missing"])) == (4, 4, 12)
    assert "score is over the others, for want of a score in" in done.err
    entry = json.loads((bench.tmp / "a/results.json").read_text())["tasks"][EN]
    assert entry["groups"]["ability"]["role_play/character"]["score"]["value"] == 2.0
    assert entry["groups"]["category"]["empathy"]["score"]["value"] == 3.0
    assert found["judges"][0].startswith("recorded x1 vstyle*4:as-recorded ")
    # Of smoke data nobody expects every ability; of the benchmark, one does.
    whole = ["--data-dir", SMOKE / "zhanjun", "--out", bench.tmp / "b", "--no-report"]
    assert bench.here("score", path, "--task", EN, *whole).code == 1


@pytest.mark.parametrize(
    ("replies", "overall", "category"),
    [
        (("[[nan]]", "[[4]]", "[[4]]"), 4.0, 4.0),  # skipped by the mean of its ability
        (("[[nan]]", "[[nan]]", "[[4]]"), None, None),  # the mean of an ability is nan, and so all above it
        (("[[inf]]", "[[4]]", "[[4]]"), None, None),
    ],
)
def test_scores_that_are_no_numbers_reach_the_mean(
    bench: Bench, replies: tuple[str, ...], overall: float | None, category: float | None
) -> None:
    """VStyle sheet sections 5 and 7. Two answers to one ability, one to another, one to another category."""
    abilities = ("empathy/anger", "empathy/anger", "empathy/joy_excitement", "instruction/style")
    rows = [
        {"id": str(k), "text": "x", "judge": reply, "row": {"ability": a, "instruct_text": "y"}}
        for k, (a, reply) in enumerate(zip(abilities, (*replies, "[[4]]"), strict=True))
    ]
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    bench.here("score", path, "--task", EN, "--out", bench.tmp / "a", "--no-report")
    entry = json.loads((bench.tmp / "a/results.json").read_text())["tasks"][EN]
    assert entry["metrics"]["score"]["value"] == overall
    assert entry["groups"]["category"]["empathy"]["score"]["value"] == category
    assert entry["groups"]["category"]["instruction"]["score"]["value"] == 4.0


def test_abilities_without_a_weight_are_told(bench: Bench) -> None:
    """VStyle sheet sections 2 and 7: rows of other abilities are ignored by the weights."""
    rows = [
        {"id": str(k), "text": "x", "judge": f"[[{k}]]", "row": {"ability": a, "instruct_text": "y"}}
        for k, a in enumerate(("empathy/anger", "instruction/conversion", "singing/loud"), 2)
    ]
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = bench.here("score", path, "--task", EN, "--out", bench.tmp / "a", "--no-report")
    found = result(bench.tmp / "a", EN)
    assert (found["value"], found["n"]) == (2.0, 1)
    assert "score: 2 of 3 samples belong to nothing that has a weight in it" in done.err


def test_recorded_replies_without_any_sound(bench: Bench) -> None:
    path = answers(
        bench, {"1": {"judge": "[[4]]"}, "2": {"judge": ["nothing", "[[2]]"]}, "3": {"judge": "?"}}
    )
    done = score(bench, path)
    assert done.code == 1, done.said
    found = result(bench.tmp / "a", EN)
    assert (found["n"], found["n_scored"], found["n_errors"]) == (4, 2, 1)
    assert found["touched"] == {DROPPED: 1} and set(found["reasons"]) == {"judge-unparseable"}
    assert score(bench, path, EN, "--protocol", "strict").code == 1
    strict = result(bench.tmp / "a", EN)
    assert (strict["n_scored"], strict["touched"]) == (3, {SCORED_1: 1})


def test_written_answers_to_a_spoken_task(bench: Bench) -> None:
    path = answers(bench, {"1": {"text": "The kettle is on.", "judge": "[[5]]"}, "2": {"text": "Who?"}})
    assert score(bench, path).code == 1
    assert result(bench.tmp / "a", EN)["touched"] == {DROPPED: 1}
    assert score(bench, path, EN, "--protocol", "strict").code == 1
    strict = lines(bench.tmp / "a" / EN / "scores.jsonl")
    assert {s["sample_id"]: s["value"] for s in strict if s["value"] is not None} == {"1": 5.0, "2": 1.0}


def flac_digest(mp3: Path) -> str:
    """Digest of the answer as the run keeps it and as it is sent: FLAC on disk, wav on the wire."""
    samples, rate = decode(Audio(path=str(mp3)))
    kept, rate = decode(Audio(data=encode_flac(samples, rate)))
    return hashlib.sha256(encode_wav(kept, rate)).hexdigest()


def test_a_live_judge_is_played_prompt_then_user_then_reply(bench: Bench) -> None:
    path = answers(bench, {str(k): {"say": SAID} for k in (1, 2, 3, 4)})
    with mock_server(texts=["Good.\nFinal score: [[4]]"]) as mock:
        live = ["--lalm-judge", "openai/listener", "-L", f"base_url={mock.url}", "-O", "judge_user_audio=yes"]
        done = score(bench, path, EN, *live, "--judge-concurrency", 1)
        assert done.code == 0, done.said
        assert mock.requests() == 4
        [message] = mock.stats()["last"]["messages"]
        assert "temperature" not in mock.stats()["last"]
        again = score(bench, path, EN, *live)
        assert again.code == 0 and mock.requests() == 4
    assert [p["type"] for p in message["content"]] == ["text", "input_audio", "input_audio"]
    prompt, user, reply = message["content"]
    asked = {r["id"]: r for r in lines(SMOKE / "zhanjun/VStyle/en/metadata.jsonl")}
    last = next(r for r in asked.values() if r["instruct_text"] in prompt_text(prompt))
    mp3 = (SMOKE / "zhanjun/VStyle/en" / last["audio"]).read_bytes()
    assert user["input_audio"]["data"]["sha256"] == hashlib.sha256(mp3).hexdigest()
    assert user["input_audio"]["format"] == "mp3"
    assert reply["input_audio"]["data"]["sha256"] == flac_digest(WORDS / SAID)
    assert result(bench.tmp / "a", EN)["value"] == 4.0


def prompt_text(part: Mapping[str, Any]) -> str:
    return str(part["text"])


def test_unreadable_replies_are_asked_for_again_and_then_given_up(bench: Bench) -> None:
    path = answers(bench, {"1": {"say": SAID}})
    with mock_server(texts=["I can't tell."]) as mock:
        live = ["--lalm-judge", "openai/listener", "-L", f"base_url={mock.url}", "--limit", 1, "--retries", 2]
        assert score(bench, path, EN, *live).code == 1
        assert mock.requests() == 2
        assert result(bench.tmp / "a", EN)["touched"] == {DROPPED: 1}
        assert score(bench, path, EN, *live).code == 1
        assert mock.requests() == 4, "a failed judgement is asked for again by the next run"
        assert score(bench, path, EN, *live, "--protocol", "strict").code == 0
        assert result(bench.tmp / "a", EN)["touched"] == {SCORED_1: 1}
    [verdict] = [s for s in lines(bench.tmp / "a" / EN / "scores.jsonl") if s["value"] == 1.0]
    assert verdict["detail"]["replies"] == ["I can't tell."] and verdict["detail"]["attempts"] == 2


def test_chinese_by_its_own_rubrics(bench: Bench) -> None:
    path = answers(bench, {str(k): {"say": SAID, "judge": f"最终得分：[[{k}]]"} for k in (1, 2, 3)})
    assert score(bench, path, ZH).code == 0
    verdicts = lines(bench.tmp / "a" / ZH / "scores.jsonl")
    assert {v["detail"]["rubric"].partition(":")[0] for v in verdicts} == {
        "vstyle_acoustic_attributes_zh",
        "vstyle_instruction_zh",
        "vstyle_empathy_zh",
    }


def test_the_users_turn_is_fetched_again_after_the_model_was_asked(bench: Bench) -> None:
    """From parquet, whose bytes the engine drops once they were sent: the judge hears the same sound."""
    pq = pytest.importorskip("pyarrow.parquet", reason='needs pyarrow: pip install "evalkit[data]"')
    import pyarrow as pa

    mp3 = (WORDS / SAID).read_bytes()
    columns = {
        "id": [1],
        "ability": ["empathy/anger"],
        "instruct_text": ["Grr!"],
        "audio": [{"bytes": mp3, "path": "a.mp3"}],
    }
    folder = bench.data / "zhanjun/VStyle/en"
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "en-0000.parquet")
    with mock_server(texts=["Oh dear."], speak=0.5) as model, mock_server(texts=["[[4]]"]) as judge:
        speaker = ["run", "--model", "openai/m", "-M", f"base_url={model.url}", "--task", EN, "--limit", 1]
        ear = ["--lalm-judge", "openai/ear", "-L", f"base_url={judge.url}", "-O", "judge_user_audio=yes"]
        where = ["--data-dir", bench.data, "--out", bench.tmp / "a", "--no-report", "--progress", "none"]
        done = bench.here(*speaker, *ear, *where)
        assert done.code == 0, done.said
        [message] = judge.stats()["last"]["messages"]
    assert message["content"][1]["input_audio"]["data"]["sha256"] == hashlib.sha256(mp3).hexdigest()
    assert [p["type"] for p in message["content"]] == ["text", "input_audio", "input_audio"]
    [verdict] = lines(bench.tmp / "a" / EN / "scores.jsonl")
    users, reply = verdict["detail"]["heard"]
    assert verdict["value"] == 4.0 and users["sha256"] == hashlib.sha256(mp3).hexdigest()
    assert (users["format"], users["sent"], users["converted"]) == ("mp3", "mp3", False)
    assert (reply["format"], reply["sent"], reply["converted"], reply["seconds"]) == (
        "flac",
        "wav",
        True,
        0.5,
    )
    assert verdict["detail"]["model"] == "ear-served"
