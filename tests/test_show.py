"""`show`: samples as they are asked."""

from __future__ import annotations

import json

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
