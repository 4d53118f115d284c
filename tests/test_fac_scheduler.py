"""Continuous batching under stress: memory runs out, a prompt is poison, the user leaves; draws belong to a request."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace

import pytest

from tests.fun_audio_chat_fixtures import needs_torch
from tests.test_fac_generation import (
    KINDS,
    PENALTY,
    RUNS,
    check,
    generate,
    model,
    reference,
    request,
    run_of,
)

pytestmark = needs_torch

SAMPLED = {"do_sample": True, **PENALTY}


def sampled(kind: str, i: int, seed: int, **settings):
    return request(kind, f"s2m{i}.input_ids", (i,), seed, **(SAMPLED | settings))


@pytest.fixture
def engine_of():
    """Makes engines, and closes them."""
    from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine

    made = []

    def make(m, **options):
        made.append(Engine(m, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_those_of_the_request_whatever_the_batch(kind: str) -> None:
    asked = [sampled(kind, i, seed) for seed in (1, 2) for i in range(3)]
    alone = [generate(model(kind), [a])[0] for a in asked]
    assert len({a.speech_ids for a in alone}) == len(asked)  # other seeds and prompts, other draws
    for slots, order in ((3, (0, 1, 2, 3, 4, 5)), (4, (5, 3, 1, 0, 2, 4)), (6, (2, 0, 5, 4, 1, 3))):
        got = generate(model(kind), [asked[k] for k in order], slots=slots)
        for k, one in zip(order, got, strict=True):
            assert (one.text_ids, one.speech_ids) == (alone[k].text_ids, alone[k].speech_ids)


def test_sampled_text_has_its_own_draws_and_history() -> None:
    settings = {"text_greedy": False, "max_new_tokens": 12}
    asked = [sampled("dense", i, seed, **settings) for seed in (1, 2) for i in range(3)]
    asked += [replace(a, decoding=replace(a.decoding, speech=False)) for a in asked]
    alone = [generate(model("dense"), [a])[0] for a in asked]
    assert len({a.text_ids for a in alone[:6]}) == 6
    together = generate(model("dense"), asked, slots=5)
    assert [(t.text_ids, t.speech_ids) for t in together] == [(a.text_ids, a.speech_ids) for a in alone]


def test_caches_grow_while_rows_are_under_way() -> None:
    """More positions than a block of the caches has, rows of other lengths beside."""
    from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK

    long = request("dense", "s2m2.input_ids", (2,), max_new_tokens=BLOCK)
    short = [request("dense", f"s2m{i}.input_ids", (i,), max_new_tokens=BLOCK) for i in (0, 1)]
    alone = [generate(model("dense"), [a])[0] for a in (long, *short)]
    assert len(long.ids) + BLOCK > BLOCK < len(alone[0].text_ids) + len(long.ids)
    together = generate(model("dense"), [long, *short], slots=3)
    assert [(t.text_ids, t.speech_ids) for t in together] == [(a.text_ids, a.speech_ids) for a in alone]


class Scarce:
    """A device whose memory holds so many rows, in prefill or while decoding."""

    def __init__(self, monkeypatch, most: int, where: str) -> None:
        import torch

        from evalkit.runners.fun_audio_chat.decoding import graphs, scheduler

        self.failures = 0
        own_step, own_prefill = graphs.step, scheduler.prefill

        def check(rows):
            if rows > most:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory (so the test says)")

        def step(rows, n, length):
            if where == "step":
                check(n)
            own_step(rows, n, length)

        def prefill(rows, prompts, start):
            if where == "prefill":
                check(start + len(prompts))
            own_prefill(rows, prompts, start)

        monkeypatch.setattr(graphs, "step", step)
        monkeypatch.setattr(scheduler, "prefill", prefill)


@pytest.mark.parametrize("where", ["prefill", "step"])
def test_out_of_memory_halves_the_slots_and_goes_on(monkeypatch, engine_of, where: str) -> None:
    names = [n for n in RUNS if n.startswith("s2m") and n.endswith("rep")] * 2
    scarce = Scarce(monkeypatch, 2, where)
    engine = engine_of(model("dense"), slots=8)
    futures = [engine.submit(run_of("dense", n)) for n in names]
    for name, future in zip(names, futures, strict=True):
        check("dense", name, future.result(timeout=60))
    assert scarce.failures and engine.slots == 2


def test_what_does_not_fit_alone_is_an_error_of_that_request(monkeypatch, engine_of) -> None:
    from evalkit.errors import OutOfMemory

    Scarce(monkeypatch, 0, "prefill")
    engine = engine_of(model("dense"), slots=4)
    futures = [engine.submit(run_of("dense", "s2t0")) for _ in range(3)]
    for future in futures:
        with pytest.raises(OutOfMemory, match="even alone"):
            future.result(timeout=30)


def test_a_poisonous_prompt_fails_alone(monkeypatch, engine_of) -> None:
    from evalkit.errors import RunnerError
    from evalkit.runners.fun_audio_chat.decoding import scheduler

    own = scheduler.prefill
    poison = run_of("dense", "s2m1_norep")

    def prefill(rows, prompts, start):
        if any(p.request is poison for p in prompts):
            raise ValueError("this prompt is poison")
        own(rows, prompts, start)

    monkeypatch.setattr(scheduler, "prefill", prefill)
    engine = engine_of(model("dense"), slots=3)
    names = ["s2m0_norep", "s2m2_norep", "s2m0_norep", "s2m2_norep"]
    futures = [engine.submit(run_of("dense", n)) for n in names]
    bad = engine.submit(poison)
    more = engine.submit(run_of("dense", "s2m0_norep"))
    for name, future in zip([*names, "s2m0_norep"], [*futures, more], strict=True):
        check("dense", name, future.result(timeout=60))
    with pytest.raises(RunnerError, match="poison") as caught:
        bad.result(timeout=30)
    assert caught.value.kind == "runner-crash" and not caught.value.fatal


def test_a_prompt_that_can_not_be_run_is_refused(engine_of) -> None:
    from evalkit.errors import RunnerError

    engine = engine_of(model("dense"), slots=2)
    good = run_of("dense", "s2t0")
    limit = int(model("dense").config.text["max_position_embeddings"])
    for bad, why in (
        (replace(good, clips=()), "3 audio placeholders, its audio 0"),
        (replace(good, ids=()), "empty"),
        (replace(good, decoding=replace(good.decoding, max_new_tokens=limit)), f"{limit} positions"),
    ):
        with pytest.raises(RunnerError, match=why):
            engine.submit(bad).result(timeout=10)
    check("dense", "s2t0", engine.submit(good).result(timeout=30))


def test_closing_ends_what_is_under_way_soon(engine_of) -> None:
    from evalkit.errors import RunnerError

    engine = engine_of(model("dense"), slots=1)
    endless = request("dense", "s2m0.input_ids", (0,), max_new_tokens=3500)
    first, waiting = engine.submit(endless), engine.submit(endless)
    while not first.running():
        time.sleep(0.01)
    began = time.perf_counter()
    engine.close()
    assert time.perf_counter() - began < 5
    for future in (first, waiting):
        with pytest.raises((RunnerError, CancelledError)):
            future.result(timeout=1)
    with pytest.raises(RunnerError, match="closed"):
        engine.submit(endless)
    assert not [t for t in threading.enumerate() if t.name == "fun-audio-chat" and t.is_alive()]


def test_who_gave_up_waiting_is_not_run(engine_of) -> None:
    engine = engine_of(model("dense"), slots=1)
    first = engine.submit(run_of("dense", "s2m0_rep"))
    others = [engine.submit(run_of("dense", "s2m1_rep")) for _ in range(3)]
    assert others[0].cancel()
    check("dense", "s2m0_rep", first.result(timeout=30))
    check("dense", "s2m1_rep", others[2].result(timeout=30))


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_invariant_batches_agree_to_the_last_bit_in_bfloat16(kind: str) -> None:
    """In low precision neighbours can tip a near tie; with fixed shapes they can't, whatever they are."""
    import torch

    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
    from tests.fun_audio_chat_fixtures import FOLDERS

    half = FunAudioChat.load(read_config(FOLDERS[kind]), dtype=torch.bfloat16)
    asked = [sampled(kind, i, seed) for seed in range(3) for i in range(3)]
    options = {"slots": 7, "invariant": True}
    alone = [generate(half, [a], **options)[0] for a in asked]
    together = generate(half, asked, **options)
    assert [(t.text_ids, t.speech_ids) for t in together] == [(a.text_ids, a.speech_ids) for a in alone]


