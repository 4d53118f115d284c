"""Steps as CUDA graphs, checked without a GPU: nothing in a step waits, moves or is decided in Python."""

from __future__ import annotations

import gc

import pytest

from tests.fun_audio_chat_fixtures import DENSE, needs_torch
from tests.test_fac_generation import ABOS, PENALTY, SIL, check, decoding, model, request, run_of

pytestmark = needs_torch

DECODINGS = {
    "s2t": {"speech": False},
    "s2m": {"do_sample": True, **PENALTY},
    "text": {"do_sample": True, "text_greedy": False, "top_k": 50, **PENALTY},
    "words": {"do_sample": True, "text_greedy": False, "bad_words": ((ABOS, SIL), (7,)), **PENALTY},
}


@pytest.fixture
def device(monkeypatch):
    """A device that captures."""
    from tests.fun_audio_chat_captures import pretend

    return pretend(monkeypatch)


@pytest.fixture
def run(device):
    """Answers of an engine that replays its steps."""
    from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine

    made = []

    def answers(asked, **options):
        engine = Engine(model("dense"), **({"slots": 3} | options))
        engine.graphs = True
        made.append(engine)
        return [f.result(timeout=60) for f in [engine.submit(a) for a in asked]]

    yield answers
    for engine in made:
        engine.close()


def said(answers):
    return [(a.text_ids, a.speech_ids) for a in answers]


def eager(asked, slots: int = 3):
    from tests.test_fac_generation import generate

    return said(generate(model("dense"), asked, slots=slots))


@pytest.mark.parametrize("name", DECODINGS)
def test_a_step_never_waits_for_the_device_nor_leaves_it(name: str) -> None:
    """On the meta device there are no values, and no other device: whatever needs one of them fails."""
    import torch

    from evalkit.runners.fun_audio_chat.decoding.generation import step
    from evalkit.runners.fun_audio_chat.decoding.rows import Rows
    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

    with torch.device("meta"):
        nowhere = FunAudioChat(read_config(DENSE)).to(torch.bfloat16).ready()
    rows = Rows(nowhere, decoding(**DECODINGS[name]), 8)
    rows.reserve(300)
    step(rows, 4, 256)
    assert nowhere.dtype == torch.bfloat16 and rows.out.device.type == "meta"


@pytest.mark.parametrize("name", DECODINGS)
def test_every_step_is_the_same_operations_on_the_same_memory(name: str) -> None:
    """Other rows, lengths, histories; same number of rows and cache length."""
    import torch

    from evalkit.runners.fun_audio_chat.decoding.generation import prefill, step
    from evalkit.runners.fun_audio_chat.decoding.rows import STATE, Prompt, Rows
    from tests.fun_audio_chat_captures import Recorder

    m = model("dense")
    rows = Rows(m, decoding(**DECODINGS[name]), 4)
    rows.reserve(250)
    asked = [request("dense", f"s2m{i}.input_ids", (i,), seed=i, **DECODINGS[name]) for i in (2, 0, 1)]
    with torch.inference_mode():
        prompts = [Prompt(a, torch.tensor(a.ids), m.audio_vectors(a.clips)) for a in asked]
    prefill(rows, prompts, 0)

    def memory():
        held = [getattr(rows, s) for s in (*STATE, "out", "stops")]
        caches = (rows.text_cache, rows.speech_cache)
        return [t.data_ptr() for t in held + [t for c in caches for kept in (c.keys, c.values) for t in kept]]

    def recorded():
        with torch.inference_mode(), Recorder() as seen:
            step(rows, 3, 256)
        plain = []
        for func, args, kwargs, _ in seen.ops:
            leaves = torch.utils._pytree.tree_leaves((args, kwargs))
            plain.append((str(func), [tuple(x.shape) if isinstance(x, torch.Tensor) else x for x in leaves]))
        return plain

    step(rows, 3, 256)
    where, first = memory(), recorded()
    for change in range(4):
        if change == 2:
            rows.move(2, 0, int(rows.place[2]))
            prefill(rows, prompts[1:2], 2)
        assert recorded() == first
    assert memory() == where


