"""Bad input of every kind: one clear sentence, the right exit code, and nothing that was done is lost."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import KEY, Bench, bench, judged, lines, openai, refused, result
from tests.embedded_fixtures import needs_embedded
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

ADV = "voicebench/advbench"
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--task", "voicebench/advbnch"], ["'voicebench/advbnch'", "Did you mean voicebench/advbench"]),
        (["--suite", "voicebensh"], ["no suite 'voicebensh'", "Did you mean voicebench"]),
        (["--suite", "smoke", "--task", "voicebench/alpacaeval"], ["'smoke'", "voicebench/alpacaeval"]),
        (["--task", ADV, "--model", "opnai/m"], ["no runner 'opnai'", "Did you mean openai"]),
        (["--task", ADV, "-M", "tempratur=1"], ["tempratur", "temperature"]),
        (["--task", ADV, "-M", "temperature"], ["NAME=VALUE"]),
        (["--task", ADV, "-M", "temperature=hot"], ["temperature", "'hot'"]),
        (["--task", ADV, "-O", "sed=1"], ["no scoring option 'sed'", "seed"]),
        (["--task", ADV, "-O", "mcq_fill=maybe"], ["mcq_fill", "seeded"]),
        (["--task", ADV, "--protocol", "strickt"], ["no protocol 'strickt'", "kimi-evalkit, official"]),
        (["--task", ADV, "--judge", "replay/x"], ["'replay' can't be a judge", "openai"]),
        (["--task", ADV, "--asr", "wisper/large"], ["no ASR engine 'wisper'", "faster-whisper"]),
        (
            ["--task", ADV, "--judge", "gpt-4o"],
            ["no runner 'gpt-4o'", "Write RUNNER/MODEL, e.g. openai/gpt-4o-mini"],
        ),
        (["--task", ADV, "--data-dir", "not/there"], ["not/there", "not a folder"]),
        (["--task", "voicebench/bbh"], ["found no bbh/test of hlt-lab/voicebench", ".parquet"]),
        (["--limit", "0", "--task", ADV], ["0"]),
        ([], ["--task", "--suite"]),
        (["--task", ADV, "--colour"], ["--colour"]),
    ],
)
def test_unknown_names_and_values(bench: Bench, args: list[str], words: list[str]) -> None:
    bench.questions(1)
    given = openai(NOWHERE, *args, "--out", bench.tmp / "a")
    refused(bench.here(*given, *([] if "--data-dir" in args else ["--data-dir", bench.data])), *words)
    assert not (bench.tmp / "a").exists()


@pytest.mark.parametrize("args", [["run"], ["runn"], [], ["run", "--model", "openai/m", "--format", "x"]])
def test_usage_mistakes(bench: Bench, args: list[str]) -> None:
    done = bench.here(*args)
    assert done.code == 2 and "error:" in done.err and done.out == ""


def test_missing_and_broken_audio_is_an_error_on_record(bench: Bench) -> None:
    """The other samples go on; the broken ones are named, bounded, and mended when the file is."""
    bench.questions(5)
    audio = bench.data / "hlt-lab/voicebench/advbench/audio"
    whole = (audio / "q01.wav").read_bytes()
    (audio / "q00.wav").unlink()
    (audio / "q01.wav").write_bytes(whole[:900])
    (audio / "q02.wav").write_bytes(b"")
    (audio / "q03.wav").write_bytes(b"<html>not found</html>")
    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a")
        done = bench.here(*args)
        assert done.code == 1, done.said
        assert mock.requests() == 1
        assert "4 samples errored" in done.err
        for words in ("q00.wav: No such file", "truncated wav", "the audio is empty", "can't be read"):
            assert words in done.err
        assert result(bench.tmp / "a", ADV)["n_errors"] == 4
        (audio / "q01.wav").write_bytes(whole)
        bench.here(*args)
        assert mock.requests() == 2
    assert result(bench.tmp / "a", ADV)["n_errors"] == 3


def test_a_row_without_its_column_stops_with_the_row(bench: Bench) -> None:
    """What was answered before it stays; mended, the run goes on."""
    digests = bench.questions(20)
    path = bench.data / "hlt-lab/voicebench/advbench/test.jsonl"
    rows = [json.loads(x) for x in path.read_text().splitlines()]
    bench.rows([*rows[:18], {"id": "q18", "audio": rows[18]["audio"]}, rows[19]])
    with mock_server() as mock:
        args = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a")
        refused(
            bench.here(*args, "--no-cache"), "row 18 of test.jsonl", "no column 'prompt'", "found: id, audio"
        )
        kept = len(lines(bench.tmp / "a" / ADV / "responses.jsonl"))
        sent = mock.requests()
        bench.rows(rows)
        assert bench.here(*args, "--no-cache").code == 0
        assert mock.requests() == sent + len(digests) - kept


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "audio/../../../../x.wav", ""])
def test_paths_that_leave_the_data_set(bench: Bench, path: str) -> None:
    bench.questions(1)
    bench.rows([{"id": "x", "prompt": "?", "audio": path}])
    done = bench.here(*openai(NOWHERE, "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a"))
    refused(done, "row 0 of test.jsonl", "leaves its folder" if path else "empty")


def test_broken_data_files(bench: Bench) -> None:
    bench.questions(1)
    path = bench.data / "hlt-lab/voicebench/advbench/test.jsonl"
    args = openai(NOWHERE, "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a")
    path.write_text('{"id": "x"\n')
    refused(bench.here(*args), "test.jsonl:1", "not JSON")
    path.write_text("[1]\n")
    refused(bench.here(*args), "test.jsonl:1", "expected an object")
    path.write_bytes(b'{"id": "\xff"}\n')
    refused(bench.here(*args), "test.jsonl")
    path.write_text("")
    refused(bench.here(*args), "(test.jsonl) holds no samples")


def test_wrong_endpoints(bench: Bench) -> None:
    bench.questions(2)
    args = ["--task", ADV, "--data-dir", bench.data, "--retries", 1, "--out", bench.tmp / "a"]
    refused(bench.here(*openai(NOWHERE, *args)), "can't reach", "connection refused", "base_url")
    with mock_server() as mock:
        wrong = mock.url.replace("/v1", "/v2")
        refused(bench.here(*openai(wrong, *args)), "HTTP 404", "base_url")
        # A mistyped address owns no run directory: with the right one the same --out works.
        assert bench.here(*openai(mock.url, *args)).code == 0
        refused(bench.here(*openai(wrong, *args)), "holds answers of openai/m@", "--out")


def everything_written(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_a_rejected_key_is_never_shown(bench: Bench) -> None:
    """401 stops the run; the key is in no output and in no file, even when the server echoes it."""
    bench.questions(2)
    with mock_server(api_key="another") as mock:
        done = bench.here(
            *openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a")
        )
    refused(done, "rejected the API key in OPENAI_API_KEY", "HTTP 401")
    assert KEY not in done.out + done.err
    assert KEY.encode() not in everything_written(bench.tmp)


def test_a_working_key_is_written_nowhere(bench: Bench) -> None:
    """Nor the key that works, nor secrets in options, nor a login in an address."""
    bench.questions(1, "alpacaeval_full")
    with mock_server(texts=["3"]) as mock:
        body = json.dumps({"api_key": KEY, "deep": [{"token": KEY}], "top_k": 1})
        url = mock.url.replace("http://", f"http://user:{KEY}@")
        args = openai(url, "--task", "voicebench/alpacaeval_full", "--data-dir", bench.data, *judged(url))
        done = bench.here(
            *args, "-M", f"extra_body={body}", "-J", f"extra_body={body}", "--out", bench.tmp / "a"
        )
        assert mock.stats()["last"]["api_key"] == KEY
    assert done.code == 0, done.said
    assert KEY not in done.out + done.err
    assert KEY.encode() not in everything_written(bench.tmp)
    assert "top_k" in (bench.tmp / "a/run.json").read_text()


# --- predictions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"id": "q00", "text": "a"}\n{"id": "q00", "text": "b"}\n',
            ["p.jsonl:2", "'q00'", "line 1 already"],
        ),
        ('{"id": "q00", "text": "a"}\n{"id": "zz", "text": "b"}\n', ["no sample 'zz' (line 2)", ADV]),
        ('{"id": "q00", "text": "a"}\n{"id": "q01", "te', ["p.jsonl:2", "not JSON, or cut off"]),
        ('{"id": "q00", "text": "a"}\nhello\n', ["p.jsonl:2", "not JSON"]),
        ('{"text": "a"}\n', ["p.jsonl:1", "no field 'id'"]),
        ('{"id": "q00", "text": 7}\n', ["p.jsonl:1", "'text'", "string"]),
        ("[]\n", ["p.jsonl:1"]),
        ("", ["p.jsonl", "no predictions"]),
        ("\n\n", ["p.jsonl", "no predictions"]),
    ],
)
@pytest.mark.parametrize("how", ["score", "score-with-judge", "replay"])
def test_broken_predictions(bench: Bench, text: str, words: list[str], how: str) -> None:
    """Whichever way a predictions file comes in, it is checked whole before anything is written."""
    task = "voicebench/alpacaeval_full" if how == "score-with-judge" else ADV
    bench.questions(2, task.split("/")[1])
    (bench.tmp / "p.jsonl").write_text(text)
    common = ["--task", task, "--data-dir", bench.data, "--out", bench.tmp / "a", "--progress", "none"]
    if how == "replay":
        if "no sample" in words[0]:
            pytest.skip("a run of many tasks may use part of a file")
        done = bench.here("run", "--model", f"replay/{bench.tmp / 'p.jsonl'}", *common)
    else:
        judge = judged(NOWHERE) if how == "score-with-judge" else []
        done = bench.here("score", bench.tmp / "p.jsonl", *common, *judge)
    refused(done, *(w.replace(ADV, task) for w in words))
    assert not (bench.tmp / "a" / task).exists()


def test_predictions_that_are_not_there(bench: Bench) -> None:
    refused(bench.here("score", bench.tmp / "no.jsonl", "--task", ADV), "no predictions file", "no.jsonl")
    refused(bench.here("score", bench.tmp, "--task", ADV), "is a folder")
    refused(bench.here("run", "--model", "replay/no.jsonl", "--task", ADV), "no predictions file")


def test_score_needs_one_task(bench: Bench) -> None:
    (bench.tmp / "p.jsonl").write_text('{"id": "1", "text": "a"}\n')
    refused(bench.here("score", bench.tmp / "p.jsonl", "--task", "voicebench/*"), "one task")
    refused(bench.here("score", bench.tmp / "p.jsonl", "--task", "voicebench/advbnch"), "Did you mean")


def test_odd_rows_are_named(bench: Bench) -> None:
    """A row of the wrong types is the user's to mend, in `run` and in `score` alike."""
    bench.questions(1, "ifeval")
    bench.rows(
        [
            {
                "id": "x",
                "prompt": "?",
                "audio": {"bytes": "b", "path": 5},
                "instruction_id_list": [],
                "kwargs": [],
            }
        ],
        "ifeval",
    )
    (bench.tmp / "p.jsonl").write_text('{"id": "x", "text": "a"}\n')
    common = ["--task", "voicebench/ifeval", "--data-dir", bench.data, "--out", bench.tmp / "a"]
    refused(bench.here("score", bench.tmp / "p.jsonl", *common), "row 0 of test.jsonl")
    refused(bench.here(*openai(NOWHERE, *common)), "row 0 of test.jsonl")


