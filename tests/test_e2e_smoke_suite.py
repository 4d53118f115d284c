"""Every English adapter end to end: data in its published layout, real audio, a real model, judges, results."""

from __future__ import annotations

import json

import pytest

from evalkit.registry import catalogue
from evalkit.runners.embedded import EmbeddedRunner
from evalkit.runners.embedded.weights import llm_cache_file
from tests.cli_fixtures import Bench, bench, lines
from tests.embedded_fixtures import embedded_runner, needs_embedded

__all__ = ["bench", "embedded_runner"]

SEEN_ELSEWHERE = ("voicebench/", "ultraeval-audio/")
"""`make demo` and tests/test_embedded.py run these; of the latter only what is new here is run again."""


def english() -> list[str]:
    found = catalogue()
    names = [t.name for t in found.select(list(found.suites["smoke"].tasks)) if t.languages[0] == "en"]
    return [n for n in names if not n.startswith(SEEN_ELSEWHERE) or n.endswith("-s2m")]


@needs_embedded
@pytest.mark.embedded
def test_each_english_adapter_hears_answers_and_scores(bench: Bench, embedded_runner: EmbeddedRunner) -> None:
    """One sample of each: the audio was sent, nothing failed, and every verdict is there or says what it lacks."""
    if llm_cache_file().is_file():  # fetched by the fixture, into the cache that the bench hides
        bench.environ["EVALKIT_LLM_GGUF"] = str(llm_cache_file())
    names = english()
    assert len(names) >= 18
    tasks = [w for n in names for w in ("--task", n)]
    roles = ["--judge", "embedded", "--asr", "embedded"]
    words = ["run", "--model", "embedded", "--suite", "smoke", *tasks, *roles, "--limit", "1", "--no-cache"]
    done = bench.here(*words, "--no-report", "--progress", "none", "--out", bench.tmp / "a")
    assert done.code == 1, done.said  # a LALM judge, an embedder and UTMOS are not here
    results = json.loads((bench.tmp / "a/results.json").read_text(encoding="utf-8"))["tasks"]
    assert set(results) == set(names)
    for name, entry in results.items():
        lacks = {"judge-unbound", "weights", "excluded-format"}
        if name == "mmau-pro/single-audio":  # no package, or no weights of the embedder
            lacks |= {"embedder-missing", "embedder-failed"}
        (line,) = lines(bench.tmp / "a" / name / "responses.jsonl")
        assert "error" not in line, line
        assert line["sent"] and all(s["seconds"] > 0.3 for s in line["sent"]), name
        assert "audio" in line or entry["modality"] == "S2T", name
        for metric in entry["metrics"].values():
            assert metric["n"] <= 1 and metric["n_errors"] == 0
            assert metric["n_scored"] == metric["n"] or set(metric["reasons"]) <= lacks, (name, metric)
