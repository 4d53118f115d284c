"""Judges held to a JSON Schema: what they are asked, how their reply is read, and who stays with text."""

from __future__ import annotations

import asyncio
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.chat import Abilities, Token
from evalkit.interfaces import Answer
from evalkit.records import Audio, Response, Sample, Turn
from judges.contracts import CONTRACTS, Contract
from judges.custom import custom_judge, rating_contract
from judges.geval import from_tokens
from judges.lalm_presets import vstyle_judge
from judges.llm_presets import chatbot_judge, open_judge, qa_judge
from judges.manner import Manner
from judges.mmau_pro_open import OFFICIAL, STRICT, mmau_pro_open_judge
from judges.structured import held, note_for, schema_for, verdict_in
from judges.vstyle_votes import vstyle_contract
from tests.test_geval import Model, ask, plain, spelled

JSON = Manner(output="json")
BOTH = Abilities(logprobs=True, schema=True)
LISTED = [*CONTRACTS.values(), vstyle_contract("official"), vstyle_contract("strict"), rating_contract(1, 5)]


@pytest.mark.parametrize("contract", LISTED, ids=lambda c: c.name)
def test_every_verdict_of_the_schema_is_read_as_its_contract_reads_it(contract: Contract) -> None:
    schema = schema_for(contract)
    assert schema is not None
    assert ("reason" in schema["properties"]) == contract.reasons
    json_held = held(contract)
    for choice in contract.choices:
        given = {"reason": 'so [[1]] "verdict": "x"', "verdict": choice}
        reply = json.dumps({k: v for k, v in given.items() if k in schema["required"]}, ensure_ascii=False)
        assert schema["required"] == list(schema["properties"]) == list(json.loads(reply))
        value = json_held.read([reply]).value
        assert value is not None and value == contract.read([choice]).value
        if contract.place is not None:
            assert json_held.place is not None
            place = json_held.place(reply)
            assert place is not None and float(reply[slice(*place)]) == contract.read([choice]).value
    assert all(c in note_for(contract) or json.dumps(c) in note_for(contract) for c in contract.choices)


def test_contracts_whose_verdicts_no_list_holds_stay_text() -> None:
    for contract in (OFFICIAL, STRICT, rating_contract(0, 100)):
        assert schema_for(contract) is None
    model = Model(("OVERALL: 4",), can=BOTH)
    judge = mmau_pro_open_judge(model, manner=JSON)
    assert judge.signature == mmau_pro_open_judge(model).signature
    assert ask(judge)[0].value == 0.8 and model.asked[0].schema is None
    wide = custom_judge("Rate {answer}", (0, 100), model, manner=JSON)
    assert "json" not in wide.signature and "unsettled" not in wide.signature


def test_the_request_and_the_verdict() -> None:
    model = Model(('{"reason": "Fine [[1]].", "verdict": "[[7]]"}',), can=BOTH)
    judge = chatbot_judge(model, manner=JSON)
    [verdict] = ask(judge)
    assert verdict.value == 7.0 and verdict.detail["replies"] == list(model.texts)
    [request] = model.asked
    assert request.choices == (), "the schema wins over the list of choices"
    assert request.schema == schema_for(CONTRACTS["ultraeval-rating"])
    assert request.schema is not None and list(request.schema["properties"]) == ["reason", "verdict"], (
        "reasons come first"
    )
    (_, prompt) = request.messages[-1]
    assert isinstance(prompt, str) and prompt.endswith(note_for(CONTRACTS["ultraeval-rating"]))
    assert judge.signature.endswith(",json")
    assert chatbot_judge(model).signature.partition("@")[0] == judge.signature.partition("@")[0]


def test_a_rubric_that_wants_the_verdict_alone_gets_no_reason() -> None:
    for judge in (
        open_judge("official", Model(can=BOTH), manner=JSON),
        qa_judge("kimi", Model(can=BOTH), manner=JSON),
    ):
        schema = schema_for(judge.contract)
        assert schema is not None and list(schema["properties"]) == ["verdict"]


def test_of_a_key_given_twice_the_last_is_read_and_pointed_at() -> None:
    """As JSON has it: the later takes the place of the earlier."""
    contract = held(CONTRACTS["kimi-open"])
    reply = '{"verdict": "1", "verdict": "4"}'
    assert contract.read([reply]).value == 4.0 and contract.place is not None
    place = contract.place(reply)
    assert place is not None and place[0] == reply.rindex("4") and reply[slice(*place)] == "4"


@pytest.mark.parametrize("contract", [c for c in LISTED if not c.several], ids=lambda c: c.name)
def test_a_contract_of_one_reply_reads_the_first(contract: Contract) -> None:
    last = contract.choices[-1]
    replies = [json.dumps({"reason": "", "verdict": last}), "no JSON"]
    assert held(contract).read(replies) == held(contract).read(replies[:1])
    assert held(contract).read(replies).value == contract.read([last]).value is not None


