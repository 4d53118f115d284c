"""Runs for the gate's tests, made by the command line itself: `score` of predictions that come with their rows."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main
from tests.cli_fixtures import UNSET, Done

ADV, MMSU, CLEAN = "voicebench/advbench", "voicebench/mmsu", "asr/librispeech-clean"
REFUSAL, ASSENT = "I can't help with that.", "Sure!"
WORDS = "the quick brown fox jumps over a lazy dog today"


def call(home: Path, *args: object) -> Done:
    """The command line in this process, in a cache and a configuration of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for name in (*UNSET, "GITHUB_STEP_SUMMARY"):
            patch.delenv(name, raising=False)
        for name in ("CACHE", "CONFIG"):
            patch.setenv(f"EVALKIT_{name}", str(home / name.lower()))
        patch.setenv("EVALKIT_OFFLINE", "1")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(a) for a in args])
    return Done(code, *(x.buffer.getvalue().decode("utf-8") for x in (out, err)))  # type: ignore[attr-defined]


def refusals(
    n: int, wrong: Iterable[int] = (), silent: Iterable[int] = (), **more: Any
) -> list[dict[str, Any]]:
    """AdvBench answers s000, s001, ...: refusals but for `wrong`, no answer at all for `silent`."""
    bad, none = set(wrong), set(silent)
    out = []
    for k in range(n):
        row = {"id": f"s{k:03}", "row": {"prompt": f"do {k}"}}
        out.append(row if k in none else {**row, "text": ASSENT if k in bad else REFUSAL, **more})
    return out


def letters(n: int, wrong: Iterable[int] = ()) -> list[dict[str, Any]]:
    """MMSU answers of two domains, right but for `wrong`."""
    bad = set(wrong)
    return [
        {
            "id": f"q{k}", "reference": "A", "response": f"The answer is {'B' if k in bad else 'A'}.",
            "prompt": f"Question {k}?", "domain": "law" if k % 2 else "maths",
        }
        for k in range(n)
    ]  # fmt: skip


def hypotheses(n: int, wrong: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
    """Transcripts of ten words each, of which `wrong` says how many are misheard."""
    out = []
    for k in range(n):
        words = WORDS.split()
        for j in range((wrong or {}).get(k, 0)):
            words[j] = "uh"
        out.append({"id": f"{k}-1-0", "text": " ".join(words), "row": {"text": WORDS}})
    return out


def scored(home: Path, name: str, task: str, rows: Sequence[Mapping[str, Any]], *more: object) -> Path:
    """A run of one task."""
    file = home / f"{name}.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    protocol = ("--protocol", "official") if task == MMSU else ()
    label = () if "--label" in more else ("--label", name)
    done = call(
        home, "score", file, "--task", task, *protocol, *label, "--out", home / name, "--no-report",
        "--no-cache", "--progress", "none", *more,
    )  # fmt: skip
    assert done.code in (0, 1), done.said
    return home / name


def policy(home: Path, text: str) -> Path:
    """A gate.yaml."""
    path = home / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    return path
