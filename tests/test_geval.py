"""G-Eval: which tokens spell the rating, what they say of every rating on the scale, and what stays unsaid."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.chat import Abilities, ChatReply, ChatRequest, Token
from evalkit.interfaces import Answer, Roles
from evalkit.records import Audio, Response, Sample, Score, Turn, Verdict
from judges.asking import ModelJudge
from judges.contracts import CONTRACTS, Contract
from judges.custom import rating_contract
from judges.geval import NoSpread, Spread, from_samples, from_tokens, spread
from judges.lalm_presets import vstyle_judge
from judges.llm_presets import chatbot_judge, mcq_judge, open_judge, qa_judge
from judges.manner import Manner, manner_of
from judges.mmau_pro_open import mmau_pro_open_judge
from judges.openaudiobench import oab_judge
from judges.tokens import probability, starts
from judges.vstyle_votes import vstyle_contract
from tests.mock_openai import tone_wav


def token(text: str, p: float = 1.0, **others: float) -> Token:
    """A token with its probability, itself among the alternatives, as endpoints list them."""
    return spelled(text, p, others)


def spelled(text: str, p: float, others: Mapping[str, float]) -> Token:
    top = ((text, math.log(p)), *((t, math.log(q) if q else -math.inf) for t, q in others.items()))
    return Token(text, math.log(p), top)


def plain(*texts: str) -> list[Token]:
    return [token(t) for t in texts]


def weighed(name: str, tokens: Sequence[Token], reply: str | None = None) -> Spread:
    """What a contract's place says of these tokens."""
    contract = CONTRACTS[name]
    text = "".join(t.text for t in tokens).strip() if reply is None else reply
    assert contract.place is not None and contract.scale is not None
    place = contract.place(text)
    assert place is not None
    return spread(text, tokens, place, contract.scale)


# --- the distribution --------------------------------------------------------------------------------


def test_the_papers_formula() -> None:
    found = weighed("official-open", [spelled("4", 0.6, {"5": 0.3, "3": 0.1})])
    assert found.weights == pytest.approx({4: 0.6, 5: 0.3, 3: 0.1})
    assert found.mean == pytest.approx(0.6 * 4 + 0.3 * 5 + 0.1 * 3)
    assert found.mass == pytest.approx(1.0) and not found.ambiguous and not found.assumed


def test_spellings_add_up_and_the_rest_is_left_out() -> None:
    others = {" 4": 0.2, "4.": 0.1, "5\n": 0.1, "six": 0.05, "0": 0.02, "7": 0.02, "4.5": 0.01, "**3": 0.01}
    found = weighed("official-open", [spelled("4", 0.4, others | {"4/5": 0.02, "-4": 0.02})])
    assert found.weights == pytest.approx({4: 0.7, 5: 0.1})
    assert found.mass == pytest.approx(0.8)
    assert found.distribution == pytest.approx({4: 0.875, 5: 0.125})


def test_other_scripts_digits_are_the_same_number() -> None:
    assert weighed("official-open", [spelled("４", 0.5, {"4": 0.5})]).weights == pytest.approx({4: 1.0})


@pytest.mark.parametrize("lead", ["[[4", " [[4", "\n[[4"])
def test_a_token_that_holds_more_than_the_number(lead: str) -> None:
    others = {"[[5": 0.3, " [[3]]": 0.1, "5": 0.1, "[[": 0.1, "[4": 0.01}
    found = weighed("ultraeval-rating", [*plain("Good", "."), spelled(lead, 0.39, others), *plain("]]")])
    assert found.weights == pytest.approx({4: 0.39, 5: 0.3, 3: 0.1})


