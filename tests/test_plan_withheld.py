"""`plan` from a run that withholds a value: what is scored is no fair part of the samples."""

from __future__ import annotations

import json

from tests.cli_fixtures import Bench, bench
from tests.compare_fixtures import scored

__all__ = ["bench"]

SD_QA = "voicebench/sd-qa"


def test_a_withheld_value_is_no_source_of_noise(bench: Bench) -> None:
    """PEDANT decides "Paris" by itself, and needs its model for "London", which isn't here."""
    row = {"prompt": "Which city?", "reference": "Paris"}
    answers = [
        {"id": f"q{k}", "text": "Paris" if k % 3 else "London", "row": row, "judge": {"gpt": ["Yes"] * 3}}
        for k in range(30)
    ]
    run = scored(bench.tmp / "a", {SD_QA: answers})
    assert json.loads((run / "results.json").read_text())["tasks"][SD_QA]["metrics"]["acc"]["withheld"]
    for runs in ([run], [run, run]):
        done = bench.here("plan", *runs, "--json")
        assert done.code == 0, done.said
        [found] = json.loads(done.out)["tasks"]
        assert (found["source"], found["value"], found["n"]) == ("published", 66.27, 553)
        assert "a withholds its value, being unscored depends on the verdict" in found["notes"][0]
