"""May a run's number be held against a printed one, and does it reproduce it?

Reproduced means: the printed number, anywhere within the half unit of its last decimal that rounding takes, lies in
the 95 % interval of ours, and nothing stands against the comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.published import PublishedRow, footnotes
from evalkit.registry import catalogue
from reports.cells import Cell
from reports.makers import metric_cell
from reports.runs import RunView

REPRODUCED, DIFFERS, NOT_COMPARABLE, NOT_RUN = "reproduced", "differs", "not comparable", "not run"
VERDICTS = (REPRODUCED, DIFFERS, NOT_COMPARABLE, NOT_RUN)

Found = Mapping[str, Any]

_MARKS = {
    "demo": "the embedded demo model is no baseline of anything",
    "not-meaningful": "a stand-in judge gave the verdicts",
    "withheld": "no value is given while samples are unscored",
    "own-data": "data of the user's own, not the set of the printed number",
    "smoke": "smoke data, not the benchmark",
    "limited": "partial data, by request",
    "count": "another number of samples than was published",
    "geval": "ratings are weighted with their probabilities",
    "as-json": "the judge was held to a JSON Schema",
    "user-wording": "judged in the user's own wording",
}
PARTIAL = frozenset(("demo", "withheld", "smoke", "limited", "count"))
"""Marks of a number that is of less than the whole benchmark, or of nothing: it displaces no whole one."""

_OPTIONS = {
    **dict.fromkeys(("normalizer", "wer_tokens", "wer_char"), ("asr/",)),
    "mcq_fill": ("voicebench/mmsu", "voicebench/openbookqa"),
    "reasoning_threshold": ("openaudiobench/reasoning-qa",),
}
_ABSENT = ("no score", "no interval")
_JUDGED = ("judge_votes", "judge_runs", "judge_user_audio")


def against_task(
    run: RunView, task: str, name: str, group: tuple[str, str] | None = None
) -> Iterator[tuple[str, bool]]:
    """What stands against comparing one metric of a run with print, each with whether it makes the number partial."""
    entry = run.tasks[task]
    cell = metric_cell(run, task, entry, name, group)
    yield from _marked(cell)
    lost = ", ".join(
        f"{k:,} {what}"
        for k, what in (
            (cell.n_errors, "errored"),
            (cell.n_unscored, "unscored"),
            (cell.n_pending, "not run yet"),
        )
        if k
    )
    if cell.value is None and not {"withheld"} & {*cell.marks}:
        reasons = cell.reasons[0] if cell.reasons else lost
        yield f"{_ABSENT[0]} ({reasons})" if reasons else _ABSENT[0], True
    elif cell.coverage:
        yield f"{cell.n_scored:,} of {cell.n:,} samples scored ({lost})", True
    elif cell.ci is None:
        yield _ABSENT[1], False
    held = entry["groups"][group[0]][group[1]][name] if group else entry["metrics"][name]
    if lacking := held.get("strata_missing"):
        more = f" and {len(lacking) - 4} more" if len(lacking) > 4 else ""
        yield f"nothing scored of {', '.join(lacking[:4])}{more}", True
    if many := held.get("too_many"):
        yield f"too many verdicts were decided by {', '.join(many)}", False
    if entry["protocol"] != (default := entry.get("default_protocol", entry["protocol"])):
        yield f"protocol {entry['protocol']}, not the report's {default}", False
    known = catalogue().tasks.get(task)
    if known is not None and entry.get("prompt") and entry["prompt"] != known.prompt:
        yield f"asked with the prompt {entry['prompt']}, not the report's {known.prompt}", False
    for option, value in (run.manifest.get("options") or {}).items():
        if (option in _JUDGED and cell.judging) or task.startswith(_OPTIONS.get(option, ("\0",))):
            yield f"scored with {option}={value}", False


def _marked(cell: Cell) -> Iterator[tuple[str, bool]]:
    for mark in cell.marks:
        if mark in _MARKS:
            yield _MARKS[mark], mark in PARTIAL
    if "evalkit's wording" in cell.judging:
        yield "judged in evalkit's own wording, not the public toolkit's (`prompts import`)", False
    if "recorded replies" in cell.judging:
        yield (
            "the judge's replies came with the predictions: in whose words it was asked is not on record",
            False,
        )


def terms(run: RunView, name: str) -> Iterator[tuple[str, str]]:
    """(task, metric) of the parts of an overall that the run has."""
    overall = run.overalls[name]
    metrics = {t["task"]: t["metric"] for t in overall.get("terms") or ()}  # early runs have none
    for task in overall["parts"]:
        entry = run.tasks.get(task)
        if entry and (metric := metrics.get(task) or entry["headline"]) in entry["metrics"]:
            yield task, metric


def against_overall(run: RunView, name: str) -> Iterator[tuple[str, bool]]:
    """The same of an overall: all that stands against its parts."""
    overall = run.overalls[name]
    if overall["missing"]:
        yield f"no value without {', '.join(overall['missing'])}", True
    elif overall["ci"] is None:
        yield "no interval", False
    for task, metric in terms(run, name):
        for why, partial in against_task(run, task, metric):
            if not why.startswith(_ABSENT):  # said above, or no matter of the overall's own interval
                # What has a count in it is this part's; the rest is true of the overall alike.
                yield f"{task}: {why}" if re.search(r"\d+ of |^nothing ", why) else why, partial


def against_print(row: PublishedRow, model: str) -> tuple[list[str], list[str]]:
    """Of a printed number: what forbids to compare with it, and what else is known of it."""
    found = footnotes(row.table, row.section, row.name, model)
    wrong = ["the printed number is known to be wrong"] if any(f.wrong for f in found) else []
    return wrong, [f.text for f in found]


def within(printed: str, interval: tuple[float, float] | None) -> bool | None:
    """Does the printed number, as far as its rounding leaves it open, lie in the interval? None without one."""
    if interval is None:
        return None
    half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
    slack = half * (1 + 1e-9)  # "4.37" stands for 4.365 to 4.375, both ends included
    return interval[0] - slack <= float(printed) <= interval[1] + slack


def judged(inside: bool | None, why: tuple[str, ...]) -> str:
    """The verdict."""
    if why or inside is None:
        return NOT_COMPARABLE
    return REPRODUCED if inside else DIFFERS
