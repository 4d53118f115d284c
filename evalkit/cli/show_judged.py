"""`show TASK --run RUN`: what the judges were sent about stored answers, word for word, and what they said.

Nobody is asked: behind each role stands a model that takes a request and goes no further. What it takes is what the
judge makes of the question, the answer on record and the rubric; that these are the words a verdict on record came
from is seen by the signature.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evalkit.audit.shelf import open_run, tasks_of
from evalkit.chat import Abilities, ChatReply, ChatRequest
from evalkit.cli import options, wording
from evalkit.cli.score import one_task
from evalkit.cli.stored import bench_for, options_of
from evalkit.engine.judging import answer_for, obstacle
from evalkit.engine.reask import Bench, Held
from evalkit.engine.retry import Retry
from evalkit.engine.session import judges_ready
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.plan import ScoringPlan
from evalkit.prices import OPTIONS as PRICES
from evalkit.records import JSON, Audio, Score, Transcript
from evalkit.registry import make_chat, suggestion
from evalkit.store import Run

ROLES = {"judge": ("judge", "J"), "lalm-judge": ("lalm_judge", "L")}
"""The arguments that name the model of a role, and its options."""
NOBODY = "MODEL"
"""Stands for the model's name where neither the run nor the call names one."""
_TOPS = re.compile(r",geval-logprobs-top(\d+)")
_BENT = re.compile(r"\[[\w,]+@[0-9a-f]{8}\]| \(not meaningful\)")


class Taken(RunnerError):
    """The request was made, and is not sent."""

    def __init__(self) -> None:
        super().__init__("taken", "nobody is asked here", fatal=True)


@dataclass
class Taker:
    """Stands in a model's place, under its name, and takes what it would be sent."""

    label: str
    can: Abilities
    meaningful: bool = True
    hears: bool = True
    taken: list[ChatRequest] = field(default_factory=list)

    async def abilities(self) -> Abilities:
        return self.can

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.taken.append(request)
        raise Taken


@dataclass(frozen=True)
class Named:
    """Stands in an ASR engine's place: transcripts are on record."""

    signature: str

    def transcribe(self, audios: Sequence[Audio], language: str | None) -> list[Transcript]:
        raise NotImplementedError


def call(args: argparse.Namespace) -> int:
    """Print what each judge is sent of the answers asked for. Raises UsageError."""
    if args.model or args.ids:
        raise UsageError(
            "--run shows what judges were sent; --model and --ids show samples: give one or the other."
        )
    run = open_run(args.run)
    [name] = tasks_of(run, [one_task(args.task).name])
    bench, takers = _bench(run, name, args)
    state = bench.state(name)
    judges = [j for j in state.plan.judges if j.asks_model]
    if not judges:
        raise UsageError(
            f"{name} ({state.plan.protocol}) is scored by rules alone: nothing is sent to a judge."
        )
    held = bench.held[name]
    verdicts = _verdicts(run, name, held)
    for one in held:
        asked = [_asked(state.plan, j, one, takers, verdicts) for j in judges]
        found = {
            "sample_id": one.sample.id,
            "task": name,
            "protocol": state.plan.protocol,
            "answer": one.response.text,
            "judges": asked,
        }
        print(json.dumps(found, ensure_ascii=False) if args.json else "\n".join(_told(found)) + "\n")
    return 0