def test_experts_row_by_row_are_the_experts_and_feel_no_neighbour() -> None:
    """Rows that meet at an expert would choose its kernel; in bfloat16 that shows once in some hundred rows."""
    import torch

    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.network.fused import experts_apart
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
    from tests.fun_audio_chat_fixtures import MOE

    noise = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 7, 32, generator=noise)
    rows[:, 3] = rows[0, 3]
    for dtype in (torch.float32, torch.bfloat16):
        mlp = FunAudioChat.load(read_config(MOE), dtype=dtype).stack.layers[0].mlp
        with torch.inference_mode():
            found = torch.stack([experts_apart(mlp, h) for h in rows.to(dtype)])
            plain = torch.stack([mlp(h[:, None])[:, 0] for h in rows.to(dtype)])
        assert torch.allclose(found, plain, rtol=0, atol=1e-5 if dtype is torch.float32 else 0.05)
        if dtype is torch.bfloat16:
            assert (found[:, 3] == found[0, 3]).all()


def test_timing_says_where_the_seconds_went() -> None:
    got = generate(model("dense"), [run_of("dense", "s2t0"), run_of("dense", "s2t1")])
    assert set(got[0].timing) == {"queue", "prefill", "decode"}
    assert all(v >= 0 for g in got for v in g.timing.values()) and got[1].timing["queue"] > 0
    assert got[0].finish == ("length" if len(reference("dense")["s2t0.text_ids"]) == 32 else "stop")
