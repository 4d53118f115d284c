"""BBH chains: the lists, the public scorer's verdicts, the quirks, and the linear "X ... Y" search."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.interfaces import Answer
from evalkit.records import JSON, Response, Sample, Verdict
from judges.bbh import BBH, Check, chain_of, chains, normalise, predict
from judges.fill import Fill

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parent / "vectors" / "voicebench.bbh.jsonl").read_text("utf-8").splitlines()
]

SHEET = {
    "yn": (30, "eb9883300bb5a99946192ca6edcfc5e21c69a81715c63157a30af3c0e6d32695"),
    "hyperbaton": (210, "56ac69ae7f636c0f58a5a0a3a702d9a372b652a5be5472374b2e7ab156225ca5"),
    "navigate": (39, "ca350800fc9669a1b6dc1a0846fbb47a0f18a04b3b6c744e72e7c04b6f8b22d3"),
    "lies": (31, "eabac495a8ff3bbce702b53cce13bc563bf9b9712a056be8faf184a33f694451"),
    "sports": (71, "d993eae03192554d99fb4a29b7a6958e32c461d564b237b29360bbf9f23d0c6d"),
}


def judge(
    text: str,
    target: JSON = "yes",
    sample_id: str = "navigate_1",
    fill: Fill = "seeded",
    meta: dict[str, JSON] | None = None,
) -> Verdict:
    sample = Sample(sample_id, "voicebench/bbh", (), target=target, meta=meta or {})
    [verdict] = BBH(fill=fill).score(sample, Answer(text, Response(sample_id, text)))
    return verdict


def value(text: str, chain: str) -> int | None:
    test = predict(text, chain)
    return test.value if test else None


@pytest.mark.parametrize("name", SHEET)
def test_the_chains_are_the_ones_of_the_sheet(name: str) -> None:
    count, digest = SHEET[name]
    chain = chains()[name]
    assert len(chain) == count
    text = json.dumps([list(test) for test in chain], separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == digest


@pytest.mark.parametrize("row", VECTORS, ids=lambda r: r["id"])
def test_public_verdicts(row: dict[str, JSON]) -> None:
    verdict = judge(row["response"], row["reference"], row["sample_id"])
    assert verdict.detail["pred"] == row["official"]["pred"]
    assert verdict.detail["random_fallback"] is row["official"]["random_fallback"]
    assert (verdict.touched == "random_letter") is row["official"]["random_fallback"]
    if (pred := row["official"]["pred"]) is not None:
        gold = int(row["reference"].lower() in ("yes", "(b)"))
        assert verdict.value == float(pred == gold)


def test_quirks_are_kept() -> None:
    assert value("B", "hyperbaton") == 0
    assert value("He must be lying.", "lies") == 1
    assert value("the sentence as such is not plausible", "sports") == 1
    assert value("The answer is not known", "navigate") == 0


def test_normalising() -> None:
    assert normalise("<1> **No**.<|user|>") == "no"
    assert normalise("So - a, b: \u201cc\u201d\uff1a*d*<|turn_end|>") == "so a b \u201cc\u201d *d*"
    assert normalise("<|user|> yes") == "<|user|> yes"  # only a trailing tag goes
    assert normalise("") == ""


@given(
    st.lists(st.sampled_from(["x is", " ", "is x", "y lies", " y ", "a", "i", "s "]), max_size=12).map(
        "".join
    )
)
def test_gap_search_equals_the_regex(text: str) -> None:
    for pattern in ("x is (.+?) y lies", "is (.+?) is", "a (.+?) a"):
        assert Check("re", pattern, 1).holds(text) is (re.search(pattern, text) is not None)


def test_every_gap_pattern_of_the_lists_is_plain_text_around_one_gap() -> None:
    patterns = [test.text for chain in chains().values() for test in chain if test.op == "re"]
    assert len(patterns) == 31
    for pattern in patterns:
        left, right = pattern.split("(.+?)")
        assert re.fullmatch(r"[a-z ]+", left) and re.fullmatch(r"[a-z ]+", right)


def test_long_hostile_text_is_quick() -> None:
    text = "answer to the question answer is considering these points the sentence " * 20_000
    start = time.process_time()
    for chain in ("lies", "sports", "navigate", "hyperbaton"):
        predict(text, chain)
    assert time.process_time() - start < 5


def test_task_comes_from_meta_or_the_id() -> None:
    assert chain_of("bbh/web_of_lies-17") == "lies"
    assert judge("a", "(A)", "row-7", meta={"bbh_task": "hyperbaton"}).value == 1.0
    assert judge("yes", "Yes", "sports_understanding_3").detail["chain"] == "sports"
    verdict = judge("yes", "yes", "row-7")
    assert verdict.value is None
    assert verdict.reason is not None and verdict.reason.startswith("unknown-task: ")


@pytest.mark.parametrize("target", [None, "maybe", "a", 1, ["yes"]])
def test_a_bad_reference_is_unscored(target: JSON) -> None:
    verdict = judge("yes", target)
    assert verdict.value is None
    assert verdict.reason is not None and verdict.reason.startswith("bad-target: ")


def test_ways_to_fill() -> None:
    seeded = [judge("hm", "yes", f"navigate_{i}") for i in range(1000)]
    assert all(v.touched == "random_letter" and v.value == v.detail["drawn"] for v in seeded)
    assert 420 < sum(v.value or 0.0 for v in seeded) < 580
    assert judge("hm", fill="expected").value == 0.5
    assert (judge("hm", fill="none").value, judge("hm", fill="none").touched) == (0.0, None)
    with pytest.raises(ValueError, match="fill"):
        BBH(fill="lucky")  # type: ignore[arg-type]
