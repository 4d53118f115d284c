"""Error counts, alignment, normalisers, and the two suites' rates against the public verdicts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from evalkit.records import JSON
from judges.wer import NormalizationError, kimi_wer, normalizer, ue_wer
from judges.wer import counts as counts_module
from judges.wer.cn_numbers import read_digits, read_number
from judges.wer.cn_textnorm import text_norm
from judges.wer.counts import ErrorCounts, align
from judges.wer.normalizers import tame
from judges.wer.suites import drop_special_tokens, remove_special

HERE = Path(__file__).parent


def vectors(name: str) -> list[dict[str, JSON]]:
    lines = (HERE / "vectors" / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


# --- counts and alignment ------------------------------------------------------------------------


def test_counts_pool_and_check_themselves() -> None:
    pooled = ErrorCounts(3, 4, 1, 1, 1) + ErrorCounts(1, 6, 0, 0, 1)
    assert pooled == ErrorCounts(4, 10, 1, 1, 2)
    assert pooled.rate == 0.4
    assert ErrorCounts(2, 0, 2, 0, 0).rate is None
    assert pooled.to_counts() == {
        "errors": 4, "length": 10, "insertions": 1, "deletions": 1, "substitutions": 2,
    }  # fmt: skip


@pytest.mark.parametrize("bad", [(1, 4, 1, 1, 0), (0, -1, 0, 0, 0), (0, 4, 1, -1, 0), (3, 2, 0, 2, 1)])
def test_impossible_counts_are_refused(bad: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"count|errors|deletions"):
        ErrorCounts(*bad)


@pytest.mark.parametrize(
    ("ref", "hyp", "path"),
    [  # the paths compute-wer's `edit-distance` takes; RapidFuzz splits every one of them otherwise
        ("ab", "ba", "ss"),
        ("bab", "bba", "ess"),
        ("baa", "abb", "sss"),
        ("aab", "bbaa", "ises"),
        ("aba", "baab", "iess"),
        ("", "ab", "ii"),
        ("ab", "", "dd"),
        ("", "", ""),
    ],
)
def test_ties_go_to_the_diagonal_then_insertion_then_deletion(ref: str, hyp: str, path: str) -> None:
    assert "".join(op.kind[0] for op in align(ref, hyp).ops) == path


tokens = st.lists(st.sampled_from("abc"), max_size=12)


@given(tokens, tokens)
def test_alignment_is_a_shortest_edit_script(ref: list[str], hyp: list[str]) -> None:
    got = align(ref, hyp)
    assert got.counts.errors == Levenshtein.distance(ref, hyp)
    assert got.counts.length == len(ref)
    assert [op.ref for op in got.ops if op.ref is not None] == list(range(len(ref)))
    assert [op.hyp for op in got.ops if op.hyp is not None] == list(range(len(hyp)))
    for op in got.ops:
        if op.ref is not None and op.hyp is not None:
            assert (ref[op.ref] == hyp[op.hyp]) == (op.kind == "equal")


def test_a_table_too_large_for_memory_keeps_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    ref, hyp = list("abcabcabd"), list("bcaacbabx")
    small = align(ref, hyp)
    monkeypatch.setattr(counts_module, "MAX_CELLS", 1)
    large = align(ref, hyp)
    assert large.counts.errors == small.counts.errors
    assert [op.ref for op in large.ops if op.ref is not None] == list(range(len(ref)))


# --- normalisers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("row", vectors("wer.normalizers"), ids=lambda r: r["text"][:20])
def test_whisper_normalisers(row: dict[str, JSON]) -> None:
    assert normalizer("whisper-english")(row["text"]) == row["english"]["pypi_0.1.12"]
    assert normalizer("whisper-english-openai")(row["text"]) == row["english"]["openai"]
    assert normalizer("whisper-basic")(row["text"]) == row["basic"]
    assert normalizer("whisper-basic-letters")(row["text"]) == row["basic_split_letters"]
    assert normalizer("whisper-basic-bare")(row["text"]) == row["basic_remove_diacritics"]


def test_normalisers_are_cached_and_unknown_names_are_refused() -> None:
    assert normalizer("whisper-english") is normalizer("whisper-english")
    assert normalizer("none")(" A,  b ") == " A,  b "
    with pytest.raises(NormalizationError, match="whisper-basic"):
        normalizer("whisper")


rough = st.lists(
    st.sampled_from([*"<>[]()'.$%,|{5\n", " ", "   ", "'s", " been", "mr", "uh", "twenty", "n't", "İ"]),
    max_size=14,
)


@settings(max_examples=200, deadline=None)
@given(rough)
def test_taming_changes_no_outcome(pieces: list[str]) -> None:
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    text = "".join(pieces)
    for inner in (BasicTextNormalizer(), EnglishTextNormalizer()):
        assert inner(tame(text)) == inner(text)


@pytest.mark.parametrize("text", ["(" * 50_000, "<[" * 25_000, " " * 50_000, "<|" * 50_000, "a二" * 20_000])
def test_hostile_text_takes_no_quadratic_time(text: str) -> None:
    start = time.process_time()
    normalizer("whisper-english")(text)
    normalizer("whisper-basic")(text)
    remove_special(text, "zh")
    text_norm(text)
    assert time.process_time() - start < 2


def test_a_number_too_long_for_the_normaliser_is_an_error_of_ours() -> None:
    with pytest.raises(NormalizationError, match="characters"):
        normalizer("whisper-english")("7" * 6000)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a<|x|>b", "a b"),
        ("<|a|><|b|>c", "  c"),
        ("<|a\n|>b", "<|a\n|>b"),  # `.` stops at the line's end
        ("<|>x", "<|>x"),
        ("<|a <|b|> c", "  c"),
        ("a |> b", "a |> b"),
    ],
)
def test_special_tokens(text: str, want: str) -> None:
    assert drop_special_tokens(text) == want


def test_kimi_removes_blanks_before_marks_and_all_of_them_in_chinese() -> None:
    assert remove_special("<|s|> hi  there , you ? ", "en") == "hi there, you? "
    assert remove_special("<|s|> 你 好 ， ok go", "zh") == "你好，okgo"


# --- Chinese numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "quantity"),
    [
        ("0", "零"), ("2", "二"), ("10", "十"), ("12", "十二"), ("20", "二十"), ("22", "二十二"),
        ("200", "两百"), ("202", "两百零二"), ("220", "两百二十"), ("2222", "两千两百二十二"),
        ("20000", "两万"), ("120000", "十二万"), ("1050.20", "一千零五十点二零"), ("02", "零二"),
        ("0.5", "零点五"), ("200000000", "两亿"), ("00", ""),
    ],
)  # fmt: skip
def test_quantities(number: str, quantity: str) -> None:
    assert read_number(number) == quantity


def test_digit_by_digit() -> None:
    assert read_digits("2010") == "二零一零"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("2025年11月22日", "二零二五年十一月二十二日"),
        ("88年", "八八年"),
        ("12块5毛", "十二块五毛"),
        ("电话13800138000。", "电话一三八零零一三八零零零 "),
        ("打010-62771234吧", "打零一零六二七七一二三四吧"),
        ("1/2的人", "二分之一的人"),
        ("涨了20.5％", "涨了百分之二十点五"),
        ("20几个人", "二十几个人"),
        ("代码40960", "代码四零九六零"),
        ("B2B和B二C", "B2B和B2C"),
        ("3.14，好", "三点一四 好"),
        ("12和2个", "一二和二个"),  # replaced at the first place it occurs, not where it was found
        ("Ａ．x！", "Ａ．x "),
    ],
)
def test_chinese_text_norm(text: str, want: str) -> None:
    assert text_norm(text) == want


# --- the suites' rates ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lang"), [("ue_wer_en", "en"), ("ue_cer_zh", "zh"), ("kimi_wer_en", "en"), ("kimi_wer_zh", "zh")]
)
def test_public_rates(name: str, lang: str) -> None:
    pytest.importorskip("sacrebleu", reason='the tokenisers come with pip install "evalkit[asr]"')
    rate = ue_wer if name.startswith("ue") else kimi_wer
    rows = vectors(f"ultraeval.{name}")
    assert len(rows) == 90
    for row in rows:
        got = rate(row["input"]["ref"], row["input"]["hyp"], lang)
        if "official_error" in row:  # the public code divides by, or indexes into, an empty reference
            assert got.rate is None, row
            continue
        official = row["official"]
        want = official["wer"] if "wer" in official else next(iter(official.values())) / 100
        assert got.rate == pytest.approx(want, abs=1e-12), row
        assert got.errors == official.get("edits", got.errors), row
