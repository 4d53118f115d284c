"""What a page carries: blocks, waves, times, coverage, and a bundle's files."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixtures import Answer, FixedJudge, accuracy, make_run, plan_of, task_of, write_task

from evalkit.cli import main
from evalkit.errors import UsageError
from evalkit.plan import ModelCard
from evalkit.records import Verdict
from evalkit.results import build_results
from evalkit.store import RunWriter
from reports import write_report
from reports.anatomy import anatomy
from reports.coverage import Coverage, of_overall
from reports.errors import error_table
from reports.page import block
from reports.pagedata import CHUNK, CHUNKED, sample_json, task_blocks, task_json
from reports.runs import load_runs
from reports.safe import plain, script_json
from reports.samples import read_samples, worst_first
from reports.sound import LEVELS, peaks_of
from reports.timing import Stopwatch, seconds_text

ODD = st.text(st.characters(codec=None), max_size=20)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD, inner, max_size=4),
    max_leaves=12,
)


def opened(packed: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(packed)))


@given(JSONS)
def test_the_quick_way_to_json_is_the_careful_one(value: Any) -> None:
    text = script_json(value)
    assert json.loads(text) == plain(value) and not re.search("[<>&\u2028\u2029\ud800-\udfff\x00-\x1f]", text)


def test_a_long_block_is_compressed_and_the_same_each_time() -> None:
    value = {"a": ["</script>" * 1000] * 30}
    first, again = block("d-x", value), block("d-x", value)
    assert first == again and first.packed and len(first.text) < 5000
    assert opened(first.text) == value
    assert "".join(first.pieces()).count("<") == 2
    assert not block("d-y", [1]).packed


def long_run(root: Path, n: int) -> Path:
    judges = [FixedJudge("m", "acc")]
    task = task_of("qa/long", "Long", [accuracy()], judges)
    answers = [
        Answer(
            f"q{k}",
            text=f"said {k}",
            question=f"asked {k}",
            verdicts=(
                Verdict("acc", float(k % 3 > 0), detail={"why": k}, touched="odd" if k % 50 == 0 else ""),
            ),
        )
        for k in range(n)
    ]
    writer = RunWriter(root)
    write_task(writer, task, judges, answers)
    writer.write_manifest({"v": 1})
    writer.write_results(build_results(writer, [plan_of(task, judges, n)], ModelCard("m", "m@1")))
    writer.close()
    return root


def test_a_long_list_and_its_parts_are_the_whole(tmp_path: Path) -> None:
    n = CHUNKED + 10
    [run] = load_runs([long_run(tmp_path / "run", n)])
    entry = run.tasks["qa/long"]
    views = worst_first(list(read_samples(run, "qa/long")), entry)
    bins, places = anatomy(views, entry)
    _, picks = error_table(views, entry)
    whole = task_json(run, "qa/long", views, places, bins, picks)
    head, *parts = task_blocks("d-x", run, "qa/long", views, places, bins, picks)
    assert [p.key for p in parts] == [f"d-x-{i}" for i in range(-(-n // CHUNK))]
    listed = opened(head.text) if head.packed else json.loads(head.text)
    later = [s for part in parts for s in opened(part.text)]
    assert listed.pop("chunk") == CHUNK and len(later) == n
    listed["samples"] = [dict(sorted((a | b).items())) for a, b in zip(listed["samples"], later, strict=True)]
    whole["samples"] = [dict(sorted(s.items())) for s in whole["samples"]]  # type: ignore[union-attr, arg-type]
    assert listed == json.loads(script_json(whole))
    assert listed["samples"][0]["v"] == 0 and any(s.get("k") for s in listed["samples"])


def test_a_page_is_the_same_each_time(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    pages = [write_report([run], tmp_path / f"{k}", ["html"])[0].read_bytes() for k in range(2)]
    assert pages[0] == pages[1]


def test_of_thousands_of_speech_ids_the_page_tells_the_start_and_the_count(tmp_path: Path) -> None:
    [run] = load_runs([long_run(tmp_path / "run", 1)])
    [view] = read_samples(run, "qa/long")
    ids = [6000 + k % 561 for k in range(10_240)]
    told = {"finish_reason": "length", "speech": "ids", "speech_ids": ids}
    sample = sample_json(replace(view, line={**view.line, "meta": told}), 0, run, {})
    assert sample["meta"] == {**told, "speech_ids": f"10,240 in all: {', '.join(map(str, ids[:12]))}, \u2026"}
    assert len(script_json(sample)) < 1_000


def test_waves_are_relative_to_the_loudest() -> None:
    ramp = np.linspace(0, 0.5, 16000, dtype=np.float32)
    wave = peaks_of(ramp)
    assert len(wave) == 160 and wave[-1] == LEVELS[63] and wave[0] == LEVELS[0]
    assert [LEVELS.index(c) for c in wave] == sorted(LEVELS.index(c) for c in wave)
    assert peaks_of(np.stack([ramp, -ramp], axis=1))[-1] == LEVELS[63]
    assert peaks_of(np.stack([-ramp, 0 * ramp], axis=1)) == wave, "a channel that is negative is as loud"
    assert peaks_of(np.zeros(50, np.float32)) == "0" * 50
    assert peaks_of(np.zeros(0, np.float32)) == ""
    assert set(peaks_of(np.array([np.nan, 0.2], np.float32))) <= set(LEVELS)
    quiet = peaks_of(np.full(1000, 1e-4, np.float32))
    assert set(quiet) == {"0"}, "noise of nothing is no wave"


def line(seconds: Any, **more: Any) -> dict[str, Any]:
    return {"sample_id": "x", "timing": {"generate": seconds}, **more}


def test_times_are_of_answers_and_told_in_percentiles() -> None:
    watch = Stopwatch()
    for k in range(1, 101):
        watch.add(line(k / 10, usage={"prompt_tokens": 10, "completion_tokens": 2}))
    watch.add(line(999.0, error={"kind": "http-500"}))
    for odd in (True, "1", float("nan"), -1, None):
        watch.add(line(odd))
    watch.add(
        {"timing": None, "usage": {"input_tokens": 5}, "audio": {"seconds": 4.0}, "meta": {"cached": True}}
    )
    found = watch.done()
    whole = found.whole
    assert whole is not None and (whole.n, whole.longest) == (100, 10.0)
    assert whole.p50 == pytest.approx(5.05) and whole.p95 == pytest.approx(9.505)
    assert (found.n, found.cached, found.sent, found.received, found.counted) == (106, 1, 1005, 200, 101)
    assert found.spoken == 4.0 and Stopwatch().done().sent is None
    given = Stopwatch(given=True)
    given.add(line(0.001))
    assert given.done().stages == () and given.done().n == 1
    assert found.told and not given.done().told, "a table of nothing isn't shown"
    assert [seconds_text(s) for s in (0.0001, 0.031, 0.0996, 12.34, 1234.5)] == [
        "< 1 ms", "31 ms", "0.10 s", "12.3 s", "1,234 s"]  # fmt: skip


def test_coverage_is_told_whole(tmp_path: Path) -> None:
    lost = Coverage(1000, 996, 1, 2, 1)
    assert (lost.short, lost.lost) == ("996/1,000", "1 unscored, 2 errored, 1 not run")
    assert lost.told == "996 scored, 1 unscored, 2 errored, 1 not run" and not lost.complete
    assert Coverage(5, 5).told == "5 scored, 0 unscored, 0 errored"
    [run] = load_runs([make_run(tmp_path / "run")])
    found = of_overall(run, run.overalls["voicebench"])
    assert found == Coverage(80, 77, 1, 2)


def test_a_bundle_keeps_out_of_run_directories_and_sweeps_only_its_own(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(UsageError, match="is a run directory"):
        write_report([run], run, ["html"], bundle=True)
    kept = sorted((run / "audio").iterdir())
    out = tmp_path / "out"
    stranger = out / "audio" / f"{'0' * 64}.wav"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"RIFF")
    write_report([run], out, ["html"], bundle=True)
    first = {p.name for p in stranger.parent.iterdir()}
    assert len(first) > 10 and stranger.exists(), "what was there before is not ours to remove"
    write_report([run], out, ["html"], bundle=True, max_audio_samples=1)
    assert len(list(stranger.parent.iterdir())) < 8 and sorted((run / "audio").iterdir()) == kept


def test_the_command_makes_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    assert main(["report", str(run), "--bundle", "--format", "html", "--title", "Ours & <theirs>"]) == 0
    page = run / "report/index.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    assert "<title>Ours &amp; &lt;theirs&gt; " in text and "data:audio" not in text
    links = set(re.findall(r'"u":"(audio/[0-9a-f]{64}\.[a-z0-9]+)"', text))
    assert links == {f"audio/{p.name}" for p in (run / "report/audio").iterdir()} and len(links) > 10
    assert main(["report", str(run), "--bundle", "--format", "csv"]) == 2
    assert main(["report", str(run), "--bundle", "--out", str(run)]) == 2
    assert main(["report", str(run), "--max-audio-mb", "nan"]) == 2
