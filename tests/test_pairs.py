"""Segments on record, and the same samples of two runs side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import UsageError
from evalkit.pairs import RunSegments, incomparable, pairs_of
from evalkit.records import recordings
from evalkit.segmentfile import SEGMENTS, cluster_label, clusters_of, pool_of, read_segments
from evalkit.store import Run
from tests.cli_fixtures import Bench
from tests.compare_fixtures import document

MMSU, CLEAN = "voicebench/mmsu", "asr/librispeech-clean"
WORDS = "the cat sat down and then it slept"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, monkeypatch, capsys)


def scored(bench: Bench, name: str, task: str, rows: Sequence[dict[str, object]]) -> RunSegments:
    file = bench.tmp / f"{name}.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return finished(bench, name, file, "--task", task, "--protocol", "official")


def heard(bench: Bench, name: str, texts: dict[str, str]) -> RunSegments:
    """Hypotheses of LibriSpeech, each against the same eight words."""
    (bench.tmp / f"{name}.hyp").write_text("".join(f"{i} {text}\n" for i, text in texts.items()))
    (bench.tmp / f"{name}.ref").write_text("".join(f"{i} {WORDS}\n" for i in texts))
    ref = bench.tmp / f"{name}.ref"
    return finished(bench, name, bench.tmp / f"{name}.hyp", "--ref", ref, "--task", CLEAN)


def finished(bench: Bench, name: str, *args: object) -> RunSegments:
    done = bench.here("score", *args, "--out", bench.tmp / name, "--no-cache", "--no-report")
    assert done.code in (0, 1), done.said
    return RunSegments.open(bench.tmp / name)


def letters(given: str, domain: str = "law") -> list[dict[str, object]]:
    return [
        {
            "id": f"q{k}",
            "reference": "A",
            "response": f"The answer is {x}.",
            "prompt": f"Question {k}?",
            "domain": domain,
        }
        for k, x in enumerate(given)
    ]


def test_segments_pool_to_the_numbers_of_results(bench: Bench) -> None:
    run = heard(bench, "asr", {"1-2-0": WORDS, "1-2-1": "the cat", "7-8-0": "the dog sat"})
    entry = run.entry(CLEAN)
    rows = run.segments(CLEAN).rows
    assert set(rows) == set(entry["metrics"]) and "wer" in rows
    for name, metric in entry["metrics"].items():
        pool = pool_of(metric)
        sums = np.asarray(list(rows[name].values())).sum(axis=0)
        assert float(pool.formula(sums)) * metric["scale"] == pytest.approx(metric["value"])


def test_pairs_are_of_shared_scored_samples_and_nothing_is_lost(bench: Bench) -> None:
    a = scored(bench, "a", MMSU, letters("AABBA"))
    b = scored(bench, "b", MMSU, letters("ABBAAA"))
    pair = pairs_of(a, b, MMSU)
    assert pair.ids == ("q0", "q1", "q2", "q3", "q4") and pair.only_b == ("q5",) and not pair.only_a
    assert pair.metric == a.entry(MMSU)["headline"]
    assert pair.rows.a[:, 0].tolist() == [1, 1, 0, 0, 1] and pair.rows.b[:, 0].tolist() == [1, 0, 0, 1, 1]
    assert pair.rows.scale == 100.0 and (pair.rows.lo, pair.rows.hi) == (0.0, 1.0)
    assert pair.rows.clusters is None and pair.cluster == ""
    assert set(incomparable(a.entry(MMSU), b.entry(MMSU), pair.metric)) == {"data", "n"}
    assert not incomparable(a.entry(MMSU), a.entry(MMSU), pair.metric)


def test_groups_pair_their_own_samples(bench: Bench) -> None:
    rows = [*letters("AB"), *({**r, "id": f"h{r['id']}"} for r in letters("BB", "history"))]
    a = scored(bench, "a", MMSU, rows)
    pair = pairs_of(a, a, MMSU, None, ("domain", "history"))
    assert pair.ids == ("hq0", "hq1")
    with pytest.raises(UsageError, match="group domain=none"):
        pairs_of(a, a, MMSU, None, ("domain", "none"))


def test_speakers_are_clusters(bench: Bench) -> None:
    texts = {"1-2-0": WORDS, "1-2-1": WORDS, "7-8-0": "one", "8-8-0": "two"}
    a, b = heard(bench, "a", texts), heard(bench, "b", texts)
    pair = pairs_of(a, b, CLEAN)
    assert pair.cluster == "speaker" and pair.rows.clusters is not None
    assert pair.rows.clusters.tolist() == [0, 0, 1, 2]
    assert math.isinf(pair.rows.hi) and not pair.rows.higher_is_better


def test_what_a_task_declares_comes_before_recordings() -> None:
    told = {"x_speaker1": "x", "x_speaker2": "x"}
    assert clusters_of(told, {"x_speaker1": "a", "x_speaker2": "b"}, "question") == ("question", told)


def test_shared_recordings_are_clusters_where_nothing_is_declared() -> None:
    heard = {"0": "a", "1": "a", "2": "b"}
    assert clusters_of({}, heard, "") == ("audio", heard)
    assert clusters_of({}, {"0": "a", "1": "a"}, "") == ("", {}), "one recording for all says nothing"
    assert clusters_of({}, {"1": "a", "2": "b"}, "") == ("", {}), "each its own"
    sent = [{"sha256": "a" * 64}, {"sha256": "b" * 64}]
    assert recordings({"sent": sent[:1]}) == "a" * 16 and recordings({"sent": []}) == ""
    assert recordings({"sent": sent}) not in ("a" * 16, recordings({"sent": sent[::-1]}))


def test_a_long_label_is_named_by_its_digest() -> None:
    assert cluster_label("a  b") == "a b" and len(cluster_label("word " * 100)) == 16


def test_the_same_scores_give_the_same_bytes(bench: Bench) -> None:
    for name in "ab":
        scored(bench, name, MMSU, letters("AABB"))
    one, two = ((bench.tmp / x / MMSU / SEGMENTS).read_bytes() for x in "ab")
    assert one == two


@pytest.mark.parametrize("harm", ["gone", "torn", "older"])
def test_segments_that_dont_belong_to_the_results_are_refused(bench: Bench, harm: str) -> None:
    run = scored(bench, "a", MMSU, letters("AABB")).run
    path = run.root / MMSU / SEGMENTS
    results = json.loads((run.root / "results.json").read_text())
    if harm == "gone":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        del results["tasks"][MMSU]["segments"]
    with pytest.raises(UsageError, match=r"Call the command that made the run again"):
        read_segments(Run(run.root), MMSU, results["tasks"][MMSU])


def test_a_run_without_the_task_is_named(bench: Bench) -> None:
    a, b = scored(bench, "a", MMSU, letters("A")), heard(bench, "b", {"1-2-0": WORDS})
    with pytest.raises(UsageError, match=rf"has no results for {MMSU}; it has: {CLEAN}"):
        pairs_of(a, b, MMSU)


def test_an_interval_knows_that_a_speaker_is_heard_more_than_once(bench: Bench) -> None:
    """Half of the speakers are understood, half aren't: 6 witnesses, not 60."""
    alone = {f"{k}-1-0": WORDS if k % 2 else "the cat sat down" for k in range(60)}
    shared = {f"{k % 6}-1-{k}": WORDS if k % 2 else "the cat sat down" for k in range(60)}
    wide = {}
    for name, texts in (("alone", alone), ("shared", shared)):
        metric = heard(bench, name, texts).entry(CLEAN)["metrics"]["wer"]
        assert metric["value"] == 25.0
        wide[name] = metric["ci"][1] - metric["ci"][0]
    assert wide["shared"] > 2.5 * wide["alone"]