@pytest.mark.parametrize(
    ("texts", "others", "reply"),
    [
        (["", "<0x34>", "<0x0A>"], {"<0x35>": 0.3, "\u2581\u2581": 0.1}, "4"),
        (["```\n", "<0x34>", "<0x0A>", "```"], {"5": 0.2, "\u25815": 0.1}, "4"),
        (["Rating:[[", "4", "]]"], {"\u25815": 0.2, "\u01205": 0.1, "\u010a": 0.1}, "Rating:[[4]]"),
        (["\u2581Rating:", "\u2581[[4", "]]"], {"[[5": 0.2, "\u0120[[5.": 0.1}, "Rating: [[4]]"),
    ],
)
def test_pieces_of_a_vocabulary_are_read_as_their_characters(
    texts: list[str], others: dict[str, float], reply: str
) -> None:
    tokens = [token(texts[0]), spelled(texts[1], 0.6, others), *plain(*texts[2:])]
    found = weighed("official-open", tokens, reply)
    assert found.weights == pytest.approx({4: 0.6, 5: 0.3}) and not found.ambiguous


def test_a_byte_is_no_number_of_two_digits() -> None:
    """``<0x37>`` is a 7, and says nothing of how this tokeniser writes 10."""
    found = weighed(
        "ultraeval-rating", [*plain("[["), spelled("<0x37>", 0.5, {"<0x31>": 0.3}), *plain("]]")], "[[7]]"
    )
    assert found.ambiguous == pytest.approx({"1": 0.3}) and found.weights == pytest.approx({7: 0.5})


def test_number_and_brackets_in_one_token() -> None:
    found = weighed("ultraeval-rating", [*plain("Rating: [["), spelled("4]]", 0.7, {"5]]": 0.2, "5]": 0.05})])
    assert found.weights == pytest.approx({4: 0.7, 5: 0.25})


def test_the_chosen_token_counts_once_whether_listed_or_not() -> None:
    listed = Token("4", math.log(0.6), (("4", math.log(0.6)), ("5", math.log(0.4))))
    unlisted = Token("4", math.log(0.6), (("5", math.log(0.4)),))
    for one in (listed, unlisted):
        assert weighed("official-open", [one]).weights == pytest.approx({4: 0.6, 5: 0.4})


def test_ten_as_one_token() -> None:
    end = plain("]]")
    found = weighed("ultraeval-rating", [*plain("[["), spelled("10", 0.5, {"1": 0.1, "9": 0.4}), *end])
    assert found.weights == pytest.approx({10: 0.5, 1: 0.1, 9: 0.4})
    assert not found.ambiguous, "a tokeniser that has 10 would not have spelled it 1, 0"


def test_ten_in_two_tokens_multiplies_along_the_reply() -> None:
    one = spelled("1", 0.6, {"9": 0.4})
    found = weighed(
        "ultraeval-rating", [*plain("[["), one, spelled("0", 0.75, {"]]": 0.2, "1": 0.05}), *plain("]]")]
    )
    assert found.weights == pytest.approx({10: 0.45, 1: 0.12, 9: 0.4})
    assert found.mass == pytest.approx(0.97), "11 is off the scale"


def test_a_one_is_told_from_a_ten_by_what_follows() -> None:
    one, end = spelled("1", 0.8, {"2": 0.2}), spelled("]]", 0.9, {"0": 0.1})
    found = weighed("ultraeval-rating", [*plain("[["), one, end])
    assert found.weights == pytest.approx({1: 0.72, 10: 0.08, 2: 0.2})
    assert not found.assumed


def test_an_untold_beginning_of_ten_is_left_out_and_told() -> None:
    found = weighed("ultraeval-rating", [*plain("[["), spelled("9", 0.7, {"1": 0.2, "8": 0.1}), *plain("]]")])
    assert found.weights == pytest.approx({9: 0.7, 8: 0.1})
    assert found.ambiguous == pytest.approx({"1": 0.2})
    closed = spelled("9", 0.7, {"1]]": 0.2, "8": 0.1})
    assert weighed("ultraeval-rating", [*plain("[["), closed, *plain("]]")]).weights[1] == pytest.approx(0.2)
    # on a scale that ends at 5 nothing is open
    assert weighed("official-open", [spelled("4", 0.7, {"1": 0.3})]).weights == pytest.approx(
        {4: 0.7, 1: 0.3}
    )


