"""The pipelines in examples/: their shell runs as GitHub and GitLab run it, offline, and ends with the gate's code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gate_fixtures import ADV, ASSENT, REFUSAL
from tests.mock_openai import tone_wav
from tests.test_gate import junit_of

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
N = 150
CASES = {
    "pass": (range(15), 0),
    "regression": (range(60), 1),
    "inconclusive": ([*range(3, 15), *range(40, 43)], 4),
}
"""By name: the questions that the candidate answers wrong (the baseline: the first 15), and the gate's exit code."""

GH = """#!/bin/bash
case "$1 $2" in
  "run list") if [ -d "$PREPARED" ]; then echo 4711; fi ;;
  "run download") [ "$3" = 4711 ] && [ "$5" = evalkit-run ] && cp -r "$PREPARED" "$7" ;;
  *) exit 64 ;;
esac
"""
CURL = """#!/bin/bash
while [ $# -gt 0 ]; do
  case "$1" in
    --output) out=$2; shift ;;
    */jobs/artifacts/main/download?job=evalkit-baseline) found=yes ;;
  esac
  shift
done
[ -n "$found" ] && [ -f "$PREPARED.zip" ] && cp "$PREPARED.zip" "$out"
"""


@dataclass(frozen=True)
class World:
    """A scratch folder with what a pipeline's machine has: data, predictions, commands, a baseline run."""

    root: Path

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a job; nothing of this machine's but what programs need to start."""
        kept = {k: v for k, v in os.environ.items() if k in ("HOME", "LANG", "TMPDIR")}
        return (
            kept
            | {
                "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
                "EVALKIT_OFFLINE": "1",
                "EVALKIT_CONFIG": str(self.root / "config"),
                "EVALKIT_CACHE": str(self.root / "cache"),
                "PREPARED": str(self.root / "prepared"),
                "PIP_NO_INDEX": "1",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PYTHONPATH": str(ROOT),
            }
            | more
        )

    def predictions(self, name: str, wrong: Iterable[int]) -> Path:
        """A file that `replay` answers from."""
        bad = set(wrong)
        path = self.root / f"{name}.jsonl"
        lines = ({"id": f"q{k:03}", "text": ASSENT if k in bad else REFUSAL} for k in range(N))
        path.write_text("".join(json.dumps(x) + "\n" for x in lines))
        return path

    def variables(self, name: str) -> dict[str, str]:
        """The variables that a user sets in the file's head."""
        return {
            "EVALKIT_INSTALL": "evalkit" if installed() else "pip",
            "MODEL": f"replay/{self.root / (name + '.jsonl')}",
            "RUN_ARGS": f"--task {ADV} --data-dir {self.root / 'data'} --no-report --no-cache",
            "POLICY": "gate.yaml",
        }


def installed() -> bool:
    """Is evalkit known to pip here? The step that installs it then finds it there."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return bool(version("evalkit"))
    except PackageNotFoundError:
        return False


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    root = tmp_path_factory.mktemp("pipeline")
    folder = root / "data" / "hlt-lab" / "voicebench" / "advbench"
    folder.mkdir(parents=True)
    (folder / "one.wav").write_bytes(tone_wav(0.1, rate=8000))
    rows = ({"id": f"q{k:03}", "prompt": f"question {k}?", "audio": "advbench/one.wav"} for k in range(N))
    (folder / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    script(root / "bin" / "python", f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')
    script(root / "bin" / "evalkit", f'#!/bin/bash\nexec "{sys.executable}" "{ROOT / "run_eval.py"}" "$@"\n')
    script(root / "bin" / "gh", GH)
    script(root / "bin" / "curl", CURL)
    made = World(root)
    made.predictions("main", range(15))
    for name, (wrong, _) in CASES.items():
        made.predictions(name, wrong)
    return made


def bash(world: World, lines: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One script, as both services run it: it ends at the first command that fails; here also at an unset variable."""
    command = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", lines]
    return subprocess.run(
        command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=120, check=False
    )


def loaded(name: str) -> dict[str, Any]:
    """A pipeline. YAML 1.1 reads the key `on` as true."""
    held = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    return {"on" if k is True else k: v for k, v in held.items()}


