"""Records: every noun survives JSON; digests name exactly what they should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.linefiles import encode_line
from evalkit.records import (
    Audio,
    Failure,
    Modality,
    Response,
    Sample,
    Score,
    SentAudio,
    Transcript,
    Turn,
    Verdict,
    canonical_json,
    digest_of,
)

# Lone surrogates included: model output may hold them, and UTF-8 can't.
words = st.text(st.characters(), max_size=12)
keys = st.text(max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | words
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3))
objects = st.dictionaries(keys, values, max_size=3)
tidy = st.floats(0, 1e6).map(lambda x: round(x, 4))

by_path = st.builds(
    Audio,
    path=st.just("a/b.wav"),
    format=st.none() | st.just("wav"),
    sha256=st.none() | st.just("0" * 64),
    seconds=st.none() | tidy,
    sample_rate=st.none() | st.integers(1, 96000),
    origin=st.none() | words,
)
audios = by_path | st.builds(Audio, data=st.binary(max_size=20), format=st.none() | st.just("flac"))
turns = st.builds(
    Turn,
    st.sampled_from(["system", "user", "assistant"]),
    st.lists(words | audios, max_size=3).map(tuple),
)
samples = st.builds(
    Sample,
    id=words,
    task=st.just("bench/sub"),
    turns=st.lists(turns, max_size=3).map(tuple),
    target=values,
    tools=st.lists(objects, max_size=2).map(tuple),
    meta=objects,
)
failures = st.builds(Failure, words, words, st.integers(1, 9))
sent = st.builds(
    SentAudio,
    *(st.just("f" * 64), tidy, st.integers(1, 96000), st.booleans(), st.none() | words, st.none() | words),
    st.booleans(),
)
responses = st.builds(
    Response,
    sample_id=words,
    text=words,
    audio=st.none() | audios,
    tool_calls=st.lists(objects, max_size=2).map(tuple),
    sent=st.lists(sent, max_size=2).map(tuple),
    usage=objects,
    timing=st.dictionaries(keys, tidy, max_size=2),
    error=st.none() | failures,
    meta=objects,
)
transcripts = st.builds(
    Transcript,
    audio_sha256=words,
    asr=words,
    text=words,
    language=st.none() | st.just("en"),
    error=st.none() | failures,
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
scores = st.builds(
    Score,
    sample_id=words,
    metric=words,
    value=st.none() | numbers,
    counts=st.none() | st.dictionaries(keys, numbers, max_size=3),
    detail=objects,
    judge=words,
    response=words,
    reason=st.none() | words,
    touched=st.none() | words,
)


@given(samples | responses | transcripts | scores | turns | audios)
def test_a_record_survives_the_disk(record: Any) -> None:
    line = encode_line(record.to_json())
    assert line.count(b"\n") == 1
    assert type(record).from_json(json.loads(line)) == record


def test_lines_of_older_versions_may_lack_optional_fields() -> None:
    assert Response.from_json({"sample_id": "a"}) == Response("a")
    assert Score.from_json({"sample_id": "a", "metric": "m", "value": None}) == Score("a", "m", None)
    assert Transcript.from_json({"audio_sha256": "x", "asr": "y"}) == Transcript("x", "y", "")
    assert Sample.from_json({"id": "a", "task": "t/t", "turns": []}) == Sample("a", "t/t", ())


@given(values)
def test_canonical_json_ignores_the_order_of_keys(value: Any) -> None:
    def turned(v: Any) -> Any:
        if isinstance(v, dict):
            return {k: turned(v[k]) for k in reversed(v)}
        return [turned(x) for x in v] if isinstance(v, list) else v

    assert canonical_json(value) == canonical_json(turned(value))
    assert digest_of(value) == digest_of(turned(value))


def test_digests_tell_values_apart_that_look_alike() -> None:
    alike = [None, False, 0, "", [], {}, "0", "null", [None], {"": None}, "\ud800", "\\ud800", "�"]
    assert len({digest_of(v) for v in alike}) == len(alike)


def asked(**change: Any) -> Sample:
    turn = Turn("user", ("listen", Audio(data=b"wav bytes")))
    return replace(Sample("a", "bench/sub", (turn,), tools=({"name": "f"},)), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"turns": (Turn("user", ("Listen", Audio(data=b"wav bytes"))),)},
        {"turns": (Turn("system", ("listen", Audio(data=b"wav bytes"))),)},
        {"turns": (Turn("user", ("listen", Audio(data=b"wav bytez"))),)},
        {"turns": (Turn("user", (Audio(data=b"wav bytes"), "listen")),)},
        {"turns": (Turn("user", ("listen",)), Turn("user", (Audio(data=b"wav bytes"),)))},
        {"turns": (Turn("user", ("listen",)),)},
        {"tools": ()},
        {"tools": ({"name": "g"},)},
    ],
    ids=["text", "role", "sound", "order", "split", "no-audio", "no-tools", "other-tool"],
)
def test_content_digest_sees_all_a_model_is_sent(change: dict[str, Any]) -> None:
    assert asked(**change).content_digest() != asked().content_digest()


def test_content_digest_sees_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "x.wav"
    file.write_bytes(b"wav bytes")
    elsewhere = Turn("user", ("listen", Audio(path=str(file), format="wav", origin="somewhere")))
    same = asked(id="b", task="other/sub", target="t", meta={"question": "?"}, turns=(elsewhere,))
    assert same.content_digest() == asked().content_digest()


@pytest.mark.parametrize(
    "change", [{"text": "No"}, {"audio": Audio(data=b"x")}, {"tool_calls": ({"name": "f"},)}], ids=str
)
def test_response_digest_sees_words_speech_and_calls(change: dict[str, Any]) -> None:
    assert replace(Response("a", "Yes"), **change).digest() != Response("a", "Yes").digest()


def test_response_digest_does_not_see_how_it_came_about() -> None:
    other = Response("b", "Yes", usage={"tokens": 3}, timing={"generate": 1.0}, meta={"cached": True})
    assert other.digest() == Response("a", "Yes").digest()


def test_audio_needs_a_place_or_bytes() -> None:
    with pytest.raises(ValueError, match="path or data"):
        Audio(format="wav")


def test_bytes_at_hand_win_over_the_path() -> None:
    assert Audio(path="/nowhere.wav", data=b"x").read() == b"x"
    with pytest.raises(FileNotFoundError):
        Audio(path="/nowhere.wav").digest()


def test_bytes_with_a_path_are_not_written_out() -> None:
    assert "data" not in Audio(path="x.wav", data=b"x" * 999).to_json()


def test_question_is_meta_then_the_last_user_text() -> None:
    turns = (Turn("user", ("first",)), Turn("assistant", ("no",)), Turn("user", ("last", "line")))
    assert Sample("a", "t/t", turns).question == "last\nline"
    assert Sample("a", "t/t", turns, meta={"question": "given"}).question == "given"
    assert Sample("a", "t/t", (Turn("user", (Audio(data=b"x"),)),)).question == ""


def test_score_of_carries_the_whole_verdict() -> None:
    verdict = Verdict("wer", 0.5, {"errors": 1.0}, {"why": 1}, "code: text", "random_letter")
    score = Score.of(verdict, sample_id="a", judge="j", response="r")
    assert score == Score(
        "a", "wer", 0.5, {"errors": 1.0}, {"why": 1}, "j", "r", "code: text", "random_letter"
    )


def test_only_speech_to_speech_wants_audio() -> None:
    assert [m for m in Modality if m.wants_audio] == [Modality.S2S]
