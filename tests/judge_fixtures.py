"""Asking a judge behind the mock endpoint, as the engine does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from evalkit.chat import ChatReply, ChatRequest
from evalkit.engine.retry import Retry, attempt
from evalkit.errors import RunnerError
from evalkit.runners.openai import OpenAIChat, make_chat
from tests.mock_fixtures import MockServer


def judge(mock: MockServer, options: Any = None, **behaviour: Any) -> OpenAIChat:
    return make_chat(
        "j", {"base_url": mock.url, "extra_body": {"mock": behaviour}, "timeout": "5", **(options or {})}
    )


def ask(chat: OpenAIChat, tries: int = 1, **fields: Any) -> ChatReply:
    """One request as the engine makes it: attempts with short waits."""

    async def go() -> ChatReply:
        try:
            request = ChatRequest((("user", "rate it"),), **fields)
            reply, _ = await attempt(lambda: chat.chat(request), Retry(tries=tries, base=0.01))
            return reply
        finally:
            await chat.close()

    return asyncio.run(go())


def fault(chat: OpenAIChat, **fields: Any) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        ask(chat, **fields)
    return caught.value


def error(message: str, **more: Any) -> str:
    return json.dumps({"error": {"message": message, **more}})
