"""What judging will take, before anything is asked: calls, tokens, seconds of audio, money.

An upper bound where it can't be known: replies at hand in the cache cost nothing, and a judge that asks about some
kinds of samples only is counted for all. What is on record in the run directory already is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from evalkit.engine.metering import MeteredChat
from evalkit.errors import UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.ledger import ASR, Call, read_calls
from evalkit.plan import ScoringPlan
from evalkit.prices import Price, audio_rate
from evalkit.sources import Source
from evalkit.store import Mark, Run, TaskFiles
from evalkit.task import Task
from evalkit.usage import REPLY_TOKENS, Tokens, text_tokens

QUESTION_TOKENS, ANSWER_TOKENS = 40, 250
"""A spoken question and a chatty answer to it, with the reference, where nothing was measured."""
TURN_SECONDS, SPEECH_SECONDS = 6.0, 12.0
"""A spoken question, and a spoken answer."""
LOOKED_AT = 300
"""Answers on record whose lengths are looked at."""


NOTHING = Tokens()


@dataclass(frozen=True)
class Typical:
    """Lengths that estimates go by.

    Attributes:
        measured: True when they are of answers on record, not assumed.
    """

    question: float = QUESTION_TOKENS
    answer: float = ANSWER_TOKENS
    speech: float = SPEECH_SECONDS
    measured: bool = False


@dataclass(frozen=True)
class Likely:
    """What one role has to do for one task.

    Attributes:
        calls: requests; None where the number of samples isn't known. `replies` counts their votes.
        usd: None where the price isn't known.
        upper: True where only some of the samples are asked about, nobody knows how many.
        unsettled: True where the judge has to find out first how it can ask (G-Eval).
        measured: True where tokens or seconds are those of calls or answers on record.
    """

    role: str
    model: str
    task: str
    calls: int | None
    replies: int = 0
    tokens: Tokens = NOTHING
    audio: float = 0.0
    usd: float | None = None
    upper: bool = False
    unsettled: bool = False
    measured: bool = False
    tables: tuple[str, ...] = ()


@dataclass
class Ahead:
    """What is ahead for all tasks and roles."""

    rows: list[Likely] = field(default_factory=list)

    def of(self, role: str, table: str | None = None) -> list[Likely]:
        """The rows of a role, or of it in one published table."""
        return [r for r in self.rows if r.role == role and (table is None or table in r.tables)]


def ahead(
    tasks: Sequence[Task], roles: Roles, protocol: str | None, run: Run, counts: Mapping[str, int | None]
) -> Ahead:
    """What scoring these tasks will take.

    Args:
        run: the run directory, which may not be there yet.
        counts: samples of each task; None: unknown.

    Raises:
        UsageError: as building the judges does.
    """
    found = Ahead()
    history = _means(run) if run.exists else {}
    for task in tasks:
        name, variant = task.variant(protocol)
        if not any(roles.bound(r) for r in variant.roles):
            continue
        asr = roles.asr.signature if roles.asr is not None else "given"
        judges = tuple(variant.judges(roles))
        _settle(judges)
        plan = ScoringPlan(task, name, variant, judges, {}, asr=asr)
        found.rows += _task(plan, roles, run, counts.get(task.name), history)
    return found


def _task(
    plan: ScoringPlan, roles: Roles, run: Run, n: int | None, history: Mapping[tuple[str, str], Call]
) -> Iterator[Likely]:
    """The rows of one task."""
    task = plan.task
    files = run.task(task.name)
    marks = files.marks() if run.exists else {}
    typical = _typical(files) if marks else Typical()
    held = _verdicts(plan, files, marks) if marks else {}
    tables = tuple(dict.fromkeys(c.table for c in task.cells))
    for judge in plan.judges:
        if not judge.asks_model:
            continue
        metered = roles.judge if judge.role == "judge" else roles.lalm
        leaves = [j for j in _leaves(judge) if j.asks_model and getattr(j, "model", None) is not None]
        if metered is None or not leaves:
            continue
        price = metered.price if isinstance(metered, MeteredChat) else None
        done = held.get(plan.sign(judge), 0)
        calls = None if n is None else max(0, n - done)
        each = max((_each(j, typical, price) for j in leaves), key=lambda each: each.tokens.input)
        before = history.get((task.name, judge.metrics[0]))
        if before is not None and before.tokens is not None:
            each = Each(each.replies, before.tokens, before.audio or 0.0)
        k = calls or 0
        total = Tokens(*(getattr(each.tokens, f) * k for f in Tokens.__slots__))
        yield Likely(
            *(judge.role, metered.label, task.name, calls, each.replies * k),
            tokens=total,
            audio=each.audio * k,
            usd=price.usd(total) if price is not None else None,
            upper=len(_leaves(judge)) > 1,
            unsettled=any(not getattr(getattr(j, "mode", None), "settled", True) for j in leaves),
            measured=typical.measured or before is not None,
            tables=tables,
        )
    if roles.asr is not None and task.modality.wants_audio and any(j.reads == "speech" for j in plan.judges):
        heard = (
            {t.audio_sha256 for t in files.transcripts() if t.asr.startswith(f"{plan.asr}|")} if marks else ()
        )
        pieces = None if n is None else max(0, n - len(heard))
        audio = typical.speech * (pieces or 0)
        yield Likely(
            *(ASR, plan.asr, task.name, pieces), audio=audio, measured=typical.measured, tables=tables
        )


def _leaves(judge: Judge) -> list[Judge]:
    """The judges that a judge hands samples to; itself, when it does not."""
    told: Any = judge
    if isinstance(inner := getattr(told, "judges", None), Mapping):
        return [leaf for each in inner.values() for leaf in _leaves(each)]
    return _leaves(told.judge) if isinstance(getattr(told, "judge", None), Judge) else [judge]


def _settle(judges: Sequence[Judge]) -> None:
    """Let judges settle how they ask where what their model can do is at hand, so that nobody is asked for it.

    Else they sign as unsettled, and what is on record of them would be counted as still to ask.
    """
    for leaf in (leaf for judge in judges for leaf in _leaves(judge)):
        known = getattr(getattr(leaf, "model", None), "known_abilities", None)
        if not getattr(getattr(leaf, "mode", None), "settled", True) and known is not None and known():
            asyncio.run(leaf.ready())


@dataclass(frozen=True)
class Each:
    """What one call asks for: replies, tokens, seconds of audio."""

    replies: int
    tokens: Tokens
    audio: float


def _each(judge: Judge, typical: Typical, price: Price | None) -> Each:
    """What one call of a judge takes, by the length of its rubric and of typical answers."""
    told: Any = judge
    asking = getattr(told, "how", None) or getattr(told, "asking", None)
    replies = int(getattr(asking, "votes", 1) or 1)
    rubrics = [r for r in (getattr(told, "rubric", None), *dict(getattr(told, "rubrics", {})).values()) if r]
    body = max((text_tokens(str(getattr(r, "body", ""))) for r in rubrics), default=QUESTION_TOKENS)
    body += text_tokens(getattr(asking, "system", None) or "")
    audio = 0.0
    if judge.role == "lalm-judge":
        audio = typical.speech + (TURN_SECONDS if "both" in str(getattr(told, "hears_name", "")) else 0.0)
        body += round(typical.question)
    else:
        body += round(typical.question + typical.answer)
    heard = round(audio * audio_rate(price))
    out = min(REPLY_TOKENS, getattr(asking, "max_tokens", None) or REPLY_TOKENS)
    return Each(replies, Tokens(input=body + heard, audio_input=heard, output=out * replies), audio)


def _means(run: Run) -> dict[tuple[str, str], Call]:
    """The mean call on record by task and metric, where the endpoint counted tokens."""
    sums: dict[tuple[str, str], list[Any]] = {}
    for call in read_calls(run.root):
        if call.tokens is not None:
            entry = sums.setdefault((call.task, call.metric), [0, Tokens(), 0.0, call])
            entry[0] += 1
            entry[1] += call.tokens
            entry[2] += call.audio or 0.0
    out = {}
    for key, (k, tokens, audio, last) in sums.items():
        mean = Tokens(*(round(getattr(tokens, f) / k) for f in Tokens.__slots__))
        out[key] = Call(last.at, last.role, last.model, *key, tokens=mean, audio=audio / k)
    return out


def _typical(files: TaskFiles) -> Typical:
    """Lengths of questions, answers and speech on record."""
    questions, answers, speech = [], [], []
    for line in islice(files.final_lines(), LOOKED_AT):
        if "error" in line:
            continue
        questions.append(text_tokens(str((line.get("asked") or {}).get("question") or "")))
        answers.append(text_tokens(str(line.get("text") or "")))
        if seconds := (line.get("audio") or {}).get("seconds"):
            speech.append(float(seconds))
    if not answers:
        return Typical()

    def mean(values: Sequence[float], default: float) -> float:
        return sum(values) / len(values) if values else default

    return Typical(mean(questions, 0), mean(answers, 0), mean(speech, SPEECH_SECONDS), measured=True)


def _verdicts(plan: ScoringPlan, files: TaskFiles, marks: Mapping[str, Mark]) -> dict[str, int]:
    """How many samples have all verdicts of a judge on record, by its signature."""
    wanted = {plan.sign(j): len(j.metrics) for j in plan.judges if j.asks_model}
    found: dict[str, dict[str, set[str]]] = {name: {} for name in wanted}
    for score in files.scores():
        mark = marks.get(score.sample_id)
        if (
            score.value is not None
            and mark is not None
            and mark.digest == score.response
            and score.judge in found
        ):
            found[score.judge].setdefault(score.sample_id, set()).add(score.metric)
    return {
        name: sum(len(metrics) >= wanted[name] for metrics in samples.values())
        for name, samples in found.items()
    }


def count_samples(source: Source, published: int | None) -> int | None:
    """How many samples an opened data set holds, without reading audio; None when that can't be told.

    Parquet tells its rows; where a task takes some of them only, the published number stands.
    """
    try:
        if not any(file.endswith(".parquet") for _, file in source.files):
            return sum(1 for _ in source.rows())
        if source.spec.keep is not None:
            return published if published is not None else sum(1 for _ in source.rows())
        import pyarrow.parquet as pq

        return sum(int(pq.read_metadata(f).num_rows) for _, f in source.files if f.endswith(".parquet"))
    except (UsageError, OSError, ValueError, ImportError):  # the run will say why
        return published
