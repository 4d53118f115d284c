"""Task, metric, variant, overall: how a benchmark is declared.

A benchmark file holds `TASKS`, and where the field has them `OVERALLS` and `SUITES`; discovery finds them
by these names. A task is data plus a declaration; it imports no model and does no work at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalkit.errors import UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.pools import MEAN, Pool, Strata
from evalkit.records import JSON, Gap, Modality, Sample
from evalkit.sources import HubData, Row, Source


@dataclass(frozen=True)
class Metric:
    """One number of a task.

    Attributes:
        name: name in results and, unless `sources` says otherwise, of the verdicts it pools.
        label: what tables call it ("Accuracy", "G-Eval", "WER").
        unit: "%", "1-5", "0-100", "MOS", ...
        pool: how segments become the number.
        scale: factor from pooled value to printed value (100 for percentages).
        lo, hi: range of one segment's value; used for bounds.
        sources: metrics of the verdicts it pools; several are averaged per sample, or pooled side by side
            by `mean_of_means`. A sample that lacks one of them is unscored.
        strata: pool each stratum on its own and weigh the strata, instead of pooling all samples alike.
        rounds: decimals the pooled value is rounded to before scaling, as a public scorer does it.
        withhold: don't print a value while samples are unscored, because being unscored depends on the
            verdict (PEDANT without its classifier finds only the right answers) or on the kind of sample
            (MMAU-Pro without its embedder has no closed ones). Bounds are still given.
        tolerates: by name of a defect (`Verdict.touched`), the share of verdicts it may decide; with more, the
            run doesn't count as complete.
        spoils, spoils_alone: defects that leave the public scorer without a number: at the first (an infinite
            score), or where a stratum holds nothing else (nan).
        warns_below: a value of the printed number below which something has to be told, and what.
    """

    name: str
    label: str
    unit: str = "%"
    pool: Pool = MEAN
    scale: float = 100.0
    lo: float = 0.0
    hi: float = 1.0
    higher_is_better: bool = True
    decimals: int = 2
    sources: tuple[str, ...] = ()
    strata: Strata | None = None
    rounds: int | None = None
    withhold: bool = False
    primary: bool = True
    tolerates: Mapping[str, float] = field(default_factory=dict)
    spoils: tuple[str, ...] = ()
    spoils_alone: tuple[str, ...] = ()
    warns_below: tuple[float, str] | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the verdicts it pools."""
        return self.sources or (self.name,)


@dataclass(frozen=True)
class Cell:
    """The cell of a published table that a task fills; matches the columns of the published CSV.

    Attributes:
        table, section, row: where it stands.
        language, printed: its language and metric, where rows of the same name differ in them.
        metric: our metric that fills it; None: the headline.
        group: the group of the task that fills it ("ability", "empathy/anger"); None: the whole task.
    """

    table: str
    section: str
    row: str
    language: str = ""
    printed: str = ""
    metric: str | None = None
    group: tuple[str, str] | None = None

    def to_json(self) -> dict[str, JSON]:
        out: dict[str, JSON] = {"table": self.table, "section": self.section, "row": self.row}
        for name in ("language", "printed", "metric"):
            if value := getattr(self, name):
                out[name] = value
        return out | ({"group": list(self.group)} if self.group else {})


@dataclass(frozen=True)
class Variant:
    """A named scoring protocol of a task.

    Attributes:
        judges: builds the judges, given who is bound to which role.
        metrics: the numbers, the headline first.
        rule: the rule in one or two sentences, for reports.
        skip: says why a sample is not run under this protocol (a published rule), else None. The
            prediction then is the text the second value gives.
        missing: what the public scorer scores where a prediction made elsewhere lacks its answer, given how it
            lacks it; None where that is an error, as it is without such a rule. Counted as `missing_prediction`.
        roles: roles it needs ("judge", "asr").
        asr_language: ISO code of the language that the protocol forces on the ASR engine; None: detected, as the
            public suites do. The user's `-A language=` wins over it.
        beside: further numbers that the user's scoring options ask for; `judges` then builds their judges, too.
    """

    judges: Callable[[Roles], Sequence[Judge]]
    metrics: tuple[Metric, ...]
    rule: str
    skip: Callable[[Sample], tuple[str, str] | None] | None = None
    missing: Callable[[Sample, Gap], str | None] | None = None
    roles: tuple[str, ...] = ()
    asr_language: str | None = None
    beside: Callable[[Roles], Sequence[Metric]] | None = None

    def bound(self, roles: Roles) -> tuple[Variant, tuple[Judge, ...]]:
        """The variant with all the numbers asked for, and its judges. Raises UsageError for an option that can't be."""
        more = tuple(self.beside(roles)) if self.beside is not None else ()
        return replace(self, metrics=(*self.metrics, *more)) if more else self, tuple(self.judges(roles))

    @property
    def headline(self) -> Metric:
        return self.metrics[0]


