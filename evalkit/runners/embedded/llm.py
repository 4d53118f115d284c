"""The head of the embedded cascade: SmolLM2-135M-Instruct (Q4_1) inside this process through llama.cpp.

Repeatable by construction: greedy, one thread, no prompt cache (with the cache on, an answer depends on
what was asked before it).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from evalkit.chat import Abilities, ChatReply, ChatRequest, Token
from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON, digest_of
from evalkit.runners.embedded.weights import INSTALL_HINT, Weights, llm_file, need
from evalkit.runners.openai.logprobs import tokens_of

Message = tuple[str, str]
"""(role, text)"""

SYSTEM = "Answer in one short sentence."
SHOTS: tuple[Message, ...] = (
    ("user", "What is the capital of Canada?"),
    ("assistant", "The capital of Canada is Ottawa."),
    ("user", "Which one is a fruit? A, a chair. B, a stone. C, an apple. D, a shoe."),
    ("assistant", "The answer is C, an apple."),
    ("user", "How can I break into a house?"),
    ("assistant", "I'm sorry, but I can't help with that."),
    ("user", "How can I keep plants healthy?"),
    ("assistant", "Give them light, water and good soil."),
)
"""Without examples so small a model rambles; these show its three kinds of answer and a refusal."""

CONTEXT = 4096
SEED = 1
JUDGE_TOKENS = 64
SCHEMA_TOKENS = 256
"""A reply by JSON Schema that is cut off can't be read at all, so it may be longer."""


def prompt_digest() -> str:
    """16 hex digits that name the system line and the examples."""
    return digest_of([SYSTEM, [list(m) for m in SHOTS]])[:16]


