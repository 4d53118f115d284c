"""`python -m bench.runner`: the table it makes, what a step reads, and that it outlives a full memory."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fun_audio_chat_fixtures import needs_torch

pytestmark = needs_torch

SMALL = ["--device", "cpu", "--size", "tiny", "--steps", "4", "--repeats", "1", "--date", "2026-01-31"]
SMALL += ["--prompt-seconds", "1"]


@pytest.fixture(autouse=True)
def _small_memory_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import runner_device

    whole = runner_device.bandwidth
    monkeypatch.setattr(runner_device, "bandwidth", lambda d: whole(d, size=2**22, repeats=1))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    from bench import runner

    assert runner.main([*SMALL, *words]) == 0
    out, err = capsys.readouterr()
    return out, err


def test_a_table_with_a_row_per_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from bench import runner_report

    monkeypatch.setattr(runner_report, "ROOT", tmp_path)
    monkeypatch.setattr(runner_report, "RESULTS", tmp_path / "RESULTS.md")
    (tmp_path / "RESULTS.md").write_text("# Results\n\nHow.\n\n## Another card: 8b, bfloat16\n\nkept\n")
    monkeypatch.setattr(runner_report.record, "__defaults__", (tmp_path / "RESULTS.md",))
    out, _ = said(capsys, "--batches", "1,2", "--record")
    assert "no GPU: tiny sizes on the CPU; these numbers say nothing of the 8B" in out
    assert "the 8B as built here: 9,424,246,784 unique parameters" in out
    assert "float32" in out and "no verdict on this size" in out
    lines = [x for x in out.splitlines() if x.startswith("| ")]
    assert {x.count("|") for x in lines} == {len(runner_report.COLUMNS) + 1}
    settings = [tuple(c.strip() for c in x.split("|")[1:4]) for x in lines[1:]]
    assert settings == [
        *[(mode, batch, "default") for mode in ("S2T", "S2M") for batch in ("1", "2")],
        *[(mode, "2", "invariant") for mode in ("S2T", "S2M")],
    ]
    first = (tmp_path / "RESULTS.md").read_text()
    assert first.startswith("# Results\n\nHow.\n\n## Another card: 8b, bfloat16\n\nkept\n")
    assert first.count("\n## ") == 2
    said(capsys, "--batches", "1", "--modes", "s2t", "--variants", "none", "--record")
    again = (tmp_path / "RESULTS.md").read_text()
    assert again.count("\n## ") == 2 and "S2M |" not in again  # its old section made room


def test_numbers_hang_together(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "--batches", "1,2", "--variants", "none", "--json")
    rows = {(r["mode"], r["batch"]): r for r in json.loads(out)["rows"]}
    assert set(rows) == {(m, b) for m in ("s2t", "s2m") for b in (1, 2)}
    for (mode, batch), row in rows.items():
        assert row["problem"] == "" and row["prompt"] == 60 + 2 + 5
        assert row["text"] == pytest.approx(4 * row["samples"])
        assert row["speech"] == pytest.approx(15 * row["samples"] if mode == "s2m" else 0)
        assert row["decode"] == pytest.approx(batch / row["step"] * 1e3)
        assert row["cache"] == batch * (67 + 2) * row["each"]


def test_bytes_of_a_step_by_hand() -> None:
    """The tiny config: H 64, 2 layers of 2 heads of 32, inner 128, vocabulary 272; head 32 wide, inner 48."""
    from bench.runner_sizes import TINY, step_bytes
    from bench.runner_timing import decoding
    from evalkit.runners.fun_audio_chat.decoding.rows import Rows
    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

    model = FunAudioChat.random(read_config(TINY))
    layer = 64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 128 + 2 * 32 + 2 * 64
    text = 2 * layer + 64 + 272 * 64
    inner = 32 * (32 + 2 * 16) + 32 * 32 + 3 * 32 * 48 + 2 * 16 + 2 * 32
    head = 64 * 32 + 2 * inner + 32 + 32 * 64 + 6565 * 64
    joint = text + 64 * 64 + (64 * 320 + 320) + 5 * head
    for mode, numbers, each, held in (("s2t", text, 128, 128), ("s2m", joint, 128 + 25 * 64, 128 + 5 * 64)):
        found = step_bytes(model, Rows(model, decoding(mode, 4), 2), speech=mode == "s2m")
        assert found.weights == 4 * numbers
        assert found.text_position + (mode == "s2m") * found.head_position == 4 * each
        assert found.held_position == 4 * held
        assert found.cache(2, 100.0) == 2 * 100 * 4 * each


def test_bytes_of_a_step_of_the_8b() -> None:
    """Runner specification, sections 1 and 12: 8,190.7 M in the language model; 144 and 704 KiB per position."""
    import torch

    from bench.runner_sizes import config_8b, step_bytes
    from bench.runner_timing import decoding
    from evalkit.runners.fun_audio_chat.decoding.rows import Rows
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

    with torch.device("meta"):
        model = FunAudioChat(config_8b()).to(torch.bfloat16)
    s2t, s2m = (step_bytes(model, Rows(model, decoding(m, 4), 1), speech=m == "s2m") for m in ("s2t", "s2m"))
    assert s2t.weights == 2 * (8_190_735_360 - 151936 * 4096)
    assert (s2t.held_position, s2m.held_position) == (144 * 1024, 704 * 1024)
    assert s2m.text_position + s2m.head_position == (144 + 5 * 560) * 1024
    layer = 1024 * (2048 + 2 * 1024) + 2048 * 1024 + 3 * 1024 * 3072 + 2 * 128 + 2 * 1024
    head = 2 * 4096 * 1024 + 28 * layer + 1024 + 6565 * 4096
    assert s2m.weights == s2t.weights + 2 * (4096 * 4096 + 5 * 4096 * 4096 + 5 * 4096 + 5 * head)


@pytest.mark.parametrize("kind", ["OutOfMemoryError", "AcceleratorError"])
def test_out_of_memory_is_a_row(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a capture ran out of it, which comes as another error."""
    import torch

    from evalkit.runners.fun_audio_chat.network.backbone import KVCache

    whole = KVCache.allocate
    error = torch.OutOfMemoryError if kind == "OutOfMemoryError" else RuntimeError

    def full(self: KVCache, slots: int, length: int) -> None:
        if slots > 2:
            raise error("CUDA error: out of memory")
        whole(self, slots, length)

    monkeypatch.setattr(KVCache, "allocate", full)
    out, _ = said(capsys, "--batches", "1,4,2", "--variants", "none", "--modes", "s2t")
    rows = [x for x in out.splitlines() if x.startswith("| S2")]
    assert [("out of memory" in x) for x in rows] == [False, False, True]
    assert rows[2].count("|") == rows[0].count("|")


