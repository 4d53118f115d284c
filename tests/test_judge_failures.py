"""Replies that can't be read: each kind with its code, asked again or not; and votes by the user's number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.chat import ChatReply, ChatRequest
from evalkit.engine.judging import failed
from evalkit.errors import BUDGET, RunnerError, UsageError
from evalkit.interfaces import Answer, Roles
from evalkit.records import Audio, Response, Sample, Turn, Verdict
from judges.asking import Asking, ModelJudge
from judges.contracts import CONTRACTS, pooled
from judges.failures import UNREADABLE, declines
from judges.lalm import Unreadable
from judges.lalm_presets import runs_of, vstyle_judge
from judges.llm_presets import chatbot_judge, mcq_judge, open_judge, qa_judge
from judges.manner import Manner, manner_of
from judges.mmau_pro_open import mmau_pro_open_judge
from judges.openaudiobench import INVALID_DROPPED, oab_judge
from tests.mock_openai import tone_wav


@dataclass
class Turns:
    """A chat model that gives one reply after the other, then the last again."""

    replies: list[ChatReply]
    label: str = "j"
    meaningful: bool = True
    asked: list[ChatRequest] = field(default_factory=list)

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        return self.replies[min(len(self.asked), len(self.replies)) - 1]


def ask(judge: ModelJudge, text: str = "Rome.") -> Verdict:
    sample = Sample("s", "x/y", (Turn("user", ("Where?",)),), target="Rome")
    return asyncio.run(judge.ask(sample, Answer(text, Response("s", text))))[0]


KINDS: dict[str, ChatReply] = {
    "judge-unparseable": ChatReply(("It is quite good.",), finish=("stop",)),
    "judge-refused": ChatReply(("No rating from me.",), refused=(0,)),
    "judge-truncated": ChatReply(("The answer begins well and",), finish=("length",)),
    "judge-empty": ChatReply((" \n",), finish=("stop",)),
    "judge-content-filter": ChatReply(("The answer",), finish=("content_filter",)),
}


@pytest.mark.parametrize("code", KINDS)
def test_each_kind_has_its_code_and_its_reply_on_record(code: str) -> None:
    verdict = ask(chatbot_judge(Turns([KINDS[code]])))
    assert verdict.value is None and verdict.code == code and code in UNREADABLE
    assert verdict.detail["replies"] == [KINDS[code].texts[0].strip()]
    assert len((verdict.reason or "").partition(": ")[2]) > 20, "says what to do"


@pytest.mark.parametrize("code", KINDS)
def test_a_reply_that_can_be_read_counts_whatever_is_said_of_it(code: str) -> None:
    reply = replace(KINDS[code], texts=("I'm sorry to say so, but [[4]] and then",))
    assert ask(chatbot_judge(Turns([reply]))).value == 4.0


@pytest.mark.parametrize("protocol", ["report", "kimi"])
@pytest.mark.parametrize("code", KINDS)
def test_kimis_kit_drops_every_kind(code: str, protocol: Any) -> None:
    verdict = ask(oab_judge("alpaca_eval", Turns([KINDS[code]]), protocol))
    assert verdict.code == code
    assert verdict.touched == (INVALID_DROPPED if protocol == "kimi" else None)


def test_the_first_unreadable_vote_is_told_of() -> None:
    reply = ChatReply(("4", "", "5"), finish=("stop", "length", "stop"))
    assert ask(open_judge("official", Turns([reply]))).code == "judge-truncated"
    reply = ChatReply(("4", "5", "5"), refused=(1,), finish=("length",) * 3)
    assert ask(open_judge("official", Turns([reply]))).value == pytest.approx(14 / 3)


def test_a_majority_reads_what_the_public_scorer_reads() -> None:
    """Any string is a vote there: a refusal is one that is not yes."""
    reply = ChatReply(("I'm sorry.", "I'm sorry.", "Yes"), refused=(0, 1), finish=("length",) * 3)
    verdict = ask(qa_judge("official", Turns([reply])))
    assert (verdict.value, verdict.reason) == (0.0, None)
    assert ask(mmau_pro_open_judge(Turns([ChatReply(("I refuse.",))]))).value == 0.6, (
        "MMAU-Pro's stand-in of 3"
    )


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I\u2019m sorry, I can't rate this.", True),
        ('"I cannot assist with this request."', True),
        ("**Sorry**, no.", True),
        ("As an AI language model, I have no opinion.", True),
        ("I am unable to rate this answer.", True),
        ("抱歉，我不能评分。", True),
        ("无法评分。", True),
        ("The answer is good, as an example of style.", False),
        ("The assistant says it is illegal, which is right.", False),
        ("Score: 4. I am just saying.", False),
        ("I'm an expert and rate it four.", False),
        ("I think it deserves four points.", False),
        ("I'd rather skip it.", False),
        ("I can see that this is right: four.", False),
        ("", False),
    ],
)
def test_what_is_plainly_a_refusal(reply: str, refusal: bool) -> None:
    assert declines(reply) == refusal


# --- again at once, or in the next run ---------------------------------------------------------------

GOOD = ChatReply(("[[4]]",), "served", {"total_tokens": 5})


def at(temperature: float | None, model: Turns, seed: int | None = None) -> ModelJudge:
    judge = chatbot_judge(model)
    judge.asking = Asking(temperature=temperature, seed=seed)
    return judge


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize(("temperature", "times"), [(0.0, 1), (0.5, 2), (None, 2)])
def test_a_sampled_judge_is_asked_once_more(code: str, temperature: float | None, times: int) -> None:
    bad = replace(KINDS[code], usage={"total_tokens": 7})
    times = times if code != "judge-content-filter" else 1
    model = Turns([bad, GOOD])
    verdict = ask(at(temperature, model))
    assert len(model.asked) == times
    if times == 1:
        assert verdict.code == code and "attempts" not in verdict.detail
    else:
        assert (verdict.value, verdict.detail["attempts"]) == (4.0, 2)
        assert verdict.detail["usage"] == {"total_tokens": 12}, "both were paid for"
        assert verdict.detail["earlier"] == list(bad.texts), "what was said first is kept"
    stubborn = Turns([bad])
    assert ask(at(temperature, stubborn)).code == code and len(stubborn.asked) == times


@pytest.mark.parametrize("fatal", [False, True])
def test_a_second_request_that_fails_leaves_the_first_failure(fatal: bool) -> None:
    class Failing(Turns):
        async def chat(self, request: ChatRequest) -> ChatReply:
            if self.asked:
                raise RunnerError("http-429", "slow down", retryable=True, fatal=fatal)
            return await super().chat(request)

    judge = at(0.5, Failing([KINDS["judge-empty"]]))
    if fatal:
        with pytest.raises(RunnerError):
            ask(judge)
    else:
        assert ask(judge).code == "judge-empty"


def test_a_long_first_reply_is_clipped() -> None:
    verdict = ask(at(0.5, Turns([ChatReply(("x" * 20_000,)), GOOD])))
    [earlier] = verdict.detail["earlier"]
    assert verdict.value == 4.0 and len(earlier) < 8_100 and "12000 characters cut" in earlier


def test_a_seeded_judge_gets_another_seed() -> None:
    model = Turns([KINDS["judge-unparseable"], GOOD])
    ask(at(0.5, model, seed=3))
    assert [r.seed for r in model.asked] == [3, 4]


@pytest.mark.parametrize("reply", ["[[11]]", "[[0]]"])
def test_a_rating_the_contract_refuses_is_not_asked_again(reply: str) -> None:
    model = Turns([ChatReply((reply,))])
    judge = oab_judge("alpaca_eval", model)
    judge.asking = replace(judge.asking, temperature=1.0)
    assert ask(judge).code == "judge-out-of-range" and len(model.asked) == 1


@pytest.mark.parametrize("code", KINDS)
def test_a_lalm_judges_failures_are_attempts(code: str) -> None:
    judge = vstyle_judge("en", Turns([KINDS[code]]))
    sample = Sample("s", "vstyle/x", (Turn("user", ("Say.",)),), meta={"ability": "empathy/joy"})
    speech = Audio(data=tone_wav(0.2), format="wav")
    with pytest.raises(Unreadable) as caught:
        asyncio.run(judge.ask(sample, Answer("hi", Response("s", "hi", audio=speech))))
    [verdict] = judge.gave_up(caught.value)
    assert caught.value.retryable and verdict.code == code and verdict.touched == "dropped_failure"


def test_a_spent_budget_says_nothing_of_the_answer_even_where_failures_are_dropped() -> None:
    judge = vstyle_judge("en", Turns([]))
    [verdict] = failed(judge, RunnerError(BUDGET, "$1.00 is spent"))
    assert (verdict.reason, verdict.touched) == ("judge-budget: $1.00 is spent", None)
    [verdict] = failed(judge, RunnerError("timeout", "late"))
    assert (verdict.code, verdict.touched) == ("judge-timeout", "dropped_failure")


@pytest.mark.parametrize(("lalm", "flag"), [(True, "-L"), (False, "-J")])
def test_a_judge_that_can_not_be_asked_at_all_ends_the_run_and_names_its_own_option(
    lalm: bool, flag: str
) -> None:
    judge = vstyle_judge("en", Turns([])) if lalm else chatbot_judge(Turns([]))
    error = RunnerError("unreachable", "can't reach it. Check -M base_url", fatal=True)
    with pytest.raises(
        RunnerError, match=f"^the {judge.role}: can't reach it. Check {flag} base_url$"
    ) as caught:
        failed(judge, error)
    assert caught.value.fatal and caught.value.kind == "unreachable"


@given(st.text(max_size=400))
def test_any_reply_is_a_refusal_or_not(reply: str) -> None:
    assert declines(reply) in (True, False)


def test_long_replies_take_no_time() -> None:
    began = time.process_time()
    for filler in (" ", "*", "i'm sorry ", "'"):
        declines(filler * 100_000)
    assert time.process_time() - began < 1


# --- votes -------------------------------------------------------------------------------------------


def votes(*texts: str) -> ChatReply:
    return ChatReply(texts)


@pytest.mark.parametrize(
    ("make", "replies", "value", "counts"),
    [
        (open_judge, ("4", "5", "3", "4"), 4.0, {"sum": 16.0, "votes": 4.0}),
        (
            lambda p, m, **kw: open_judge("kimi", m, **kw),
            ("4", "5", "3", "4"),
            4.0,
            {"sum": 16.0, "votes": 4.0},
        ),
        (lambda p, m, **kw: chatbot_judge(m, **kw), ("[[1]]", "[[9]]", "[[9]]", "[[9]]"), 7.0, None),
        (lambda p, m, **kw: mcq_judge(m, **kw), ("yes", "no", "yes", "yes"), 1.0, None),
        (lambda p, m, **kw: mcq_judge(m, **kw), ("no", "what?", "no", "no"), 0.0, None),
        (qa_judge, ("no", "yes", "no", "no"), 0.0, None),
    ],
)
def test_votes_are_the_users(
    make: Callable[..., ModelJudge], replies: tuple[str, ...], value: float, counts: Any
) -> None:
    model = Turns([votes(*replies)])
    judge = make("official", model, manner=Manner(votes=4))
    verdict = ask(judge)
    assert model.asked[0].n == 4 and " x4 " in judge.signature
    assert verdict.value == value and len(verdict.detail["votes"]) == 4
    if counts:
        assert verdict.counts == counts


@pytest.mark.parametrize(
    ("replies", "code"),
    [(("yes", "no"), "vote-tie"), (("yes", "?"), "judge-unparseable"), (("?", "?"), "judge-unparseable")],
)
def test_no_majority_no_verdict(replies: tuple[str, ...], code: str) -> None:
    assert ask(mcq_judge(Turns([votes(*replies)]), manner=Manner(votes=2))).code == code


def test_one_unread_rating_is_not_averaged_away() -> None:
    verdict = ask(chatbot_judge(Turns([votes("[[4]]", "", "[[5]]")]), manner=Manner(votes=3)))
    assert verdict.code == "judge-empty" and verdict.detail["votes"] == [4.0, None, 5.0]


def test_one_vote_asked_for_is_the_public_contract() -> None:
    judge = open_judge("official", Turns([votes("4")]), manner=Manner(votes=1))
    assert ask(judge).value == 4.0 and " x1 " in judge.signature
    assert chatbot_judge(Turns([]), manner=Manner(votes=1)).signature == chatbot_judge(Turns([])).signature


def test_the_option_for_text_and_lalm_judges() -> None:
    def made(**options: Any) -> Manner:
        return manner_of(Roles(options=options))

    assert made().votes is None and made(judge_votes="5").votes == 5
    assert (runs_of({}), runs_of({"judge_runs": "3"}), runs_of({"judge_votes": "5"})) == (1, 3, 5)
    assert runs_of({"judge_votes": "5", "judge_runs": "3"}) == 5
    for bad in ("1" * 5000, "0", "101", "x", "1.5", "-1", "٣", ""):
        with pytest.raises(UsageError, match="judge_votes"):
            made(judge_votes=bad)
    judge = vstyle_judge("en", Turns([]), runs=3, manner=Manner(votes=3))
    assert " x3 " in judge.signature
    assert judge.signature == vstyle_judge("en", Turns([]), runs=3).signature


@given(st.sampled_from(sorted(CONTRACTS)), st.lists(st.text(alphabet="yesno[1234] ", max_size=6), max_size=5))
def test_pooled_contracts_give_a_value_or_a_reason(name: str, replies: list[str]) -> None:
    reading = pooled(CONTRACTS[name]).read(replies)
    assert (reading.value is None) == bool(reading.reason)
    if len(replies) == 1:
        assert reading.value == CONTRACTS[name].read(replies).value
