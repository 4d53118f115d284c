"""Time one setting of the Fun-Audio-Chat runner: a mode, a batch size, a way to take steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import runner_device
from bench.runner_sizes import StepBytes, step_bytes
from evalkit.runners.fun_audio_chat.requests import Clip, Decoding, Request

if TYPE_CHECKING:
    from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

MODES = ("s2t", "s2m")
VARIANTS = ("plain", "eager", "compiled", "invariant")
"""As the engine runs by default; without CUDA graphs; layers compiled; the same shapes whatever the batch."""
TEXT = 60
"""Text tokens of a prompt: ChatML, the system's words, an instruction."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the model: clips of `seconds`, `steps` text tokens each, medians over `repeats`."""

    seconds: float
    steps: int
    repeats: int


@dataclass
class Row:
    """One setting, measured. Times in milliseconds, rates per second, memory in bytes; None: not measured.

    Attributes:
        problem: why nothing, or not all, was measured.
        step: one step of decoding all rows, what it said fetched; `first` and `second` are the first two (the second
            captures a graph, where there are graphs).
        encode: the audio towers, per clip; prefill: all rows' prompts, without the towers.
        samples, text, speech: of the whole engine, towers and prefill included; tokens of text and of speech.
        weights, cache: bytes that a step has to read at least (`each` per position of a row, which keeps
            `held`); bound: how long that takes at the device's bandwidth.
    """

    mode: str
    batch: int
    variant: str
    prompt: int
    steps: int
    problem: str = ""
    step: float | None = None
    first: float | None = None
    second: float | None = None
    encode: float | None = None
    prefill: float | None = None
    samples: float | None = None
    text: float | None = None
    speech: float | None = None
    weights: int = 0
    cache: float = 0.0
    each: int = 0
    held: int = 0
    bound: float | None = None
    allocated: int = 0
    reserved: int = 0
    spread: list[float] = field(default_factory=list)

    @property
    def decode(self) -> float | None:
        """Text tokens per second of decoding alone."""
        return self.batch / self.step * 1e3 if self.step else None

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "decode": self.decode}


def clip_and_wave(config: CheckpointConfig, seconds: float) -> tuple[Clip, Any]:
    """A clip of noise as the towers take it, and its wave, float32 at 16 kHz."""
    import numpy as np

    from evalkit.runners.fun_audio_chat.frontend import SAMPLE_RATE, log_mel

    noise = np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE))
    wave = (0.1 * noise).clip(-1, 1).astype(np.float32)
    audio = config.audio
    return (
        log_mel(wave, chunk_length=config.chunk_length, bins=audio.num_mel_bins, group=audio.group_size),
        wave,
    )


