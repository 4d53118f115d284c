"""On a GPU: the reference ids in float32, by replayed steps, and what only a device can show. Skipped without one."""

from __future__ import annotations

import gc
from functools import cache

import pytest

from tests.fun_audio_chat_fixtures import FOLDERS, needs_torch
from tests.test_fac_generation import KINDS, PENALTY, RUNS, check, generate, reference, request, run_of
from tests.test_fac_generation import model as cpu_model

DEVICE = "cuda"


def _gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


pytestmark = [needs_torch, pytest.mark.skipif(not _gpu(), reason="needs a GPU")]


@cache
def model(kind: str, dtype: str = "float32"):
    import torch

    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

    return FunAudioChat.load(read_config(FOLDERS[kind]), device=DEVICE, dtype=getattr(torch, dtype))


def said(answers):
    return [(a.text_ids, a.speech_ids) for a in answers]


def replayed(m, asked, slots: int):
    """Answers of an engine, and how many graphs it keeps; no capture failed."""
    from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine

    engine = Engine(m, slots=slots)
    assert engine.graphs
    try:
        answers = [f.result(timeout=300) for f in [engine.submit(a) for a in asked]]
        assert engine._stepper is not None and not engine._stepper.failed
        return answers, len(engine._stepper._captured)
    finally:
        engine.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slots", [1, 3, 7])
def test_every_reference_run(kind: str, slots: int) -> None:
    names = [n for n in RUNS if f"{n}.text_ids" in reference(kind)] * 2
    for name, got in zip(
        names, generate(model(kind), [run_of(kind, n) for n in names], slots=slots), strict=True
    ):
        check(kind, name, got)


def test_replayed_steps_and_draws_are_those_of_a_cpu() -> None:
    asked = [
        request("dense", f"s2m{i % 3}.input_ids", (i % 3,), i, do_sample=True, **PENALTY) for i in range(9)
    ]
    answers, graphs = replayed(model("dense"), asked, slots=5)
    assert said(answers) == said(generate(cpu_model("dense"), asked, slots=5)) and graphs


def test_graphs_after_the_caches_grew() -> None:
    from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK

    asked = [request("dense", f"s2m{i}.input_ids", (i,), max_new_tokens=2 * BLOCK) for i in range(3)]
    answers, graphs = replayed(model("dense"), asked, slots=3)
    assert said(answers) == said(generate(cpu_model("dense"), asked, slots=3)) and graphs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_with_fixed_shapes_does_not_depend_on_the_batch(kind: str, dtype: str) -> None:
    asked = [request(kind, f"s2m{i % 3}.input_ids", (i % 3,), i, do_sample=True, **PENALTY) for i in range(6)]
    options = {"slots": 4, "invariant": True}
    together = generate(model(kind, dtype), asked, **options)
    assert said(together) == [said(generate(model(kind, dtype), [a], **options))[0] for a in asked]


def test_a_closed_engine_keeps_nothing() -> None:
    import torch

    m = model("dense", "bfloat16")
    run = [request("dense", f"s2m{i}.input_ids", (i,), max_new_tokens=40) for i in range(3)]
    replayed(m, run, slots=3)
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        replayed(m, run, slots=3)
    gc.collect()
    assert torch.cuda.memory_allocated() <= before + (1 << 20)
