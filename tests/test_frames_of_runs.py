"""`evalkit.load` on runs that the command line made: numbers had again with a groupby, types, columns."""

from __future__ import annotations

import pytest

import evalkit
from tests.cli_fixtures import Bench, ToyRunner, bench
from tests.test_exports import ADV, ASR, MMSU, advbench, mcq, speech

pd = pytest.importorskip("pandas")

__all__ = ["bench"]


def test_groupby_gives_the_numbers_of_results_json(bench: Bench) -> None:
    """Means, group means and pooled counts, of two runs at once, from scores and samples alone."""
    runs = [mcq(bench), speech(bench)]
    frames = evalkit.load(*runs)
    counted = frames.scores[frames.scores.counted]
    scale = frames.results.set_index(["run", "task", "metric"]).scale
    means = counted.groupby(["run", "task", "metric"]).value.mean()
    results = frames.results.set_index(["run", "task", "metric"])
    assert means["mmsu", MMSU, "acc"] * scale["mmsu", MMSU, "acc"] == pytest.approx(
        results.loc[("mmsu", MMSU, "acc"), "value"]
    )
    wer = counted[(counted.task == ASR) & (counted.metric == "wer")]
    value = wer.counts_errors.sum() / wer.counts_length.sum() * scale["asr", ASR, "wer"]
    assert value == pytest.approx(results.loc[("asr", ASR, "wer"), "value"]) and value > 0
    # Groups are columns of the samples, and a table of their own.
    both = counted.merge(frames.samples, on=["run", "task", "sample_id"])
    by_group = both[both.metric == "acc"].groupby("group_category").value.mean() * 100
    groups = frames.groups[(frames.groups.key == "category") & (frames.groups.metric == "acc")]
    assert by_group.to_dict() == pytest.approx(groups.set_index("group").value.to_dict())
    assert set(by_group.index) == {"Perception", "Reasoning"}
    gendered = both[both.metric == "wer"].groupby("group_gender")[["counts_errors", "counts_length"]].sum()
    mine = frames.groups[(frames.groups.key == "gender") & (frames.groups.metric == "wer")].set_index("group")
    assert (gendered.counts_errors / gendered.counts_length * 100).to_dict() == pytest.approx(
        mine.value.to_dict()
    )


def test_frames_have_types_and_the_columns_a_user_needs(bench: Bench) -> None:
    frames = evalkit.load(mcq(bench), speech(bench), advbench(bench, n=5))
    assert list(dict.fromkeys(frames.samples.run)) == ["mmsu", "asr", "adv"]
    kinds = frames.samples.dtypes.astype(str)
    assert kinds["text"] == kinds["cluster"] == kinds["group_gender"] == kinds["error_kind"] == "string"
    assert (kinds["cached"], kinds["in_results"], kinds["order"]) == ("bool", "bool", "Int64")
    assert kinds["seconds_sent"] == "float64" and frames.scores.value.dtype == "float64"
    assert frames.results.limited.dtype == "boolean" and frames.results.n.dtype == "Int64"
    speakers = frames.samples.set_index("sample_id").cluster
    assert (
        speakers[["u0", "u1", "u2", "u3"]].notna().all()
        and speakers["u0"] == speakers["u2"] != speakers["u1"]
    )
    for table in (frames.samples, frames.scores, frames.results, frames.groups):
        assert table.columns.is_unique and not table.filter(like="Unnamed").size


def test_timing_usage_and_tool_calls_are_columns(bench: Bench) -> None:
    from tests.mock_fixtures import mock_server

    bench.questions(2)
    with mock_server(texts=["no"]) as mock:
        words = [
            "run",
            "--model",
            "openai/m",
            "-M",
            f"base_url={mock.url}",
            "--task",
            ADV,
            "--data-dir",
            bench.data,
        ]
        assert bench.here(*words, "--out", bench.tmp / "a", "--no-report", "--no-cache").code in (0, 1)
    samples = evalkit.load(bench.tmp / "a").samples
    assert (samples.timing_generate > 0).all() and samples.filter(like="usage_").notna().all(axis=None)
    assert samples.tool_calls.isna().all() and (samples.status == "answered").all()
    assert (samples.n_sent == 1).all() and samples.seconds_sent.tolist() == pytest.approx([0.2, 0.2])


def test_samples_of_an_earlier_larger_limit_are_told(bench: Bench) -> None:
    bench.runner(ToyRunner)
    bench.questions(4)
    words = ["run", "--model", "toy/m", "--task", ADV, "--data-dir", bench.data, "--no-report", "--no-cache"]
    for limit in (4, 2):
        bench.here(*words, "--out", bench.tmp / "a", "--limit", limit)
    frames = evalkit.load(bench.tmp / "a")
    assert len(frames.samples) == 4 and frames.samples.in_results.sum() == 2 == frames.results.n[0]


def test_runs_of_one_name_are_told_apart(bench: Bench) -> None:
    advbench(bench, "x/adv", 3)
    advbench(bench, "y/adv", 4)
    frames = evalkit.load(bench.tmp / "x/adv", bench.tmp / "y/adv")
    assert frames.samples.groupby("run").size().tolist() == [3, 4]
    with pytest.raises(evalkit.errors.UsageError, match="twice"):
        evalkit.load(bench.tmp / "x/adv", bench.tmp / "x/../x/adv")


def test_what_the_data_has_none_of_is_a_group_as_in_results(bench: Bench) -> None:
    """MMSU's rows here have no sub-sub-category: results.json counts them under "?", and so can a groupby."""
    frames = evalkit.load(mcq(bench))
    counted = frames.scores[frames.scores.counted & (frames.scores.metric == "acc")]
    both = counted.merge(frames.samples, on=["run", "task", "sample_id"])
    for key, mine in frames.groups[frames.groups.metric == "acc"].groupby("key"):
        found = both.groupby(f"group_{key}").value.mean() * 100
        assert found.to_dict() == pytest.approx(mine.set_index("group").value.to_dict()), key
    assert set(frames.groups.key) >= {"sub-sub-category", "category/sub-category"}


def test_every_number_says_which_verdicts_it_reads(bench: Bench) -> None:
    """Sentence errors are made of the verdicts on words, as docs/exports.md says how."""
    frames = evalkit.load(speech(bench))
    results = frames.results.set_index("metric")
    assert results.reads["ser"] == "wer" == results.reads["sub"]
    rows = frames.scores[frames.scores.counted & (frames.scores.metric == results.reads["ser"])]
    assert results.pool["ser"] == "pooled(wrong/n)"
    assert rows.counts_wrong.sum() / rows.value.count() * 100 == pytest.approx(results.value["ser"])
    assert results.value["ser"] == 75.0