def test_a_number_of_two_digits_anywhere_shows_the_tokeniser() -> None:
    nine = spelled("9", 0.7, {"1": 0.3})
    found = weighed("ultraeval-rating", [*plain("In ", "1984", " [["), nine, *plain("]]")])
    assert found.weights == pytest.approx({9: 0.7, 1: 0.3}) and not found.ambiguous


def test_a_reply_that_ends_with_an_open_digit() -> None:
    found = spread("1", [spelled("1", 0.9, {"2": 0.1})], (0, 1), (1, 10))
    assert found.weights == pytest.approx({1: 0.9, 2: 0.1}) and found.assumed == pytest.approx(0.9)
    ended = [spelled("1", 0.9, {"2": 0.1}), spelled("<|im_end|>", 0.8, {"0": 0.2})]
    found = spread("1", ended, (0, 1), (1, 10))
    assert found.weights == pytest.approx({1: 0.72, 10: 0.18, 2: 0.1}) and not found.assumed


def test_a_wide_scale_by_digits() -> None:
    tokens = [
        *plain("[["),
        spelled("8", 0.9, {"7": 0.1}),
        spelled("5", 0.5, {"]]": 0.3, "0": 0.2}),
        *plain("]]"),
    ]
    contract = rating_contract(0, 100)
    assert contract.place is not None and contract.scale is not None
    found = spread("[[85]]", tokens, contract.place("[[85]]") or (0, 0), contract.scale)
    assert found.weights == pytest.approx({85: 0.45, 8: 0.27, 80: 0.18})
    assert found.ambiguous == pytest.approx({"7": 0.1})


def test_a_scale_of_a_thousand_million_takes_no_time() -> None:
    began = time.process_time()
    found = spread("[[7]]", plain("[[", "7", "]]"), (2, 3), (0, 999_999_999))
    assert found.weights == pytest.approx({7: 1.0}) and time.process_time() - began < 1


@pytest.mark.parametrize(
    ("name", "tokens", "place", "rating"),
    [
        ("ultraeval-rating", plain("[[", "3", "]] then [[", "5", "]]"), 3, 3),  # the first match
        ("oab-alpaca-eval", plain("[[", "3", "]] then [[", "5", "]]"), 3, 3),
        ("oab-reasoning-qa", plain("[", "3", "] 得分是[", "5", "]"), 5, 5),  # the last
        ("official-open", plain(" ", "4", "\n"), 4, 4),  # the whole reply
        ("official-open", plain("It is [[", "2", "]]"), 2, 2),
        ("official-open", plain("4", ".", "0"), 4, 4),
        ("kimi-open", plain("4", "."), 4, 4),
    ],
)
def test_the_place_is_the_one_the_contract_reads(
    name: str, tokens: list[Token], place: int, rating: int
) -> None:
    reply = "".join(t.text for t in tokens).strip()
    assert CONTRACTS[name].read([reply]).value == rating
    assert weighed(name, tokens).weights == pytest.approx({rating: 1.0})


@pytest.mark.parametrize("parser", ["official", "strict"])
def test_vstyles_place_is_the_last_number_in_brackets(parser: Any) -> None:
    contract = vstyle_contract(parser)
    reply = "Score [[2]], no: [[ 4 ]] and [[excellent]]"
    tokens = [
        *plain("Score [[", "2", "]], no: [["),
        spelled(" 4", 0.5, {" 5": 0.5}),
        *plain(" ]]", reply[25:]),
    ]
    tokens = tokens[:-1] + plain(" and [[excellent]]")
    reading = from_tokens(contract, reply, tokens)
    assert reading.value == pytest.approx(4.5) and contract.read([reply]).value == 4.0


@given(st.text(alphabet="[]0123456789 .ab\n", max_size=30))
def test_where_a_contract_reads_a_rating_its_place_holds_that_number(text: str) -> None:
    contracts = [c for c in CONTRACTS.values() if c.place is not None]
    contracts += [vstyle_contract("official"), vstyle_contract("strict"), rating_contract(1, 5)]
    for contract in contracts:
        assert contract.place is not None
        value, place = contract.read([text]).value, contract.place(text)
        if value is not None:
            assert place is not None and float(text[slice(*place)]) == value, contract.name


