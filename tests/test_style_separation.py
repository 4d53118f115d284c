"""Which empathy track an item belongs to: a reader's majority, and the command that asks for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks._style_manifest import Item
from benchmarks._style_separation import judged, majority
from tests.cli_fixtures import Bench, bench, lines, refused
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

OWN = Path(__file__).parent.parent / "benchmarks" / "smoke" / "local" / "speech-style"
EMOTIONS = ["sad", "tired"]


@pytest.mark.parametrize(
    ("replies", "named"),
    [
        (["sad"] * 3 + ["tired"] * 2, "sad"),
        (["Sad.", ' "sad" ', "**sad**", "x", "y"], "sad"),
        (["sad", "sad", "tired", "tired", "unclear"], "unclear"),
        (["unclear"] * 3 + ["sad"] * 2, "unclear"),
        (["melancholy"] * 5, "unclear"),
        (["sad", "sad"], "sad"),
        ([], "unclear"),
    ],
)
def test_majority(replies: list[str], named: str) -> None:
    assert majority(replies, EMOTIONS) == named


@pytest.mark.parametrize(
    ("track", "reply", "fits"),
    [
        ("empathy_semantic", "tired", True),
        ("empathy_semantic", "sad", False),
        ("empathy_semantic", "unclear", False),
        ("empathy_paralinguistic", "tired", False),
        ("empathy_paralinguistic", "sad", True),
        ("empathy_paralinguistic", "unclear", True),
    ],
)
def test_what_each_track_asks_for(track: str, reply: str, fits: bool) -> None:
    values: dict[str, Any] = {
        **{"id": "a", "track": track, "category": "c", "language": "en", "audio": "a.wav", "transcript": "t"},
        **{"user_state": {"emotion": "Tired"}, "cue": {"type": "fatigue", "description": "d"}},
    }
    assert judged(Item.model_validate(values), [reply] * 5, EMOTIONS).fits is fits


def test_the_command(bench: Bench) -> None:
    folder = bench.tmp / "set"
    shutil.copytree(OWN, folder)
    rules = [
        {"match": "My tomatoes died", "set": {"texts": ["disappointed"]}},
        {"match": "I am back from work", "set": {"texts": ["tired"]}},
    ]
    with mock_server(texts=["unclear"], rules=rules) as mock:
        args = ["manifest", "separate", folder, "--judge", "openai/m", "-J", f"base_url={mock.url}"]
        done = bench.here(*args, "--write", "kept.jsonl")
        assert done.code == 1, done.said
        assert mock.requests() == 4
        assert mock.stats()["last"]["n"] == 5
        told = {r["id"]: r["fits"] for r in json.loads(bench.here(*args, "--json").out)}
    # The words of ep-1 give "tired" away; those of ep-2, the same, don't give "cheerful".
    assert told == {"es-1": True, "es-2": False, "ep-1": False, "ep-2": True}
    assert "es-2" in done.out and "ep-1" in done.out and "es-1" not in done.out
    assert [r["id"] for r in lines(folder / "kept.jsonl")] == ["if-1", "if-2", "es-1", "ep-2"]
    assert bench.here("manifest", "check", folder / "kept.jsonl").code == 0


def test_what_it_refuses(bench: Bench) -> None:
    refused(bench.here("manifest", "separate", OWN), "--judge")
    for name in ("manifest.jsonl", "sub/x.jsonl", "/x.jsonl", ".."):
        elsewhere = bench.here("manifest", "separate", OWN, "--judge", "openai/m", "--write", name)
        refused(elsewhere, "another file in the manifest's own folder")
    lost = ["--judge", "openai/m", "-J", "base_url=http://127.0.0.1:9/v1"]
    refused(bench.here("manifest", "separate", OWN, *lost), "the judge")