@dataclass(frozen=True)
class Task:
    """One subset of a benchmark: where its rows are, how a row becomes a sample, how answers are scored.

    Attributes:
        name: "benchmark/subset".
        title: what tables call the row ("SD-QA").
        variants: scoring protocols by name; the first is the default, the one the report used.
        expected: number of samples published; a mismatch is reported.
        groups: keys of `Sample.meta` that have a subset table.
        cluster: what `Sample.cluster` names: "speaker", "question" (one put by several voices), "audio" (several
            questions on one recording). Differences between runs are then judged by clusters. "": nothing but what
            the recordings themselves tell.
        cells: cells of published tables it fills.
        sheet: where the protocol is written down, for readers.
        prompts: other ways to put the question, by name (`--prompt`), the default first; `to_sample` is
            the first one's. Empty where there is one way.
        languages: ISO codes of what is spoken.
        check: looks at the opened data before anything is asked; returns what a reader of the numbers should
            know. Raises UsageError for data that has to be mended first.
    """

    name: str
    title: str
    modality: Modality
    data: HubData
    to_sample: Callable[[str, Row], Sample]
    variants: Mapping[str, Variant]
    expected: int | None = None
    groups: tuple[str, ...] = ()
    cluster: str = ""
    cells: tuple[Cell, ...] = ()
    sheet: str = ""
    prompts: Mapping[str, Callable[[str, Row], Sample]] = field(default_factory=dict)
    languages: tuple[str, ...] = ("en",)
    check: Callable[[Source], Sequence[str]] | None = None

    def asking(self, prompt: str | None) -> Task:
        """The task with its question put as this prompt says. Raises UsageError for an unknown name."""
        if prompt is None or not self.prompts:
            return self
        if prompt not in self.prompts:
            raise UsageError(
                f"{self.name} has no prompt {prompt!r}; it has: {', '.join(self.prompts)}. Check --prompt."
            )
        chosen = {prompt: self.prompts[prompt]}
        return replace(self, to_sample=self.prompts[prompt], prompts={**chosen, **self.prompts})

    @property
    def prompt(self) -> str:
        """Name of the prompt in use; "" where there is only one."""
        return next(iter(self.prompts), "")

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of `Sample.meta` by which any protocol groups samples or weighs strata."""
        metrics = (m for v in self.variants.values() for m in v.metrics)
        return tuple(dict.fromkeys((*self.groups, *(m.strata.key for m in metrics if m.strata))))

    @property
    def benchmark(self) -> str:
        return self.name.partition("/")[0]

    @property
    def subset(self) -> str:
        return self.name.partition("/")[2]

    @property
    def default_protocol(self) -> str:
        return next(iter(self.variants))

    def variant(self, protocol: str | None) -> tuple[str, Variant]:
        """The named variant, or the default. Raises UsageError for an unknown name."""
        name = protocol or self.default_protocol
        if name not in self.variants:
            raise UsageError(
                f"{self.name} has no protocol {name!r}; it has: {', '.join(self.variants)}. Check --protocol."
            )
        return name, self.variants[name]


@dataclass(frozen=True)
class Part:
    """One term of an overall: a task, its metric (None: the headline), a factor on the printed value."""

    task: str
    factor: float = 1.0
    metric: str | None = None


@dataclass(frozen=True)
class Overall:
    """A benchmark's overall: the mean of its parts, each first rounded to `round_parts` decimals if given."""

    name: str
    label: str
    parts: tuple[Part, ...]
    formula: str
    protocol: str | None = None
    round_parts: int | None = None
    cells: tuple[Cell, ...] = ()
    decimals: int = 2


@dataclass(frozen=True)
class Suite:
    """A named list of task globs; `data_dir` (inside the package) makes it run without any other data."""

    name: str
    tasks: tuple[str, ...]
    about: str
    data_dir: str | None = None
    smoke: bool = False
