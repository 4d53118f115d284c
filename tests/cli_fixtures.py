"""Driving the command line as a user does: as a process, in this process, or in a fork that is to die.

`Bench` is one test's corner of the disk: data in a benchmark's published layout, its own cache, and no
setting of the machine's own. Not a conftest: a test module that wants the fixture imports it by name.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evalkit.cli import main
from evalkit.interfaces import Runner
from evalkit.records import Modality, Response, Sample, SentAudio
from tests.mock_fixtures import PROXIES
from tests.mock_openai import tone_wav

ROOT = Path(__file__).parent.parent
KEY = "sk-a-very-secret-key-0123456789"
UNSET = (
    *("OPENAI_BASE_URL", *PROXIES),
    *("EVALKIT_DEBUG", "EVALKIT_UTMOS"),
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it printed, for messages of failed tests."""
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass
class Bench:
    """A folder, a cache, and ways to call evalkit there."""

    tmp: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.tmp / "data"

    # --- data -------------------------------------------------------------------------------------

    def rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        config: str = "advbench",
        split: str = "test",
        repo: str = "hlt-lab/voicebench",
    ) -> Path:
        """Write rows as JSONL in the layout of a hub data set; the folder for --data-dir."""
        folder = self.data / repo / config
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(dict(r)) + "\n" for r in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
        return self.data

    def questions(
        self, n: int, config: str = "advbench", repo: str = "hlt-lab/voicebench", **more: Any
    ) -> list[str]:
        """`n` spoken questions q00, q01, ... of one task, each with a sound of its own.

        Returns:
            sha256 of the audio of each, by which a mock knows the request.
        """
        rows, digests = [], []
        for k in range(n):
            wav = tone_wav(0.2, rate=8000, hz=200.0 + 10 * k)
            path = self.data / repo / config / "audio" / f"q{k:02}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav)
            digests.append(hashlib.sha256(wav).hexdigest())
            row = {
                "id": f"q{k:02}",
                "prompt": f"question number {k:02}?",
                "audio": f"{config}/audio/q{k:02}.wav",
            }
            rows.append({**row, **more})
        self.rows(rows, config, repo=repo)
        return digests

    def runner(self, cls: type[Runner]) -> None:
        """Make a toy runner known under its name, as if its file lay in evalkit/runners/."""
        module = ModuleType(f"evalkit.runners.{cls.name}")
        cls.__module__ = module.__name__
        module.__dict__["Toy"] = cls
        self.monkeypatch.setitem(sys.modules, module.__name__, module)

    # --- calling ----------------------------------------------------------------------------------

    def env(self) -> dict[str, str]:
        """The environment of every call."""
        kept = {k: v for k, v in os.environ.items() if k not in UNSET}
        mine = {"EVALKIT_CACHE": str(self.tmp / "cache"), "EVALKIT_CONFIG": str(self.tmp / "config")}
        mine |= {"EVALKIT_OFFLINE": "1", "OPENAI_API_KEY": KEY}
        return kept | mine | {"PYTHONPATH": str(ROOT)} | self.environ

    def here(self, *args: object) -> Done:
        """Call `main` in this process."""
        with self.monkeypatch.context() as patch:
            for name in UNSET:
                patch.delenv(name, raising=False)
            for name, value in self.env().items():
                patch.setenv(name, value)
            self.capsys.readouterr()
            code = main([str(a) for a in args])
        printed = self.capsys.readouterr()
        return Done(code, printed.out, printed.err)

    def start(self, *args: object, code: str | None = None, **popen: Any) -> subprocess.Popen[str]:
        """Start the command as a process; `code` is run instead of run_eval.py, with the same arguments."""
        what = ["-c", code] if code is not None else [str(ROOT / "run_eval.py")]
        command = [sys.executable, *what, *(str(a) for a in args)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
        return subprocess.Popen(command, env=self.env(), cwd=self.tmp, **{**pipes, **popen})

    def process(self, *args: object, code: str | None = None, **popen: Any) -> Done:
        """Run the command as a process to its end."""
        with self.start(*args, code=code, **popen) as process:
            return finish(process)

    def fork(self, *args: object, before: Callable[[], object] = lambda: None) -> int:
        """Call `main` in a fork after `before()`; its exit status, negative for a signal.

        For deaths at an exact point: `before` patches what is to kill the process.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.environ |= self.env()
                before()
                code = main([str(a) for a in args])
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def finish(process: subprocess.Popen[str], timeout: float = 60.0) -> Done:
    """Wait for a process and take what it printed; kill it when it hangs."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err += "\n*** killed by the test: it hung"
    return Done(process.returncode, out or "", err or "")


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str], timeout: float = 30.0) -> None:
    """Wait until something is so; fails when the process ends before, or time is up."""
    end = time.monotonic() + timeout
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"it ended too early: {finish(process).said}")
        if time.monotonic() > end:
            process.kill()
            raise AssertionError(f"it never came so far: {finish(process).said}")
        time.sleep(0.01)


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> Done:
    """Send a signal and wait for the end."""
    process.send_signal(number)
    return finish(process)


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole, readable lines of a JSONL file; [] when it isn't there."""
    found = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def result(out: Path, task: str, metric: str | None = None) -> dict[str, Any]:
    """A metric's entry in results.json; default the headline."""
    entry = json.loads((out / "results.json").read_text(encoding="utf-8"))["tasks"][task]
    found: dict[str, Any] = entry["metrics"][metric or entry["headline"]]
    return found


