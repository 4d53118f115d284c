"""`vocode`: make audio of the speech ids that a run kept, and write it as predictions for `score`."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import shutil
import sys
import time
import wave
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from evalkit.audio import pcm_wav
from evalkit.cli.run import packaged
from evalkit.engine.judging import as_ids
from evalkit.errors import RunnerError, UsageError
from evalkit.linefiles import replacing, write_atomically, write_bytes
from evalkit.records import JSON, Response, digest_of
from evalkit.registry import catalogue
from evalkit.runners.fun_audio_chat.speech.segments import SAMPLE_RATE, audible
from evalkit.runners.fun_audio_chat.speech.vocoder import Vocoder
from evalkit.runners.fun_audio_chat.speech.vocoder_setup import TIMEOUT, VocoderSetup
from evalkit.store import Run, TaskFiles

AUDIO = "audio"
SILENCE = "silence.wav"
"""A wav of 0 frames: to `score`, a model that was to speak and said nothing."""
SUMMARY = "vocode.json"
OWN = "custom/"
"""How tasks that a manifest describes are called."""
HEADER = 44
"""Bytes of a wav file before its frames, as Python's `wave` writes it."""
LINE_EVERY = 15.0
TOLD = 5
"""How many failures are told one by one."""


@dataclass
class Count:
    """What became of a task's answers.

    Attributes:
        made: spoken now. kept: spoken by an earlier call. spoken: the run had audio of them already.
        silent: nothing audible, a wav of 0 frames. unspoken: words alone, no speech was asked for.
        errors: the vocoder failed. errored: the run itself has an error instead of an answer.
        seconds: of all audio, in s.
    """

    predictions: str = ""
    answers: int = 0
    made: int = 0
    kept: int = 0
    spoken: int = 0
    silent: int = 0
    unspoken: int = 0
    errors: int = 0
    errored: int = 0
    seconds: float = 0.0


