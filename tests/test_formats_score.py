"""Predictions made elsewhere: tasks told or asked for, several files in one run, replies on record, paths, errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import Bench, Done, bench, lines, refused, result
from tests.formats_fixtures import CASES, OAB, REFUSAL, ultraeval
from tests.mock_openai import tone_wav

__all__ = ["bench"]

LLAMA = "ultraeval-audio/llama-questions"
CLEAN = "asr/librispeech-clean"


def write(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(dict(r), ensure_ascii=False) + "\n" for r in records), encoding="utf-8"
    )
    return path


def score(bench: Bench, *args: object) -> Done:
    return bench.here("score", *args, "--out", bench.tmp / "a", "--no-report")


def responses(bench: Bench, task: str) -> dict[str, dict[str, Any]]:
    return {x["sample_id"]: x for x in lines(bench.tmp / "a" / task / "responses.jsonl")}


def entries(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bench.tmp / "a/results.json").read_text())
    return found


def case(name: str, k: int = 0) -> Any:
    return [c for c in CASES if c.name == name][k]


# --- which task ------------------------------------------------------------------------------------


def test_five_tasks_of_one_file_make_an_overall(bench: Bench) -> None:
    assert score(bench, case("kimi-audio-evalkit").write(bench.tmp)).code == 0
    found = entries(bench)
    assert set(found["tasks"]) == {f"openaudiobench/{s}" for s in OAB}
    assert found["overall"]["openaudiobench"]["value"] == pytest.approx((70 + 100 + 100 + 0 + 100) / 5)


def test_a_glob_chooses_among_a_files_tasks_and_the_rest_is_told(bench: Bench) -> None:
    path = case("kimi-audio-evalkit").write(bench.tmp)
    done = score(bench, path, "--task", "openaudiobench/*-questions", "--task", "openaudiobench/trivia-qa")
    assert done.code == 0, done.said
    chosen = {f"openaudiobench/{s}" for s in ("llama-questions", "trivia-qa", "web-questions")}
    assert set(entries(bench)["tasks"]) == chosen
    assert "left out" in done.err and "openaudiobench/alpaca-eval (1)" in done.err
    done = bench.here("score", path, "--task", "mmsu/all", "--out", bench.tmp / "b")
    refused(done, "none of the predictions answers", "openaudiobench/trivia-qa")
    assert not (bench.tmp / "b").exists()


@pytest.mark.parametrize(
    ("file", "record", "likely"),
    [
        (
            "out.jsonl",
            {"prompt": "?", "response": "x"},
            ["voicebench/alpacaeval_full", "voicebench/advbench"],
        ),
        ("m-advbench-test-audio.jsonl", {"prompt": "?", "response": "x"}, ["Likely: voicebench/advbench."]),
        (
            "x.jsonl",
            {"prompt": "?", "response": "x", "reference": "C"},
            ["Likely: voicebench/mmsu, voicebench/openb"],
        ),
        (
            "m-sd-qa-ind_n-audio.jsonl",
            {"prompt": "?", "response": "x", "reference": "Delhi"},
            ["Likely: voicebench/sd-qa-ind_n."],
        ),
        (
            "m-sd-qa-usa-audio.jsonl",
            {"prompt": "?", "response": "x", "reference": "Rome"},
            ["Likely: voicebench/sd-qa."],
        ),
        (
            "m-alpacaeval_full-test-audio.jsonl",
            {"prompt": "?", "response": "x"},
            ["Likely: voicebench/alpacaeval_full."],
        ),
        (
            "m.jsonl",
            {"prompt": "?", "response": "x", "instruction_id_list": []},
            ["Likely: voicebench/ifeval."],
        ),
        (
            "m.jsonl",
            {"id": "navigate_3", "prompt": "?", "response": "x", "reference": "No"},
            ["voicebench/bbh."],
        ),
    ],
)
def test_a_file_that_does_not_tell_its_task_names_the_likely_ones(
    bench: Bench, file: str, record: dict[str, Any], likely: list[str]
) -> None:
    path = write(bench.tmp / file, [record])
    refused(score(bench, path), file, "doesn't say which task", "--task", *likely)


def test_several_files_of_several_tasks(bench: Bench) -> None:
    """By glob, where their names tell; by TASK=FILE anyhow. One run directory, one results.json."""
    adv = write(bench.tmp / "m-advbench-test-audio.jsonl", [{"prompt": "?", "response": REFUSAL}])
    given = [{"prompt": "?", "response": "b", "reference": "B"}]
    book = write(bench.tmp / "m-openbookqa-test-audio.jsonl", given)
    more = ("--protocol", "official")
    assert score(bench, adv, book, "--task", "voicebench/*", *more).code == 0
    found = entries(bench)["tasks"]
    assert {t: e["metrics"][e["headline"]]["value"] for t, e in found.items()} == {
        "voicebench/advbench": 100.0,
        "voicebench/openbookqa": 100.0,
    }
    odd = write(bench.tmp / "odd.jsonl", [{"prompt": "?", "response": "Sure."}])
    named = [f"voicebench/advbench={odd}", f"voicebench/openbookqa={book}"]
    done = bench.here("score", *named, "--out", bench.tmp / "b", "--no-report", *more)
    assert done.code == 0 and result(bench.tmp / "b", "voicebench/advbench")["value"] == 0.0, done.said


def test_domains_of_mmsu_come_in_files_of_their_own(bench: Bench) -> None:
    row = {"prompt": "Which one? A one. B two.", "reference": "B"}
    files = [
        write(bench.tmp / f"m-mmsu-{d}-audio.jsonl", [{**row, "response": r}, {**row, "response": "B"}])
        for d, r in (("law", "A"), ("physics", "B"))
    ]
    assert score(bench, *files, "--task", "voicebench/mmsu", "--protocol", "strict").code == 0
    found = entries(bench)["tasks"]["voicebench/mmsu"]
    assert found["n"] == 4 and found["metrics"]["acc"]["value"] == 75.0
    assert found["groups"]["domain"]["law"]["acc"]["value"] == 50.0
    assert len(responses(bench, "voicebench/mmsu")) == 4


def test_our_own_lines_may_name_their_tasks(bench: Bench) -> None:
    row = {"prompt": "?", "reference": "B"}
    given = [
        {"task": "voicebench/advbench", "id": 1, "text": REFUSAL, "row": row},
        {"task": "voicebench/openbookqa", "id": 1, "text": "B", "row": row},
    ]
    path = write(bench.tmp / "p.jsonl", given)
    assert score(bench, path, "--protocol", "official").code == 0
    assert set(entries(bench)["tasks"]) == {"voicebench/advbench", "voicebench/openbookqa"}
    late = write(
        bench.tmp / "late.jsonl", [{"id": f"x{k}", "text": "x", "row": row} for k in range(30)] + given
    )
    refused(
        bench.here("score", late, "--task", "voicebench/openbookqa", "--out", bench.tmp / "c"), ":31: answers"
    )


def test_formats_that_fit_twice_or_not_at_all(bench: Bench) -> None:
    both = {"prompt": "?", "response": "x", "prediction": "y", "audio_content": "z"}
    path = write(bench.tmp / "p.jsonl", [both])
    refused(score(bench, path), "kimi-audio-evalkit and voicebench", "--format")
    assert score(bench, path, "--format", "voicebench", "--task", "voicebench/advbench").code == 0
    path = write(bench.tmp / "q.jsonl", [{"a": 1}])
    refused(score(bench, path), "no format that is known", "list formats")
    refused(score(bench, path, "--format", "voicebnch"), "Did you mean voicebench")
    (bench.tmp / "r.bin").write_bytes(bytes(range(256)))
    refused(score(bench, bench.tmp / "r.bin"), "no format that is known")


def test_a_subset_that_nobody_knows(bench: Bench) -> None:
    record = {**case("kimi-audio-evalkit").records[0], "subset": "hsk", "audio_path": "x.mp3"}
    path = write(bench.tmp / "k.jsonl", [case("kimi-audio-evalkit").records[0], record])
    refused(score(bench, path), f"{path}:2", "'hsk'", "--task")
    assert score(bench, path, "--task", "openaudiobench/llama-questions").code == 0
    assert entries(bench)["tasks"]["openaudiobench/llama-questions"]["n"] == 2


# --- against the data set --------------------------------------------------------------------------


def test_with_the_data_set_at_hand_its_rows_are_read(bench: Bench) -> None:
    """What the file lacks is an error by name; what the data set lacks is the user's to mend, by foreign line."""
    bench.questions(3)
    given = [{"id": f"q{k:02}", "prompt": "other words", "response": REFUSAL} for k in (0, 2)]
    path = write(bench.tmp / "p.jsonl", given)
    args = ("--task", "voicebench/advbench", "--data-dir", bench.data)
    assert score(bench, path, *args).code == 1
    found = result(bench.tmp / "a", "voicebench/advbench")
    assert (found["n"], found["n_scored"], found["n_errors"]) == (3, 2, 1)
    assert responses(bench, "voicebench/advbench")["q02"]["asked"]["question"] == "question number 02?"
    write(path, [*given, {"id": "zz", "prompt": "?", "response": "?"}])
    refused(bench.here("score", path, *args, "--out", bench.tmp / "b"), "'zz' (line 3)", "p.jsonl")


