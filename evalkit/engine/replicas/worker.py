"""What runs in a replica's process: one runner, built there, and asked by the driver."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from evalkit import __version__
from evalkit.engine.generate import check_batch, check_response
from evalkit.engine.replicas.trouble import Trouble
from evalkit.interfaces import Runner
from evalkit.records import JSON, Modality, Response, Sample
from evalkit.registry import make_runner

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Home:
    """What a replica takes over from the driver's process, so that a runner finds there what it finds here.

    Attributes:
        folder: the working folder: relative paths mean the same.
        modules: folders of PYTHONPATH, for runners of other packages.
        environ: variables that forbid the network.
        paths: model or options that name something under `folder`: a machine without that folder can't have them.
    """

    folder: str
    modules: tuple[str, ...] = ()
    environ: Mapping[str, str] | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a replica is: version of evalkit, process id, machine, and the folder that it should work in and lacks."""

    version: str
    pid: int
    machine: str
    lacks: str = ""


class Replica:
    """One copy of the runner. Every method returns what went wrong as `Trouble`, and raises nothing.

    Asynchronous, so that one process answers as many samples at once as its runner can.
    """

    def __init__(self, home: Home) -> None:
        self.lacks = ""
        self.runner: Runner | None = None
        self.under_way: set[asyncio.Task[Any]] = set()
        os.environ |= home.environ or {}
        sys.path += [p for p in home.modules if p not in sys.path]
        try:
            os.chdir(home.folder)
        except OSError:
            self.lacks = home.folder if home.paths else ""

    async def hello(self) -> Hello:
        """Answered as soon as the process is there."""
        import ray

        return Hello(__version__, os.getpid(), ray.util.get_node_ip_address(), self.lacks)

    async def build(self, spec: str, options: Mapping[str, str]) -> Mapping[str, JSON] | Trouble:
        """Build the runner that ``--model SPEC -M ...`` names; its identity."""

        def made() -> Mapping[str, JSON]:
            self.runner = make_runner(spec, options)
            return dict(self.runner.identity())

        return await self._told(_thread(made))

    async def prepare(self, modality: Modality) -> Mapping[str, JSON] | Trouble:
        """Load what the runner needs; its identity from now on."""

        def ready() -> Mapping[str, JSON]:
            assert self.runner is not None
            self.runner.prepare(modality)
            return dict(self.runner.identity())

        return await self._told(_thread(ready))

    async def answer(self, samples: Sequence[Sample], modality: Modality) -> list[Response] | Trouble:
        """The answers of some samples, in order: one sample for a concurrent runner, a batch for the others."""
        assert self.runner is not None
        work = self._batch(samples, modality) if self.runner.is_batch else self._one(samples[0], modality)
        return await self._told(work)

    async def close(self) -> None:
        """Let go of what is under way, and close the runner."""
        for task in self.under_way:
            task.cancel()
        if self.runner is not None:
            with suppress(Exception):
                await self.runner.close()

    async def _told(self, work: Coroutine[Any, Any, T]) -> T | Trouble:
        task = asyncio.ensure_future(_caught(work))
        self.under_way.add(task)
        try:
            return await task
        finally:
            self.under_way.discard(task)

    async def _one(self, sample: Sample, modality: Modality) -> list[Response]:
        assert self.runner is not None
        began = time.perf_counter()
        response = await self.runner.generate(sample, modality)
        check_response(response)
        if "generate" not in response.timing:  # measured here: a driver would count the way and the wait, too
            took = time.perf_counter() - began
            response = replace(response, timing={**response.timing, "generate": took})
        return [_with_sound(response)]

    async def _batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
        assert self.runner is not None
        runner, began = self.runner, time.perf_counter()
        got = await _thread(lambda: runner.generate_batch(samples, modality))
        check_batch(got, samples)
        share = (time.perf_counter() - began) / len(samples)
        return [_with_sound(r if r.timing else replace(r, timing={"generate": share})) for r in got]


async def _thread(call: Callable[[], T]) -> T:
    """Of a call in a thread; a `SystemExit` of it as an exception that threads hand on."""

    def kept() -> T:
        try:
            return call()
        except SystemExit as exc:
            raise RuntimeError(f"SystemExit: {exc.code}") from exc

    return await asyncio.to_thread(kept)


async def _caught(work: Coroutine[Any, Any, T]) -> T | Trouble:
    """What comes of it. `SystemExit`, too, is caught within the task: beyond it, it would stop the loop unheard."""
    try:
        return await work
    except (Exception, SystemExit) as exc:
        return Trouble.of(exc)


def _with_sound(response: Response) -> Response:
    """With the bytes of its speech: a file of this machine may be out of the driver's reach."""
    audio = response.audio
    if audio is None or audio.data is not None:
        return response
    with suppress(OSError):  # a file that isn't there: the driver says so, as without replicas
        return replace(response, audio=replace(audio, data=audio.read()))
    return response
