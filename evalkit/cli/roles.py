"""Binding roles: who judges, who transcribes."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from evalkit.cache import Cache
from evalkit.chat import ChatModel, ChatReply, ChatRequest
from evalkit.cli import options
from evalkit.engine.opencache import keep_reply
from evalkit.errors import UsageError
from evalkit.interfaces import Roles
from evalkit.registry import default_transcriber, make_chat, make_transcriber
from evalkit.task import Task


class CachedChat:
    """A chat model whose replies are kept between runs; failures never are."""

    def __init__(self, model: ChatModel, identity: Mapping[str, Any], cache: Cache) -> None:
        self._model, self._identity, self._cache = model, dict(identity), cache

    @property
    def label(self) -> str:
        return self._model.label

    @property
    def meaningful(self) -> bool:
        return self._model.meaningful

    @property
    def hears(self) -> bool:
        return getattr(self._model, "hears", True)

    def prepare(self) -> None:
        """Load the model's weights, if it has any here."""
        getattr(self._model, "prepare", lambda: None)()

    async def chat(self, request: ChatRequest) -> ChatReply:
        key = Cache.key("chat", self._identity, request.to_json())
        if (held := self._cache.get(key)) is not None:
            return ChatReply(tuple(held["texts"]), held["model"], held["usage"])
        reply = await self._model.chat(request)
        held = {"texts": list(reply.texts), "model": reply.model, "usage": dict(reply.usage)}
        keep_reply(self._cache, key, held)
        return reply

    async def close(self) -> None:
        """Free what the model holds open."""
        if (close := getattr(self._model, "close", None)) is not None:
            await close()


def bind(
    args: argparse.Namespace,
    cache: Cache | None,
    needed: Collection[str],
    extra: Mapping[str, Any] | None = None,
) -> tuple[Roles, dict[str, str]]:
    """The roles of this call, and how the user named them.

    Args:
        needed: roles the tasks need; an unnamed ASR engine is chosen only for tasks that transcribe.
        extra: scoring options beside the user's.

    Raises:
        UsageError: an unknown model, engine or option.
    """
    scoring: dict[str, Any] = {**options.scoring_options(args.O), **(extra or {})}
    names: dict[str, str] = {}
    asr = None
    judge = _chat(args.judge, options.pairs(args.J, "-J"), cache)
    lalm = _chat(args.lalm_judge, options.pairs(args.L, "-L"), cache)
    if lalm is not None and not getattr(lalm, "hears", True):
        raise UsageError(
            f"{args.lalm_judge} can't hear, so it is no LALM judge; bind one that can: openai/MODEL."
        )
    names |= {"judge": args.judge} if judge else {}
    names |= {"lalm-judge": args.lalm_judge} if lalm else {}
    engine = args.asr or (default_transcriber() if "asr" in needed else None)
    if engine:
        asr = make_transcriber(engine, options.pairs(args.A, "-A"))
        names["asr"] = asr.signature
    return Roles(judge, asr, lalm, scoring), names


def _chat(spec: str | None, given: Mapping[str, str], cache: Cache | None) -> ChatModel | None:
    """The model bound to a role that judges, its replies cached. Raises UsageError."""
    if not spec:
        return None
    model = make_chat(spec, given)
    if cache is None:
        return model
    # The address may come from the environment: what the model says of itself counts, too.
    told: Mapping[str, Any] = getattr(model, "identity", dict)()
    identity = {"model": spec, **options.without_secrets(given), "identity": dict(told)}
    return CachedChat(model, identity, cache)


def needs(tasks: Iterable[Task], protocol: str | None) -> set[str]:
    """The roles these tasks need under a protocol."""
    return {role for t in tasks for role in t.variant(protocol)[1].roles}
