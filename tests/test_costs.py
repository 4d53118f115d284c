"""What judging costs: prices, the ledger, its sums, estimates before and words after; replies kept between runs."""

from __future__ import annotations

import asyncio
import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.cache import Cache
from evalkit.chat import Abilities, ChatReply, ChatRequest, Token
from evalkit.engine.estimate import count_samples
from evalkit.engine.judgecache import CachedChat
from evalkit.engine.metering import MeteredChat, asking_for, recording
from evalkit.engine.opencache import replies_held
from evalkit.errors import RunnerError, UsageError
from evalkit.ledger import Call, CallsFile, costs, read_calls
from evalkit.prices import Price, PriceTable, given_price, load_prices, money
from evalkit.records import Audio, SentAudio
from evalkit.usage import Tokens, sent_tokens, text_tokens, tokens_of
from tests.cli_fixtures import KEY, Bench, bench, finish, judged, kill, lines, openai, refused, wait_for
from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav

__all__ = ["bench"]

TASK = "voicebench/commoneval"
FAST = ("--no-report",)
COUNTS = st.integers(0, 10**9)
TOKENS = st.builds(Tokens, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's prices.yaml, not there yet."""
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "prices.yaml"


# --- tokens and prices -----------------------------------------------------------------------------


def test_tokens_as_endpoints_count_them() -> None:
    flat = {"prompt_tokens": 900, "completion_tokens": 7, "cached_tokens": 512, "audio_tokens": 100}
    assert tokens_of(flat | {"reasoning_tokens": 3}) == Tokens(900, 512, 100, 7, 0, 3)
    nested = {
        "prompt_tokens": 900,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 512, "audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 2},
    }
    assert tokens_of(nested) == Tokens(900, 512, 100, 7, 2, 3)
    assert tokens_of({"input_tokens": 4, "output_tokens": 5}) == Tokens(input=4, output=5)
    for nothing in (
        {},
        {"total_tokens": 9},
        {"prompt_tokens": None},
        {"prompt_tokens": "9"},
        {"prompt_tokens": -1},
    ):
        assert tokens_of(nothing) is None
    for rubbish in (float("nan"), float("inf"), 10**400, 1e300):
        assert tokens_of({"prompt_tokens": rubbish, "completion_tokens": 2}) == Tokens(output=2)


def test_money_by_the_kind_of_token() -> None:
    price = Price(2.0, 10.0, cached_input=0.5, audio_input=40.0, audio_output=80.0)
    assert price.usd(Tokens(input=1_000_000)) == 2.0
    assert price.usd(Tokens(1_000_000, 400_000, 100_000)) == pytest.approx(0.5 * 2 + 0.4 * 0.5 + 0.1 * 40)
    assert price.usd(Tokens(output=1_000_000, audio_output=500_000, reasoning=9)) == pytest.approx(5 + 40)
    assert Price(2.0, 10.0).usd(Tokens(10, 5, 5, 10, 5)) == pytest.approx((10 * 2 + 10 * 10) / 1e6)


@given(TOKENS, TOKENS)
def test_money_is_never_negative_and_grows(one: Tokens, two: Tokens) -> None:
    """Also where an endpoint counts more cached or audio tokens than tokens."""
    price = Price(2.0, 10.0, cached_input=0.5, audio_input=40.0)
    assert price.usd(one) >= 0
    assert Price(1.0, 1.0).usd(one + two) == pytest.approx(
        Price(1.0, 1.0).usd(one) + Price(1.0, 1.0).usd(two)
    )


def test_snapshots_cost_what_their_base_name_costs() -> None:
    table = PriceTable({"gpt-4o": Price(1, 1), "gpt-4o-2024-05-13": Price(2, 2), "own-*": Price(3, 3)})
    named = {"gpt-4o": 1, "GPT-4o": 1, "gpt-4o-2024-11-20": 1, "gpt-4o-2024-05-13": 2, "own-judge": 3}
    for name, expected in (named | {"gpt-4o-latest": 1, "gpt-4o-preview-05-06": 1, "gpt-4o-001": 1}).items():
        assert (found := table.of(name)) is not None and found.input == expected, name
    for name in ("gpt-4o-mini", "gpt-4", "other", "", "-2024-05-13"):
        assert table.of(name) is None


def test_every_price_that_ships_is_dated_and_sourced() -> None:
    table = load_prices()
    for name, price in table.ours.items():
        assert price.source and (price.as_of or name == "embedded-*"), name
    mini = table.of("gpt-4o-mini-2024-07-18")
    assert mini is not None and (mini.input, mini.cached_input, mini.output) == (0.15, 0.075, 0.6)


def test_the_users_table_wins_entry_by_entry(config: Path) -> None:
    before = load_prices().sha256
    config.write_text("gpt-4o: {input: 7, output: 8, as_of: 2026-01-01}\nmine*: {input: 0, output: 0}\n")
    table = load_prices()
    assert table.of("gpt-4o") == Price(7.0, 8.0, as_of="2026-01-01")
    assert table.of("gpt-4o-2024-11-20") == Price(7.0, 8.0, as_of="2026-01-01")
    assert table.of("mine-7b") == Price(0.0, 0.0)
    mini = table.of("gpt-4o-mini")
    assert mini is not None and mini.input == 0.15
    assert table.sha256 != before
    config.write_text("# nothing yet\n")
    assert load_prices().of("gpt-4o") != Price(7.0, 8.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {input: 1", ("no YAML",)),
        ("- gpt-4o", ("no mapping",)),
        ("gpt-4o: 2.5", ("'gpt-4o'", "no mapping")),
        ("gpt-4o: {input: 1}", ("'gpt-4o'", "lacks 'output'")),
        ("gpt-4o: {input: 1, output: two}", ("output", "'two'")),
        ("gpt-4o: {input: -1, output: 2}", ("input", "'-1'")),
        ("gpt-4o: {input: .nan, output: 2}", ("input", "'nan'")),
        ("gpt-4o: {input: yes, output: 2}", ("input", "'True'")),
        ("gpt-4o: {input: 1.0e+300, output: 2}", ("input", "'1e+300'")),
        (f"gpt-4o: {{input: 1{'0' * 400}, output: 2}}", ("input", "'1000")),
        ("gpt-4o: {inptu: 1, output: 2}", ("field 'inptu'", "known: input")),
    ],
)
def test_a_broken_table_is_told_in_one_sentence(config: Path, text: str, words: tuple[str, ...]) -> None:
    config.write_text(text)
    with pytest.raises(UsageError) as told:
        load_prices()
    for word in (str(config), *words):
        assert word in str(told.value)


def test_a_price_given_with_the_judge() -> None:
    listed = Price(1.0, 2.0, cached_input=0.1, as_of="2026-01-01")
    assert given_price({"base_url": "x"}, "-J", listed) is None
    found = given_price({"price_in": "3", "price_out": "0"}, "-J", None)
    assert found == Price(3.0, 0.0, source="given with -J")
    found = given_price({"price_out": "5"}, "-J", listed)
    assert found == Price(1.0, 5.0, cached_input=0.1, source="given with -J")
    assert given_price({"price_in": "3"}, "-J", listed) == Price(3.0, 2.0, source="given with -J")
    with pytest.raises(UsageError, match="-L price_out is missing"):
        given_price({"price_in": "3"}, "-L", None)
    with pytest.raises(UsageError, match=r"-J price_in is a price.*'free'"):
        given_price({"price_in": "free", "price_out": "0"}, "-J", None)


def test_words_for_money() -> None:
    said = {0.0: "$0.00", 1.9: "$1.90", 1234.5: "$1,234.50", 0.0312: "$0.03", 0.004: "$0.0040"}
    assert {usd: money(usd) for usd in said} == said
    assert money(1e-6) == "less than $0.0001"


def test_estimates_of_tokens() -> None:
    assert text_tokens("") == 0 and text_tokens("four") == 1 and text_tokens("你好吗") == 3
    audio = Audio(data=b"", seconds=2.0)
    assert sent_tokens(ChatRequest((("user", ("a" * 400, audio)),)), 25) == Tokens(input=154, audio_input=50)


# --- replies kept between runs ---------------------------------------------------------------------


class Model:
    """A judge's model that counts what it is asked."""

    label, meaningful = "m", True

    def __init__(self, *replies: ChatReply | RunnerError) -> None:
        self.replies, self.asked, self.probes = list(replies), 0, 0

    def identity(self) -> dict[str, Any]:
        return {"model": "m", "base_url": "http://judge"}

    async def abilities(self) -> Abilities:
        self.probes += 1
        return Abilities(logprobs=True)

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked += 1
        await asyncio.sleep(0.01)
        reply = self.replies[min(self.asked, len(self.replies)) - 1]
        if isinstance(reply, RunnerError):
            raise reply
        return reply


ASK = ChatRequest((("system", "judge"), ("user", "is it right?")), temperature=0.5, n=3, seed=1)
FULL = ChatReply(
    ("yes", "no", "I can't"),
    "m-served",
    {"prompt_tokens": 9, "completion_tokens": 3},
    finish=("stop", "stop", "length"),
    refused=(2,),
    tokens=((Token("yes", -0.1, (("yes", -0.1), ("no", -2.5))),), (), (Token("I", -1.0),)),
    sent=(SentAudio("a" * 64, 2.5, 16_000, format="wav", converted=True),),
)


def test_a_kept_reply_is_the_reply(tmp_path: Path) -> None:
    model = Model(FULL)
    first = CachedChat(model, {"a": 1}, Cache(tmp_path))
    assert asyncio.run(first.chat(ASK)) == FULL
    first._cache.close()
    later = CachedChat(model, {"a": 1}, Cache(tmp_path))
    assert asyncio.run(later.chat(ASK)) == replace(FULL, cached=True)
    assert model.asked == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(ASK, seed=2),
        replace(ASK, n=5),
        replace(ASK, temperature=0.0),
        replace(ASK, temperature=None),
        replace(ASK, top_p=0.9),
        replace(ASK, max_tokens=10),
        replace(ASK, top_logprobs=5),
        replace(ASK, schema={"type": "object"}),
        replace(ASK, messages=(("system", "judge"), ("user", "is it right? "))),
        replace(ASK, messages=(("user", "judge"), ("user", "is it right?"))),
        replace(ASK, messages=(("system", "judge"), ("user", ("is it right?", Audio(data=tone_wav(0.1)))))),
    ],
)
def test_whatever_else_is_asked_is_asked(tmp_path: Path, other: ChatRequest) -> None:
    model = Model(FULL)
    chat = CachedChat(model, {"a": 1}, Cache(tmp_path))
    asyncio.run(chat.chat(ASK))
    assert not asyncio.run(chat.chat(other)).cached
    assert asyncio.run(chat.chat(other)).cached
    assert model.asked == 2


