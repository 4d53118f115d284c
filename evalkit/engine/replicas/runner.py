"""A runner in several processes, on several GPUs or machines, that is to everybody else the runner it copies."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.engine.replicas.cluster import Cluster, actor, check_installed, cores_here, kill, result
from evalkit.engine.replicas.pool import Pool, Slot
from evalkit.engine.replicas.trouble import Lost, Trouble
from evalkit.engine.replicas.worker import Hello, Home, Replica
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.records import JSON, Modality, Response, Sample

FORBIDS_NETWORK = ("EVALKIT_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
START_WAIT = 60.0
"""Seconds that a replica may wait for a place, unless EVALKIT_RAY_WAIT says otherwise (a cluster that grows)."""
FAREWELL = 5.0


@dataclass(eq=False)
class _Live:
    """A replica that is up: the handle of its actor, and where it is."""

    handle: Any
    where: str

    async def answer(self, samples: Sequence[Sample], modality: Modality) -> list[Response] | Trouble:
        got: list[Response] | Trouble = await result(self.handle.answer.remote(samples, modality))
        return got

    def kill(self) -> None:
        kill(self.handle)


class Replicated(Runner):
    """N copies of a runner as Ray actors; name, identity and all that shows are the copied runner's.

    Samples go to the least busy copy. The copies only answer: judging, caching and writing stay in this process.

    Args:
        inner: the runner as built here, never prepared: it says who it is.
        spec, options: how the copies are built: ``--model SPEC -M ...``.
        replicas: how many.
        address: of a Ray cluster; None for one on this machine that ends with the run.
        gpus, cpus: of each copy. Default: what the runner's `gpus` says, else one GPU where the cluster has any; the
            cores of this machine shared out, or one core of a cluster.
        concurrency: samples under way in all; default: what one copy takes, times `replicas`.
    """

    def __init__(
        self,
        inner: Runner,
        spec: str,
        options: Mapping[str, str],
        replicas: int,
        *,
        address: str | None = None,
        gpus: float | None = None,
        cpus: float | None = None,
        concurrency: int | None = None,
    ) -> None:
        """Starts nothing. Raises UsageError: Ray is not installed, or the runner has nothing to copy."""
        check_installed()
        if inner.name == "replay":
            raise UsageError(
                "replay reads answers from a file: there is nothing to replicate. Leave --replicas out."
            )
        self.inner, self.spec, self.options, self.replicas = inner, spec, dict(options), replicas
        self.__dict__["name"] = inner.name  # to everybody it is the runner that it copies
        self.modalities, self.demo = inner.modalities, inner.demo
        self._batch = max(1, inner.batch_size) if inner.is_batch else 0
        # Of batches, as many again wait as are under way: lengths can be sorted, and no replica waits.
        self.concurrency = (
            replicas * 2 * self._batch if self._batch else concurrency or replicas * inner.concurrency
        )
        self._gpus, self._cpus = gpus, cpus
        self._cluster = Cluster(address, cores=math.ceil((cpus or 1) * replicas))
        self._modalities: list[Modality] = []
        self._identity: Mapping[str, JSON] | None = None
        self._live: dict[int, _Live] = {}
        self._pool: Pool | None = None

    def __getattr__(self, name: str) -> Any:
        """What else the runner may have (a label): only ever looked up for names that aren't here."""
        if name == "inner":  # not set up yet
            raise AttributeError(name)
        return getattr(self.inner, name)

    def identity(self) -> Mapping[str, JSON]:
        """The copied runner's; once the copies are ready, as they tell it."""
        return self.inner.identity() if self._identity is None else self._identity

    async def preview(self, sample: Sample, modality: Modality) -> JSON:
        return await self.inner.preview(sample, modality)

    # --- getting ready ---------------------------------------------------------------------------

    def prepare(self, modality: Modality) -> None:
        """Start the copies, at the first call, and let each load what `modality` needs.

        Raises:
            UsageError: no cluster, no room in it, a checkpoint that isn't there or is another one.
            RunnerError: a copy died while it was made ready.
        """
        try:
            if not self._cluster.opened:
                self._cluster.open()
                self._share_out()
            asyncio.run(self._prepare(modality))
        except BaseException:
            self._shut()
            raise

    def _share_out(self) -> None:
        """What each copy gets. Raises UsageError when there is too little."""
        have = self._cluster.nodes()
        if self._gpus is None:
            wanted = float(getattr(self.inner, "gpus", 1))
            self._gpus = wanted if any(n["GPU"] for n in have) else 0.0
        if self._cpus is None:
            here = self._cluster.address is None and not self._cluster.borrowed
            self._cpus = float(max(1, cores_here() // self.replicas)) if here else 1.0
        self._cluster.check_room(self.replicas, self._gpus, self._cpus)
        each = [f"{self._gpus:g} GPU{'s' * (self._gpus != 1)}"] if self._gpus else []
        each.append(f"{self._cpus:g} CPU core{'s' * (self._cpus != 1)}")
        print(
            f"  starting {self.replicas} replica{'s' * (self.replicas != 1)} on {self._cluster.called}, "
            f"{' and '.join(each)} each",
            file=sys.stderr,
            flush=True,
        )

    async def _prepare(self, modality: Modality) -> None:
        first = not self._modalities
        self._modalities.append(modality)
        numbers = range(1, self.replicas + 1)
        work = [self._start(n) if first else self._load(self._live[n], modality) for n in numbers]
        tasks = [asyncio.ensure_future(w) for w in work]
        try:
            await asyncio.gather(*tasks)
        except Lost as exc:
            raise RunnerError(
                "replica-lost", f"a replica was lost while it was made ready: {exc}.", fatal=True
            ) from exc
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, number: int) -> _Live:
        """A copy, ready to answer. Raises Lost, UsageError, RunnerError."""
        handle = actor(
            Replica,
            [self._home()],
            gpus=self._gpus or 0,
            cpus=self._cpus or 0,
            at_once=max(1000, 4 * self.concurrency),
        )
        try:
            hello: Hello = await self._hello(handle, number)
            live = _Live(handle, f"process {hello.pid} on {hello.machine}")
            self._check(hello)
            built = await result(handle.build.remote(self.spec, self.options))
            if isinstance(built, Trouble):
                raise built.error()
            self._same(built, hello.machine)
            for modality in self._modalities:
                await self._load(live, modality)
        except BaseException:
            kill(handle)
            raise
        self._live[number] = live
        return live

    async def _hello(self, handle: Any, number: int) -> Hello:
        given = os.environ.get("EVALKIT_RAY_WAIT", "")
        wait = float(given) if given.replace(".", "", 1).isdigit() else START_WAIT
        try:
            hello: Hello = await asyncio.wait_for(result(handle.hello.remote()), wait)
        except TimeoutError as exc:
            free = self._cluster.free()
            raise UsageError(
                f"replica {number} of {self.replicas} found no place on {self._cluster.called} in {wait:g} s: "
                f"{free['GPU']:g} GPUs and {free['CPU']:g} CPU cores are free there now. Say fewer --replicas, or set "
                "EVALKIT_RAY_WAIT to more seconds where others will leave or the cluster will grow."
            ) from exc
        except Lost as exc:
            if "No module named 'evalkit" in str(exc.__cause__):
                raise UsageError(
                    f"a machine of {self._cluster.called} has no evalkit: install evalkit {__version__} in its Python."
                ) from exc
            raise
        return hello

    def _check(self, hello: Hello) -> None:
        if hello.version != __version__:
            raise UsageError(
                f"the machine {hello.machine} has evalkit {hello.version}, this one {__version__}: install the same "
                "one there."
            )
        if hello.lacks:
            raise UsageError(
                f"the machine {hello.machine} has no folder {hello.lacks}, where {self._home().paths[0]} lies here: "
                "name it by an absolute path that is right on every machine."
            )

    def _same(self, theirs: Mapping[str, JSON], machine: str) -> None:
        """Raises UsageError when a copy would be another model than the one built here."""
        mine = dict(self.inner.identity())
        if theirs == mine:
            return
        names = sorted(k for k in {*mine, *theirs} if mine.get(k) != theirs.get(k))
        shown = "; ".join(
            f"{k} is {_brief(theirs.get(k))} there and {_brief(mine.get(k))} here" for k in names[:3]
        )
        raise UsageError(
            f"the machine {machine} would not run the model that is named here ({shown}): its answers would be put on "
            "record as another's. Make checkpoint, packages and options (-M) the same on both."
        )

    async def _load(self, live: _Live, modality: Modality) -> None:
        got = await result(live.handle.prepare.remote(modality))
        if not isinstance(got, Trouble):
            self._identity = got
            return
        if got.sort == "crash":
            what = f"{got.kind}: {' '.join(got.message.split())[:300]}"
            raise UsageError(f"the runner {self.inner.name!r} can't be made ready ({what}).")
        raise got.error()

    def _home(self) -> Home:
        """Where this process is, for the copies."""
        named = [self.spec.partition("/")[2], *self.options.values()]
        return Home(
            folder=str(Path.cwd()),
            modules=tuple(p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p),
            environ={k: os.environ[k] for k in FORBIDS_NETWORK if k in os.environ},
            paths=tuple(p for p in named if _relative(p)),
        )

    # --- answering -------------------------------------------------------------------------------

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        """Answer one sample. Raises RunnerError, UsageError."""
        if self._pool is None:
            room = max(1, self.inner.concurrency, math.ceil(self.concurrency / self.replicas))
            slots = [
                Slot(n, live, 1 if self._batch else room, self._batch)
                for n, live in sorted(self._live.items())
            ]
            self._pool = Pool(slots, self._start)
        return await self._pool.ask(sample, modality)

    # --- the end ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the copies' runners, as far as they do it at once, and end all processes that were started."""
        if self._pool is not None:
            await self._pool.stop()
            self._pool = None
        if self._cluster.opened:
            ends = [asyncio.ensure_future(result(v.handle.close.remote())) for v in self._live.values()]
            if ends:
                await asyncio.wait(ends, timeout=FAREWELL)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        self._shut()
        await self.inner.close()

    def _shut(self) -> None:
        for live in self._live.values():
            kill(live.handle)
        self._live.clear()
        self._modalities.clear()
        if self._cluster.opened or self._cluster.reaper is not None:
            self._cluster.close()


def _relative(value: str) -> bool:
    """Does it name a file or folder, from the working folder on?"""
    with suppress(OSError, ValueError):
        return bool(value) and not Path(value).is_absolute() and Path(value).exists()
    return False


def _brief(value: JSON) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
