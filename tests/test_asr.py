"""Speech recognition: the recipes as judges, the published layouts, and runs from end to end on the smoke data."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.options import CHOICES
from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Verdict
from evalkit.runners.embedded import EmbeddedRunner
from evalkit.runners.embedded.weights import llm_cache_file
from judges import asr
from judges.asr import CorpusWer, SuiteWer
from judges.wer import GENERATIONS, NORMALIZERS, ComputeWer
from tests.cli_fixtures import ROOT, Bench, bench, lines, refused, result
from tests.embedded_fixtures import embedded_runner, needs_embedded

__all__ = ["bench", "embedded_runner"]

SMOKE = ROOT / "benchmarks" / "smoke"
VECTORS = Path(__file__).parent / "vectors"
CLEAN, OTHER = "asr/librispeech-clean", "asr/librispeech-other"
EN, ZH = "asr/common-voice-en", "asr/common-voice-zh"
ARCHIVE = SMOKE / "TwinkStart/CommonVoice_15/cv-corpus-15.0-2023-09-08"


def verdicts(judge: CorpusWer | SuiteWer, target: Any, text: str) -> dict[str, Verdict]:
    found = judge.score(Sample("a", CLEAN, (), target=target), Answer(text, Response("a", text=text)))
    assert [v.metric for v in found] == list(judge.metrics)
    return {v.metric: v for v in found}


# --- judges --------------------------------------------------------------------------------------


def test_a_verdict_has_all_counts_and_the_alignment() -> None:
    found = verdicts(CorpusWer(), "MISTER QUILTER CAN'T SIT", "Mr. Quilter, uh, can not sit down")["wer"]
    assert found.counts == {
        **{"errors": 1, "length": 5, "insertions": 1, "deletions": 0, "substitutions": 0},
        **{"correct": 5, "wrong": 1.0},
    }
    assert found.value == pytest.approx(1 / 5) and found.touched is None
    assert found.detail == {
        "reference": "mister quilter can not sit",
        "hypothesis": "mister quilter can not sit down",
        "alignment": [["=", 5], ["I", "down"]],
    }


def test_an_empty_answer_is_all_deletions() -> None:
    for judge in (CorpusWer(), SuiteWer("kimi-evalkit", "en"), SuiteWer("ultraeval", "en")):
        for text in ("", "  \n"):
            found = verdicts(judge, "hello there", text)["wer"]
            assert found.value == 1.0 and found.counts is not None
            assert (found.counts["deletions"], found.counts["length"]) == (2, 2)


def test_an_empty_reference_keeps_its_insertions() -> None:
    """ASR sheet section 4.1: rate 0 and no wrong sentence, but the insertions enter the total; told as a defect."""
    for metric, found in verdicts(CorpusWer(), "[noise]", "hello there").items():
        assert found.value == 0.0 and found.counts is not None, metric
        assert found.counts["length"] == 0 and found.counts["errors"] > 0
        assert found.counts.get("wrong", 0.0) == 0.0 and found.touched == "empty_reference"
    assert verdicts(CorpusWer(), "[noise]", "uh")["wer"].touched is None


def test_no_reference_is_unscored() -> None:
    for judge in (CorpusWer(), SuiteWer("kimi-evalkit", "zh")):
        found = verdicts(judge, None, "hello")["wer"]
        assert found.value is None and (found.reason or "").startswith("no-reference: ")


def test_a_text_the_normaliser_fails_on_is_still_counted() -> None:
    found = verdicts(CorpusWer(), "HELLO", "7" * 6000)["wer"]
    assert found.value == 1.0 and found.touched == "normalizer_crash"
    found = verdicts(CorpusWer(), "7" * 6000, "hello")["wer"]
    assert found.value is None and (found.reason or "").startswith("normalizer-failed: ")


def test_hostile_answers_end_in_a_verdict() -> None:
    for text in ("<" * 50_000, "word " * 20_000, "\ud800 漢\x00", "( [ <" * 9_000):
        for judge in (CorpusWer(), CorpusWer("whisper-basic"), SuiteWer("kimi-evalkit", "zh")):
            found = verdicts(judge, "hello there", text)["wer"]
            assert found.value is not None and len(json.dumps(found.detail)) < 30_000


def test_kimi_leaves_null_out_and_says_so() -> None:
    """ASR sheet section 5: the string itself, nothing like it."""
    found = verdicts(SuiteWer("kimi-evalkit", "en"), "a null result", "null")["wer"]
    assert found.value is None and found.touched == "null_skipped"
    assert verdicts(SuiteWer("kimi-evalkit", "en"), "a null result", "Null.")["wer"].value is not None
    assert verdicts(SuiteWer("ultraeval", "en"), "a null result", "null")["wer"].value is not None
    assert verdicts(CorpusWer(), "a null result", "null")["wer"].value == pytest.approx(2 / 3)


FIELDS = {"wer": 1, "wer%": 100, "cer%": 100}


@pytest.mark.parametrize(
    ("vectors", "suite", "language"),
    [
        ("kimi_wer_en", "kimi-evalkit", "en"),
        ("kimi_wer_zh", "kimi-evalkit", "zh"),
        ("ue_wer_en", "ultraeval", "en"),
        ("ue_cer_zh", "ultraeval", "zh"),
    ],
)
def test_the_suites_verdicts(vectors: str, suite: Any, language: str) -> None:
    judge, compared = SuiteWer(suite, language), 0
    for case in lines(VECTORS / f"ultraeval.{vectors}.jsonl"):
        if "official" in case and case["input"]["hyp"] != "null":
            [want] = (case["official"][k] / f for k, f in FIELDS.items() if k in case["official"])
            assert verdicts(judge, case["input"]["ref"], case["input"]["hyp"])["wer"].value == pytest.approx(
                want, abs=1e-6
            ), case
            compared += 1
    assert compared >= 30


def test_chinese_words_letters_and_script() -> None:
    judge = CorpusWer("whisper-basic")
    found = verdicts(judge, "我用GPS看書，3次。", "我用gpx看书三次")
    wer, cer = found["wer"].counts, found["cer"].counts
    assert wer is not None and (wer["errors"], wer["length"]) == (3, 7)  # gps is one token, 書, 3
    assert cer is not None and (cer["errors"], cer["length"]) == (3, 9)
    pytest.importorskip("opencc", reason='needs OpenCC: pip install "evalkit[zh]"')
    folded = CorpusWer("whisper-basic", simplify=True, metrics=("wer_t2s",))
    counts = verdicts(folded, "我用GPS看書，3次。", "我用gpx看书三次")["wer_t2s"].counts
    assert counts is not None and (counts["errors"], counts["length"]) == (2, 7)
    assert "opencc-t2s@" in folded.signature


def test_folding_without_its_package_is_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opencc", None)
    asr._simplified.cache_clear()
    found = verdicts(CorpusWer("whisper-basic", simplify=True, metrics=("wer_t2s",)), "書", "书")["wer_t2s"]
    assert found.value is None
    assert (found.reason or "").startswith("opencc-missing: ") and 'pip install "evalkit[zh]"' in (
        found.reason or ""
    )


def test_signatures_differ_where_verdicts_could() -> None:
    judges = [
        CorpusWer(),
        CorpusWer("whisper-english-openai"),
        CorpusWer("none"),
        CorpusWer(options=ComputeWer("E")),
        CorpusWer(options=ComputeWer(char=True)),
        CorpusWer("whisper-basic", simplify=True),
        *(SuiteWer(s, x) for s in ("kimi-evalkit", "ultraeval") for x in ("en", "zh")),
    ]
    assert len({j.signature for j in judges}) == len(judges)
    assert CorpusWer("none").signature == "asr:none+compute-wer-C"


# --- end to end ----------------------------------------------------------------------------------

ANSWERS: dict[str, dict[str, str]] = {
    CLEAN: {"7001-2001-0000": "The baker's card is here.", "7001-2001-0001": "shut the the door Mr Hall"},
    OTHER: {"7002-2002-0000": "we went home", "7003-2003-0000": ""},
    EN: {
        "common_voice_en_90001.mp3": "Mind this step, said the porter",
        "common_voice_en_90002.mp3": "he calls his boat the kettle",
        "common_voice_en_90003.mp3": "It is half past 9 is it not",
    },
    ZH: {
        "common_voice_zh-CN_90001.mp3": "他买了三本书",
        "common_voice_zh-CN_90002.mp3": "今天下午3点开会别忘",
        "common_voice_zh-CN_90003.mp3": "你好，她笑着说",
        "common_voice_zh-CN_90004.mp3": "我用GPX找路",
    },
}


def replayed(bench: Bench, task: str, *more: object, drop: int = 0) -> Any:
    """A run over recorded answers into the folder `a`."""
    file = bench.tmp / "answers.jsonl"
    kept = list(ANSWERS[task].items())[drop:]
    file.write_text("".join(json.dumps({"id": k, "text": t}) + "\n" for k, t in kept), encoding="utf-8")
    args = ["run", "--model", f"replay/{file}", "--task", task, "--data-dir", SMOKE, "--progress", "none"]
    return bench.here(*args, "--out", bench.tmp / "a", *more)


def numbers(bench: Bench, task: str, *names: str) -> list[float]:
    return [round(result(bench.tmp / "a", task, n)["value"], 4) for n in names]


NAMES = ("wer", "sub", "del", "ins", "ser")


@pytest.mark.parametrize(
    ("task", "want", "cer"),
    [
        (CLEAN, [2 / 11, 1 / 11, 0, 1 / 11, 1], (1 + 3) / (20 + 21)),  # baker is: six tokens
        (OTHER, [(2 + 5) / 10, 0, 7 / 10, 0, 1], (6 + 18) / (16 + 18)),
        (EN, [3 / 20, 3 / 20, 0, 0, 2 / 3], None),
        (ZH, [4 / 28, 3 / 28, 1 / 28, 0, 3 / 4], (2 + 1 + 0 + 1) / (6 + 11 + 6 + 7)),
    ],
)
def test_pooled_rates(bench: Bench, task: str, want: list[float], cer: float | None) -> None:
    """Each errors / tokens of the whole set, worked out by hand."""
    done = replayed(bench, task, "--no-report")
    assert done.code == 0, done.said
    assert numbers(bench, task, *NAMES) == [round(100 * w, 4) for w in want]
    if cer is not None:
        assert numbers(bench, task, "cer") == [round(100 * cer, 4)]
    signed = result(bench.tmp / "a", task)["signature"]
    assert "protocol=report|prompt=report" in signed and "compute-wer-C" in signed
    assert ("ed. 15.0" in signed) == (task in (EN, ZH))


def test_options_are_in_the_number_and_in_the_signature(bench: Bench) -> None:
    more = ["--no-report", "-O", "wer_tokens=E", "-O", "normalizer=none"]
    assert replayed(bench, ZH, *more).code == 0
    found = result(bench.tmp / "a", ZH)
    # Raw text: 他買了三本書。 7, 今天下午…。 13, “你好”，她笑着说。 10, 我用GPS找路 5 tokens.
    assert found["value"] == pytest.approx(100 * (3 + 3 + 3 + 1) / 35)
    assert "asr:none+compute-wer-E" in found["signature"]
    shutil.rmtree(bench.tmp / "a")
    assert replayed(bench, ZH, "--no-report", "-O", "wer_char=yes").code == 0
    assert numbers(bench, ZH, "wer") == numbers(bench, ZH, "cer")
    assert "compute-wer-C+char" in result(bench.tmp / "a", ZH)["signature"]
    for bad in ("wer_tokens=F", "wer_char=maybe", "normalizer=none-such"):
        name = bad.partition("=")[0]
        refused(replayed(bench, ZH, "-O", bad), f"-O {name} is ")


def test_the_other_recipes(bench: Bench) -> None:
    assert replayed(bench, ZH, "--no-report", "--protocol", "kimi-evalkit").code == 0
    kimi = result(bench.tmp / "a", ZH)
    assert "asr:kimi-evalkit:zh" in kimi["signature"]
    assert kimi["value"] == pytest.approx(100 * (2 + 1 + 0 + 1) / 28)
    shutil.rmtree(bench.tmp / "a")
    assert replayed(bench, ZH, "--no-report", "--protocol", "ultraeval").code == 0
    assert result(bench.tmp / "a", ZH)["value"] > 0
    metrics = json.loads((bench.tmp / "a/results.json").read_text())["tasks"][ZH]["metrics"]
    assert list(metrics) == list(NAMES)


def test_folding_is_beside_the_figure_and_never_spoils_a_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opencc", reason='needs OpenCC: pip install "evalkit[zh]"')
    asr._simplified.cache_clear()
    assert replayed(bench, ZH, "--no-report").code == 0
    assert numbers(bench, ZH, "wer", "wer_t2s") == [round(400 / 28, 4), round(200 / 28, 4)]
    shutil.rmtree(bench.tmp / "a")
    monkeypatch.setitem(sys.modules, "opencc", None)
    asr._simplified.cache_clear()
    done = replayed(bench, ZH, "--no-report")
    asr._simplified.cache_clear()
    assert done.code == 0, done.said
    found = result(bench.tmp / "a", ZH, "wer_t2s")
    assert found["value"] is None and list(found["reasons"]) == ["opencc-missing"]


def test_a_failed_utterance_is_all_deletions_and_told_as_failed(bench: Bench) -> None:
    """ASR sheet section 7: never dropped. It is scored later like any other, when its answer comes."""
    done = replayed(bench, EN, "--no-report", drop=1)
    assert done.code == 1 and "no prediction for common_voice_en_90001.mp3" in done.err
    found = result(bench.tmp / "a", EN)
    assert (found["n"], found["n_scored"], found["n_errors"], found["n_unscored"]) == (3, 2, 1, 0)
    assert found["value"] == 100 * (6 + 0 + 2) / 20 and found["bounds"] == [40.0, 40.0]
    assert numbers(bench, EN, "del", "ser") == [30.0, round(200 / 3, 4)]
    groups = json.loads((bench.tmp / "a/results.json").read_text())["tasks"][EN]["groups"]
    assert groups["gender"]["male"]["wer"]["value"] == 100.0
    shutil.rmtree(bench.tmp / "a")
    assert replayed(bench, EN, "--no-report", "--protocol", "ultraeval", drop=1).code == 1
    assert result(bench.tmp / "a", EN)["value"] < 40  # as that suite drops it


def test_null_is_told(bench: Bench) -> None:
    file = bench.tmp / "p.jsonl"
    file.write_text('{"id": "7001-2001-0000", "text": "null"}\n{"id": "7001-2001-0001", "text": "shut"}\n')
    more = ["--data-dir", SMOKE, "--no-report", "--protocol", "kimi-evalkit", "--out", bench.tmp / "a"]
    bench.here("score", file, "--task", CLEAN, *more)
    found = result(bench.tmp / "a", CLEAN)
    assert (found["value"], found["n_scored"], found["touched"]) == (80.0, 1, {"null_skipped": 1})


def test_the_page_shows_kinds_of_errors_and_alignments(bench: Bench) -> None:
    hostile = "The baker's </script><b>card</b> is here."
    file = bench.tmp / "p.jsonl"
    rows = [("7001-2001-0000", hostile), ("7001-2001-0001", "shut the the door Mr Hall")]
    file.write_text("".join(json.dumps({"id": k, "text": t}) + "\n" for k, t in rows))
    more = ["--data-dir", SMOKE, "-O", "normalizer=none", "--out", bench.tmp / "a"]
    assert bench.here("score", file, "--task", CLEAN, *more).code == 0
    page = (bench.tmp / "a/report.html").read_text(encoding="utf-8")
    assert "What the errors are" in page and "CART → &lt;/script&gt;" not in page
    assert "</script><b>card" not in page and '["S","CART","\\u003c/script\\u003e' not in page
    assert '"alignment":[' in page and "the \u00d71" in page
    [wer] = [s for s in lines(bench.tmp / "a" / CLEAN / "scores.jsonl") if s["metric"] == "wer"][:1]
    assert wer["detail"]["alignment"]


@needs_embedded
@pytest.mark.embedded
def test_the_embedded_model_answers_two_utterances(bench: Bench, embedded_runner: EmbeddedRunner) -> None:
    if llm_cache_file().is_file():  # fetched by the fixture, into the cache that the bench hides
        bench.environ["EVALKIT_LLM_GGUF"] = str(llm_cache_file())
    args = ["run", "--model", "embedded", "--task", CLEAN, "--data-dir", SMOKE, "--progress", "none"]
    done = bench.here(*args, "--no-report", "--out", bench.tmp / "a")
    assert done.code == 0, done.said
    found = result(bench.tmp / "a", CLEAN)
    assert (found["n_scored"], found["n"]) == (2, 2) and found["value"] is not None
    for line in lines(bench.tmp / "a" / CLEAN / "responses.jsonl"):
        assert line["text"] and len(line["sent"]) == 1


def test_the_command_line_knows_every_tokeniser_and_normaliser() -> None:
    assert CHOICES["wer_tokens"] == GENERATIONS and set(CHOICES["normalizer"]) == set(NORMALIZERS)
