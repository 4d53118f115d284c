"""Runs as pandas tables, for notebooks: `evalkit.load("runs/mine").scores`.

Tidy: one row per sample, per verdict and per number, one thing per column, groups among them. Nothing is computed that
a run does not say itself. Column by column: docs/exports.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.records import cut_off
from evalkit.segmentfile import TaskSegments, read_segments
from evalkit.store import MANIFEST, RESPONSES, RESULTS, Mark, Run, TaskFiles

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_COLUMNS = (
    *("run", "task", "sample_id", "status", "in_results", "order", "cluster"),
    *("question", "target", "text", "transcript", "tool_calls", "audio", "audio_seconds"),
    *("error_kind", "error_message", "attempts", "seconds_sent", "n_sent", "cached", "truncated"),
)
SCORE_COLUMNS = (
    *("run", "task", "sample_id", "metric", "value", "judge", "counted", "reason", "touched", "replies"),
)
_COPIED = (
    *("label", "unit", "primary", "higher_is_better", "n", "n_scored", "n_unscored", "n_errors", "n_pending"),
    *("withheld", "meaningful", "ci_method", "pool", "scale", "reads", "signature"),
)
_OF_TASK = ("n_expected", "n_truncated", "limited", "complete", "cluster")
RESULT_COLUMNS = (
    *("run", "task", "metric", "protocol", "value", "ci_low", "ci_high", "bound_low", "bound_high"),
    *_COPIED,
    *_OF_TASK,
    *("data_kind", "data_revision", "data_digest"),
)
GROUP_COLUMNS = ("run", "task", "key", "group", *RESULT_COLUMNS[2:])
PREFIXES = ("group_", "timing_", "usage_", "counts_")
"""Of columns that are there as far as runs bring them."""
_TYPES = {
    **dict.fromkeys(("value", "ci_low", "ci_high", "bound_low", "bound_high", "scale"), "float64"),
    **dict.fromkeys(("audio_seconds", "seconds_sent"), "float64"),
    **dict.fromkeys(("n", "n_scored", "n_unscored", "n_errors", "n_pending"), "Int64"),
    **dict.fromkeys(("n_expected", "n_truncated"), "Int64"),
    **dict.fromkeys(("order", "attempts", "n_sent"), "Int64"),
    **dict.fromkeys(("in_results", "cached", "truncated", "counted"), "bool"),
    **dict.fromkeys(
        ("primary", "higher_is_better", "withheld", "meaningful", "limited", "complete"), "boolean"
    ),
    "replies": "object",
}
"""Types of columns; all others are text ("string"). Int64, boolean and string can be missing (NA)."""


@dataclass(frozen=True)
class Frames:
    """The tables of one or more runs; each has a column `run`, the name of the folder.

    Attributes:
        samples: one row per sample: the response that counts, what it answers, what was sent. `status` is "answered"
            or "error"; `in_results` is false for a sample on record that results.json is not about (of an earlier,
            larger --limit); `cluster` is what it shares with others (a speaker, a recording). `audio` is the absolute
            path of the spoken answer and `tool_calls` JSON. Then, as far as a run has them: "group_KEY", "timing_STAGE"
            (s), "usage_NAME" (as the server counts). `seconds_sent` is NaN-free and 0 where no audio went.
            `truncated`: the limit of tokens ended the answer.
        scores: one row per (sample, metric, judge) verdict on that response; `value` is NaN when unscored
            and `reason` says why. `counted` is true for the judge whose verdicts results.json holds; `replies` are
            the words of a model that judged, a list of votes, else None. Segment counts, where a metric has them,
            are columns "counts_NAME".
        results: one row per number of results.json, overalls last (metric "overall"); values, intervals
            and bounds on the printed scale, which is `scale` times the pooled one. `reads` names the metrics of
            `scores` whose verdicts the number pools. Empty when there are no results yet.
        groups: the same per group of samples: `key` ("domain") and `group` ("law").
    """

    samples: pd.DataFrame
    scores: pd.DataFrame
    results: pd.DataFrame
    groups: pd.DataFrame

    def __repr__(self) -> str:
        """What is there, short enough for the end of a notebook's cell."""
        tables = ("samples", "scores", "results", "groups")
        return f"Frames({', '.join(f'{t}: {len(getattr(self, t)):,} rows' for t in tables)})"


