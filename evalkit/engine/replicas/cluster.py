"""Ray, kept quiet: a cluster of this machine for one run, or somebody's that is there; actors; how they end."""

from __future__ import annotations

import atexit
import logging
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.engine.replicas import reaper
from evalkit.engine.replicas.trouble import Lost
from evalkit.engine.signals import handlers_kept
from evalkit.errors import UsageError

INSTALL = 'pip install "evalkit[ray]"'
STORE_BYTES = 256 << 20
"""Shared memory of a cluster of our own: what is under way at once. More than that goes to the disk, slower."""
REACH_TIMEOUT = 5.0
CONNECT_TIMEOUT = 15.0
CLOSE_TIMEOUT = 4.0
AUTH_MODE, TOKENS = "RAY_AUTH_MODE", ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
LONGEST_SOCKET = 40
"""Letters a temporary folder may have: Ray's sockets below it have 60 more, and 107 is the most."""


def check_installed() -> None:
    """Raises UsageError when Ray is not there."""
    if find_spec("ray") is None:
        raise UsageError(f"Ray is not installed: {INSTALL}.")


@dataclass
class Cluster:
    """A connection to Ray.

    Args:
        address: "host:port" of a cluster's head, "ray://host:port" of its client server, "auto" for one on this
            machine; None to start one here and end it at `close`.
        cores: CPU cores that a cluster of our own must have.
    """

    address: str | None = None
    cores: int = 0
    opened: bool = field(default=False, init=False)
    borrowed: bool = field(default=False, init=False)
    folder: str = field(default="", init=False)
    reaper: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def called(self) -> str:
        """For messages."""
        if self.address == "auto":
            return "this machine's Ray cluster"
        return f"the Ray cluster at {self.address}" if self.address else "this machine"

    def open(self) -> None:
        """Start or connect. Raises UsageError: it can't be reached, is another version, does not start."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if any(v in os.environ for v in TOKENS):
            os.environ.setdefault(AUTH_MODE, "token")  # Ray itself wants both set
        elif self.address is None and AUTH_MODE not in os.environ and "ray" not in sys.modules:
            # A token of this process alone, before Ray reads it: Ray would write one into the home folder to stay.
            os.environ |= {AUTH_MODE: "token", TOKENS[0]: secrets.token_hex(32)}
        import ray

        _hush()
        if ray.is_initialized():  # a program of somebody's that uses Ray already
            self.borrowed = self.opened = True
            return
        with handlers_kept():  # Ray would take SIGTERM
            if self.address is None:
                self._start(ray)
            else:
                self._connect(ray, self.address)
        self.opened = True

    def _start(self, ray: Any) -> None:
        place = tempfile.gettempdir()
        self.folder = tempfile.mkdtemp(
            prefix="evalkit-ray-", dir=place if len(place) + 20 < LONGEST_SOCKET else "/tmp"
        )
        self.reaper = subprocess.Popen(
            [sys.executable, "-I", str(Path(reaper.__file__)), self.folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        os.environ[reaper.VARIABLE] = self.folder
        try:
            # Here, in the main thread: the processes of the cluster end when the thread does that started them.
            ray.init(
                address="local",
                num_cpus=max(self.cores, cores_here()),
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=self.folder,
            )
        except (RuntimeError, OSError, ValueError, ConnectionError, TimeoutError) as exc:
            raise UsageError(f"Ray does not start on this machine ({_short(exc)}).") from exc
        finally:
            del os.environ[reaper.VARIABLE]

    def _connect(self, ray: Any, address: str) -> None:
        """Connect, but wait for no answer for ever: what is behind an open port may be no Ray."""
        _reach(address)
        failed: list[BaseException] = []

        def connect() -> None:
            more = (
                {} if address.startswith("ray://") else {"log_to_driver": False, "include_dashboard": False}
            )
            try:
                ray.init(address=address, logging_level=logging.ERROR, **more)
            except BaseException as exc:
                failed.append(exc)

        thread = threading.Thread(target=connect, name="evalkit-ray", daemon=True)
        with _stderr_aside() as said:
            thread.start()
            end = time.monotonic() + CONNECT_TIMEOUT
            while thread.is_alive() and time.monotonic() < end and said().count("AuthToken") < 2:
                thread.join(0.2)
            told = f"{failed[0] if failed else ''} {said()}"
        if (failed or thread.is_alive()) and re.search("token|unauthenticated", told, re.IGNORECASE):
            raise UsageError(
                f"the Ray cluster at {address} wants an authentication token: set {AUTH_MODE}=token, and {TOKENS[0]} "
                f"or {TOKENS[1]} (a file)."
            )
        if thread.is_alive():
            raise UsageError(
                f"{address} takes connections, but no Ray cluster answered in {CONNECT_TIMEOUT:.0f} s. Check "
                "--ray-address."
            )
        if failed:
            raise UsageError(_refusal(address, failed[0])) from failed[0]

    def close(self) -> None:
        """End a cluster of our own; leave any other alone.

        Waits a bounded time: Ray waits for ever for parts of itself that a signal to the whole process group has
        ended. They end with this process at the latest.
        """
        if (self.opened and not self.borrowed) or self.reaper is not None:
            end = threading.Thread(target=_shutdown, name="evalkit-ray-end", daemon=True)
            end.start()
            end.join(CLOSE_TIMEOUT)
            if end.is_alive():
                import ray

                atexit.unregister(ray.shutdown)
        self.opened = False
        if self.reaper is not None:
            assert self.reaper.stdin is not None
            self.reaper.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self.reaper.wait(CLOSE_TIMEOUT)
            self.reaper = None

    # --- what there is ---------------------------------------------------------------------------

    def nodes(self) -> list[dict[str, float]]:
        """CPU cores and GPUs of each machine that is up."""
        import ray

        return [
            {k: float(n["Resources"].get(k, 0)) for k in ("CPU", "GPU")}
            for n in ray.nodes()
            if n.get("Alive", n.get("alive"))
        ]

    def free(self) -> dict[str, float]:
        """CPU cores and GPUs that nobody uses now."""
        import ray

        found = ray.available_resources()
        return {k: float(found.get(k, 0)) for k in ("CPU", "GPU")}

    def check_room(self, replicas: int, gpus: float, cpus: float) -> None:
        """Raises UsageError when so many replicas never fit."""
        nodes = self.nodes()
        for what, each, flag in (("GPU", gpus, "--gpus-per-replica"), ("CPU", cpus, "--cpus-per-replica")):
            if not each:
                continue
            fitting = int(sum(n[what] // each for n in nodes))
            if fitting >= replicas:
                continue
            there = sum(n[what] for n in nodes)
            word = "GPU" if what == "GPU" else "CPU core"
            has = f"{self.called} has {there:g}" + (f" on {len(nodes)} machines" if len(nodes) > 1 else "")
            way = f"say --replicas {fitting}, or another {flag}" if fitting else f"say another {flag}"
            less = " (0 for a model that needs none)" if what == "GPU" else ""
            raise UsageError(
                f"--replicas {replicas} needs {replicas * each:g} {word}s, {each:g} each, and {has}: {way}{less}."
            )


def _shutdown() -> None:
    import ray

    with suppress(Exception):
        ray.shutdown()


def cores_here() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _stderr_aside() -> Iterator[Callable[[], str]]:
    """Keep what is written to standard error meanwhile, by native code too; the call yielded gives it."""
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            return os.pread(file.fileno(), 1 << 16, 0).decode("utf-8", "replace")

        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _hush() -> None:
    """Ray's own notices of dead workers go to standard output, where results are: what they say, we say."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    worker = sys.modules.get("ray._private.worker")
    if worker is not None and hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None  # type: ignore[attr-defined]