def prompt_ids(config: CheckpointConfig, groups: int, *, seed: int = 0) -> tuple[int, ...]:
    """Ids of a prompt with one clip: plain text ids drawn at random around the placeholders."""
    import random

    special = (config.audio_token_index, config.audio_bos_index, config.audio_eos_index)
    draw = random.Random(seed)
    words = [draw.randrange(min(*special, config.vocab_size, 151643)) for _ in range(TEXT)]
    before = words[: TEXT // 2]
    audio = [config.audio_bos_index, *[config.audio_token_index] * groups, config.audio_eos_index]
    return (*before, *audio, *words[TEXT // 2 :])


def decoding(mode: str, steps: int) -> Decoding:
    """The published way to decode, for exactly `steps` text tokens: no text id stops a row."""
    return Decoding(speech=mode == "s2m", max_new_tokens=steps, text_eos=())


def never_silent(model: FunAudioChat) -> None:
    """No speech id ends a row's speech: random weights would draw that one now and then."""
    model.config = replace(model.config, audio=replace(model.config.audio, eos_token_id=-1))


def requests(
    config: CheckpointConfig, clip: Clip, mode: str, load: Load, count: int, first: int = 0
) -> list[Request]:
    """That many requests that differ in their words and draws."""
    how = decoding(mode, load.steps)
    return [
        Request(prompt_ids(config, clip.groups, seed=s), (clip,) if clip.groups else (), how, seed=s)
        for s in range(first, first + count)
    ]


def measure(
    model: FunAudioChat, mode: str, batch: int, variant: str, clip: Clip, load: Load, bandwidth: float
) -> Row:
    """One row; out of memory is told in it, not raised."""
    import torch

    from evalkit.errors import RunnerError

    asked = requests(model.config, clip, mode, load, batch)
    row = Row(mode, batch, variant, len(asked[0].ids), load.steps)
    runner_device.clean(model.device)
    try:
        counted = _parts(row, model, asked, load)
        row.weights, row.held = counted.weights, counted.held_position
        row.each = counted.text_position + counted.head_position
        row.cache = counted.cache(batch, row.prompt + load.steps / 2)
        row.bound = (row.weights + row.cache) / bandwidth * 1e3
        _whole(row, model, asked, load)
    except torch.OutOfMemoryError:
        row.problem = "out of memory"
    except RunnerError as exc:
        row.problem = "out of memory" if exc.kind == "out-of-memory" else f"{exc.kind}: {told(exc)}"
    except RuntimeError as exc:  # out of memory inside a capture comes as an error of the capture
        row.problem = "out of memory" if "out of memory" in str(exc) else told(exc)
    row.allocated, row.reserved = runner_device.peak(model.device)
    runner_device.clean(model.device)
    return row


def told(exc: BaseException) -> str:
    """An error in a line."""
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}"


def _parts(row: Row, model: FunAudioChat, asked: Sequence[Request], load: Load) -> StepBytes:
    """Towers, prefill and steps by themselves, as the engine takes them."""
    import torch

    from evalkit.runners.fun_audio_chat.decoding.generation import prefill
    from evalkit.runners.fun_audio_chat.decoding.graphs import Stepper
    from evalkit.runners.fun_audio_chat.decoding.rows import Prompt, Rows

    device, n = model.device, len(asked)
    fixed = row.variant == "invariant"
    rows = Rows(model, asked[0].decoding, n)
    stepper = Stepper(rows, graphs=_graphs(model, row.variant), fixed=fixed)
    try:
        clips = [c for r in asked for c in r.clips]
        vectors: list[Any] = []
        with torch.inference_mode():
            if clips:
                times = []
                for _ in range(load.repeats + 1):
                    vectors.clear()
                    times.append(
                        runner_device.seconds(lambda: vectors.append(model.audio_vectors(clips)), device)
                    )
                row.encode = median(times[1:]) / n * 1e3
                parts = vectors[0].split([sum(c.groups for c in r.clips) for r in asked])
            else:
                parts = [model.text_embeddings.new_zeros(0, model.config.hidden_size)] * n
        prompts = [
            Prompt(r, torch.tensor(r.ids, dtype=torch.long, device=device), v)
            for r, v in zip(asked, parts, strict=True)
        ]
        rows.reserve(row.prompt + load.steps + 1)

        def fill() -> None:
            if fixed:  # as the engine does: one by one
                for i, prompt in enumerate(prompts):
                    prefill(rows, [prompt], i)
            else:
                prefill(rows, prompts, 0)
            rows.said(0, n)

        row.prefill = median([runner_device.seconds(fill, device) for _ in range(load.repeats + 1)][1:]) * 1e3
        times = []
        for s in range(1, load.steps + 1):
            started = time.perf_counter()
            stepper.step(n, row.prompt + s)
            rows.said(0, n)  # waits for the device
            times.append((time.perf_counter() - started) * 1e3)
        row.first, row.second, *steady = times
        row.step = median(steady)
        row.spread = [min(steady), max(steady)]
        return step_bytes(model, rows, speech=row.mode == "s2m")
    finally:
        stepper.forget()
        rows.release()


def _whole(row: Row, model: FunAudioChat, asked: Sequence[Request], load: Load) -> None:
    """The engine from requests to answers, all of them asked at once."""
    from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK
    from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine

    engine = Engine(
        model,
        slots=row.batch,
        invariant=row.variant == "invariant",
        graphs=_graphs(model, row.variant),
    )
    speech = text = 0
    times: list[float] = []
    # A wave to warm up; a second one where the caches grow on the way, which drops the graphs of the first.
    warm = 1 + (len(asked[0].ids) + load.steps > BLOCK)
    try:
        for wave in range(warm + load.repeats):
            started = time.perf_counter()
            futures: list[Future[Any]] = [engine.submit(r) for r in asked]
            answers = [f.result() for f in futures]
            took = time.perf_counter() - started
            if engine.slots < row.batch:
                row.problem = f"out of memory: the engine goes on with {engine.slots} slots"
                return
            if wave >= warm:
                times.append(took)
                text = sum(len(a.text_ids) for a in answers)
                speech = sum(len(a.speech_ids) for a in answers)
    finally:
        engine.close()
    took = median(times)
    row.samples, row.text, row.speech = row.batch / took, text / took, speech / took


def _graphs(model: FunAudioChat, variant: str) -> bool:
    """Whether steps are replayed as CUDA graphs, by the engine's own rule."""
    return variant != "eager" and model.device.type == "cuda" and model.config.text_kind == "qwen3"
