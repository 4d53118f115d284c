"""--data-dir with one file: the rows of one task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.audio import encode_wav
from evalkit.cli import main


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    import numpy as np

    for i in range(2):
        tone = np.sin(np.arange(8000) / (5 + i)).astype(np.float32) * 0.2
        (tmp_path / f"{i}.wav").write_bytes(encode_wav(tone, 16_000))
    rows = [
        {"id": f"q{i}", "prompt": "Pick B. A, B, C or D?", "reference": "B", "audio": f"{i}.wav"}
        for i in range(2)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_a_manifest_stands_for_the_data_set_of_one_task(manifest: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"id": "q0", "text": "B"}\n{"id": "q1", "text": "C"}\n')
    words = ["score", str(answers), "--task", "voicebench/openbookqa", "--protocol", "strict"]
    assert main([*words, "--data-dir", str(manifest), "--out", str(tmp_path / "run"), "--no-report"]) == 0
    found = json.loads((tmp_path / "run/results.json").read_text())["tasks"]["voicebench/openbookqa"]
    assert found["data"]["kind"] == "manifest"
    assert found["metrics"]["acc"]["value"] == 50.0


def test_a_manifest_is_refused_for_several_tasks(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--model", "replay/x.jsonl", "--task", "voicebench/*", "--data-dir", str(manifest)]
    assert main(words) == 2
    assert "rows of one task" in capsys.readouterr().err


def test_smoke_data_named_by_hand_is_still_smoke_data(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"id": "a", "text": "I\'m sorry, no."}\n')
    folder = Path(__file__).parent.parent / "benchmarks" / "smoke"
    words = [
        "run",
        "--model",
        f"replay/{answers}",
        "--task",
        "voicebench/advbench",
        "--data-dir",
        str(folder),
    ]
    assert main([*words, "--out", str(tmp_path / "run"), "--no-report", "--no-cache"]) == 1
    found = json.loads((tmp_path / "run/results.json").read_text())["tasks"]["voicebench/advbench"]
    assert found["data"]["kind"] == "smoke"
    assert found["n_expected"] is None


def test_a_byte_order_mark_is_no_trouble(manifest: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_bytes(b"\xef\xbb\xbf" + b'{"id": "q0", "text": "B"}\n{"id": "q1", "text": "B"}\n')
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    words = ["score", str(answers), "--task", "voicebench/openbookqa", "--protocol", "strict"]
    assert main([*words, "--data-dir", str(manifest), "--out", str(tmp_path / "run"), "--no-report"]) == 0


def test_another_target_is_other_data(manifest: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"id": "q0", "text": "B"}\n{"id": "q1", "text": "C"}\n')
    words = ["score", str(answers), "--task", "voicebench/openbookqa", "--protocol", "strict", "--no-report"]

    def scored() -> tuple[float, str]:
        main([*words, "--data-dir", str(manifest), "--out", str(tmp_path / "run")])
        found = json.loads((tmp_path / "run/results.json").read_text())["tasks"]["voicebench/openbookqa"]
        return found["metrics"]["acc"]["value"], found["data"]["digest"]

    before = scored()
    manifest.write_text(manifest.read_text().replace('"reference": "B"', '"reference": "C"', 1))
    after = scored()
    assert (before[0], after[0]) == (50.0, 0.0)
    assert before[1] != after[1]


def test_another_protocol_in_the_same_place_is_told(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"id": "q0", "text": "B"}\n{"id": "q1", "text": "C"}\n')
    words = ["score", str(answers), "--task", "voicebench/openbookqa", "--data-dir", str(manifest)]
    words += ["--no-report", "--out", str(tmp_path / "run")]
    assert main([*words, "--protocol", "official"]) == 0
    assert "instead of" not in capsys.readouterr().err
    assert main([*words, "--protocol", "strict"]) == 0
    assert "protocol strict instead of official" in capsys.readouterr().err
