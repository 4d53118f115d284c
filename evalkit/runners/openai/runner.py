"""Any OpenAI-compatible endpoint as the model under test; as a judge, it is `openai.chat`.

``--model openai/NAME -M base_url=http://localhost:8000/v1`` and ``--judge openai/NAME``. One request is
one attempt; retries are the engine's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from evalkit.interfaces import Runner
from evalkit.records import JSON, Audio, Modality, Response, Sample, digest_of
from evalkit.runners.openai.chat import OpenAIChat, endpoint_of, make_chat
from evalkit.runners.openai.options import TOOLS, Options, parse_options
from evalkit.runners.openai.reply import Choice, Reply, parse_reply
from evalkit.runners.openai.request import encode_all, merged, messages_of, tools_of
from evalkit.runners.secret_fields import without_secrets
from evalkit.runners.spliced import mark, splice
from evalkit.runners.tool_prompt import OWN_FRAME, fill, in_own_words

__all__ = ["OpenAIChat", "OpenAIRunner", "make_chat"]


class OpenAIRunner(Runner):
    """A model behind an OpenAI-compatible endpoint: `POST {base_url}/chat/completions`.

    Options are the fields of `openai.options.Options`.

    Raises:
        UsageError: unknown or unusable option, or no key for OpenAI's own host.
    """

    name = "openai"
    modalities = frozenset({Modality.S2T, Modality.S2S, Modality.T2T})

    def __init__(self, model: str, **options: Any) -> None:
        self.model = model
        self.options = parse_options(options)
        self.endpoint = endpoint_of(model, self.options)
        self.concurrency = self.options.concurrency
        host = urlsplit(self.endpoint.shown_url).hostname or ""
        self._strict_names = host == "api.openai.com" or host.endswith(".openai.azure.com")

    def identity(self) -> Mapping[str, JSON]:
        o = self.options
        out: dict[str, JSON] = {
            "runner": self.name,
            "model": self.model,
            "base_url": self.endpoint.shown_url,
            "decoding": o.decoding(),
            "audio_part": o.audio_part,
            "speech": {"voice": o.voice, "format": o.audio_format},
        }
        for field in ("system", "sample_rate", "max_seconds"):
            if (value := getattr(o, field)) is not None:
                out[field] = value
        if o.extra_body:
            out["extra_body"] = without_secrets(o.extra_body)
        if o.tools == "prompt":
            out["tools"] = f"prompt@{digest_of(OWN_FRAME)[:8]}"
        elif o.tools not in TOOLS:
            out["tools"] = f"section@{digest_of(o.tools)[:8]}"
        return out

    def _payload(
        self, sample: Sample, modality: Modality, formats: Sequence[str]
    ) -> tuple[dict[str, JSON], dict[str, str]]:
        """The request with marks in place of the audio, and the tools whose names had to change."""
        told = bool(sample.tools) and self.options.tools != "api"
        turns, options = sample.turns, self.options
        if told and options.tools == "prompt":
            turns = in_own_words(turns, sample.tools)
        elif told:
            section = fill(options.tools, sample.tools)
            options = replace(options, system="\n".join(filter(None, (_bare(options), section))))
        payload: dict[str, JSON] = {
            "model": self.model,
            "messages": messages_of(turns, formats, options),
            **self.options.decoding(),
        }
        renamed: dict[str, str] = {}
        if sample.tools and not told:
            payload["tools"], renamed = tools_of(sample.tools, strict_names=self._strict_names)
        if modality.wants_audio:
            payload["modalities"] = ["text", "audio"]
            payload["audio"] = {"voice": self.options.voice, "format": self.options.audio_format}
        return merged(payload, self.options.extra_body), renamed

    async def preview(self, sample: Sample, modality: Modality) -> JSON:
        """The request body, each piece of audio by its facts instead of its base64. Raises `RunnerError`."""
        encoded = await encode_all(sample, self.options)
        payload, _ = self._payload(sample, modality, [e.format for e in encoded])
        text = json.dumps(payload, ensure_ascii=False)
        for i, e in enumerate(encoded):
            sent = f"{e.sent.seconds:.2f} s at {e.sent.sample_rate} Hz, sha256 {e.sent.sha256[:12]}"
            text = text.replace(mark(i), f"<base64 of {e.format}, {sent}>")
        return json.loads(text)

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        """One attempt at one sample. Raises `RunnerError`; see `openai.errors` for the kinds."""
        encoded = await encode_all(sample, self.options)
        payload, renamed = self._payload(sample, modality, [e.format for e in encoded])
        body = splice(payload, [e.data for e in encoded])
        start = time.perf_counter()
        raw = await self.endpoint.post(body)
        elapsed = time.perf_counter() - start
        reply = parse_reply(raw, self.options.audio_format)
        choice = reply.choices[0]
        meta = _meta(reply, choice)
        if renamed:
            meta["tool_names"] = renamed
        return Response(
            sample_id=sample.id,
            text=choice.text,
            audio=_spoken(reply),
            tool_calls=choice.tool_calls,
            sent=tuple(e.sent for e in encoded),
            usage=reply.usage,
            timing={"generate": elapsed},
            meta=meta,
        )

    async def close(self) -> None:
        await self.endpoint.close()


def _bare(options: Options) -> str | None:
    """The system text, unless the tools section brings it: a whole function-calling prompt begins with it."""
    system = options.system
    return None if system and options.tools.startswith(f"{system}\n") else system


def _spoken(reply: Reply) -> Audio | None:
    """The first choice's speech; some servers give text and speech as two choices of one answer."""
    return next((c.audio for c in reply.choices if c.audio is not None), None)


def _meta(reply: Reply, choice: Choice) -> dict[str, JSON]:
    meta: dict[str, JSON] = {"finish_reason": choice.finish_reason, "model": reply.model}
    if choice.finish_reason == "length":
        meta["truncated"] = True
    if choice.refusal:
        meta["refusal"] = True
    if reply.surrogates:
        meta["surrogates"] = reply.surrogates
    return meta
