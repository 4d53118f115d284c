"""A small vLLM for tests: the names that our runner uses, with vLLM 0.32's signatures, checks and errors, and no model.

It answers with what it was asked: text says what it saw, so that a test can tell. Nothing in it is taken from vLLM.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest


class VLLMError(Exception):
    pass


class VLLMClientError(VLLMError):
    pass


class VLLMValidationError(VLLMClientError):
    pass


class EngineDeadError(VLLMError):
    def __init__(self) -> None:
        super().__init__("EngineCore encountered an issue. See stack trace (above) for the root cause.")


class EngineGenerateError(VLLMError):
    pass


class RequestOutputKind(Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    stop_token_ids: list[int] | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE


@dataclass
class AsyncEngineArgs:
    model: str = ""
    revision: str | None = None
    tokenizer_revision: str | None = None
    dtype: str = "auto"
    seed: int = 0
    max_model_len: int | None = None
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    enforce_eager: bool = False
    trust_remote_code: bool = False
    limit_mm_per_prompt: Mapping[str, Any] = field(default_factory=dict)
    worker_extension_cls: str = ""
    max_num_seqs: int | None = None
    disable_log_stats: bool = False
    enable_log_requests: bool = False


@dataclass(frozen=True)
class ChatParams:
    chat_template: str | None = None
    chat_template_content_format: str = "auto"
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenizeParams:
    add_special_tokens: bool = True

    def with_kwargs(self, **changed: Any) -> TokenizeParams:
        return TokenizeParams(**changed)


class Renderer:
    """Puts messages through a "template": roles and the kinds of their parts."""

    tokenizer = object()
    default_chat_tok_params = TokenizeParams()

    async def render_chat_async(
        self,
        conversations: list[list[Any]],
        chat_params: ChatParams,
        tok_params: TokenizeParams | None = None,
    ) -> tuple[list[Any], list[Any]]:
        assert tok_params is not None
        assert not tok_params.add_special_tokens
        (messages,) = conversations
        said = []
        for message in messages:
            content = message["content"]
            parts = [content] if isinstance(content, str) else [p.get("text", p["type"]) for p in content]
            said.append(f"{message['role']}: {' + '.join(parts)}")
        asked = {"type": "multimodal", "said": " | ".join(said), "given": chat_params.chat_template_kwargs}
        return conversations, [asked]


class AsyncLLMEngine:
    """Answers after `step` s per request, all at once; what a prompt says can bring trouble."""

    made: ClassVar[list[AsyncLLMEngine]] = []
    start_error: ClassVar[Exception | None] = None
    prints: ClassVar[str] = ""

    def __init__(self, args: AsyncEngineArgs) -> None:
        self.args = args
        self.renderer = Renderer()
        self.asked: list[tuple[Any, SamplingParams]] = []
        self.under_way = self.most = 0
        self.aborted: list[str] = []
        self.dead = self.closed = False
        self.step = 0.01
        AsyncLLMEngine.made.append(self)

    @classmethod
    def from_engine_args(cls, engine_args: AsyncEngineArgs) -> AsyncLLMEngine:
        os.write(1, cls.prints.encode())  # as its processes do
        if cls.start_error is not None:
            raise cls.start_error
        return cls(engine_args)

    async def generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str
    ) -> AsyncGenerator[Any, None]:
        if self.dead:
            raise EngineDeadError
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.step)
            yield self._answered(prompt, sampling_params)
        except asyncio.CancelledError:
            self.aborted.append(request_id)
            raise
        finally:
            self.under_way -= 1

    def _answered(self, prompt: Any, params: SamplingParams) -> Any:
        self.asked.append((prompt, params))
        limit = self.args.max_model_len or 4096
        ids = list(prompt.get("prompt_token_ids", range(5)))
        if len(ids) > limit:
            raise VLLMValidationError(
                f"The decoder prompt (length {len(ids)}) is longer than the maximum model length of {limit}."
            )
        told = prompt.get("said", "")
        if "break" in told:
            raise EngineGenerateError from KeyError("block")
        if "abort" in told:
            return self._out("", [], "abort", ids)
        # The reference's first ids of clip 0, and a stop.
        made = [135, 98, 81, 119, 261, 258][: params.max_tokens]
        return self._out(told, made, "stop" if made[-1] == 258 else "length", ids)

    @staticmethod
    def _out(text: str, made: list[int], finish: str, ids: list[int]) -> Any:
        completion = SimpleNamespace(text=text, token_ids=made, finish_reason=finish, stop_reason=None)
        return SimpleNamespace(outputs=[completion], prompt_token_ids=ids, num_cached_tokens=2, finished=True)

    def shutdown(self, timeout: float | None = None) -> None:
        self.closed = True


NAMES: Mapping[str, Mapping[str, Any]] = {
    "vllm": {
        "AsyncEngineArgs": AsyncEngineArgs,
        "AsyncLLMEngine": AsyncLLMEngine,
        "SamplingParams": SamplingParams,
    },
    "vllm.sampling_params": {"RequestOutputKind": RequestOutputKind, "SamplingParams": SamplingParams},
    "vllm.renderers": {"ChatParams": ChatParams},
    "vllm.utils": {},
    "vllm.utils.mistral": {"is_mistral_tokenizer": lambda tokenizer: False},
}
"""What of vLLM is asked for, by module; `test_vllm_real.py` holds the real one against it."""


def install(monkeypatch: pytest.MonkeyPatch) -> type[AsyncLLMEngine]:
    """`import vllm` gives the stand-in, in this test."""
    for name, values in NAMES.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    for name in (
        "VLLM_LOGGING_STREAM",
        "VLLM_LOGGING_LEVEL",
        "VLLM_WORKER_MULTIPROC_METHOD",
        "VLLM_NO_USAGE_STATS",
    ):
        monkeypatch.setenv(name, "")  # so that what the runner sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr(AsyncLLMEngine, "made", [])
    monkeypatch.setattr(AsyncLLMEngine, "start_error", None)
    monkeypatch.setattr(AsyncLLMEngine, "prints", "")
    return AsyncLLMEngine
