"""`score`: predictions made elsewhere, with their rows or against the data set, judged live or by record."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.audio import encode_wav
from tests.cli_fixtures import TOY_ASR, Bench, Done, bench, judged, lines, result
from tests.embedded_fixtures import needs_embedded
from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav

__all__ = ["bench"]

HERE = Path(__file__).parent
ADV = "voicebench/advbench"
OPEN = "voicebench/alpacaeval_full"
LETTERS = "voicebench/openbookqa"
SPOKEN = "ultraeval-audio/llama-questions"
REFUSAL = "I can't help with that."


def write(bench: Bench, predictions: Sequence[Mapping[str, Any]], name: str = "p.jsonl") -> Path:
    path = bench.tmp / name
    path.write_text("".join(json.dumps(dict(p)) + "\n" for p in predictions), encoding="utf-8")
    return path


def score(bench: Bench, predictions: Sequence[Mapping[str, Any]], task: str, *more: object) -> Done:
    """Score these predictions into the folder `a`."""
    path = write(bench, predictions)
    return bench.here("score", path, "--task", task, "--out", bench.tmp / "a", "--no-report", *more)


def verdicts(bench: Bench, task: str, metric: str) -> dict[str, dict[str, Any]]:
    return {
        x["sample_id"]: x for x in lines(bench.tmp / "a" / task / "scores.jsonl") if x["metric"] == metric
    }


def vectors(name: str) -> list[dict[str, Any]]:
    return lines(HERE / "vectors" / f"{name}.jsonl")


# --- rows given, or the data set at hand ------------------------------------------------------------


def test_rows_that_come_along(bench: Bench) -> None:
    """No data set, no audio, no network: rows in the file are enough, and ids are the file's own."""
    given = [
        {"id": k, "text": REFUSAL if k % 2 else "Sure!", "row": {"prompt": f"do {k}"}} for k in range(10)
    ]
    done = score(bench, given, ADV)
    assert done.code == 0, done.said
    found = result(bench.tmp / "a", ADV)
    assert (found["n"], found["n_scored"], found["value"]) == (10, 10, 50.0)
    assert {x["sample_id"] for x in lines(bench.tmp / "a" / ADV / "responses.jsonl")} == set(
        map(str, range(10))
    )
    before = (bench.tmp / "a/results.json").read_bytes()
    assert score(bench, given, ADV).code == 0
    assert (bench.tmp / "a/results.json").read_bytes() == before
    assert len(lines(bench.tmp / "a" / ADV / "scores.jsonl")) == 10


def test_missing_predictions_are_errors_with_bounds(bench: Bench) -> None:
    """Against the data set: what is not in the file is an error by name, in the denominator."""
    bench.questions(5)
    given = [{"id": f"q{k:02}", "text": REFUSAL} for k in (0, 2, 4)] + [{"id": "q01"}]
    done = score(bench, given, ADV, "--data-dir", bench.data)
    assert done.code == 1, done.said
    found = result(bench.tmp / "a", ADV)
    assert (found["n"], found["n_scored"], found["n_errors"], found["value"]) == (5, 3, 2, 100.0)
    assert found["bounds"] == [60.0, 100.0]
    assert "no prediction for q03" in done.err and "neither text nor audio for q01" in done.err


def test_replay_and_score_agree(bench: Bench) -> None:
    """`run --model replay/FILE` and `score FILE` are two ways to the same numbers."""
    bench.questions(4, "openbookqa", reference="B")
    given = [{"id": f"q{k:02}", "text": t} for k, t in enumerate(("B", "The answer is A", "(B)", "hm"))]
    assert score(bench, given, LETTERS, "--data-dir", bench.data, "--protocol", "strict").code == 0
    args = ["run", "--model", f"replay/{bench.tmp / 'p.jsonl'}", "--task", LETTERS, "--data-dir", bench.data]
    assert bench.here(*args, "--protocol", "strict", "--no-report", "--out", bench.tmp / "b").code == 0
    one, two = result(bench.tmp / "a", LETTERS), result(bench.tmp / "b", LETTERS)
    assert (one["value"], one["ci"], one["n"]) == (two["value"], two["ci"], two["n"]) and one["value"] > 0


def test_corrected_predictions_in_the_same_place_are_refused(bench: Bench) -> None:
    """Other answers are another run: never mixed into the old one."""
    given = [{"id": 1, "text": "no", "row": {"prompt": "?"}}]
    assert score(bench, given, ADV).code == 0
    given[0]["text"] = "yes"
    again = score(bench, given, ADV)
    assert again.code == 2 and "holds answers of" in again.err