def test_a_judge_that_only_one_run_heard_counts_in_neither(bench: Bench) -> None:
    """SD-QA's mean of two verdicts: a reply that can't be read in one run takes the other run's out, too."""

    def answers(replies: Sequence[str]) -> list[dict[str, object]]:
        row = {"prompt": "Which city?", "reference": "Paris"}
        return [
            {"id": f"q{k}", "text": "Paris", "row": row, "judge": {"gpt": v.split()}}
            for k, v in enumerate(replies)
        ]

    a = scored(bench, "a", "voicebench/sd-qa", answers(["No No No", *["Yes Yes Yes"] * 5]))
    b = scored(
        bench, "b", "voicebench/sd-qa", answers([*["Yes No hmm"] * 2, *["Yes Yes Yes"] * 3, "No No No"])
    )
    found = pairs_of(a, b, "voicebench/sd-qa", "acc")
    assert (len(found.ids), found.partial, found.missing_a, found.missing_b) == (6, 2, (), ())
    assert [sum(x) for x in (found.rows.a[:, 3], found.rows.b[:, 3])] == [4, 4]
    pooled = [float(found.rows.pool.formula(x.sum(axis=0))) for x in (found.rows.a, found.rows.b)]
    assert pooled == pytest.approx([1.0, (1 + 3 / 4) / 2])
    [x] = document(bench.tmp / "a", bench.tmp / "b")["lines"]
    assert "Of 2 samples a judge's verdict is left out, because only one run has it." in x["notes"]
