"""`show TASK --run RUN`: from a number's signature to the prompt, word for word, and to the reply; nobody is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import Bench, bench, refused
from tests.judge_server import judge_server
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

TASK = "voicebench/commoneval"


@pytest.fixture
def scored(bench: Bench) -> Bench:
    """A run of three answers; what its judge was sent is in `sent.json`."""
    bench.questions(3, "commoneval")
    path = bench.tmp / "p.jsonl"
    texts = ["Fine.", "Two\nlines \x1b[31mred", "</s> hm"]
    path.write_text("".join(json.dumps({"id": f"q{k:02}", "text": t}) + "\n" for k, t in enumerate(texts)))
    with judge_server(lambda seen: f"{seen.number + 3}") as judge:
        assert score(bench, judge.url).code == 0
    (bench.tmp / "sent.json").write_text(json.dumps([s.prompt for s in judge.seen]))
    bench.environ["OPENAI_API_KEY"] = ""
    return bench


def score(bench: Bench, url: str, *more: object) -> Any:
    who = ("--judge", "openai/j", "-J", f"base_url={url}", "--no-cache", "--judge-concurrency", 1)
    common = ("--task", TASK, "--data-dir", bench.data, "--out", bench.tmp / "run", "--no-report")
    return bench.here("score", bench.tmp / "p.jsonl", *common, *who, *more)


def shown(bench: Bench, *more: object, task: str = TASK, data: object = None) -> list[dict[str, Any]]:
    done = bench.here(
        "show", task, "--run", bench.tmp / "run", "--data-dir", data or bench.data, "--json", *more
    )
    assert done.code == 0, done.said
    return [json.loads(line) for line in done.out.splitlines()]


def test_every_message_is_the_one_that_was_sent(scored: Bench) -> None:
    before = sorted(p.relative_to(scored.tmp) for p in (scored.tmp / "run").rglob("*"))
    rows = shown(scored)
    sent = json.loads((scored.tmp / "sent.json").read_text())
    assert [r["sample_id"] for r in rows] == ["q00", "q01", "q02"]
    for row in rows:
        [judge] = row["judges"]
        [request] = judge["sent"]
        assert "\n".join(m["content"] for m in request["messages"]) in sent
        assert judge["on_record"] and judge["judge"].startswith("j x1 voicebench_open:own@")
        assert request["temperature"] == 0.5
        [verdict] = judge["verdicts"]
        assert verdict["replies"] == [f"{verdict['value']:g}"] and verdict["model"] == "scripted"
    assert sorted(p.relative_to(scored.tmp) for p in (scored.tmp / "run").rglob("*")) == before, (
        "nothing is written"
    )


def test_in_words(scored: Bench) -> None:
    done = scored.here(
        "show", TASK, "--run", scored.tmp / "run", "--data-dir", scored.data, "--sample", "q01"
    )
    assert done.code == 0, done.said
    assert "q01  (voicebench/commoneval, protocol kimi-evalkit)" in done.out and "q00" not in done.out
    assert "question number 01?" in done.out and "\n            lines" in done.out and "\x1b" not in done.out
    assert "  reply     4" in done.out or "  reply     3" in done.out or "  reply     5" in done.out


def test_another_way_to_judge_is_not_said_to_be_on_record(scored: Bench) -> None:
    for more in (("--judge", "openai/other"), ("-O", "judge_scoring=geval"), ("-O", "judge_output=json")):
        [row] = shown(scored, "--sample", "q00", *more)
        [judge] = row["judges"]
        assert judge["sent"] and not judge["on_record"] and len(judge["verdicts"]) == 1
    assert judge["sent"][0]["schema"]["properties"]
    folder = scored.tmp / "mine"
    folder.mkdir()
    text = scored.here("prompts", "show", "voicebench_open").out
    (folder / "voicebench_open.j2").write_text(text.rstrip() + "\nBe kind.\n")
    [row] = shown(scored, "--sample", "q00", "--prompts", folder)
    assert row["judges"][0]["sent"][0]["messages"][-1]["content"].rstrip().endswith("Be kind.")
    done = scored.here(
        *("show", TASK, "--run", scored.tmp / "run", "--data-dir", scored.data, "--prompts", folder)
    )
    assert (
        "none on record of this judge in these words" in done.out
        and "(by j x1 voicebench_open:own@" in done.out
    )


def test_the_options_and_the_wording_of_the_run_hold(scored: Bench) -> None:
    folder = scored.tmp / "mine"
    folder.mkdir()
    text = scored.here("prompts", "show", "voicebench_open").out
    (folder / "voicebench_open.j2").write_text(text.rstrip() + "\nBe kind.\n")
    scored.environ["OPENAI_API_KEY"] = "sk"
    with mock_server(texts=["4"]) as mock:
        more = ("-O", "judge_scoring=geval", "--prompts", folder, "-J", 'extra_body={"top_k": 1}')
        done = score(scored, mock.url, *more)
        assert done.code == 0, done.said
    [row] = shown(scored, "--sample", "q02")
    [judge] = row["judges"]
    assert ":user@" in judge["judge"] and judge["judge"].endswith(",geval-logprobs") and judge["on_record"]
    assert judge["sent"][0]["messages"][-1]["content"].rstrip().endswith("Be kind.")
    assert judge["sent"][0]["top_logprobs"] == 20
    assert judge["verdicts"][0]["same"] and judge["verdicts"][0]["geval"]["method"] == "logprobs"
    [row] = shown(scored, "--sample", "q02", "--prompts", "own", "-O", "judge_scoring=plain")
    assert row["judges"][0]["verdicts"][0]["same"] and "geval" not in row["judges"][0]["verdicts"][0]


def test_what_a_judge_hears_is_told_by_its_facts(bench: Bench) -> None:
    with mock_server(texts=["Fine."], speak=0.5) as model, mock_server(texts=["Score: 4"]) as judge:
        done = bench.here(
            *(
                "run",
                "--model",
                "openai/m",
                "-M",
                f"base_url={model.url}",
                "--suite",
                "smoke",
                "--task",
                "vstyle/en",
            ),
            *(
                "--lalm-judge",
                "openai/h",
                "-L",
                f"base_url={judge.url}",
                "--out",
                bench.tmp / "run",
                "--no-report",
            ),
        )
        assert done.code in (0, 1), done.said
    bench.environ["OPENAI_API_KEY"] = ""
    done = bench.here("show", "vstyle/en", "--run", bench.tmp / "run", "--limit", 2, "--json")
    assert done.code == 0, done.said
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert len(rows) == 2
    for row in rows:
        [judge_row] = row["judges"]
        [request] = judge_row["sent"]
        parts = request["messages"][-1]["content"]
        audio = [p["audio"] for p in parts if isinstance(p, dict)]
        assert audio and all(len(a["sha256"]) == 64 and a["seconds"] > 0 for a in audio)
        assert judge_row["on_record"], judge_row
        heard = judge_row["verdicts"][0]["heard"]
        assert [h["sha256"] for h in heard] == [a["sha256"] for a in audio]
    words = bench.here("show", "vstyle/en", "--run", bench.tmp / "run", "--limit", 1).out
    assert "[audio, 0.5" in words and " s at " in words


def test_what_can_not_be_shown_is_said(scored: Bench, tmp_path: Path) -> None:
    run = ("--run", scored.tmp / "run", "--data-dir", scored.data)
    refused(scored.here("show", TASK, *run, "--sample", "q1"), "no sample 'q1'", "q01", "--sample")
    refused(scored.here("show", TASK, *run, "--ids"), "--ids")
    refused(scored.here("show", TASK, "--sample", "q01"), "--run RUN")
    refused(scored.here("show", TASK, "--run", tmp_path / "not"), "results.json")
    refused(scored.here("show", "voicebench/advbench", *run), "has no task 'voicebench/advbench'")
