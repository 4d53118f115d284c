"""`--replicas N`: real Ray actors, really killed; the same results as one worker. Workers on this CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import ROOT, Bench, Done, bench, finish, lines, refused, wait_for
from tests.replica_fixtures import install, ours

__all__ = ["bench"]

ADV = "voicebench/advbench"
HEAD = """
import os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import logging, ray
ray.init(address="local", num_cpus=4, num_gpus=0, object_store_memory=128 << 20, include_dashboard=False,
         log_to_driver=False, logging_level=logging.ERROR, _temp_dir=sys.argv[1])
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
"""Of the cluster of these tests."""
TINY = ROOT / "tests" / "data" / "fun_audio_chat" / "dense"

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason='needs Ray: pip install "evalkit[ray]"')


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def cluster(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster on this machine that is there before the runs, and after them."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="rt-", dir="/tmp") as folder:
        environ = {**os.environ, **TOKEN, "PYTHONPATH": f"{ROOT}{os.pathsep}{plugin}"}
        head = subprocess.Popen(
            [sys.executable, "-c", HEAD, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        assert head.stdin is not None and head.stdout is not None
        yield head.stdout.readline().strip()
        head.stdin.close()
        head.wait(30)


@pytest.fixture
def toys(bench: Bench, plugin: Path) -> Path:
    """The folder in which the toy runners note what they do and look for what to do."""
    bench.environ |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{plugin}", "OMP_NUM_THREADS": "1", **TOKEN}
    folder = bench.tmp / "toys"
    folder.mkdir()
    return folder


def args(bench: Bench, out: str, *more: object, model: str = "replica-one") -> list[object]:
    flags = ["--data-dir", bench.data, "--no-report", "--no-cache", "--progress", "none"]
    spec = ["run", "--model", f"{model}/m", "-M", f"folder={bench.tmp / 'toys'}", "--task", ADV]
    return [*spec, *flags, "--out", bench.tmp / out, *more]


def content(out: Path) -> dict[str, dict[str, Any]]:
    """The last response to each sample, without what tells of time."""
    found = {x["sample_id"]: x for x in lines(out / ADV / "responses.jsonl")}
    return {i: {k: v for k, v in x.items() if k not in ("timing", "ts")} for i, x in found.items()}


def same(one: Path, two: Path) -> None:
    assert content(one) == content(two)
    assert (one / "results.json").read_bytes() == (two / "results.json").read_bytes()


def pids(toys: Path, word: str = "asked") -> list[int]:
    """Who noted that, in order."""
    path = toys / "calls"
    notes = path.read_text().splitlines() if path.exists() else []
    return [int(n.split()[0]) for n in notes if n.split()[1] == word]


def one_worker(bench: Bench, model: str = "replica-one") -> Path:
    done = bench.process(*args(bench, "one", model=model))
    assert done.code in (0, 1), done.said
    (bench.tmp / "toys" / "calls").unlink()
    return bench.tmp / "one"


def clean(done: Done) -> None:
    """What of Ray and of the replicas' own prints must not come through."""
    assert "Traceback" not in done.said and "raylet" not in done.said and "no place for it" not in done.said


@needs_ray
def test_a_cluster_of_its_own_for_one_run(bench: Bench, toys: Path) -> None:
    """Two processes answer; results are those of one; nothing is left behind."""
    bench.questions(12)
    one = one_worker(bench)
    bench.environ |= {"EVALKIT_TEST_MARK": str(toys), "TMPDIR": "/tmp"}
    for name in TOKEN:
        del bench.environ[name]
    before = set(Path("/tmp").glob("evalkit-ray-*"))
    done = bench.process(*args(bench, "two", "--replicas", "2"))
    assert done.code == 0, done.said
    clean(done)
    same(one, bench.tmp / "two")
    assert len(set(pids(toys))) == 2 and len(pids(toys)) == 12
    assert set(pids(toys, "closed")) > set(pids(toys))  # each closes its runner
    assert not ours(str(toys)) and set(Path("/tmp").glob("evalkit-ray-*")) <= before


@needs_ray
def test_a_killed_worker_changes_nothing(bench: Bench, toys: Path, cluster: str) -> None:
    """SIGKILL in the middle: one warning, the same results, and the cluster stays up for others."""
    bench.questions(24)
    one = one_worker(bench)
    slow = ("-M", "slow=0.15", "--replicas", "2", "--ray-address", cluster)
    with bench.start(*args(bench, "two", *slow)) as process:
        wait_for(lambda: len(pids(toys)) >= 6, process)
        victim = pids(toys)[-1]
        os.kill(victim, signal.SIGKILL)
        done = finish(process)
    assert done.code == 0, done.said
    clean(done)
    assert done.err.count("was lost") == 1 and f"process {victim}" in done.err
    same(one, bench.tmp / "two")
    # Half of it, then the rest by another number of replicas: still the same.
    shared = ("--ray-address", cluster)
    assert bench.process(*args(bench, "three", "--limit", "10")).code == 0
    done = bench.process(*args(bench, "three", "--replicas", "3", *shared))
    assert done.code == 0, done.said
    same(one, bench.tmp / "three")


@needs_ray
def test_every_failure_is_the_sample_s_own(bench: Bench, toys: Path, cluster: str) -> None:
    """As with one worker; a sample that kills its process is one error, and takes nobody along."""
    bench.questions(16)
    for name in ("bad-q01", "bug-q02", "odd-q04", "busy-q05"):
        (toys / name).touch()
    one = one_worker(bench)
    (toys / "busy-q05").touch()
    (toys / "poison-q09").touch()
    (toys / "exit-q03").touch()
    done = bench.process(*args(bench, "two", "--replicas", "2", "--ray-address", cluster))
    assert done.code == 1, done.said
    clean(done)
    left, right = content(one), content(bench.tmp / "two")
    odd = {i: right[i].get("error", {}).get("kind") for i in left if left[i] != right[i]}
    assert odd == {"q03": "runner-crash", "q09": "replica-lost"}
    assert {right[i]["error"]["kind"] for i in ("q01", "q02", "q04")} == {
        *("bad-input", "runner-crash", "bad-response")
    }
    assert done.err.count("was lost") == 3
    # What is mended, a later call answers; a fatal error stops one, and keeps what is done.
    for name in ("bad-q01", "bug-q02", "odd-q04", "poison-q09", "exit-q03"):
        (toys / name).unlink()
    (toys / "fatal-q09").touch()
    again = args(bench, "two", "--replicas", "2", "--ray-address", cluster)
    assert "the key is rejected" in refused(bench.process(*again))
    (toys / "fatal-q09").unlink()
    assert bench.process(*again).code == 0
    assert not [x for x in content(bench.tmp / "two").values() if "error" in x]


@needs_ray
def test_batches(bench: Bench, toys: Path, cluster: str) -> None:
    """A runner that takes batches: the same answers and errors, memory that runs out included."""
    bench.questions(16)
    (toys / "bad-q03").touch()
    one = one_worker(bench, "replica-many")
    more = ("-M", "fits=2", "--replicas", "2", "--ray-address", cluster)
    done = bench.process(*args(bench, "two", *more, model="replica-many"))
    assert done.code == 1, done.said
    same(one, bench.tmp / "two")
    assert len(set(pids(toys))) == 2


@needs_ray
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-weights", ["there are no weights in the folder"]),
        ("bad-weights", ["can't be made ready", "shapes differ"]),
        ("identity-here", ["would not run the model that is named here", "pid"]),
    ],
)
def test_a_model_that_can_not_be_had_is_one_sentence(
    bench: Bench, toys: Path, cluster: str, name: str, words: list[str]
) -> None:
    bench.questions(2)
    (toys / name).touch()
    refused(bench.process(*args(bench, "two", "--replicas", "2", "--ray-address", cluster)), *words)
    assert not pids(toys)


@needs_ray
def test_more_than_there_is_is_refused(bench: Bench, toys: Path, cluster: str) -> None:
    bench.questions(2)
    more = ("--replicas", "3", "--gpus-per-replica", "1", "--ray-address", cluster)
    refused(bench.process(*args(bench, "two", *more)), "needs 3 GPUs, 1 each", "has 0")
    bench.environ["RAY_AUTH_TOKEN"] = "b" * 64
    done = bench.process(*args(bench, "two", "--replicas", "2", "--ray-address", cluster))
    refused(done, "wants an authentication token")
    assert "gcs_client" not in done.err


@needs_ray
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_that_was_started(bench: Bench, toys: Path, number: int) -> None:
    """To the whole group, as a terminal's Ctrl-C and a batch system's end of time are sent."""
    bench.questions(40)
    bench.environ |= {"EVALKIT_TEST_MARK": str(toys)}
    more = ("-M", "slow=0.3", "-M", "concurrency=1", "--replicas", "2")
    with bench.start(*args(bench, "two", *more), start_new_session=True) as process:
        wait_for(lambda: len(pids(toys)) >= 6, process)
        os.killpg(process.pid, number)
        sent = time.monotonic()
        done = finish(process)
    assert done.code == 130, done.said
    assert time.monotonic() - sent < 15
    assert len(content(bench.tmp / "two")) >= 3
    clean(done)
    end = time.monotonic() + 5
    while ours(str(toys)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not ours(str(toys))


# --- without Ray running -----------------------------------------------------------------------------


@needs_ray
def test_addresses_without_a_cluster(bench: Bench, toys: Path) -> None:
    """Each is one sentence, at once."""
    bench.questions(2)
    for address, word in (
        ("127.0.0.1:9", "can be reached"),
        ("here", "is no address"),
        ("[::1]:99999", "is no"),
    ):
        began = time.monotonic()
        refused(bench.process(*args(bench, "two", "--replicas", "2", "--ray-address", address)), word)
        assert time.monotonic() - began < 10


@needs_ray
def test_flags_that_make_no_sense(bench: Bench, toys: Path) -> None:
    bench.questions(2)
    refused(bench.process(*args(bench, "two", "--ray-address", "auto")), "needs --replicas")
    secret = ("-M", "api_key=sk-abc", "--replicas", "2", "--ray-address", "127.0.0.1:9")
    line = refused(bench.process(*args(bench, "two", *secret)), "in the clear", "api_key_env")
    assert "sk-abc" not in line
    for n in ("0", "-1", "two"):
        done = bench.process(*args(bench, "two", "--replicas", n))
        assert done.code == 2 and f"{n!r} is not a whole number above zero" in done.err


def test_a_dry_run_starts_nothing_and_a_missing_ray_is_said(bench: Bench, toys: Path) -> None:
    bench.questions(2)
    code = "import sys\nfrom evalkit.cli import main\ncode = main()\nassert 'ray' not in sys.modules\nsys.exit(code)"
    if find_spec("ray") is not None:
        done = bench.process(*args(bench, "two", "--replicas", "2", "--dry-run"), code=code)
        assert done.code == 0, done.said
    hidden = "import importlib.util as u\nf = u.find_spec\nu.find_spec = lambda n, *a: None if n == 'ray' else f(n)\n"
    done = bench.process(*args(bench, "two", "--replicas", "2"), code=hidden + code)
    refused(done, 'pip install "evalkit[ray]"')


# --- Fun-Audio-Chat ----------------------------------------------------------------------------------


@needs_ray
@pytest.mark.skipif(find_spec("torch") is None, reason='needs torch: pip install "evalkit[local]"')
@pytest.mark.skipif(not TINY.is_dir(), reason="the tiny checkpoint is not there")
def test_fun_audio_chat_answers_alike_in_two_workers(bench: Bench, toys: Path, cluster: str) -> None:
    """Text, and text and speech ids: the tiny checkpoint, one worker and two, id for id."""
    model = ["-M", "speech=ids", "-M", "max_new_tokens=12", "-M", "device=cpu"]
    flags = ["--suite", "smoke", "--no-report", "--no-cache", "--progress", "none", "--limit", "2"]
    tasks = ["--task", ADV, "--task", "ultraeval-audio/llama-questions-s2m"]
    # By a relative path: it means the same in the replicas' processes.
    bench.tmp.joinpath("tiny").symlink_to(TINY)
    run = ["run", "--model", "fun-audio-chat/tiny", *model, *flags, *tasks]
    one = bench.process(*run, "--out", bench.tmp / "one")
    two = bench.process(*run, "--out", bench.tmp / "two", "--replicas", "2", "--ray-address", cluster)
    assert one.code in (0, 1) and two.code == one.code, one.said + two.said
    left, right = (json.loads((bench.tmp / r / "results.json").read_text()) for r in ("one", "two"))
    assert left == right
    spoke = 0
    for name in left["tasks"]:
        first, second = (lines(bench.tmp / r / name / "responses.jsonl") for r in ("one", "two"))
        drop = ("timing", "ts")
        found = [
            {x["sample_id"]: {k: v for k, v in x.items() if k not in drop} for x in w}
            for w in (first, second)
        ]
        assert found[0] == found[1] and found[0]
        assert not [x for x in found[0].values() if "error" in x]
        spoke += sum("speech_ids" in str(x) for x in found[0].values())
    assert spoke