def test_other_sound_and_other_judges_are_asked(tmp_path: Path) -> None:
    model, cache = Model(FULL), Cache(tmp_path)
    for n, (who, hz) in enumerate([("a", 200.0), ("a", 300.0), ("b", 200.0)], 1):
        chat = CachedChat(model, {"model": who}, cache)
        asyncio.run(chat.chat(replace(ASK, messages=(("user", ("?", Audio(data=tone_wav(0.1, hz=hz)))),))))
        assert model.asked == n


def test_the_same_at_the_same_time_is_asked_once(tmp_path: Path) -> None:
    model = Model(FULL)
    chat = CachedChat(model, {}, Cache(tmp_path))

    async def many() -> list[ChatReply]:
        return await asyncio.gather(*(chat.chat(ASK) for _ in range(8)))

    found = asyncio.run(many())
    assert model.asked == 1 and [r.cached for r in found] == [False] + [True] * 7


def test_a_failure_is_nobody_elses(tmp_path: Path) -> None:
    """It is not kept, and who waited for the same asks himself."""
    model = Model(RunnerError("http-500", "down", retryable=True), FULL)
    chat = CachedChat(model, {}, Cache(tmp_path))

    async def two() -> list[Any]:
        return await asyncio.gather(chat.chat(ASK), chat.chat(ASK), return_exceptions=True)

    first, second = asyncio.run(two())
    assert isinstance(first, RunnerError) and second == FULL and model.asked == 2


