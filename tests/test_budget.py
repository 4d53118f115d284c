"""What judging may cost: a budget stops asking, says so, and the next call goes on."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.cache import Cache
from evalkit.chat import ChatReply, ChatRequest
from evalkit.engine.budget import Budget, Budgeted
from evalkit.engine.judgecache import CachedChat
from evalkit.engine.metering import MeteredChat, recording
from evalkit.engine.retry import Retry, attempt
from evalkit.errors import RunnerError, UsageError
from evalkit.ledger import Call
from evalkit.prices import Price
from tests.cli_fixtures import Bench, bench, judged, lines, openai, refused, result
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

TASK = "voicebench/commoneval"
ASK = ChatRequest((("user", "x" * 400),), max_tokens=50)
DEAR = Price(1_000.0, 1_000.0)
"""A thousandth of a USD for each token."""


class Model:
    """A model of known usage, that counts how many requests it has at once."""

    label, meaningful = "m", True

    def __init__(self, tokens: int = 100, error: RunnerError | None = None) -> None:
        self.tokens, self.error = tokens, error
        self.asked = self.now = self.most = 0

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.005)
        self.now -= 1
        if self.error is not None:
            raise self.error
        return ChatReply(("4",), "m", {"prompt_tokens": self.tokens, "completion_tokens": 0})


def ask(model: Budgeted, n: int) -> list[Any]:
    async def many() -> list[Any]:
        asking = asyncio.gather(*(model.chat(ASK) for _ in range(n)), return_exceptions=True)
        return await asyncio.wait_for(asking, 30)  # one that waits for ever fails

    return asyncio.run(many())


def refusals(found: list[Any]) -> int:
    return sum(isinstance(r, RunnerError) and r.kind == "budget" for r in found)


@pytest.mark.parametrize(
    ("text", "limit", "calls"),
    [
        ("2.50", 2.5, False),
        ("$2.50", 2.5, False),
        (".5", 0.5, False),
        ("0", 0.0, False),
        ("3 USD", 3.0, False),
        ("1000calls", 1000, True),
        ("1_000 calls", 1000, True),
        ("1,000calls", 1000, True),
        ("1call", 1, True),
    ],
)
def test_how_a_budget_is_written(text: str, limit: float, calls: bool) -> None:
    found = Budget.parse(text)
    assert (found.limit, found.calls) == (limit, calls)


@pytest.mark.parametrize(
    "text", ["", "-1", "lots", "1.5calls", "calls", "nan", "inf", "1e9", "2,50", "2.50€"]
)
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UsageError, match="--judge-budget"):
        Budget.parse(text)


@given(st.integers(0, 30), st.integers(1, 60))
def test_calls_are_exact_at_any_concurrency(limit: int, n: int) -> None:
    model = Model()
    found = ask(Budgeted(model, Budget(limit, calls=True), None), n)
    assert model.asked == min(limit, n) and refusals(found) == n - model.asked


def test_money_is_kept_to_at_any_concurrency() -> None:
    """100 tokens are 0.1 USD; an estimate is a little more (the reply), so it stops below, never above."""
    model = Model()
    budget = Budget(2.0)
    found = ask(Budgeted(model, budget, DEAR), 200)
    assert model.asked == 19 or model.asked == 20
    assert budget.spent <= 2.0 + 1e-9 and refusals(found) == 200 - model.asked
    assert model.most > 1, "several at once"


def test_estimates_that_are_too_high_only_make_others_wait() -> None:
    """What is reserved and not spent is asked for after all."""
    model = Model(tokens=1)
    found = ask(Budgeted(model, Budget(1.0), DEAR), 100)
    assert model.asked == 100 and refusals(found) == 0


def test_free_models_and_empty_budgets() -> None:
    free = Model()
    assert refusals(ask(Budgeted(free, Budget(0.0), Price(0.0, 0.0)), 5)) == 0
    dear = Model()
    [error] = ask(Budgeted(dear, Budget(0.001), DEAR), 1)
    assert (
        dear.asked == 0 and "a call may cost $" in error.message and not error.retryable and not error.fatal
    )


def test_a_failed_call_costs_a_call_and_no_money() -> None:
    failing = Model(error=RunnerError("http-500", "down"))
    calls, usd = Budget(3, calls=True), Budget(1.0)
    assert refusals(ask(Budgeted(failing, calls, None), 5)) == 2
    ask(Budgeted(failing, usd, DEAR), 5)
    assert usd.spent == 0.0 and usd.made == 5


def test_what_was_never_sent_is_no_call() -> None:
    unsent = Model(error=RunnerError("audio-too-long", "an hour", unsent=True))
    calls = Budget(3, calls=True)
    assert refusals(ask(Budgeted(unsent, calls, None), 5)) == 0 and (calls.made, calls.spent) == (0, 0.0)


def test_models_that_think_first_go_hardly_over() -> None:
    """Replies of 800 tokens where 120 were expected: few at once until one was seen, and then by what was seen."""

    class Thinker(Model):
        async def chat(self, request: ChatRequest) -> ChatReply:
            reply = await super().chat(request)
            return replace(reply, usage={"prompt_tokens": 100, "completion_tokens": 800})

    model, budget = Thinker(), Budget(10.0)
    asking = replace(ASK, max_tokens=None)

    async def many() -> list[Any]:
        thrifty = Budgeted(model, budget, DEAR)
        return await asyncio.gather(*(thrifty.chat(asking) for _ in range(64)), return_exceptions=True)

    found = asyncio.run(many())
    assert 10 <= model.asked <= 12 and budget.spent <= 10.0 + 0.9 and refusals(found) == 64 - model.asked


def test_votes_that_are_asked_for_one_by_one_are_reckoned_with() -> None:
    """An endpoint that gives one reply at a time bills what was sent as often as there are votes."""

    class Single(Model):
        async def chat(self, request: ChatRequest) -> ChatReply:
            reply = await super().chat(request)
            usage = {"prompt_tokens": 104 * request.n, "completion_tokens": 5 * request.n}
            return replace(reply, texts=("4",) * request.n, usage=usage)

    model, budget = Single(), Budget(10.0)

    async def many() -> list[Any]:
        thrifty = Budgeted(model, budget, DEAR)
        asking = replace(ASK, n=20)
        return await asyncio.gather(*(thrifty.chat(asking) for _ in range(32)), return_exceptions=True)

    found = asyncio.run(many())
    assert model.asked == 4 and budget.spent <= 10.0 and refusals(found) == 28


def test_what_is_likely_goes_by_the_mean_of_what_was_billed() -> None:
    """Billed 3, 1, 1 times what was reckoned: the third still fits by the mean of two, the fourth by none."""

    class Uneven(Model):
        async def chat(self, request: ChatRequest) -> ChatReply:
            self.tokens = 312 if not self.asked else 104
            return await super().chat(request)

    model, budget = Uneven(), Budget(0.65)
    thrifty = Budgeted(model, budget, Price(1_000.0, 0.0))
    found = [ask(thrifty, 1)[0] for _ in range(4)]
    assert refusals(found) == 1 and refusals(found[3:]) == 1
    assert budget.spent == pytest.approx(0.520)


class Moody(Model):
    """Answers in any order, fails now and then, and replies at any length up to 800 tokens."""

    def __init__(self, rng: random.Random, failing: float) -> None:
        super().__init__()
        self.rng, self.failing, self.cost = rng, failing, 0.0

    async def chat(self, request: ChatRequest) -> ChatReply:
        for _ in range(self.rng.randint(0, 4)):
            await asyncio.sleep(0)
        if self.rng.random() < self.failing:
            raise RunnerError("http-500", "down", retryable=self.rng.random() < 0.8)
        usage = {"prompt_tokens": 100, "completion_tokens": sum(self._long() for _ in range(request.n))}
        self.cost += sum(usage.values()) / 1_000
        return ChatReply(("4",) * request.n, "m", usage)

    def _long(self) -> int:
        return self.rng.randint(0, 800)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 10**6),
    st.integers(1, 256),
    st.floats(0, 20),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.integers(1, 3),
    st.booleans(),
)
def test_whatever_happens_the_budget_holds_and_nobody_waits_for_ever(
    tmp_path: Path, seed: int, at_once: int, limit: float, failing: float, votes: int, cancel: bool
) -> None:
    """Failures, retries, votes, questions shared with one under way, two judges, calls that are given up."""
    rng = random.Random(seed)
    models, budget = [Moody(rng, failing), Moody(rng, failing)], Budget(limit)
    ledger: list[Call] = []
    chains = [
        MeteredChat(
            CachedChat(Budgeted(m, budget, DEAR), {"k": k}, Cache(tmp_path / f"{seed}")), "judge", DEAR
        )
        for k, m in enumerate(models)
    ]
    found: list[object] = []

    async def many() -> None:
        gate = asyncio.Semaphore(at_once)

        async def one(k: int) -> None:
            asking = ChatRequest((("user", "x" * 396 + f"{k % 50:4}"),), n=votes)
            async with gate:
                try:
                    chain = rng.choice(chains)
                    found.append(await attempt(lambda: chain.chat(asking), Retry(3, base=0.0001)))
                except RunnerError as error:
                    found.append(error)

        tasks = [asyncio.create_task(one(k)) for k in range(100)]
        if cancel:
            await asyncio.sleep(rng.random() * 0.002)
            for task in rng.sample(tasks, 50):
                task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

    with recording(ledger.append):
        asyncio.run(many())
    spent = sum(m.cost for m in models)
    assert abs(budget._held) < 1e-6 and budget._under_way == 0
    # Each was let in with room for the longest reply seen; only the last is let in on what is likely.
    assert spent <= limit + 0.1 + 0.8 * votes + 1e-9
    assert spent == pytest.approx(budget.spent)
    paid = [c.usd for c in ledger if c.usd is not None]
    assert spent == pytest.approx(sum(paid))


def test_two_judges_share_one() -> None:
    one, two, budget = Model(), Model(), Budget(4, calls=True)
    ask(Budgeted(one, budget, None), 3)
    assert refusals(ask(Budgeted(two, budget, None), 3)) == 2
    assert (one.asked, two.asked) == (3, 1)


def test_who_waits_is_woken_when_the_budget_ends() -> None:
    """Nobody waits for ever: the first that finds no room lets all go."""
    model = Model(tokens=2000)
    found = ask(Budgeted(model, Budget(1.0), DEAR), 20)
    assert refusals(found) == 20 - model.asked and model.asked <= 6


def test_a_cancelled_call_gives_its_part_back() -> None:
    async def cancelled() -> float:
        budget = Budget(1.0)
        task = asyncio.create_task(Budgeted(Model(), budget, DEAR).chat(ASK))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return budget._held

    assert asyncio.run(cancelled()) == pytest.approx(0.0)


# --- from end to end -------------------------------------------------------------------------------


def reasons(out: Path) -> dict[str, int]:
    return {code: r["n"] for code, r in result(out, TASK)["reasons"].items()}


def test_spent_told_and_gone_on(bench: Bench) -> None:
    bench.questions(6, "commoneval")
    out = bench.tmp / "a"
    with mock_server() as model, mock_server(texts=["4"]) as judge:
        words = [*openai(model.url, "--task", TASK, "--data-dir", bench.data, "--no-report", "--out", out)]
        words += judged(judge.url)
        first = bench.here(*words, "--judge-budget", "4calls")
        assert first.code == 1 and judge.requests() == 4, first.said
        assert reasons(out) == {"judge-budget": 2}
        assert "4 calls were made, and no other fits into --judge-budget 4calls" in first.err
        assert sum("error" in c for c in lines(out / "calls.jsonl")) == 0, "who wasn't asked is on no ledger"
        assert len(lines(out / TASK / "scores.jsonl")) == 6

        second = bench.here(*words, "--judge-budget", "4calls")
        assert second.code == 0 and judge.requests() == 6, "only those, and the cached ones are free"
        assert result(out, TASK)["n_scored"] == 6 and model.requests() == 6

        third = bench.here(
            *words[:-4], *judged(judge.url), "--out", bench.tmp / "b", "--judge-budget", "0calls"
        )
        assert third.code == 0 and judge.requests() == 6, third.said


def test_money_with_a_known_price(bench: Bench) -> None:
    """10 tokens in and 5 out at 1000 USD a million: here what goes in is free: 5 thousandths a call."""
    bench.questions(30, "commoneval")
    with mock_server() as model, mock_server(texts=["4"]) as judge:
        words = openai(model.url, "--task", TASK, "--data-dir", bench.data, "--no-report", "--no-cache")
        words += [*judged(judge.url), "-J", "price_in=0", "-J", "price_out=1000"]
        done = bench.here(*words, "--out", bench.tmp / "a", "--judge-budget", "0.5")
        spent = json.loads((bench.tmp / "a/costs.json").read_text())["usd"]
        assert done.code == 0 and spent == pytest.approx(30 * 0.005), done.said
        done = bench.here(
            *words, "--out", bench.tmp / "b", "--judge-budget", "$0.14", "--judge-concurrency", 1
        )
        assert done.code == 1 and result(bench.tmp / "b", TASK)["n_scored"] == 28 and judge.requests() == 58


def test_money_needs_a_price(bench: Bench) -> None:
    run = ["run", "--model", "openai/m", "-M", "base_url=http://127.0.0.1:9/v1", "--task", TASK]
    judge = judged("http://127.0.0.1:9/v1")
    refused(
        bench.here(*run, *judge, "--judge-budget", "2"),
        "price of j",
        "-J price_in",
        "prices.yaml",
        "1000calls",
    )
    refused(bench.here(*run, *judge, "--judge-budget", "lots"), "--judge-budget", "1000calls")
    lalm = ["--lalm-judge", "openai/h", "-L", "base_url=http://127.0.0.1:9/v1"]
    refused(bench.here(*run, *lalm, "--judge-budget", "2"), "price of h", "-L price_in")
    dry = bench.here(
        *run, *judge, "-J", "price_in=1", "-J", "price_out=0", "--judge-budget", "2", "--dry-run"
    )
    assert dry.code == 0, dry.said
    assert bench.here(*run, *judge, "--judge-budget", "5calls", "--dry-run").code == 0


def test_score_keeps_to_it_too(bench: Bench) -> None:
    rows = [{"id": f"{k}", "text": "Hello.", "row": {"prompt": f"Say {k}.", "id": f"{k}"}} for k in range(3)]
    (bench.tmp / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with mock_server(texts=["4"]) as judge:
        words = ["score", bench.tmp / "p.jsonl", "--task", TASK, "--out", bench.tmp / "a", "--no-report"]
        done = bench.here(*words, *judged(judge.url), "--judge-budget", "1calls", "--progress", "none")
        assert done.code == 1 and judge.requests() == 1 and reasons(bench.tmp / "a") == {"judge-budget": 2}
