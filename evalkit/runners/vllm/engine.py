"""vLLM's asynchronous engine in a thread of its own: started before the harness's event loop runs, asked from it.

The engine's processes are started here with Ctrl-C blocked, so that the interrupt of a terminal, which all processes
of the foreground get, ends the run in good order instead of killing the engine under it. vLLM's own names are used
where it exports them (`vllm.AsyncLLMEngine`, `AsyncEngineArgs`, `SamplingParams`); chats go through its renderer, as
its own entry points do.
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON
from evalkit.runners.vllm.chatter import Chatter, is_memory

T = TypeVar("T")

GRACE = 1.0
"""Seconds before a dead engine is told: when a signal to all processes killed it, the run is being interrupted."""
STOP_SECONDS = 30.0
KILL_SECONDS = 3.0
DEFAULTS = {
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # stdout may be the result, as JSON
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # the engine is started from a thread: a fork could copy held locks
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment of vLLM, where the user did not set it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt made by us.

    Attributes:
        ids: prompt ids, one placeholder for each piece of audio; vLLM expands it.
        waves: (mono float32 samples, rate in Hz) of each piece of audio.
    """

    ids: tuple[int, ...]
    waves: tuple[tuple[Any, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Chat:
    """A prompt that the model's chat template makes.

    Attributes:
        messages: as the OpenAI API has them; audio as base64.
        template: Jinja source in the place of the model's own template.
        arguments: what the template is given beside the messages ("tools", ...).
    """

    messages: Sequence[JSON]
    template: str | None = None
    arguments: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a prompt: the text without special tokens, ids with the stop token, why it ended, and counts."""

    text: str
    ids: tuple[int, ...]
    finish: str
    prompt_tokens: int
    cached_tokens: int = 0


class Engine:
    """One vLLM engine, with all its replicas.

    Args:
        arguments: of `vllm.AsyncEngineArgs`.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.arguments = dict(arguments)
        self.chatter = Chatter()
        self._engine: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._numbers = count(1)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Load the model; blocks. The second call does nothing.

        Raises:
            UsageError: no vLLM, an argument that it does not take, not enough memory, or a start that failed.
        """
        with self._lock:
            if self._engine is not None:
                return
            for name, value in DEFAULTS.items():
                os.environ.setdefault(name, value)
            before = set(multiprocessing.active_children())
            up: Future[asyncio.AbstractEventLoop] = Future()
            self._thread = threading.Thread(target=self._serve, args=(up,), name="vllm-engine", daemon=True)
            self._thread.start()
            self._loop = up.result()
            atexit.register(self.close)
            try:
                with self.chatter.captured():
                    self._engine = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
            except BaseException as exc:  # also Ctrl-C while the weights are loaded
                self._end_processes(before)
                self._end_loop(0.0 if not isinstance(exc, Exception) else STOP_SECONDS)
                if isinstance(exc, Exception) and not isinstance(exc, UsageError):
                    raise self._not_started(exc) from exc
                raise

    async def answer(self, prompt: Tokens | Chat, sampling: Mapping[str, Any]) -> Reply:
        """Answer one prompt; call it from any event loop, many at once.

        Args:
            sampling: of `vllm.SamplingParams`.

        Raises:
            RunnerError: "prompt-too-long", "bad-request" (vLLM refuses it), "engine" (it failed at this one),
                "engine-dead" (fatal).
        """
        return await self._on_loop(self._answer(prompt, sampling))

    def close(self) -> None:
        """Shut the engine and its processes down; blocks. May be called again."""
        with self._lock:
            atexit.unregister(self.close)
            engine, self._engine = self._engine, None
            if engine is not None and self._loop is not None and self._loop.is_running():

                async def shut() -> None:
                    engine.shutdown()

                with (
                    self.chatter.captured(),
                    suppress(Exception),
                ):  # it is over: nobody can do anything about it
                    asyncio.run_coroutine_threadsafe(shut(), self._loop).result(STOP_SECONDS)
            self._end_loop()

    # --- in the engine's thread ------------------------------------------------------------------

    def _serve(self, up: Future[asyncio.AbstractEventLoop]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # processes started here inherit it
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        up.set_result(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            loop.close()

    async def _open(self) -> Any:
        from vllm import AsyncEngineArgs, AsyncLLMEngine

        try:
            arguments = AsyncEngineArgs(**self.arguments)
        except TypeError as exc:
            raise UsageError(f"engine_args: vLLM takes no such argument ({exc})") from exc
        return AsyncLLMEngine.from_engine_args(arguments)

    async def _answer(self, prompt: Tokens | Chat, sampling: Mapping[str, Any]) -> Reply:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        engine = self._engine
        if engine is None:
            raise RunnerError("engine-closed", "vLLM's engine is closed", fatal=True)
        number = str(next(self._numbers))
        try:
            params = SamplingParams(**sampling, output_kind=RequestOutputKind.FINAL_ONLY)
            asked = _as_tokens(prompt) if isinstance(prompt, Tokens) else await _rendered(engine, prompt)
            out = None
            async for out in engine.generate(asked, params, number):  # noqa: B007
                pass
        except Exception as exc:
            if "EngineDeadError" in _kinds(exc):
                await asyncio.sleep(GRACE)
                raise self._dead(exc) from exc
            raise _refused(exc) from exc
        if out is None or not out.outputs:
            raise RunnerError("engine", "vLLM gave no answer", retryable=True)
        best = out.outputs[0]
        finish = str(best.finish_reason or "")
        if finish not in ("stop", "length"):
            raise RunnerError("engine", f"vLLM broke off ({finish or 'no reason given'})", retryable=True)
        return Reply(
            best.text,
            tuple(best.token_ids),
            finish,
            len(out.prompt_token_ids or ()),
            int(getattr(out, "num_cached_tokens", 0) or 0),
        )

    # --- helpers ---------------------------------------------------------------------------------

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that runs in the engine's loop; a cancelled wait cancels it."""
        if self._loop is None or not self._loop.is_running():
            work.close()
            raise RunnerError("engine-closed", "vLLM's engine is not running", fatal=True)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    @staticmethod
    def _end_processes(before: Collection[Any]) -> None:
        """End the processes of a start that failed or was interrupted: they would load on, and Python wait for them."""
        left = [p for p in multiprocessing.active_children() if p not in before]
        for process in left:
            process.terminate()
        for process in left:
            process.join(KILL_SECONDS)
            if process.is_alive():
                process.kill()

    def _end_loop(self, seconds: float = STOP_SECONDS) -> None:
        loop, self._loop = self._loop, None
        thread, self._thread = self._thread, None
        if loop is not None and loop.is_running():
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join(seconds)

    def _not_started(self, exc: Exception) -> UsageError:
        """Why vLLM did not start, and what to change."""
        told = " ".join(str(exc).split())
        cause = self.chatter.cause() or f"{type(exc).__name__}: {told[:300]}"
        name = self.arguments.get("model")
        if is_memory(cause) or is_memory(told):
            share = self.arguments.get("gpu_memory_utilization")
            now = f"gpu_memory_utilization (now {share:g})" if share else "gpu_memory_utilization"
            return UsageError(
                f"vLLM has not enough memory for {name} ({cause}): lower max_model_len, raise {now} if the GPU is "
                "otherwise free, or spread the model over GPUs with tensor_parallel=N."
            )
        return UsageError(
            f"vLLM can't load {name} ({cause}). What it said is above; VLLM_LOGGING_LEVEL=INFO shows more."
        )

    def _dead(self, exc: Exception) -> RunnerError:
        cause = self.chatter.cause() or " ".join(str(exc).split())[:300]
        advice = "; lower gpu_memory_utilization or concurrency" if is_memory(cause) else ""
        return RunnerError("engine-dead", f"vLLM's engine has died ({cause}){advice}", fatal=True)


def _as_tokens(prompt: Tokens) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt_token_ids": list(prompt.ids)}
    if prompt.waves:
        asked["multi_modal_data"] = {"audio": list(prompt.waves)}
    return asked


async def _rendered(engine: Any, prompt: Chat) -> Any:
    """The chat as vLLM's engine takes it, through the model's template and processor."""
    from vllm.renderers import ChatParams
    from vllm.utils.mistral import is_mistral_tokenizer

    renderer = engine.renderer
    arguments = {
        **prompt.arguments,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "tokenize": is_mistral_tokenizer(renderer.tokenizer),
    }
    params = ChatParams(chat_template=prompt.template, chat_template_kwargs=arguments)
    # The template writes what begins a text; the tokenizer must not write it a second time.
    tokens = renderer.default_chat_tok_params.with_kwargs(add_special_tokens=False)
    render: Callable[..., Awaitable[Any]] = renderer.render_chat_async
    _, (asked,) = await render([list(prompt.messages)], params, tokens)
    return asked


def _kinds(exc: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(exc).__mro__}


def _refused(exc: Exception) -> RunnerError:
    """The failure of one request: refused by vLLM, or failed inside it."""
    if isinstance(exc, RunnerError):
        return exc
    cause = exc.__cause__ if "EngineGenerateError" in _kinds(exc) and exc.__cause__ else exc
    told = " ".join(str(cause).split())[:400] or type(cause).__name__
    if "maximum model length" in told or "max_model_len" in told or "maximum context length" in told:
        return RunnerError(
            "prompt-too-long", f"{told} Raise max_model_len if the model takes more.", unsent=True
        )
    if "At most" in told and "may be provided" in told:
        return RunnerError("too-much-audio", f"{told} Raise limit_audio.", unsent=True)
    if isinstance(cause, ValueError | TypeError) or "VLLMClientError" in _kinds(cause):
        return RunnerError("bad-request", f"vLLM refuses the prompt: {told}", unsent=True)
    return RunnerError(
        "engine", f"vLLM failed at this prompt: {type(cause).__name__}: {told}", retryable=True
    )
