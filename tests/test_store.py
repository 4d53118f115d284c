"""The run directory: lines whole or absent, the answer that counts, one writer."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.audio import AudioError, decode, encode_wav
from evalkit.errors import UsageError
from evalkit.linefiles import (
    Appender,
    StoreError,
    encode_line,
    read_lines,
    replacing,
    write_atomically,
    write_bytes,
)
from evalkit.records import Audio, Failure, Response, Score, Transcript
from evalkit.store import RESPONSES, Run, RunWriter, TaskFiles, score_key

TASK = "bench/sub"
ERROR = Failure("timeout", "No answer within 60 s.")


def sound(seconds: float = 0.1, level: float = 0.5) -> bytes:
    return encode_wav(np.full(int(seconds * 16000), level, np.float32), 16000)


def attempt(writer: RunWriter, text: str | None, *, input: str = "in", sample_id: str = "a") -> Response:
    """One attempt on record; `text` None is an error."""
    response = Response(sample_id, text or "", error=None if text is not None else ERROR)
    writer.append_response(TASK, response, input=input, asked={})
    return response


# --- lines ---------------------------------------------------------------------------------------


def objects(path: Path) -> list[dict[str, Any]]:
    return [value for _, value in read_lines(path)]


def test_a_torn_last_line_is_ignored_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    whole, torn = encode_line({"n": 1}), encode_line({"n": "größer"})
    for cut in range(1, len(torn) - 1):
        path.write_bytes(whole + torn[:cut])
        assert objects(path) == [{"n": 1}]
        appender = Appender(path)
        appender.append(encode_line({"n": 3}))
        appender.close()
        assert objects(path) == [{"n": 1}, {"n": 3}], f"cut after {cut} bytes"


def test_lines_that_are_no_objects_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"n":1}\n\xff\xfe\n\n[1]\n7\n{"n":\n{"n":2}\n')
    assert objects(path) == [{"n": 1}, {"n": 2}]
    assert objects(tmp_path / "none.jsonl") == []


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(st.characters(), max_size=9), max_size=3), max_size=5
    )
)
def test_offsets_lead_to_their_lines(values: list[dict[str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(b"".join(map(encode_line, values)))
        found = list(read_lines(path))
        assert [v for _, v in found] == values
        data = path.read_bytes()
        assert [json.loads(data[o:].split(b"\n")[0]) for o, _ in found] == values


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    appender = Appender(path)
    appender.append(encode_line({"n": 1}))
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StoreError, match=r"no space left .* run the same command again"):
        appender.append(encode_line({"n": "x" * 100}))
    monkeypatch.undo()
    assert path.read_bytes() == encode_line({"n": 1})
    appender.append(encode_line({"n": 2}))
    assert objects(path) == [{"n": 1}, {"n": 2}]
    appender.close()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    appender = Appender(tmp_path / "x.jsonl")
    appender.append(encode_line({"n": "some words"}))
    assert objects(tmp_path / "x.jsonl") == [{"n": "some words"}]
    appender.close()


@pytest.mark.parametrize("write", [lambda p: write_atomically(p, "new"), lambda p: write_bytes(p, b"new")])
def test_a_failed_replacement_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreError):
        write(path)
    monkeypatch.undo()
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["results.json"]  # noqa: PTH208
    write(path)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["results.json"]  # noqa: PTH208


# --- the response that counts --------------------------------------------------------------------


def test_a_later_answer_counts(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    attempt(writer, None)
    attempt(writer, "one")
    last = attempt(writer, "two")
    writer.close()
    files = Run(tmp_path).task(TASK)
    assert files.marks()["a"].digest == last.digest()
    assert files.response_at(files.marks()["a"]) == last


def test_a_later_error_does_not_displace_an_answer(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    answer = attempt(writer, "one")
    attempt(writer, None)
    writer.close()
    mark = Run(tmp_path).task(TASK).marks()["a"]
    assert mark.ok and mark.digest == answer.digest()


def test_an_error_on_another_input_does(tmp_path: Path) -> None:
    """The data set changed: an answer to the old question is no answer to the new one."""
    writer = RunWriter(tmp_path)
    attempt(writer, "one", input="old")
    attempt(writer, None, input="new")
    writer.close()
    mark = Run(tmp_path).task(TASK).marks()["a"]
    assert (mark.ok, mark.input) == (False, "new")


@given(st.lists(st.tuples(st.sampled_from("pq"), st.booleans()), min_size=1, max_size=8))
def test_marks_of_any_history(history: list[tuple[str, bool]]) -> None:
    import tempfile

    lines: list[dict[str, Any]] = [
        {"sample_id": "a", "input": i, "response": str(n)} | ({} if ok else {"error": {}})
        for n, (i, ok) in enumerate(history)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TASK / RESPONSES
        path.parent.mkdir(parents=True)
        path.write_bytes(b"".join(map(encode_line, lines)))
        mark = TaskFiles(Path(folder), TASK).marks()["a"]
    # Only attempts since the input last changed matter: the last answer of them, or the last error.
    start = max((n for n in range(1, len(history)) if history[n][0] != history[n - 1][0]), default=0)
    answers = [n for n in range(start, len(history)) if history[n][1]]
    assert int(mark.digest) == (answers[-1] if answers else len(history) - 1)
    assert mark.ok == bool(answers)


def test_final_lines_are_one_per_sample_in_order_of_ids(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    for sample_id, text in (("b", "1"), ("a", "2"), ("b", "3"), ("a", None), ("c", None)):
        attempt(writer, text, sample_id=sample_id)
    writer.close()
    files = Run(tmp_path).task(TASK)
    assert [(x["sample_id"], x["text"]) for x in files.final_lines()] == [("a", "2"), ("b", "3"), ("c", "")]
    assert len(list(files.response_lines())) == 5
    assert list(Run(tmp_path).task("bench/other").final_lines()) == []


def test_a_killed_write_is_as_if_it_never_happened(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    attempt(writer, "one")
    whole = (tmp_path / TASK / RESPONSES).read_bytes()
    attempt(writer, "two")
    writer.close()
    path = tmp_path / TASK / RESPONSES
    path.write_bytes(path.read_bytes()[:-1])
    files = Run(tmp_path).task(TASK)
    assert [x["text"] for x in files.final_lines()] == ["one"]
    path.write_bytes(path.read_bytes()[: len(whole) + 5])
    writer = RunWriter(tmp_path)
    attempt(writer, "three")
    writer.close()
    assert [x["text"] for x in files.final_lines()] == ["three"]


def test_records_come_back_as_written(tmp_path: Path) -> None:
    scores = [Score("a", "acc", 1.0, judge="j", response="r"), Score("a", "wer", None, reason="code: why")]
    heard = Transcript("0" * 64, "whisper", "words \ud800", "en")
    writer = RunWriter(tmp_path)
    writer.append_scores(TASK, scores)
    writer.append_scores(TASK, [])
    writer.append_transcript(TASK, heard)
    writer.close()
    files = Run(tmp_path).task(TASK)
    assert list(files.scores()) == scores and list(files.transcripts()) == [heard]


def test_score_keys_tell_every_part_apart() -> None:
    base = ("id", "metric", "judge", "response")
    others = [(*base[:i], "x", *base[i + 1 :]) for i in range(4)]
    shifted = [("idm", "etric", "judge", "response"), ("id", "metric", "judg", "eresponse")]
    assert len({score_key(*k) for k in (base, *others, *shifted)}) == 7
    assert score_key(*base) == score_key(*base) < 2**64


@pytest.mark.parametrize(
    "name", ["../x", "a/../../b", "/etc/x", "a//b", "", "a/", "a b/c", "a\n/b", "a/..", "é\x00"]
)
def test_a_task_name_can_not_lead_out_of_the_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a task name"):
        Run(tmp_path).task(name)


# --- speech, manifest, lock ----------------------------------------------------------------------


def test_speech_is_stored_once_under_its_digest(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    one, two = (writer.keep_speech(Audio(data=sound())) for _ in range(2))
    other = writer.keep_speech(Audio(data=sound(level=0.25)))
    assert one == two != other
    assert one.path == f"audio/{one.sha256}.flac" and one.seconds == 0.1
    assert len(list((tmp_path / "audio").iterdir())) == 2
    stored = Audio(path=str(tmp_path / str(one.path)))
    assert stored.digest() == one.sha256
    assert decode(stored)[0] == pytest.approx(0.5, abs=1e-4)
    writer.append_response(TASK, Response("a", audio=one), input="in", asked={})
    writer.close()
    files = Run(tmp_path).task(TASK)
    back = files.response_at(files.marks()["a"])
    assert back.audio is not None and back.audio.path == str(tmp_path / str(one.path))


def test_speech_that_is_no_audio_is_refused(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    with pytest.raises(AudioError):
        writer.keep_speech(Audio(data=b"no sound"))
    writer.close()
    assert not (tmp_path / "audio").exists()


def test_one_process_writes_a_run(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    writer = RunWriter(tmp_path)
    with pytest.raises(UsageError, match="another process is writing"):
        RunWriter(tmp_path)
    writer.close()
    RunWriter(tmp_path).close()


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = {"tasks": {"b": 1, "a": {"x": 0.1, "text": "größer \ud800"}}}
    run = Run(tmp_path)
    run.write_results(results)
    first = (tmp_path / "results.json").read_bytes()
    run.write_results(json.loads(json.dumps(results)))
    assert (tmp_path / "results.json").read_bytes() == first
    assert list(run.results()["tasks"]) == ["b", "a"]


def test_no_run_directory(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert not run.exists
    for read in (run.manifest, run.results):
        with pytest.raises(UsageError, match="is not a run directory"):
            read()
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="has no results yet"):
        run.results()
    for content in (b"[]", b"{", b"\xff"):
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(UsageError, match=r"run\.json"):
            run.manifest()


def test_results_of_a_newer_layout_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"v": 1, "tasks": {}}')
    assert Run(tmp_path).results() == {"v": 1, "tasks": {}}
    (tmp_path / "results.json").write_text('{"v": 2, "tasks": {}}')
    with pytest.raises(UsageError, match=r"results\.json has layout 2, and this evalkit reads up to 1"):
        Run(tmp_path).results()


def test_a_text_takes_a_files_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with replacing(path) as file:
        file.write("one")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines(["half", None])  # type: ignore[list-item]
    assert path.read_text() == "one" and [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(NotADirectoryError) as told, replacing(path / "x.html"):
        pass
    assert told.value.filename == str(path / "x.html")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_device_is_written_into_and_stays_one() -> None:
    with pytest.raises(OSError, match="No space left") as told, replacing(Path("/dev/full")) as file:
        file.write("x" * 100_000)
    assert told.value.filename == "/dev/full" and Path("/dev/full").is_char_device()