# --- what can't be weighed ---------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["4.5", "7", "0", "-1", "1e0", "4_0"])
def test_a_rating_off_the_scale_or_between_has_no_distribution(reply: str) -> None:
    reading = from_tokens(CONTRACTS["official-open"], reply, plain(reply))
    assert reading.value is None and (reading.reason or "").startswith("judge-out-of-range: ")
    assert reading.detail["geval"]["method"] == "logprobs"


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        ("4", []),
        ("4", plain("5")),
        ("4", plain("4", "2")),
        ("4", [Token("4", -math.inf, (("4", -math.inf),))]),
        ("4", [Token("4", math.nan)]),
        ("4", [Token("4", -0.1)]),
        ("4", [Token("4", -0.1, (("4", -0.1),))]),
        ("4", [Token("4", -9999.0)]),
        ("好 4 [[4]]", plain("\ufffd", " 5 [[", "4", "]]")),
    ],
)
def test_tokens_that_say_nothing_of_the_reply(reply: str, tokens: list[Token]) -> None:
    reading = from_tokens(CONTRACTS["official-open"], reply, tokens)
    assert reading.value is None and (reading.reason or "").startswith("judge-no-logprobs: ")


def test_an_unreadable_reply_is_unreadable_whatever_its_tokens() -> None:
    reading = from_tokens(CONTRACTS["official-open"], "good", plain("good"))
    assert (reading.reason or "").startswith("judge-unparseable: ")


def test_probabilities_of_odd_logarithms() -> None:
    assert [probability(x) for x in (0.0, 1e-7, 5.0, -math.inf, math.nan, -9999.0)] == [1, 1, 1, 0, 0, 0]


# --- tokens and characters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "texts", "found"),
    [
        ("a b", ["a", " b"], [0, 1, 3]),
        ("a b", [" a", " b", "\n"], [-1, 1, 3, 4]),
        ("4", ["4", "<|im_end|>"], [0, 1, 11]),
        ("4", ["4", "</s>"], [0, 1, 5]),
        ("4", ["<think>", "4 or 5", "</think>", "\n\n", "4"], [-23, -16, -10, -2, 0, 1]),
        ("so 4", ["so", "\u01204"], [0, 2, 4]),
        ("so 4", ["\u2581so", "\u25814"], [-1, 2, 4]),
        ("so\n4", ["so", "<0x0A>", "4"], [0, 2, 3, 4]),
        ("得\n4", ["<0xE5>", "<0xBE>", "<0x97>", "<0x0A>", "4"], [0, 0, 0, 1, 2, 3]),
        ("", [""], None),
        ("4", ["5"], None),
        ("4", ["so ", "4"], [-3, 0, 1]),
        ("4", ["so 4"], [-3, 1]),
        ("4", ["x4"], None),
        ('{"v": 4}', ["```", "json\n", '{"v": ', "4", "}\n", "```", ""], [-8, -5, 0, 6, 7, 9, 12, 12]),
        ("得4", ["<think>", "\ufffd", "4</think>", "\ufffd", "\ufffd", "4"], [-17, -10, -9, 0, 0, 1, 2]),
        ("4", ["4", "x"], None),
        ("得4", ["\ufffd", "\ufffd", "4"], [0, 0, 1, 2]),
        ("得分4", ["\ufffd\ufffd", "\ufffd", "4"], [0, 0, 2, 3]),
        ("得a分4", [" \ufffd", "a", "\ufffd", "4", "</s>"], [-1, 1, 2, 3, 4, 8]),
        ("得分", ["\ufffd", "\ufffd"], [0, 0, 2]),
        ("得4", ["\ufffd", "5"], None),
        ("4", ["4", "\ufffd", "<|im_end|>"], [0, 1, 2, 12]),
        ("得4", ["\ufffd", "4", "\ufffd", "</s>"], [0, 1, 2, 2, 6]),
    ],
)
def test_where_tokens_start(reply: str, texts: list[str], found: list[int] | None) -> None:
    assert starts(reply, plain(*texts)) == found


