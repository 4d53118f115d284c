"""Google's Gemini models by their own API: as the model under test (audio or text in, text out), and as a judge.

``--model gemini/gemini-2.5-pro`` and ``--lalm-judge gemini/gemini-2.5-pro-preview-06-05``; the key comes from
GEMINI_API_KEY. One request is one attempt; retries are the engine's. VStyle's public judge: sheet section 3.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from evalkit.chat import Abilities, ChatReply, ChatRequest
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.records import JSON, Audio, Modality, Response, Sample, digest_of
from evalkit.runners.gemini.http import GeminiEndpoint
from evalkit.runners.gemini.options import CHAT_OPTIONS, GEMINI_LIMITS, INLINE_BYTES, Options, parse_options
from evalkit.runners.gemini.reply import Reply, parse_reply
from evalkit.runners.gemini.request import Messages, Piece, contents_of, merged, openapi, pieces_of
from evalkit.runners.openai.options import without_secrets
from evalkit.runners.openai.request import mark, splice
from evalkit.runners.tool_prompt import OWN_FRAME, in_own_words

MOST_AT_ONCE = 8
"""Most candidates the API gives to one request."""
MOST_TOP = 20
"""Most alternatives it tells for a token."""

PROBE = "Reply with the digit 1 and nothing else."
PROBE_TOKENS = 512
"""Room for a thinking model to come to its one digit."""


class _Client:
    """What runner and judge share: the endpoint, the limits, and how audio travels."""

    def __init__(self, model: str, options: Options) -> None:
        self.model = model.strip().removeprefix("models/")
        if not self.model:
            raise UsageError("which model? Write gemini/NAME, e.g. gemini/gemini-2.5-pro")
        self.options = options
        key, env = options.api_key()
        self.endpoint = GeminiEndpoint(
            options.base_url,
            api_key=key,
            api_key_env=env,
            model=self.model,
            concurrency=options.concurrency,
            timeout=options.timeout,
        )

    def identity(self) -> dict[str, JSON]:
        """What decides replies beside the request. No keys."""
        o = self.options
        out: dict[str, JSON] = {"model": self.model, "base_url": self.endpoint.shown_url}
        if o.limits.formats != GEMINI_LIMITS.formats:
            out["audio_formats"] = list(o.limits.formats or ())
        if o.extra_body:
            out["extra_body"] = without_secrets(o.extra_body)
        return out

    def body(
        self, messages: Messages, pieces: Sequence[Piece], files: Sequence[str], config: dict[str, JSON]
    ) -> JSON:
        """The request's body, with marks in the place of audio that goes inline."""
        contents = contents_of(messages, pieces, files, self.options.system)
        return merged({**contents, "generationConfig": config}, self.options.extra_body)

    def goes_up(
        self, messages: Messages, pieces: Sequence[Piece], config: dict[str, JSON], whose: str
    ) -> bool:
        """Does the audio of this request go through the File API?

        Raises:
            RunnerError: "audio-too-large", when it may not, and is too large to go inline.
        """
        if not pieces or self.options.upload == "always":
            return bool(pieces)
        size = len(json.dumps(self.body(messages, pieces, (), config)))
        size += sum(4 * ((len(p.data) + 2) // 3) for p in pieces)
        if size > INLINE_BYTES and self.options.upload == "auto":
            return True
        self.options.limits.check_request(whose, size)
        if size > INLINE_BYTES:
            raise RunnerError(
                "audio-too-large",
                f"{whose}: the request with its audio has {size / 1e6:.1f} MB, a Gemini request takes "
                f"{INLINE_BYTES / 1e6:g} MB: leave out upload=never, so that it goes through the File API; "
                "nothing was sent or cut",
                unsent=True,
            )
        return False

    async def ask(
        self, messages: Messages, pieces: Sequence[Piece], files: Sequence[str], config: dict[str, JSON]
    ) -> Reply:
        """One request. Raises RunnerError."""
        body = self.body(messages, pieces, files, config)
        return parse_reply(
            await self.endpoint.generate(splice(body, () if files else [p.data for p in pieces]))
        )


class GeminiRunner(Runner):
    """A Gemini model under test: speech or text in, text out.

    Options are the fields of `gemini.options.Options`, and `max_audio_seconds`, `max_audio_mb`, `audio_formats`.
    Tools are told in words (a system message), as for servers that parse no calls.

    Raises:
        UsageError: unknown or unusable option, or no key for Google's own host.
    """

    name = "gemini"
    modalities = frozenset({Modality.S2T, Modality.T2T})

    def __init__(self, model: str, **options: Any) -> None:
        self.options = parse_options(options)
        self.client = _Client(model, self.options)
        self.model = self.client.model
        self.concurrency = self.options.concurrency

    def identity(self) -> Mapping[str, JSON]:
        out = {"runner": self.name, **self.client.identity(), "decoding": self.options.decoding()}
        if self.options.system is not None:
            out["system"] = self.options.system
        return out | {"tools": f"prompt@{digest_of(OWN_FRAME)[:8]}"}

    def _config(self) -> dict[str, JSON]:
        o = self.options
        return decoding(o.temperature, o.top_p, o.max_tokens, o.seed)

    @staticmethod
    def _messages(sample: Sample) -> Messages:
        turns = in_own_words(sample.turns, sample.tools) if sample.tools else sample.turns
        return [(t.role, t.parts) for t in turns]

    async def preview(self, sample: Sample, modality: Modality) -> JSON:
        """The request's body, each piece of audio by its facts instead of its base64. Raises RunnerError."""
        pieces = await pieces_of(sample.audios, self.options.limits, f"sample {sample.id}")
        text = json.dumps(
            self.client.body(self._messages(sample), pieces, (), self._config()), ensure_ascii=False
        )
        for i, p in enumerate(pieces):
            told = f"{p.sent.seconds:.2f} s at {p.sent.sample_rate} Hz, sha256 {p.sent.sha256[:12]}"
            text = text.replace(mark(i), f"<base64 of {p.sent.format}, {told}>")
        return json.loads(text)

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        """One attempt at one sample. Raises RunnerError; see `gemini.errors` for the kinds."""
        whose = f"sample {sample.id}"
        pieces = await pieces_of(sample.audios, self.options.limits, whose)
        messages, config = self._messages(sample), self._config()
        start = time.perf_counter()
        async with AsyncExitStack() as stack:
            files: Sequence[str] = ()
            if self.client.goes_up(messages, pieces, config, whose):
                files = await stack.enter_async_context(self.client.endpoint.uploaded(pieces))
            reply = await self.client.ask(messages, pieces, files, config)
            elapsed = time.perf_counter() - start
        first = reply.candidates[0]
        meta: dict[str, JSON] = {"finish_reason": first.finish, "model": reply.model}
        if first.finish == "length":
            meta["truncated"] = True
        return Response(
            sample_id=sample.id,
            text=first.text,
            sent=tuple(p.sent for p in pieces),
            usage=reply.usage,
            timing={"generate": elapsed},
            meta=meta,
        )

    async def close(self) -> None:
        await self.client.endpoint.close()


class GeminiChat:
    """A Gemini model bound to a role: it reads (``--judge``) and hears (``--lalm-judge``); a `ChatModel`."""

    meaningful = True
    hears = True

    def __init__(self, model: str, options: Options) -> None:
        self.client = _Client(model, options)
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


def decoding(
    temperature: float | None, top_p: float | None, max_tokens: int | None, seed: int | None
) -> dict[str, JSON]:
    """`generationConfig` of what is set; what is None is left to the API."""
    named = {"temperature": temperature, "topP": top_p, "maxOutputTokens": max_tokens, "seed": seed}
    return {k: v for k, v in named.items() if v is not None}


def _summed(usages: Any) -> dict[str, JSON]:
    """The counts of all requests together."""
    total: dict[str, JSON] = {}
    for usage in usages:
        for key, value in usage.items():
            total[key] = total.get(key, 0) + value
    return total


def make_chat(model: str, options: Mapping[str, Any]) -> GeminiChat:
    """A judge from `gemini/MODEL` and its options. Raises UsageError on a bad one."""
    return GeminiChat(model, parse_options(options, CHAT_OPTIONS))
