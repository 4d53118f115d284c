"""What the page's script needs, as plain data: one block of samples per task, one of cell details."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from evalkit.records import JSON
from reports.anatomy import Bin
from reports.cells import Cell, Row, Table, number, pair
from reports.errors import Pick
from reports.page.blocks import WORTH_PACKING, Data, packed_block
from reports.runs import RunView, headline
from reports.safe import as_text, plain, script_json, shorten
from reports.samples import SampleView
from reports.sound import Clip, clips_of
from reports.timing import STAGE

MAX_TEXT = 20_000
MAX_DETAIL = 6_000
MAX_OPTION, MAX_OPTIONS = 2_000, 60
MAX_ITEMS = 12
"""Members of a list in `meta` that the page tells; responses.jsonl has them all."""
MAX_ALIGNMENT = 30_000
"""A verdict's detail with an alignment: its judge has cut it already, and the page draws it."""


FAILED = ("unscored", "error")
CHUNKED, CHUNK = 600, 250
LATER = ("s", "o", "bf", "au", "os", "tm", "us", "x", "meta", "r", "calls", "hn")
"""Fields that only an opened sample needs; of a task with more than CHUNKED samples they stand CHUNK by CHUNK."""


@dataclass(frozen=True)
class Other:
    """The same task in another run of the report: the run's key and label, and the block its samples are in."""

    run: str
    label: str
    block: str


def _detail(value: Mapping[str, Any]) -> JSON:
    """A verdict's detail, as data when it is small, else as the start of its JSON."""
    if not value:
        return None
    limit = MAX_ALIGNMENT if isinstance(value.get("alignment"), list) else MAX_DETAIL
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # no JSON at all
        text = json.dumps(plain(value), ensure_ascii=False)
    return cast(JSON, value) if len(text) <= limit else {"detail": shorten(text, MAX_DETAIL)}


def _meta(meta: Mapping[str, Any]) -> dict[str, JSON]:
    """What the runner says of an answer; of long lists (speech ids, thousands of them) the start and the count."""
    out: dict[str, JSON] = {}
    for key, value in meta.items():
        if isinstance(value, list) and len(value) > MAX_ITEMS:
            start = ", ".join(shorten(as_text(v), MAX_OPTION // MAX_ITEMS) for v in value[:MAX_ITEMS])
            out[key] = f"{len(value):,} in all: {start}, \u2026"
        else:
            out[key] = value
    return out


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
    view: SampleView,
    place: int,
    run: RunView,
    judges: dict[str, int],
    picks: Sequence[Pick | int] = (),
) -> dict[str, JSON]:
    """One sample, as the card in the page takes it; short keys, absent when empty.

    Keys: `i` id, `b` bar of the anatomy, `v` value, `q` question, `t` expected, `o` options, `bf` earlier turns,
    `k` picks it is in, `a` answer, `h` and `hn` words heard in it and by whom, `s` verdicts, `e` error, `r` reason,
    `g` groups, `au` audio, `w` seconds it took, `tm` and `us` timing and usage, `x` response, `meta`.

    Args:
        judges: collects signatures and gives them numbers; the block needs `"judges": list(judges)`.
        picks: sets of samples, or the places of those it is in.
    """
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
        "k": _picked(picks, view.id),
        "a": shorten(as_text(line.get("text")), MAX_TEXT),
        "h": shorten(view.transcript.text, MAX_TEXT) if view.transcript else None,
        "hn": view.transcript.asr if view.transcript else None,
        "s": [{k: v for k, v in s.items() if v is not None} for s in scores],
        "e": view.line.get("error"),
        "r": view.reason,
        "g": asked.get("groups"),
        "au": [_clip(c, sent, i) for i, c in enumerate(clips_of(view, run.root))],
        "os": audio.get("seconds"),
        "w": None if line.get("error") or run.given else (line.get("timing") or {}).get(STAGE),
        "calls": line.get("tool_calls"),
        "tm": None if run.given else line.get("timing"),
        "us": line.get("usage"),
        "x": line.get("response"),
        "meta": _meta({k: v for k, v in (line.get("meta") or {}).items() if k != "recorded" or not scores}),
    }
    return {k: v for k, v in out.items() if v not in (None, "", [], {})}


def _picked(picks: Sequence[Pick | int], sample_id: str) -> list[JSON]:
    """Places of the sets that hold a sample; they may be given as such already."""
    return [
        p if isinstance(p, int) else i
        for i, p in enumerate(picks)
        if isinstance(p, int) or sample_id in p.samples
    ]