def test_a_chinese_reply_of_byte_tokens() -> None:
    reply = "结论正确。得分是[4]"
    texts = ["\ufffd", "\ufffd", "论正", "\ufffd", "\ufffd\ufffd", "得分", "是["]
    tokens = [*plain(*texts), spelled("4", 0.6, {"5": 0.4, "\ufffd": 0.0}), *plain("]")]
    assert from_tokens(CONTRACTS["oab-reasoning-qa"], reply, tokens).value == pytest.approx(4.4)


@given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=8), st.text(" \n", max_size=2))
def test_any_cut_of_a_text_is_found_again(text: str, cuts: list[int], blanks: str) -> None:
    reply = text.strip()
    if not reply or "\ufffd" in reply:
        return
    joined = blanks + reply + blanks
    ends = sorted({0, len(joined), *(c for c in cuts if c < len(joined))})
    tokens = plain(*(joined[a:b] for a, b in pairwise(ends)))
    found = starts(reply, tokens)
    assert found is not None and [f + len(blanks) for f in found] == ends


@given(st.text(max_size=30), st.lists(st.text(alphabet="\ufffd4[] a\u2581<>", max_size=4), max_size=8))
def test_any_tokens_give_a_reading(reply: str, texts: list[str]) -> None:
    tokens = [Token(t, -0.5, (("5", -1.0), (t, -0.5))) for t in texts]
    for contract in (c for c in CONTRACTS.values() if c.scale):
        reading = from_tokens(contract, reply, tokens)
        assert (reading.value is None) == bool(reading.reason)


@given(
    st.sampled_from(["1", "2", "9", "10"]),
    st.dictionaries(st.text(alphabet="0123456789[] .x", max_size=3), st.floats(0, 0.1), max_size=20),
)
def test_the_mean_stays_on_the_scale(chosen: str, others: dict[str, float]) -> None:
    tokens = [*plain("[["), spelled(chosen, 0.5, others), *plain("]]")]
    found = weighed("ultraeval-rating", tokens)
    assert 1 <= found.mean <= 10 and 0 < found.mass <= 1
    assert sum(found.distribution.values()) == pytest.approx(1.0)


def test_long_replies_take_linear_time() -> None:
    began = time.process_time()
    for filler in ("\ufffd", "得", "[[", "[[1]]", " ", "<"):
        reply = "得" * 20_000 + "[[4]]" if filler == "\ufffd" else filler * 20_000 + "[[4]]"
        tokens = plain(*[filler] * 20_000, "[[", "4", "]]")
        from_tokens(CONTRACTS["ultraeval-rating"], reply, tokens)
    assert time.process_time() - began < 8


# --- sampling ----------------------------------------------------------------------------------------


def test_samples_give_the_mean_of_those_that_can_be_read() -> None:
    reading = from_samples(CONTRACTS["official-open"], ["4"] * 10 + ["5"] * 5 + ["dunno"] * 4 + ["9"])
    assert reading.value == pytest.approx((40 + 25) / 15)
    told = reading.detail["geval"]
    assert (told["method"], told["read"], told["unread"], told["mass"]) == ("20-samples", 15, 5, 0.75)
    assert told["distribution"] == pytest.approx({"4": 2 / 3, "5": 1 / 3}) and told["plain"] is None
    assert reading.counts == {"sum": reading.value, "votes": 1.0}


def test_fewer_than_half_is_no_score() -> None:
    half = from_samples(CONTRACTS["kimi-open"], ["4"] * 10 + ["?"] * 10)
    less = from_samples(CONTRACTS["kimi-open"], ["4"] * 9 + ["?"] * 11)
    assert half.value == 4.0
    assert less.value is None and (less.reason or "").startswith("judge-unparseable: 9 of 20 ")
    assert less.detail["geval"]["read"] == 9
    assert from_samples(CONTRACTS["ultraeval-rating"], []).value is None


# --- judges ------------------------------------------------------------------------------------------


