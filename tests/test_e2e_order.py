"""Where a verdict hangs on the record before, the data set as it is now decides which record that is."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.cli_fixtures import Bench, bench, lines
from tests.mock_openai import tone_wav

__all__ = ["bench"]

MMSU = "mmsu/all"
REPLIES = {"a": "A", "b": "B", "blank": "", "c": "C"}
CHOICES = {"choice_a": "one", "choice_b": "two", "choice_c": "three", "choice_d": "four"}
PLACE = {"category": "Reasoning", "sub-category": "Linguistics", "task_name": "pause_detection"}


def data(bench: Bench, ids: Sequence[str]) -> None:
    """MMSU with these records in this order; the right answer is the second."""
    folder = bench.data / "ddwang2000/MMSU"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.wav").write_bytes(tone_wav(0.1))
    rows = [
        {"id": i, "question": f"{i}?", "audio_path": "a.wav", "answer_gt": "two", **CHOICES, **PLACE}
        for i in ids
    ]
    (folder / "data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


@pytest.mark.parametrize("command", ["run", "score"])
def test_a_data_set_in_another_order(bench: Bench, command: str) -> None:
    """Shuffled, shortened and lengthened: the same numbers as in a fresh run, and nothing else is written again."""
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in REPLIES.items()))
    first = ["score", path] if command == "score" else ["run", "--model", f"replay/{path}"]
    words = [*first, "--task", MMSU, "--data-dir", bench.data, "--no-report"]
    kept = bench.tmp / "a" / MMSU / "responses.jsonl"
    values = []
    orders = (["a", "blank", "b", "c"], ["a", "b", "blank", "c"], ["c", "blank", "a", "b"])
    for k, ids in enumerate(orders):
        data(bench, ids)
        # Another protocol does not go by the order, and leaves it to the one that does.
        for protocol in ("strict", "official", "official"):
            bench.here(*words, "--protocol", protocol, "--out", bench.tmp / "a")
            size = len(lines(kept))
        bench.here(*words, "--protocol", "official", "--out", bench.tmp / f"fresh{k}")
        found = [(bench.tmp / x / "results.json").read_bytes() for x in ("a", f"fresh{k}")]
        assert found[0] == found[1]
        values.append(json.loads(found[0])["tasks"][MMSU]["metrics"]["acc"]["value"])
        bench.here(*words, "--protocol", "official", "--out", bench.tmp / "a")
        assert len(lines(kept)) == size
    assert values == [25.0, 50.0, 25.0]