def test_an_unreadable_reply_is_not_kept(tmp_path: Path) -> None:
    model = Model(FULL)
    chat = CachedChat(model, {}, Cache(tmp_path))
    with replies_held():
        asyncio.run(chat.chat(ASK))  # and nobody says that it could be read
    asyncio.run(chat.chat(ASK))
    assert model.asked == 2


def test_a_damaged_entry_is_no_reply(tmp_path: Path) -> None:
    model, cache = Model(FULL), Cache(tmp_path)
    chat = CachedChat(model, {}, cache)
    for damaged in ("x", {}, {"texts": 3, "model": "", "usage": {}}, {"texts": [], "model": "", "usage": 1}):
        cache.put(Cache.key("chat", {}, ASK.to_json()), damaged)
        assert asyncio.run(chat.chat(ASK)).texts == FULL.texts
    assert model.asked == 4


def test_what_an_endpoint_can_do_is_found_out_once(tmp_path: Path) -> None:
    model = Model(FULL)
    for _ in range(2):
        calls: list[Call] = []
        chat = MeteredChat(CachedChat(model, {"a": 1}, Cache(tmp_path)), "judge", Price(1.0, 1.0))
        with recording(calls.append):
            assert asyncio.run(chat.abilities()) == asyncio.run(chat.abilities()) == Abilities(logprobs=True)
        chat.model._cache.close()
        assert model.probes == 1
        assert [(c.task, c.error, c.tokens) for c in calls] == ([("", "", None)] if _ == 0 else [])