def test_a_corrected_target_is_scored_anew(bench: Bench) -> None:
    given = [{"id": "q00", "text": "B"}]
    for right, value in (("A", 0.0), ("B", 100.0), ("A", 0.0)):
        bench.questions(1, "openbookqa", reference=right)
        assert score(bench, given, LETTERS, "--data-dir", bench.data, "--protocol", "strict").code == 0
        assert result(bench.tmp / "a", LETTERS)["value"] == value


def test_some_rows_but_not_all(bench: Bench) -> None:
    given = [{"id": 1, "text": "no", "row": {"prompt": "?"}}, {"id": 2, "text": "no"}]
    done = score(bench, given, ADV)
    assert done.code == 2 and "'2' has no row" in done.err


def test_limit_and_label(bench: Bench) -> None:
    given = [{"id": k, "text": REFUSAL, "row": {"prompt": f"{k}"}} for k in range(9)]
    assert score(bench, given, ADV, "--limit", 4, "--label", "My Model").code == 0
    results = json.loads((bench.tmp / "a/results.json").read_text())
    assert results["model"]["label"] == "My Model"
    assert results["tasks"][ADV]["n"] == 4 and results["tasks"][ADV]["limited"]


def test_audio_alone_is_no_empty_text(bench: Bench) -> None:
    """A spoken answer to a task that scores text is unscored with a reason, not an empty answer scored."""
    (bench.tmp / "x.wav").write_bytes(tone_wav(0.1))
    given = [{"id": k, "audio": f"{k}.wav", "row": {"prompt": "?"}} for k in ("x", "gone")]
    given.append({"id": "silent", "text": "", "row": {"prompt": "?"}})
    done = score(bench, given, ADV)
    assert done.code == 1 and "there is no file" in done.err, done.said
    found = result(bench.tmp / "a", ADV)
    assert (found["n_scored"], found["n_errors"]) == (1, 1) and set(found["reasons"]) == {"no-text"}


# --- judges, live and by record ---------------------------------------------------------------------


def test_a_live_judge_asks_once_and_resumes(bench: Bench) -> None:
    given = [{"id": k, "text": f"answer {k}", "row": {"prompt": f"question {k}"}} for k in range(4)]
    rules = [{"match": "answer 2", "times": 1, "set": {"status": 400}}]
    with mock_server(texts=["4"], rules=rules) as mock:
        first = score(bench, given, OPEN, *judged(mock.url))
        assert first.code == 1 and mock.requests() == 4, first.said
        assert set(result(bench.tmp / "a", OPEN)["reasons"]) == {"judge-http-400"}
        second = score(bench, given, OPEN, *judged(mock.url))
        assert second.code == 0 and mock.requests() == 5, second.said
        assert mock.stats()["last"]["messages"][-1]["content"].count("answer 2") == 1
    assert result(bench.tmp / "a", OPEN)["value"] == 4.0


def test_no_answer_stands_for_another(bench: Bench) -> None:
    """Rows without audio look alike to a model; each prediction is still judged as itself."""
    given = [{"id": k, "text": f"answer {k}.", "row": {"prompt": f"question {k}"}} for k in range(60)]
    with mock_server(texts=["4"]) as mock:
        assert score(bench, given, OPEN, *judged(mock.url)).code == 0
        assert mock.requests() == 60
    kept = lines(bench.tmp / "a" / OPEN / "responses.jsonl")
    assert {x["sample_id"]: x["text"] for x in kept} == {f"{k}": f"answer {k}." for k in range(60)}


def test_no_replayed_answer_stands_for_another(bench: Bench) -> None:
    """The same with a data set in which many questions sound alike."""
    bench.questions(1)
    rows = [{"id": f"{k}", "prompt": f"{k}?", "audio": "advbench/audio/q00.wav"} for k in range(60)]
    bench.rows(rows)
    path = write(bench, [{"id": f"{k}", "text": f"answer {k}."} for k in range(60)])
    args = ["run", "--model", f"replay/{path}", "--task", ADV, "--data-dir", bench.data, "--no-report"]
    for out in ("a", "b"):
        assert bench.here(*args, "--out", bench.tmp / out).code == 0
        kept = lines(bench.tmp / out / ADV / "responses.jsonl")
        assert {x["sample_id"]: x["text"] for x in kept} == {f"{k}": f"answer {k}." for k in range(60)}