@dataclass
class Model:
    """A chat model that can what it is told, and replies the same to everybody."""

    texts: tuple[str, ...] = ("4",)
    tokens: tuple[tuple[Token, ...], ...] = ()
    can: Abilities = field(default_factory=lambda: Abilities(logprobs=True))
    finish: tuple[str, ...] = ()
    label: str = "gpt-4o-mini"
    meaningful: bool = True
    asked: list[ChatRequest] = field(default_factory=list)

    async def abilities(self) -> Abilities:
        return self.can

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        texts = tuple(islice(cycle(self.texts), request.n))
        return ChatReply(texts, "served", {"total_tokens": 3}, self.finish, tokens=self.tokens)


def ask(judge: ModelJudge, recorded: tuple[str, ...] | None = None) -> list[Verdict]:
    sample = Sample("s1", "x/y", (Turn("user", ("Where?",)),), target="Rome")
    answer = Answer("Rome.", Response("s1", "Rome."), recorded=recorded)
    verdicts = asyncio.run(judge.ask(sample, answer))
    for v in verdicts:
        json.dumps(
            Score.of(v, sample_id="s1", judge=judge.signature, response="0").to_json(), allow_nan=False
        )
    return verdicts


GEVAL = Manner(scoring="geval")
HALF = (spelled("4", 0.5, {"5": 0.5}),)


def test_one_greedy_reply_with_its_tokens() -> None:
    model = Model(tokens=(HALF,))
    judge = open_judge("official", model, manner=GEVAL)
    assert judge.signature.endswith(",unsettled"), "before it is known what the model can do"
    asyncio.run(judge.ready())
    before = judge.signature
    [verdict] = ask(judge)
    assert judge.signature == before and before.startswith("gpt-4o-mini x1 voicebench_open:own@")
    assert before.endswith(",geval-logprobs")
    [request] = model.asked
    assert (request.n, request.temperature, request.top_p, request.max_tokens) == (1, 0.0, 0.95, 1024)
    assert request.top_logprobs == 20 and request.schema is None
    assert verdict.value == pytest.approx(4.5)
    assert verdict.counts == pytest.approx({"sum": 4.5, "votes": 1.0})
    told = verdict.detail["geval"]
    assert told == {
        "method": "logprobs",
        "plain": 4.0,
        "distribution": {"4": pytest.approx(0.5), "5": pytest.approx(0.5)},
        "mass": pytest.approx(1.0),
    }
    assert verdict.detail["votes"] == [4.0]


def test_an_endpoint_without_log_probabilities_is_sampled() -> None:
    model = Model(("4", "5"), can=Abilities())
    judge = chatbot_judge(model, manner=GEVAL)
    model.texts = ("[[4]]", "[[5]]")
    asyncio.run(judge.ready())
    [verdict] = ask(judge)
    [request] = model.asked
    assert (request.n, request.temperature, request.top_p, request.max_tokens) == (20, 1.0, 1.0, 2048)
    assert request.top_logprobs == 0
    assert verdict.value == 4.5 and verdict.detail["geval"]["method"] == "20-samples"
    assert " x20 " in judge.signature and judge.signature.endswith(",geval-20-samples")


def test_the_number_of_samples_is_the_users() -> None:
    judge = open_judge("kimi", Model(can=Abilities()), manner=Manner(scoring="geval", votes=6))
    [verdict] = ask(judge)
    assert " x6 " in judge.signature and judge.signature.endswith(",geval-6-samples")
    assert verdict.detail["geval"]["read"] == 6


def test_a_reply_without_tokens_is_never_mixed_in() -> None:
    judge = open_judge("official", Model(), manner=GEVAL)
    [verdict] = ask(judge)
    assert verdict.value is None and verdict.code == "judge-no-logprobs"
    assert verdict.detail["geval"]["plain"] == 4.0


