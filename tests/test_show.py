"""`show`: samples as they are asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.cli import main

pytest.importorskip("pyarrow")


def test_show_says_what_is_sent_and_what_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "voicebench/sd-qa", "--suite", "smoke", "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert "What is the capital of Japan?" in out
    assert '"Tokyo"' in out
    assert "s at 16000 Hz, mp3" in out


def test_ids_are_what_a_predictions_file_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "voicebench/ifeval", "--suite", "smoke", "--ids"]) == 0
    assert capsys.readouterr().out.split() == ["9001", "9002", "9003", "9004"]


def test_json_names_the_audio_and_holds_no_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "voicebench/mmsu", "--suite", "smoke", "--limit", "2", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    audio = rows[0]["turns"][0]["parts"][0]["audio"]
    assert len(rows) == 2
    assert len(audio["sha256"]) == 64
    assert "data" not in audio


def test_an_unknown_task_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "voicebench/sdqa"]) == 2
    assert "Did you mean voicebench/sd-qa" in capsys.readouterr().err


def test_a_model_shows_what_it_would_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["show", "voicebench/sd-qa", "--suite", "smoke", "--limit", "2", "--json"]
    assert (
        main(
            [*words, "--model", "openai/m", "-M", "base_url=http://localhost:1/v1", "-M", "system=Be brief."]
        )
        == 0
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    system, user = rows[1]["sent"]["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    (part,) = user["content"]
    digest = rows[1]["turns"][0]["parts"][0]["audio"]["sha256"]
    assert part["type"] == "input_audio" and f"sha256 {digest[:12]}" in part["input_audio"]["data"]


def test_a_runner_that_cannot_show_it_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "text": "b"}', encoding="utf-8")
    words = ["show", "voicebench/sd-qa", "--suite", "smoke", "--limit", "1"]
    assert main([*words, "--model", f"replay/{tmp_path}/p.jsonl"]) == 2
    assert "can't show what it sends; leave --model out" in capsys.readouterr().err
