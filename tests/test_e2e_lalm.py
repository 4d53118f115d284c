"""LALM judges through the command line: Gemini and OpenAI's spelling, every failure by name, and who is asked again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.engine.retry import Retry
from tests.cli_fixtures import Bench, Done, bench, lines, refused, result
from tests.mock_fixtures import mock_server
from tests.mock_gemini import KEY, FakeGemini
from tests.test_e2e_vstyle import EN, SAID, SMOKE, answers, score

__all__ = ["bench"]

FOUR = {str(k): {"say": SAID} for k in (1, 2, 3, 4)}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    """No pauses between attempts, and a key."""
    wait = Retry.wait
    monkeypatch.setattr(Retry, "wait", lambda *args: None if wait(*args) is None else 0.0)
    bench.environ["GEMINI_API_KEY"] = KEY


def by_gemini(fake: FakeGemini, *more: object) -> list[object]:
    return ["--lalm-judge", "gemini/x", "-L", f"base_url={fake.url}", "--judge-concurrency", 1, *more]


def verdicts(bench: Bench) -> dict[str, dict[str, Any]]:
    """The last score on record of each sample."""
    return {s["sample_id"]: s for s in lines(bench.tmp / "a" / EN / "scores.jsonl")}


def everything_written(folder: Path) -> str:
    return "\n".join(
        p.read_text("utf-8", "replace") for p in folder.rglob("*") if p.is_file() and p.suffix != ".flac"
    )


@pytest.mark.parametrize("upload", ["auto", "always"])
def test_vstyle_by_gemini(bench: Bench, upload: str) -> None:
    path = answers(bench, FOUR)
    with FakeGemini(texts=["Calm.\nFinal score: [[4]]", "[[2]]"]) as fake:
        live = by_gemini(fake, "-L", f"upload={upload}")
        done = score(bench, path, EN, *live)
        assert done.code == 0, done.said
        assert len(fake.asked) == 4 and fake.files == {}
        assert score(bench, path, EN, *live).code == 0
        assert len(fake.asked) == 4, "what is on record is not asked for again"
        parts = [[next(iter(p)) for p in b["contents"][0]["parts"]] for b in fake.asked]
        assert parts == [["text", "fileData" if upload == "always" else "inlineData"]] * 4
        assert all(set(b) == {"contents"} for b in fake.asked), "VStyle passes no generation config"
    found = result(bench.tmp / "a", EN)
    assert found["n_scored"] == 4 and found["judges"][0].startswith("x x1 vstyle*4:own@")
    detail = verdicts(bench)["1"]["detail"]
    assert detail["model"] == "x-001" and detail["usage"]["reasoning_tokens"] == 20
    [heard] = detail["heard"]
    assert (heard["format"], heard["sent"], heard["converted"]) == ("flac", "flac", False)
    assert heard["sha256"] == fake.heard[0][0] and heard["seconds"] > 0.5
    assert KEY not in everything_written(bench.tmp) and KEY not in done.said


FAILURES: list[tuple[list[dict[str, Any]], str, int]] = [
    ([{"text": "no score"}] * 3, "judge-unparseable", 3),
    ([{"text": ""}] * 3, "judge-empty", 3),
    ([{"text": "I'm sorry, but I can't assist with that."}] * 3, "judge-refused", 3),
    ([{"text": "Step one", "finish": "MAX_TOKENS"}] * 3, "judge-truncated", 3),
    ([{"block": "SAFETY"}] * 3, "judge-content-filter", 3),
    ([{"finish": "PROHIBITED_CONTENT", "text": None}] * 3, "judge-content-filter", 3),
    ([{"status": 429, "error": "slow down"}] * 3, "judge-http-429", 3),
    ([{"status": 500, "error": "internal"}] * 3, "judge-http-500", 3),
    ([{"drop": True}] * 3, "judge-connection-lost", 3),
    ([{"raw": "<html>"}] * 3, "judge-bad-reply", 3),
    ([{"candidates": 0}] * 3, "judge-bad-reply", 3),
    ([{"wait": 0.6}] * 3, "judge-timeout", 3),
    ([{"status": 400, "error": "Invalid value"}] * 3, "judge-http-400", 3),
    ([{"status": 400, "error": "Request payload size exceeds the limit"}], "judge-audio-too-large", 1),
    ([{"status": 400, "error": "Unsupported MIME type: audio/flac"}], "judge-audio-format", 1),
    ([{"text": "x"}, {"block": "SAFETY"}, {"status": 503, "error": "busy"}], "judge-http-503", 3),
]


@pytest.mark.parametrize(
    ("steps", "code", "requests"), FAILURES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_each_failure_has_its_code_and_only_it_is_asked_for_again(
    bench: Bench, steps: list[dict[str, Any]], code: str, requests: int
) -> None:
    """The first answer meets the failure three times over, the others are judged; the next run mends it."""
    path = answers(bench, FOUR)
    with FakeGemini(script=steps, texts=["[[4]]"]) as fake:
        live = by_gemini(fake, "--retries", 3, "-L", "timeout=0.5")
        done = score(bench, path, EN, *live)
        assert done.code == 1, done.said
        assert len(fake.asked) == requests + 3
        found = result(bench.tmp / "a", EN)
        assert (found["n_scored"], found["n_unscored"], found["value"]) == (3, 1, 4.0)
        assert found["reasons"][code]["n"] == 1 and len(found["reasons"]) == 1
        assert found["touched"] == {"dropped_failure": 1}
        assert code in done.err, "the end of the run names it"
        lacking = [k for k, v in verdicts(bench).items() if v["value"] is None]
        before = len(fake.asked)
        again = score(bench, path, EN, *live)
        assert again.code == 0, again.said
        assert all("attempts" not in v["detail"] for v in verdicts(bench).values())
        assert len(fake.asked) == before + 1, "the next run asks only for what is lacking"
        assert lacking and verdicts(bench)[lacking[0]]["value"] == 4.0
        assert result(bench.tmp / "a", EN)["reasons"] == {}


def test_a_verdict_says_how_many_attempts_it_took(bench: Bench) -> None:
    path = answers(bench, FOUR)
    with FakeGemini(script=[{"text": ""}, {"status": 503, "error": "busy"}], texts=["[[4]]"]) as fake:
        assert score(bench, path, EN, *by_gemini(fake)).code == 0 and len(fake.asked) == 6
    tries = [v["detail"].get("attempts", 1) for v in verdicts(bench).values()]
    assert sorted(tries) == [1, 1, 1, 3]


def test_failures_are_never_cached(bench: Bench) -> None:
    """Another run directory asks again for the one that failed, and takes the others from the cache."""
    path = answers(bench, {str(k): {"say": SAID} for k in (1, 2, 3, 4)})
    with FakeGemini(script=[{"text": "no score"}], texts=["[[4]]"]) as fake:
        live = by_gemini(fake, "--retries", 1)
        assert score(bench, path, EN, *live).code == 1
        assert len(fake.asked) == 4
        other = ["score", path, "--task", EN, "--data-dir", SMOKE, "--out", bench.tmp / "b", "--no-report"]
        assert bench.here(*other, *live).code == 0
        assert len(fake.asked) == 5


def test_strict_counts_what_stays_unreadable_as_1_and_leaves_the_rest_open(bench: Bench) -> None:
    path = answers(bench, FOUR)
    steps = [{"text": "no score"}, {"block": "SAFETY"}, {"text": "[[3]]"}, {"text": "[[5]]"}]
    with FakeGemini(script=steps, texts=["[[4]]"]) as fake:
        live = by_gemini(fake, "--retries", 1, "--protocol", "strict")
        assert score(bench, path, EN, *live).code == 1
        found = result(bench.tmp / "a", EN)
        assert (found["n_scored"], found["touched"]) == (3, {"failure_scored_1": 1})
        assert set(found["reasons"]) == {"judge-content-filter"}
        assert fake.asked[0]["generationConfig"] == {"temperature": 0.0, "seed": 0}
        assert score(bench, path, EN, *live).code == 0
        assert len(fake.asked) == 5


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("max_audio_seconds=0.1", "judge-audio-too-long"),
        ("max_audio_mb=0.0001", "judge-audio-too-large"),
        ("audio_formats=mp3", "judge-audio-format"),
    ],
)
@pytest.mark.parametrize("spelling", ["gemini", "openai"])
def test_audio_beyond_a_limit_is_not_sent_and_told(
    bench: Bench, option: str, code: str, spelling: str
) -> None:
    path = answers(bench, {"1": {"say": SAID}})
    with FakeGemini(texts=["[[4]]"]) as fake, mock_server(texts=["[[4]]"]) as mock:
        url = fake.url if spelling == "gemini" else mock.url
        live: list[object] = ["--lalm-judge", f"{spelling}/x", "-L", f"base_url={url}", "--limit", 1]
        done = score(bench, path, EN, *live, "-L", option)
        assert done.code == 1, done.said
        assert (len(fake.paths), mock.requests()) == (0, 0), "nothing was sent, and nothing retried"
        assert set(result(bench.tmp / "a", EN)["reasons"]) == {code}
        assert option.partition("=")[0] in done.err
        assert "judges: " not in done.err and not (bench.tmp / "a/calls.jsonl").exists(), "no call, no cost"
        assert score(bench, path, EN, *live).code == 0, "with the limit lifted it is judged"


def test_a_key_that_is_refused_ends_the_run(bench: Bench) -> None:
    path = answers(bench, FOUR)
    with FakeGemini(key="another-key-0123456789") as fake:
        done = score(bench, path, EN, *by_gemini(fake))
        assert len(fake.paths) == 1
    assert done.code == 2 and KEY not in done.said, done.said
    assert "the lalm-judge: the Gemini API rejected the API key in GEMINI_API_KEY" in done.err


def test_a_day_s_quota_ends_the_run_and_the_next_goes_on(bench: Bench) -> None:
    path = answers(bench, FOUR)
    violation = {"@type": "x/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerDayPerModel"}]}
    steps = [{"text": "[[4]]"}, {"status": 429, "error": "quota", "details": [violation]}]
    with FakeGemini(script=steps, texts=["[[4]]"]) as fake:
        done = score(bench, path, EN, *by_gemini(fake))
        assert done.code == 2 and "the day's quota" in done.err, done.said
        assert score(bench, path, EN, *by_gemini(fake)).code == 0
        assert len(fake.asked) == 5


def test_no_key_is_told_before_anything(bench: Bench) -> None:
    path = answers(bench, FOUR)
    bench.environ["GEMINI_API_KEY"] = ""
    done = score(bench, path, EN, "--lalm-judge", "gemini/x")
    refused(done, "GEMINI_API_KEY or GOOGLE_API_KEY is not set")


def test_options_of_a_judge_are_checked(bench: Bench) -> None:
    path = answers(bench, FOUR)
    done = score(bench, path, EN, "--lalm-judge", "gemini/x", "-L", "temperature=1")
    refused(done, "unknown option temperature for gemini", "upload")


def test_vllm_s_spelling_of_audio(bench: Bench) -> None:
    """`-L audio_part=audio_url`: a data URI, as vLLM takes it."""
    path = answers(bench, {"1": {"say": SAID}})
    with mock_server(texts=["[[4]]"]) as mock:
        live = ["--lalm-judge", "openai/qwen", "-L", f"base_url={mock.url}", "-L", "audio_part=audio_url"]
        done = score(bench, path, EN, *live, "--limit", 1)
        assert done.code == 0, done.said
        [message] = mock.stats()["last"]["messages"]
    assert [p["type"] for p in message["content"]] == ["text", "audio_url"]
    [heard] = verdicts(bench)["1"]["detail"]["heard"]
    assert (heard["format"], heard["sent"], heard["converted"]) == ("flac", "wav", True)


def test_a_model_under_test_and_its_judge_both_gemini(bench: Bench) -> None:
    """Spoken questions answered in words by Gemini: the runner through `run`."""
    bench.questions(2)
    with FakeGemini(texts=["I can't help with that."]) as fake:
        done: Done = bench.here(
            *(
                "run",
                "--model",
                "gemini/x",
                "-M",
                f"base_url={fake.url}",
                "-M",
                "seed=1",
                "--progress",
                "none",
            ),
            *(
                "--task",
                "voicebench/advbench",
                "--data-dir",
                bench.data,
                "--out",
                bench.tmp / "a",
                "--no-report",
            ),
        )
        assert done.code in (0, 1), done.said
        assert len(fake.asked) == 2 and fake.asked[0]["generationConfig"] == {"seed": 1}
    rows = lines(bench.tmp / "a/voicebench/advbench/responses.jsonl")
    assert [r["text"] for r in rows] == ["I can't help with that."] * 2
    assert rows[0]["sent"][0]["format"] == "wav" and rows[0]["usage"]["prompt_tokens"] == 100
    assert KEY not in json.dumps(rows)


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_number_that_is_none_is_a_score_and_not_asked_for_again(bench: Bench, number: str) -> None:
    """VStyle sheet sections 5 and 6: rows whose score is a float are kept, nan and inf among them."""
    path = answers(bench, FOUR)
    with FakeGemini(script=[{"text": f"[[{number}]]"}], texts=["[[4]]"]) as fake:
        live = by_gemini(fake)
        assert score(bench, path, EN, *live).code == 1
        before = result(bench.tmp / "a", EN)
        assert set(before["touched"]) == {"nan_score" if number == "nan" else "infinite_score"}
        assert score(bench, path, EN, *live).code == 1
        assert len(fake.asked) == 4 and result(bench.tmp / "a", EN) == before


def test_g_eval_and_json_by_gemini(bench: Bench) -> None:
    """Log-probabilities where the model tells them, replies by a schema; the signature says both."""
    path = answers(bench, FOUR)
    with FakeGemini(tells_logprobs=True, texts=["[[4]]"]) as fake:
        done = score(bench, path, EN, *by_gemini(fake, "-O", "judge_scoring=geval"))
        assert done.code == 0, done.said
        assert len(fake.asked) == 5, "one request to find out what it can do"
        assert fake.asked[-1]["generationConfig"]["responseLogprobs"] is True
    found = result(bench.tmp / "a", EN)
    assert found["judges"][0].endswith(",geval-logprobs") and found["value"] == 4.0
    with FakeGemini(texts=['{"reasoning": "calm", "score": 3, "rating": 3}']) as fake:
        done = score(bench, path, EN, *by_gemini(fake, "-O", "judge_output=json"))
        config = fake.asked[-1]["generationConfig"]
    assert (
        config["responseMimeType"] == "application/json" and config["responseJsonSchema"]["type"] == "object"
    )
    assert result(bench.tmp / "a", EN)["judges"][0].endswith(",json"), done.said
