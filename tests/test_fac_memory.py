"""The engine where memory is short, a device is lost, the worker dies: nobody is lost, and answers are the same."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from tests.fun_audio_chat_fixtures import needs_torch
from tests.test_fac_generation import PENALTY, check, generate, model, request, run_of
from tests.test_fac_scheduler import engine_of  # noqa: F401 - a fixture

pytestmark = needs_torch


def said(answers):
    return [(a.text_ids, a.speech_ids) for a in answers]


@pytest.fixture
def gigabytes(monkeypatch):
    """Pretends a device with memory for so many positions of the caches, and says which slots there were."""
    from evalkit.runners.fun_audio_chat.decoding import scheduler
    from evalkit.runners.fun_audio_chat.decoding.rows import Rows

    seen: list[tuple[int, int]] = []

    def of(positions: int, engine):
        engine.spare = 0

        def free(device) -> int:
            rows = engine._rows
            return (positions - rows.text_cache.slots * rows.length) * rows.per_position()

        own = Rows.reserve

        def reserve(self, length: int) -> bool:
            moved = own(self, length)
            assert self.text_cache.slots == self.slots and self.slots * self.length <= positions
            seen.append((self.slots, self.length))
            return moved

        monkeypatch.setattr(scheduler, "free_bytes", free)
        monkeypatch.setattr(Rows, "reserve", reserve)
        return seen

    return of


def test_rows_that_do_not_fit_wait_and_answer_the_same(engine_of, gigabytes, monkeypatch) -> None:  # noqa: F811
    """Six slots of one block, three of two: the youngest go back, whatever they had drawn and said."""
    from evalkit.runners.fun_audio_chat.decoding import scheduler
    from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK

    again = []
    own = scheduler._Job.again
    monkeypatch.setattr(scheduler._Job, "again", lambda job: (again.append(len(job.text)), own(job))[1])
    settings = {"speech": False, "text_greedy": False, "do_sample": True, "max_new_tokens": BLOCK, **PENALTY}
    asked = [request("dense", f"in{i % 3}.input_ids", (i % 3,), i, **settings) for i in range(7)]
    alone = said(generate(model("dense"), asked, slots=7))
    assert max(len(text) for text, _ in alone) == BLOCK
    engine = engine_of(model("dense"), slots=8)
    slots = gigabytes(int(6 * BLOCK / 0.97) + 1, engine)
    futures = [engine.submit(r) for r in asked]
    assert said([f.result(timeout=60) for f in futures]) == alone
    assert slots[:2] == [(6, BLOCK), (3, 2 * BLOCK)] and engine.slots == 8
    assert 0 in again and sum(a > 0 for a in again) >= 2  # one never came in, others had said something


def test_the_eldest_row_goes_on_and_cut_slots_stay_while_they_do(engine_of, gigabytes) -> None:  # noqa: F811
    from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK

    asked = [
        request("dense", f"in{i}.input_ids", (i,), speech=False, max_new_tokens=BLOCK) for i in (2, 0, 1)
    ]
    alone = said(generate(model("dense"), asked, slots=1))
    engine = engine_of(model("dense"), slots=3)
    slots = gigabytes(int(3 * BLOCK / 0.97) + 1, engine)
    futures = [engine.submit(r) for r in asked]
    assert said([f.result(timeout=60) for f in futures]) == alone
    assert slots[:2] == [(3, BLOCK), (1, 2 * BLOCK)]
    waited = [f.result().timing["queue"] for f in futures]
    assert waited[0] < min(waited[1:])
    made = engine._rows
    assert said([engine.submit(asked[0]).result(timeout=30)]) == alone[:1]
    assert engine._rows is made  # one row fits: graphs are kept
    for future in [engine.submit(asked[1]) for _ in range(3)]:
        future.result(timeout=30)
    assert engine._rows is not made


def test_a_prompt_alone_too_long_for_the_memory_fails_alone(engine_of, monkeypatch) -> None:  # noqa: F811
    """The estimate lets one row in; what allocates has the last word."""
    import torch

    from evalkit.errors import OutOfMemory
    from evalkit.runners.fun_audio_chat.decoding import scheduler
    from evalkit.runners.fun_audio_chat.decoding.rows import Rows

    own = Rows.reserve
    monkeypatch.setattr(scheduler, "free_bytes", lambda device: 1)

    def reserve(self, length):
        if length > 100:
            raise torch.OutOfMemoryError("CUDA out of memory (so the test says)")
        return own(self, length)

    monkeypatch.setattr(Rows, "reserve", reserve)
    good = run_of("dense", "s2t0")
    long = request("dense", "in0.input_ids", (0,), speech=False, max_new_tokens=2)
    long = type(long)(long.ids + (5,) * 120, long.clips, long.decoding)
    engine = engine_of(model("dense"), slots=4)
    futures = [engine.submit(r) for r in (good, long, good)]
    check("dense", "s2t0", futures[0].result(timeout=30))
    with pytest.raises(OutOfMemory, match="even alone"):
        futures[1].result(timeout=30)
    check("dense", "s2t0", futures[2].result(timeout=30))
    assert engine.slots == 4


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_memory_runs_out_in_many_words(error: Exception, short: bool) -> None:
    from evalkit.runners.fun_audio_chat.decoding.memory import ran_out

    assert ran_out(error) is short
    try:
        try:
            raise error
        finally:
            raise RuntimeError("capture invalidated")
    except RuntimeError as exc:
        assert ran_out(exc) is short


@pytest.mark.parametrize("what", ["rows", "drop"])
def test_nobody_is_lost_when_the_device_is(engine_of, monkeypatch, what: str) -> None:  # noqa: F811
    """Making a batch's state fails, or giving it back does: those asked for are told so."""
    from evalkit.errors import RunnerError
    from evalkit.runners.fun_audio_chat.decoding import memory, scheduler

    def lost(*args, **kwargs):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(scheduler, "Rows" if what == "rows" else "prefill", lost)
    if what == "drop":

        class Gone:
            type = "cuda"

        monkeypatch.setattr(memory.torch.cuda, "empty_cache", lost)
        monkeypatch.setattr(scheduler, "give_back", lambda device: memory.give_back(Gone()))
    engine = engine_of(model("dense"), slots=2)
    futures = [engine.submit(run_of("dense", "s2t0")) for _ in range(3)]
    for future in futures:
        with pytest.raises(RunnerError, match="illegal memory access") as caught:
            future.result(timeout=20)
        assert caught.value.fatal


