"""Run directories for the report tests: written with RunWriter, scored with build_results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.audio import encode_wav
from evalkit.interfaces import Judge
from evalkit.plan import ModelCard, ScoringPlan
from evalkit.records import Audio, Failure, Modality, Response, Sample, Score, SentAudio, Transcript, Verdict
from evalkit.results import build_results
from evalkit.segmentfile import write_segments
from evalkit.sources import HubData, Row
from evalkit.store import RunWriter
from evalkit.task import Cell, Metric, Overall, Part, Task, Variant

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x00\x1b[31m\u202eevil\ud800=1+1"
HEARD = "the planet closest to the sun is mercury"
MISHEARD = "the planet closest to the son is mer curry"
VB, UE = "VoiceBench (S2T)", "UltraEval-Audio (S2S)"


class FixedJudge(Judge):
    """A judge known by its signature and metrics only; verdicts are written by hand."""

    def __init__(self, signature: str, *metrics: str) -> None:
        self._signature, self.metrics = signature, metrics

    @property
    def signature(self) -> str:
        return self._signature


@dataclass(frozen=True)
class Answer:
    """One sample of a toy task: what was said and the verdicts, by metric."""

    id: str
    text: str = "Fine."
    question: str = "What is the capital of France?"
    target: Any = "Paris"
    verdicts: tuple[Verdict, ...] = ()
    error: Failure | None = None
    group: str = "usa"
    sent: tuple[SentAudio, ...] = ()
    speech: bytes | None = None
    heard: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


def tone(seconds: float = 0.5, pitch: float = 220.0, rate: int = 16000) -> bytes:
    """A wav of a decaying tone."""
    t = np.arange(int(seconds * rate)) / rate
    return encode_wav((0.4 * np.exp(-2 * t) * np.sin(2 * np.pi * pitch * t)).astype(np.float32), rate)


def parquet_of(path: Path, sounds: Sequence[bytes], row_group_size: int = 4) -> None:
    """A parquet file with an `audio` column of {bytes, path} structs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array([{"bytes": s, "path": f"{i}.wav"} for i, s in enumerate(sounds)])
    pq.write_table(pa.table({"audio": column}), path, row_group_size=row_group_size)


def no_rows(task: str, row: Row) -> Sample:
    raise NotImplementedError("toy tasks load no data")


def task_of(
    name: str,
    title: str,
    metrics: Sequence[Metric],
    judges: Sequence[Judge],
    *,
    row: str = "",
    section: str = VB,
    expected: int | None = None,
    groups: tuple[str, ...] = (),
    modality: Modality = Modality.S2T,
    rule: str = "The answer is right when it names the reference. Letters are compared without case.",
) -> Task:
    """A task that loads no data."""
    variant = Variant(judges=lambda roles: judges, metrics=tuple(metrics), rule=rule)
    cells = (Cell("1", section, row), Cell("2", section, row)) if row else ()
    return Task(
        name,
        title,
        modality,
        HubData("hlt-lab/voicebench"),
        no_rows,
        {"official": variant},
        expected=expected,
        groups=groups,
        cells=cells,
        sheet="VoiceBench sheet section 6",
    )


def write_task(writer: RunWriter, task: Task, judges: Sequence[Judge], answers: Sequence[Answer]) -> None:
    """Write the responses, transcripts and scores of one task."""
    by_metric = {m: j.signature for j in judges for m in j.metrics}
    scores = []
    for a in answers:
        audio = writer.keep_speech(Audio(data=a.speech, format="wav")) if a.speech else None
        timing = {"generate": 0.42}
        response = Response(
            a.id, a.text, audio=audio, sent=a.sent, timing=timing, meta=dict(a.meta), error=a.error
        )
        asked = {"question": a.question, "target": a.target, "groups": {"region": a.group}}
        writer.append_response(task.name, response, input=f"in-{a.id}", asked=asked)
        if audio is not None and a.heard:
            assert audio.sha256 is not None
            writer.append_transcript(task.name, Transcript(audio.sha256, "faster-whisper/tiny.en", a.heard))
        if a.error is None:
            digest = response.digest()
            scores += [
                Score.of(v, sample_id=a.id, judge=by_metric[v.metric], response=digest) for v in a.verdicts
            ]
    writer.append_scores(task.name, scores)


