"""What judging may cost in one call of evalkit: money or requests, shared by all judges of the call.

A request is asked for only when what was spent, what is under way and what it may cost itself fit into the
budget; so many at once don't go over it by more than estimates are off. Replies that are at hand cost nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from evalkit.chat import ChatReply, ChatRequest
from evalkit.engine.wrapped import Wrapped
from evalkit.errors import BUDGET, RunnerError, UsageError
from evalkit.prices import Price, money
from evalkit.usage import REPLY_TOKENS, Tokens, estimated, sent_tokens, tokens_of

LONG_REPLY = 1024
"""Tokens of a long reply, with the thoughts before it; what is kept free for one until enough replies are seen."""
ENOUGH = 20
"""Replies after which the longest so far says how long they get."""

_CALLS = re.compile(r"(\d[\d_,]*)\s*calls?")
_MONEY = re.compile(r"\$?\s*(\d+(?:\.\d+)?|\.\d+)\s*(?:\$|usd)?")


class Budget:
    """So much, and what is left of it.

    Args:
        limit: USD, or requests.
        calls: True when requests are counted instead of money.
        given: as the user wrote it.

    Attributes:
        spent: USD, or requests, so far; `made` are the requests in any case.
        over: why nothing is asked any more; "" while something is.
    """

    def __init__(self, limit: float, *, calls: bool = False, given: str = "") -> None:
        self.limit, self.calls = limit, calls
        self.given = given or f"{limit:g}{'calls' if calls else ''}"
        self.spent = 0.0
        self.made = 0
        self.over = ""
        self._held = 0.0
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Of ``--judge-budget``: "2.50", "$2.50", "1000calls". Raises UsageError."""
        plain = text.strip().lower()
        if found := _CALLS.fullmatch(plain):
            return cls(int(re.sub(r"[_,]", "", found[1])), calls=True, given=text.strip())
        if found := _MONEY.fullmatch(plain):
            return cls(float(found[1]), given=text.strip())
        raise UsageError(f"--judge-budget is USD (2.50) or requests (1000calls), not {text[:40]!r}.")

    @asynccontextmanager
    async def spending(self, costs: Callable[[], tuple[float, float]]) -> AsyncIterator[Bill]:
        """Within, a request is made that costs what is likely, in USD, and hardly more than the most, as `costs` says
        by then; its bill says how much it was.

        Waits while requests under way leave no room for the most; one alone needs room for what is likely.

        Raises:
            RunnerError: "budget", when it doesn't fit any more. From then on nothing does.
        """
        most = 0.0
        while not self.over:
            likely, most = (1.0, 1.0) if self.calls else costs()
            if self.spent + likely > self.limit + 1e-12:
                self.over = self._told(likely)
                self._wake()
            elif self._under_way == 0 or self.spent + self._held + most <= self.limit + 1e-12:
                break
            else:
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                await waiter
        if self.over:
            raise RunnerError(BUDGET, self.over)
        self._held += most
        self._under_way += 1
        bill = Bill()
        try:
            yield bill
        except RunnerError as error:
            bill.unsent = error.unsent
            raise
        finally:
            self._held -= most
            self._under_way -= 1
            if not bill.unsent:
                self.made += 1
                self.spent += 1.0 if self.calls else bill.usd
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _told(self, likely: float) -> str:
        """Why nothing is asked any more, and how to go on. Made once, so that all samples say the same."""
        again = "run the same command again to ask for the rest, or with a larger budget"
        calls = f"{self.made:,} call{'s' * (self.made != 1)}"
        spent = f"{money(self.spent)} is spent for {calls}"
        if self.calls:
            spent = f"{calls} {'was' if self.made == 1 else 'were'} made"
        if not self.made and not self.calls:
            spent = f"a call may cost {money(likely)}"
        return f"{spent}, and no other fits into --judge-budget {self.given}; {again}"


class Bill:
    """What one request did cost, in USD; 0 until somebody says. `unsent` when it never left the house."""

    def __init__(self) -> None:
        self.usd = 0.0
        self.unsent = False


class Budgeted(Wrapped):
    """A chat model that isn't asked beyond a budget.

    Args:
        price: of the model; needed where the budget is money.
    """

    def __init__(self, model: object, budget: Budget, price: Price | None) -> None:
        super().__init__(model)
        self.budget, self.price = budget, price
        self._replies = self._came_out = self._longest = 0
        self._swollen: dict[int, tuple[int, float, float]] = {}

    def _costs(self, request: ChatRequest, sent: Tokens) -> tuple[float, float]:
        """USD that a request is likely to cost, and at most: what it sends, and as much back as replies had so far.

        While there were few, one may be long: models that think first write a thousand tokens and more. And each vote
        may be asked for on its own: not every endpoint gives several replies to what is sent once.
        """
        if self.price is None:
            return 0.0, 0.0
        limit = request.max_tokens or LONG_REPLY
        usual: float = min(REPLY_TOKENS, limit)
        longest: float = min(LONG_REPLY, limit)
        if self._replies:
            usual = self._came_out / self._replies
            longest = self._longest if self._replies >= ENOUGH else max(longest, self._longest)
        usual_sent, most_sent = self._swell(request.n)
        ways = ((usual_sent, usual), (most_sent, longest))
        usd = [self.price.usd(_times(sent, k) + Tokens(output=round(out * request.n))) for k, out in ways]
        return usd[0], max(usd)

    def _swell(self, n: int) -> tuple[float, float]:
        """By how much more is billed of what requests for n replies send than we reckon: as a rule, and at most."""
        if n not in self._swollen:
            return 1.0, float(n)
        k, total, most = self._swollen[n]
        return total / k, most

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Ask. Raises `RunnerError` as the model does, and of kind "budget"."""
        rate = self.price.audio_rate if self.price is not None else 0.0
        sent = sent_tokens(request, rate)
        async with self.budget.spending(lambda: self._costs(request, sent)) as bill:
            reply: ChatReply = await self.model.chat(request)
            count = tokens_of(reply.usage) or estimated(request, reply, rate)
            bill.usd = self.price.usd(count) if self.price is not None else 0.0
            replies = max(1, len(reply.texts))
            self._replies += replies
            self._came_out += count.output
            self._longest = max(self._longest, -(-count.output // replies))
            billed = count.input / max(1, sent.input)
            k, total, most = self._swollen.get(request.n, (0, 0.0, 0.0))
            self._swollen[request.n] = k + 1, total + billed, max(most, billed)
        return reply


def _times(sent: Tokens, k: float) -> Tokens:
    return Tokens(input=round(sent.input * k), audio_input=round(sent.audio_input * k))
