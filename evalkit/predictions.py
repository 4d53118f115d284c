"""Predictions made elsewhere: a JSONL file with `id` and `text` and/or `audio`, optionally `row` and `judge`.

The file is read as a stream; what stays in memory per line is an id and a byte offset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from evalkit.audio import AudioError, inside
from evalkit.errors import UsageError
from evalkit.files import BOM, sha256_of
from evalkit.records import JSON, Audio, Failure, Gap, Response


def _as_id(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_replies(value: Any) -> Any:
    """Replies as text: a number as it is spelled, nothing as an empty reply (which no contract can read)."""
    if isinstance(value, dict):
        return {k: _as_replies(v) for k, v in value.items()}
    if isinstance(value, list):
        return ["" if v is None else _as_replies(v) for v in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Prediction(BaseModel):
    """One line.

    Attributes:
        id: the sample's id; numbers are taken as their text.
        text: the answer in words.
        audio: path of the spoken answer, relative to the file's folder (or to --audio-dir).
        transcript: words of the spoken answer, if they were transcribed already.
        row: the data set's own row, when the data set is not at hand.
        judge: raw judge replies recorded earlier: a reply, a list (votes), or {metric: replies}.
        task: the task it answers, in a file that serves several.
        error: why there is no answer, as {kind, message}, where another format's file says so.
        lacks: how the record it was converted from lacks its answer in words.
        at: file and line it was converted from, for messages.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    id: Annotated[str, BeforeValidator(_as_id)]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None
    row: dict[str, Any] | None = None
    judge: Annotated[str | list[str] | dict[str, str | list[str]] | None, BeforeValidator(_as_replies)] = None
    task: str | None = None
    error: dict[str, str] | None = None
    lacks: Gap | None = None
    at: tuple[str, int] | None = None

    @property
    def empty(self) -> bool:
        """True when there is nothing to score: no words, no speech, and nothing that was made of them."""
        return self.text is None and self.audio is None and self.transcript is None and self.judge is None

    @property
    def gap(self) -> Gap | None:
        """How the answer is lacking; None when there is one, or `error` says why not."""
        if self.error is not None or self.lacks is not None or not self.empty:
            return None if self.error is not None else self.lacks
        return "null" if "text" in self.model_fields_set else "absent"

    def response(self, folder: Path) -> Response:
        """The prediction as a response; speech is addressed by path.

        Raises:
            AudioError: the audio path leaves `folder`.
        """
        audio = None
        if self.audio:
            given = Path(self.audio)
            path = inside(
                folder, str(given.relative_to(folder)) if given.is_relative_to(folder) else self.audio
            )
            audio = Audio(path=str(path), format=path.suffix.lstrip(".").lower() or None)
        meta: dict[str, JSON] = {} if self.text is not None else {"text": "none given"}
        if self.transcript is not None:
            meta["transcript"] = self.transcript
        if self.judge is not None:
            meta["recorded"] = self.judge
        return Response(self.id, text=self.text or "", audio=audio, meta=meta)


_ADAPTER = TypeAdapter(Prediction)