@dataclass
class Progress:
    """A bar on a terminal, a line now and then elsewhere, on stderr."""

    mode: str
    total: int
    done: int = 0
    failed: int = 0
    _bar: Any = None
    _last: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.mode == "auto":
            self.mode = "bars" if sys.stderr.isatty() else "lines"
        if self.mode == "bars":
            from tqdm import tqdm

            self._bar = tqdm(desc="vocode", total=self.total, unit="", dynamic_ncols=True)

    def step(self, failed: bool) -> None:
        """One answer is done with."""
        self.done += 1
        self.failed += failed
        if self._bar is not None:
            self._bar.set_postfix_str(f"errors {self.failed}", refresh=False)
            self._bar.update()
        elif self.mode == "lines" and time.monotonic() - self._last > LINE_EVERY:
            self._last = time.monotonic()
            print(f"vocode {self.done}/{self.total} · errors {self.failed}", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


class Writer:
    """Writes the predictions of a run's tasks, with audio beside them."""

    def __init__(self, run: Run, out: Path, vocoder: Vocoder) -> None:
        self.run, self.out, self.vocoder = run, out, vocoder
        self.told = 0

    def task(self, name: str, progress: Progress) -> Count:
        """One predictions file, in the order of sample ids. Audio made by earlier calls is not made again."""
        files = self.run.task(name)
        path = self.out / (name.replace("/", ".") + ".jsonl")
        count = Count(str(path))
        self.out.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            for response in answers(files):
                before = count.errors
                line = {"id": response.sample_id, **self._line(files, response, count)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                count.answers += 1
                progress.step(count.errors > before)
        count.seconds = round(count.seconds, 3)
        return count

    def _line(self, files: TaskFiles, response: Response, count: Count) -> dict[str, JSON]:
        """What a prediction says beside its id and task."""
        if response.error is not None:
            count.errored += 1
            return {"error": {"kind": response.error.kind, "message": response.error.message}}
        out: dict[str, JSON] = {} if response.meta.get("text") == "none given" else {"text": response.text}
        if response.audio is not None:
            count.spoken += 1
            count.seconds += response.audio.seconds or 0.0
            return out | {"audio": self._copied(Path(files.absolute(response).audio.path or ""))}  # type: ignore[union-attr]
        if not as_ids(response):
            if response.meta.get("speech") not in ("empty", "ids"):
                count.unspoken += 1
                return out
            return out | {"audio": self._silence(count)}
        ids = audible(response.meta["speech_ids"])
        if not ids:
            return out | {"audio": self._silence(count)}
        try:
            return out | {"audio": self._spoken(ids, count)}
        except RunnerError as error:
            count.errors += 1
            self._tell(f"{files.task} {response.sample_id}: {error.message}")
            return out | {"error": {"kind": error.kind, "message": error.message}}

    def _spoken(self, ids: list[int], count: Count) -> str:
        """The audio of audible ids, made unless it lies there whole. Raises RunnerError, UsageError."""
        name = f"{AUDIO}/{digest_of({'ids': ids, 'vocoder': dict(self.vocoder.identity())})[:32]}.wav"
        path = self.out / name
        if (seconds := length(path)) is not None:
            count.kept += 1
        else:
            audio = self._tried(ids)
            write_bytes(path, audio.data or b"")
            seconds = audio.seconds or 0.0
            count.made += 1
        count.seconds += seconds
        return name

    def _tried(self, ids: list[int]) -> Any:
        """The audio, by a second try where the first says that one may help."""
        while True:
            try:
                return self.vocoder.speak(ids)
            except RunnerError as error:
                if error.fatal:
                    raise UsageError(error.message) from error
                if not error.retryable:
                    raise

    def _silence(self, count: Count) -> str:
        count.silent += 1
        path = self.out / AUDIO / SILENCE
        empty = pcm_wav(b"", SAMPLE_RATE).data or b""
        if not path.is_file() or path.read_bytes() != empty:
            write_bytes(path, empty)
        return f"{AUDIO}/{SILENCE}"

    def _copied(self, source: Path) -> str:
        """Audio that the run has already, put beside the rest."""
        target = self.out / AUDIO / source.name
        if not target.is_file() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            half = target.with_name(f".{target.name}.half")
            shutil.copyfile(source, half)
            half.replace(target)
        return f"{AUDIO}/{source.name}"

    def _tell(self, what: str) -> None:
        self.told += 1
        if self.told <= TOLD:
            print(f"error: {what}", file=sys.stderr)
        elif self.told == TOLD + 1:
            print("error: more of them; each stands in the predictions", file=sys.stderr)


def call(args: argparse.Namespace) -> int:
    """Make the audio; the exit code."""
    run = Run(args.run)
    manifest = run.manifest()
    timeout = TIMEOUT if args.timeout is None else args.timeout
    if not (math.isfinite(timeout) and timeout > 0):
        raise UsageError("--timeout is a number of seconds above 0.")
    setup = VocoderSetup.of(
        args.cosyvoice,
        args.vocoder,
        speaker=args.speaker,
        voice=args.voice,
        python=args.python,
        device=args.device,
        timeout=timeout,
    )
    sizes = tasks_with_ids(run, manifest, args.task)
    if (remark := setup.speaker.remark()) is not None:
        print(f"note: {remark}", file=sys.stderr)
    out = Path(args.out) if args.out else run.root / "vocoded"
    vocoder, before = Vocoder(setup), made_with(out)
    writer, counts = Writer(run, out, vocoder), {}
    quiet = args.json and args.progress == "auto" and not sys.stderr.isatty()
    progress = Progress("none" if quiet else args.progress, sum(sizes.values()))
    try:
        for name in sizes:
            counts[name] = writer.task(name, progress)
            told = summary(run, manifest, vocoder, counts, before)
            write_atomically(out / SUMMARY, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    finally:
        progress.close()
        vocoder.close()
    if args.json:
        print(json.dumps(told, ensure_ascii=False))
    else:
        for line in lines_of(counts, manifest):
            print(line)
    return 1 if any(c.errors for c in counts.values()) else 0


def answers(files: TaskFiles) -> Iterator[Response]:
    """The answers that count, in the order of sample ids."""
    for line in files.final_lines():
        yield Response.from_json(line)


def tasks_with_ids(run: Run, manifest: Mapping[str, Any], globs: list[str] | None) -> dict[str, int]:
    """The tasks that hold speech ids, and how many answers each has.

    Raises:
        UsageError: there are none.
    """
    names = [str(name) for name in manifest.get("tasks") or {}]
    for glob in globs or ():
        if not any(fnmatchcase(n, glob) for n in names):
            raise UsageError(f"{run.root} has no task {glob}; it has: {', '.join(names)}.")
    chosen = [n for n in names if not globs or any(fnmatchcase(n, g) for g in globs)]
    out = {}
    for name in chosen:
        found = [as_ids(r) or r.meta.get("speech") == "ids" for r in answers(run.task(name))]
        if any(found):
            out[name] = len(found)
    if not out:
        raise UsageError(
            f"{run.root} holds no speech ids{' in these tasks' if globs else ''}: run a task in which the model "
            "speaks with -M speech=ids. (Answers with audio need no vocoder.)"
        )
    return out


def length(path: Path) -> float | None:
    """Seconds of a wav file of ours; None where there is none, or not all of it."""
    try:
        size = path.stat().st_size
        with wave.open(str(path), "rb") as file:
            frames, kind = file.getnframes(), (file.getnchannels(), file.getsampwidth(), file.getframerate())
    except (OSError, EOFError, wave.Error):
        return None
    whole = kind == (1, 2, SAMPLE_RATE) and frames > 0 and size == HEADER + 2 * frames
    return frames / SAMPLE_RATE if whole else None


def made_with(out: Path) -> dict[str, JSON]:
    """Device and torch of an earlier call, as its vocode.json has them."""
    try:
        return dict(json.loads((out / SUMMARY).read_text(encoding="utf-8"))["made_with"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def summary(
    run: Run,
    manifest: Mapping[str, Any],
    vocoder: Vocoder,
    counts: Mapping[str, Count],
    before: Mapping[str, JSON],
) -> dict[str, JSON]:
    """What was made, of whose answers, by what (`before`: by an earlier call): the content of vocode.json."""
    model = manifest.get("model") or {}
    return {
        "v": 1,
        "run": str(run.root),
        "model": {k: model.get(k) for k in ("label", "runner", "generation")},
        "vocoder": dict(vocoder.identity()),
        "made_with": dict(vocoder.facts or before),
        "tasks": {name: asdict(c) for name, c in counts.items()},
        "score": "\n".join(score_commands(counts, manifest)),
    }


def score_commands(counts: Mapping[str, Count], manifest: Mapping[str, Any]) -> list[str]:
    """The calls that score what was written, but for judges and data.

    One for all tasks of the benchmarks. A task of somebody's own data is known by its manifest, which the run does not
    name, and has a call of its own.
    """
    more = ["--label", str((manifest.get("model") or {}).get("label") or "model")]
    if manifest.get("limit"):
        more += ["--limit", str(manifest["limit"])]
    suite = catalogue().suites.get(str(manifest.get("suite")))
    if (
        suite is not None and suite.data_dir
    ):  # a suite with data of its own, which nobody has to name in `run`
        more += ["--data-dir", str(packaged(suite.data_dir))]
    known = [f"{name}={c.predictions}" for name, c in counts.items() if not name.startswith(OWN)]
    calls = [known] if known else []
    calls += [[c.predictions, "--task", "MANIFEST"] for name, c in counts.items() if name.startswith(OWN)]
    return [shlex.join(["run_eval.py", "score", *call, *more]) for call in calls]


def lines_of(counts: Mapping[str, Count], manifest: Mapping[str, Any]) -> Iterator[str]:
    """What was made, for people."""
    for name, c in counts.items():
        told = [f"{c.made} made", f"{c.kept} made before"]
        more = {
            "with audio in the run": c.spoken,
            "silent": c.silent,
            "without speech": c.unspoken,
            "errors": c.errors,
            "errors of the run": c.errored,
        }
        told += [f"{n} {what}" for what, n in more.items() if n]
        yield f"{name}  {c.answers} answers: {', '.join(told)}; {c.seconds:.1f} s of speech"
        yield f"  {c.predictions}"
    for command in score_commands(counts, manifest):
        yield f"next: {command} --asr ENGINE ... (data and judges as in the run)"