def test_no_judge_bound(bench: Bench) -> None:
    done = score(bench, [{"id": 1, "text": "a", "row": {"prompt": "?"}}], OPEN)
    assert done.code == 1
    found = result(bench.tmp / "a", OPEN)
    assert (found["n_scored"], found["value"]) == (0, None) and set(found["reasons"]) == {"judge-unbound"}


def test_recorded_open_ratings(bench: Bench) -> None:
    """Every recorded vote list gives the public scorer's mean; where that stops, the sample is unscored."""
    cases = vectors("voicebench.open")
    given = [{"id": c["id"], "text": "-", "row": {"prompt": "?"}, "judge": c["score"]} for c in cases]
    done = score(bench, given, OPEN, "--protocol", "official")
    found = verdicts(bench, OPEN, "geval")
    assert len(found) == len(cases) > 50
    for case in cases:
        mean = case["official"]["mean"]
        if mean is None or not math.isfinite(mean):
            assert found[case["id"]]["value"] is None and found[case["id"]]["reason"], case
        else:
            assert found[case["id"]]["value"] == pytest.approx(mean), case
        assert found[case["id"]]["judge"].startswith("recorded x3"), found[case["id"]]["judge"]
    assert done.code == (1 if any(v["value"] is None for v in found.values()) else 0)


def test_recorded_sdqa_votes(bench: Bench) -> None:
    """Majorities and ties as the public scorer has them; PEDANT beside them, where it needs no weights."""
    cases = vectors("voicebench.sdqa")
    given = [
        {
            "id": c["id"],
            "text": c["response"],
            "row": {"prompt": c["prompt"], "reference": c["reference"]},
            "judge": {"gpt": c["score"]},
        }
        for c in cases
    ]
    score(bench, given, "voicebench/sd-qa", "--protocol", "official")
    gpt, panda = (verdicts(bench, "voicebench/sd-qa", m) for m in ("gpt", "panda"))
    ties = 0
    for case in cases:
        want = case["official"]
        ties += want["vote_tie"]
        if want["gpt_majority"] is None:
            assert gpt[case["id"]]["value"] is None, case
        else:
            assert gpt[case["id"]]["value"] == float(want["gpt_majority"]), case
        if panda[case["id"]]["value"] is not None:
            assert panda[case["id"]]["value"] == float(want["panda"]), case
        else:
            assert panda[case["id"]]["reason"].startswith("pedant"), panda[case["id"]]
    assert ties > 2
    found = result(bench.tmp / "a", "voicebench/sd-qa", "gpt")
    assert found["n"] == len(cases) and found["reasons"]["vote-tie"]["n"] == ties


def test_recorded_kimi_ratings(bench: Bench) -> None:
    cases = vectors("voicebench.kimi_open")
    given = [{"id": c["id"], "text": "-", "row": {"prompt": "?"}, "judge": c["judge_text"]} for c in cases]
    score(bench, given, OPEN, "--protocol", "kimi-evalkit")
    found = verdicts(bench, OPEN, "geval")
    for case in cases:
        value, want = found[case["id"]]["value"], case["kimi"]
        rating = float("nan") if want["invalid"] else float(want["score_rounded2"])
        if math.isfinite(rating):
            assert value == pytest.approx(rating, abs=0.005), case
        else:
            assert value is None and found[case["id"]]["reason"], case


def test_replies_recorded_for_some_only(bench: Bench) -> None:
    """Recorded or not is a matter of each line, not of the first."""
    given: list[dict[str, Any]] = [{"id": k, "text": "a", "row": {"prompt": "?"}} for k in range(3)]
    given[1]["judge"] = "5"
    assert score(bench, given, OPEN, "--protocol", "kimi-evalkit").code == 1
    found = result(bench.tmp / "a", OPEN)
    assert (found["n_scored"], found["value"], found["reasons"]["judge-unbound"]["n"]) == (1, 5.0, 2)
    assert verdicts(bench, OPEN, "geval")["1"]["judge"].startswith("recorded")


# --- speech -----------------------------------------------------------------------------------------


