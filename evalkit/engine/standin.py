"""What a protocol says in the model's place: where it skips a sample, and where a prediction lacks its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.engine.state import TaskState
from evalkit.predictions import Prediction, PredictionFile
from evalkit.records import MISSING_PREDICTION, Response, Sample, Verdict


def skipped(state: TaskState, sample: Sample) -> Response | None:
    """The words that stand for an answer to a sample which this protocol doesn't run (`Variant.skip`)."""
    rule = state.plan.variant.skip
    found = rule(sample) if rule is not None else None
    return Response(sample.id, text=found[0], meta={"skipped": found[1]}) if found is not None else None


def stand_in(
    state: TaskState, sample: Sample, predictions: PredictionFile, prediction: Prediction | None
) -> Response | None:
    """The words that this protocol scores where a prediction lacks its answer (`Variant.missing`), counted.

    A sample without any prediction stays an error: the public scorer never saw its record.
    """
    rule, gap = state.plan.variant.missing, prediction.gap if prediction is not None else None
    text = rule(sample, gap) if rule is not None and gap is not None else None
    if prediction is None or text is None:
        return None
    state.stood_in += 1
    response = prediction.model_copy(update={"text": text}).response(predictions.folder)
    return replace(response, sample_id=sample.id, meta={**response.meta, "missing": gap})


def marked(verdicts: Sequence[Verdict], response: Response) -> list[Verdict]:
    """The verdicts on a response; those on words that stand for a missing answer say so.

    A defect that the judge names itself decides more, and is kept.
    """
    if "missing" not in response.meta:
        return list(verdicts)
    return [
        replace(v, touched=MISSING_PREDICTION) if v.value is not None and v.touched is None else v
        for v in verdicts
    ]
