"""Who answered and how it is scored: what results are built from beside the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.interfaces import Judge
from evalkit.records import JSON
from evalkit.task import Metric, Task, Variant


@dataclass(frozen=True)
class ModelCard:
    """Who answered: label for tables, runner part of the signature, decoding, demo flag."""

    label: str
    runner: str
    generation: Mapping[str, JSON] = field(default_factory=dict)
    demo: bool = False

    def to_json(self) -> dict[str, JSON]:
        return {
            "label": self.label,
            "runner": self.runner,
            "generation": dict(self.generation),
            "demo": self.demo,
        }


@dataclass(frozen=True)
class ScoringPlan:
    """How one task of a run is scored.

    Attributes:
        n: samples the run set out to answer, once the source has been read to its end; else None.
        limited: True when the user asked for fewer samples than there are.
        ids: the samples of this run, when the directory may hold others (an earlier, larger --limit).
        asr: signature of the ASR engine whose transcripts are judged; "given" when they came along.
        signed: signatures made so far, by judge; they are asked for at every score.
    """

    task: Task
    protocol: str
    variant: Variant
    judges: tuple[Judge, ...]
    data: Mapping[str, JSON]
    n: int | None = None
    limited: bool = False
    ids: frozenset[str] | None = None
    asr: str = "given"
    signed: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    def sign(self, judge: Judge) -> str:
        """The judge's signature as scores carry it: judges of transcripts name the ASR engine too."""
        signed = self.signed.get(id(judge))
        if signed is None:
            signed = f"{judge.signature} on {self.asr}" if judge.reads == "speech" else judge.signature
            self.signed[id(judge)] = signed
        return signed

    @property
    def group_keys(self) -> tuple[str, ...]:
        """Keys of `Sample.meta` that results need: those with a subset table, and those of strata."""
        strata = (m.strata.key for m in self.variant.metrics if m.strata)
        return tuple(dict.fromkeys((*self.task.groups, *strata)))

    def judges_of(self, metric: Metric) -> list[Judge]:
        """The judges whose verdicts feed a metric."""
        return [j for j in self.judges if set(j.metrics) & set(metric.reads)]
