"""A Gemini model as a judge, one that reads or one that hears.

``--lalm-judge gemini/gemini-2.5-pro-preview-06-05`` is VStyle's public judge (sheet section 3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from evalkit.chat import Abilities, ChatReply, ChatRequest
from evalkit.errors import RunnerError
from evalkit.records import JSON, Audio
from evalkit.runners.gemini.client import GeminiClient, decoding
from evalkit.runners.gemini.options import CHAT_OPTIONS, Options, parse_options
from evalkit.runners.gemini.reply import Reply
from evalkit.runners.gemini.request import Messages, Piece, openapi, pieces_of

MOST_AT_ONCE = 8
"""Most candidates the API gives to one request."""
MOST_TOP = 20
"""Most alternatives it tells for a token."""

PROBE = "Reply with the digit 1 and nothing else."
PROBE_TOKENS = 512
"""Room for a thinking model to come to its one digit."""


class GeminiChat:
    """A Gemini model bound to a role: it reads (``--judge``) and hears (``--lalm-judge``); a `ChatModel`."""

    meaningful = True
    hears = True

    def __init__(self, model: str, options: Options) -> None:
        self.client = GeminiClient(model, options)
        self.options = options
        self._many = True
        self._abilities: Abilities | None = None
        self._asking = asyncio.Lock()
        self._schema = "responseJsonSchema"

    @property
    def label(self) -> str:
        return self.client.model

    def identity(self) -> Mapping[str, JSON]:
        return self.client.identity()

    @property
    def bent(self) -> Mapping[str, JSON]:
        """The options that change replies, as judges sign them."""
        return {n: v for n, v in self.client.identity().items() if n not in ("model", "base_url")}

    async def abilities(self) -> Abilities:
        """What the model can do; whether it tells log-probabilities is found out with one short request.

        Raises:
            RunnerError: the request failed for another reason.
        """
        async with self._asking:
            if self._abilities is None:
                probe = ChatRequest((("user", PROBE),), None, max_tokens=PROBE_TOKENS, top_logprobs=1)
                try:
                    told = bool((await self.chat(probe)).tokens[0])
                except RunnerError as exc:
                    if exc.kind not in ("no-logprobs", "content-filter"):
                        raise
                    told = False
                self._abilities = Abilities(logprobs=told, schema=True)
            return self._abilities

    async def chat(self, request: ChatRequest) -> ChatReply:
        """`request.n` replies: asked for at once; where the API gives or takes fewer, one by one.

        With a seed, the k-th single request gets seed + k, or every vote would be the same.

        Raises:
            RunnerError: "no-logprobs" and "no-schema" where the model has none; see `gemini.errors`.
        """
        messages = [(role, (c,) if isinstance(c, str) else c) for role, c in request.messages]
        audios = [p for _, parts in messages for p in parts if isinstance(p, Audio)]
        whose = "the judge's request"
        pieces = await pieces_of(audios, self.options.limits, whose)
        replies: list[Reply] = []
        async with AsyncExitStack() as stack:
            files: Sequence[str] = ()
            if self.client.goes_up(messages, pieces, self._config(request, 1, 0), whose):
                files = await stack.enter_async_context(self.client.endpoint.uploaded(pieces))
            got, together = 0, self._many
            while got < request.n:
                want = min(request.n - got, MOST_AT_ONCE) if together else 1
                try:
                    reply = await self._ask(request, messages, pieces, files, want, got)
                except RunnerError as exc:
                    if want > 1 and exc.kind == "http-400":
                        together = False  # many models give one candidate only
                        continue
                    raise
                together &= len(reply.candidates) >= want
                self._many = self._many and together
                replies.append(reply)
                got += len(reply.candidates[:want])
        found = [c for r in replies for c in r.candidates][: request.n]
        return ChatReply(
            texts=tuple(c.text for c in found),
            model=next((r.model for r in replies if r.model), ""),
            usage=_summed(r.usage for r in replies),
            finish=tuple(c.finish for c in found),
            tokens=tuple(c.tokens for c in found) if request.top_logprobs else (),
            sent=tuple(p.sent for p in pieces),
        )

    async def _ask(
        self,
        request: ChatRequest,
        messages: Messages,
        pieces: Sequence[Piece],
        files: Sequence[str],
        n: int,
        offset: int,
    ) -> Reply:
        """One request, with the schema in the field the API knows. Raises RunnerError."""
        try:
            reply = await self.client.ask(messages, pieces, files, self._config(request, n, offset))
        except RunnerError as exc:
            said = exc.message.lower()
            if exc.kind != "http-400":
                raise
            if request.top_logprobs and "logprobs" in said:
                raise RunnerError("no-logprobs", f"{self.label} tells no log-probabilities") from exc
            if request.schema is not None and "schema" in said:
                if self._schema == "responseSchema":
                    raise RunnerError(
                        "no-schema", f"{self.label} can't keep to this schema: {exc.message}"
                    ) from exc
                self._schema = "responseSchema"
                return await self._ask(request, messages, pieces, files, n, offset)
            raise
        if request.top_logprobs and not all(c.tokens for c in reply.candidates if c.text):
            raise RunnerError("no-logprobs", f"{self.label} told no log-probabilities")
        return reply

    def _config(self, request: ChatRequest, n: int, offset: int) -> dict[str, JSON]:
        seed = None if request.seed is None else request.seed + offset
        config = decoding(request.temperature, request.top_p, request.max_tokens, seed)
        if n > 1:
            config["candidateCount"] = n
        if request.top_logprobs:
            config |= {"responseLogprobs": True, "logprobs": min(request.top_logprobs, MOST_TOP)}
        if request.schema is not None:
            plain = self._schema == "responseJsonSchema"
            schema = dict(request.schema) if plain else openapi(dict(request.schema))
            config |= {"responseMimeType": "application/json", self._schema: schema}
        return config

    async def close(self) -> None:
        await self.client.endpoint.close()


def _summed(usages: Iterable[Mapping[str, JSON]]) -> dict[str, JSON]:
    """The counts of all requests together."""
    total: dict[str, JSON] = {}
    for usage in usages:
        for key, value in usage.items():
            total[key] = total.get(key, 0) + value
    return total


def make_chat(model: str, options: Mapping[str, Any]) -> GeminiChat:
    """A judge from `gemini/MODEL` and its options. Raises UsageError on a bad one."""
    return GeminiChat(model, parse_options(options, CHAT_OPTIONS))