def test_an_endpoint_without_it_is_asked_for_text_and_signed_so() -> None:
    model = Model(("4",), can=Abilities())
    judge = open_judge("official", model, manner=JSON)
    [verdict] = ask(judge)
    assert verdict.value == 4.0 and model.asked[0].schema is None
    assert judge.signature == open_judge("official", model).signature


@pytest.mark.parametrize(
    "reply",
    [
        *("", "4", "not json", '{"verdict": "4"', '{"verdict": 4}', '{"verdict": "6"}', '{"verdict": ["4"]}'),
        *('["4"]', "null", '{"reason": "4"}', '```json\n{"verdict": "4"}\n```', "[" * 100_000, "9" * 100_000),
    ],
)
def test_invalid_in_spite_of_it_is_unreadable(reply: str) -> None:
    model = Model((reply,), can=BOTH)
    [verdict] = ask(open_judge("official", model, manner=JSON))
    assert verdict.value is None
    assert verdict.code == ("judge-empty" if not reply else "judge-unparseable")


def test_a_majority_does_not_count_what_is_no_json() -> None:
    """In text every string is a vote there; outside its schema none is."""
    model = Model(('{"verdict": "Yes"}', '{"verdict": "No"}', '{"verdict": "Yes"}'), can=BOTH)
    assert ask(qa_judge("official", model, manner=JSON))[0].value == 1.0
    model = Model(('{"verdict": "Yes"}', "Yes", '{"verdict": "Yes"}'), can=BOTH)
    assert ask(qa_judge("official", model, manner=JSON))[0].code == "judge-unparseable"


def test_with_geval_the_token_inside_the_json_is_weighed() -> None:
    tokens = (
        *plain('{"', "reason", '":"so","', 'verdict":"[['),
        spelled("7", 0.5, {"8": 0.5}),
        *plain(']]"}'),
    )
    model = Model(("".join(t.text for t in tokens),), (tokens,), BOTH)
    judge = chatbot_judge(model, manner=Manner(scoring="geval", output="json"))
    [verdict] = ask(judge)
    assert verdict.value == pytest.approx(7.5) and verdict.detail["geval"]["plain"] == 7.0
    assert judge.signature.endswith(",geval-logprobs,json")
    assert (model.asked[0].top_logprobs, model.asked[0].schema is not None) == (20, True)


def test_with_geval_by_samples() -> None:
    model = Model(('{"verdict": "4"}', '{"verdict": "5"}'), can=Abilities(schema=True))
    judge = open_judge("kimi", model, manner=Manner(scoring="geval", output="json"))
    assert ask(judge)[0].value == 4.5
    assert judge.signature.endswith(",geval-20-samples,json")


def test_a_verdict_spelled_with_escapes_is_read_but_has_no_place() -> None:
    contract = held(CONTRACTS["official-open"])
    reply = '{"verdict": "\\u0034"}'
    assert contract.read([reply]).value == 4.0
    reading = from_tokens(contract, reply, [Token(reply, math.log(0.9))])
    assert (reading.reason or "").startswith("judge-no-logprobs: ")


def test_a_lalm_judge_gets_the_note_below_its_rubric() -> None:
    from tests.mock_openai import tone_wav

    class Hearing(Model):
        hears = True

    model = Hearing(('{"reason": "warm", "verdict": "[[4]]"}',), can=BOTH)
    judge = vstyle_judge("en", model, manner=JSON)
    sample = Sample("s", "vstyle/x", (Turn("user", ("Say it.",)),), meta={"ability": "empathy/joy"})
    speech = Audio(data=tone_wav(0.2), format="wav")
    answer = Answer("hi", Response("s", "hi", audio=speech))
    [verdict] = asyncio.run(judge.ask(sample, answer))
    assert verdict.value == 4.0
    [(_, parts)] = model.asked[0].messages
    assert isinstance(parts, tuple) and len(parts) == 2
    assert isinstance(parts[0], str) and parts[0].endswith(note_for(judge.contract))
    assert isinstance(parts[1], Audio)
    assert ",json" in judge.signature


@given(st.text(max_size=60))
def test_any_reply_gives_a_reading(reply: str) -> None:
    for contract in LISTED:
        reading = held(contract).read([reply])
        assert (reading.value is None) == bool(reading.reason)


def test_long_replies_take_linear_time() -> None:
    began = time.process_time()
    for filler in ('"verdict": "', "{", '"verdict"', " ", '{"verdict":' * 3):
        reply = filler * (100_000 // len(filler))
        assert verdict_in(reply, ("4",)) is None
        contract = held(CONTRACTS["official-open"])
        assert contract.place is not None and contract.place(reply) is None
    assert time.process_time() - began < 5