# --- the ledger ------------------------------------------------------------------------------------


def test_a_line_round_trips_and_holds_no_text(tmp_path: Path) -> None:
    calls: list[Call] = []
    chat = MeteredChat(Model(FULL, RunnerError("timeout", "slow")), "judge", Price(1.0, 1.0))
    sink = CallsFile(tmp_path)

    def both(call: Call) -> None:
        calls.append(call)
        sink(call)

    with recording(both), asking_for(TASK, "q1", "acc"):
        asyncio.run(chat.chat(ASK))
        with pytest.raises(RunnerError):
            asyncio.run(chat.chat(ASK))
    sink.close()
    back = list(read_calls(tmp_path))
    assert [replace(c, seconds=0) for c in back] == [replace(c, seconds=0) for c in calls]
    assert [(c.task, c.sample_id, c.metric, c.error, c.replies) for c in back] == [
        (TASK, "q1", "acc", "", 3),
        (TASK, "q1", "acc", "timeout", 3),
    ]
    assert back[0].tokens == Tokens(input=9, output=3) and back[0].usd == pytest.approx(12e-6)
    assert back[1].tokens is None and back[1].usd is None
    assert back[0].audio == 2.5, "as it was sent"
    assert "right" not in (tmp_path / "calls.jsonl").read_text()


def test_tokens_nobody_counted_are_estimated_and_told_apart() -> None:
    calls: list[Call] = []
    chat = MeteredChat(Model(replace(FULL, usage={})), "judge", Price(1.0, 1.0))
    with recording(calls.append), asking_for(TASK, "q1", "acc"):
        asyncio.run(chat.chat(ASK))
    [call] = calls
    assert call.tokens is None and call.estimate is not None and call.estimate.output == 4
    found = costs(calls, {TASK: ()})["by_model"][0]
    assert found["estimated"] == 1 and found["usd"] == pytest.approx(call.estimate.input / 1e6 + 4e-6)


def test_what_was_never_sent_is_on_no_record_what_failed_is() -> None:
    calls: list[Call] = []
    unsent, lost = RunnerError("audio-too-long", "an hour", unsent=True), RunnerError("timeout", "late")
    chat = MeteredChat(Model(unsent, lost), "judge", None)
    with recording(calls.append):
        for kind in ("audio-too-long", "timeout"):
            with pytest.raises(RunnerError, match="an hour" if kind != "timeout" else "late"):
                asyncio.run(chat.chat(ASK))
    assert [c.error for c in calls] == ["timeout"]


def test_a_call_that_was_under_way_when_it_was_stopped_is_on_record() -> None:
    calls: list[Call] = []

    async def stopped() -> None:
        asking = asyncio.create_task(MeteredChat(Model(FULL), "judge", None).chat(ASK))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with recording(calls.append):
        asyncio.run(stopped())
    assert [(c.error, c.cached) for c in calls] == [("interrupted", False)]


