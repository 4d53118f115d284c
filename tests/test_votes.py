"""Judge replies are read as the public scorers read them: their own verdicts, then the corners."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges.contracts import CONTRACTS, OUT_OF_RANGE
from judges.votes import (
    OAB_POINTS,
    OAB_VOTES,
    RatingOutOfRange,
    kimi_collect_acc,
    kimi_open_vote,
    oab_alpaca_eval,
    oab_llama_questions,
    oab_reasoning_qa,
    oab_trivia_qa,
    official_open_vote,
    sdqa_majority,
    ultraeval_rating,
)

VECTORS = Path(__file__).parent / "vectors"


def rows(name: str) -> list[dict[str, Any]]:
    with (VECTORS / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_official_open_votes_and_their_mean() -> None:
    for row in rows("voicebench.open"):
        reading = CONTRACTS["official-open"].read(row["score"])
        assert reading.value == row["official"]["mean"], row
        unread = None in [official_open_vote(v) for v in row["score"]]
        assert unread == (row["official"]["raises"] == "NotImplementedError"), row
        assert (reading.reason or "").startswith("judge-unparseable: ") == unread, row


def test_kimi_open() -> None:
    for row in rows("voicebench.kimi_open"):
        vote = kimi_open_vote(row["judge_text"])
        assert (vote is None) == row["kimi"]["invalid"], row
        if vote is not None:
            assert round(vote, 2) == float(row["kimi"]["score_rounded2"]), row


def test_kimi_collect_acc() -> None:
    for row in rows("voicebench.kimi_collect_acc"):
        assert kimi_collect_acc(row["judge_text"]) == row["kimi"]["verdict"], row


def test_sdqa_majority() -> None:
    for row in rows("voicebench.sdqa"):
        result = sdqa_majority(row["score"])
        assert result is not None
        assert (result.correct, result.tie) == (
            row["official"]["gpt_majority"],
            row["official"]["vote_tie"],
        ), row


def test_ultraeval_rating() -> None:
    for row in rows("ultraeval.ue_chatbot_eval"):
        rating = ultraeval_rating(row["input"]["judge"])
        if "official_error" in row:
            assert row["official_error"] == "AttributeError"
            assert rating is None, row
        else:
            assert rating == row["official"]["geval"], row


def test_openaudiobench_contracts() -> None:
    for row in rows("ultraeval.kimi_oab"):
        vote = OAB_VOTES[row["subset"]]
        error = row.get("official_error")
        if error == "AssertionError":
            with pytest.raises(RatingOutOfRange):
                vote(row["judge"])
            continue
        reading = vote(row["judge"])
        assert (reading is None) == (error == "ZeroDivisionError"), row
        if reading is not None:
            (score,) = (row["metrics"][k] for k in ("score", "acc") if k in row["metrics"])
            assert reading * OAB_POINTS[row["subset"]] == score, row


@pytest.mark.parametrize(
    ("reply", "vote"),
    [
        ("1_0", 10.0),
        ("５", 5.0),
        ("5.", 5.0),
        ("Infinity", math.inf),
        ("**5**", None),
        ("Score: 5", None),
        ("[[4.5]]", None),
        ("[[-1]]", None),
        ("[[" + "9" * 5000 + "]]", math.inf),
        ("", None),
    ],
)
def test_official_open_corners(reply: str, vote: float | None) -> None:
    assert official_open_vote(reply) == vote


def test_nan_is_read_but_never_scores() -> None:
    vote = official_open_vote(" NaN ")
    assert vote is not None
    assert math.isnan(vote)
    for reply in ("nan", "inf", "[[" + "9" * 400 + "]]"):
        for name in ("official-open", "kimi-open"):
            reading = CONTRACTS[name].read([reply])
            assert reading.value is None
            assert (reading.reason or "").startswith("judge-nonfinite: ")
            json.dumps(list(reading.votes), allow_nan=False)


def test_ratings_off_the_scale_count_and_are_marked() -> None:
    for name, reply in (("official-open", "7"), ("kimi-open", "0"), ("ultraeval-rating", "[[100]]")):
        reading = CONTRACTS[name].read([reply])
        assert reading.value is not None
        assert reading.touched == OUT_OF_RANGE
    assert CONTRACTS["ultraeval-rating"].read(["[[10]]"]).touched is None


def test_open_counts_pool_to_the_mean_over_all_votes() -> None:
    items = (["1", "2", "3"], ["5"], ["4", "4"])
    readings = [CONTRACTS["official-open"].read(votes) for votes in items]
    counts = [r.counts or {} for r in readings]
    assert sum(c["sum"] for c in counts) / sum(c["votes"] for c in counts) == pytest.approx(19 / 6)


def test_one_vote_contracts_read_the_first_reply() -> None:
    assert CONTRACTS["kimi-open"].read(["4", "1"]).value == 4.0
    assert CONTRACTS["kimi-collect-acc"].read(["no", "yes"]).value == 0.0


def test_majority_of_any_order() -> None:
    shuffle = random.Random(7).shuffle
    votes = ["YES", "No", "yes"]
    for _ in range(6):
        shuffle(votes)
        result = sdqa_majority(votes)
        assert result is not None
        assert result.correct is True
    tie = CONTRACTS["official-qa"].read(["Yes", "No"])
    assert tie.value is None
    assert (tie.reason or "").startswith("vote-tie: ")
    assert tie.detail == {"gpt_majority": None, "vote_tie": True}
    assert sdqa_majority([]) is None


def test_trivia_literals_are_read_never_run(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    hostile = f"{{'judgment': open({str(target)!r}, 'w').write('correct') and 'correct'}}"
    assert oab_trivia_qa(hostile) is None
    assert not target.exists()
    assert oab_trivia_qa("{" + "[" * 50_000 + "}") is None
    assert oab_trivia_qa("} {'judgment': 'correct'}") is None
    assert oab_trivia_qa("{'judgment': 'CORRECT'} {'judgment': 'incorrect'}") == 1.0
    assert oab_trivia_qa("{'analysis': '\\$5 \\d', 'judgment': 'correct'}") == 1.0
    assert oab_trivia_qa("{'judgment': b'correct'}") == 0.0
    assert oab_trivia_qa("{'judgment': ['correct']}") is None
    assert oab_trivia_qa("{'judgment'}") is None
    assert oab_trivia_qa("{[]: 1, 'judgment': 'correct'}") is None


def test_openaudiobench_first_and_last() -> None:
    assert oab_alpaca_eval("[[3]] then [[11]]") == 3.0
    assert oab_reasoning_qa("[5] [2] [9]") == 2.0
    assert oab_llama_questions("the score is [INCORRECT], The score is [correct]") == 1.0
    reading = CONTRACTS["oab-alpaca-eval"].read(["Rating: [[0]]"])
    assert reading.value is None
    assert (reading.reason or "").startswith("judge-out-of-range: ")


@given(st.lists(st.text(), max_size=4))
def test_any_reply_gives_a_value_or_a_reason(replies: list[str]) -> None:
    for contract in CONTRACTS.values():
        reading = contract.read(replies)
        if reading.value is None:
            code, _, sentence = (reading.reason or "").partition(": ")
            assert code
            assert sentence
        else:
            assert reading.reason is None
            assert math.isfinite(reading.value)
        json.dumps([list(reading.votes), dict(reading.detail)], allow_nan=False)