def load(*run_dirs: str | Path) -> Frames:
    """Read run directories into pandas tables.

    Args:
        run_dirs: one or more; they are told apart by the column `run`, the folder's name (the path, where two folders
            have one name).

    Raises:
        UsageError: no run directory, the same one twice, or no pandas.
    """
    try:
        import pandas as pd
    except ImportError as exc:
        raise UsageError("evalkit.load needs pandas: pip install pandas") from exc
    if not run_dirs:
        raise UsageError('name a run directory: evalkit.load("runs/mine")')
    if odd := [type(d).__name__ for d in run_dirs if not isinstance(d, str | os.PathLike)]:
        raise UsageError(
            f"a run directory is a path, no {odd[0]}; for a list of several: evalkit.load(*runs)"
        )
    runs = [Run(d) for d in run_dirs]
    for run in runs:
        if not run.exists:
            raise UsageError(f"{run.root} is not a run directory (it has no {MANIFEST}).")
    samples: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for name, run in zip(_names([run.root for run in runs]), runs, strict=True):
        found = run.results() if (run.root / RESULTS).is_file() else {}
        for task in _tasks(run.root):
            files = run.task(task)
            samples += ({"run": name} | row for row in _samples(files, _segments(run, task, found)))
            scores += ({"run": name} | row for row in _scores(files, files.marks(), _counted(found, task)))
        results += ({"run": name} | row for row in _results(found))
        groups += ({"run": name} | row for row in _groups(found))
    return Frames(
        _frame(pd, samples, SAMPLE_COLUMNS),
        _frame(pd, scores, SCORE_COLUMNS),
        _frame(pd, results, RESULT_COLUMNS),
        _frame(pd, groups, GROUP_COLUMNS),
    )


def _names(roots: Sequence[Path]) -> list[str]:
    """What runs are called: their folders, or their paths where folders share a name. Raises UsageError."""
    if len({r.resolve() for r in roots}) < len(roots):
        raise UsageError("the same run directory is named twice.")
    folders = [r.resolve().name for r in roots]
    return [f if folders.count(f) == 1 else str(r) for f, r in zip(folders, roots, strict=True)]