def test_a_run_directory_of_someone_else(bench: Bench) -> None:
    bench.questions(1)
    (bench.tmp / "a").mkdir()
    (bench.tmp / "a/run.json").write_text("{")
    done = bench.here(*openai(NOWHERE, "--task", ADV, "--data-dir", bench.data, "--out", bench.tmp / "a"))
    refused(done, "run.json can't be read")
    refused(bench.here("report", bench.tmp / "nothing"), "not a run directory")
    refused(bench.here("report", bench.tmp / "a"), "has no results yet", "again")


def test_internal_errors_are_one_sentence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("evalkit.cli.run.prepare", broken)
    done = bench.here(*openai(NOWHERE, "--task", ADV))
    assert done.code == 3
    assert re.fullmatch(r"internal error: ZeroDivisionError: oh\. .*EVALKIT_DEBUG=1.*\n", done.err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_standard_output_on_a_full_disk(bench: Bench) -> None:
    """A write knows no name of a file: still a sentence, and no bug to report."""
    with Path("/dev/full").open("w") as full:
        done = bench.process("report", "--table", "6", "--stdout", stdout=full)
    assert done.code == 3
    assert done.err.startswith("error: No space left on device: what was being written is cut off."), (
        done.said
    )


def test_a_file_that_cannot_be_written_is_no_bug_to_report(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a/report.html")

    monkeypatch.setattr("evalkit.cli.run.prepare", full)
    done = bench.here(*openai(NOWHERE, "--task", ADV))
    assert done.code == 3
    assert done.err.startswith("error: a/report.html: No space left on device. Make room"), done.said


def test_a_mirror_goes_to_the_tasks_that_know_it(bench: Bench) -> None:
    """--data-repo of one task of a suite leaves the others alone; a copy has to be of one data set."""
    words = ["run", "--model", "openai/m", "-M", "base_url=http://127.0.0.1:9/v1", "--dry-run"]
    done = bench.here(*words, "--suite", "table3", "--data-repo", "gamma-lab-umd/MMAU-test-mini")
    assert done.code == 0, done.said
    done = bench.here(*words, "--suite", "table3", "--data-repo", "me/copy")
    assert done.code == 2 and "no mirror of" in done.err and "--task" in done.err
    assert bench.here(*words, "--task", "mmsu/all", "--data-repo", "me/copy").code == 0


@needs_embedded
def test_a_deaf_model_is_no_lalm_judge(bench: Bench) -> None:
    done = bench.here(
        "run", "--model", "openai/m", "--suite", "smoke", "--lalm-judge", "embedded", "--dry-run"
    )
    assert done.code == 2 and "can't hear" in done.err
