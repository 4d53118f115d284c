"""VStyle's attempts: what consumes one, what is on record after the last, in every order. Sheet sections 5 to 7."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from evalkit.chat import ChatReply, ChatRequest
from evalkit.engine.retry import Retry, attempt
from evalkit.errors import RunnerError
from evalkit.interfaces import Answer
from evalkit.records import Audio, Response, Sample, Turn, Verdict
from judges.contracts import OUT_OF_RANGE
from judges.lalm import DROPPED, SCORED_1
from judges.lalm_presets import vstyle_judge
from judges.vstyle_votes import INFINITE, NOT_A_NUMBER, NOT_WHOLE, Parser
from tests.mock_openai import tone_wav

SAMPLE = Sample(
    "s", "vstyle/en", (Turn("user", ()),), meta={"question": "Shout!", "ability": "instruction/style"}
)
SPOKEN = Answer("", Response("s", audio=Audio(data=tone_wav(0.1))))


@dataclass
class Scripted:
    """A judge that follows a script: texts, exceptions, and replies with more to tell."""

    script: Sequence[str | Exception | ChatReply]
    label: str = "scripted"
    meaningful: bool = True
    asked: list[ChatRequest] = field(default_factory=list)

    async def chat(self, request: ChatRequest) -> ChatReply:
        step = self.script[len(self.asked)]
        self.asked.append(request)
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, ChatReply) else ChatReply((step,), model="scripted-1")


def judged(
    script: Sequence[str | Exception | ChatReply], parser: Parser = "official", tries: int = 5
) -> tuple[Verdict, int]:
    """The verdict the engine puts on record, and how often the judge was asked."""
    model = Scripted(script)
    judge = vstyle_judge("en", model, parser=parser, on_failure="drop" if parser == "official" else "score_1")

    async def go() -> list[Verdict]:
        try:
            return (await attempt(lambda: judge.ask(SAMPLE, SPOKEN), Retry(tries=tries, base=0.0)))[0]
        except RunnerError as error:
            return judge.gave_up(error)

    [verdict] = asyncio.run(go())
    return verdict, len(model.asked)


def lost() -> RunnerError:
    return RunnerError("http-503", "overloaded 5", retryable=True)


def blocked() -> RunnerError:
    return RunnerError("content-filter", "the filter blocked the reply [[5]]")


def refused() -> RunnerError:
    return RunnerError("http-400", "invalid argument")


def crash() -> Exception:
    return ValueError("no parts in the reply [[5]]")


NO_SCORE = "Final score: 4"
BAD = ("", "  \n", NO_SCORE, "[[4/5]]", "[[unclosed [[4]]", lost, blocked, refused, crash)


@pytest.mark.parametrize("good", ["Final score: [[4]]", "4", "[[4]] but [[excellent]]"])
@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("bad", BAD)
def test_a_good_reply_within_five_attempts_counts(bad: object, at: int, good: str) -> None:
    script = [bad() if callable(bad) else bad for _ in range(at)]
    verdict, asked = judged([*script, good, "[[1]]"])  # type: ignore[list-item]
    assert (verdict.value, verdict.touched, verdict.reason, asked) == (4.0, None, None, at + 1)
    assert verdict.detail["replies"] == [good]


@pytest.mark.parametrize("last", BAD)
@pytest.mark.parametrize("before", BAD)
def test_after_the_fifth_the_last_word_is_on_record(before: object, last: object) -> None:
    """Five failures of two kinds; a sixth reply, which would do, is never asked for."""
    steps = [before, before, last, before, last]
    verdict, asked = judged([*(s() if callable(s) else s for s in steps), "[[5]]"])  # type: ignore[list-item]
    assert (verdict.value, verdict.touched, asked) == (None, DROPPED, 5)
    reason = verdict.reason or ""
    if callable(last):
        error = last()
        kind = error.kind if isinstance(error, RunnerError) else "error"
        assert reason.startswith(f"judge-{kind}: ") and str(error) in reason and "after 5 tries" in reason
        assert verdict.detail["error"] == kind and verdict.detail["attempts"] == 5
    else:
        code = "judge-empty" if not str(last).strip() else "judge-unparseable"
        assert reason.startswith(f"{code}: ") and verdict.detail["replies"] == [str(last).strip()]
        assert verdict.detail["attempts"] == 5


def test_no_order_of_failures_matters() -> None:
    """Empty, unreadable, exception and good in all orders: the good one is found, wherever it stands."""
    for order in itertools.permutations(["", NO_SCORE, crash(), "[[2]]"]):
        verdict, asked = judged(order)
        assert (verdict.value, asked) == (2.0, order.index("[[2]]") + 1)


@pytest.mark.parametrize(
    ("reply", "value", "touched"),
    [
        ("[[7]]", 7.0, OUT_OF_RANGE),
        ("[[4.5]]", 4.5, NOT_WHOLE),
        ("[[7.5]]", 7.5, f"{OUT_OF_RANGE}+{NOT_WHOLE}"),
        ("[[-1]]", -1.0, OUT_OF_RANGE),
        ("[[nan]]", None, NOT_A_NUMBER),
        ("[[inf]]", None, INFINITE),
    ],
)
def test_an_odd_number_ends_it_in_official_only(reply: str, value: float | None, touched: str) -> None:
    """No check of range or wholeness there: the first number is the score. "strict" asks again."""
    verdict, asked = judged([reply, "[[5]]"])
    assert (verdict.value, verdict.touched, asked) == (value, touched, 1)
    strict, asked = judged([reply, "[[5]]"], "strict")
    assert (strict.value, strict.touched, asked) == (5.0, None, 2)
    verdict, asked = judged([reply] * 5, "strict")
    assert (verdict.value, verdict.touched, asked) == (1.0, SCORED_1, 5)


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_the_number_of_attempts_is_the_number_of_requests(tries: int) -> None:
    verdict, asked = judged([""] * tries + ["[[5]]"], tries=tries)
    assert (verdict.value, asked, verdict.detail["attempts"]) == (None, tries, tries)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (ChatReply(("Step one: the voice",), finish=("length",)), "judge-truncated"),
        (ChatReply(("",), finish=("length",)), "judge-truncated"),
        (ChatReply(("I won't.",), refused=(0,)), "judge-refused"),
        (ChatReply(("I'm sorry, but I can't assist with that.",)), "judge-refused"),
        (ChatReply(("",), finish=("stop",)), "judge-empty"),
        (ChatReply(("a good reading",), finish=("stop",)), "judge-unparseable"),
    ],
)
def test_each_failure_has_its_code_and_is_tried_again(reply: ChatReply, code: str) -> None:
    verdict, asked = judged([reply] * 5)
    assert (verdict.reason or "").startswith(f"{code}: ") and asked == 5 and verdict.touched == DROPPED
    one, _ = judged([reply] * 5, "strict")
    assert (one.value, one.touched) == (1.0, SCORED_1) and one.detail["failure"].startswith(code)


def test_a_cut_off_reply_with_a_score_is_a_score() -> None:
    verdict, asked = judged([ChatReply(("[[3]] and so",), finish=("length",))])
    assert (verdict.value, asked) == (3.0, 1)


@pytest.mark.parametrize("final", [blocked, lost, crash])
def test_what_says_nothing_of_the_answer_is_no_1(final: object) -> None:
    assert callable(final)
    verdict, asked = judged([NO_SCORE, *(final() for _ in range(4))], "strict")
    assert (verdict.value, verdict.touched, asked) == (None, None, 5)


def test_fewer_votes_than_asked_for_are_an_attempt() -> None:
    verdict, asked = judged([ChatReply(()), "[[3]]"])
    assert (verdict.value, asked) == (3.0, 2)