def _frame(pd: Any, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table: the columns that are always there, then those that rows bring, by name; types of `_TYPES`."""
    order = list(PREFIXES)

    def place(name: str) -> tuple[int, str]:
        return next((i for i, prefix in enumerate(order) if name.startswith(prefix)), len(order)), name

    more = sorted({k for row in rows for k in row if k not in columns}, key=place)
    table = pd.DataFrame([{k: _sound(v) for k, v in row.items()} for row in rows], columns=[*columns, *more])
    kinds = {c: _TYPES.get(c, "string") for c in columns}
    kinds |= {c: "string" if c.startswith("group_") else "float64" for c in more}
    return table.astype(kinds)


def _sound(value: Any) -> Any:
    """A value whose text is fit for Arrow's strings: lone surrogates, which a server can send, become U+FFFD."""
    if isinstance(value, list):
        return [_sound(v) for v in value]
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _tasks(root: Path) -> list[str]:
    """Every task with responses on record, by name."""
    return sorted(p.parent.relative_to(root).as_posix() for p in root.glob(f"*/*/{RESPONSES}"))


def _segments(run: Run, task: str, results: Mapping[str, Any]) -> TaskSegments | None:
    """The segments that results.json was written with; None where there are none (an older evalkit, or no results)."""
    entry = (results.get("tasks") or {}).get(task)
    try:
        return read_segments(run, task, entry) if entry else None
    except UsageError:
        return None


def _samples(files: TaskFiles, segments: TaskSegments | None) -> Iterator[dict[str, Any]]:
    heard = {t.audio_sha256: t.text for t in files.transcripts() if t.error is None}
    for line in files.final_lines():
        asked, meta, audio = line.get("asked") or {}, line.get("meta") or {}, line.get("audio") or {}
        error, sent, target = line.get("error") or {}, line.get("sent") or [], asked.get("target")
        name = line["sample_id"]
        yield {
            "task": files.task,
            "sample_id": name,
            "status": "error" if error else "answered",
            "in_results": segments is None or name in segments.failed,
            "order": asked.get("order"),
            "cluster": segments.clusters.get(name) if segments else asked.get("cluster"),
            "question": asked.get("question"),
            "target": target
            if target is None or isinstance(target, str)
            else json.dumps(target, ensure_ascii=False),
            "text": None if error else line.get("text", ""),
            "transcript": meta.get("transcript", heard.get(audio.get("sha256") or "")),
            "tool_calls": json.dumps(calls, ensure_ascii=False)
            if (calls := line.get("tool_calls"))
            else None,
            "audio": str((files.root / audio["path"]).absolute()) if audio.get("path") else None,
            "audio_seconds": audio.get("seconds"),
            "error_kind": error.get("kind"),
            "error_message": error.get("message"),
            "attempts": error.get("attempts", 1) if error else meta.get("attempts", 1),
            "seconds_sent": float(sum(s["seconds"] for s in sent)),
            "n_sent": len(sent),
            "cached": bool(meta.get("cached")),
            "truncated": not error and cut_off(meta),
            **{f"group_{k}": v for k, v in _groups_of(name, asked, segments).items()},
            **dict(_numbers("timing_", line.get("timing"))),
            **dict(_numbers("usage_", line.get("usage"))),
        }


def _groups_of(sample_id: str, asked: Mapping[str, Any], segments: TaskSegments | None) -> dict[str, str]:
    """A sample's group by key, as results.json counts it: "?" where the data has none of a key that others have."""
    counted = segments.groups if segments else {}
    known = {k: of[sample_id] for k, of in counted.items() if sample_id in of}
    return {k: str(v) for k, v in (asked.get("groups") or {}).items()} | known


def _numbers(prefix: str, found: Any) -> Iterator[tuple[str, float]]:
    """The numbers of an object as columns; those of an object in it under both names ("usage_prompt_cached")."""
    for key, value in found.items() if isinstance(found, Mapping) else ():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _numbers(f"{name}_", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _counted(results: Mapping[str, Any], task: str) -> set[tuple[str, str]]:
    """(metric of the verdict, judge) of the verdicts that a task's numbers pool."""
    metrics = ((results.get("tasks") or {}).get(task) or {}).get("metrics") or {}
    return {(read, judge) for m in metrics.values() for read in m["reads"] for judge in m["judges"]}


def _scores(
    files: TaskFiles, marks: Mapping[str, Mark], counted: set[tuple[str, str]]
) -> list[dict[str, Any]]:
    """The last verdict per (sample, metric, judge) on the response that counts."""
    last: dict[tuple[str, str, str], dict[str, Any]] = {}
    for s in files.scores():
        mark = marks.get(s.sample_id)
        if mark is None or not mark.ok or mark.digest != s.response:
            continue
        row = {"task": files.task} | {c: getattr(s, c, None) for c in SCORE_COLUMNS[2:]}
        row |= {"counted": (s.metric, s.judge) in counted, "replies": s.detail.get("replies")}
        key = (s.sample_id, s.metric, s.judge)
        # As in results: a verdict is not displaced by a later failure to judge the same answer.
        if s.value is not None or key not in last or last[key]["value"] is None:
            last[key] = row | {f"counts_{k}": v for k, v in (s.counts or {}).items()}
    return [last[k] for k in sorted(last)]


def _pair(name: str, pair: Any) -> dict[str, Any]:
    low, high = pair or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _row(task: str, metric: str, found: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    data = entry.get("data") or {}
    return {
        "task": task,
        "metric": metric,
        "protocol": entry.get("protocol"),
        "value": found.get("value"),
        **_pair("ci", found.get("ci")),
        **_pair("bound", found.get("bounds")),
        **{name: found.get(name) for name in _COPIED},
        "reads": ", ".join(found["reads"]) if found.get("reads") else None,
        **{name: entry.get(name) for name in _OF_TASK},
        **{f"data_{name}": data.get(name) for name in ("kind", "revision", "digest")},
    }


def _results(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for task, entry in (results.get("tasks") or {}).items():
        for metric, found in entry["metrics"].items():
            yield _row(task, metric, found, entry)
    for name, found in (results.get("overall") or {}).items():
        yield _row(name, "overall", found, {"complete": found.get("complete")})


def _groups(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for task, entry in (results.get("tasks") or {}).items():
        for key, members in (entry.get("groups") or {}).items():
            for group, metrics in members.items():
                for metric, found in metrics.items():
                    yield {"key": key, "group": group} | _row(task, metric, found, entry)
