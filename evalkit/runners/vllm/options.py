"""Options of the vLLM runner: `-M name=value` strings made into checked values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.records import JSON
from evalkit.runners.option_values import (
    Parse,
    check_known,
    choice,
    integer,
    json_object,
    number,
    text,
    yes_no,
)

MAX_TOKENS = 2048
"""As the Fun-Audio-Chat runner: longer than any answer of it that is known."""
CONCURRENCY = 128
"""Requests under way: vLLM batches what it has, so it should always have some waiting."""
LIMIT_AUDIO = 8
DTYPES = ("auto", "float32", "bfloat16", "float16", "half", "float")
OURS = {
    "model": "the name after vllm/",
    "revision": "revision",
    "dtype": "dtype",
    "max_model_len": "max_model_len",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "tensor_parallel_size": "tensor_parallel",
    "data_parallel_size": "data_parallel",
    "enforce_eager": "enforce_eager",
    "trust_remote_code": "trust_remote_code",
    "seed": "seed",
}
"""Engine arguments that have an option of their own, and what that is called."""
HARMLESS = frozenset(
    {
        *(
            "max_num_seqs",
            "max_num_batched_tokens",
            "block_size",
            "kv_cache_memory_bytes",
            "disable_log_stats",
        ),
        *("enable_log_requests", "distributed_executor_backend", "data_parallel_backend", "load_format"),
        *("download_dir", "async_scheduling", "max_parallel_loading_workers", "mm_processor_cache_gb"),
        *(
            "enable_prefix_caching",
            "enable_chunked_prefill",
            "nnodes",
            "node_rank",
            "master_addr",
            "master_port",
        ),
    }
)
"""Engine arguments that decide speed and memory, not answers: they are no part of the identity."""


@dataclass(frozen=True)
class Options:
    """What the user may set with -M.

    Attributes:
        revision: of a model of the hub: branch, tag or commit.
        system: system text; None: Fun-Audio-Chat's own for answers in text, none for other models.
        temperature, top_p, max_tokens, seed: decoding; temperature 0 is greedy. Each sample draws with a seed of its
            own, made of `seed` and what it asks.
        repetition_penalty: None leaves it out.
        chat_template: source of a Jinja template in the place of the model's own.
        template_args: what else the template is given (`{"enable_thinking": false}`).
        tools: how tools are told: "model" (in the model's own way), or "prompt" (in our words, in a system turn).
        sample_rate: audio is sent at this rate, in Hz (other models than Fun-Audio-Chat).
        trust_remote_code: run Python code that comes with the model.
        dtype: of weights and activations; "auto": that of the checkpoint.
        max_model_len: most tokens of prompt and answer; None: 8192 for Fun-Audio-Chat, else as the model says.
        gpu_memory_utilization: share of a GPU's memory that vLLM takes; None: vLLM's default.
        tensor_parallel, data_parallel: GPUs per replica, replicas.
        enforce_eager: no CUDA graphs, no compilation: a faster start, slower answers.
        limit_audio: most pieces of audio in a sample.
        audio_seconds: length of the clip that vLLM sizes its memory with; longer ones are answered all the same.
        concurrency: requests under way.
        engine_args: further engine arguments by vLLM's own names.
    """

    revision: str | None = None
    system: str | None = None
    temperature: float = 0.0
    top_p: float | None = None
    max_tokens: int = MAX_TOKENS
    seed: int = 0
    repetition_penalty: float | None = None
    chat_template: str | None = None
    template_args: Mapping[str, JSON] = field(default_factory=dict)
    tools: str = "model"
    sample_rate: int = 16_000
    trust_remote_code: bool = False
    dtype: str = "auto"
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    tensor_parallel: int = 1
    data_parallel: int = 1
    enforce_eager: bool = False
    limit_audio: int = LIMIT_AUDIO
    audio_seconds: float = 30.0
    concurrency: int = CONCURRENCY
    engine_args: Mapping[str, JSON] = field(default_factory=dict)

    def decoding(self) -> dict[str, JSON]:
        """How answers are decoded, by our names; what has no part in it is left out."""
        out: dict[str, JSON] = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        if self.temperature > 0:
            out |= {"top_p": self.top_p if self.top_p is not None else 1.0, "seed": self.seed}
        if self.repetition_penalty is not None:
            out["repetition_penalty"] = self.repetition_penalty
        return out

    def deciding(self) -> dict[str, JSON]:
        """Engine settings that decide answers: dtype, lengths, and engine arguments that are not known as harmless."""
        out: dict[str, JSON] = {"dtype": self.dtype}
        if self.max_model_len is not None:
            out["max_model_len"] = self.max_model_len
        if extra := {k: v for k, v in self.engine_args.items() if k not in HARMLESS}:
            out["engine_args"] = extra
        return out


def _engine_args(name: str, value: Any) -> dict[str, JSON]:
    found = json_object(name, value, example='{"max_num_seqs": 256}', reserved=())
    if taken := [f"{k} ({OURS[k]})" for k in found if k in OURS]:
        raise UsageError(f"{name} can't set {', '.join(taken)}: use the option or name in parentheses")
    return found


def _template_args(name: str, value: Any) -> dict[str, JSON]:
    taken = ("tools", "chat_template", "add_generation_prompt", "tokenize")
    return json_object(name, value, example='{"enable_thinking": false}', reserved=taken)


def _template(name: str, value: Any) -> str:
    """The file's text. Raises UsageError."""
    try:
        found = Path(text(name, value)).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise UsageError(
            f"{name} must be a file with a Jinja template: {value} can't be read ({exc})"
        ) from exc
    if not found.strip():
        raise UsageError(f"{name}: the file {value} is empty")
    return found


PARSERS: Mapping[str, Parse] = {
    "revision": text,
    "system": text,
    "temperature": number(0, 10),
    "top_p": number(0, 1, open_low=True),
    "max_tokens": integer(1, 10_000_000),
    "seed": integer(0, 2**63 - 1),
    "repetition_penalty": number(0, 100, open_low=True),
    "chat_template": _template,
    "template_args": _template_args,
    "tools": choice("model", "prompt"),
    "sample_rate": integer(1000, 384_000),
    "trust_remote_code": yes_no,
    "dtype": choice(*DTYPES),
    "max_model_len": integer(16, 100_000_000),
    "gpu_memory_utilization": number(0, 1, open_low=True),
    "tensor_parallel": integer(1, 1024),
    "data_parallel": integer(1, 1024),
    "enforce_eager": yes_no,
    "limit_audio": integer(1, 998),
    "audio_seconds": number(0, 86_400, open_low=True),
    "concurrency": integer(1, 65_536),
    "engine_args": _engine_args,
}


def parse_options(given: Mapping[str, Any]) -> Options:
    """Check the user's options.

    Args:
        given: values as strings, or as they are when called from Python.

    Raises:
        UsageError: unknown name or unusable value.
    """
    check_known(given, PARSERS, "vllm")
    values = {name: PARSERS[name](name, value) for name, value in given.items() if value is not None}
    options = Options(**values)
    stages = options.engine_args.get("pipeline_parallel_size", 1)
    if not isinstance(stages, int) or stages < 1:
        raise UsageError(f"engine_args: pipeline_parallel_size must be a whole number from 1, not {stages!r}")
    if options.top_p is not None and options.temperature == 0:
        raise UsageError("top_p does nothing at temperature 0: set temperature, too")
    try:
        json.dumps(options.engine_args, allow_nan=False)
    except ValueError as exc:
        raise UsageError(f"engine_args holds a number that is none ({exc})") from exc
    return options
