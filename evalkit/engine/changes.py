"""What a session changes in a run directory, and what it could not do as asked: said at its end, kept in run.json."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from evalkit.engine.state import TaskState
from evalkit.interfaces import Judge, Roles
from evalkit.records import JSON

_WORDING = re.compile(r"\S+:(?:(?:own|official|user)@[0-9a-f]+|as-recorded)")
"""A rubric in a judge's signature."""
_DRAWN = re.compile(r",geval-(\d+)-samples")
_NOBODY = re.compile(r"(?:^|\W)unbound x\d|@no-weights\b")
_AS_JSON = re.compile(r",json\b")


def rubrics_of(state: TaskState) -> list[str]:
    """The rubrics that a task's judges name in their signatures, by name, wording and hash."""
    return sorted({w for j in state.plan.judges for w in _WORDING.findall(j.signature)})


def asked_at(roles: Roles) -> list[dict[str, JSON]]:
    """For run.json: each model that judges, by role, its address and options. No secrets."""
    bound = (("judge", roles.judge), ("lalm-judge", roles.lalm))
    return [{"role": role, "model": m.label, **_identity(m)} for role, m in bound if m is not None]


def _identity(model: object) -> dict[str, JSON]:
    told: Mapping[str, JSON] = getattr(model, "identity", dict)()
    return {k: v for k, v in told.items() if v not in ({}, None)}


def sign(manifest: MutableMapping[str, Any], states: Sequence[TaskState]) -> None:
    """Put into run.json who judges each task, by signature, and how a model is asked: what the digest in the
    signature is of. For when the judges know what their models can do."""
    for state in states:
        told = [{"signature": j.signature, **_manner(j)} for j in state.plan.judges]
        manifest["tasks"][state.name]["judges"] = told


def _manner(judge: Judge) -> dict[str, JSON]:
    """Votes, decoding and system message; {} where that isn't known, as of replies recorded earlier."""
    how = getattr(judge, "how", None)
    if how is None or not is_dataclass(how) or getattr(judge, "recorded", False):
        return {}
    return {k: v for k, v in asdict(how).items() if v is not None}  # type: ignore[arg-type]


def changes(old: Mapping[str, Any], new: Mapping[str, Any], states: Sequence[TaskState]) -> tuple[str, ...]:
    """Sentences for the end of a session.

    Args:
        old, new: run.json before and after.
    """
    names = [s.name for s in states]
    return (*replaced(old, new, names), *_moved(old, new, names), *_lacking(new, names))


def replaced(old: Mapping[str, Any], new: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """What the results take the place of: the same answers under another protocol, in other words, by another
    judge."""
    for name in names:
        before, now = ((m.get("tasks") or {}).get(name) or {} for m in (old, new))
        if told := _instead(before, now):
            yield f"{name}: results.json now holds {told}; the verdicts of both are in scores.jsonl."


def _instead(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """ "X instead of Y"; "" where both are the same, or one has nothing."""
    if not before:
        return ""
    if before.get("protocol") != now.get("protocol"):
        return f"protocol {now.get('protocol')} instead of {before.get('protocol')}"
    was, is_ = _signed(before), _signed(now)
    if was and is_ and _wordless(was) != _wordless(is_):
        mine, theirs = [j for j in is_ if j not in was], [j for j in was if j not in is_]
        return f"verdicts of {', '.join(mine)} instead of {', '.join(theirs)}" if mine and theirs else ""
    theirs_in, mine_in = (", ".join(entry.get("rubrics") or ()) for entry in (before, now))
    return f"{mine_in} instead of {theirs_in}" if theirs_in and mine_in and theirs_in != mine_in else ""


def _signed(entry: Mapping[str, Any]) -> list[str]:
    """Signatures of judges who could give verdicts: somebody was bound, weights were there."""
    signatures = (str(j.get("signature")) for j in entry.get("judges") or () if isinstance(j, dict))
    return sorted(s for s in signatures if not _NOBODY.search(s))


def _wordless(judges: Sequence[str]) -> list[str]:
    return sorted(_WORDING.sub("", j) for j in judges)


def _moved(old: Mapping[str, Any], new: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """A judge of the same name at another address, where verdicts from there still count: may be the same model on
    another machine, may be another."""
    before_and_now = [[_signed((m.get("tasks") or {}).get(n) or {}) for n in names] for m in (old, new)]
    kept = {j for was, is_ in zip(*before_and_now, strict=True) for j in was if j in is_}
    was_asked = {j.get("role"): j for j in old.get("judges") or () if isinstance(j, dict)}
    for now in new.get("judges") or ():
        role, before = now["role"], was_asked.get(now["role"]) or {}
        was, is_ = before.get("base_url"), now.get("base_url")
        if was and is_ and was != is_ and any(j.startswith(str(now["model"])) for j in kept):
            yield (
                f"the {role} {now['model']} is at {is_} now and was at {was}: verdicts on record stand under the "
                "same signature. If it is not the same model, score into another --out."
            )


def _lacking(new: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """What was asked of a judge that its endpoint can't do, or the verdict doesn't have."""
    options = new.get("options") or {}
    judged = {n: _signed(new["tasks"].get(n) or {}) for n in names}
    signed = {n: asked for n, js in judged.items() if (asked := [j for j in js if _WORDING.search(j)])}
    if options.get("judge_scoring") == "geval":
        times: dict[str, list[str]] = {}
        for name, js in signed.items():
            for many in {found[1] for j in js if (found := _DRAWN.search(j))}:
                times.setdefault(many, []).append(name)
        for many, drawn in times.items():
            yield (
                f"judge_scoring=geval: the endpoint tells no log-probabilities, so each answer takes {many} sampled "
                f"replies and their mean ({_few(drawn)})."
            )
        if plain := [n for n, js in signed.items() if not any(",geval-" in j for j in js)]:
            yield f"judge_scoring=geval changes nothing in {_few(plain)}: right or wrong, or replies recorded earlier."
    if options.get("judge_output") == "json" and (
        text := [n for n, js in signed.items() if not any(_AS_JSON.search(j) for j in js)]
    ):
        yield (
            f"judge_output=json changes nothing in {_few(text)}: the endpoint takes no JSON Schema, the verdict has "
            "none, or the replies were recorded earlier."
        )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
