"""Trying again: exponential backoff with jitter, and the server's own Retry-After."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from evalkit.errors import RunnerError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how long to wait.

    Attributes:
        tries: attempts in all, at least 1.
        base: seconds before the second attempt; doubles each time.
        cap: longest wait in s of our own choosing.
        longest_request: longest Retry-After in s that is obeyed; beyond it the sample fails at once.
    """

    tries: int = 5
    base: float = 0.5
    cap: float = 30.0
    longest_request: float = 300.0

    def wait(self, attempt: int, error: RunnerError) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1); None to give up."""
        if error.fatal or not error.retryable or attempt >= self.tries:
            return None
        if error.retry_after is not None:
            if error.retry_after > self.longest_request:
                return None
            return max(0.0, error.retry_after) + random.uniform(0, self.base)
        full: float = min(self.cap, self.base * 2.0 ** (attempt - 1))
        return full * random.uniform(0.5, 1.0)


async def attempt(call: Callable[[], Awaitable[T]], policy: Retry) -> tuple[T, int]:
    """Await `call()` until it succeeds.

    Returns:
        Its result and the number of attempts.

    Raises:
        RunnerError: the last one, with `attempts` set.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return await call(), tries
        except RunnerError as error:
            pause = policy.wait(tries, error)
            if pause is None:
                error.attempts = tries
                raise
        await asyncio.sleep(pause)
