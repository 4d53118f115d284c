"""The data of every task is looked into before anything is asked, lest a night of answers end at a wrong column."""

from __future__ import annotations

import pytest

from tests.cli_fixtures import Bench, bench, openai, refused
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

ADV, COMMON = "voicebench/advbench", "voicebench/commoneval"


def test_a_task_without_data_or_with_another_column_stops_before_the_first_request(bench: Bench) -> None:
    """The tasks before it aren't sent, and one sentence names all that lack theirs."""
    bench.questions(2)
    bench.rows([{"id": "a", "words": "no prompt here"}], "commoneval")
    tasks = [x for t in (ADV, COMMON, "voicebench/bbh", "voicebench/ifeval") for x in ("--task", t)]
    with mock_server() as mock:
        given = openai(mock.url, *tasks, "--data-dir", bench.data, "--out", bench.tmp / "a")
        done = bench.here(*given)
        refused(done, "commoneval: row 0", "voicebench/ifeval, voicebench/bbh can't be used either", "--task")
        assert mock.requests() == 0 and not (bench.tmp / "a").exists()


def test_a_row_far_down_that_is_no_sample_stops_the_run_and_takes_nothing_along(bench: Bench) -> None:
    bench.questions(40)
    file = bench.data / "hlt-lab/voicebench/advbench/test.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"id": "odd"}\n')
    with mock_server() as mock:
        given = openai(mock.url, "--task", ADV, "--data-dir", bench.data, "--concurrency", "2")
        done = bench.here(*given, "--out", bench.tmp / "a", "--no-cache")
        refused(done, "row 40", f"What was answered is kept in {bench.tmp / 'a'}")
        file.write_text(whole)
        assert bench.here(*given, "--out", bench.tmp / "a", "--no-cache").code == 0
        assert 40 <= mock.requests() <= 42  # those on their way when it stopped are asked again


@pytest.mark.parametrize("command", ["run", "dry", "show"])
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_empty_data_is_told(bench: Bench, command: str, text: str) -> None:
    file = bench.tmp / "rows.jsonl"
    file.write_text(text)
    given = openai("http://127.0.0.1:9/v1", "--task", ADV, "--data-dir", file, "--out", bench.tmp / "a")
    calls = {"run": given, "dry": [*given, "--dry-run"], "show": ["show", ADV, "--data-dir", file]}
    refused(bench.here(*calls[command]), f"{ADV}: the data in", "(rows.jsonl) holds no samples")


def test_a_dry_run_looks_at_a_local_copy(bench: Bench) -> None:
    bench.questions(1)
    given = openai("http://127.0.0.1:9/v1", "--data-dir", bench.data, "--dry-run")
    assert bench.here(*given, "--task", ADV).code == 0
    refused(bench.here(*given, "--task", "voicebench/bbh"), "found no bbh/test")


def test_data_that_may_not_be_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in: whoever runs the tests may be allowed to read everything."""

    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "set/rows.json")

    bench.questions(1)
    monkeypatch.setattr("evalkit.engine.opening.open_source", locked)
    for command in (openai("http://127.0.0.1:9/v1", "--task", ADV), ["show", ADV]):
        refused(
            bench.here(*command, "--data-dir", bench.data), f"{ADV}: ", "set/rows.json: Permission denied"
        )
