"""Each format through the command line: read as its scorer reads it, and every flaw told by file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.registry import catalogue
from tests.cli_fixtures import Bench, Done, bench, lines, refused, result
from tests.formats_fixtures import CASES, Case, case_id

__all__ = ["bench"]

every_case = pytest.mark.parametrize("case", CASES, ids=case_id)


def score(bench: Bench, path: Path, *more: object) -> Done:
    return bench.here("score", path, "--out", bench.tmp / "a", "--no-report", *more)


def answers(bench: Bench, task: str) -> dict[str, dict[str, Any]]:
    return {x["sample_id"]: x for x in lines(bench.tmp / "a" / task / "responses.jsonl")}


def check(bench: Bench, case: Case) -> None:
    """The numbers are those of the public scorer, over every record."""
    results = json.loads((bench.tmp / "a/results.json").read_text())["tasks"]
    assert set(results) == set(case.expected)
    for task, values in case.expected.items():
        for metric, value in values.items():
            assert results[task]["metrics"][metric]["value"] == pytest.approx(value), (task, metric)
        if task in case.ids:
            assert sorted(answers(bench, task)) == list(case.ids[task])


@every_case
def test_a_file_is_known_by_its_content_and_scored(bench: Bench, case: Case) -> None:
    done = score(bench, case.write(bench.tmp), *case.more)
    assert done.code in (0, 1) and "Traceback" not in done.err, done.said
    check(bench, case)
    before = (bench.tmp / "a/results.json").read_bytes()
    score(bench, bench.tmp / case.file, *case.more, "--format", case.name)
    assert (bench.tmp / "a/results.json").read_bytes() == before


@every_case
@pytest.mark.parametrize("flaw", ["bom", "crlf", "blank lines", "no last newline"])
def test_harmless_oddities(bench: Bench, case: Case, flaw: str) -> None:
    path = case.write(bench.tmp, end="\r\n" if flaw == "crlf" else "\n\n" if flaw == "blank lines" else "\n")
    data = path.read_bytes()
    if flaw == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + data)
    if flaw == "no last newline":
        path.write_bytes(data.rstrip())
    done = score(bench, path, *case.more)
    assert done.code in (0, 1), done.said
    check(bench, case)


@every_case
def test_a_torn_line_is_named(bench: Bench, case: Case) -> None:
    torn = case.lines
    torn[1] = torn[1][: len(torn[1]) // 2]
    path = case.write(bench.tmp, torn)
    said = refused(score(bench, path, *case.more), f"{path}:")
    place = int(said.split(f"{path}:")[1].split(":")[0])
    assert place in ((3, 4) if case.array else (2,)), said
    assert not (bench.tmp / "a").exists()


@every_case
def test_a_line_that_is_no_object(bench: Bench, case: Case) -> None:
    path = case.write(bench.tmp, [case.lines[0], "[1, 2]", *case.lines[1:]])
    refused(score(bench, path, *case.more), f"{path}:{2 + case.array}: expected an object, found a list")


@every_case
def test_bytes_that_are_no_text(bench: Bench, case: Case) -> None:
    path = case.write(bench.tmp)
    path.write_bytes(path.read_bytes().rstrip(b"]\n") + (b"," if case.array else b"\n") + b'{"id": "\xff"}')
    refused(score(bench, path, *case.more), f"{path}:", "not UTF-8")


@every_case
def test_an_id_that_stands_twice_is_named(bench: Bench, case: Case) -> None:
    """Counted where the public scorer counts it, left out where it does so, an error where it joins by id; told."""
    more = [*case.lines, case.lines[-1]]
    path = case.write(bench.tmp, more)
    done = score(bench, path, *case.more)
    place = f"{path}:{len(more) + case.array}: "
    if case.name == "ultraeval-audio":
        refused(done, place, "already", str(len(more) - 1))
        return
    if case.name == "vstyle":
        assert done.code in (0, 1) and f"{place}a record whose id stood before; left out" in done.err
        assert result(bench.tmp / "a", "vstyle/en")["n"] == len(case.lines)
        return
    assert done.code in (0, 1), done.said
    total = sum(e["n"] for e in json.loads((bench.tmp / "a/results.json").read_text())["tasks"].values())
    assert total == len(more)
    assert sum(i.endswith("~2") for t in case.expected for i in answers(bench, t)) == 1
    if case.key is not None:  # equal rows without a key are nothing to tell of
        assert f"{place}the id" in done.err and "each is counted" in done.err


@every_case
@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n \r\n"], ids=["empty", "bom", "blank"])
def test_an_empty_file(bench: Bench, case: Case, data: bytes) -> None:
    path = case.write(bench.tmp)
    path.write_bytes(data)
    refused(score(bench, path, *case.more), "holds no predictions")
    refused(score(bench, path, *case.more, "--format", case.name), "holds no predictions")


@every_case
def test_records_without_an_answer_are_errors(bench: Bench, case: Case) -> None:
    """Neither dropped nor taken for an empty answer, unless the protocol's scorer scores something there; the
    file's other records keep their verdicts."""
    names = ("response", "predict", "model_output", "prediction", "response_audio_path", "gemini_score")
    records = [dict(r) for r in case.records]
    if case.name == "ultraeval-audio":
        records = [r for r in records if r["id"] != 1 or r["type"] == "prompt"]
    for name in names:
        records[0].pop(name, None)
    path = case.write(bench.tmp, [json.dumps(r, ensure_ascii=False) for r in records])
    done = score(bench, path, *case.more)
    tasks = json.loads((bench.tmp / "a/results.json").read_text())["tasks"]
    kimi = {t for t, e in tasks.items() if e["protocol"] == "kimi-evalkit" and e["benchmark"] != "voicebench"}
    ruled = {"mmsu/all", "mmau-pro/full"} | kimi  # VoiceBench's sheet gives null to skipped audio alone
    told = "1 prediction lacks its answer" in done.err
    assert told == (next(iter(tasks)) in ruled), done.said
    counted = told or case.name == "speechfceval"  # its sheet, section 2: no `predict` is an empty answer
    assert done.code in ((0, 1) if counted else (1,)) and "Traceback" not in done.err, done.said
    kinds = [
        x["error"]["kind"]
        for t in case.expected
        if (bench.tmp / "a" / t).exists()
        for x in lines(bench.tmp / "a" / t / "responses.jsonl")
        if "error" in x
    ]
    assert kinds == ["no-prediction"] * (not counted), done.said
    total = sum(e["n"] for e in json.loads((bench.tmp / "a/results.json").read_text())["tasks"].values())
    assert total == len(case.records) / (4 if case.name == "ultraeval-audio" else 1)