def test_without_a_ledger_nothing_is_noted() -> None:
    assert asyncio.run(MeteredChat(Model(FULL), "judge", None).chat(ASK)) == FULL


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    sink = CallsFile(tmp_path)
    sink(Call("t", "judge", "m", usd=1.0))
    sink.close()
    path = tmp_path / "calls.jsonl"
    head = b'{"at":"t","role":"judge","model":"m","usd":'
    odd = [
        b'{"v":1}',
        head + b'"x"}',
        head + b"NaN}",
        head + b"-1}",
        head + b"Infinity}",
        head + b"1" * 400 + b"}",
        b"[]",
    ]
    odd += [head + b'1,"replies":Infinity}', b'{"at":"t","ro']
    path.write_bytes(path.read_bytes() + b"\n".join(odd))
    assert len(list(read_calls(tmp_path))) == 1
    sink = CallsFile(tmp_path)  # goes on on a line of its own
    sink(Call("t", "judge", "m"))
    sink.close()
    assert len(list(read_calls(tmp_path))) == 2


def test_sums_by_model_task_and_table() -> None:
    calls = [
        Call("t", "judge", "a", "x", "1", "acc", tokens=Tokens(10, 0, 0, 5), usd=0.5, seconds=1),
        Call("t", "judge", "a", "x", "2", "acc", cached=True),
        Call("t", "judge", "a", "y", "1", "acc", error="http-429"),
        Call("t", "lalm-judge", "b", "y", "1", "score", tokens=Tokens(7, 0, 5, 2), audio=3.0),
        Call("t", "asr", "w", "y", "1", audio=8.0, seconds=2.0),
        Call("t", "judge", "a", "other", "1", "acc", tokens=Tokens(99, 0, 0, 99), usd=9.0),
        Call("t", "judge", "a", estimate=Tokens(1, 0, 0, 1), usd=0.25),
    ]
    found = costs(calls, {"x": ["1", "2", "2"], "y": ["2"]})
    assert (found["usd"], found["unpriced"]) == (0.75, 1)
    models = {(r["role"], r["model"]): r for r in found["by_model"]}
    a = models["judge", "a"]
    assert (a["calls"], a["cached"], a["failed"], a["usd"], a["unpriced"]) == (4, 1, 1, 0.75, 0)
    assert models["lalm-judge", "b"]["usd"] is None and models["lalm-judge", "b"]["audio_seconds"] == 3.0
    asr = models["asr", "w"]
    assert (asr["audio_seconds"], asr["seconds"], asr["usd"], asr["unpriced"]) == (8.0, 2.0, None, 0)
    tables = {(r["table"], r["role"]): r["calls"] for r in found["by_table"]}
    assert tables == {("1", "judge"): 2, ("2", "judge"): 3, ("2", "lalm-judge"): 1, ("2", "asr"): 1}
    assert costs([], {"x": ["1"]})["usd"] is None


# --- from end to end -------------------------------------------------------------------------------


def calls_of(out: Path) -> list[dict[str, Any]]:
    return lines(out / "calls.jsonl")


def costs_json(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "costs.json").read_text())
    return found


MINI = "openai/gpt-4o-mini-2024-07-18"


