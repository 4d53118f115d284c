"""`--model vllm/PATH-OR-HUB-ID`: vLLM's engine in this process, with continuous batching. Text answers only."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.config import offline
from evalkit.errors import UsageError
from evalkit.interfaces import Runner
from evalkit.records import JSON, Modality, Response, Sample
from evalkit.runners.vllm.engine import Engine
from evalkit.runners.vllm.options import Options, parse_options
from evalkit.runners.vllm.prompt import Prompts, prompts_for
from evalkit.runners.vllm.source import Source, open_source, vllm_version


class VllmRunner(Runner):
    """A model that vLLM runs: Fun-Audio-Chat with the prompt it was trained with, others with their chat template.

    Options are the fields of `options.Options`.

    Args:
        model: a folder, or OWNER/NAME[@REVISION] of the hub.

    Attributes:
        gpus: that it takes, where there are any; `--replicas` sets as many aside for each replica.

    Raises:
        UsageError: no vLLM, an unknown or unusable option.
    """

    name = "vllm"
    modalities = frozenset({Modality.S2T, Modality.T2T})

    def __init__(self, model: str, **options: Any) -> None:
        if not model.strip():
            raise UsageError("name the model: vllm/FOLDER, or vllm/OWNER/NAME of the hub")
        self.model = model
        self.options: Options = parse_options(options)
        self.version = vllm_version()
        self.concurrency = self.options.concurrency
        stages = self.options.engine_args.get("pipeline_parallel_size", 1)
        self.gpus = self.options.tensor_parallel * self.options.data_parallel * int(stages)
        self._engine: Engine | None = None

    @cached_property
    def source(self) -> Source:
        """The folder or hub commit. Raises UsageError."""
        return open_source(self.model, self.options.revision)

    @cached_property
    def prompts(self) -> Prompts:
        """How this model is asked. Raises UsageError."""
        return prompts_for(self.source, self.options)

    @cached_property
    def _identity(self) -> Mapping[str, JSON]:
        return {
            "runner": self.name,
            "model": self.source.label,
            **self.source.pinned(),
            "decoding": self.options.decoding(),
            "prompt": dict(self.prompts.identity()),
            **self.options.deciding(),
            "vllm": self.version,
        }

    def identity(self) -> Mapping[str, JSON]:
        """Weights, prompts by their digests, decoding, dtype, vLLM's version. Raises UsageError."""
        return self._identity

    def prepare(self, modality: Modality) -> None:
        """Load the model; once, however often it is called. Raises UsageError."""
        if self._engine is None:
            if offline():
                os.environ.setdefault("HF_HUB_OFFLINE", "1")
            print(f"vLLM {self.version} is loading {self.source.label}", file=sys.stderr, flush=True)
            engine = Engine(self._arguments())
            engine.start()
            self._engine = engine

    async def preview(self, sample: Sample, modality: Modality) -> JSON:
        """What vLLM would be given, each piece of audio by its facts. Raises RunnerError."""
        return await self.prompts.preview(sample)

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        """Answer one sample. Raises RunnerError; see `engine.Engine.answer` for the kinds."""
        if self._engine is None:
            await asyncio.to_thread(self.prepare, modality)
        assert self._engine is not None
        ready = await self.prompts.prepare(sample)
        start = time.perf_counter()
        reply = await self._engine.answer(ready.prompt, self._sampling(sample))
        elapsed = time.perf_counter() - start
        meta: dict[str, JSON] = {"finish_reason": reply.finish}
        if reply.finish == "length":
            meta["truncated"] = True
        usage: dict[str, JSON] = {
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": len(reply.ids),
        }
        if reply.cached_tokens:
            usage["cached_tokens"] = reply.cached_tokens
        return Response(
            sample.id,
            text=self.prompts.text_of(reply),
            sent=ready.sent,
            usage=usage,
            timing={"generate": elapsed},
            meta=meta,
        )

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)

    def _arguments(self) -> dict[str, Any]:
        """Engine arguments: what the model needs, what the user set."""
        o = self.options
        out: dict[str, Any] = {
            **self.prompts.engine_args(),
            # Its processes, and replicas on Ray, may have another working directory.
            "model": str(Path(self.source.name).absolute())
            if self.source.commit is None
            else self.source.name,
            "dtype": o.dtype,
            "seed": o.seed % 2**32,
            "trust_remote_code": o.trust_remote_code,
            "enforce_eager": o.enforce_eager,
            "tensor_parallel_size": o.tensor_parallel,
            "data_parallel_size": o.data_parallel,
            "disable_log_stats": True,
            "enable_log_requests": False,
        }
        if self.source.commit is not None:
            out |= {"revision": self.source.commit, "tokenizer_revision": self.source.commit}
        for name in ("max_model_len", "gpu_memory_utilization"):
            if (value := getattr(o, name)) is not None:
                out[name] = value
        return {**out, **o.engine_args}

    def _sampling(self, sample: Sample) -> dict[str, Any]:
        """Arguments of `vllm.SamplingParams` for one sample; its draws depend on nothing else in the batch."""
        o = self.options
        out: dict[str, Any] = {
            "temperature": o.temperature,
            "max_tokens": o.max_tokens,
            **self.prompts.sampling(),
        }
        if o.temperature > 0:
            named = hashlib.sha256(f"{o.seed}:{sample.content_digest()}".encode()).digest()
            out |= {
                "seed": int.from_bytes(named[:8], "big") >> 1,
                "top_p": o.top_p if o.top_p is not None else 1.0,
            }
        if o.repetition_penalty is not None:
            out["repetition_penalty"] = o.repetition_penalty
        return out