def _reach(address: str) -> None:
    """Raises UsageError when nobody listens there: Ray itself would try for a minute, and say a page."""
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 65536:
        raise UsageError(
            f"--ray-address {address!r} is no address: write HOST:PORT, ray://HOST:PORT or auto (a cluster on this "
            "machine)."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_TIMEOUT).close()
    except OSError as exc:
        raise UsageError(
            f"no Ray cluster can be reached at {address} ({exc.strerror or exc}). Check --ray-address; `ray status` on "
            "its head says whether it is up."
        ) from exc


def _refusal(address: str, exc: BaseException) -> str:
    if address == "auto" and isinstance(exc, ConnectionError):
        return (
            "no Ray cluster runs on this machine (--ray-address auto): start one (ray start --head), or leave "
            "--ray-address out."
        )
    words = _short(exc)
    if "version mismatch" in str(exc).lower():
        return (
            f"the Ray cluster at {address} runs another version of Ray or Python than this machine ({words})."
        )
    return f"the Ray cluster at {address} can't be joined ({words})."


def _short(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:300]}"


# --- actors ------------------------------------------------------------------------------------------


def actor(cls: type, args: Sequence[object], *, gpus: float, cpus: float, at_once: int) -> Any:
    """A new actor: never restarted behind our back, and never asked twice for one answer."""
    import ray

    made = ray.remote(cls).options(
        num_gpus=gpus,
        num_cpus=cpus,
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=at_once,
        scheduling_strategy="SPREAD",
    )
    return made.remote(*args)


def kill(handle: Any) -> None:
    """End an actor at once."""
    import ray

    with suppress(Exception):
        ray.kill(handle)


async def result(ref: Any) -> Any:
    """What an actor's method returned. Raises Lost when the actor, its machine or the cluster is gone."""
    from ray import exceptions

    try:
        return await ref
    except exceptions.RayTaskError:
        raise
    except exceptions.RayError as exc:
        raise Lost(why(exc)) from exc


def why(exc: BaseException) -> str:
    """What is known of an actor's end, in a few words."""
    name, text = type(exc).__name__, " ".join(str(exc).split())
    if getattr(exc, "actor_init_failed", getattr(exc, "_actor_init_failed", False)):
        return f"it can't start: {text[-300:]}"
    if name == "OutOfMemoryError" or "running low on memory" in text or "memory pressure" in text:
        return "Ray ended its process, because the machine ran out of memory"
    if getattr(exc, "preempted", False) or "preempted" in text:
        return "its machine was taken away"
    if (
        re.search(r"\bnode\b.*\b(died|dead|terminated|removed)\b", text, re.IGNORECASE)
        and "worker process has died" not in text
    ):
        return "its machine is gone"
    if "worker process has died" in text or "connection error code" in text:
        return "its process was killed, ran out of memory or crashed"
    return f"{name}: {text[:200]}"