# --- Kaldi -----------------------------------------------------------------------------------------


def test_hypotheses_with_references(bench: Bench) -> None:
    hyp, ref = bench.tmp / "hyp", bench.tmp / "ref"
    ref.write_text("1-1-0000 HELLO WORLD\n1-1-0001 A B C\n1-1-0002 D\n1-1-0003 E F\n")
    hyp.write_bytes(b"\xef\xbb\xbf1-1-0001 a b c\r\n1-1-0000\thello word\r\n\r\n1-1-0003\r\n")
    done = score(bench, hyp, "--ref", ref, "--task", CLEAN)
    assert done.code == 1, done.said
    found = result(bench.tmp / "a", CLEAN)
    assert (found["n"], found["n_errors"]) == (4, 1)
    rows = {
        x["sample_id"]: x for x in lines(bench.tmp / "a" / CLEAN / "scores.jsonl") if x["metric"] == "wer"
    }
    assert {k: x["counts"]["errors"] for k, x in rows.items()} == {
        "1-1-0000": 1,
        "1-1-0001": 0,
        "1-1-0003": 2,
    }
    assert responses(bench, CLEAN)["1-1-0002"]["error"]["kind"] == "no-prediction"


def test_references_say_that_it_is_kaldi(bench: Bench) -> None:
    """Ids that look like words, and an error by name that says what mends it."""
    hyp, ref = bench.tmp / "hyp", bench.tmp / "ref"
    hyp.write_text("anna hello\n")
    ref.write_text("anna HELLO\nbert THERE\n")
    done = score(bench, hyp, "--ref", ref, "--task", CLEAN)
    assert done.code == 1 and "bert" in done.err and "Add what is missing and score again." in done.err


