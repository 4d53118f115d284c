"""What the page's script needs, as plain data: one block of samples per task, one of cell details."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.records import JSON
from reports.anatomy import Bin
from reports.cells import Cell, Row, Table, number, pair
from reports.errors import Pick
from reports.runs import RunView, headline
from reports.safe import as_text, plain, shorten
from reports.samples import SampleView
from reports.sound import Clip, clips_of

MAX_TEXT = 20_000
MAX_DETAIL = 6_000
MAX_OPTION, MAX_OPTIONS = 2_000, 60
MAX_ALIGNMENT = 30_000
"""A verdict's detail with an alignment: its judge has cut it already, and the page draws it."""


def _detail(value: Mapping[str, Any]) -> JSON:
    """A verdict's detail, as data when it is small, else as the start of its JSON."""
    if not value:
        return None
    found = plain(value)
    text = json.dumps(found, ensure_ascii=False, default=str)
    limit = MAX_ALIGNMENT if isinstance(value.get("alignment"), list) else MAX_DETAIL
    return found if len(text) <= limit else {"detail": shorten(text, MAX_DETAIL)}


def _clip(clip: Clip, sent: Sequence[Mapping[str, Any]], index: int) -> dict[str, JSON]:
    out: dict[str, JSON] = {"role": clip.role, "sha": clip.sha256, "from": clip.label}
    if clip.role == "in":
        facts = sent[index]
        out |= {
            "seconds": facts.get("seconds"),
            "rate": facts.get("sample_rate"),
            "cut": bool(facts.get("truncated")),
        }
    return out


def _options(asked: Mapping[str, Any]) -> JSON:
    """The options of a choice as texts, None where there was none at a letter; None for another kind of question."""
    options = asked.get("options")
    if not isinstance(options, list):
        return None
    kept: list[JSON] = [o if o is None else shorten(as_text(o), MAX_OPTION) for o in options[:MAX_OPTIONS]]
    if len(options) > MAX_OPTIONS:
        kept.append(f"\u2026 [{len(options) - MAX_OPTIONS} more options]")
    return kept


def _before(asked: Mapping[str, Any]) -> JSON:
    """Earlier turns as [role, words]."""
    turns = asked.get("before")
    whole = [t for t in turns if isinstance(t, list) and len(t) == 2] if isinstance(turns, list) else []
    return [[shorten(as_text(role), 40), shorten(as_text(words), MAX_DETAIL)] for role, words in whole]


def sample_json(
    view: SampleView, place: int, run: RunView, judges: dict[str, int], picks: Sequence[Pick] = ()
) -> dict[str, JSON]:
    """One sample; short keys, absent when empty. `judges` collects signatures and gives them numbers."""
    line, asked = view.line, view.asked
    sent = line.get("sent") or []
    scores = [
        {
            "m": s.metric,
            "v": s.value,
            "r": s.reason,
            "t": s.touched,
            "d": _detail(s.detail),
            "c": dict(s.counts) if s.counts else None,
            "j": judges.setdefault(s.judge, len(judges)),
        }
        for s in view.scores
    ]
    audio = line.get("audio") or {}
    out = {
        "i": view.id,
        "b": place,
        "v": view.value,
        "q": shorten(as_text(asked.get("question")), MAX_TEXT),
        "t": shorten(as_text(asked.get("target")), MAX_TEXT),
        "o": _options(asked),
        "bf": _before(asked),
        "k": [i for i, pick in enumerate(picks) if view.id in pick.samples],
        "a": shorten(as_text(line.get("text")), MAX_TEXT),
        "h": shorten(view.transcript.text, MAX_TEXT) if view.transcript else None,
        "hn": view.transcript.asr if view.transcript else None,
        "s": [{k: v for k, v in s.items() if v is not None} for s in scores],
        "e": view.line.get("error"),
        "r": view.reason,
        "g": asked.get("groups"),
        "au": [_clip(c, sent, i) for i, c in enumerate(clips_of(view, run.root))],
        "os": audio.get("seconds"),
        "calls": line.get("tool_calls"),
        "tm": line.get("timing"),
        "x": line.get("response"),
        "meta": {k: v for k, v in (line.get("meta") or {}).items() if k != "recorded" or not scores},
    }
    return {k: v for k, v in out.items() if v not in (None, "", [], {})}


def task_json(
    run: RunView,
    task: str,
    views: Sequence[SampleView],
    places: Sequence[int],
    bins: Sequence[Bin],
    picks: Sequence[Pick] = (),
) -> dict[str, JSON]:
    """The block of one task page. A question that is the same for all samples (an instruction) stands there once."""
    entry = run.tasks[task]
    metric = headline(entry)
    judges: dict[str, int] = {}
    samples = [sample_json(v, p, run, judges, picks) for v, p in zip(views, places, strict=True)]
    asked = {s.get("q") for s in samples}
    same = asked.pop() if len(asked) == 1 and len({s.get("t") for s in samples}) > 1 else None
    for sample in samples if same else ():
        del sample["q"]
    return {
        "task": task,
        "signature": metric["signature"],
        "metric": metric["label"],
        "bins": [{"label": b.label, "tone": b.tone, "n": b.n} for b in bins],
        "picks": [{"group": p.group, "label": p.label, "n": len(p.samples)} for p in picks],
        "question": same,
        "judges": list(judges),
        "samples": samples,
    }


def cell_json(table: Table, row: Row, cell: Cell, column: int) -> dict[str, JSON]:
    """What the card of a table cell says."""
    head = table.columns[column]
    facts: list[list[str]] = []
    if cell.ci:
        facts.append(["95\u00a0% interval", pair(cell.ci, row.decimals)])
    if cell.n is not None:
        parts = [f"{cell.n_scored:,} scored of {cell.n:,}"]
        parts += [
            f"{k:,} {w}"
            for k, w in (
                (cell.n_errors, "errored"),
                (cell.n_unscored, "unscored"),
                (cell.n_pending, "not run yet"),
            )
            if k
        ]
        facts.append(["samples", ", ".join(parts)])
    if cell.bounds and cell.coverage:
        facts.append(
            ["bounds", pair(cell.bounds, row.decimals) + " if the missing were all wrong, or all right"]
        )
    if cell.protocol:
        facts.append(["protocol", cell.protocol])
    if cell.judging:
        facts.append(["judged in", cell.judging])
    if cell.judges:
        facts.append(["scored by", "\n".join(cell.judges)])
    return {
        "title": f"{row.label} \u00b7 {row.metric}",
        "model": head.label,
        "value": number(cell.value, row.decimals) if head.kind == "run" else cell.text,
        "unit": row.unit,
        "facts": [list(f) for f in facts],
        "notes": [*cell.notes, *cell.reasons],
        "signature": cell.signature,
        "link": cell.link,
    }