def test_a_run_says_what_it_cost_and_the_next_one_asks_nobody(bench: Bench) -> None:
    """Two processes share replies; the mock counts 10 tokens in and 5 out for each request."""
    bench.questions(4, "commoneval")
    with mock_server() as model, mock_server(texts=["4"]) as judge:
        words = openai(model.url, "--task", TASK, "--data-dir", bench.data, "--limit", 4)
        words += ["--judge", MINI, "-J", f"base_url={judge.url}"]
        first = bench.process(*words, "--out", bench.tmp / "a")
        assert judge.requests() == 4
        assert "judge calls \u2248 4, \u2248 $0.00" in first.err.splitlines()[0], first.said
        assert "judges: 4 calls, 60 tokens, less than $0.0001" in first.err
        cost = costs_json(bench.tmp / "a")
        assert cost["usd"] == pytest.approx(4 * (10 * 0.15 + 5 * 0.6) / 1e6)
        [row] = cost["by_task"]
        assert (row["task"], row["calls"], row["tokens"]) == (TASK, 4, {"input": 40, "output": 20})
        assert {r["table"] for r in cost["by_table"]} == {"1", "2"}

        second = bench.process(*words, "--out", bench.tmp / "b")
        assert judge.requests() == 4
        assert "judges: 4 calls (4 cached)" in second.err
        assert costs_json(bench.tmp / "b")["usd"] == 0
        assert all(c["cached"] and "tokens" not in c for c in calls_of(bench.tmp / "b"))

        again = bench.process(*words, "--out", bench.tmp / "a")
        assert "no judge calls left" in again.err.splitlines()[0], again.said
        assert len(calls_of(bench.tmp / "a")) == 4

        bench.process(*words, "--out", bench.tmp / "c", "--no-cache", *FAST)
        assert judge.requests() == 8
        bench.process(*words, "--out", bench.tmp / "d", "-J", "concurrency=3", "-J", "price_in=9", *FAST)
        assert judge.requests() == 8, "how it is asked and what it costs decide no reply"
        assert all(c["role"] == "judge" and c["task"] == TASK for c in calls_of(bench.tmp / "c"))
    rows = list(csv.DictReader((bench.tmp / "a/csv/costs.csv").open()))
    assert [(r["by"], r["name"], r["calls"]) for r in rows][:2] == [
        ("model", "gpt-4o-mini-2024-07-18", "4"),
        ("task", TASK, "4"),
    ]
    page = (bench.tmp / "a/report.html").read_text()
    assert "What judging cost" in page and "for judging" in page
    told = json.loads((bench.tmp / "a/run.json").read_text())["prices"]
    assert told["models"][0]["input"] == 0.15 and len(told["sha256"]) == 64


def test_failed_attempts_are_on_record_and_secrets_never(bench: Bench) -> None:
    bench.questions(2, "commoneval")
    with mock_server() as model, mock_server(texts=["4"], status=500, fail_first=1) as judge:
        words = openai(model.url, "--task", TASK, "--data-dir", bench.data, "--out", bench.tmp / "a")
        done = bench.here(*words, *judged(judge.url.replace("http://", "http://user:hunter2@")))
        bench.here(*words[:-1], bench.tmp / "b", *judged(judge.url), "--no-cache")
        assert judge.stats()["last_headers"]["authorization"].endswith(KEY)
    found = calls_of(bench.tmp / "a")
    assert sorted(c.get("error", "") for c in found) == ["", "", "http-500", "http-500"]
    assert "4 calls (2 failed), 30 tokens, price unknown" in done.err
    [row] = costs_json(bench.tmp / "a")["by_model"]
    assert (row["failed"], row["unpriced"], row["usd"]) == (2, 2, None)
    for path in bench.tmp.rglob("*"):
        if path.is_file() and "data" not in path.parts:
            assert KEY.encode() not in path.read_bytes() and b"hunter2" not in path.read_bytes(), path


def test_killed_in_the_middle_and_resumed(bench: Bench) -> None:
    """Whatever was asked before the kill is on record, and sessions add up."""
    bench.questions(6, "commoneval")
    words = ["--task", TASK, "--data-dir", bench.data, "--judge-concurrency", 1, *FAST]
    with mock_server() as model, mock_server(texts=["4"], latency=0.15) as judge:
        args = [*openai(model.url, *words), *judged(judge.url), "-J", "price_in=1", "-J", "price_out=1"]
        args += ["--out", bench.tmp / "a", "--no-cache"]
        process = bench.start(*args)
        wait_for(lambda: len(calls_of(bench.tmp / "a")) >= 2, process)
        kill(process)
        before = calls_of(bench.tmp / "a")
        assert 2 <= len(before) < 6
        with (bench.tmp / "a/calls.jsonl").open("ab") as file:
            file.write(b'{"v":1,"at":"20')
        done = finish(bench.start(*args))
        assert done.code == 0, done.said
    after = list(read_calls(bench.tmp / "a"))
    assert len(after) in (6, 7)  # one may have been answered and not been judged
    [row] = costs_json(bench.tmp / "a")["by_model"]
    assert row["calls"] == len(after) and row["usd"] == pytest.approx(len(after) * 15e-6)