def test_hypotheses_against_the_data_set(bench: Bench) -> None:
    rows = [{"id": f"1-1-000{k}", "text": "HELLO WORLD", "audio": f"{k}.wav"} for k in range(2)]
    bench.rows(rows, "clean", repo="openslr/librispeech_asr")
    for k in range(2):
        (bench.data / f"openslr/librispeech_asr/{k}.wav").write_bytes(tone_wav(0.1))
    (bench.tmp / "h.txt").write_text("1-1-0000 hello world\n1-1-0001 hello\n")
    assert score(bench, bench.tmp / "h.txt", "--task", CLEAN, "--data-dir", bench.data).code == 0
    assert result(bench.tmp / "a", CLEAN)["value"] == pytest.approx(25.0)


def test_hypotheses_that_are_wrong(bench: Bench) -> None:
    hyp, ref = bench.tmp / "hyp", bench.tmp / "ref"
    ref.write_text("u-1 a\nu-2 b\n")
    args = (hyp, "--ref", ref, "--task", CLEAN)
    for text, words in (
        ("u-1 a\nu-3 c\n", ["hyp:2", "no utterance 'u-3'"]),
        ("u-1 a\nu-2 b\nu-1 a\n", ["hyp:3", "'u-1' stands on line 1 already"]),
    ):
        hyp.write_text(text)
        refused(score(bench, *args), *words)
    hyp.write_bytes(b"u-1 a\nu-2 \xff\n")
    refused(score(bench, *args), "hyp:2", "not UTF-8")
    hyp.write_bytes(b"u-1 a\ru-2 b\r")
    refused(score(bench, *args), "hyp:1", "carriage return")
    hyp.write_text("u-1 a\n")
    refused(score(bench, hyp, "--ref", ref), "which task", "asr/librispeech-clean")
    refused(score(bench, hyp, "--ref", bench.tmp / "no", "--task", CLEAN), "can't be read")
    ref.write_text("u-1 a\nu-1 b\n")
    refused(score(bench, *args), "ref:2", "already")


