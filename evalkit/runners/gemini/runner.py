"""A Gemini model under test: audio or text in, text out.

``--model gemini/gemini-2.5-pro``; the key comes from GEMINI_API_KEY. One request is one attempt:
retries are the engine's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from evalkit.interfaces import Runner
from evalkit.records import JSON, Modality, Response, Sample, digest_of
from evalkit.runners.gemini.client import GeminiClient, decoding
from evalkit.runners.gemini.options import parse_options
from evalkit.runners.gemini.request import Messages, pieces_of
from evalkit.runners.spliced import mark
from evalkit.runners.tool_prompt import OWN_FRAME, in_own_words


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
        self.client = GeminiClient(model, self.options)
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