def test_a_row_that_overflowed_leaves_nothing_to_the_next_in_its_slot() -> None:
    """float16 only: no other type overflows in a model that is sane."""
    import torch

    from evalkit.runners.fun_audio_chat.decoding.generation import prefill, step
    from evalkit.runners.fun_audio_chat.decoding.rows import Prompt, Rows
    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
    from tests.fun_audio_chat_fixtures import DENSE

    half = FunAudioChat.load(read_config(DENSE), dtype=torch.float16)
    asked = request("dense", "s2m0.input_ids", (0,))
    with torch.inference_mode():
        prompt = Prompt(asked, torch.tensor(asked.ids), half.audio_vectors(asked.clips))
    found = []
    for left in (0.0, float("nan")):
        rows = Rows(half, asked.decoding, 2)
        rows.reserve(250)
        for cache in (rows.text_cache, rows.speech_cache):
            for tensor in (*cache.keys, *cache.values):
                tensor.fill_(left)
        prefill(rows, [prompt], 0)
        for _ in range(3):
            step(rows, 1, 256)
        found.append((rows.out[0].tolist(), bool(rows.text_cache.values[-1][0].isfinite().all())))
    assert found[0] == found[1] and found[0][1]


@pytest.mark.parametrize("speech", [False, True])
def test_what_caches_leave_alone_is_enough_to_run_prompts(speech: bool) -> None:
    """At the 8B's real size, on a device without memory: the most that lives at once while prompts are run."""
    import weakref

    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from bench.runner_sizes import config_8b
    from evalkit.runners.fun_audio_chat.decoding.generation import prefill
    from evalkit.runners.fun_audio_chat.decoding.rows import Prompt, Rows
    from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
    from evalkit.runners.fun_audio_chat.requests import Decoding, Request

    class Peak(TorchDispatchMode):
        live: dict[int, int]
        most = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            given = [
                t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)
            ]
            for tensor in tree_leaves(out):
                storage = tensor.untyped_storage()
                if (at := storage._cdata) not in given and at not in self.live:
                    self.live[at] = storage.nbytes()
                    weakref.finalize(storage, self.live.pop, at, None)
            self.most = max(self.most, sum(self.live.values()))
            return out

    with torch.device("meta"):
        large = FunAudioChat(config_8b()).to(torch.bfloat16).ready()
    engine = Engine(large, slots=16)
    length = engine.prefill_tokens // 16
    asked = Request((0,) * length, (), Decoding(speech=speech, max_new_tokens=2048))
    rows = Rows(large, asked.decoding, 16)
    rows.reserve(length + 1)
    ids = torch.zeros(length, dtype=torch.long, device="meta")
    prompts = [Prompt(asked, ids, large.text_embeddings.new_zeros(0, large.config.hidden_size))] * 16
    with torch.inference_mode(), Peak() as peak:
        peak.live = {}
        prefill(rows, prompts, 0)
    assert (0.8 if speech else 0.3) * engine.spare < peak.most < 0.95 * engine.spare