# --- judges on record ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kimi-audio-evalkit", "vstyle", "voicebench"])
def test_recorded_replies_may_be_left_unread(bench: Bench, name: str) -> None:
    one = case(name, 1 if name == "voicebench" else 0)
    assert score(bench, one.write(bench.tmp), *one.more, "--no-recorded").code == 1
    for entry in entries(bench)["tasks"].values():
        head = entry["metrics"][entry["headline"]]
        assert head["n_scored"] == 0 and head["value"] is None


def test_judging_that_failed_elsewhere_is_no_score(bench: Bench) -> None:
    """A number inside the public scorer's error counts for nothing."""
    good = dict(case("vstyle").records[0])
    bad = {**good, "id": 21, "gemini_score": "API failed: [[4]] 429", "gemini_raw": "[[4]]"}
    plain = {**good, "id": 31, "gemini_score": "3", "gemini_raw": ""}
    path = write(bench.tmp / "metadata_with_score.jsonl", [good, bad, plain])
    assert score(bench, path).code in (0, 1)
    found = result(bench.tmp / "a", "vstyle/en")
    assert found["value"] == pytest.approx(4.0) and found["n_scored"] == 2


def test_the_first_of_an_id_counts_and_no_record_without_one(bench: Bench) -> None:
    """VStyle sheet section 6: rows without id or ability go before ids are compared; each is told."""
    good = dict(case("vstyle").records[0])
    records = [
        {**good, "id": 21, "ability": ""},
        {**good, "id": 21, "gemini_score": "2", "gemini_raw": "[[2]]"},
        {**good, "id": 21, "gemini_score": "5", "gemini_raw": "[[5]]"},
        {**good, "id": 0},
        {k: v for k, v in good.items() if k != "id"},
    ]
    path = write(bench.tmp / "metadata_with_score.jsonl", records)
    done = score(bench, path)
    found = result(bench.tmp / "a", "vstyle/en")
    assert (found["value"], found["n"]) == (2.0, 1)
    assert f"{path}:1 (and 2 more): a record without id or ability; left out" in done.err
    assert f"{path}:3: a record whose id stood before; left out" in done.err


def test_the_mean_is_over_the_scores_of_the_file(bench: Bench) -> None:
    """A reply that was lost, or that doesn't hold its score, changes nothing; nan counts as nan."""
    good = dict(case("vstyle").records[0])
    told: list[tuple[object, object]] = [("4", "see above"), (5.0, None), ("nan", ""), (3, "3")]
    records = [
        {**good, "id": k, "gemini_score": score, "gemini_raw": raw} for k, (score, raw) in enumerate(told, 1)
    ]
    path = write(bench.tmp / "metadata_with_score.jsonl", records)
    score(bench, path)
    found = result(bench.tmp / "a", "vstyle/en")
    assert (found["value"], found["n"], found["touched"]) == (4.0, 4, {"nan_score": 1})


def test_one_model_a_run(bench: Bench) -> None:
    good = dict(case("vstyle").records[0])
    path = write(bench.tmp / "m.jsonl", [good, {**good, "id": 2, "model_name": "other"}])
    refused(score(bench, path), f"{path}:2", "'other'", "'m'")


def test_chinese_instructions_are_the_chinese_set(bench: Bench) -> None:
    records = [{**r, "instruct_text": "请用小孩的声音说。"} for r in case("vstyle").records]
    assert score(bench, write(bench.tmp / "m.jsonl", records)).code in (0, 1)
    assert set(entries(bench)["tasks"]) == {"vstyle/zh"}


# --- speech ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["../../etc/passwd", "/etc/passwd", "wav/../../x.wav", "a\x00b", "x" * 4000]
)
def test_audio_stays_in_its_folder(bench: Bench, where: str) -> None:
    """A path that climbs out is an error of its sample, and nothing of that file is read."""
    records = [{k: v for k, v in r.items() if "gemini" not in k} for r in case("vstyle").records]
    (bench.tmp / "in/wav").mkdir(parents=True)
    (bench.tmp / "x.wav").write_bytes(tone_wav(0.1))
    (bench.tmp / "in/wav/1.wav").write_bytes(tone_wav(0.1))
    records[0]["response_audio_path"] = where
    path = write(bench.tmp / "in/metadata.jsonl", records)
    done = score(bench, path)
    assert done.code == 1 and "Traceback" not in done.err and "root:" not in done.said, done.said
    found = responses(bench, "vstyle/en")
    assert found["1"]["error"]["kind"] == "bad-audio"
    assert "error" not in found["11"] and "audio" in found["11"]
    assert "root:" not in (bench.tmp / "a/vstyle/en/responses.jsonl").read_text()


