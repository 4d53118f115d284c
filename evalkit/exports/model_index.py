"""`model-index`: the results of a run as the Hugging Face hub reads them from a model card's front matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from evalkit.errors import UsageError
from evalkit.exports.numbers import Number, numbers
from reports.runs import RunView
from reports.tables import benchmark_title

DECIMALS = 4
_TASKS = {
    "S2T": ("audio-text-to-text", "Speech to text"),
    "S2S": ("audio-to-audio", "Speech to speech"),
    "T2T": ("text-generation", "Text generation"),
}
_METRICS = {"acc": "accuracy", "wer": "wer", "cer": "cer", "mer": "mer", "f1": "f1", "em": "exact_match"}


@dataclass(frozen=True)
class ModelIndex:
    """A model index, and the numbers that are not in it."""

    value: list[dict[str, Any]]
    left_out: tuple[Number, ...]

    @property
    def yaml(self) -> str:
        """The front matter's part of a model card."""
        text: str = yaml.safe_dump(
            {"model-index": self.value}, sort_keys=False, allow_unicode=True, width=110
        )
        return text


def model_index(
    runs: Sequence[RunView], name: str | None = None, *, include_partial: bool = False
) -> ModelIndex:
    """The primary numbers of the runs of one model.

    Args:
        name: the model's name; None: the runs' label.
        include_partial: numbers too that are of part of a benchmark, of smoke data, incomplete, or by a stand-in judge.

    Raises:
        UsageError: runs of several models and no name; the same task twice; no number that can be given.
    """
    labels = list(dict.fromkeys(str((r.results.get("model") or {}).get("label") or "") for r in runs))
    if name is None and len(labels) > 1:
        raise UsageError(
            f"these are runs of {', '.join(labels)}: a card is of one model; name it with --name."
        )
    kept: dict[str, list[Number]] = {}
    left_out: list[Number] = []
    for run in runs:
        fresh: dict[str, list[Number]] = {}
        for n in numbers(run, primary_only=True):
            if n.value is None or (n.why and not include_partial):
                left_out.append(n)
            elif n.entry or _one_set(run, n):
                fresh.setdefault(n.task, []).append(n)
        if twice := sorted(fresh.keys() & kept.keys()):
            raise UsageError(f"two of the runs have {twice[0]}: export the one that is to stand on the card.")
        kept |= fresh
    if not kept:
        raise UsageError(
            "no number of these runs is a whole result: nothing to put on a card. --include-partial takes "
            f"those that are not ({_first_reason(left_out)})."
        )
    entries = {t: e for r in runs for t, e in r.tasks.items()}
    overalls = {o: v["parts"] for r in runs for o, v in r.overalls.items()}
    results: list[dict[str, Any]] = []
    for task, found in kept.items():
        entry = found[0].entry or entries[overalls[task][0]]
        block = _block(task, entry, overall=not found[0].entry)
        block["metrics"] = [_metric(n, block_entry=entry) for n in found]
        results.append(block)
    return ModelIndex([{"name": name or labels[0], "results": _apart(results)}], tuple(left_out))


def _first_reason(left_out: Sequence[Number]) -> str:
    return next(("; ".join(n.why) for n in left_out if n.why), "no value")


def _one_set(run: RunView, overall: Number) -> bool:
    """Are an overall's parts of one data set, so that it can stand below that?"""
    parts = overall.found["parts"]
    return len({run.tasks[p]["data"].get("repo") for p in parts if p in run.tasks}) == 1


def _block(task: str, entry: Mapping[str, Any], *, overall: bool) -> dict[str, Any]:
    """Task and data set of some metrics."""
    data = entry.get("data") or {}
    kind, kind_name = _TASKS.get(str(entry["modality"]), _TASKS["S2T"])
    if entry["benchmark"] == "asr":
        kind, kind_name = "automatic-speech-recognition", "Automatic speech recognition"
    title = benchmark_title(entry["benchmark"])
    label = (
        f"{title} (overall)" if overall else title if title == entry["title"] else f"{title} {entry['title']}"
    )
    given = {
        "name": label,
        "type": data.get("repo"),
        "config": "overall" if overall else data.get("config") or entry["subset"],
        "split": None if overall else "+".join(map(str, data.get("splits") or ())),
        "revision": data.get("revision"),
        "args": {"evalkit_task": task},
    }
    return {
        "task": {"type": kind, "name": kind_name},
        "dataset": {k: v for k, v in given.items() if v},
    }


def _metric(n: Number, block_entry: Mapping[str, Any]) -> dict[str, Any]:
    found = n.found
    assert found["value"] is not None
    ci = found.get("ci")
    args = {
        "unit": found.get("unit"),
        "ci_95": [round(x, DECIMALS) for x in ci] if ci else None,
        "ci_method": found.get("ci_method") if ci else None,
        "n": found.get("n"),
        "n_scored": found.get("n_scored"),
        "protocol": n.entry.get("protocol") or block_entry.get("protocol"),
        "judging": n.judging,
        "formula": found.get("formula"),
        "partial": "; ".join(n.why),
        "signature": found["signature"],
    }
    return {
        "type": _METRICS.get(n.metric, n.metric),
        "value": round(found["value"], DECIMALS),
        "name": found["label"],
        "args": {k: v for k, v in args.items() if v not in (None, "")},
        "verified": False,
    }


def _apart(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks that the hub can tell apart, by task type and the data set's type, config, split and revision."""
    seen: set[tuple[Any, ...]] = set()
    for block in results:
        data = block["dataset"]
        key = (block["task"]["type"], *(data.get(k) for k in ("type", "config", "split", "revision")))
        if key in seen:
            data["config"] = data["args"]["evalkit_task"]
        seen.add((key[0], *(data.get(k) for k in ("type", "config", "split", "revision"))))
    return results
