"""What judging and transcribing took: one line per request or reused reply, and their sums.

`calls.jsonl` in the run directory, only ever appended to; a line torn by a kill is ignored on reading. No text,
no address and no key stands in it. Floor 2; field by field: docs/run-directory.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalkit.linefiles import Appender, encode_line, read_lines, write_atomically
from evalkit.records import JSON
from evalkit.store import CALLS
from evalkit.usage import Tokens

COSTS = "costs.json"
ASR = "asr"
DIGITS = 9
"""Decimals of a sum of money in USD: a call to a small model costs millionths."""

Sink = Callable[["Call"], None]
"""Takes a call to put on record."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model that helps to score, or one reply of its that was reused.

    Attributes:
        at: when it ended, in UTC ("2026-11-25T19:00:00Z").
        role: "judge", "lalm-judge" or "asr".
        model: its label; the signature of an ASR engine.
        task, sample_id, metric: for what it was; "" where it was for no sample (a probe).
        cached: the reply was given earlier, and cost nothing now.
        error: code of what went wrong; "" when nothing did.
        replies: how many votes were asked for.
        tokens: as the endpoint counted them; None where it counted nothing.
        estimate: about how many, where it counted nothing.
        audio: seconds of audio it was played; None where unknown.
        seconds: wall time; of an ASR engine its share of the batch's.
        usd: what it cost; None where the price is unknown.
    """

    at: str
    role: str
    model: str
    task: str = ""
    sample_id: str = ""
    metric: str = ""
    cached: bool = False
    error: str = ""
    replies: int = 1
    tokens: Tokens | None = None
    estimate: Tokens | None = None
    audio: float | None = None
    seconds: float = 0.0
    usd: float | None = None

    def to_json(self) -> dict[str, JSON]:
        """As a line; what is empty is left out."""
        out: dict[str, JSON] = {"v": 1, "at": self.at, "role": self.role, "model": self.model}
        for name in ("task", "sample_id", "metric", "error"):
            if value := getattr(self, name):
                out[name] = value
        if self.cached:
            out["cached"] = True
        if self.replies > 1:
            out["replies"] = self.replies
        for name in ("tokens", "estimate"):
            if (count := getattr(self, name)) is not None:
                out[name] = count.to_json()
        if self.audio is not None:
            out["audio"] = round(self.audio, 3)
        if not self.cached:
            out["seconds"] = round(self.seconds, 3)
            out |= {"usd": round(self.usd, DIGITS)} if self.usd is not None else {}
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Call:
        """Of a line. Raises KeyError, TypeError, ValueError, OverflowError for what is none."""
        return cls(
            at=str(obj["at"]),
            role=str(obj["role"]),
            model=str(obj["model"]),
            task=str(obj.get("task") or ""),
            sample_id=str(obj.get("sample_id") or ""),
            metric=str(obj.get("metric") or ""),
            cached=bool(obj.get("cached")),
            error=str(obj.get("error") or ""),
            replies=int(obj.get("replies") or 1),
            tokens=Tokens.from_json(obj.get("tokens")),
            estimate=Tokens.from_json(obj.get("estimate")),
            audio=_amount(obj.get("audio")),
            seconds=_amount(obj.get("seconds")) or 0.0,
            usd=_amount(obj.get("usd")),
        )


def _amount(value: JSON) -> float | None:
    """A number of seconds or USD. Raises ValueError, OverflowError for what is none."""
    if value is None:
        return None
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{number} is no amount")
    return number


class CallsFile:
    """A ledger in a folder of one's own, for calls outside a run. Raises StoreError.

    A run's own ledger is written by its `RunWriter` (`append_call`).
    """

    def __init__(self, folder: Path) -> None:
        self._out = Appender(folder / CALLS)

    def __call__(self, call: Call) -> None:
        self._out.append(encode_line(call.to_json()))

    def close(self) -> None:
        self._out.close()


def read_calls(folder: Path) -> Iterator[Call]:
    """Every call on record in a folder, in order of writing; lines that are none are passed over."""
    for _, line in read_lines(folder / CALLS):
        try:
            yield Call.from_json(line)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue


_COUNTS = ("calls", "cached", "failed", "replies", "estimated", "unpriced", "asr")
_AMOUNTS = ("audio", "seconds", "usd")


class Sums:
    """Sums over calls; `asr` counts those to ASR engines, which have no tokens and no price."""

    __slots__ = (*_COUNTS, *_AMOUNTS, "_tokens")

    def __init__(self) -> None:
        self.calls = self.cached = self.failed = self.replies = self.estimated = self.unpriced = self.asr = 0
        self.audio = self.seconds = self.usd = 0.0
        self._tokens = [0] * len(Tokens.__slots__)

    @property
    def tokens(self) -> Tokens:
        return Tokens(*self._tokens)

    def add(self, call: Call) -> None:
        """Count a call. A reused reply counts as one, and adds nothing to the rest."""
        self.calls += 1
        self.asr += call.role == ASR
        if call.cached:
            self.cached += 1
            return
        self.failed += bool(call.error)
        self.seconds += call.seconds
        self.audio += call.audio or 0.0
        if call.role == ASR:
            return
        self.replies += call.replies if not call.error else 0
        if (count := call.tokens or call.estimate) is not None:
            for k, name in enumerate(Tokens.__slots__):
                self._tokens[k] += getattr(count, name)
            self.estimated += call.tokens is None and bool(call.task)
        if call.usd is not None:
            self.usd += call.usd
        elif not call.error:
            self.unpriced += 1

    def merge(self, other: Sums) -> None:
        """Add other sums."""
        for name in (*_COUNTS, *_AMOUNTS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._tokens = [x + y for x, y in zip(self._tokens, other._tokens, strict=True)]

    def to_json(self) -> dict[str, JSON]:
        """`usd` is null when no call has a price, as of ASR engines; with some unpriced, it is of the others."""
        paid = self.calls - self.cached - self.failed
        priced = self.unpriced < paid or not self.unpriced
        return {
            "calls": self.calls,
            "cached": self.cached,
            "failed": self.failed,
            "replies": self.replies,
            "tokens": self.tokens.to_json(),
            "estimated": self.estimated,
            "audio_seconds": round(self.audio, 3),
            "seconds": round(self.seconds, 3),
            "usd": round(self.usd, DIGITS) if priced and not self.asr else None,
            "unpriced": self.unpriced,
        }


def costs_of(folder: Path, results: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the tasks of a run's results cost so far, from its ledger; see `costs`."""
    tasks: Mapping[str, Any] = results.get("tasks") or {}
    tables = {name: [str(c["table"]) for c in t.get("cells") or ()] for name, t in tasks.items()}
    try:
        state = (folder / CALLS).stat()
    except OSError:
        return costs((), tables)
    return _read_costs(folder, state.st_size, state.st_mtime_ns, tuple((n, *t) for n, t in tables.items()))


