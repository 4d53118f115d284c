"""Signatures: every part that matters is in the line, and two lines can be compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import __version__
from evalkit.signature import data_part, differences, fingerprint, parse, signature, unlike

DATA = {
    "repo": "hlt-lab/voicebench",
    "config": "sd-qa",
    "splits": ["usa"],
    "revision": "9f1c2d3e4b5a69788796",
}
PARTS: dict[str, Any] = {
    "protocol": "official",
    "data": data_part(DATA, "5d0a77b1ffff"),
    "n": 553,
    "runner": "openai/gpt@3e2d",
    "generation": {"temperature": 0.0, "max_tokens": 2048},
    "judges": ["pedant@0.2.17", "gpt-4o-mini x3"],
}
LINE = (
    "voicebench/sd-qa|protocol=official|data=hlt-lab/voicebench@9f1c2d3e4b5a:sd-qa/usa#5d0a77b1|n=553|"
    "runner=openai/gpt@3e2d|gen=max_tokens=2048,temperature=0.0|judges=pedant@0.2.17+gpt-4o-mini x3|"
    f"evalkit={__version__}"
)


def test_the_line() -> None:
    assert signature("voicebench/sd-qa", **PARTS) == LINE


@pytest.mark.parametrize(
    ("part", "value", "differs"),
    [
        ("protocol", "kimi", ["protocol"]),
        ("data", data_part(DATA, "00000000"), ["data"]),
        ("data", data_part(DATA | {"revision": "other"}, "5d0a77b1"), ["data"]),
        ("data", data_part(DATA | {"splits": ["aus"]}, "5d0a77b1"), ["data"]),
        ("n", 552, ["n"]),
        ("judges", ["pedant@0.2.17"], ["judges"]),
        ("judges", ["gpt-4o-mini x3", "pedant@0.2.17"], ["judges"]),
        ("runner", "another", []),
        ("generation", {"temperature": 1.0}, []),
        ("generation", None, []),
    ],
)
def test_lines_compare_up_to_the_runner(part: str, value: Any, differs: list[str]) -> None:
    other = signature("voicebench/sd-qa", **PARTS | {part: value})
    assert other != LINE
    assert differences(LINE, other) == differences(other, LINE) == differs


def test_other_tasks_and_versions_do_not_compare() -> None:
    assert differences(LINE, signature("voicebench/mmsu", **PARTS)) == ["task"]
    assert differences(LINE, LINE.replace(f"evalkit={__version__}", "evalkit=9.9")) == ["evalkit"]
    assert differences(LINE, LINE.rpartition("|")[0]) == ["evalkit"]
    assert differences(LINE, LINE) == []


@given(
    st.fixed_dictionaries({k: st.text(st.characters()) for k in ("protocol", "data", "runner")}), st.text()
)
def test_no_value_can_break_out_of_its_part(given_parts: dict[str, str], judge: str) -> None:
    line = signature("t/t", **PARTS | given_parts | {"judges": [judge], "generation": {judge: judge}})
    assert len(line.splitlines()) <= 1 or not line.isascii()
    assert list(parse(line)) == ["task", "protocol", "data", "n", "runner", "gen", "judges", "evalkit"]


def test_data_without_revision_or_config() -> None:
    many = {"repo": "a/b", "splits": ["s1", "s2", "s3", "s4"], "kind": "local"}
    assert data_part(many, "0123456789") == "a/b@local:4splits#01234567"
    assert data_part({"repo": "a/b", "splits": ["s1", "s2"]}, "0123456789") == "a/b@local:s1+s2#01234567"


def test_a_fingerprint_sees_every_part_of_the_identity() -> None:
    identity: dict[str, Any] = {"model": "m", "revision": "r", "generation": {"temperature": 0.0}}
    others = [
        identity | {"model": "n"},
        identity | {"revision": None},
        identity | {"generation": {"temperature": 0.1}},
        identity | {"prompt": ""},
    ]
    assert len({fingerprint(i) for i in (identity, *others)}) == 5
    assert fingerprint(dict(reversed(identity.items()))) == fingerprint(identity)


def test_where_two_identities_differ_is_told_in_words() -> None:
    old = {"runner": "m", "decoding": {"seed": 0, "top_p": 0.9}, "checkpoint": "a" * 64, "persona": None}
    new = {"runner": "m", "decoding": {"seed": 1, "top_p": 0.9}, "checkpoint": "b" * 64, "compile": True}
    assert unlike(old, old) == []
    assert unlike(old, new) == ["decoding.seed (0, now 1)", "checkpoint", "compile (none, now True)"]
    assert unlike(None, new) == []
