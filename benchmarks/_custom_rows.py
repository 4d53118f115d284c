"""Rows of a data set of one's own, made into samples as its manifest says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._choices import letter, report_prompt
from benchmarks._custom_manifest import PLACEHOLDER, Judged, Manifest
from evalkit.errors import UsageError
from evalkit.records import Audio, Modality, Sample, Turn
from evalkit.rows import Row
from judges.custom import BUILT_IN
from judges.prompts import load_rubric

_LETTERED = re.compile(r"\(?([A-Za-z])[).:]\s*(\S.*)", re.DOTALL)
"""A choice or an answer with its letter before it: "B. Oslo", "(B) Oslo"."""


_NESTED: dict[Any, str] = {Mapping: "an object", (list, tuple): "a list", bytes: "bytes"}


def _unlettered(options: list[str]) -> list[str]:
    """Options without their letters, if all bring their own: the prompt writes them, and replies may leave them out."""
    found = [_LETTERED.fullmatch(o.strip()) for o in options]
    whole = all(m and m[1].upper() == letter(i) for i, m in enumerate(found))
    return [m[2] for m in found if m] if whole else options


@dataclass(frozen=True)
class Reader:
    """Rows to samples, as the manifest in `path` says."""

    manifest: Manifest
    path: Path
    needed: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, manifest: Manifest, path: Path) -> Reader:
        return cls(manifest, path, frozenset(_needed(manifest)))

    # --- a row ------------------------------------------------------------------------------------

    def to_sample(self, task: str, row: Row) -> Sample:
        """Raises UsageError for a missing column or an empty cell that is needed, naming row and remedy."""
        m = self.manifest
        self._whole(row)
        question, options = self._question(row), self._choices(row)
        target = self._answer(row, options)
        turn = self._turn(row, self._prompt(question, options))
        meta: dict[str, Any] = {"question": question} if question is not None else {}
        if options:
            meta["choices"] = options
        if (language := self._cell(row, m.columns.language, "language")) is not None:
            meta["language"] = str(language)
        meta |= {g: self._group(row, g) for g in m.groups}
        sample_id = self._id(row, turn, question, target)
        return Sample(sample_id, task, (turn,), target=target, meta=meta, cluster=self._cluster(row))

    def _whole(self, row: Row) -> None:
        """A line of a CSV or TSV has as many cells as the first, or they went to the wrong columns."""
        if row.given or not row.file.endswith((".csv", ".tsv")):
            return
        if None in row or None in row.values():
            more = "more" if None in row else "fewer"
            remedy = "quote cells that hold the separator" if row.file.endswith(".csv") else "mend the line"
            raise UsageError(f"{row.where} has {more} cells than the file's first line; {remedy}")

    def _cell(self, row: Row, column: str, role: str) -> Any:
        """The cell of a column; None where it is absent and not asked for. Needed cells are not empty."""
        value = self._column(row, column, role)
        value = None if value != value else value  # NaN: how a table says that there is nothing
        empty = value is None or (isinstance(value, str) and not value.strip())
        if empty and role in self.needed and not row.given:
            raise self._error(row, f"has nothing in column {column!r}; fill it in, or name another", role)
        return value

    def _column(self, row: Row, column: str, role: str) -> Any:
        named = role in self.manifest.columns.model_fields_set
        if column not in row and (named or role in self.needed) and not row.given:
            found = ", ".join(map(str, row)) or "none"
            raise self._error(
                row, f"has no column {column!r} (found: {found}); name the one for the {role}", role
            )
        return row.get(column)

    def _error(self, row: Row, what: str, role: str) -> UsageError:
        return UsageError(f"{row.where} {what} under columns.{role} in {self.path.name}")

    def _plain(self, row: Row, value: Any, role: str) -> str:
        """A text, number or truth value as text. Raises UsageError for what is nested, or nothing, and needed."""
        kind = next((name for kinds, name in _NESTED.items() if isinstance(value, kinds)), "")
        kind = "null" if value is None or value != value else kind
        if kind and (role == "id" or role in self.needed):
            raise self._error(row, f"has {kind} where a text belongs; give texts or numbers", role)
        return str(value)

    def _question(self, row: Row) -> str | None:
        value = self._cell(row, self.manifest.columns.question, "question")
        return None if value is None else self._plain(row, value, "question")

    def _choices(self, row: Row) -> list[str]:
        column = self.manifest.columns.choices
        if isinstance(
            column, tuple
        ):  # an option a column: where a question has fewer, the last cells are empty
            cells = [self._column(row, c, "choices") for c in column]
            found = ["" if c is None or c != c else self._plain(row, c, "choices") for c in cells]
            while found and not found[-1].strip():
                found.pop()
            if not row.given and not all(c.strip() for c in found):
                raise self._error(
                    row, "has an empty choice before others; fill it in, or move it last", "choices"
                )
        else:
            value = self._list(self._cell(row, column, "choices"))
            found = [self._plain(row, v, "choices") for v in value] if isinstance(value, list) else []
            if "choices" in self.needed and not row.given and not all(c.strip() for c in found):
                raise self._error(row, "has an empty choice; fill it in, or leave it out", "choices")
        if "choices" in self.needed and not row.given and len(found) < 2:
            remedy = "a list, several columns, or a separator is what gives them"
            raise self._error(row, f"has fewer than two choices ({remedy})", "choices")
        return _unlettered(found)

    def _list(self, value: Any) -> Any:
        """A cell that holds a list, in JSON or by the separator, as that list; other cells as they are."""
        if isinstance(value, tuple):
            return list(value)
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                found = json.loads(value)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, list):
                return found
        separator = self.manifest.separator
        return (
            [part.strip() for part in value.split(separator)] if separator and separator in value else value
        )

    def _answer(self, row: Row, options: Sequence[str]) -> Any:
        value = self._cell(row, self.manifest.columns.answer, "answer")
        kind = self.manifest.scorer.kind
        if value is None:
            return None
        if kind in ("wer", "cer"):
            if isinstance(value, list | tuple):
                raise self._error(row, f"has several answers, and {kind} takes one; give one", "answer")
            return self._plain(row, value, "answer")
        if kind == "choice":
            several = self._list(value) if not isinstance(value, str) else value
            if isinstance(several, list) and len(several) == 1:
                value = several[0]
            elif isinstance(several, list):
                raise self._error(row, "has several answers, and choice takes one; give one", "answer")
            return self._option(row, self._plain(row, value, "answer"), options)
        found = self._list(value)
        if not isinstance(found, list):
            return self._plain(row, found, "answer")
        if not found and "answer" in self.needed:
            raise self._error(row, "has an empty list of answers; fill it in, or name another", "answer")
        texts = [self._plain(row, v, "answer") for v in found]
        if "answer" in self.needed and not row.given and not all(t.strip() for t in texts):
            raise self._error(row, "has an empty text among its answers; leave it out", "answer")
        return texts

    def _option(self, row: Row, answer: str, options: Sequence[str]) -> str:
        """The right option's words: the answer is these words, or the option's letter, or both ("B. Oslo")."""
        wanted = answer.strip()
        worded = next(
            (o for same in (str, str.casefold) for o in options if same(o.strip()) == same(wanted)), None
        )
        bare = wanted.strip("().: ").upper()
        lettered = {letter(i): option for i, option in enumerate(options)}
        by_letter = lettered.get(bare)
        if worded is not None and by_letter not in (None, worded) and not row.given:
            i = options.index(worded)
            what = f"has the answer {answer!r:.60}, the words of one choice and the letter of another"
            raise self._error(
                row, f"{what}; write the right one's letter in brackets, e.g. ({letter(i)})", "answer"
            )
        if worded is not None or by_letter is not None:
            return worded or by_letter or ""
        both = _LETTERED.fullmatch(wanted)
        if both and lettered.get(both[1].upper(), "").strip().casefold() == both[2].casefold():
            return lettered[both[1].upper()]
        if row.given and not options:
            return answer
        what = f"has the answer {answer!r:.60}, which is none of its {len(options)} choices"
        raise self._error(row, f"{what}; give the right one's letter or its words (no number)", "answer")

    def _group(self, row: Row, column: str, key: str = "groups") -> str:
        if column not in row and not row.given:
            found = ", ".join(map(str, row)) or "none"
            raise UsageError(
                f"{row.where} has no column {column!r} (found: {found}); mend {key} in {self.path.name}"
            )
        return str(row.get(column))

    def _cluster(self, row: Row) -> str:
        """The cell that samples share that aren't independent; an empty one is a cluster of its own."""
        column = self.manifest.cluster
        if column is None:
            return ""
        self._group(row, column, "cluster")
        return "" if row.get(column) is None else str(row.get(column))

    def _prompt(self, question: str | None, options: Sequence[str]) -> str:
        prompt = self.manifest.prompt
        if prompt is None:
            prompt = "{question}" if self.manifest.modality is Modality.T2T else ""
        if prompt == "choices":
            return report_prompt(question or "", options)
        listed = "\n".join(f"{letter(i)}. {o}" for i, o in enumerate(options))
        fill = {"question": question or "", "choices": listed}
        return PLACEHOLDER.sub(lambda found: fill.get(found[1], found[0]), prompt)

    def _turn(self, row: Row, text: str) -> Turn:
        words = (text,) if text else ()
        if self.manifest.modality is Modality.T2T:
            return Turn("user", words)
        column = self.manifest.columns.audio
        value = self._cell(row, column, "audio")
        if value is None:
            return row.turn(None)
        return row.turn(lambda: self._audio(row, value, column), *words)

    def _audio(self, row: Row, value: Any, column: str) -> Audio:
        if self.manifest.data.audio_dir:
            return row.audio_of(value, column)
        return row.audio_near(value, column)

    def _id(self, row: Row, turn: Turn, question: str | None, target: Any) -> str:
        value = self._cell(row, self.manifest.columns.id, "id")
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a column of whole numbers, some of which are missing
        if value is not None and str(value).strip():
            return self._plain(row, value, "id")
        if row.given:
            return row.file_id
        try:
            heard = [p if isinstance(p, str) else p.digest() for p in turn.parts]
        except OSError as exc:
            raise UsageError(f"{row.where}: the audio can't be read: {exc}") from exc
        named = Row({"c": [heard, question, target]}, file="", number=0, split="", root="")
        return named.stable_id("c")


def _needed(manifest: Manifest) -> set[str]:
    """Roles whose columns must be there and filled, going by scorer, prompt and modality."""
    scorer, prompt = manifest.scorer, manifest.prompt or ""
    out = set() if manifest.modality is Modality.T2T else {"audio"}
    named = {"question", "choices"} if prompt == "choices" else set(PLACEHOLDER.findall(prompt))
    out |= named & {"question", "choices"}
    if manifest.modality is Modality.T2T and manifest.prompt is None:
        out.add("question")
    if isinstance(scorer, Judged):
        ours, _ = BUILT_IN.get(scorer.rubric, (None, scorer.scale))
        shown = set(load_rubric(ours).placeholders if ours else PLACEHOLDER.findall(scorer.rubric))
        return out | ({"question"} & shown) | ({"answer"} if "reference" in shown else set())
    if scorer.kind == "choice":
        out.add("choices")
    return out if scorer.kind == "refusal" else out | {"answer"}  # a refusal is held against nothing
