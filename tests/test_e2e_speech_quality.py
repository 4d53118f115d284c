"""Speech quality through the command line: scores on request, ASR-WER's parts, and what can't be rated, visibly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.audio import encode_wav
from tests.cli_fixtures import Bench, lines

TASK = "ultraeval-audio/llama-questions"
IDS = ("49fcca496f9f", "bb9ded1b2a0d", "58508cf3d2db")
SMOKE = Path(__file__).parent.parent / "benchmarks/smoke"
CLIP = Path(__file__).parent / "data" / "espeak_paris.flac"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, monkeypatch, capsys)


def predictions(bench: Bench) -> Path:
    """Said as written, one word off, and in Chinese."""
    shutil.copy(CLIP, bench.tmp / "paris.flac")
    (bench.tmp / "silent.wav").write_bytes(encode_wav(np.zeros(16000, np.float32), 16000))
    rows: list[dict[str, Any]] = [
        {
            "text": "The capital of France is Paris.",
            "audio": "paris.flac",
            "transcript": "the capital of france is paris",
        },
        {"text": "It is Paris.", "audio": "silent.wav", "transcript": "Thank you."},
        {"text": "法国的首都是巴黎。", "audio": "paris.flac", "transcript": "法国的首都是巴黎"},
    ]
    file = bench.tmp / "p.jsonl"
    file.write_text(
        "".join(json.dumps({"id": i, **r}) + "\n" for i, r in zip(IDS, rows, strict=True)), encoding="utf-8"
    )
    return file


def scored(bench: Bench, out: str, *options: str) -> dict[str, Any]:
    done = bench.here(
        *("score", predictions(bench), "--task", TASK, "--data-dir", SMOKE, "--out", bench.tmp / out),
        *(word for option in options for word in ("-O", option)),
    )
    assert done.code in (0, 1), done.said
    assert "Traceback" not in done.err
    results: dict[str, Any] = json.loads((bench.tmp / out / "results.json").read_text(encoding="utf-8"))
    metrics: dict[str, Any] = results["tasks"][TASK]["metrics"]
    return metrics


def reasons(bench: Bench, out: str, metric: str) -> dict[str, str]:
    found = lines(bench.tmp / out / TASK / "scores.jsonl")
    return {
        s["sample_id"]: s["reason"].partition(":")[0]
        for s in found
        if s["metric"] == metric and s.get("reason")
    }


def test_what_cannot_be_rated_is_unscored_by_sample_and_code(bench: Bench) -> None:
    metrics = scored(bench, "o")
    # 6 words right, 3 words never said; the Chinese answer is no case for it.
    assert metrics["asr_wer"]["value"] == pytest.approx(100 * 3 / 9)
    assert metrics["asr_wer_mean"]["value"] == pytest.approx(50.0)
    assert (metrics["asr_wer"]["n_scored"], metrics["asr_wer"]["n_unscored"]) == (2, 1)
    assert metrics["asr_wer_truncated"]["value"] is None, "nobody says how generation ended"
    assert metrics["asr_wer_mean"]["bounds"] is None, "a rate has no upper end"
    assert reasons(bench, "o", "asr_wer") == {IDS[2]: "not-english"}
    assert reasons(bench, "o", "utmos") == {
        IDS[0]: "weights",
        IDS[1]: "silent-audio",
        IDS[2]: "not-english",
    }


def test_scores_on_request_are_there_when_asked_for(bench: Bench) -> None:
    assert not {"distillmos", "dnsmos_p_ovrl"} & set(scored(bench, "plain", "distillmos=no"))
    metrics = scored(bench, "more", "distillmos=yes", "dnsmos_personalised=yes")
    assert {"distillmos", "dnsmos_p_ovrl"} < set(metrics)
    assert not metrics["distillmos"]["primary"]
    assert metrics["distillmos"]["judges"] == ["distillmos-v7@b18b3ac6:sinc6-hann"]
    # Any language: only the silent one has nothing to rate.
    silent = {i for i, code in reasons(bench, "more", "distillmos").items() if code == "silent-audio"}
    assert silent == {IDS[1]}
    assert set(reasons(bench, "more", "dnsmos_p_ovrl")) in ({IDS[1]}, set(IDS))  # all where onnxruntime lacks


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("distillmos=maybe", "-O distillmos is yes or no"),
        ("utmos_device=tpu", "-O utmos_device is cpu or cuda"),
        ("dnsmos_convention=librosa", "-O dnsmos_convention is ultraeval or microsoft"),
    ],
)
def test_wrong_options_are_named(bench: Bench, option: str, said: str) -> None:
    done = bench.here("score", predictions(bench), "--task", TASK, "--data-dir", SMOKE, "-O", option)
    assert done.code == 2
    assert said in done.err


def test_the_hub_is_never_asked_where_the_network_is_forbidden(bench: Bench) -> None:
    done = bench.here(
        *("score", predictions(bench), "--task", TASK, "--data-dir", SMOKE, "-O", "utmos_weights=hub"),
        *("--out", bench.tmp / "o"),
    )
    assert done.code == 2
    assert "network is forbidden" in done.err or "torch is not installed" in done.err


def test_judges_of_speech_say_which_languages_they_are_for(bench: Bench) -> None:
    done = bench.here("list", "judges", "--json")
    found = {row["judge"]: row["languages"] for row in json.loads(done.out)}
    assert found["Utmos"] == found["AsrWer"] == ["en"]
    assert found["Dnsmos"] == found["DistillMos"] == ["any"]