def test_replayed_steps_say_what_steps_say(run, device) -> None:
    names = [
        "s2m0_rep",
        "s2m1_rep",
        "s2m2_rep",
        "s2m1_textproc",
        "s2m1_badwords",
        "s2t0",
        "s2t1",
        "s2m0_norep",
    ]
    for name, got in zip(names, run([run_of("dense", n) for n in names]), strict=True):
        check("dense", name, got)
    assert device.captures >= 4 and device.replays > 80


def test_sampled_rows_that_come_and_go_beside_idle_slots(run, device) -> None:
    asked = [
        request("dense", f"s2m{i % 3}.input_ids", (i % 3,), i, **DECODINGS["s2m"], max_new_tokens=9)
        for i in range(7)
    ]
    assert said(run(asked, slots=5)) == eager(asked)
    assert device.replays > 5


def test_caches_that_grow_take_new_graphs_from_a_new_pool(run, device) -> None:
    """torch refuses a memory pool whose graphs are all gone."""
    from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK

    asked = [request("dense", "s2m2.input_ids", (2,), speech=False, max_new_tokens=BLOCK) for _ in range(2)]
    got = run(asked, slots=2)
    assert said(got) == eager(asked)
    assert len(device.used) == 2 and device.captures == 2


def test_few_graphs_are_kept(run, device, monkeypatch) -> None:
    from evalkit.runners.fun_audio_chat.decoding import graphs

    monkeypatch.setattr(graphs, "MOST", 2)
    asked = [request("dense", f"s2m{i % 3}.input_ids", (i % 3,), max_new_tokens=3 + 2 * i) for i in range(6)]
    assert said(run(asked, slots=6)) == eager(asked)
    gc.collect()
    assert sum(len(p) for p in device.pools.values()) <= 2 < device.captures


@pytest.mark.parametrize("where", ["begin", "inside"])
def test_a_capture_that_fails_costs_speed_only(run, device, monkeypatch, capsys, where: str) -> None:
    import torch

    from evalkit.runners.fun_audio_chat.decoding import graphs

    own = graphs.step

    def waits(rows, n, length):
        own(rows, n, length)
        if device.stream == "capture":
            rows.place.sum().item()

    if where == "begin":
        device.refuses = RuntimeError("CUDA error: operation not supported")
    else:
        monkeypatch.setattr(graphs, "step", waits)
    names = ["s2m0_rep", "s2t1", "s2m2_norep"]
    for name, got in zip(names, run([run_of("dense", n) for n in names]), strict=True):
        check("dense", name, got)
    assert (device.captures, device.replays, device.stream) == (0, 0, "own")
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "no CUDA graphs, slower steps instead (RuntimeError: CUDA error" in told
    assert not torch.is_inference_mode_enabled()


def test_memory_that_runs_out_in_a_capture_is_no_failed_capture(device, monkeypatch) -> None:
    import torch

    from evalkit.runners.fun_audio_chat.decoding import graphs
    from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine

    own = graphs.step

    def scarce(rows, n, length):
        if device.stream == "capture" and n > 2:
            raise torch.OutOfMemoryError("CUDA out of memory (so the test says)")
        own(rows, n, length)

    monkeypatch.setattr(graphs, "step", scarce)
    engine = Engine(model("dense"), slots=4)
    engine.graphs = True
    try:
        names = ["s2m0_rep", "s2m1_rep", "s2m2_rep", "s2m0_rep"]
        futures = [engine.submit(run_of("dense", n)) for n in names]
        for name, future in zip(names, futures, strict=True):
            check("dense", name, future.result(timeout=60))
        assert engine.slots == 2 and engine.graphs and device.replays
    finally:
        engine.close()
