"""The engines behind `--asr`: faster-whisper, openai-whisper, a transformers pipeline, the embedded tiny.en.

``--asr faster-whisper/large-v3``, ``--asr faster-whisper//path/to/folder``, ``--asr openai-whisper/large-v3``,
``--asr transformers/openai/whisper-large-v3``, ``--asr transformers//path/to/folder``, ``--asr embedded``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.interfaces import Transcriber
from evalkit.records import digest_of
from evalkit.runners.asr.faster_whisper import FasterWhisper, local_folder
from evalkit.runners.asr.openai_whisper import OpenAIWhisper
from evalkit.runners.asr.pieces import language_code, number
from evalkit.runners.asr.transformers import DTYPES, SETTINGS, WEIGHTS, TransformersAsr, commit_of, folder_of
from evalkit.runners.embedded.asr import EmbeddedAsr
from evalkit.runners.embedded.weights import checked

DEFAULT_SIZE = "large-v3"
DEFAULT_BEAM = 5
NO_REVISION = "the ASR option revision is for hub ids; a folder is what it is."


def make_transcriber(spec: str, options: Mapping[str, str]) -> Transcriber:
    """Build the ASR engine that `spec` names; weights are loaded on first use or by its `prepare()`.

    Args:
        spec: "ENGINE" or "ENGINE/MODEL".
        options: device, compute_type, dtype, beam, batch (pieces heard at once), threads, revision, chunk,
            language ("auto", or an ISO code that overrides the task's); asr_model for "embedded".

    Raises:
        UsageError: unknown engine or option, missing package, a folder without weights.
    """
    engine, _, model = spec.partition("/")
    if engine not in _ENGINES:
        raise UsageError(
            f"there is no ASR engine {engine!r}; known: {', '.join(_ENGINES)}. "
            "Write --asr ENGINE/MODEL, e.g. --asr faster-whisper/large-v3."
        )
    build, known = _ENGINES[engine]
    if unknown := sorted(set(options) - set(known)):
        raise UsageError(f"the ASR engine {engine} has no option {unknown[0]!r}; known: {', '.join(known)}.")
    return build(model, options)


def default_engine() -> str | None:
    """The engine for a user who names none: the reference Whisper where a GPU and the package are, else none.

    On a CPU large-v3 takes minutes per answer, so there the user has to choose.
    """
    from importlib.util import find_spec
    from shutil import which

    if which("nvidia-smi") is None or find_spec("whisper") is None:
        return None
    return f"openai-whisper/{DEFAULT_SIZE}"


def _faster_whisper(model: str, options: Mapping[str, str]) -> Transcriber:
    folder = local_folder(model) if model else None
    name = folder.name if folder else model or DEFAULT_SIZE
    revision = options.get("revision")
    if folder and revision:
        raise UsageError(NO_REVISION)
    pin = checked(folder / "model.bin", None, "the ASR model").sha256[:8] if folder else (revision or "")[:12]
    return FasterWhisper(
        model=str(folder) if folder else name,
        label=name,
        device=options.get("device", "auto"),
        compute_type=options.get("compute_type", ""),
        beam=number(options, "beam", DEFAULT_BEAM),
        language=language_code(options.get("language")),
        threads=number(options, "threads", 0),
        pin=pin,
        english_only=name.endswith(".en"),
        batch=number(options, "batch", 1),
        revision=revision,
    )


def _openai_whisper(model: str, options: Mapping[str, str]) -> Transcriber:
    path = Path(model).expanduser()
    pin = checked(path, None, "the ASR model").sha256[:8] if path.is_file() else ""
    return OpenAIWhisper(
        model=str(path) if pin else model or DEFAULT_SIZE,
        pin=pin,
        device=options.get("device", "auto"),
        beam=number(options, "beam", DEFAULT_BEAM),
        language=language_code(options.get("language")),
        batch=number(options, "batch", 1),
    )


def _transformers(model: str, options: Mapping[str, str]) -> Transcriber:
    if not model:
        model = f"openai/whisper-{DEFAULT_SIZE}"
    folder = folder_of(model)
    if folder and "revision" in options:
        raise UsageError(NO_REVISION)
    dtype = options.get("dtype", "auto")
    if dtype not in DTYPES:
        raise UsageError(f"the ASR option dtype is {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, not {dtype!r}.")
    asked = options.get("revision")
    engine = TransformersAsr(
        model=str(folder) if folder else model,
        label=folder.name if folder else model,
        device=options.get("device", "auto"),
        dtype=dtype,
        beam=number(options, "beam", 1),
        batch=number(options, "batch", 1),
        chunk=number(options, "chunk", 0),
        language=language_code(options.get("language")),
    )
    if folder:
        engine.pin = _folder_pin(folder)
    else:
        commit = commit_of(model, asked)
        engine.revision, engine.pin = commit or asked, (commit or asked or "main")[:12]
    return engine


def _folder_pin(folder: Path) -> str:
    """8 hex digits over all files of a transformers model that decide what it hears."""
    files = sorted({f for pattern in (*WEIGHTS, *SETTINGS) for f in folder.glob(pattern)})
    return digest_of([[f.name, checked(f, None, "the ASR model").sha256] for f in files])[:8]


def _embedded(model: str, options: Mapping[str, str]) -> Transcriber:
    if model not in ("", "tiny.en"):
        raise UsageError(f"the embedded ASR is tiny.en, not {model!r}; write --asr faster-whisper/{model}.")
    return EmbeddedAsr(options.get("asr_model"))


_ENGINES: Mapping[str, tuple[Callable[[str, Mapping[str, str]], Transcriber], tuple[str, ...]]] = {
    "faster-whisper": (
        _faster_whisper,
        ("device", "compute_type", "beam", "language", "threads", "batch", "revision"),
    ),
    "openai-whisper": (_openai_whisper, ("device", "beam", "language", "batch")),
    "transformers": (
        _transformers,
        ("device", "dtype", "beam", "language", "batch", "chunk", "revision"),
    ),
    "embedded": (_embedded, ("asr_model",)),
}
