"""Judge replies kept between runs, by all they depend on; failures and unreadable replies never are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from evalkit.cache import Cache
from evalkit.chat import Abilities, ChatReply, ChatRequest, Token, abilities_of
from evalkit.engine.opencache import keep_reply
from evalkit.engine.wrapped import Wrapped
from evalkit.records import JSON, SentAudio


class CachedChat(Wrapped):
    """A chat model that isn't asked the same twice: not in a later run, and not at the same time in this one.

    Args:
        identity: what decides replies beside the request: model, address, options. No secrets.

    Attributes:
        probed: True once the model itself was asked what it can do.
    """

    def __init__(self, model: Any, identity: Mapping[str, Any], cache: Cache) -> None:
        super().__init__(model)
        self._identity, self._cache = dict(identity), cache
        self.probed = False
        self._flights: dict[str, asyncio.Future[ChatReply | None]] = {}

    def known_abilities(self) -> Abilities | None:
        """What the model can do, as far as an earlier run found out; what it can't, for the rest of the day."""
        for key in self._ability_keys():
            if isinstance(held := self._cache.get(key), dict):
                tops = held.get("tops")
                return Abilities(
                    bool(held.get("logprobs")),
                    bool(held.get("schema")),
                    tops if isinstance(tops, int) else None,
                )
        return None

    def _ability_keys(self) -> tuple[str, str]:
        """Where it is kept: for good, and for today."""
        today = datetime.now(UTC).date().isoformat()
        return Cache.key("abilities", self._identity), Cache.key("abilities", self._identity, today)

    async def abilities(self) -> Abilities:
        """What the model can do, found out once for all runs; what it can't, once a day: endpoints learn."""
        if (known := self.known_abilities()) is not None:
            return known
        self.probed = True
        found = await abilities_of(self.model)
        always, today = self._ability_keys()
        key = always if found.logprobs and found.schema else today
        told = {} if found.tops is None else {"tops": found.tops}
        self._cache.put(key, {"logprobs": found.logprobs, "schema": found.schema, **told})
        return found

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The reply given earlier (`cached`), or a new one. Raises `RunnerError`."""
        key = Cache.key("chat", self._identity, request.to_json())
        while True:
            if (reply := _reply(self._cache.get(key))) is not None:
                return reply
            flight = self._flights.get(key)
            if flight is None:
                return await self._ask(key, request)
            # Somebody is asking the same just now. When that fails, it is the next one's turn.
            if (shared := await asyncio.shield(flight)) is not None:
                return replace(shared, cached=True)

    async def _ask(self, key: str, request: ChatRequest) -> ChatReply:
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        reply: ChatReply | None = None
        try:
            reply = await self.model.chat(request)
            keep_reply(self._cache, key, _held(reply))
            return reply
        finally:
            del self._flights[key]
            if not flight.done():
                flight.set_result(reply)


def _held(reply: ChatReply) -> dict[str, JSON]:
    """A reply as the cache keeps it; what is empty is left out."""
    out: dict[str, JSON] = {"texts": list(reply.texts), "model": reply.model, "usage": dict(reply.usage)}
    if reply.finish:
        out["finish"] = list(reply.finish)
    if reply.refused:
        out["refused"] = list(reply.refused)
    if reply.tokens:
        out["tokens"] = [
            [[t.text, t.logprob, [list(p) for p in t.top]] for t in said] for said in reply.tokens
        ]
    if reply.sent:
        out["sent"] = [s.to_json() for s in reply.sent]
    return out


def _reply(held: JSON | None) -> ChatReply | None:
    """The reply kept; None for none, and for what can't be read as one."""
    try:
        if held is None or not isinstance(held["usage"], dict):
            return None
        return ChatReply(
            tuple(held["texts"]),
            held["model"],
            held["usage"],
            tuple(held.get("finish") or ()),
            tuple(held.get("refused") or ()),
            tuple(
                tuple(Token(text, logprob, tuple((t, p) for t, p in top)) for text, logprob, top in said)
                for said in held.get("tokens") or ()
            ),
            cached=True,
            sent=tuple(SentAudio.from_json(s) for s in held.get("sent") or ()),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
