"""What judging will take, in words: for the first line of a run, and for --dry-run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalkit.engine.estimate import (
    ANSWER_TOKENS,
    QUESTION_TOKENS,
    SPEECH_SECONDS,
    Ahead,
    Likely,
    ahead,
    count_samples,
)
from evalkit.engine.session import Job
from evalkit.engine.state import TaskState
from evalkit.ledger import ASR
from evalkit.prices import money
from evalkit.records import JSON
from evalkit.store import Run
from evalkit.usage import REPLY_TOKENS, in_words, short

JUDGES = ("judge", "lalm-judge")


def forecast(job: Job, states: Sequence[TaskState] = (), answers: Mapping[str, int] | None = None) -> Ahead:
    """What this job's judges and ASR engine have to do.

    Args:
        states: the opened tasks, whose samples are counted; else the published number stands.
        answers: how many predictions there are by task, when they were made elsewhere.

    Raises:
        UsageError: as building the judges does.
    """
    opened = {s.name: s for s in states}
    counts: dict[str, int | None] = {}
    for task in job.tasks:
        n = None if job.data.smoke else task.expected
        if answers is not None:
            n = answers.get(task.name, 0)
        elif task.name in opened:
            n = count_samples(opened[task.name].source, n)
        counts[task.name] = n if n is None or job.limits.samples is None else min(n, job.limits.samples)
    return ahead(job.tasks, job.roles, job.protocol, Run(job.out), counts)


def headline(found: Ahead) -> str:
    """For the first line: "judge calls ≈ 4,230, ≈ $1.90"; "" where no judge is bound that asks a model."""
    rows = [r for role in JUDGES for r in found.of(role)]
    if not rows:
        return ""
    known = [r for r in rows if r.calls is not None]
    if not known:
        return "judge calls: as many as the data holds"
    calls = sum(r.calls or 0 for r in known)
    if len(known) < len(rows):
        return f"judge calls \u2248 {calls:,}, {_money(known)}, and those for data that isn't counted yet"
    if not calls:
        return "no judge calls left"
    return f"judge calls \u2248 {calls:,}, {_money(rows)}"


def _money(rows: Sequence[Likely]) -> str:
    priced = [r.usd for r in rows if r.usd is not None]
    unknown = "price not known" if len(priced) < len(rows) else ""
    known = f"\u2248 {money(sum(priced))}".replace("\u2248 less", "less") if priced else ""
    return " and ".join(x for x in (known, unknown) if x)


def details(found: Ahead) -> Iterator[str]:
    """For --dry-run: by role, then by published table, and what was assumed."""
    for role in JUDGES:
        if rows := found.of(role):
            models = ", ".join(dict.fromkeys(r.model for r in rows))
            yield f"{role} {models}: {_work(rows)}"
            for table in sorted({t for r in rows for t in r.tables}):
                yield f"    Table {table}: {_work(found.of(role, table))}"
    if rows := found.of(ASR):
        pieces = sum(r.calls or 0 for r in rows)
        told = f"at most {pieces:,} pieces of speech, \u2248 {in_words(sum(r.audio for r in rows))}"
        if any(r.calls is None for r in rows):
            told = "as many pieces of speech as there are answers"
        yield f"asr {rows[0].model}: {told}"
    if found.rows:
        yield _assumed(found.rows)


def as_json(found: Ahead) -> dict[str, JSON]:
    """For --dry-run --json: a row per role and task, and sums; null where something isn't known."""
    asked = [r for r in found.rows if r.role in JUDGES]
    calls = None if any(r.calls is None for r in asked) else sum(r.calls or 0 for r in asked)
    usd = None if any(r.usd is None for r in asked) else sum(r.usd or 0.0 for r in asked)
    rows: list[JSON] = [
        {
            **{name: getattr(r, name) for name in ("role", "model", "task", "calls", "replies")},
            "tokens": r.tokens.to_json(),
            "audio_seconds": round(r.audio, 3),
            "usd": r.usd if r.calls is not None else None,
            "tables": list(r.tables),
        }
        for r in found.rows
    ]
    return {"dry_run": True, "calls": calls, "usd": usd if calls is not None else None, "rows": rows}


def per_task(found: Ahead, task: str) -> str:
    """For a task's line: " · judge ≈ 553 calls, ≈ $0.05", one for each role; "" where none is asked."""
    rows = {role: [r for r in found.of(role) if r.task == task] for role in JUDGES}
    return "".join(f" \u00b7 {role} {_work(asked)}" for role, asked in rows.items() if asked)


def _work(rows: Sequence[Likely]) -> str:
    unknown = list(dict.fromkeys(r.task for r in rows if r.calls is None))
    rows = [r for r in rows if r.calls is not None]
    if not rows:
        return "as many calls as the data holds samples"
    calls, replies = sum(r.calls or 0 for r in rows), sum(r.replies for r in rows)
    votes = f" ({replies:,} replies)" if replies > calls else ""
    tokens = sum(r.tokens.input + r.tokens.output for r in rows)
    audio = sum(r.audio for r in rows)
    parts = [f"at most {calls:,} call{'s' * (calls != 1)}{votes}"]
    if calls:
        parts.append(f"\u2248 {short(tokens)} tokens")
        parts += [f"\u2248 {in_words(audio)} of audio"] if audio else []
        parts.append(_money(rows))
    more = f"; and as many as the data of {', '.join(unknown)} holds samples" if unknown else ""
    return ", ".join(parts) + more


def _assumed(rows: Sequence[Likely]) -> str:
    """What the estimate goes by, in a line."""
    measured = [r for r in rows if r.measured]
    parts = ["lengths as on record in the run directory"] if measured else []
    if len(measured) < len(rows):
        typical = f"a question of {QUESTION_TOKENS} tokens, an answer of {ANSWER_TOKENS}, {REPLY_TOKENS} for a reply"
        parts.append(f"{typical}, {SPEECH_SECONDS:.0f} s of speech")
    if any(r.upper for r in rows):
        parts.append("every sample asked about, where only some kinds are")
    parts.append("no call that has to be tried again")
    if any(r.unsettled for r in rows):
        parts.append("an endpoint that tells log-probabilities (else G-Eval asks for 20 replies)")
    return f"assumed: {'; '.join(parts)}. What is in the cache costs nothing; list prices, check yours."