@every_case
def test_deep_and_odd_values_are_survived(bench: Bench, case: Case) -> None:
    """Surrogates, NULs, long and nested values in any field: scored or refused in one sentence, never a crash."""
    deep = "[" * 100_000
    path = case.write(bench.tmp, [*case.lines, '{"id": ' + deep])
    refused(score(bench, path, *case.more), f"{path}:")
    for value in ("\ud800", "a\x00b", "x" * 5000, -1e400, {"a": [None]}, ["x"], True):
        for name in case.records[0]:
            odd = [*case.lines[:-1], json.dumps({**case.records[-1], name: value})]
            done = score(bench, case.write(bench.tmp, odd), *case.more, "--out", bench.tmp / "b", "--json")
            assert done.code in (0, 1, 2) and "internal error" not in done.err, (name, value, done.said)
            import shutil

            shutil.rmtree(bench.tmp / "b", ignore_errors=True)


def test_every_benchmark_with_a_public_scorer_has_a_format() -> None:
    """Each task that a format claims is there, and the tasks of the report can all be read from somewhere."""
    from fnmatch import fnmatchcase

    from evalkit.registry import formats

    tasks = list(catalogue().tasks)
    for form in formats().values():
        for glob in form.tasks:
            assert any(fnmatchcase(t, glob) for t in tasks), (form.name, glob)


def test_formats_are_listed(bench: Bench) -> None:
    done = bench.here("list", "formats")
    assert done.code == 0
    for case in CASES:
        assert case.name in done.out
    rows = json.loads(bench.here("list", "formats", "--json").out)
    assert {r["format"] for r in rows} >= {c.name for c in CASES} | {"kaldi", "evalkit"}
    assert result is not None
