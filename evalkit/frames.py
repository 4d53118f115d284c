"""A run as pandas tables, for notebooks: `evalkit.load("runs/mine").scores`.

One row per sample, per score and per number; nothing is computed that the run does not say itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.store import MANIFEST, RESPONSES, RESULTS, Mark, Run, TaskFiles

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_COLUMNS = (
    *("task", "sample_id", "question", "target", "text", "transcript", "audio"),
    *("error_kind", "error_message", "seconds_sent", "n_sent", "cached"),
)
SCORE_COLUMNS = ("task", "sample_id", "metric", "value", "judge", "counted", "reason", "touched", "replies")
_COPIED = (
    *("label", "unit", "primary", "higher_is_better", "n", "n_scored", "n_unscored", "n_errors", "n_pending"),
    *("withheld", "meaningful", "ci_method", "signature"),
)
RESULT_COLUMNS = (
    *("task", "metric", "protocol", "value", "ci_low", "ci_high", "bound_low", "bound_high"),
    *_COPIED,
)


@dataclass(frozen=True)
class Frames:
    """The tables of a run.

    Attributes:
        samples: one row per sample: the response that counts, what it answers, what was sent. `audio` is
            the absolute path of the spoken answer; `seconds_sent` is NaN-free and 0 where no audio went.
        scores: one row per (sample, metric, judge) verdict on that response; `value` is NaN when unscored
            and `reason` says why. `counted` is true for the judge whose verdicts results.json holds; `replies` are
            the words of a model that judged, a list of votes, else None. Segment counts, where a metric has them,
            are columns "counts_NAME".
        results: one row per number of results.json, overalls last (metric "overall"); values, intervals
            and bounds on the printed scale. Empty when the run has no results yet.
    """

    samples: pd.DataFrame
    scores: pd.DataFrame
    results: pd.DataFrame


def load(run_dir: str | Path) -> Frames:
    """Read a run directory into pandas tables.

    Raises:
        UsageError: no run directory, or no pandas.
    """
    try:
        import pandas as pd
    except ImportError as exc:
        raise UsageError("evalkit.load needs pandas: pip install pandas") from exc
    run = Run(run_dir)
    if not run.exists:
        raise UsageError(f"{run.root} is not a run directory (it has no {MANIFEST}).")
    samples: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    results = run.results() if (run.root / RESULTS).is_file() else {}
    for name in _tasks(run.root):
        files = run.task(name)
        samples += _samples(files)
        scores += _scores(files, files.marks(), _counted(results, name))
    counts = sorted({k for row in scores for k in row if k not in SCORE_COLUMNS})
    return Frames(
        pd.DataFrame(samples, columns=list(SAMPLE_COLUMNS)),
        pd.DataFrame(scores, columns=[*SCORE_COLUMNS, *counts]).astype(
            {"value": "float64", "counted": "bool"}
        ),
        pd.DataFrame(_results(results), columns=list(RESULT_COLUMNS)).astype(
            dict.fromkeys(("value", "ci_low", "ci_high", "bound_low", "bound_high"), "float64")
        ),
    )


def _tasks(root: Path) -> list[str]:
    """Every task with responses on record, by name."""
    return sorted(p.parent.relative_to(root).as_posix() for p in root.glob(f"*/*/{RESPONSES}"))


def _samples(files: TaskFiles) -> Iterator[dict[str, Any]]:
    heard = {t.audio_sha256: t.text for t in files.transcripts() if t.error is None}
    for line in files.final_lines():
        asked, meta, audio = line.get("asked") or {}, line.get("meta") or {}, line.get("audio") or {}
        error, sent, target = line.get("error") or {}, line.get("sent") or [], asked.get("target")
        yield {
            "task": files.task,
            "sample_id": line["sample_id"],
            "question": asked.get("question"),
            "target": target if target is None or isinstance(target, str) else json.dumps(target),
            "text": None if error else line.get("text", ""),
            "transcript": meta.get("transcript", heard.get(audio.get("sha256") or "")),
            "audio": str((files.root / audio["path"]).absolute()) if audio.get("path") else None,
            "error_kind": error.get("kind"),
            "error_message": error.get("message"),
            "seconds_sent": float(sum(s["seconds"] for s in sent)),
            "n_sent": len(sent),
            "cached": bool(meta.get("cached")),
        }


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
        row = {"task": files.task} | {c: getattr(s, c, None) for c in SCORE_COLUMNS[1:]}
        row |= {"counted": (s.metric, s.judge) in counted, "replies": s.detail.get("replies")}
        key = (s.sample_id, s.metric, s.judge)
        # As in results: a verdict is not displaced by a later failure to judge the same answer.
        if s.value is not None or key not in last or last[key]["value"] is None:
            last[key] = row | {f"counts_{k}": v for k, v in (s.counts or {}).items()}
    return [last[k] for k in sorted(last)]


def _pair(name: str, pair: Any) -> dict[str, Any]:
    low, high = pair or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _row(task: str, metric: str, found: Mapping[str, Any], protocol: str | None) -> dict[str, Any]:
    row = {"task": task, "metric": metric, "protocol": protocol, "value": found.get("value")}
    return (
        row
        | _pair("ci", found.get("ci"))
        | _pair("bound", found.get("bounds"))
        | {name: found.get(name) for name in _COPIED}
    )


def _results(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for task, entry in (results.get("tasks") or {}).items():
        for metric, found in entry["metrics"].items():
            yield _row(task, metric, found, entry["protocol"])
    for name, found in (results.get("overall") or {}).items():
        yield _row(name, "overall", found, None)
