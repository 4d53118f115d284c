"""A model behind an OpenAI-compatible endpoint that judges: ``--judge openai/NAME``, ``--lalm-judge openai/NAME``.

Votes, log-probabilities and output by JSON Schema, as far as the endpoint has them; what it lacks is said by
`OpenAIChat.abilities` or is an error, never left out in silence. One request is one attempt; retries are the engine's.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from evalkit.chat import Abilities, ChatReply, ChatRequest
from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON, Audio, Turn, digest_of
from evalkit.runners.openai.errors import of_audio
from evalkit.runners.openai.http import ChatEndpoint
from evalkit.runners.openai.options import (
    AS_THEY_ARE,
    CHAT_PARSERS,
    MOST_TOPS,
    Options,
    parse_options,
)
from evalkit.runners.openai.reply import PCM_RATE, Choice, Reply, parse_reply, pcm_wav
from evalkit.runners.openai.request import Encoded, encode_parts, merged, messages_of
from evalkit.runners.secret_fields import secrets_in, without_secrets
from evalkit.runners.spliced import splice

REFUSALS = ("http-400", "http-422", "no-logprobs", "no-schema")
"""Kinds of errors by which an endpoint says that it doesn't take a field of the request."""

PROBE = ChatRequest(
    (("user", "Is ice cold? Answer with 1 for yes or 0 for no."),), temperature=None, max_tokens=1024
)
"""What an endpoint is asked to find out what it can do; the tokens are for models that think first. Its answer is a
digit, because only in the place of a number are the other likely tokens kept."""
_SMALL = re.compile(r"\b\d{1,2}\b")