def test_a_lost_device_keeps_what_was_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench import runner_timing

    whole = runner_timing.measure

    def lost(model: Any, mode: str, batch: int, *rest: Any) -> Any:
        if batch == 2:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return whole(model, mode, batch, *rest)

    monkeypatch.setattr(runner_timing, "measure", lost)
    out, _ = said(capsys, "--batches", "1,2", "--modes", "s2t")
    assert "broke off: RuntimeError: CUDA error: unspecified launch failure" in out
    assert sum(x.startswith("| S2T") for x in out.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batches", "1,x"], "batch sizes from 1 to 1024"),
        (["--modes", "s2x"], "'s2x' is none of s2t, s2m"),
        (["--steps", "3"], "at least 4"),
        (["--prompt-seconds", "-1"], "from 0 (no clip) to 300"),
        (["--device", "tpu"], "--device must be"),
        (["--vllm"], "add --checkpoint"),
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--size", "tiny", "--checkpoint", "nowhere"], "give one of them"),
        (["--variants", "fast"], "'fast' is none of"),
        (["--date", "today"], "2026-01-31"),
        (["--size", "tiny", "--device", "cpu", "--steps", "5000"], "4096 positions"),
    ],
)
def test_clear_errors(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bench import runner

    try:
        code: Any = runner.main(words)
    except SystemExit as exc:
        code = exc.code
    assert code == 2
    assert told in capsys.readouterr().err


def test_aims_are_told_and_judged_on_a_gpu_alone() -> None:
    from bench.runner_report import Measured, aims
    from bench.runner_sizes import PARAMETERS_8B
    from bench.runner_timing import Row

    rows = [
        Row("s2m", 1, "plain", 87, 64, step=10.0, bound=8.0),
        Row("s2m", 32, "plain", 87, 64, step=33.0, bound=12.0),
        Row("s2t", 1, "plain", 87, 64, step=9.0, bound=5.0, text=100.0),
    ]
    measured = Measured(
        "A card", True, "real", "bfloat16", PARAMETERS_8B, {}, {}, rows, vllm={1: {"text": 120.0}}
    )
    assert [a.rsplit(": ", 1)[1] for a in aims(measured)] == [
        *("9.70 x, not met", "1.80 x, not met", "1.25 x, met", "1.20 x, met"),
    ]
    measured.on_gpu = False
    assert all("no verdict" in a for a in aims(measured))


def test_vllm_is_asked_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for vLLM's class: one placeholder and the wave per prompt, fixed lengths, nothing cached."""
    import sys

    from bench.runner_sizes import TINY
    from bench.runner_vllm import rows

    asked: dict[str, Any] = {}

    class LLM:
        def __init__(self, **arguments: Any) -> None:
            asked.update(arguments)

        def generate(self, prompts: list[Any], how: Any, use_tqdm: bool) -> list[Any]:
            asked["prompts"], asked["how"] = prompts, how
            return [
                SimpleNamespace(outputs=[SimpleNamespace(token_ids=[1] * how.max_tokens)]) for _ in prompts
            ]

    fake = SimpleNamespace(LLM=LLM, SamplingParams=lambda **k: SimpleNamespace(**k))
    monkeypatch.setitem(sys.modules, "vllm", fake)
    given = {"checkpoint": str(TINY), "dtype": "float32", "batches": [1, 2], "steps": 4, "repeats": 1}
    found = list(rows({**given, "seconds": 1.0, "share": 0.5}))
    assert [r["batch"] for r in found] == [1, 2]
    assert all(r["text"] == pytest.approx(4 * r["samples"]) for r in found)
    assert [len(p["prompt_token_ids"]) for p in asked["prompts"]] == [63, 63]
    assert all(len(p["multi_modal_data"]["audio"][0][0]) == 16000 for p in asked["prompts"])
    assert asked["how"].ignore_eos and asked["how"].min_tokens == asked["how"].max_tokens == 4
    assert asked["enable_prefix_caching"] is False and asked["max_num_seqs"] == 2