def test_dry_run_counts_before_anything_is_asked(bench: Bench) -> None:
    bench.questions(3, "sd-qa", reference="Rome")
    with mock_server() as model, mock_server(texts=["Yes"]) as judge:
        words = openai(
            model.url, "--task", "voicebench/sd-qa", "--protocol", "official", "--out", bench.tmp / "a"
        )
        words += ["--judge", MINI, "-J", f"base_url={judge.url}", "--limit", 3, "--dry-run"]
        done = bench.here(*words)
        assert done.code == 0 and judge.requests() + model.requests() == 0
        assert "judge calls \u2248 3" in done.err.splitlines()[0]
        assert "judge gpt-4o-mini-2024-07-18: at most 3 calls (9 replies), \u2248 " in done.err
        assert "Table 2: at most 3 calls" in done.err and "assumed: " in done.err
        assert not (bench.tmp / "a").exists()
        told = json.loads(bench.here(*words, "--json").out)
        assert (told["dry_run"], told["calls"]) == (True, 3) and 0 < told["usd"] < 0.01
        [row] = told["rows"]
        assert (row["role"], row["task"], row["calls"], row["replies"]) == ("judge", "voicebench/sd-qa", 3, 9)
        assert row["usd"] == told["usd"] and row["tokens"]["input"] > 0 and "2" in row["tables"]
        unknown = bench.here(*words, "-J", "price_in=1")
        assert unknown.code == 0
        nobody = bench.here(*openai(model.url, "--task", TASK, "--out", bench.tmp / "a", "--dry-run"))
        assert "judge calls" not in nobody.err and "assumed" not in nobody.err


def test_geval_probes_once_and_both_are_on_record(bench: Bench) -> None:
    """What the endpoint can do is kept, too: with all replies at hand, nobody is asked anything."""
    bench.questions(2, "commoneval")
    with mock_server() as model, mock_server(texts=["4"]) as judge:
        words = openai(model.url, "--task", TASK, "--data-dir", bench.data, *FAST)
        words += ["--judge", MINI, "-J", f"base_url={judge.url}", "-O", "judge_scoring=geval"]
        first = bench.process(*words, "--out", bench.tmp / "a")
        asked = judge.requests()
        assert first.code == 0 and asked >= 3, first.said
        assert [c.get("task") for c in calls_of(bench.tmp / "a")] == [None, TASK, TASK]
        second = bench.process(*words, "--out", bench.tmp / "b")
        assert second.code == 0 and judge.requests() == asked, second.said
        assert "judges: 3 calls, " in first.err and "judges: 2 calls (2 cached)" in second.err
        # What the endpoint can do is at hand: a forecast signs as the run did, and knows what is on record.
        dry = bench.process(*words, "--out", bench.tmp / "a", "--dry-run")
        assert "judge gpt-4o-mini-2024-07-18: at most 0 calls" in dry.err, dry.said
        dry = bench.process(*words, "--out", bench.tmp / "a", "--dry-run", "--no-cache")
        assert "at most 2 calls" in dry.err and "an endpoint that tells log-probabilities" in dry.err, (
            dry.said
        )
        assert judge.requests() == asked


def test_speech_and_its_transcripts(bench: Bench) -> None:
    """Seconds of audio of a LALM judge and of an ASR engine; a budget leaves no mark of a public scorer."""
    words = ["--suite", "smoke", *FAST, "--out", bench.tmp / "a", "-M", "voice=x"]
    with mock_server(speak=1.5) as model, mock_server(texts=["[[4]]"]) as judge:
        words = openai(model.url, *words, "--lalm-judge", "openai/gpt-audio", "-L", f"base_url={judge.url}")
        done = bench.here(*words, "--task", "vstyle/en", "--judge-budget", "1calls")
        assert done.code == 1, done.said
    [call] = calls_of(bench.tmp / "a")
    assert call["role"] == "lalm-judge" and call["audio"] >= 1.5 and call["usd"] > 0
    held = lines(bench.tmp / "a/vstyle/en/scores.jsonl")
    refused_ones = [s for s in held if s.get("reason", "").startswith("judge-budget")]
    assert len(refused_ones) == len(held) - 1 > 0 and not any(s.get("touched") for s in refused_ones)


