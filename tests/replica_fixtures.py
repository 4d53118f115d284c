"""A package of somebody else's with two runners for tests of replicas, and what of Ray runs on this machine."""

from __future__ import annotations

import os
from pathlib import Path

TOY = '''
"""Two runners that note who answered what, and fail as files in their folder tell them to."""
import asyncio, os, signal, time
from pathlib import Path

from evalkit.audio import encode_wav
from evalkit.errors import OutOfMemory, RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.records import Audio, Modality, Response, SentAudio


class Base(Runner):
    modalities = frozenset(Modality)

    def __init__(self, model, **options):
        self.model, self.folder = model, Path(options.pop("folder"))
        self.slow = float(options.pop("slow", 0.02))
        self.concurrency = int(options.pop("concurrency", 4))
        self.options = options
        self.loaded = 0

    def identity(self):
        here = self.folder / "identity-here"
        return {"runner": self.name, "model": self.model, "loaded": self.loaded, "decoding": {"greedy": True}} | (
            {"pid": os.getpid()} if here.exists() else {})

    def prepare(self, modality):
        if self.has("no-weights"):
            raise UsageError("there are no weights in the folder; fetch them first.")
        if self.has("bad-weights"):
            raise ValueError("shapes differ")
        if self.has("dies-loading"):
            os.kill(os.getpid(), signal.SIGKILL)
        print("prepared: to standard output, which is no place for it")
        self.loaded = 1
        self.note("prepared", modality)

    def has(self, name):
        return (self.folder / name).exists()

    def once(self, name):
        """Is there such a file? Then it is gone."""
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def note(self, *words):
        with (self.folder / "calls").open("a") as file:
            file.write(" ".join(str(w) for w in (os.getpid(), *words)) + "\\n")

    def reply(self, sample, modality):
        self.note("asked", sample.id)
        for name in (f"die-{sample.id}", f"poison-{sample.id}"):
            if self.has(name) and (name.startswith("poison") or self.once(name)):
                time.sleep(0.1)
                os.kill(os.getpid(), signal.SIGKILL)
        if self.has(f"fatal-{sample.id}"):
            raise RunnerError("key", "the key is rejected", fatal=True)
        if self.once(f"busy-{sample.id}"):
            raise RunnerError("http-429", "slow down", retryable=True, retry_after=0.0)
        if self.has(f"bad-{sample.id}"):
            raise RunnerError("bad-input", "this can't be taken")
        if self.has(f"bug-{sample.id}"):
            class Odd(Exception):
                def __reduce__(self):
                    raise TypeError("can't be pickled")
            raise Odd("a bug")
        if self.has(f"exit-{sample.id}"):
            raise SystemExit(4)
        if self.has(f"odd-{sample.id}"):
            return {"text": "a dict"}
        if self.has(f"usage-{sample.id}"):
            raise UsageError("the predictions file is broken; mend it.")
        sent = tuple(SentAudio(a.digest(), a.seconds or 0, a.sample_rate or 0) for a in sample.audios)
        heard = sum(len(a.data) for a in sample.audios)
        speech = None
        if modality.wants_audio:
            path = self.folder / f"speech-{os.getpid()}-{sample.id}.wav"
            path.write_bytes(encode_wav([0.1 * (int(sample.id[1:]) + 1) / 99] * 800, 8000))
            speech = Audio(path=str(path), format="wav")
        return Response(sample.id, text=f"{sample.id}: {heard} bytes, {sample.question}", audio=speech, sent=sent,
                        meta={"seed": sample.id})

    async def close(self):
        self.note("closed")


class One(Base):
    """Answers many at once."""
    name = "replica-one"

    async def generate(self, sample, modality):
        await asyncio.sleep(self.slow)
        return self.reply(sample, modality)
'''

BATCH = '''
"""The same in batches."""
import time

from evalkit.errors import OutOfMemory, RunnerError
from replica_toy import Base


class Many(Base):
    name = "replica-many"
    batch_size = 4

    def generate_batch(self, samples, modality):
        self.note("batch", len(samples))
        time.sleep(self.slow)
        if len(samples) > int(self.options.get("fits", 99)):
            raise OutOfMemory("too many")
        return [self.reply(s, modality) for s in samples]
'''

METADATA = "Metadata-Version: 2.1\nName: replica-toy\nVersion: 1.0\n"
POINTS = "[evalkit.runners]\none = replica_toy:One\nmany = replica_batch:Many\n"


def install(folder: Path) -> Path:
    """Write the package as pip would; the folder for PYTHONPATH."""
    info = folder / "replica_toy-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (folder / "replica_toy.py").write_text(TOY, encoding="utf-8")
    (folder / "replica_batch.py").write_text(BATCH, encoding="utf-8")
    (info / "METADATA").write_text(METADATA, encoding="utf-8")
    (info / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    return folder


def ours(mark: str) -> list[str]:
    """Command lines of processes of Ray on this machine that have this word in line or environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environ = (place / "environ").read_bytes().decode(errors="replace")
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if int(place.name) != os.getpid() and state != "Z" and "ray" in line and mark in line + environ:
            found.append(f"{place.name}: {line[:120]}")
    return found