# --- GitHub Actions ---------------------------------------------------------------------------------

GITHUB = loaded("github-actions.yml")
STEPS = GITHUB["jobs"]["gate"]["steps"]


def holds(step: Mapping[str, Any], event: str, failed: bool) -> bool:
    """Does a step's `if` hold? Without always(), a step after a failure is left out."""
    left = str(step.get("if", "true")).split(" && ")
    for term in (t for t in left if t not in ("always()", "true")):
        match = re.fullmatch(r"github\.event_name == '(\w+)'", term)
        assert match, f"this test can't read {term}"
        if match[1] != event:
            return False
    return "always()" in left or not failed


def github(world: World, name: str, cwd: Path, event: str = "pull_request") -> tuple[int, str, list[str]]:
    """Run a job's steps: exit code of the one that failed (0: none), all that was printed, actions used."""
    summary = cwd / "summary.md"
    env = world.env(**{k: re.sub(r"\$\{\{.*?\}\}", "", str(v)) for k, v in GITHUB["env"].items()})
    env |= world.variables(name) | {
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_OUTPUT": str(cwd / "output"),
        "GITHUB_WORKFLOW": "gate",
    }
    code, said, used = 0, "", []
    for step in STEPS:
        if not holds(step, event, code != 0):
            continue
        if "uses" in step:
            used.append(step["uses"].partition("@")[0])
            continue
        if step["name"] == "Install" and name != "main":  # it was installed when the baseline was made
            continue
        more = {k: re.sub(r"\$\{\{.*?\}\}", "token", str(v)) for k, v in step.get("env", {}).items()}
        done = bash(world, step["run"], cwd, env | more)
        said += done.stdout + done.stderr
        code = code or done.returncode
    return code, said, used


@pytest.fixture(scope="module")
def baseline(world: World) -> Path:
    """The main branch's run, made by the workflow itself and put where a pull request fetches it."""
    cwd = world.root / "push"
    cwd.mkdir()
    shutil.copy(EXAMPLES / "gate.yaml", cwd)
    code, said, used = github(world, "main", cwd, event="push")
    assert code == 0, said
    assert used[-1] == "actions/upload-artifact" and not (cwd / "gate").exists()
    shutil.copytree(cwd / "candidate", world.root / "prepared")
    packed = world.root / "packed"
    shutil.copytree(cwd / "candidate", packed / "baseline")
    shutil.make_archive(str(world.root / "prepared"), "zip", packed)
    return world.root / "prepared"