@pytest.mark.parametrize(
    ("keep", "published", "found"), [(False, 9, 3), (True, 9, 9), (True, None, 2), (False, None, 3)]
)
def test_parquet_tells_its_rows_but_not_which_of_them_a_task_takes(
    tmp_path: Path, keep: bool, published: int | None, found: int
) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "a.parquet")
    spec = SimpleNamespace(keep=(lambda row: True) if keep else None)
    source: Any = SimpleNamespace(
        files=[("test", str(tmp_path / "a.parquet"))], spec=spec, rows=lambda: iter((1, 2))
    )
    assert count_samples(source, published) == found
    (tmp_path / "a.parquet").write_bytes(b"none")
    if not keep:
        assert count_samples(source, published) == published, "the run will say why"


def test_dry_run_counts_what_judges_within_judges_ask(bench: Bench) -> None:
    """A task of text and speech has a judge for each, inside one that says what becomes of a missing part."""
    words = openai("http://127.0.0.1:9/v1", "--suite", "smoke", "--task", "*/alpaca-eval-s2m", "--dry-run")
    dry = bench.here(
        *words, "--out", bench.tmp / "a", "--judge", MINI, "-J", "base_url=http://127.0.0.1:9/v1"
    )
    assert "judge gpt-4o-mini-2024-07-18: at most 6 calls" in dry.err, dry.said
    assert "Table 7: at most 6 calls" in dry.err
    assert "needs judge, asr \u00b7 judge at most 6 calls" in dry.err and "3 calls" not in dry.err


def test_score_dry_run_writes_and_asks_nothing(bench: Bench) -> None:
    row = {"prompt": "Say hello.", "id": "x"}
    line = {"id": "x", "text": "Hello.", "row": row}
    (bench.tmp / "preds.jsonl").write_text(json.dumps(line) + "\n")
    with mock_server(texts=["4"]) as judge:
        words = [
            "score",
            bench.tmp / "preds.jsonl",
            "--task",
            TASK,
            "--out",
            bench.tmp / "a",
            "--progress",
            "none",
        ]
        words += ["--judge", MINI, "-J", f"base_url={judge.url}"]
        dry = bench.here(*words, "--dry-run")
        assert dry.code == 0 and judge.requests() == 0 and not (bench.tmp / "a").exists(), dry.said
        assert "judge calls \u2248 1, " in dry.err and "dry run: nothing was sent" in dry.err
        assert json.loads(bench.here(*words, "--dry-run", "--json").out)["calls"] == 1
        done = bench.here(*words)
        assert "judge calls \u2248 1, " in done.err and "judges: 1 call, 15 tokens" in done.err, done.said


def test_the_price_list_and_a_broken_one(bench: Bench) -> None:
    listed = bench.here("list", "prices")
    assert "gpt-4o-mini" in listed.out and "Check before you rely" in listed.out
    (bench.tmp / "config").mkdir()
    (bench.tmp / "config/prices.yaml").write_text("mine: {input: 1, output: 2}\n")
    rows = json.loads(bench.here("list", "prices", "--json").out)
    assert rows[0]["model"] == "mine" and rows[0]["from"] == "yours"
    (bench.tmp / "config/prices.yaml").write_text("mine: [")
    refused(bench.here("list", "prices"), "prices.yaml", "no YAML")
    run = ["run", "--model", "openai/m", "--task", TASK, *judged("http://127.0.0.1:9/v1")]
    refused(bench.here(*run), "prices.yaml", "no YAML")


def test_local_data_is_counted_and_what_is_on_record_left_out(bench: Bench) -> None:
    bench.questions(5, "commoneval")
    with mock_server() as model, mock_server(texts=["4"]) as judge:
        words = openai(model.url, "--task", TASK, "--data-dir", bench.data, "--out", bench.tmp / "a", *FAST)
        words += [*judged(judge.url), "-J", "price_in=1000", "-J", "price_out=0"]
        dry = bench.here(*words, "--dry-run")
        assert "judge j: at most 5 calls, " in dry.err and "an answer of 250" in dry.err, dry.said
        bench.here(*words, "--judge-budget", "3calls")
        dry = bench.here(*words, "--dry-run")
        # 10 tokens in and 5 out each, as the mock counted them so far.
        assert "judge j: at most 2 calls, \u2248 30 tokens, \u2248 $0.02" in dry.err, dry.said
        assert "as on record in the run directory" in dry.err
