"""What a judge made of an answer: verdicts, and scores on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evalkit.records.values import JSON, RECORD_VERSION

FINAL = "final"
"""Key of `Verdict.detail`, true where a verdict has no value and asking again is not to change that."""

Gap = Literal["absent", "null"]
"""How a prediction lacks its answer: its record has no such field, or nothing in it."""
MISSING_PREDICTION = "missing_prediction"
"""`touched` of a verdict on what the public scorer scores where a prediction lacks its answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of one answer, before the engine adds whose answer it was.

    Attributes:
        metric: which of the judge's metrics this is.
        value: 0/1, a rating, or a rate of this one segment; None means unscored.
        counts: segment statistics for metrics that pool counts ("errors", "length", ...).
        detail: how the verdict came about: matched template, judge replies, alignment, ...
        reason: when unscored, the code first: "judge-unbound: no judge bound, pass --judge".
        touched: name of a known defect of the public scorer that decided this verdict ("random_letter"); several are
            joined by "+", and each is counted.
    """

    metric: str
    value: float | None
    counts: Mapping[str, float] | None = None
    detail: Mapping[str, JSON] = field(default_factory=dict)
    reason: str | None = None
    touched: str | None = None

    @property
    def code(self) -> str:
        """The short code of the reason ("judge-unbound"); "" when there is none."""
        return (self.reason or "").partition(":")[0]


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict on record, signed by its judge; `response` names the answer, its question and its target."""

    sample_id: str
    metric: str
    value: float | None
    counts: Mapping[str, float] | None = None
    detail: Mapping[str, JSON] = field(default_factory=dict)
    judge: str = ""
    response: str = ""
    reason: str | None = None
    touched: str | None = None

    @classmethod
    def of(cls, verdict: Verdict, *, sample_id: str, judge: str, response: str) -> Score:
        return cls(
            sample_id=sample_id,
            metric=verdict.metric,
            value=verdict.value,
            counts=verdict.counts,
            detail=verdict.detail,
            judge=judge,
            response=response,
            reason=verdict.reason,
            touched=verdict.touched,
        )

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {
            "v": RECORD_VERSION,
            "sample_id": self.sample_id,
            "metric": self.metric,
            "value": self.value,
            "judge": self.judge,
            "response": self.response,
        }
        if self.counts is not None:
            out["counts"] = dict(self.counts)
        if self.reason is not None:
            out["reason"] = self.reason
        if self.touched is not None:
            out["touched"] = self.touched
        out["detail"] = dict(self.detail)
        return out

    @classmethod
    def from_json(cls, obj: Mapping[str, JSON]) -> Score:
        return cls(
            sample_id=obj["sample_id"],
            metric=obj["metric"],
            value=obj["value"],
            counts=obj.get("counts"),
            detail=obj.get("detail") or {},
            judge=obj.get("judge", ""),
            response=obj.get("response", ""),
            reason=obj.get("reason"),
            touched=obj.get("touched"),
        )