def _bench(run: Run, name: str, args: argparse.Namespace) -> tuple[Bench, Mapping[str, Taker]]:
    """The answers, and judges whose models take what they are sent."""
    ids: Sequence[str] = args.sample or ()
    marks = run.task(name).marks()
    for i in ids:
        if i not in marks:
            raise UsageError(
                f"{run.root}: {name} has no sample {i!r}.{suggestion(i, list(marks))} Check --sample."
            )
        if not marks[i].ok:
            raise UsageError(
                f"{run.root}: the sample {i!r} of {name} got no answer, so nothing was sent to a judge."
            )
    manifest, entry = run.manifest(), run.results()["tasks"][name]
    signed = [str(j.get("signature")) for j in (manifest["tasks"].get(name) or {}).get("judges") or ()]
    takers = {role: Taker(_label(role, manifest, args), _abilities(signed)) for role in ROLES}
    asr = (manifest.get("roles") or {}).get("asr")
    given = {**options_of(manifest, args), **options.scoring_options(args.O), **wording.chosen(args)}
    roles = Roles(takers["judge"], Named(str(asr)) if asr else None, takers["lalm-judge"], given)
    protocol = args.protocol or str(entry["protocol"])
    task = one_task(args.task).asking(args.prompt or entry.get("prompt") or None)
    limit = len(ids) or args.limit
    bench = bench_for(run, task, roles, {}, protocol, args, limit, ids)
    judges_ready(bench.states, Retry(tries=1))
    return bench, takers


def _label(role: str, manifest: Mapping[str, Any], args: argparse.Namespace) -> str:
    """The name of the role's model: of this call, else of the run."""
    flag, letter = ROLES[role]
    if spec := getattr(args, flag):
        given = options.pairs(getattr(args, letter), f"-{letter}")
        try:
            return make_chat(spec, {k: v for k, v in given.items() if k not in PRICES}).label
        except UsageError:  # no key, say: a name will do
            return str(spec.partition("/")[2] or spec)
    for one in manifest.get("judges") or ():
        if one.get("role") == role:
            return str(one["model"])
    return NOBODY


def _abilities(signed: Sequence[str]) -> Abilities:
    """What the run's endpoint could do, as far as the signatures of its judges tell; else whatever is asked for."""
    told = " ".join(signed)
    tops = _TOPS.search(told)
    drawn = bool(re.search(r",geval-\d+-samples", told))
    text = ",geval-" in told and ",json" not in told
    return Abilities(logprobs=not drawn, schema=not text, tops=int(tops[1]) if tops else None)


def _verdicts(run: Run, task: str, held: Sequence[Held]) -> dict[str, dict[tuple[str, str], Score]]:
    """Verdicts on these answers by sample, then metric and judge; none gives way to a failure."""
    wanted = {h.sample.id: h.ref for h in held}
    out: dict[str, dict[tuple[str, str], Score]] = {i: {} for i in wanted}
    for score in run.task(task).scores():
        if wanted.get(score.sample_id) != score.response:
            continue
        mine, key = out[score.sample_id], (score.metric, score.judge)
        if key not in mine or score.value is not None or mine[key].value is None:
            mine[key] = score
    return out


def _asked(
    plan: ScoringPlan,
    judge: Judge,
    held: Held,
    takers: Mapping[str, Taker],
    verdicts: Mapping[str, Mapping[tuple[str, str], Score]],
) -> dict[str, Any]:
    """One judge and one answer: its signature, what is sent or why nothing is, and the verdicts on record."""
    requests, why = _sent(judge, held, takers)
    signature = plan.sign(judge)
    mine = [
        _verdict(score, _same(score.judge, signature))
        for (metric, _), score in verdicts[held.sample.id].items()
        if metric in judge.metrics
    ]
    return {
        "metrics": list(judge.metrics),
        "judge": signature,
        "role": judge.role,
        "sent": [_request(r) for r in requests],
        "why_nothing": why,
        "on_record": any(v["same"] for v in mine),
        "verdicts": sorted(mine, key=lambda v: not v["same"]),
    }


def _same(one: str, other: str) -> bool:
    """One judge, beside options that bend its model: those are not known here."""
    return _BENT.sub("", one) == _BENT.sub("", other)