def test_loading_keeps_no_weight_twice(monkeypatch) -> None:
    """Layers' weights are joined after they are read: single ones that somebody still holds would fill a small GPU."""
    import weakref

    from evalkit.runners.fun_audio_chat.folder import checkpoint
    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
    from tests.fun_audio_chat_fixtures import DENSE

    read, held = [], []
    own, ready = checkpoint.load_state, FunAudioChat.ready

    def load_state(*args, **kwargs):
        state = own(*args, **kwargs)
        read.extend(weakref.ref(t) for t in state.values())
        return state

    def joined(self):
        held.append(sum(r() is not None for r in read))
        return ready(self)

    monkeypatch.setattr(checkpoint, "load_state", load_state)
    monkeypatch.setattr(FunAudioChat, "ready", joined)
    loaded = FunAudioChat.load(read_config(DENSE))
    assert len(read) > 50 and held == [0]
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in loaded.parameters()}
    assert sum(storages.values()) == sum(p.nbytes for p in set(loaded.parameters()))


def test_a_closed_runner_makes_room_for_the_next_model(monkeypatch) -> None:
    """Even what a cycle holds, as one does after the first import of transformers, and what torch keeps for later."""
    import asyncio
    import gc
    import weakref

    from evalkit.records import Modality
    from evalkit.runners.fun_audio_chat.decoding import memory
    from evalkit.runners.fun_audio_chat.runner import FunAudioChatRunner
    from tests.fun_audio_chat_fixtures import DENSE

    runner = FunAudioChatRunner(str(DENSE), speech="ids", device="cpu")
    runner.prepare(Modality.S2T)
    assert runner._loaded is not None
    held = weakref.ref(runner._loaded.engine.model)
    cycle: list[object] = [held()]
    cycle.append(cycle)
    del cycle
    given = []
    monkeypatch.setattr(memory, "give_back", lambda device: given.append((device.type, held())))
    gc.disable()
    try:
        asyncio.run(runner.close())
    finally:
        gc.enable()
    assert given == [("cpu", None)]


def test_a_row_that_was_answered_is_not_asked_again(engine_of, monkeypatch) -> None:  # noqa: F811
    """An error between an answer and the tidying up after it."""
    from evalkit.runners.fun_audio_chat.decoding.rows import Rows

    own, failed = Rows.move, []

    def move(self, source, target, length):
        if not failed:
            failed.append(1)
            raise ValueError("once")
        own(self, source, target, length)

    monkeypatch.setattr(Rows, "move", move)
    engine = engine_of(model("dense"), slots=3)
    stop = generate(model("dense"), [run_of("dense", "s2t0")])[0].text_ids[2]
    asked = [
        request("dense", f"in{i}.input_ids", (i,), speech=False, max_new_tokens=9, text_eos=(stop,))
        for i in (0, 1, 2)
    ]
    alone = said(generate(model("dense"), asked))
    assert len(alone[0][0]) < min(len(text) for text, _ in alone[1:])
    futures = [engine.submit(a) for a in asked]
    assert said([f.result(timeout=30) for f in futures]) == alone
    assert failed


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_dies_tells_everybody(engine_of, monkeypatch) -> None:  # noqa: F811
    from evalkit.errors import RunnerError
    from evalkit.runners.fun_audio_chat.decoding import scheduler

    all_asked = threading.Event()

    def die(rows, prompts, start):
        all_asked.wait(20)
        raise SystemExit

    monkeypatch.setattr(scheduler, "prefill", die)
    engine = engine_of(model("dense"), slots=1)
    futures = [engine.submit(run_of("dense", "s2t0")) for _ in range(3)]
    all_asked.set()
    for future in futures:
        with pytest.raises(RunnerError, match="has ended") as caught:
            future.result(timeout=20)
        assert caught.value.fatal
    with pytest.raises(RunnerError, match="closed"):
        engine.submit(run_of("dense", "s2t0"))


def test_another_decoding_has_its_turn(engine_of, monkeypatch) -> None:  # noqa: F811
    """A stream of speech requests without end, and one of text."""
    from evalkit.runners.fun_audio_chat.decoding import scheduler

    monkeypatch.setattr(scheduler, "PATIENCE", 0.2)
    engine = engine_of(model("dense"), slots=2)
    speech = [request("dense", "s2m0.input_ids", (0,), max_new_tokens=n) for n in (5, 8)]
    stop = time.perf_counter() + 20
    pending: list[Future] = []
    text = None
    while time.perf_counter() < stop and (text is None or not text.done()):
        pending = [p for p in pending if not p.done()]
        pending += [engine.submit(speech[i % 2]) for i in range(6 - len(pending))]
        if text is None and pending[0].running():
            text = engine.submit(run_of("dense", "s2t0"))
        time.sleep(0.005)
    assert text is not None
    check("dense", "s2t0", text.result(timeout=0))