def refused(done: Done, *words: str) -> str:
    """The one sentence of a call that ended with exit code 2 and has all these words."""
    assert done.code == 2, done.said
    assert "Traceback" not in done.err and done.out == ""
    [line] = [x for x in done.err.splitlines() if "error:" in x]
    for word in words:
        assert word in line, line
    return line


def sent(sample: Sample) -> tuple[SentAudio, ...]:
    """What an honest runner says of the audio it sent."""
    return tuple(SentAudio(a.digest(), a.seconds or 0.0, a.sample_rate or 0) for a in sample.audios)


class ToyRunner(Runner):
    """A runner for tests to build on: takes any model name, answers "ok" to everything."""

    name = "toy"
    modalities = frozenset(Modality)

    def __init__(self, model: str, **options: str) -> None:
        self.model = model

    def identity(self) -> Mapping[str, Any]:
        return {"model": self.model}

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        return Response(sample.id, text="ok", sent=sent(sample))


TOY_ASR = """
import sys, time
from pathlib import Path
from evalkit.engine import ears
from evalkit.records import Transcript
from evalkit.runners.asr import engines as asr_engines

ears.ASR_BATCH = 1
heard = []

class Toy:
    signature = "toy-asr"
    def transcribe(self, audios, language):
        out = []
        for audio in audios:
            heard.append(audio)
            if len(heard) == 3 and Path("hang").exists():
                Path("hanging").touch()
                time.sleep(60)
            out.append(Transcript(audio.digest(), self.signature, f"I heard {audio.seconds:.2f} s"))
        return out

asr_engines._ENGINES["toy"] = (lambda model, options: Toy(), ())
from evalkit.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""
"""A program that is the command line with an ASR engine `toy` that hears durations, and hangs at the third
piece of speech while there is a file `hang` in the working folder."""


def openai(url: str, *more: object) -> list[object]:
    """`run` arguments for a model behind the mock."""
    return ["run", "--model", "openai/m", "-M", f"base_url={url}", "--progress", "none", *more]


def judged(url: str) -> list[object]:
    """Arguments that bind a judge behind the mock."""
    return ["--judge", "openai/j", "-J", f"base_url={url}"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A corner of the disk for one test."""
    return Bench(tmp_path, monkeypatch, capsys)