SILENCE = Audio(data=pcm_wav(bytes(PCM_RATE)))
"""Half a second."""
HEARD_PROBE = replace(PROBE, messages=(("user", (str(PROBE.messages[0][1]), SILENCE)),))
PROBE_SCHEMA: Mapping[str, JSON] = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["1", "0"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def endpoint_of(model: str, options: Options) -> ChatEndpoint:
    """The endpoint that the options name. Raises `UsageError`."""
    if not model.strip():
        raise UsageError("which model? Write openai/NAME, with NAME as the endpoint calls it")
    return ChatEndpoint(
        options.base_url,
        api_key=options.api_key(),
        api_key_env=options.api_key_env,
        model=model,
        secrets=secrets_in(options.extra_body),
        concurrency=options.concurrency,
        timeout=options.timeout,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One reply of the endpoint, and which votes it brought."""

    places: range
    reply: Reply

    def choices(self) -> list[tuple[int, Choice]]:
        return list(zip(self.places, self.reply.choices, strict=False))


class OpenAIChat:
    """A model bound to a role (``--judge``, ``--lalm-judge``); a `ChatModel`."""

    def __init__(self, model: str, options: Options) -> None:
        self.model = model
        self.options = options
        self.endpoint = endpoint_of(model, options)
        self._takes_n = True
        self._tops = options.top_logprobs
        self._abilities: Abilities | None = None
        self._begun: dict[str, list[_Asked]] = {}

    @property
    def label(self) -> str:
        return self.model

    @property
    def meaningful(self) -> bool:
        return True

    def identity(self) -> Mapping[str, JSON]:
        """What decides its replies beside the request. No keys; nothing that is as it is by default."""
        o = self.options
        out: dict[str, JSON] = {
            "model": self.model,
            "base_url": self.endpoint.shown_url,
            "extra_body": without_secrets(o.extra_body),
        }
        told = {
            "audio_part": (o.audio_part, Options.audio_part),
            "sample_rate": (o.sample_rate, None),
            "audio_formats": (o.limits.formats, AS_THEY_ARE),
            "top_logprobs": (o.top_logprobs, MOST_TOPS),
        }
        return out | {name: value for name, (value, usual) in told.items() if value != usual}

    @property
    def bent(self) -> Mapping[str, JSON]:
        """The options that change replies, as judges sign them."""
        usual = ("model", "base_url", "top_logprobs")  # the last is told by `abilities`
        return {name: value for name, value in self.identity().items() if name not in usual and value}

    async def chat(self, request: ChatRequest) -> ChatReply:
        """`request.n` replies: asked for at once; what the server leaves out, one by one.

        With a seed, the k-th single request gets seed + k, or every vote would be the same. Votes that came
        before an error are kept for the next attempt at the same request.

        Raises:
            RunnerError: see `openai.errors` for the kinds; of audio beyond the limits, as `AudioLimits.check`.
        """
        encoded = await encode_parts(_audios(request), self.options, "the judge's request")
        asked = self._begun.pop(_key(request), []) if self._begun else []
        try:
            await self._ask_all(request, encoded, asked)
        except RunnerError:
            if asked:
                self._begun[_key(request)] = asked
            raise
        return self._told(request, encoded, asked)

    async def _ask_all(self, request: ChatRequest, encoded: list[Encoded], asked: list[_Asked]) -> None:
        """Ask until there are as many votes as the request wants; `asked` gets them. Raises `RunnerError`."""
        together = self._takes_n and request.n > 1 and not asked
        if together:
            try:
                asked.append(await self._ask(request, encoded, range(request.n)))
            except RunnerError as exc:
                if exc.kind not in REFUSALS:
                    raise
                # Some servers refuse n > 1 instead of ignoring it; learnt only once a single request has worked.
                asked.append(await self._ask(request, encoded, range(1)))
                self._takes_n = False
        missing = sorted(set(range(request.n)) - {place for a in asked for place, _ in a.choices()})
        singles = (self._ask(request, encoded, range(place, place + 1)) for place in missing)
        found = await asyncio.gather(*singles, return_exceptions=True)
        asked += [a for a in found if isinstance(a, _Asked)]
        errors = [e for e in found if isinstance(e, BaseException)]
        if errors:
            raise next((e for e in errors if getattr(e, "fatal", False)), errors[0])

    async def _ask(self, request: ChatRequest, encoded: list[Encoded], places: range) -> _Asked:
        """One request for the votes with these numbers; with fewer likely tokens where the endpoint says that it has
        no more. Raises `RunnerError`."""
        tops = min(request.top_logprobs, self._tops)
        try:
            return await self._sent(request, encoded, places, tops)
        except RunnerError as exc:
            fewer = self._limit_in(exc, tops)
            if fewer is None:
                raise
        asked = await self._sent(request, encoded, places, fewer)
        self._tops = fewer
        return asked

    def _limit_in(self, error: RunnerError, tops: int) -> int | None:
        """The number of likely tokens to which this refusal says they are limited, if it does."""
        said = error.message.partition(self.endpoint.shown_url)[2]
        limits = [n for n in map(int, _SMALL.findall(said)) if 1 < n < tops]
        return max(limits, default=None) if error.kind == "no-logprobs" else None

    async def _sent(self, request: ChatRequest, encoded: list[Encoded], places: range, tops: int) -> _Asked:
        """One request. Raises `RunnerError`."""
        turns = [Turn(role, (c,) if isinstance(c, str) else c) for role, c in request.messages]
        payload: dict[str, JSON] = {
            "model": self.model,
            "messages": messages_of(turns, [e.format for e in encoded], self.options),
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "seed": None if request.seed is None else request.seed + places.start,
            "n": len(places) if len(places) > 1 else None,
            "logprobs": True if tops else None,
            "top_logprobs": tops or None,
            "response_format": None if request.schema is None else response_format(request.schema),
        }
        body = splice(merged(payload, self.options.extra_body), [e.data for e in encoded])
        if not encoded:
            return _Asked(places, parse_reply(await self.endpoint.post(body), tops=tops))
        self.options.limits.check_request("the judge's request", len(body))
        try:
            return _Asked(places, parse_reply(await self.endpoint.post(body), tops=tops))
        except RunnerError as exc:
            raise of_audio(exc) from None

    def _told(self, request: ChatRequest, encoded: list[Encoded], asked: list[_Asked]) -> ChatReply:
        """The votes in order. Raises `RunnerError` when log-probabilities were asked for and are not there."""
        usage: dict[str, JSON] = {}
        for a in asked:
            _add(usage, a.reply.usage)
        votes = [c for _, c in sorted((pair for a in asked for pair in a.choices()), key=lambda p: p[0])]
        finish = tuple(c.finish_reason for c in votes)
        tokens: tuple[Any, ...] = ()
        if request.top_logprobs:
            if any(c.tokens is None and c.text and not c.refusal for c in votes):
                raise RunnerError("no-logprobs", f"{self.endpoint.shown_url} gave no log-probabilities")
            tokens = tuple(c.tokens or () for c in votes)
        return ChatReply(
            tuple(c.text for c in votes),
            next((a.reply.model for a in reversed(asked) if a.reply.model), ""),
            usage,
            finish if any(finish) else (),
            tuple(i for i, c in enumerate(votes) if c.refusal),
            tokens,
            sent=tuple(e.sent for e in encoded),
        )

    async def abilities(self) -> Abilities:
        """What the endpoint can do, found out with one tiny request, or a few where it refuses; remembered.

        An endpoint that ignores the fields in silence can't do it.

        Raises:
            RunnerError: it can't be asked at all (bad key, unreachable, rate limit, ...).
        """
        if self._abilities is None:
            # Connections of its own, closed at once: the event loop may be another one when judging begins.
            scout = OpenAIChat(self.model, self.options)
            try:
                found = await scout._found_out()
            finally:
                await scout.close()
            self._tops = min(self._tops, scout._tops)
            few = found.logprobs and self._tops < MOST_TOPS
            self._abilities = replace(found, tops=self._tops) if few else found
        return self._abilities

    async def _found_out(self, plain: ChatRequest = PROBE) -> Abilities:
        asking_both = replace(plain, top_logprobs=MOST_TOPS, schema=PROBE_SCHEMA)
        both = await self._probe(asking_both)
        if both is not None:
            return both
        logprobs = await self._probe(replace(asking_both, schema=None))
        schema = await self._probe(replace(asking_both, top_logprobs=0))
        if logprobs is None and schema is None:
            try:
                await self._probe(plain)  # it may be about something else: then this raises
            except RunnerError as exc:
                if plain is PROBE and exc.kind in REFUSALS and "audio" in exc.message:
                    return await self._found_out(HEARD_PROBE)  # some models that hear take nothing else
                raise
        return Abilities(bool(logprobs and logprobs.logprobs), bool(schema and schema.schema))

    async def _probe(self, request: ChatRequest) -> Abilities | None:
        """What came of this request's fields; None when they were refused. Raises `RunnerError`."""
        encoded = await encode_parts(_audios(request), self.options, "the judge's request")
        try:
            try:
                asked = await self._ask(request, encoded, range(1))
            except RunnerError as exc:
                if exc.kind not in REFUSALS or "max_tokens" not in exc.message:
                    raise
                asked = await self._ask(replace(request, max_tokens=None), encoded, range(1))
        except RunnerError as exc:
            if exc.kind not in REFUSALS or not (request.top_logprobs or request.schema):
                raise
            return None
        choice = asked.reply.choices[0]
        tells = any(
            len(token.top) > 1 for token in choice.tokens or ()
        )  # the chosen token alone weighs nothing
        return Abilities(tells, _keeps(choice.text))

    async def close(self) -> None:
        await self.endpoint.close()


def _audios(request: ChatRequest) -> list[Audio]:
    """The pieces of audio in a request, in order."""
    return [p for _, c in request.messages if not isinstance(c, str) for p in c if isinstance(p, Audio)]


def _key(request: ChatRequest) -> str:
    """Names a request, to know it again."""
    return digest_of(request.to_json())


def _keeps(text: str) -> bool:
    """Does this reply keep to PROBE_SCHEMA?"""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and list(found) == ["answer"] and found["answer"] in ("1", "0")


def response_format(schema: Mapping[str, JSON]) -> JSON:
    """The request's field for output by JSON Schema; its name is the schema's title."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "reply"))[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema), "strict": True}}


DETAILS = {
    ("prompt_tokens_details", "cached_tokens"): "cached_tokens",
    ("prompt_tokens_details", "audio_tokens"): "audio_tokens",
    ("completion_tokens_details", "reasoning_tokens"): "reasoning_tokens",
    ("completion_tokens_details", "audio_tokens"): "completion_audio_tokens",
}
"""Counts that the API nests, by their names beside the others. All four are part of the counts they detail."""


def _add(total: dict[str, JSON], usage: Mapping[str, JSON]) -> None:
    """Add the counts of one reply to those of all, the nested ones flat beside the others."""
    flat = {k: v for k, v in usage.items() if not isinstance(v, Mapping)}
    for (part, name), key in DETAILS.items():
        if isinstance(inner := usage.get(part), Mapping):
            flat[key] = inner.get(name)
    for key, value in flat.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            total[key] = total.get(key, 0) + value


def make_chat(model: str, options: Mapping[str, Any]) -> OpenAIChat:
    """A judge from `openai/MODEL` and its options. Raises `UsageError` on a bad one."""
    return OpenAIChat(model, parse_options(options, CHAT_PARSERS))