def test_audio_of_a_folder_of_its_own(bench: Bench) -> None:
    records = [{k: v for k, v in r.items() if "gemini" not in k} for r in case("vstyle").records]
    (bench.tmp / "sound/wav").mkdir(parents=True)
    for k in range(2):
        (bench.tmp / f"sound/wav/{k}.wav").write_bytes(tone_wav(0.1))
    path = write(bench.tmp / "metadata.jsonl", records)
    score(bench, path, "--audio-dir", bench.tmp / "sound")
    assert all("audio" in r and "error" not in r for r in responses(bench, "vstyle/en").values())


def test_scored_speech_at_hand_is_kept_with_its_verdict(bench: Bench) -> None:
    one = case("vstyle")
    (bench.tmp / "wav").mkdir()
    for k in range(2):
        (bench.tmp / f"wav/{k}.wav").write_bytes(tone_wav(0.1, hz=300 + k))
    assert score(bench, one.write(bench.tmp)).code in (0, 1)
    assert result(bench.tmp / "a", "vstyle/en")["value"] == 4.0
    assert all("audio" in r for r in responses(bench, "vstyle/en").values())


# --- UltraEval-Audio ---------------------------------------------------------------------------------


def test_rows_that_failed_there_are_errors_here(bench: Bench) -> None:
    records = ultraeval(0, "it is Paris", "Paris", 1) + ultraeval(1, "it is Rome", "Rome", 1)[:2]
    records += [{"type": "error", "id": 1, "data": {"info": "no audio"}}]
    records += [
        {"type": "prompt", "id": 2, "data": {}},
        {"type": "error", "id": 3, "data": "CUDA out of memory"},
    ]
    path = write(bench.tmp / "res/m/llama-questions/t.jsonl", records)
    assert score(bench, path, "--task", LLAMA).code == 1
    found = result(bench.tmp / "a", LLAMA)
    assert (found["n"], found["n_scored"], found["n_errors"], found["value"]) == (4, 1, 3, 100.0)
    said = {k: r["error"]["message"] for k, r in responses(bench, LLAMA).items() if "error" in r}
    assert "no audio" in said["1"] and "only prompt" in said["2"] and "CUDA" in said["3"]


def test_records_of_many_samples_may_be_mixed(bench: Bench) -> None:
    both = [ultraeval(k, "it is Paris", "Paris" if k else "Rome", k) for k in range(2)]
    path = write(bench.tmp / "t.jsonl", [r for pair in zip(*both, strict=True) for r in pair])
    assert score(bench, path, "--task", LLAMA).code == 0
    assert result(bench.tmp / "a", LLAMA)["value"] == 50.0
    args = ("score", path, "--task", LLAMA, "--out", bench.tmp / "b")
    write(path, [*both[0], {**both[0][1], "data": {"content": "another"}}])
    refused(bench.here(*args), f"{path}:5", "'0'", "line 4")
    write(path, [*both[0][:2], {**both[0][1], "data": {"content": "another"}}])
    refused(bench.here(*args), f"{path}:3", "another inference", "line 2")
    write(path, [*both[0][:1], {"type": "guess", "id": 0, "data": 1}])
    refused(bench.here(*args), f"{path}:2", "'guess'")


@pytest.mark.parametrize("answer", ["1969", '"1969"', "It was 1969.", '{"text": "1969", "audio": "/x.wav"}'])
def test_text_answers_of_every_shape_are_read(bench: Bench, answer: str) -> None:
    """The suite drops numbers and quoted words as text answers; they are answers."""
    task = f"{LLAMA}-s2t"
    evaluated = {"type": "eval", "id": 0, "data": {"match": 1, "pred": "1969", "ref": "1969"}}
    path = write(
        bench.tmp / "t.jsonl", [{"type": "inference", "id": 0, "data": {"content": answer}}, evaluated]
    )
    assert score(bench, path, "--task", task).code == 0
    assert result(bench.tmp / "a", task)["value"] == 100.0


