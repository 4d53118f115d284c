"""A toy run for the tests of results and frames: one task, three metrics, every state a sample can be in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.interfaces import Judge
from evalkit.plan import ModelCard, ScoringPlan
from evalkit.pools import pooled
from evalkit.records import Failure, Modality, Response, Sample, Score, SentAudio
from evalkit.sources import HubData, Row
from evalkit.store import RunWriter
from evalkit.task import Metric, Task, Variant

TASK = "bench/sub"
CARD = ModelCard("toy", "replay/toy@12345678", {"temperature": 0.0})
ACC = Metric("acc", "Accuracy")
WER = Metric("wer", "WER", pool=pooled("errors", "length"), higher_is_better=False, primary=False)
BOTH = Metric("both", "Mean of two", sources=("acc", "gpt"), withhold=True)


class Known(Judge):
    """A judge known by its signature only; its verdicts are written by hand."""

    def __init__(self, signature: str, *metrics: str) -> None:
        self._signature, self.metrics = signature, metrics

    @property
    def signature(self) -> str:
        return self._signature


JUDGES = (Known("rules@1", "acc", "wer"), Known("gpt x1", "gpt"))


def no_rows(task: str, row: Row) -> Sample:
    raise NotImplementedError("toy tasks load no data")


def toy_task(*metrics: Metric, judges: Sequence[Judge] = JUDGES, **more: Any) -> Task:
    variant = Variant(lambda roles: judges, metrics or (ACC, WER, BOTH), "The toy rule.")
    return Task(TASK, "Sub", Modality.S2T, HubData("some/data"), no_rows, {"official": variant}, **more)


def toy_plan(task: Task | None = None, **more: Any) -> ScoringPlan:
    task = task or toy_task()
    protocol, variant = task.variant(None)
    judges = tuple(variant.judges(None))  # type: ignore[arg-type]
    data = {"repo": "some/data", "config": None, "splits": ["test"], "revision": "abcd", "kind": "hub"}
    return ScoringPlan(task, protocol, variant, judges, data, **more)


def answer(
    writer: RunWriter, sample_id: str, text: str = "Fine.", *, input: str = "", group: str = "x", **more: Any
) -> Response:
    """Put one answer on record; its input digest is named after the sample unless given."""
    sent = (SentAudio("0" * 64, 1.5, 16000), SentAudio("1" * 64, 0.25, 16000))
    response = Response(sample_id, text, sent=sent, **more)
    asked = {"question": f"{sample_id}?", "target": ["A", "B"], "groups": {"domain": group}}
    writer.append_response(TASK, response, input=input or f"in-{sample_id}", asked=asked)
    return response


def fail(writer: RunWriter, sample_id: str, **more: Any) -> Response:
    return answer(writer, sample_id, "", error=Failure("timeout", "No answer within 60 s."), **more)


def score(
    writer: RunWriter,
    response: Response,
    metric: str,
    value: float | None,
    counts: Mapping[str, float] | None = None,
    **more: Any,
) -> None:
    judge = "gpt x1" if metric == "gpt" else "rules@1"
    made = Score(response.sample_id, metric, value, counts, judge=judge, response=response.digest())
    writer.append_scores(TASK, [replace(made, **more)])


def toy_run(folder: Path) -> RunWriter:
    """a, b, c answered and scored by the rules; `gpt` judged a and b; d failed; the writer is closed."""
    writer = RunWriter(folder)
    writer.write_manifest({"v": 1})
    for sample_id, acc, errors, length, gpt in (("a", 1, 1, 1, 1), ("b", 0, 0, 9, 0), ("c", 1, 0, 90, None)):
        response = answer(writer, sample_id, group="y" if sample_id == "c" else "x")
        score(writer, response, "acc", acc)
        score(writer, response, "wer", errors / length, {"errors": errors, "length": length})
        why = "judge-error: the judge timed out" if gpt is None else None
        score(writer, response, "gpt", gpt, reason=why)
    fail(writer, "d")
    writer.close()
    return writer
