"""`agreement`: how far a judge agrees with people, and people with each other."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.agreement import Agreement, Rater, agreement, by_category, rater
from evalkit.cli.listing import table
from evalkit.errors import UsageError
from evalkit.store import Run

IDS = ("id", "instruct_id")
SHOWN = 3


def call(args: argparse.Namespace) -> int:
    """Print the three figures, overall and by category; the exit code."""
    ids = IDS if args.model else ("id",)  # a run knows a sample by its id
    files = [Lines(p) for p in human_files(args.human)]
    humans = [rater(f.path.stem, f, args.human_score, ids) for f in files]
    if args.model:
        files.append(Lines(Path(args.model)))
        judge = rater(files[-1].path.stem, files[-1], args.model_score, ids)
    else:
        judge = from_run(Path(args.run), args.task)
    total, categories = agreement([h.scores for h in humans], judge.scores), by_category(humans, judge)
    if not total.n:
        names = "id and instruct_id" if args.model else "id"
        left = [f"{r.name}: {n} rows have {why}" for r in (*humans, judge) for why, n in r.skipped.items()]
        raise UsageError(
            f"people and judge have no sample in common; they are matched by {names}"
            f"{' (' + '; '.join(left[:SHOWN]) + ')' if left else ''}. Check --human and "
            f"--{'model' if args.model else 'run'}."
        )
    if args.json:
        print(json.dumps(as_json(total, categories, [*humans, judge]), indent=1, ensure_ascii=False))
    else:
        print(table([row("all", total), *(row(c, a) for c, a in categories.items())]))
    for line in remarks([*humans, judge], files):
        print(line, file=sys.stderr)
    return 0


@dataclass
class Lines:
    """The objects in a JSONL file; lines that hold none are left out and remembered by number."""

    path: Path
    broken: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.strip():
                        continue
                    try:
                        value = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
                    except ValueError:
                        value = None
                    if isinstance(value, dict):
                        yield value
                    else:
                        self.broken.append(number)
        except OSError as exc:
            raise UsageError(f"{self.path} can't be read: {exc.strerror or exc}") from exc


def human_files(given: list[str]) -> list[Path]:
    """One file per annotator: those named, and every .jsonl of the folders named. Raises UsageError."""
    found: list[Path] = []
    for name in given:
        path = Path(name)
        held = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not held:
            raise UsageError(f"--human {path}: the folder holds no .jsonl file, one per annotator")
        found += held
    return found


def from_run(folder: Path, task: str) -> Rater:
    """The verdicts of a run's headline metric on one task, by sample id. Raises UsageError."""
    run = Run(folder)
    results = folder / "results.json"
    if not results.is_file():
        raise UsageError(f"--run {folder}: there is no results.json in it; finish the run first")
    entry = json.loads(results.read_bytes())["tasks"].get(task)
    if entry is None:
        raise UsageError(f"--run {folder}: it has no task {task!r}; check --task")
    head = entry["metrics"][entry["headline"]]
    files = run.task(task)
    asked = {line["sample_id"]: line.get("asked") or {} for line in files.final_lines()}
    marks = files.marks()
    rows = {}
    for score in files.scores():
        mark = marks.get(score.sample_id)
        current = mark is not None and score.response == mark.digest
        if current and score.metric in head["reads"] and score.judge in head["judges"]:
            if score.value is None and score.sample_id in rows:
                continue  # as in results: no verdict gives way to a later failure
            ability = (asked.get(score.sample_id, {}).get("groups") or {}).get("ability")
            rows[score.sample_id] = {"id": score.sample_id, "ability": ability, "score": score.value}
    return rater(f"{folder.name} {task}", rows.values(), "score", ("id",))


def row(name: str, found: Agreement) -> dict[str, Any]:
    """One line of the table."""
    return {
        "samples": name,
        "human average vs judge": shown(found.average),
        "individual vs judge": shown(found.individual),
        "human vs human": shown(found.human),
        "n": found.n,
    }


def shown(value: float) -> str:
    """Four decimals, or "nan"."""
    return "nan" if math.isnan(value) else f"{value:.4f}"


def as_json(total: Agreement, categories: Mapping[str, Agreement], raters: list[Rater]) -> dict[str, Any]:
    """All figures (null where there is none), and what each rater's file held."""
    return {
        "all": total.to_json(),
        "categories": {c: a.to_json() for c, a in categories.items()},
        "raters": {r.name: {"n": len(r.scores), "skipped": r.skipped} for r in raters},
    }


def remarks(raters: list[Rater], files: list[Lines]) -> Iterator[str]:
    """What was left out, a line each."""
    for found in files:
        if found.broken:
            lines = ", ".join(map(str, found.broken[:SHOWN]))
            more = f" and {len(found.broken) - SHOWN} more" if len(found.broken) > SHOWN else ""
            yield f"{found.path}: left out, no JSON object: line {lines}{more}"
    for one in raters:
        for why, n in one.skipped.items():
            yield f"{one.name}: {n} row{'s' * (n != 1)} left out: {why}"