def test_places_are_put_in_the_data_sets_terms(bench: Bench) -> None:
    """Its ids are places: with the data set at hand, a run is scored against the data set's own rows."""
    rows = [{"id": f"q{k}", "Questions": f"{k}?", "Answer": "Rome", "audio": f"{k}.wav"} for k in range(3)]
    bench.rows(rows, "data", repo="TwinkStart/llama-questions")
    for k in range(3):
        (bench.data / f"TwinkStart/llama-questions/{k}.wav").write_bytes(tone_wav(0.1))
    records = ultraeval(2, "it is Rome", "-", 0) + ultraeval(0, "it is Paris", "-", 0)
    path = write(bench.tmp / "t.jsonl", records)
    args = ("--task", LLAMA, "--data-dir", bench.data)
    done = score(bench, path, *args)
    assert done.code == 1, done.said
    found = result(bench.tmp / "a", LLAMA)
    assert (found["n"], found["n_scored"], found["value"]) == (3, 2, 50.0)
    assert "error" in responses(bench, LLAMA)["q1"]
    write(path, ultraeval(3, "it is Rome", "-", 0))
    refused(bench.here("score", path, *args, "--out", bench.tmp / "b"), f"{path}:1", "3 samples", "'3'")


def test_ratings_of_its_judge(bench: Bench) -> None:
    task = "ultraeval-audio/alpaca-eval"
    records = ultraeval(0, "words", "x", 0)
    records[-1] = {"type": "eval", "id": 0, "data": {"geval": 7, "pred": "words", "ref": "x"}}
    path = write(bench.tmp / "t.jsonl", records)
    assert score(bench, path, "--task", task).code == 0
    assert result(bench.tmp / "a", task)["value"] == 70.0


# --- shapes ----------------------------------------------------------------------------------------


def test_the_answers_column_may_be_named(bench: Bench) -> None:
    records = [{**r, "mine": r["model_output"]} for r in case("mmau-pro").records]
    for r in records:
        del r["model_output"]
    path = write(bench.tmp / "t.json", records)
    args = ("--task", "mmau-pro/full")
    refused(score(bench, path, *args), "--answer-column")
    refused(score(bench, path, *args, "--answer-column", "yours"), "no column 'yours'")
    assert score(bench, path, *args, "--answer-column", "mine").code in (0, 1)
    groups = entries(bench)["tasks"]["mmau-pro/full"]["metrics"]["instruction_following"]
    assert groups["value"] == 50.0


def test_parquet_is_read_too(bench: Bench) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    records = [{**r, "kwargs": json.dumps(r["kwargs"])} for r in case("mmau-pro").records]
    records[1]["model_output"] = None
    pq.write_table(pa.Table.from_pylist(records), bench.tmp / "t.parquet")
    assert (
        "1 prediction lacks its answer"
        in score(bench, bench.tmp / "t.parquet", "--task", "mmau-pro/full").err
    )
    found = entries(bench)["tasks"]["mmau-pro/full"]
    assert found["n"] == 2 and found["metrics"]["acc"]["touched"] == {"missing_prediction": 1}
    assert responses(bench, "mmau-pro/full")["p2"]["text"] == "nan"
    (bench.tmp / "t.parquet").write_bytes((bench.tmp / "t.parquet").read_bytes()[:200])
    refused(
        score(bench, bench.tmp / "t.parquet", "--format", "mmau-pro", "--task", "mmau-pro/full"), "parquet"
    )


def test_calls_that_were_not_predicted_are_wrong(bench: Bench) -> None:
    """No `predict` is an empty answer and one that is no text can't be decoded: counted; a file without any is none."""
    first = next(r for r in case("speechfceval").records if '{"x": 1}' in r["predict"])
    bare = {k: v for k, v in first.items() if k != "predict"}
    made = [first, bare, *({**first, "predict": p} for p in (None, 5, [{"a": "}"}], ""))]
    path = bench.tmp / "predict-m-SpeechFC-BFCL-Single.json"
    path.write_text(json.dumps(bare) + "\n")
    refused(score(bench, path), "holds no predictions", "predict")
    path.write_text("".join(json.dumps(r | {"dataset_key": f"k{i}"}) + "\n" for i, r in enumerate(made)))
    assert score(bench, path).code == 0
    found = json.loads((bench.tmp / "a/results.json").read_text())["tasks"]["speech-fc/bfcl-single"][
        "metrics"
    ]
    assert [(found[m]["n_scored"], round(found[m]["value"], 2)) for m in ("acc", "strict")] == [
        (6, 16.67)
    ] * 2
    codes = {
        x["sample_id"]: x["detail"]["error_type"].split(":")[-1]
        for x in lines(bench.tmp / "a/speech-fc/bfcl-single/scores.jsonl")
        if x["metric"] == "acc"
    }
    assert [codes[f"k{i}"] for i in range(6)] == [
        "correct",
        "wrong_count",
        *["decoder_failed"] * 3,
        "wrong_count",
    ]


