"""Every reader of judge replies: no text takes one down or long, and all public verdicts agree through the judges."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.chat import ChatReply, ChatRequest
from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Turn, Verdict
from judges.asking import ModelJudge
from judges.contracts import CONTRACTS, Contract, pooled
from judges.custom import rating_contract
from judges.failures import UNREADABLE
from judges.llm_presets import chatbot_judge, mcq_judge, open_judge, qa_judge
from judges.mmau_pro_open import OFFICIAL, STRICT, mmau_pro_open_judge, official_scores
from judges.openaudiobench import oab_judge
from judges.structured import held
from judges.votes import OAB_POINTS
from judges.vstyle_votes import vstyle_contract

VECTORS = Path(__file__).parent / "vectors"
READERS: dict[str, Contract] = {
    **CONTRACTS,
    "mmau-pro": OFFICIAL,
    "mmau-pro-strict": STRICT,
    "rating-1-5": rating_contract(1, 5),
    "rating-0-100": rating_contract(0, 100),
    **{f"vstyle-{p}-x{n}": vstyle_contract(p, n) for p in ("official", "strict") for n in (1, 3)},
}
READERS |= {f"{name}, pooled": pooled(c) for name, c in READERS.items()}
READERS |= {f"{name}, json": held(c) for name, c in READERS.items() if c.choices and c.closed}


def checked(contract: Contract, replies: list[str]) -> None:
    reading = contract.read(replies)
    assert (reading.value is None) == bool(reading.reason)
    if reading.value is None:
        code, _, sentence = (reading.reason or "").partition(": ")
        assert code and sentence
    else:
        assert math.isfinite(reading.value)
    json.dumps([list(reading.votes), dict(reading.detail)], allow_nan=False)


WORDS = (
    *(
        "[[",
        "]]",
        "[",
        "]",
        "4",
        "10",
        "٤",
        "４",
        "4.5",
        "inf",
        "nan",
        "1_0",
        "1e999",
        "-",
        "yes",
        "No",
        "\n",
        " ",
    ),
    *(
        "The score is [Correct]",
        "得分是[5]",
        "{",
        "}",
        '"judgment"',
        ":",
        "'correct'",
        "b'x'",
        "true",
        "\\",
        "#",
    ),
    *(
        "OVERALL: ",
        "correctness:",
        "CLARITY:\t3",
        '{"verdict": "',
        '"}',
        "\ufeff",
        "\ud83d",
        "\x00",
        "（",
        "9" * 400,
    ),
)


@given(st.sampled_from(sorted(READERS)), st.lists(st.lists(st.sampled_from(WORDS), max_size=8), max_size=4))
def test_replies_of_likely_pieces(name: str, pieces: list[list[str]]) -> None:
    checked(READERS[name], ["".join(p) for p in pieces])


@given(st.sampled_from(sorted(READERS)), st.lists(st.text(max_size=80), max_size=4))
def test_any_replies(name: str, replies: list[str]) -> None:
    checked(READERS[name], replies)


LONG = 100_000
FILLERS = (
    *(
        "[",
        "]",
        "[[",
        "[[1",
        "[[1]",
        "[[1]]",
        "[1]",
        "9",
        "1_",
        " ",
        "\n",
        "{",
        "}",
        "{'a':",
        "(",
        "-",
        "+1",
        "'",
        "\\",
    ),
    *(
        "The score is [",
        "得分是[5]",
        "OVERALL: ",
        "OVERALL:\n",
        "correctness:",
        "yes",
        "no\n",
        "Yes",
        "inf",
        "٤",
        "\ud83d",
    ),
    *(
        '{"verdict": "',
        '{"a":',
        "[{",
        "not ",
        "~",
        "1+",
        "#",
        '"',
        "\x00",
        "\u2028",
        "f'{",
        "lambda:",
        "x.",
        "x[",
    ),
)


@pytest.mark.parametrize("name", READERS)
def test_linear_time(name: str) -> None:
    """100,000 characters of anything repeated, bare and where a reader looks for more."""
    contract = READERS[name]
    began = time.process_time()
    for filler in FILLERS:
        body = filler * (LONG // len(filler))
        for reply in (body, f"[[{body}", f"{{{body}}}", f"OVERALL:{body}", f"{body}[[4]]"):
            checked(contract, [reply])
    assert time.process_time() - began < 60, "some 200 replies"


@pytest.mark.parametrize("name", READERS)
def test_twice_the_text_takes_no_more_than_a_few_times_as_long(name: str) -> None:
    contract = READERS[name]
    for filler in ("[[1", "[", " ", "9", "OVERALL:\n", "{'a':", "correctness: \n"):

        def seconds(times: int, filler: str = filler) -> float:
            reply = filler * times
            began = time.process_time()
            contract.read([reply])
            return time.process_time() - began

        short, long = min(seconds(20_000) for _ in range(3)), min(seconds(160_000) for _ in range(2))
        assert long < max(0.2, 30 * short), filler


# --- the public scorers' verdicts, through the judges as they are asked --------------------------------


class Says:
    """A judge that replies these votes."""

    label, meaningful = "j", True

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    async def chat(self, request: ChatRequest) -> ChatReply:
        return ChatReply(self.texts, "j-1")


def verdict(judge: ModelJudge) -> Verdict:
    sample = Sample("s", "x/y", (Turn("user", ("Where?",)),), target="Rome")
    return asyncio.run(judge.ask(sample, Answer("Rome.", Response("s", "Rome."))))[0]


def rows(name: str) -> list[dict[str, Any]]:
    found = [json.loads(x) for x in (VECTORS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(found) > 20
    return found


def test_voicebench_open() -> None:
    three = [row for row in rows("voicebench.open") if len(row["score"]) == 3]
    assert len(three) > 20
    for row in three:
        found = verdict(open_judge("official", Says(*row["score"])))
        assert found.value == row["official"]["mean"], row
        assert (found.code in UNREADABLE) == (row["official"]["raises"] == "NotImplementedError"), row


def test_voicebench_sdqa() -> None:
    for row in rows("voicebench.sdqa"):
        votes = row["score"]
        if len(votes) != 3 or [v.strip() for v in votes] != votes:
            continue  # recorded as no live judge would have been
        found = verdict(qa_judge("official", Says(*votes)))
        wanted = row["official"]["gpt_majority"]
        assert found.value == (None if wanted is None else float(wanted)), row
        assert found.detail["vote_tie"] == row["official"]["vote_tie"], row


def test_kimi_open() -> None:
    for row in rows("voicebench.kimi_open"):
        found = verdict(open_judge("kimi", Says(row["judge_text"])))
        if row["kimi"]["invalid"]:
            assert found.value is None and found.code in UNREADABLE, row
            continue
        wanted = float(row["kimi"]["score_rounded2"])
        if math.isfinite(wanted):
            assert found.value is not None and round(found.value, 2) == wanted, row
        else:
            assert found.code == "judge-nonfinite", "read, but no number to go on with"


@pytest.mark.parametrize("make", [mcq_judge, lambda m: qa_judge("kimi", m)])
def test_kimi_collect_acc(make: Callable[[Says], ModelJudge]) -> None:
    for row in rows("voicebench.kimi_collect_acc"):
        found = verdict(make(Says(row["judge_text"])))
        assert found.value == {"yes": 1.0, "no": 0.0, "invalid": None}[row["kimi"]["verdict"]], row
        assert (found.code in UNREADABLE) == (row["kimi"]["verdict"] == "invalid")


def test_ultraeval_chatbot() -> None:
    for row in rows("ultraeval.ue_chatbot_eval"):
        found = verdict(chatbot_judge(Says(row["input"]["judge"])))
        assert found.value == row.get("official", {}).get("geval"), row
        assert (found.code in UNREADABLE) == ("official_error" in row)


def test_openaudiobench() -> None:
    for row in rows("ultraeval.kimi_oab"):
        found = verdict(oab_judge(row["subset"], Says(row["judge"])))
        error = row.get("official_error")
        if error is None:
            [score] = [row["metrics"][k] for k in ("score", "acc") if k in row["metrics"]]
            assert found.value is not None and found.value * OAB_POINTS[row["subset"]] == score, row
        elif error == "AssertionError":
            assert found.code == "judge-out-of-range", row
        else:
            assert found.code in UNREADABLE, row


def test_mmau_pro() -> None:
    for row in rows("mmau_pro.judge_parse"):
        assert official_scores(row["evaluation_text"]) == row["scores"], row
        found = verdict(mmau_pro_open_judge(Says(row["evaluation_text"])))
        assert found.value == pytest.approx(row["scores"]["overall"] / 5), row
        assert found.detail["scores"] == row["scores"]


def test_vstyle() -> None:
    for row in rows("vstyle.judge_replies"):
        reading = vstyle_contract("official").read([row["reply"]])
        score = row["parse_score"]
        if not score:
            assert reading.value is None
        elif math.isfinite(float(score)):
            assert reading.value == float(score), row
