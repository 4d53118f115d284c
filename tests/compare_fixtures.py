"""Runs to compare, made by the command line from predictions that bring their rows."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main

ADV, OPEN = "voicebench/advbench", "voicebench/alpacaeval_full"
ASR, VOICE, LETTERS = "asr/librispeech-clean", "asr/common-voice-en", "voicebench/openbookqa"
REFUSAL, CONSENT = "I can't help with that.", "Sure! Here is how."
TEXT = "the quick brown fox jumps over a lazy dog while clever wizards mix jugs of liquid"
WORDS = TEXT.split(" ")


def call(*args: object) -> tuple[int, str, str]:
    """The command line in this process, its own cache and settings aside: exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("EVALKIT_OFFLINE", "1")
        patch.setenv("EVALKIT_CACHE", "/nonexistent")
        patch.delenv("EVALKIT_DEBUG", raising=False)
        code = main([str(a) for a in args])
    return code, out.getvalue(), err.getvalue()


def compare(*args: object) -> tuple[int, str, str]:
    return call("compare", *args)


def scored(
    folder: Path, predictions: Mapping[str, Sequence[Mapping[str, Any]]], *more: object, label: str = ""
) -> Path:
    """A run directory of these predictions by task."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    given = []
    for task, rows in predictions.items():
        path = folder.parent / f"{folder.name}-{task.replace('/', '_')}.jsonl"
        path.write_text("".join(json.dumps(dict(r)) + "\n" for r in rows), encoding="utf-8")
        given.append(f"{task}={path}")
    named = ("--label", label or f"model-{folder.name}")
    code, _, err = call("score", *given, "--out", folder, "--no-report", "--no-cache", *named, *more)
    assert code in (0, 1), err
    return folder


def refusing(right: Sequence[bool], prefix: str = "q") -> list[dict[str, Any]]:
    """Answers to AdvBench: those that are True refuse, which is right."""
    return [
        {"id": f"{prefix}{k:03}", "text": REFUSAL if x else CONSENT, "row": {"prompt": f"do bad thing {k}"}}
        for k, x in enumerate(right)
    ]


def coins(n: int, share: float, seed: int) -> list[bool]:
    draw = random.Random(seed)
    return [draw.random() < share for _ in range(n)]


def rated(ratings: Sequence[Sequence[object]]) -> list[dict[str, Any]]:
    """Answers whose ratings are on record, a list of votes each."""
    return [
        {
            "id": f"a{k:03}",
            "text": f"Tip {k}.",
            "row": {"prompt": f"Tips about {k}?"},
            "judge": [str(v) for v in votes],
        }
        for k, votes in enumerate(ratings)
    ]


def utterances(speakers: int, each: int, seed: int = 11) -> list[tuple[str, str]]:
    """Ids as LibriSpeech has them (the speaker first), and references."""
    draw = random.Random(seed)
    return [
        (f"{100 + s}-{s}-{k:04}", " ".join(draw.choices(WORDS, k=draw.randint(5, 15))))
        for s in range(speakers)
        for k in range(each)
    ]


def heard(given: Sequence[tuple[str, str]], rate: float, seed: int) -> list[dict[str, Any]]:
    """Hypotheses with words replaced and left out; some speakers are harder than others."""
    draw = random.Random(seed)
    hard = {i.split("-")[0]: 0.0 for i, _ in given}
    for name in hard:
        hard[name] = 2 * rate * draw.random()
    out = []
    for i, text in given:
        p = hard[i.split("-")[0]]
        said = [w if draw.random() > p else draw.choice(["", *WORDS]) for w in text.split()]
        out.append({"id": i, "text": " ".join(w for w in said if w), "row": {"id": i, "text": text}})
    return out


def word_errors(reference: str, hypothesis: str) -> int:
    """Levenshtein distance in words."""
    a, b = reference.split(), hypothesis.split()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


N = 160
RIGHT = coins(N, 0.8, 1)
WORSE = [x and k % 7 != 3 for k, x in enumerate(RIGHT)]
SAID = utterances(12, 6)
RATINGS_A = [[4, 4, 4], *([[2 + k % 4] * 3 for k in range(1, 60)])]
RATINGS_B = [[5, 5, 5], *([[min(5, 2 + k % 4 + (k % 3 == 0))] * 3 for k in range(1, 60)])]


def three_runs(root: Path) -> Path:
    """a, b: three tasks; c: one of them. b lost some of a's refusals, heard better, and was rated higher."""
    for name, right, asr, ratings in (
        ("a", RIGHT, heard(SAID, 0.12, 5), RATINGS_A),
        ("b", WORSE, heard(SAID, 0.05, 6), RATINGS_B),
    ):
        scored(root / name, {ADV: refusing(right), ASR: asr, OPEN: rated(ratings)})
    scored(root / "c", {ADV: refusing(coins(N, 0.95, 3))})
    return root


def document(*args: object, code: int = 0) -> dict[str, Any]:
    """What `compare --json` printed."""
    got, out, err = compare(*args, "--json")
    assert got == code, err
    found: dict[str, Any] = json.loads(out)
    return found


def line(found: dict[str, Any], task: str, **wanted: Any) -> dict[str, Any]:
    lines = [x for x in found["lines"] if x["task"] == task and all(x[k] == v for k, v in wanted.items())]
    assert len(lines) == 1, [(x["task"], x["metric"]) for x in lines]
    out: dict[str, Any] = lines[0]
    return out
