"""The run directory: append-only lines that survive a kill, and everything that reads them.

A line is written whole, with one system call, or cut off again; a torn line is ignored on reading.
Only one process writes a run; any number may read it. Field by field: docs/run-directory.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.linefiles import (
    FULL,
    Appender,
    encode_line,
    read_lines,
    store_error,
    write_atomically,
    write_bytes,
)
from evalkit.records import JSON, Audio, Response, Score, Transcript, cut_off, recordings

RESPONSES, TRANSCRIPTS, SCORES = "responses.jsonl", "transcripts.jsonl", "scores.jsonl"
MANIFEST, RESULTS = "run.json", "results.json"
RESULTS_VERSION = 1
"""Layout of results.json; a higher one is not read."""
CALLS = "calls.jsonl"
AUDIO = "audio"
INSTEAD = "skipped:"
"""Stands before the digest of an input that wasn't sent, because a protocol speaks in the model's place."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a response stands in its file, and what it answers; enough to resume without reading it.

    `digest` is what scores refer to; `answer` is the digest of the answer alone, `judged` of
    what judges were told of the sample, `order` its place in the data set; `cluster` and `heard` name what
    it may share with other samples: the label its task gives, the recordings that were sent; `cut`: the
    limit of tokens ended the answer.
    """

    input: str
    digest: str
    offset: int
    ok: bool
    answer: str = ""
    judged: str = ""
    order: int = 0
    cluster: str = ""
    heard: str = ""
    cut: bool = False

    @property
    def question(self) -> str:
        """Digest of what the model was sent, or would have been where a protocol spoke in its place."""
        return self.input.removeprefix(INSTEAD)


class TaskFiles:
    """Reads the files of one task."""

    def __init__(self, root: Path, task: str) -> None:
        if not re.fullmatch(r"[\w.\-]+(/[\w.\-]+)*", task) or ".." in task.split("/"):
            raise UsageError(f"{task!r} is not a task name")
        self.task = task
        self.folder = root / task
        self.root = root

    def response_lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(offset, line) of every attempt on record."""
        return read_lines(self.folder / RESPONSES)

    def marks(self) -> dict[str, Mark]:
        """The last word on each sample; an answer is never displaced by a later error on the same input."""
        out: dict[str, Mark] = {}
        for offset, line in self.response_lines():
            digest = line.get("response", "")
            asked = line.get("asked") or {}
            told, order = asked.get("judged", ""), int(asked.get("order") or 0)
            ok = "error" not in line
            more = str(asked.get("cluster") or ""), recordings(line), cut_off(line.get("meta") or {})
            new = Mark(
                line.get("input", ""), digest, offset, ok, line.get("answer", digest), told, order, *more
            )
            old = out.get(line["sample_id"])
            if old is None or new.ok or not old.ok or old.input != new.input:
                out[line["sample_id"]] = new
        return out

    def final_lines(self) -> Iterator[dict[str, Any]]:
        """The line that counts for each sample, in sample-id order, read one at a time."""
        marks = self.marks()
        path = self.folder / RESPONSES
        if not marks:
            return
        with path.open("rb") as file:
            for sample_id in sorted(marks):
                file.seek(marks[sample_id].offset)
                yield json.loads(file.readline())

    def response_at(self, mark: Mark) -> Response:
        """The response a mark points to; its audio path is made absolute."""
        with (self.folder / RESPONSES).open("rb") as file:
            file.seek(mark.offset)
            return self.absolute(Response.from_json(json.loads(file.readline())))

    def relative(self, response: Response) -> Response:
        """The response with its stored speech addressed as it is on record."""
        from dataclasses import replace

        if response.audio is None or response.audio.path is None:
            return response
        path = Path(response.audio.path)
        name = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        return replace(response, audio=replace(response.audio, path=name))

    def absolute(self, response: Response) -> Response:
        """The response with its stored speech addressed by an absolute path."""
        from dataclasses import replace

        if response.audio is None or response.audio.path is None:
            return response
        return replace(response, audio=replace(response.audio, path=str(self.root / response.audio.path)))

    def scores(self) -> Iterator[Score]:
        """Every score on record, in order of writing."""
        for _, line in read_lines(self.folder / SCORES):
            yield Score.from_json(line)

    def transcripts(self) -> Iterator[Transcript]:
        """Every transcript on record."""
        for _, line in read_lines(self.folder / TRANSCRIPTS):
            yield Transcript.from_json(line)