def plan_of(task: Task, judges: Sequence[Judge], n: int, *, limited: bool = False) -> ScoringPlan:
    """The scoring plan of a toy task."""
    data = {
        "repo": "hlt-lab/voicebench",
        "config": task.subset,
        "splits": ["test"],
        "revision": "9f1c2d3e4b5a",
        "kind": "local",
        "licence": "Apache-2.0",
    }
    name, variant = task.variant(None)
    return ScoringPlan(task, name, variant, tuple(judges), data, n=n, limited=limited)


def accuracy(name: str = "acc", **kwargs: Any) -> Metric:
    return Metric(name, "Accuracy", **kwargs)


def geval(**kwargs: Any) -> Metric:
    return Metric("geval", "G-Eval", unit="1-5", scale=1.0, lo=1.0, hi=5.0, **kwargs)


def make_run(
    root: Path,
    *,
    size: int = 40,
    demo: bool = False,
    meaningful: bool = True,
    label: str = "my-model",
    seed: int = 7,
) -> Path:
    """A run with what reports have to cope with.

    Tasks: sd-qa (two halves, groups, errors, unscored, hostile text, input audio from parquet),
    alpacaeval_full (ratings, own-worded rubric), wildvoice (not in the report's table), llama-questions
    (spoken answers).
    """
    rng = np.random.default_rng(seed)
    data = root.parent / f"{root.name}-data"
    data.mkdir(parents=True, exist_ok=True)
    sounds = [tone(0.4 + 0.05 * i, 180 + 20 * i) for i in range(8)]
    parquet_of(data / "usa.parquet", sounds)
    writer = RunWriter(root)
    plans = [
        _sd_qa(writer, size, sounds, data, rng),
        _alpaca(writer, size, rng, meaningful),
        _wildvoice(writer, size, rng),
        _llama(writer, min(size, 12), rng),
    ]
    overall = Overall(
        "voicebench",
        "Overall",
        (Part("voicebench/sd-qa"), Part("voicebench/alpacaeval_full", 20.0)),
        "mean of 2 tasks, 1-5 scores times 20",
        cells=(Cell("1", VB, "Overall"), Cell("2", VB, "Overall")),
    )
    model = ModelCard(
        label, f"openai-compatible/{label}@3e2d", {"temperature": 0, "max_tokens": 512}, demo=demo
    )
    session = {"started": "2026-11-22T15:00:00+00:00", "ended": "2026-11-22T15:12:34+00:00", "seconds": 754.2}
    writer.write_manifest({"v": 1, "suite": "table2", "sessions": [session], "model": {"name": label}})
    keep = partial(write_segments, writer)
    writer.write_results(build_results(writer, plans, model, [overall], keep))
    writer.close()
    return root


def _sd_qa(writer: RunWriter, size: int, sounds: list[bytes], data: Path, rng: Any) -> ScoringPlan:
    import hashlib

    judges = [
        FixedJudge("pedant@0.2.17", "panda"),
        FixedJudge("gpt-4o-mini x3 voicebench_qa:own@1b7c9f0e", "gpt"),
    ]
    metrics = [accuracy(sources=("panda", "gpt")), accuracy("panda"), accuracy("gpt")]
    task = task_of(
        "voicebench/sd-qa", "SD-QA", metrics, judges, row="SD-QA", groups=("region",), expected=size
    )
    answers = []
    for i in range(size):
        k = i % len(sounds)
        sent = SentAudio(
            hashlib.sha256(sounds[k]).hexdigest(),
            0.4 + 0.05 * k,
            16000,
            origin=f"{data / 'usa.parquet'}#row={k}&column=audio",
        )
        right = float(rng.random() < 0.7)
        gpt = Verdict("gpt", right, detail={"replies": ["Yes", "Yes", "No"], "votes": ["yes", "yes", "no"]})
        if i == 4:
            gpt = Verdict("gpt", None, reason="judge-unbound: no judge bound; pass --judge.")
        answers.append(
            Answer(
                f"q-{i:04d}",
                text=HOSTILE if i == 0 else "The capital of France is Paris." if right else "I am not sure.",
                question=HOSTILE if i == 1 else f"Question {i}: what is the capital of France?",
                target=["Paris", "the city of Paris"],
                verdicts=(
                    Verdict(
                        "panda", right, detail={"matched": "paris", "rule": HOSTILE if i == 0 else "exact"}
                    ),
                    gpt,
                ),
                error=Failure("http-500", "HTTP 500 after 5 tries: upstream timed out", 5)
                if i in (2, 3)
                else None,
                group=("usa", "gbr", "ind")[i % 3],
                sent=(sent,),
            )
        )
    write_task(writer, task, judges, answers)
    return plan_of(task, judges, size)


