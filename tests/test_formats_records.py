"""Reading records with their lines: JSONL, JSON arrays in pieces, CSV; and what is fast is the same as what is slow."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import UsageError
from evalkit.formats import Head, _records, answer_of
from evalkit.formats import Reading as Asked
from evalkit.formats._records import first_records, records
from judges.wer.compute_wer_tokens import _skips, _words_of_ascii, tokenize
from judges.wer.normalizers import _load, normalizer, tame

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(max_size=12)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=6), VALUES, max_size=4), min_size=1, max_size=8)
GAPS = st.text(" \t\r\n", max_size=5)


def read(text: str | bytes, name: str = "x.json", chunk: int = 1 << 18) -> list[tuple[int, dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_records, "CHUNK", chunk)
        path = Path(folder) / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return list(records(path, "Mend it."))


@settings(max_examples=150, deadline=None)
@given(OBJECTS, st.lists(GAPS, min_size=20, max_size=20), st.integers(1, 40), st.booleans(), st.booleans())
def test_an_array_in_pieces_is_the_array(
    objects: list[dict[str, Any]], gaps: list[str], chunk: int, bom: bool, ascii_only: bool
) -> None:
    """Whatever the size of the pieces, the blanks between values and the characters in them; lines are right."""
    text, at, places = gaps[0] + "[", gaps[0].count("\n") + 1, []
    for k, value in enumerate(objects):
        text += gaps[2 * k + 1]
        at += gaps[2 * k + 1].count("\n")
        places.append(at)
        more = json.dumps(value, ensure_ascii=ascii_only, indent=1 if k % 2 else None)
        text += more + gaps[2 * k + 2] + ("," if k < len(objects) - 1 else "")
        at += more.count("\n") + gaps[2 * k + 2].count("\n")
    data = (b"\xef\xbb\xbf" if bom else b"") + (text + "]" + gaps[-1]).encode()
    assert read(data, chunk=chunk) == list(zip(places, objects, strict=True))
    lines = "".join(json.dumps(o, ensure_ascii=ascii_only) + "\r\n\n" for o in objects)
    assert [o for _, o in read(lines, chunk=chunk)] == objects


@settings(max_examples=100, deadline=None)
@given(OBJECTS, st.data(), st.integers(1, 64))
def test_an_array_cut_anywhere_is_an_error_with_a_line(
    objects: list[dict[str, Any]], data: st.DataObject, chunk: int
) -> None:
    text = json.dumps(objects, indent=1)
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(UsageError, match=r"x\.json:\d+: .*cut off|holds no predictions") as caught:
        read(text[:cut], chunk=chunk)
    line = int(str(caught.value).split("x.json:")[1].split(":")[0])
    assert 1 <= line <= text.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a": 1}\n {"a": 2}]', ":2: .*comma"),
        ('[{"a": 1},\n]', ":2: "),
        ('[\n{"a": 1}]\n x', ":2: more follows|:3: more follows"),
        ('[\n{"a": 1}, 3]', ":2: expected an object, found a number"),
        ('[\n"a"]', ":2: expected an object, found a string"),
        ('{"a": 1}\nnull\n', ":2: expected an object, found null"),
        ('{"a": 1}\n{"a": tru}\n', ":2: not JSON"),
        ("[" * 5000, ":1: "),
        ('[{"a": ' + "[" * 200_000 + "]", ":1: nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", ":1: not JSON"),
        ("[]", "holds no predictions"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(text)


def test_bytes_that_are_no_text_are_told_with_their_line() -> None:
    for text in (b'{"a": 1}\n{"a": "\xff"}\n', b'[{"a": 1},\n{"a": "\xff"}]', b'[{"a": 1},\n{"a": "\xe4\xb8'):
        with pytest.raises(UsageError, match=r":[12]: not UTF-8"):
            read(text)


def test_tables() -> None:
    assert read('\ufeffa,b\r\n1,"x\ny"\r\n2,z\r\n', "x.csv") == [
        (3, {"a": "1", "b": "x\ny"}),
        (4, {"a": "2", "b": "z"}),
    ]
    assert read("a\tb\n1\tx\n", "x.tsv") == [(2, {"a": "1", "b": "x"})]
    for text in ("a,b\n1\n", "a,b\n1,2,3\n", 'a,b\n1,"x\n', "a,a\n1,2\n"):
        with pytest.raises(UsageError, match=r"x\.csv:\d+"):
            read(text, "x.csv")


@given(st.binary(max_size=400))
def test_looking_at_anything_never_fails(data: bytes) -> None:
    """Every sniffer survives every file."""
    from evalkit.registry import formats

    assert isinstance(first_records(data), list)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x.jsonl", "x.parquet", "x.csv"):
            path = Path(folder) / name
            path.write_bytes(data)
            for form in formats().values():
                assert form.sniff(Head(path)) in (True, False)
                form.likely(Head(path))


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(
            (
                "prompt",
                "response",
                "id",
                "type",
                "data",
                "answer",
                "choices",
                "score",
                "prediction",
                "subset",
                "ability",
                "instruct_text",
                "function",
                "ground_truth",
                "dataset_key",
                "answer_gt",
                "choice_a",
                "choice_b",
                "category",
                "question",
                "audio_path",
                "gemini_score",
                "real_prompt",
                "model_output",
                "response_audio_path",
                "judge_result",
            )
        ),
        VALUES,
    )
)
def test_any_record_is_converted_or_refused_in_a_sentence(record: dict[str, Any]) -> None:
    """Any value in any field of any format: a conversion, or a UsageError."""
    from evalkit.registry import formats

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_text(json.dumps(record) + "\n", encoding="utf-8")
        head = Head(path)
        for form in formats().values():
            form.sniff(head)
            form.likely(head)
            for task in (None, "voicebench/mmsu", "ultraeval-audio/triviaqa-s2t", "mmau/test-mini"):
                try:
                    for found in form.read(path, Asked(head, task)):
                        assert found.text is None or isinstance(found.text, str)
                        assert found.audio is None or isinstance(found.audio, str)
                        assert found.id is None or isinstance(found.id, str)
                        assert form.name == "kaldi" or found.line == 1
                except UsageError as exc:
                    assert "x.jsonl" in str(exc)


def test_answers_are_text_or_none() -> None:
    head = Asked(Head(Path("x")))
    found = [
        answer_of({"r": v}, head, "r") for v in ("a", "", 4, 1.5, True, None, float("nan"), ["x"], {"a": 1})
    ]
    assert found == ["a", "", "4", "1.5", "true", None, None, '["x"]', '{"a": 1}']
    assert answer_of({}, head, "r") is None
    assert answer_of({"b": "y", "c": "z"}, Asked(Head(Path("x")), column="c"), "b") == "z"


# --- fast paths --------------------------------------------------------------------------------------

ASCII = st.text(st.characters(max_codepoint=127), max_size=40)


@given(ASCII, st.booleans(), st.sampled_from(("C", "D")))
def test_tokens_of_ascii_are_those_of_the_slow_way(text: str, char: bool, generation: Any) -> None:
    assert tokenize(text, generation, char=char) == list(
        _words_of_ascii(text, char, _skips(generation), False)
    )


WORDS = st.sampled_from(
    (
        "uh",
        "mm",
        "hmm",
        "won't",
        "it's",
        "gonna",
        "mr",
        "st",
        "Dr.",
        "cause",
        "kinda",
        "twenty",
        "one",
        "$5",
        "5%",
        "(x)",
        "<b>",
        "[y]",
        "'",
        "\u2019",
        "colour",
        "e.g.",
        "1,000",
        "\u0130",
        "\n",
        "  ",
        "a",
        "-",
        "don",
        "t",
        "'d been",
        "m",
        "r",
        "u",
        "h",
    )
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=10), st.sampled_from(("", " ", " ")))
def test_rewrites_left_out_would_not_have_applied(words: list[str], sep: str) -> None:
    text = sep.join(words)
    plain = _load("english", "EnglishTextNormalizer")
    assert normalizer("whisper-english")(text) == plain(tame(text))
