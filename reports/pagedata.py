"""What the page's script needs, as plain data: one block of samples per task, one of cell details."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.records import JSON
from reports.anatomy import Bin
from reports.cells import Cell, Row, Table, number, pair
from reports.runs import RunView, headline
from reports.safe import as_text, plain, shorten
from reports.samples import SampleView
from reports.sound import Clip, clips_of

MAX_TEXT = 20_000
MAX_DETAIL = 6_000
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


def sample_json(view: SampleView, place: int, run: RunView, judges: dict[str, int]) -> dict[str, JSON]:
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
        "meta": line.get("meta"),
    }
    return {k: v for k, v in out.items() if v not in (None, "", [], {})}


def task_json(
    run: RunView, task: str, views: Sequence[SampleView], places: Sequence[int], bins: Sequence[Bin]
) -> dict[str, JSON]:
    """The block of one task page."""
    entry = run.tasks[task]
    metric = headline(entry)
    judges: dict[str, int] = {}
    samples = [sample_json(v, p, run, judges) for v, p in zip(views, places, strict=True)]
    return {
        "task": task,
        "signature": metric["signature"],
        "metric": metric["label"],
        "bins": [{"label": b.label, "tone": b.tone, "n": b.n} for b in bins],
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