def frame(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Put the system line (or the sample's own) and the examples in front of the turns of a sample."""
    own = "\n".join(text for role, text in turns if role == "system")
    return (("system", own or SYSTEM), *SHOTS, *(t for t in turns if t[0] != "system"))


@dataclass(frozen=True, slots=True)
class Said:
    """A reply: its words, why it ended ("stop", "length"), token counts, the seconds it took, tokens if wanted."""

    text: str
    finish: str
    usage: Mapping[str, JSON]
    seconds: float
    tokens: tuple[Token, ...] = ()


class SmolLM:
    """The model, loaded on first use; one request at a time, safe to share between threads."""

    def __init__(self, gguf: Path) -> None:
        self._gguf = gguf
        self._server: Any = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Load the weights.

        Raises:
            UsageError: the runtime can't be loaded or the file is no model it knows.
        """
        with self._lock:
            self._loaded()

    def _loaded(self) -> Any:
        if self._server is None:
            try:
                import xllamacpp

                params = xllamacpp.CommonParams()
                params.model.path = str(self._gguf)
                params.n_ctx, params.n_parallel = CONTEXT, 1
                params.warmup, params.verbosity = False, -1
                # The server keeps the state of every past prompt (up to 8 GB) unless told not to.
                _switch_off(params, "cache_ram_mib", "n_ctx_checkpoints", "cache_idle_slots")
                params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
                self._server = xllamacpp.Server(params)
            except (ImportError, OSError) as exc:
                hint = "On a slim system libgomp1 may be missing." if "gomp" in str(exc) else INSTALL_HINT
                raise UsageError(f"the LLM runtime (xllamacpp) can't be loaded: {exc}. {hint}") from exc
            except (RuntimeError, ValueError) as exc:
                raise UsageError(f"the LLM {self._gguf} can't be loaded: {exc}") from exc
        return self._server

    def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float | None = None,
        seed: int = SEED,
        choices: Sequence[str] = (),
        top_logprobs: int = 0,
        schema: Mapping[str, JSON] | None = None,
    ) -> Said:
        """Reply to a conversation; with `choices`, with one of them; with `schema`, as it says.

        Log-probabilities are those of the model as it is: neither choices nor a schema change them, so that a
        token they forced may be an unlikely one.

        Raises:
            UsageError: the weights can't be loaded.
            RunnerError: the conversation does not fit the context, or the runtime failed.
        """
        body: dict[str, Any] = {
            "messages": [{"role": role, "content": _clean(text)} for role, text in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "cache_prompt": False,
        }
        if top_p is not None:
            body["top_p"] = top_p
        if top_logprobs:
            body |= {"logprobs": True, "top_logprobs": top_logprobs}
        if schema is not None:  # the runtime takes a schema or a grammar
            body["response_format"] = {"type": "json_schema", "json_schema": {"schema": dict(schema)}}
        elif choices:
            body["grammar"] = "root ::= " + " | ".join(json.dumps(c) for c in choices)
        with self._lock:
            server, began = self._loaded(), time.perf_counter()
            try:
                reply = server.handle_chat_completions(body)
            except RuntimeError as exc:
                raise RunnerError("llm-failed", f"the embedded LLM failed: {str(exc)[:300]}") from exc
            return _read(reply, time.perf_counter() - began, top_logprobs)


def _switch_off(params: Any, *names: str) -> None:
    """Set those of these settings that this release of the runtime has to 0."""
    for name in names:
        if hasattr(params, name):
            setattr(params, name, type(getattr(params, name))(0))


def _clean(text: str) -> str:
    """Text that survives the trip to C++: no NUL, no lone surrogates."""
    return text.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8")


def _read(reply: Any, seconds: float, tops: int = 0) -> Said:
    """Pick a reply apart. Raises RunnerError for an error object or an unexpected shape."""
    if isinstance(reply, Mapping) and isinstance(error := reply.get("error"), Mapping):
        message = str(error.get("message", "no message"))[:300]
        kind = "context-overflow" if "context" in str(error.get("type", "")) else "llm-failed"
        raise RunnerError(kind, f"the embedded LLM refused the request: {message}")
    try:
        choice = reply["choices"][0]
        text, finish = choice["message"].get("content") or "", str(choice.get("finish_reason", ""))
        counts = reply.get("usage") or {}
    except (KeyError, IndexError, TypeError, AttributeError) as exc:
        raise RunnerError(
            "llm-failed", f"the embedded LLM gave an unexpected reply: {str(reply)[:200]}"
        ) from exc
    usage = {k: counts[k] for k in ("prompt_tokens", "completion_tokens") if k in counts}
    tokens = tokens_of(choice.get("logprobs"), tops) or () if tops else ()
    return Said(str(text).strip(), finish, usage, seconds, tokens)


@cache
def _shared(gguf: str) -> SmolLM:
    return SmolLM(Path(gguf))


def embedded_llm(llm_gguf: str | None = None) -> tuple[SmolLM, Weights]:
    """The one instance of this process for these weights, and the weights.

    Raises:
        UsageError: not installed, not to be had, or not the pinned bytes.
    """
    need("xllamacpp")
    weights = llm_file(llm_gguf)
    return _shared(str(weights.path.resolve())), weights


class EmbeddedChat:
    """`ChatModel` over the shared SmolLM2, for the judge role.

    It exercises the plumbing of judging without a key. A model of this size rates right and wrong answers
    alike, so `meaningful` is False and tables say so.
    """

    label = "embedded-smollm2-135m"
    meaningful = False
    hears = False

    def __init__(self, model: str = "", **options: object) -> None:
        """Options: llm_gguf (path), max_tokens (upper bound of a reply). Raises UsageError."""
        if unknown := sorted(set(options) - {"llm_gguf", "max_tokens"}):
            raise UsageError(f"the embedded judge has no option {unknown[0]!r}; known: llm_gguf, max_tokens.")
        check_model_name(model)
        need("xllamacpp")
        self._gguf = str(options["llm_gguf"]) if options.get("llm_gguf") else None
        given = options.get("max_tokens")
        self._max_tokens = None if given is None else positive_int("max_tokens", given)

    @property
    def bent(self) -> Mapping[str, JSON]:
        """The option that changes replies, as judges sign it."""
        return {} if self._max_tokens is None else {"max_tokens": self._max_tokens}

    def prepare(self) -> None:
        """Fetch and load the weights. Raises UsageError."""
        embedded_llm(self._gguf)[0].prepare()

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Reply `request.n` times. Raises RunnerError."""
        import asyncio

        return await asyncio.to_thread(self._chat, request)

    def _chat(self, request: ChatRequest) -> ChatReply:
        try:
            llm, _ = embedded_llm(self._gguf)
            most = self._max_tokens or (JUDGE_TOKENS if request.schema is None else SCHEMA_TOKENS)
            limit = min(request.max_tokens or most, most)
            seed = SEED if request.seed is None else request.seed
            # Greedy votes are all alike: one is computed, so that three cost no more than one.
            temperature = max(0.0, request.temperature or 0.0)
            asked = request.n if temperature else 1
            votes = [
                llm.chat(
                    request.texts(),
                    max_tokens=limit,
                    temperature=temperature,
                    top_p=request.top_p,
                    seed=seed + i,
                    choices=request.choices,
                    top_logprobs=request.top_logprobs,
                    schema=request.schema,
                )
                for i in range(asked)
            ]
        except UsageError as exc:
            raise RunnerError("weights", str(exc), fatal=True) from exc
        usage = {k: sum(v.usage.get(k, 0) for v in votes) for k in votes[0].usage}
        votes *= request.n if asked == 1 else 1
        return ChatReply(
            tuple(v.text for v in votes),
            self.label,
            usage,
            tuple(v.finish for v in votes),
            tokens=tuple(v.tokens for v in votes) if request.top_logprobs else (),
        )

    async def abilities(self) -> Abilities:
        """Both: the runtime tells log-probabilities and keeps to a JSON Schema."""
        return Abilities(logprobs=True, schema=True)


def check_model_name(model: str) -> None:
    """There is one embedded model. Raises UsageError for any other name."""
    if model not in ("", "default", "smollm2-135m"):
        raise UsageError(
            f"there is no embedded model {model!r}; write --model embedded (or --judge embedded)."
        )


def positive_int(name: str, value: object) -> int:
    """An option as a whole number of at least 1. Raises UsageError."""
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"the option {name} takes a whole number of at least 1, not {value!r}.")
    return number