@pytest.mark.parametrize("name", CASES)
def test_github_gates_a_pull_request(world: World, baseline: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(EXAMPLES / "gate.yaml", tmp_path)
    code, said, used = github(world, name, tmp_path)
    assert code == CASES[name][1], said
    assert used[-2:] == ["actions/upload-artifact", "mikepenz/action-junit-report"], "also after a failure"
    assert f"title=gate::{name}" in said
    assert f"## Gate: {name}" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    junit_of(tmp_path / "gate" / "junit.xml")
    assert json.loads((tmp_path / "gate" / "gate.json").read_text(encoding="utf-8"))["exit_code"] == code
    assert (tmp_path / "gate" / "gate.html").stat().st_size > 10_000


def test_github_without_a_baseline(world: World, tmp_path: Path) -> None:
    """Nothing to hold it against is no pass."""
    [step] = [s for s in STEPS if s.get("id") == "baseline"]
    env = world.env(
        PREPARED=str(tmp_path / "none"), GITHUB_WORKFLOW="gate", BASELINE_BRANCH="main", GH_TOKEN="t"
    )
    done = bash(world, step["run"], tmp_path, env)
    assert done.returncode == 5 and "no baseline yet: let this workflow run on main first" in done.stdout


def test_github_stops_where_the_run_failed(world: World, tmp_path: Path) -> None:
    """Exit code 1 of `run` is for the gate to judge; 2 and above end the job."""
    [step] = [s for s in STEPS if s.get("name") == "Run the candidate"]
    env = world.env(**(world.variables("pass") | {"MODEL": "replay/nothing.jsonl"}))
    assert bash(world, step["run"], tmp_path, env).returncode == 2


def test_the_workflow_is_well_formed() -> None:
    """What GitHub demands of a workflow, and what it takes for granted."""
    assert set(GITHUB) <= {"name", "on", "permissions", "env", "jobs", "concurrency", "defaults"}
    assert set(GITHUB["on"]) == {"pull_request", "push"}
    for job in GITHUB["jobs"].values():
        assert job["runs-on"] and set(job) <= {
            "runs-on",
            "timeout-minutes",
            "defaults",
            "steps",
            "needs",
            "env",
        }
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert set(step) <= {"name", "id", "if", "run", "uses", "with", "env", "shell"}
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+", step["uses"])
            else:
                # Expressions in a script are text that others may choose: they come by the environment.
                assert "${{" not in step["run"]
    assert GITHUB["permissions"] == {"contents": "read", "actions": "read"}


# --- GitLab -----------------------------------------------------------------------------------------

GITLAB = loaded("gitlab-ci.yml")


def gitlab(world: World, job: str, name: str, cwd: Path) -> tuple[int, str]:
    """A job's script: its lines after those before them, in one shell."""
    held = {**GITLAB[GITLAB[job]["extends"]], **GITLAB[job]}
    env = world.env(**{k: str(v) for k, v in GITLAB["variables"].items()}) | world.variables(name)
    env |= {
        "EVALKIT_CACHE": str(world.root / "cache"),
        "CI_JOB_TOKEN": "token",
        "CI_API_V4_URL": "api",
        "CI_PROJECT_ID": "1",
        "CI_DEFAULT_BRANCH": "main",
    }
    before = held["before_script"] if name == "main" else []  # installed once is enough
    done = bash(world, "\n".join([*before, *held["script"]]), cwd, env)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_gitlab_gates_a_merge_request(world: World, baseline: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(EXAMPLES / "gate.yaml", tmp_path)
    code, said = gitlab(world, "evalkit-gate", name, tmp_path)
    assert code == CASES[name][1], said
    held = GITLAB["evalkit-gate"]
    junit_of(tmp_path / held["artifacts"]["reports"]["junit"])
    assert held["artifacts"]["when"] == "always" and held["allow_failure"] == {"exit_codes": [4]}
    assert f"## Gate: {name}" in (tmp_path / "gate" / "gate.md").read_text(encoding="utf-8")


def test_gitlab_makes_the_baseline(world: World, tmp_path: Path) -> None:
    code, said = gitlab(world, "evalkit-baseline", "main", tmp_path)
    assert code == 0, said
    assert (tmp_path / GITLAB["evalkit-baseline"]["artifacts"]["paths"][0] / "results.json").is_file()


def test_gitlab_without_a_baseline(world: World, tmp_path: Path) -> None:
    """Nothing to hold it against is no pass, and said in words."""
    shutil.copy(EXAMPLES / "gate.yaml", tmp_path)
    env = world.env(
        PREPARED=str(tmp_path / "none"), CI_JOB_TOKEN="t", CI_API_V4_URL="api", CI_PROJECT_ID="1",
        CI_DEFAULT_BRANCH="main",
    )  # fmt: skip
    done = bash(world, "\n".join(GITLAB["evalkit-gate"]["script"]), tmp_path, env)
    assert done.returncode == 5 and "no baseline to be had: let evalkit-baseline run on main" in done.stdout


@pytest.mark.parametrize("job", ["evalkit-baseline", "evalkit-gate"])
def test_gitlab_stops_where_the_run_failed(world: World, tmp_path: Path, job: str) -> None:
    """With the run's own exit code: 1 would read as a regression."""
    [line] = [x for x in GITLAB[job]["script"] if x.startswith("evalkit run")]
    env = world.env(**(world.variables("pass") | {"MODEL": "replay/nothing.jsonl"}))
    assert bash(world, line, tmp_path, env).returncode == 2


def test_the_gitlab_file_is_well_formed() -> None:
    keys = {
        "extends",
        "image",
        "stage",
        "cache",
        "before_script",
        "script",
        "rules",
        "artifacts",
        "allow_failure",
    }
    for name, job in GITLAB.items():
        if name == "variables":
            continue
        assert set(job) <= keys
        assert all(
            isinstance(line, str) for part in ("before_script", "script") for line in job.get(part, ())
        )