def score_key(sample_id: str, metric: str, judge: str, response: str) -> int:
    """A compact key of one verdict, for sets of a million of them."""
    text = "\x00".join((sample_id, metric, judge, response)).encode("utf-8", "backslashreplace")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class Run:
    """A run directory, for reading."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @property
    def exists(self) -> bool:
        return (self.root / MANIFEST).is_file()

    def manifest(self) -> dict[str, Any]:
        """The content of run.json. Raises UsageError when this is no run directory."""
        return self._json(MANIFEST)

    def results(self) -> dict[str, Any]:
        """The content of results.json. Raises UsageError when it isn't there, or of a layout newer than ours."""
        found = self._json(RESULTS)
        version = found.get("v")
        if isinstance(version, int) and version > RESULTS_VERSION:
            raise UsageError(
                f"{self.root / RESULTS} has layout {version}, and this evalkit reads up to {RESULTS_VERSION}: "
                "read it with the newer evalkit that wrote it."
            )
        return found

    def _json(self, name: str) -> dict[str, Any]:
        path = self.root / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            if name == RESULTS and self.exists:
                raise UsageError(
                    f"the run in {self.root} has no results yet; call the command that began it again."
                ) from exc
            raise UsageError(f"{self.root} is not a run directory (it has no {name}).") from exc
        except NotADirectoryError as exc:
            inside = f", {self.root.parent}" if (self.root.parent / name).is_file() else ""
            raise UsageError(f"{self.root} is a file; a run is named by its folder{inside}.") from exc
        except (OSError, ValueError) as exc:
            raise UsageError(f"{path} can't be read: {exc}") from exc
        if not isinstance(value, dict):
            raise UsageError(f"{path} does not hold an object")
        return value

    def task(self, name: str) -> TaskFiles:
        return TaskFiles(self.root, name)

    def write_results(self, results: Mapping[str, JSON]) -> None:
        """Replace results.json; the same results give the same bytes."""
        write_atomically(self.root / RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


class RunWriter(Run):
    """A run directory, for the one process that writes it."""

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("a+")
        except OSError as exc:
            if exc.errno in FULL:
                raise store_error(self.root, exc) from exc
            raise UsageError(
                f"the run directory {self.root} can't be written: {exc.strerror or exc}. Choose another --out."
            ) from exc
        self._lock = self._locked(lock)
        self._appenders: dict[tuple[str, str], Appender] = {}

    def _locked(self, file: Any) -> Any:
        """The file, with the lock on it. Raises UsageError when another process holds it."""
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no flock on this platform: the user has to take care
            return file
        except OSError as exc:
            file.close()
            raise UsageError(
                f"another process is writing {self.root}. Wait for it, or choose another --out."
            ) from exc
        return file

    def write_manifest(self, manifest: Mapping[str, JSON]) -> None:
        """Replace run.json."""
        write_atomically(self.root / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")

    def _append(self, task: str, name: str, data: bytes) -> None:
        appender = self._appenders.get((task, name))
        if appender is None:
            appender = self._appenders[task, name] = Appender(self.task(task).folder / name)
        appender.append(data)

    def append_response(
        self, task: str, response: Response, *, input: str, asked: Mapping[str, JSON], ref: str | None = None
    ) -> None:
        """Record one attempt.

        Args:
            input: content digest of the sample it answers.
            asked: what a reader needs to understand it without the data set: question, target, groups.
            ref: what scores of it refer to; default its own digest.
        """
        digest = response.digest()
        line = response.to_json() | {"input": input, "answer": digest, "response": ref or digest}
        line["asked"] = dict(asked)
        self._append(task, RESPONSES, encode_line(line))

    def append_transcript(self, task: str, transcript: Transcript) -> None:
        self._append(task, TRANSCRIPTS, encode_line(transcript.to_json()))

    def append_scores(self, task: str, scores: list[Score]) -> None:
        """Record verdicts; all of them in one write."""
        if scores:
            self._append(task, SCORES, b"".join(encode_line(s.to_json()) for s in scores))

    def append_call(self, line: Mapping[str, JSON]) -> None:
        """Record a call to a model that helps to score (`evalkit.ledger`)."""
        appender = self._appenders.get(("", CALLS))
        if appender is None:
            appender = self._appenders["", CALLS] = Appender(self.root / CALLS)
        appender.append(encode_line(dict(line)))

    def append_raw(self, task: str, name: str, data: bytes) -> None:
        """Record lines that are already encoded (bulk scoring)."""
        self._append(task, name, data)

    def keep_speech(self, audio: Audio) -> Audio:
        """Store generated speech as FLAC under its digest; the audio then is a path relative to the run.

        Raises:
            AudioError: the bytes are no audio.
            StoreError: full disk.
        """
        from evalkit.audio import decode, encode_flac

        samples, rate = decode(audio)
        name = self.keep_flac(encode_flac(samples, rate))
        return Audio(
            path=name,
            format="flac",
            sha256=Path(name).stem,
            seconds=round(len(samples) / rate, 4),
            sample_rate=rate,
        )

    def keep_flac(self, data: bytes) -> str:
        """Store FLAC bytes under their digest; the path, relative to the run. Raises StoreError."""
        name = f"{AUDIO}/{hashlib.sha256(data).hexdigest()}.flac"
        path = self.root / name
        if not path.exists() or path.stat().st_size != len(data):
            write_bytes(path, data)
        return name

    def close(self) -> None:
        for appender in self._appenders.values():
            appender.close()
        self._appenders.clear()
        self._lock.close()
