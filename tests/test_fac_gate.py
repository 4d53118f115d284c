"""examples/checkpoint-gate.sh as a CI job runs it: two checkpoints, the whole smoke suite, the gate's exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fun_audio_chat_fixtures import DENSE, needs_torch

pytestmark = needs_torch

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "examples" / "checkpoint-gate.sh"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory):
    """Runs the script; the baseline's run is shared, as between the jobs of a pipeline."""
    root = tmp_path_factory.mktemp("gate")
    env = os.environ | {
        "EVALKIT": f"{sys.executable} {ROOT / 'run_eval.py'}",
        "EVALKIT_OFFLINE": "1",
        "EVALKIT_CACHE": str(root / "cache"),
        "EVALKIT_CONFIG": str(root / "config"),
        "RUN_ARGS": "-M speech=ids -M max_new_tokens=16 -M batch=8",
    }

    def run(*checkpoints: Path) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPT), *map(str, checkpoints), str(root / "out")]
        return subprocess.run(command, env=env, cwd=root, text=True, capture_output=True, timeout=300)

    return root, run


def verdicts(root: Path) -> dict[str, str]:
    """Verdict of each task of the latest gate."""
    return {t["task"]: t["verdict"] for t in json.loads((root / "out" / "gate.json").read_text())["numbers"]}


def test_the_same_checkpoint_passes_and_a_perturbed_one_does_not(gate) -> None:
    root, run = gate
    same = run(DENSE, DENSE)
    assert same.returncode == 0, same.stderr[-2000:]
    assert "REGRESSION" not in same.stdout and "exit 0" in same.stdout
    assert len(verdicts(root)) == 39  # the whole smoke suite
    assert set(verdicts(root).values()) == {"pass"}  # not one answer differs

    perturbed = root / "perturbed"
    maker = [sys.executable, str(ROOT / "examples" / "perturb_checkpoint.py"), str(DENSE), str(perturbed)]
    subprocess.run(maker, check=True, timeout=120)
    # Another model: its answers are no continuation of the candidate's run.
    refused = run(DENSE, perturbed)
    assert refused.returncode == 2 and "Choose another --out" in refused.stderr
    (root / "out" / "candidate").rename(root / "earlier")

    worse = run(DENSE, perturbed)
    assert worse.returncode == 1, worse.stderr[-2000:]
    found = verdicts(root)
    assert found["asr/librispeech-clean"] == "regression"
    assert "asr/librispeech-clean" in worse.stdout and "exit 1" in worse.stdout
    for name in ("junit.xml", "gate.md", "gate.html"):
        assert (root / "out" / name).stat().st_size > 500


def test_a_checkpoint_that_is_none_stops_the_job(gate) -> None:
    _, run = gate
    got = run(DENSE.parent / "no-such", DENSE)
    assert got.returncode == 2 and "no-such" in got.stderr and "Traceback" not in got.stderr