MAKERS: dict[str, Callable[[Model, Manner], ModelJudge]] = {
    "open": lambda m, manner: open_judge("official", m, manner=manner),
    "kimi": lambda m, manner: open_judge("kimi", m, manner=manner),
    "chatbot": lambda m, manner: chatbot_judge(m, manner=manner),
    "qa": lambda m, manner: qa_judge("official", m, manner=manner),
    "mcq": lambda m, manner: mcq_judge(m, manner=manner),
    "oab": lambda m, manner: oab_judge("llama_questions", m, manner=manner),
    "reasoning": lambda m, manner: oab_judge("reasoning_qa", m, manner=manner),
    "mmau-pro": lambda m, manner: mmau_pro_open_judge(m, manner=manner),
}


SIGNED = {
    "open": "x3 official-open@b7d8",
    "kimi": "x1 kimi-open@b7d8",
    "chatbot": "x1 ultraeval-rating@2c4e",
    "qa": "x3 official-qa@b7d8",
    "mcq": "x1 kimi-collect-acc@a971",
    "oab": "x1 oab-llama-questions@a971",
    "reasoning": "x1 oab-reasoning-qa@a971,acc>=4",
    "mmau-pro": "x1 mmau-pro-open@7c95",
}
"""Votes and contract of the signatures as they were before there was any other scoring."""


@pytest.mark.parametrize("maker", MAKERS)
def test_plain_is_asked_and_signed_as_ever(maker: str) -> None:
    """Signatures and cache keys of earlier runs stay valid: nothing of the new settings is in them."""
    model = Model(("4",), can=Abilities(logprobs=True, schema=True))
    judge = MAKERS[maker](model, Manner())
    for _ in range(2):
        assert judge.signature.replace(f" {judge.wording}", "") == f"gpt-4o-mini {SIGNED[maker]}"
        asyncio.run(judge.ready())
    ask(judge)
    told = model.asked[0].to_json()
    assert list(told) == ["messages", "temperature", "top_p", "max_tokens", "n", "seed", "choices"]


@pytest.mark.parametrize("maker", ["qa", "mcq", "oab"])
def test_right_or_wrong_stays_plain(maker: str) -> None:
    model = Model(("yes",), can=Abilities(logprobs=True, schema=True))
    judge = MAKERS[maker](model, GEVAL)
    assert judge.signature == MAKERS[maker](model, Manner()).signature
    ask(judge)
    assert model.asked[0].top_logprobs == 0


def test_recorded_replies_are_read_plainly_and_signed_so() -> None:
    manner = manner_of(Roles(options={"recorded": True, "judge_scoring": "geval", "judge_output": "json"}))
    judge = open_judge("official", None, manner=manner)
    asyncio.run(judge.ready())
    assert judge.signature == open_judge("official", None, manner=Manner(recorded=True)).signature
    [verdict] = ask(judge, recorded=("4", "5", "3"))
    assert verdict.value == 4.0 and "geval" not in verdict.detail


def test_reasoning_accuracy_is_the_probability_of_the_threshold() -> None:
    tokens = (*plain("得分是["), spelled("3", 0.5, {"4": 0.2, "5": 0.25, "0": 0.05}), *plain("]"))
    judge = oab_judge("reasoning_qa", Model(("得分是[3]",), (tokens,)), manner=GEVAL)
    score, acc = ask(judge)
    assert score.value == pytest.approx(1.5 + 0.8 + 1.25)
    assert acc.metric == "acc" and acc.value == pytest.approx(0.45)
    assert acc.detail["geval"]["plain"] == 3.0 and acc.detail["threshold"] == 4
    assert judge.signature.endswith(",geval-logprobs,acc>=4")
    score, acc = ask(oab_judge("reasoning_qa", Model(("[5]", "[2]"), can=Abilities()), manner=GEVAL))
    assert (score.value, acc.value) == (3.5, 0.5)


MARKS = "CORRECTNESS: 4 - x\nRELEVANCE: 5 - x\nCOMPLETENESS: 3.5 - x\nCLARITY: 5 - x\nOVERALL: 4.25"


