"""The cache between runs: kept, shared, keyed by all that matters, and never in the way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from evalkit.cache import Cache


def test_values_outlive_the_process(tmp_path: Path) -> None:
    one = Cache(tmp_path / "c")
    key = Cache.key("response", {"model": "m"}, "input")
    assert one.get(key) is None
    one.put(key, {"text": "größer \ud800", "n": [1, None]})
    assert one.get(key) == {"text": "größer \ud800", "n": [1, None]}
    one.close()
    two = Cache(tmp_path / "c")
    assert two.get(key) == {"text": "größer \ud800", "n": [1, None]}
    two.put(key, "newer")
    two.close()
    two.close()
    assert two.get(key) is None, "a closed cache knows nothing, and says so without an error"
    assert Cache(tmp_path / "c").get(key) == "newer"


def test_keys_see_kind_and_every_part() -> None:
    keys = [
        Cache.key("a", "x", "y"),
        Cache.key("b", "x", "y"),
        Cache.key("a", "xy"),
        Cache.key("a", "y", "x"),
    ]
    assert len(set(keys)) == 4 and Cache.key("a", {"p": 1, "q": 2}) == Cache.key("a", {"q": 2, "p": 1})


def test_two_runs_write_at_once_without_waiting_for_each_other(tmp_path: Path) -> None:
    one, two = Cache(tmp_path), Cache(tmp_path)
    for i in range(5):
        one.put(f"one:{i}", i)
        two.put(f"two:{i}", i)
    # What is not yet written out holds no lock: another process can write at once.
    other = sqlite3.connect(tmp_path / "cache.sqlite", timeout=0.0)
    other.execute("INSERT INTO entries VALUES ('other', '1')")
    other.commit()
    other.close()
    one.close()
    two.close()
    three = Cache(tmp_path)
    assert [three.get(f"{who}:{i}") for who in ("one", "two") for i in range(5)] == [*range(5), *range(5)]
    three.close()


def test_values_are_written_out_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.cache.COMMIT_EVERY", 10)
    monkeypatch.setattr("evalkit.cache.COMMIT_SECONDS", 1e9)
    one, two = Cache(tmp_path), Cache(tmp_path)
    for i in range(15):
        one.put(str(i), i)
    assert [i for i in range(15) if two.get(str(i)) == i] == list(range(10))
    one.commit()
    assert two.get("14") == 14
    one.close()
    two.close()


@pytest.mark.parametrize("where", ["junk", "folder"])
def test_a_cache_that_can_not_be_used_is_told_once_and_left_alone(tmp_path: Path, where: str) -> None:
    if where == "junk":
        (tmp_path / "cache.sqlite").write_bytes(b"no database" * 1000)
        folder = tmp_path
    else:
        (tmp_path / "file").write_text("")
        folder = tmp_path / "file"
    with pytest.warns(UserWarning, match="can't be used"):
        cache = Cache(folder)
    cache.put("k", 1)
    assert cache.get("k") is None
    cache.close()
    if where == "junk":
        assert (tmp_path / "cache.sqlite").read_bytes().startswith(b"no database")


def test_speech_lies_beside_it_by_digest(tmp_path: Path) -> None:
    assert Cache(tmp_path).audio_path("abcdef") == tmp_path / "audio" / "ab" / "abcdef.flac"