def _alpaca(writer: RunWriter, size: int, rng: Any, meaningful: bool) -> ScoringPlan:
    judges = [FixedJudge("gpt-4o-mini x1 voicebench_open:own@1b7c9f0e", "geval")]
    task = task_of(
        "voicebench/alpacaeval_full",
        "AlpacaEval",
        [geval()],
        judges,
        row="AlpacaEval",
        rule="A judge rates the answer from 1 to 5; the score is the mean.",
    )
    detail: dict[str, Any] = {"replies": ["4"]} | ({} if meaningful else {"meaningful": False})
    ratings = rng.choice([2.0, 3.0, 4.0, 5.0], size=size, p=[0.05, 0.1, 0.25, 0.6])
    answers = [
        Answer(
            f"a-{i:04d}",
            text=f"Here are {i} tips.\n\n1. Sleep.\n2. Drink water.",
            question="Give me three tips.",
            target=None,
            verdicts=(Verdict("geval", float(r), detail=detail),),
        )
        for i, r in enumerate(ratings)
    ]
    write_task(writer, task, judges, answers)
    return plan_of(task, judges, size)


def _wildvoice(writer: RunWriter, size: int, rng: Any) -> ScoringPlan:
    judges = [FixedJudge("gpt-4o-mini x1 voicebench_open:own@1b7c9f0e", "geval")]
    task = task_of("voicebench/wildvoice", "WildVoice", [geval()], judges)
    answers = [
        Answer(f"w-{i}", verdicts=(Verdict("geval", float(r)),))
        for i, r in enumerate(rng.integers(1, 6, size=size))
    ]
    write_task(writer, task, judges, answers)
    return plan_of(task, judges, size, limited=True)


def _llama(writer: RunWriter, size: int, rng: Any) -> ScoringPlan:
    judges = [
        FixedJudge("qa-exist-match", "acc"),
        FixedJudge("utmos22-strong", "utmos"),
        FixedJudge("dnsmos", "ovrl"),
    ]
    mos = {"unit": "MOS", "scale": 1.0, "lo": 1.0, "hi": 5.0, "primary": False}
    metrics = [accuracy(), Metric("utmos", "UTMOS", **mos), Metric("ovrl", "DNSMOS OVRL", **mos)]
    task = task_of(
        "ultraeval-audio/llama-questions",
        "Llama Q.",
        metrics,
        judges,
        row="Llama Q.",
        section=UE,
        modality=Modality.S2S,
    )
    answers = []
    for i in range(size):
        right = i % 3 != 0
        missing = Verdict(
            "utmos", None, reason="no-weights: UTMOS needs its weights; pass -J utmos_weights=FILE."
        )
        answers.append(
            Answer(
                f"l-{i:03d}",
                text="The planet closest to the sun is Mercury.",
                question="Which planet is closest?",
                target="Mercury",
                speech=tone(0.6, 200 + 10 * i, 22050),
                heard=HEARD if right else MISHEARD,
                verdicts=(
                    Verdict("acc", float(right), detail={"matched": "mercury" if right else None}),
                    missing,
                    Verdict("ovrl", float(2.8 + rng.random())),
                ),
            )
        )
    write_task(writer, task, judges, answers)
    return plan_of(task, judges, size)