def binary(bins: Sequence[Bin]) -> bool:
    """Is a value right or wrong, and nothing between?"""
    return [b.label for b in bins if b.tone not in FAILED] in (["wrong", "right"], ["right", "wrong"])


def _head(
    run: RunView, task: str, bins: Sequence[Bin], picks: Sequence[Pick], others: Sequence[Other]
) -> dict[str, JSON]:
    metric = headline(run.tasks[task])
    return {
        "task": task,
        "run": run.label,
        "signature": metric["signature"],
        "metric": metric["label"],
        "higher": bool(metric["higher_is_better"]),
        "binary": binary(bins),
        "bins": [{"label": b.label, "tone": b.tone, "n": b.n} for b in bins],
        "picks": [{"group": p.group, "label": p.label, "n": len(p.samples)} for p in picks],
        **(
            {"others": [{"run": o.run, "label": o.label, "block": o.block} for o in others]} if others else {}
        ),
    }


def task_json(
    run: RunView,
    task: str,
    views: Sequence[SampleView],
    places: Sequence[int],
    bins: Sequence[Bin],
    picks: Sequence[Pick] = (),
) -> dict[str, JSON]:
    """The block of one list of samples, whole. A question that is the same for all of them stands there once.

    Args:
        views: the samples, in the order in which they are to stand.
        places: for each the bar of `bins` it is in (`reports.anatomy.anatomy` gives both).
    """
    judges: dict[str, int] = {}
    samples = [sample_json(v, p, run, judges, picks) for v, p in zip(views, places, strict=True)]
    same = _same_question(views)
    for sample in samples if same else ():
        sample.pop("q", None)
    return {
        **_head(run, task, bins, picks, ()),
        "question": same,
        "judges": list(judges),
        "samples": cast(JSON, samples),
    }


def task_blocks(
    key: str,
    run: RunView,
    task: str,
    views: Sequence[SampleView],
    places: Sequence[int],
    bins: Sequence[Bin],
    picks: Sequence[Pick] = (),
    others: Sequence[Other] = (),
) -> list[Data]:
    """The same for any number of samples: one block, or one for the list and one per `CHUNK` samples for the cards.

    What the list needs (ids, words, values, groups) is unpacked when its page is opened, the rest (verdicts' details,
    timing, audio) when a sample is. JSON is made sample by sample, so that no second copy of all of them is held.
    """
    judges: dict[str, int] = {}
    same = _same_question(views)
    picked: dict[str, list[int]] = {}
    for i, pick in enumerate(picks):
        for sample_id in pick.samples:
            picked.setdefault(sample_id, []).append(i)
    chunked = len(views) > CHUNKED
    listed: list[str] = []
    chunks: list[Data] = []
    rest: list[str] = []
    for view, place in zip(views, places, strict=True):
        sample = sample_json(view, place, run, judges, picked.get(view.id, ()))
        if same:
            sample.pop("q", None)
        if chunked:
            later = {k: sample.pop(k) for k in LATER if k in sample}
            if isinstance(found := later.get("s"), list) and any(
                "calls" in (s.get("d") or {}) for s in found
            ):
                sample["s"] = later.pop("s")  # the list says which functions were called
            rest.append(script_json(later))
            if len(rest) == CHUNK:
                chunks.append(packed_block(f"{key}-{len(chunks)}", f"[{','.join(rest)}]"))
                rest = []
        listed.append(script_json(sample))
    if rest:
        chunks.append(packed_block(f"{key}-{len(chunks)}", f"[{','.join(rest)}]"))
    head = _head(run, task, bins, picks, others) | {"question": same, "judges": list(judges)}
    if chunked:
        head["chunk"] = CHUNK
    text = f'{script_json(head)[:-1]},"samples":[{",".join(listed)}]}}'
    return [Data(key, text) if len(text) <= WORTH_PACKING else packed_block(key, text), *chunks]


def _same_question(views: Sequence[SampleView]) -> str | None:
    """An instruction that all samples share, where something else tells them apart."""
    asked = {as_text(v.asked.get("question")) for v in views}
    if len(asked) != 1 or len({as_text(v.asked.get("target")) for v in views}) < 2:
        return None
    return shorten(asked.pop(), MAX_TEXT) or None


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
