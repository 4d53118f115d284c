"""The end of a run: the table, what went wrong by name, where the report is, and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit import truncation
from evalkit.engine.session import Outcome
from evalkit.store import Run

NAMED = 5
QUICK_SAMPLES, QUICK_SOUNDS, QUICK_AUDIO_MB, QUICK_CSV = 300, 6, 8.0, 2000
"""Limits of a report that nobody asked for, so that it is quick to write; `report` writes a fuller one."""


def conclude(outcome: Outcome, out: Path, *, json_out: bool, report: bool, forgiving: bool = False) -> int:
    """Print what came of it.

    Args:
        forgiving: scores that need something this machine lacks don't make the run incomplete (the demo).

    Returns:
        0 when every sample of every primary metric is scored, 1 when not, 130 when interrupted.
    """
    from reports import costs

    results = outcome.results
    if json_out:
        print(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        from reports.terminal import print_table

        print_table(results, sys.stdout)
    told = (*outcome.notes, *remarks(results, Run(out)))
    for line in dict.fromkeys(told):  # one data set may serve several tasks
        print(line, file=sys.stderr)
    for line in costs.summary(out, results):
        print(line, file=sys.stderr)
    say = sys.stderr if json_out else sys.stdout
    # After the table: a report that can't be written takes no number along.
    samples = sum(t["n"] for t in results["tasks"].values())
    for path in write_reports(out, samples) if report and not outcome.interrupted else ():
        if path.suffix == ".html":
            more = f" (samples as CSV: run_eval.py report {out})" if samples > QUICK_CSV else ""
            print(f"report: {path}{more}", file=say)
    if outcome.interrupted:
        print(
            f"interrupted: all that was finished is in {out}; run the same command to go on.", file=sys.stderr
        )
        return 130
    incomplete = errors(results) if forgiving else not complete(results)
    return 1 if incomplete else 0


def write_reports(out: Path, samples: int) -> list[Path]:
    """HTML and CSV beside the run, with as much of its `samples` samples and their audio as is quick to write."""
    from reports import write_report

    return write_report(
        [out],
        out,
        max_samples_per_task=QUICK_SAMPLES,
        max_audio_samples=QUICK_SOUNDS,
        max_audio_mb=QUICK_AUDIO_MB,
        sample_csv=samples <= QUICK_CSV,
    )


def warm_up() -> None:
    """Get ready what comes after the answers, in the background, while the model is being waited for."""
    from threading import Thread

    def prepare() -> None:
        import numpy  # noqa: F401 - for the statistics

        import reports

        reports.warm_up()

    Thread(target=prepare, name="evalkit-warm-up").start()


def errors(results: Mapping[str, Any]) -> int:
    """Number of samples that errored, over all tasks."""
    return sum(next(iter(t["metrics"].values()))["n_errors"] for t in results["tasks"].values())


def complete(results: Mapping[str, Any]) -> bool:
    """True when every sample of every primary metric is scored, few enough failed, and no stratum is empty."""
    primary = [m for t in results["tasks"].values() for m in t["metrics"].values() if m["primary"]]
    lacking = any(
        m.get("strata_missing") and not t["limited"] and t["data"].get("kind") != "smoke"
        for t in results["tasks"].values()
        for m in t["metrics"].values()
    )
    unfit = any(m.get("too_many") for t in results["tasks"].values() for m in t["metrics"].values())
    return not lacking and not unfit and all(m["n_scored"] == m["n"] and m["n"] > 0 for m in primary)


def remarks(results: Mapping[str, Any], run: Run) -> Iterator[str]:
    """What limits these numbers, a line each; the same trouble in several tasks is told once."""
    failed: list[tuple[str, str, str, str]] = []
    unscored: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
    doubtful: list[str] = []
    cut: list[str] = []
    for name, entry in results["tasks"].items():
        head = entry["metrics"][entry["headline"]]
        if head["n_errors"]:
            failed += _failures(run, name)
        if entry["n_expected"] and not entry["limited"] and entry["n"] != entry["n_expected"]:
            yield f"{name}: {entry['n']} samples, but {entry['n_expected']} were published; is the data complete?"
        if head["n_pending"]:
            yield f"{name}: {head['n_pending']} samples were not reached."
        if truncation.told(entry):
            cut.append(name)
        decided: dict[str, list[str]] = {}
        for metric, found in entry["metrics"].items():
            for code, reason in found["reasons"].items():
                seen = unscored.setdefault((code, reason["example"]), [])
                seen.append((f"{name} {metric}", reason["n"], entry["protocol"]))
            if (lacking := found.get("strata_missing")) and found["n_scored"]:
                yield f"{name}: {metric} is over the others, for want of a score in {_listed(lacking)}"
            # A secondary number may be of a part on purpose (MMAU-Pro's closed questions).
            if lacking is not None and found["primary"] and (outside := entry["n"] - found["n"]) > 0:
                yield f"{name}: {metric}: {outside} of {entry['n']} samples belong to nothing that has a weight in it"
            if warning := found.get("warning"):
                yield f"{name}: {found['label']} is {found['value']:.{found['decimals']}f}: {warning}"
            for defect, k in found["touched"].items():
                share = f"{k} of {found['n_scored'] + found['n_unscored']} verdicts"
                more = (
                    "; that is more than this score can bear" if defect in found.get("too_many", ()) else ""
                )
                told = f"{share} were decided by {defect} ({entry['protocol']}){more}"
                decided.setdefault(told, []).append(metric)
        yield from (f"{name}: {', '.join(metrics)}: {told}" for told, metrics in decided.items())
        if not head["meaningful"]:
            doubtful.append(name)
    if cut:
        yield truncation.listed({name: results["tasks"][name] for name in cut}, _listed)
    for (_, example), where in unscored.items():
        yield f"unscored ({_listed([f'{w}: {n}' for w, n, _ in where])}): {example}"
    if doubtful:
        yield f"scores by a stand-in judge, which mean nothing: {_listed(doubtful)}"
    if failed:
        alike: dict[str, list[str]] = {}
        for task, sample, why, _ in failed[:NAMED]:
            alike.setdefault(why, []).append(f"{task} {sample}")
        shown = "; ".join(f"{', '.join(names)}: {why}" for why, names in alike.items())
        more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        plural = "s" if len(failed) != 1 else ""
        lacking = all(kind == "no-prediction" for *_, kind in failed)
        remedy = (
            "Add what is missing and score again." if lacking else "Run the same command to retry just those."
        )
        yield f"{len(failed)} sample{plural} errored ({shown}{more}). {remedy}"


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _failures(run: Run, task: str) -> Iterator[tuple[str, str, str, str]]:
    """Task, sample, why, and the kind of the error."""
    for line in run.task(task).final_lines():
        if (error := line.get("error")) is not None:
            tries = f" after {error['attempts']} tries" if error.get("attempts", 1) > 1 else ""
            yield task, line["sample_id"], f"{error['message']}{tries}", error["kind"]