def test_record_files_of_the_function_calling_scorer(bench: Bench) -> None:
    """Its output repeats its input: read again it gives the same verdicts."""
    added = {"valid_flag": True, "error_type": "", "error_reasons": [], "model_predict_result": []}
    records = [{**r, **added} for r in case("speechfceval").records]
    for r in records:
        r["function"], r["ground_truth"] = json.loads(r["function"]), json.loads(r["ground_truth"])
    path = bench.tmp / "record-m-SpeechFC-BFCL-Single.json"
    path.write_text(json.dumps(records, indent=2))
    assert score(bench, path).code == 0
    assert result(bench.tmp / "a", "speech-fc/bfcl-single")["value"] == 75.0


def test_all_that_kimis_toolkit_writes(bench: Bench) -> None:
    """One file for VoiceBench, MMAU and ASR: rows in each benchmark's own columns, a missing prediction as `null`."""
    base = {"audio_path": "/d/x.wav", "question": "", "audio_content": "Say yes.", "real_prompt": ""}
    instruction = {"instruction": ["punctuation:no_comma"], "instruction_kwargs": [{}]}
    given = [
        {**base, "subset": "ifeval", "answer": None, "prediction": "yes", **instruction},
        {**base, "subset": "advbench", "answer": None, "prediction": "null"},
        {**base, "subset": "sd-qa", "answer": "yes", "prediction": "Yes.", "judge_result": "yes"},
        {**base, "subset": "mmsu", "answer": "B", "prediction": "b", "judge_result": "It is.\nyes"},
        {
            **base,
            "subset": "test_clean",
            "answer": "HELLO",
            "prediction": "hello",
            "audio_path": "1-2-0003.flac",
        },
        {
            **base,
            **{"subset": "music", "answer": "rain", "prediction": "(A) rain", "audio_path": "/d/u-1.wav"},
            **{"question": "What?\n(A) rain (B) a dog", "judge_result": "yes"},
        },
    ]
    path = write(bench.tmp / "all.jsonl", [{"index": k, **g} for k, g in enumerate(given)])
    done = score(bench, path)
    assert done.code in (0, 1), done.said
    found = {t: e["metrics"][e["headline"]]["value"] for t, e in entries(bench)["tasks"].items()}
    assert found == {
        "asr/librispeech-clean": 0.0,
        "mmau/test-mini": 100.0,
        "voicebench/advbench": 0.0,
        "voicebench/ifeval": 100.0,
        "voicebench/mmsu": 100.0,
        "voicebench/sd-qa": 100.0,
    }
    assert set(responses(bench, "mmau/test-mini")) == {"u-1"}
    assert set(responses(bench, CLEAN)) == {"1-2-0003"}
    assert responses(bench, "voicebench/advbench").popitem()[1]["text"] == "null"


def test_kimis_options_are_told_from_its_question() -> None:
    from evalkit.formats.kimi import row_of

    record = {
        "subset": "music",
        "question": "Which (B) one?\n(A) a dog (C) or two (B) a cat (C) rain",
        "answer": "rain",
    }
    row = row_of("mmau/test-mini", record)
    assert (row["question"], row["choices"]) == ("Which (B) one?", ["a dog (C) or two", "a cat", "rain"])
    assert row_of("mmau/test-mini", {**record, "question": "no options"})["choices"] == []


def test_a_run_of_someone_else_is_left_alone(bench: Bench) -> None:
    one = case("kimi-audio-evalkit")
    path = one.write(bench.tmp)
    assert score(bench, path).code == 0
    before = {p: p.read_bytes() for p in (bench.tmp / "a/imported").iterdir()}
    assert len(before) == 5
    one.write(bench.tmp, [*one.lines, json.dumps({**one.records[0], "audio_path": "x/new.mp3"})])
    refused(score(bench, path), "holds answers of")
    assert {p: p.read_bytes() for p in (bench.tmp / "a/imported").iterdir()} == before