@dataclass
class PredictionFile:
    """A predictions file, indexed by id on first use.

    Attributes:
        path: the JSONL file.
        audio_dir: folder that spoken answers lie in; default the file's own.
        recorded: False leaves recorded judge replies unread.
        task: the task its lines are taken to answer; a line that names another one is an error.
        origin: the file that users know, where this one was converted from it.
    """

    path: Path
    audio_dir: Path | None = None
    recorded: bool = True
    task: str = ""
    origin: Path | None = None

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise UsageError(f"there is no predictions file {self.path}")

    @property
    def shown(self) -> Path:
        """The file as messages call it."""
        return self.origin or self.path

    @cached_property
    def folder(self) -> Path:
        """Folder that spoken answers lie in, absolute."""
        return (self.audio_dir or self.path.parent).absolute()

    def parse(self, line: bytes, number: int) -> Prediction:
        """One line. Raises UsageError that names file and line number."""
        prediction = self._read(line, number)
        if not self.recorded:
            prediction.judge = None
        if prediction.task is not None and self.task and prediction.task != self.task:
            raise UsageError(
                f"{self.path}:{number}: answers {prediction.task}, not {self.task}. In a file for several tasks "
                "the first lines, too, have to name theirs."
            )
        return prediction

    def _read(self, line: bytes, number: int) -> Prediction:
        try:
            return _ADAPTER.validate_json(line)
        except ValidationError as exc:
            first = exc.errors()[0]
            if first["type"] == "json_invalid" and (rescued := self._with_surrogates(line)) is not None:
                return rescued
            field = ".".join(map(str, first["loc"][:1]))
            if first["type"] == "json_invalid":
                what = "not JSON, or cut off"
            elif first["type"] == "missing":
                what = f"has no field {field!r}"
            else:
                what = f"field {field!r}: {first['msg'].lower()}" if field else first["msg"].lower()
            raise UsageError(
                f"{self.path}:{number}: {what}. Each line must be an object with id and text or audio."
            ) from exc

    @staticmethod
    def _with_surrogates(line: bytes) -> Prediction | None:
        """Lines with lone surrogate escapes, which strict JSON parsers refuse: replace them by U+FFFD."""
        import json

        try:
            text = json.dumps(json.loads(line), ensure_ascii=False)
        except ValueError:
            return None
        clean = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        try:
            return _ADAPTER.validate_json(clean)
        except ValidationError:
            return None

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """(line number from 1, byte offset, line) of every line that isn't blank."""
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                start, offset = offset, offset + len(line)
                if start == 0 and line.startswith(BOM):  # some editors put a byte order mark there
                    start, line = len(BOM), line[len(BOM) :]
                if line.strip():
                    yield number, start, line

    def __iter__(self) -> Iterator[Prediction]:
        """Every prediction in file order.

        Raises:
            UsageError: a malformed line, or an id that occurs twice, naming both lines.
        """
        seen: dict[str, int] = {}
        for number, _, line in self.lines():
            prediction = self.parse(line, number)
            if (first := seen.setdefault(prediction.id, number)) != number:
                raise UsageError(
                    f"{self.path}:{number}: the id {prediction.id!r} stands on line {first} already."
                )
            yield prediction

    @cached_property
    def index(self) -> dict[str, tuple[int, int]]:
        """id -> (line number, byte offset); checks every line. Raises UsageError as iteration does."""
        out: dict[str, tuple[int, int]] = {}
        facts = {"judged": False, "spoken": False}
        for number, offset, line in self.lines():
            prediction = self.parse(line, number)
            if prediction.id in out:
                raise UsageError(
                    f"{self.path}:{number}: the id {prediction.id!r} stands on line {out[prediction.id][0]} already."
                )
            out[prediction.id] = (number, offset)
            facts["judged"] |= prediction.judge is not None
            facts["spoken"] |= bool(prediction.audio)
        if not out:
            raise UsageError(f"{self.path} holds no predictions")
        self._facts = facts
        return out

    def has(self, what: Literal["judged", "spoken"]) -> bool:
        """Does any line bring judge replies, or speech? Raises UsageError as iteration does."""
        self.index  # noqa: B018 - looks at every line
        return self._facts[what]

    def get(self, sample_id: str) -> Prediction | None:
        """The prediction for a sample, or None."""
        found = self.index.get(sample_id)
        if found is None:
            return None
        with self.path.open("rb") as file:
            file.seek(found[1])
            return self.parse(file.readline(), found[0])

    def first(self) -> Prediction:
        """The first prediction. Raises UsageError when the file is empty."""
        for number, _, line in self.lines():
            return self.parse(line, number)
        raise UsageError(f"{self.path} holds no predictions")

    def answer(self, sample_id: str, prediction: Prediction | None) -> Response:
        """The prediction for a sample as a response; one that is missing or unusable is an error on record."""
        if prediction is None:
            return self._failed(
                sample_id, "no-prediction", f"{self.shown.name} has no prediction for {sample_id}"
            )
        if prediction.error is not None:
            kind = prediction.error.get("kind", "no-prediction")
            return self._failed(
                sample_id, kind, f"{sample_id}: {prediction.error.get('message', 'no answer')}"
            )
        if prediction.gap is not None:
            what = f"{self.shown.name} has neither text nor audio for {sample_id}"
            return self._failed(sample_id, "no-prediction", what)
        try:
            response = prediction.response(self.folder)
        except AudioError as exc:
            return self._failed(sample_id, "bad-audio", f"{sample_id}: {exc}")
        if response.audio is not None and not os.path.isfile(response.audio.path or ""):  # noqa: PTH113
            what = f"{sample_id}: there is no file {response.audio.path}"
            return self._failed(sample_id, "bad-audio", what)
        return response

    @staticmethod
    def _failed(sample_id: str, kind: str, message: str) -> Response:
        return Response(sample_id, error=Failure(kind, message))

    @cached_property
    def sha256(self) -> str:
        """Digest of the file."""
        return sha256_of(self.path)

    def _place(self, sample_id: str, number: int) -> str:
        """Where a prediction stands, for people: in the file they know."""
        found = self.get(sample_id) if self.origin is not None else None
        return f"line {found.at[1] if found is not None and found.at else number}"

    def check_known(self, known: set[str], task: str) -> None:
        """Every id must be a sample of the task.

        Raises:
            UsageError: names the first unknown ids and their lines.
        """
        unknown = [(i, n) for i, (n, _) in self.index.items() if i not in known]
        if unknown:
            shown = ", ".join(f"{i!r} ({self._place(i, n)})" for i, n in unknown[:3])
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise UsageError(f"{self.shown}: {task} has no sample {shown}{more}. Check --task and the ids.")