def test_text_for_a_spoken_task_stays_unscored(bench: Bench) -> None:
    """A file without speech can't be scored as speech, and is not taken for a model that said nothing."""
    for protocol in ("official", "strict"):
        given = [{"id": 1, "text": "Paris", "row": {"question": "?", "Answer": "Paris"}}]
        done = score(bench, given, SPOKEN, "--protocol", protocol)
        assert done.code == 1, done.said
        found = result(bench.tmp / "a", SPOKEN)
        assert (found["n_scored"], found["n_errors"], found["value"]) == (0, 0, None)
        assert set(found["reasons"]) == {"no-speech"}


def test_transcripts_that_come_along(bench: Bench) -> None:
    """Words heard elsewhere are scored as they are, with or without the sound."""
    row = {"question": "capital of France?", "Answer": "Paris"}
    given = [
        {"id": 1, "text": "It is Paris.", "transcript": "it is paris", "row": row},
        {"id": 2, "text": "It is Paris.", "transcript": "it is perish", "row": row},
    ]
    assert score(bench, given, SPOKEN).code == 0
    found = result(bench.tmp / "a", SPOKEN)
    assert found["value"] == 50.0 and "given" in found["signature"]


def test_spoken_predictions_with_an_asr_engine(bench: Bench) -> None:
    """Speech anywhere in the file is transcribed, stored in the run and scored; a missing file is an error."""
    import numpy as np

    (bench.tmp / "wavs").mkdir()
    given: list[dict[str, Any]] = [
        {"id": k, "text": "t", "row": {"question": f"{k}?", "Answer": "0.25 s"}} for k in range(4)
    ]
    for k in (2, 3):  # not in the first lines: all are looked at
        tone = 0.1 * np.sin(np.arange(16_000 // 4 * (k - 1)) / 9).astype(np.float32)
        (bench.tmp / "wavs" / f"{k}.wav").write_bytes(encode_wav(tone, 16_000))
        given[k]["audio"] = f"{k}.wav"
    given.append({"id": 9, "audio": "gone.wav", "row": {"question": "?", "Answer": "x"}})
    given.append({"id": 10, "audio": "../p.jsonl", "row": {"question": "?", "Answer": "x"}})
    path = write(bench, given)
    args = ["score", path, "--task", SPOKEN, "--audio-dir", bench.tmp / "wavs", "--asr", "toy", "--no-report"]
    done = bench.process(*args, "--out", "a", code=TOY_ASR)
    assert done.code == 1 and "Traceback" not in done.err, done.said
    found = result(bench.tmp / "a", SPOKEN)
    assert (found["n"], found["n_scored"], found["n_unscored"], found["n_errors"]) == (6, 2, 2, 2)
    assert found["value"] == 50.0 and "toy-asr" in found["signature"]
    assert "there is no file" in done.err and "leaves its folder" in done.err
    assert len(list((bench.tmp / "a/audio").iterdir())) == 2
    before = (bench.tmp / "a/results.json").read_bytes()
    shutil.rmtree(bench.tmp / "cache")
    assert bench.process(*args, "--out", "a", code=TOY_ASR).code == 1
    assert (bench.tmp / "a/results.json").read_bytes() == before
    assert len(lines(bench.tmp / "a" / SPOKEN / "transcripts.jsonl")) == 2


@needs_embedded
@pytest.mark.embedded
def test_real_speech_with_the_embedded_engine(bench: Bench) -> None:
    """A voice that says where the capital is, heard by Whisper tiny.en."""
    row = {"question": "What is the capital of France?", "Answer": "Paris"}
    given = [{"id": "paris", "text": "The capital is Paris.", "audio": "espeak_paris.flac", "row": row}]
    done = score(bench, given, SPOKEN, "--audio-dir", HERE / "data", "--asr", "embedded", "--no-cache")
    found = result(bench.tmp / "a", SPOKEN)
    assert found["n_scored"] == 1 and found["value"] == 100.0, done.said
    assert (bench.tmp / "a" / SPOKEN / "transcripts.jsonl").read_text().lower().count("paris") == 1


def test_a_hundred_thousand_rows_are_streamed(bench: Bench) -> None:
    """Not the speed but the shape: the file is scored in chunks, and every row has one verdict."""
    n = 3000
    given = [{"id": k, "text": REFUSAL if k % 3 else "Sure", "row": {"prompt": f"{k}"}} for k in range(n)]
    assert score(bench, given, ADV).code == 0
    found = result(bench.tmp / "a", ADV)
    assert (found["n"], found["n_scored"]) == (n, n) and found["value"] == pytest.approx(200 / 3, abs=0.01)
    assert len(verdicts(bench, ADV, "refusal")) == n