@lru_cache(maxsize=16)
def _read_costs(
    folder: Path, size: int, changed: int, tables: tuple[tuple[str, ...], ...]
) -> Mapping[str, Any]:
    """Once for each state of the file: results, terminal and report all tell it."""
    return costs(read_calls(folder), {name: rest for name, *rest in tables})


def write_costs(folder: Path, results: Mapping[str, Any]) -> None:
    """Replace costs.json, where anything is on record. Raises StoreError.

    Beside results.json and not in it: the same numbers come from a run that was cut off and went on, at another cost.
    """
    if (folder / CALLS).exists():
        text = json.dumps({"v": 1, **costs_of(folder, results)}, indent=1, ensure_ascii=False)
        write_atomically(folder / COSTS, text + "\n")


def costs(calls: Iterable[Call], tables: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the calls for some tasks came to, by model, by task and by published table.

    Args:
        tables: the tasks, each with the published tables that it has cells in. Calls for other tasks are left
            out, those for no task (probes) count by model only.

    Returns:
        The content of costs.json; each list sorted, so that the same calls give the same bytes.
    """
    found: dict[tuple[str, str, str], Sums] = {}
    for call in calls:
        if not call.task or call.task in tables:
            key = (call.role, call.model, call.task)
            if (sums := found.get(key)) is None:
                sums = found[key] = Sums()
            sums.add(call)
    by_model: dict[tuple[str, str], Sums] = {}
    by_task: dict[tuple[str, str], Sums] = {}
    by_table: dict[tuple[str, str], Sums] = {}
    total = Sums()
    for role, model, task in sorted(found):
        places = [by_model.setdefault((role, model), Sums())]
        if role != ASR:
            places.append(total)
        if task:
            places.append(by_task.setdefault((task, role), Sums()))
            places += [by_table.setdefault((t, role), Sums()) for t in dict.fromkeys(tables[task])]
        for sums in places:
            sums.merge(found[role, model, task])
    return {
        "usd": total.to_json()["usd"] if total.calls else None,
        "unpriced": total.unpriced,
        "by_model": _rows(by_model, "role", "model"),
        "by_task": _rows(by_task, "task", "role"),
        "by_table": _rows(by_table, "table", "role"),
    }


def _rows(found: Mapping[tuple[str, str], Sums], *names: str) -> list[dict[str, Any]]:
    return [dict(zip(names, key, strict=True)) | found[key].to_json() for key in sorted(found)]