def _sent(judge: Judge, held: Held, takers: Mapping[str, Taker]) -> tuple[list[ChatRequest], str]:
    """The requests, or why there are none."""
    if judge.late and judge.group(held.sample):
        return (
            [],
            "answers are put before this judge in groups, as its scorer is asked, with answers exchanged",
        )
    if (why := obstacle(judge, held.response, held.transcript)) is not None:
        return [], why
    for taker in takers.values():
        taker.taken.clear()
    answer = replace(answer_for(judge, held.response, held.transcript), recorded=None)
    try:
        verdicts = asyncio.run(judge.ask(held.sample, answer))
    except Taken:
        return [r for taker in takers.values() for r in taker.taken], ""
    reasons = [v.reason for v in verdicts if v.reason]
    return [], reasons[0] if reasons else "a rule decides on this answer"


def _request(request: ChatRequest) -> dict[str, Any]:
    """A request as JSON, audio by its facts."""
    rest = request.to_json()
    del rest["messages"]
    kept = {k: v for k, v in rest.items() if v is not None and v != [] and k != "choices"}
    return {"messages": [{"role": r, "content": _content(c)} for r, c in request.messages], **kept}


def _content(content: str | tuple[str | Audio, ...]) -> JSON:
    if isinstance(content, str):
        return content
    return [p if isinstance(p, str) else {"audio": _facts(p)} for p in content]


def _facts(audio: Audio) -> dict[str, JSON]:
    facts = {
        "sha256": audio.digest(),
        "seconds": audio.seconds,
        "sample_rate": audio.sample_rate,
        "format": audio.format,
    }
    return {k: v for k, v in facts.items() if v is not None}


def _verdict(score: Score, same: bool) -> dict[str, Any]:
    """A verdict on record with what the judge said."""
    kept = ("replies", "earlier", "votes", "model", "heard", "geval")
    return {
        "metric": score.metric,
        "judge": score.judge,
        "same": same,
        "value": score.value,
        **({"reason": score.reason} if score.reason else {}),
        **{k: score.detail[k] for k in kept if k in score.detail},
    }


# --- in words --------------------------------------------------------------------------------------


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['sample_id']}  ({found['task']}, protocol {found['protocol']})"
    yield _field("answer", found["answer"] or "(no words)")
    for judge in found["judges"]:
        yield f"  -- {', '.join(judge['metrics'])}: {judge['judge']}"
        if judge["why_nothing"]:
            yield _field("not asked", judge["why_nothing"])
        for request in judge["sent"]:
            how = ", ".join(f"{k} {json.dumps(v)}" for k, v in request.items() if k != "messages")
            yield _field("settings", how)
            for message in request["messages"]:
                yield _field(message["role"], _words(message["content"]))
        yield from _on_record(judge)


def _on_record(judge: Mapping[str, Any]) -> Iterator[str]:
    if not judge["verdicts"]:
        yield _field("verdict", "none on record")
    elif not judge["on_record"]:
        yield _field("verdict", "none on record of this judge in these words; on record are:")
    for verdict in judge["verdicts"]:
        value = verdict["reason"] if verdict["value"] is None else f"{verdict['value']:g}"
        whose = "" if verdict["same"] else f"  (by {verdict['judge']})"
        model = f"  (model {verdict['model']})" if verdict.get("model") else ""
        yield _field("verdict", f"{verdict['metric']} {value}{whose}{model}")
        yield from (_field("at first", str(r)) for r in verdict.get("earlier") or ())
        yield from (_field("reply", str(r)) for r in verdict.get("replies") or ())


def _words(content: Any) -> str:
    """A message in words; a recording by its facts."""
    parts = [content] if isinstance(content, str) else content
    return "\n".join(p if isinstance(p, str) else f"[{_recording(p['audio'])}]" for p in parts)


def _recording(facts: Mapping[str, Any]) -> str:
    length = f", {facts['seconds']:.2f} s" if "seconds" in facts else ""
    rate = f" at {facts['sample_rate']} Hz" if "sample_rate" in facts else ""
    return f"audio{length}{rate}, {facts.get('format', 'unknown format')}, sha256 {facts['sha256'][:12]}"


def _field(name: str, text: str) -> str:
    """A name and its text, whose further lines stand below the first; nothing in it moves a terminal's cursor."""
    text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    return f"  {name:<9} " + text.replace("\n", "\n" + " " * 12)
