"""A chat model around another: what all the engine's own share (cache, budget, meter)."""

from __future__ import annotations

from typing import Any

from evalkit.chat import Abilities, ChatReply, ChatRequest, abilities_of


class Wrapped:
    """A `ChatModel` that hands everything on to the model within; what it adds is in `chat`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def label(self) -> str:
        return str(self.model.label)

    @property
    def meaningful(self) -> bool:
        return bool(self.model.meaningful)

    @property
    def hears(self) -> bool:
        return bool(getattr(self.model, "hears", True))

    def __getattr__(self, name: str) -> Any:
        """What else the model may have: only ever looked up for names that aren't here."""
        if name == "model":  # not set up yet
            raise AttributeError(name)
        return getattr(self.model, name)

    def prepare(self) -> None:
        """Load the model's weights, if it has any here."""
        getattr(self.model, "prepare", lambda: None)()

    async def abilities(self) -> Abilities:
        """What the model can do. Raises RunnerError when that can't be found out."""
        return await abilities_of(self.model)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Reply. Raises `RunnerError`."""
        reply: ChatReply = await self.model.chat(request)
        return reply

    async def close(self) -> None:
        """Free what the model holds open."""
        if (close := getattr(self.model, "close", None)) is not None:
            await close()
