"""A data set of one's own as a task, by a manifest: `--task my.yaml`, no Python needed. See docs/custom-data.md.

Nothing is declared here: tasks come from the files a user names. What a manifest may say is in `_custom_manifest`,
where its rows are found in `_custom_data`, how they become samples in `_custom_rows`; these are imported only when
a manifest is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.errors import UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.pools import pooled
from evalkit.records import Modality
from evalkit.sources import HubData
from evalkit.task import Metric, Task, Variant
from judges.manner import manner_of

if TYPE_CHECKING:
    from benchmarks._custom_manifest import ErrorRate, Judged, Manifest

PROTOCOL = "custom"
Reads = Literal["text", "speech"]
Build = Callable[[Roles], Sequence[Judge]]


def task_of(path: str) -> Task:
    """The task that the manifest at `path` declares.

    Raises:
        UsageError: one sentence that names the file, the field and the remedy.
    """
    from benchmarks._custom_data import OwnData
    from benchmarks._custom_manifest import read_manifest
    from benchmarks._custom_rows import Reader

    where = Path(path)
    manifest = read_manifest(where)
    reader = Reader.of(manifest, where)
    own, data = OwnData(reader), manifest.data
    return Task(
        name=f"custom/{manifest.name}",
        title=manifest.title or manifest.name,
        modality=manifest.modality,
        data=HubData(
            data.hub or str(data.path),
            data.config,
            (data.split,),
            data.revision,
            licence=manifest.licence,
            citation=manifest.citation,
            opener=own.open,
        ),
        to_sample=reader.to_sample,
        variants={PROTOCOL: _variant(manifest, where)},
        expected=manifest.samples,
        groups=manifest.groups,
        cluster=manifest.cluster or "",
        sheet=f"manifest {where.name}",
        languages=(manifest.language,),
        check=own.check,
    )


def _variant(manifest: Manifest, path: Path) -> Variant:
    reads: Reads = "speech" if manifest.modality is Modality.S2S else "text"
    build, metrics, rule, asks = _scoring(manifest, reads, path)
    roles = (("judge",) if asks else ()) + (("asr",) if reads == "speech" else ())
    if manifest.metric_label:
        metrics = (replace(metrics[0], label=manifest.metric_label), *metrics[1:])
    what = "the transcript of the spoken answer" if reads == "speech" else "the answer"
    return Variant(build, metrics, rule.format(what), roles=roles)


def _scoring(manifest: Manifest, reads: Reads, path: Path) -> tuple[Build, tuple[Metric, ...], str, bool]:
    """Judges, metrics, the rule in words, and whether a model is asked."""
    from benchmarks._custom_manifest import ErrorRate, Judged
    from judges.custom import ExactMatch
    from judges.qa_match import ExistMatch

    scorer = manifest.scorer
    acc = (Metric("acc", "Accuracy"),)
    if isinstance(scorer, Judged):
        return _judged(scorer, reads)
    if isinstance(scorer, ErrorRate):
        return _error_rate(scorer, manifest.language, reads, path)
    if scorer.kind == "exact-match":
        rule = "Right when {} equals a reference, apart from case, punctuation, articles and blanks."
        return lambda r: [ExactMatch(reads)], acc, rule, False
    if scorer.kind == "exist-match":
        rule = "Right when the words of a reference stand one after another in {}."
        return lambda r: [ExistMatch(reads, "unscored")], acc, rule, False
    if scorer.kind == "refusal":
        from judges.refusal import Refusal

        rule = "Refused when {} is blank or holds one of 71 strings, in any case."
        metrics = (Metric("refusal", "Refusal rate"),)
        return lambda r: [_reading(Refusal(), reads)], metrics, rule, False
    return (
        _choice(reads),
        acc,
        "Right when {} gives the letter or the words of the right option, and no other.",
        False,
    )


def _choice(reads: Reads) -> Build:
    from judges.choices import StrictChoice

    return lambda r: [_reading(StrictChoice("acc", "choices"), reads)]


def _reading(judge: Judge, reads: Reads) -> Judge:
    judge.reads = reads
    return judge


def _judged(scorer: Judged, reads: Reads) -> tuple[Build, tuple[Metric, ...], str, bool]:
    from judges.custom import BUILT_IN, custom_judge

    def build(roles: Roles) -> Sequence[Judge]:
        return [custom_judge(scorer.rubric, scorer.scale, roles.judge, reads=reads, manner=manner_of(roles))]

    _, scale = BUILT_IN.get(scorer.rubric, (None, scorer.scale))
    if isinstance(scale, str):
        rule = "A judge says whether {} is right."
        return build, (Metric("acc", "Accuracy"),), rule, True
    low, high = scale
    metric = Metric("rating", "Rating", unit=f"{low}-{high}", scale=1.0, lo=float(low), hi=float(high))
    return build, (metric,), f"A judge rates {{}} {low} to {high}; the score is the mean.", True


def _error_rate(
    scorer: ErrorRate, language: str, reads: Reads, path: Path
) -> tuple[Build, tuple[Metric, ...], str, bool]:
    from judges.asr import CorpusWer
    from judges.wer.normalizers import NORMALIZERS
    from judges.wer.words import Words

    english = (scorer.language or language).replace("_", "-").split("-")[0] == "en"
    chosen = scorer.normalizer or ("whisper-english" if english else "whisper-basic")
    if chosen not in NORMALIZERS:
        raise UsageError(f"{path}: there is no normaliser {chosen!r}; there are: {', '.join(NORMALIZERS)}")
    labels = {"wer": "WER", "cer": "CER"}
    rates = [
        Metric(
            *(name, label),
            pool=pooled("errors", "length"),
            hi=math.inf,
            higher_is_better=False,
            primary=name == scorer.kind,
        )
        for name, label in labels.items()
    ]
    rates.sort(key=lambda m: not m.primary)
    rule = f"Errors in {{}} over the tokens of the reference, summed over all samples, after {chosen}."
    return lambda r: [_reading(CorpusWer(chosen, Words()), reads)], tuple(rates), rule, False