def test_several_marks_are_weighed_each() -> None:
    four, three = spelled("4", 0.5, {"3": 0.3, "x": 0.2}), spelled("3", 0.5, {"2": 0.25, "1": 0.25})
    tokens = (
        *plain("CORRECTNESS", ": "),
        four,
        *plain(" - x\nRELEVANCE: ", "5", " - x\nCOMPLETENESS: "),
        three,
        *plain(".5", " - x\nCLARITY: ", "5", " - x\nOVERALL: ", "4", ".25"),
    )
    model = Model((MARKS,), (tokens,))
    judge = mmau_pro_open_judge(model, manner=GEVAL)
    [verdict] = ask(judge)
    marks = (4 * 0.625 + 3 * 0.375, 5, 3 * 0.5 + 2 * 0.25 + 0.25, 5)
    assert verdict.value == pytest.approx(sum(marks) / 4 / 5)
    told = verdict.detail["geval"]
    assert told["plain"] == 0.85 and told["mass"] == pytest.approx((0.8 + 3) / 4)
    assert sum(int(n) * p for n, p in told["distribution"].items()) == pytest.approx(sum(marks) / 4)
    assert judge.signature.endswith(",geval-logprobs") and model.asked[0].temperature == 0.0
    lacking = Model(("I refuse.",), (tuple(plain("I refuse.")),))
    assert ask(mmau_pro_open_judge(lacking, manner=GEVAL))[0].code == "judge-unparseable"
    sampled = mmau_pro_open_judge(Model((MARKS, "OVERALL: 3.75"), can=Abilities()), manner=GEVAL)
    [verdict] = ask(sampled)
    assert verdict.value == pytest.approx(0.8)
    assert verdict.detail["geval"]["distribution"] == {"3.75": 0.5, "4.25": 0.5}


def test_a_lalm_judge_is_weighed_at_its_brackets() -> None:
    class Hearing(Model):
        hears = True

    speech = Audio(data=tone_wav(0.2), format="wav")
    sample = Sample(
        "s", "vstyle/x", (Turn("user", ("Say it.",)),), meta={"ability": "empathy/joy", "weight": 0.5}
    )
    tokens = (*plain("Warm", ".\n", "[["), spelled("4", 0.5, {"2": 0.5}), *plain("]]"))
    for parser, seed in (("official", None), ("strict", 0)):
        model = Hearing(("Warm.\n[[4]]",), (tokens,))
        judge = vstyle_judge("en", model, parser=parser, manner=GEVAL)  # type: ignore[arg-type]
        [verdict] = asyncio.run(judge.ask(sample, Answer("hi", Response("s", "hi", audio=speech))))
        assert verdict.value == pytest.approx(3.0) and verdict.counts == pytest.approx(
            {"weighted": 1.5, "weight": 0.5}
        )
        assert (model.asked[0].temperature, model.asked[0].top_logprobs, model.asked[0].seed) == (
            0.0,
            20,
            seed,
        )
        assert judge.signature.endswith(",geval-logprobs") and verdict.detail["geval"]["plain"] == 4.0
    sampled = vstyle_judge("en", Hearing(("[[4]]", "none"), can=Abilities()), manner=GEVAL)
    [verdict] = asyncio.run(sampled.ask(sample, Answer("hi", Response("s", "hi", audio=speech))))
    assert verdict.value == 4.0 and verdict.detail["geval"]["read"] == 10


def test_modes_sign_apart() -> None:
    manners = [Manner(), GEVAL, Manner(output="json"), Manner(scoring="geval", output="json")]
    cans = [Abilities(a, b) for a in (False, True) for b in (False, True)]
    found = set()
    for manner in manners:
        for can in cans:
            judge = open_judge("kimi", Model(can=can), manner=manner)
            asyncio.run(judge.ready())
            found.add(judge.signature)
    assert len(found) == 6  # plain, logprobs, samples; each with and without json


def test_a_contract_without_a_scale_has_none() -> None:
    contract = Contract("x", CONTRACTS["official-qa"].read)
    assert from_tokens(contract, "yes", plain("yes")).value == 1.0
    with pytest.raises(NoSpread):
        spread("x", plain("x"), (0, 1), (1, 5))
