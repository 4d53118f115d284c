"""What judging and transcribing cost, in words and as a table: from the ledger (calls.jsonl)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.ledger import ASR, costs_of
from evalkit.prices import money
from evalkit.store import Run
from evalkit.usage import in_words, short
from reports.runs import RunView
from reports.safe import visible

ROLES = {"judge": "Judge", "lalm-judge": "LALM judge", ASR: "ASR"}
COLUMNS = (
    *("run", "model", "by", "name", "role", "calls", "cached", "failed", "replies"),
    *("input_tokens", "cached_input_tokens", "audio_input_tokens", "output_tokens", "reasoning_tokens"),
    *("estimated_calls", "audio_seconds", "wall_seconds", "usd", "unpriced_calls"),
)
"""Columns of csv/costs.csv."""


@dataclass(frozen=True)
class CostRow:
    """A line of the table: who, or which published table, and what it came to."""

    label: str
    hint: str
    calls: int
    cached: int
    failed: int
    tokens: str
    audio: str
    usd: str


@dataclass(frozen=True)
class CostTable:
    """What judging cost: by model, then by published table."""

    models: tuple[CostRow, ...]
    tables: tuple[CostRow, ...]
    notes: tuple[str, ...]


def _cost(run: RunView) -> Mapping[str, Any]:
    return costs_of(run.root, run.results)


def _judges(cost: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [r for r in cost.get("by_model") or () if r["role"] != ASR]


def _tokens(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(r["tokens"].get("input", 0) + r["tokens"].get("output", 0) for r in rows)


def priced(usd: float | None, unpriced: int, short_form: bool = False) -> str:
    """Money as far as known: "$0.41", "$0.41 + 12 calls of unknown price", "price unknown"."""
    if usd is None:
        return "?" if short_form else "price unknown"
    if not unpriced:
        text = money(usd)
        return text.replace("less than ", "< ") if short_form else text
    return f"{money(usd)} + ?" if short_form else f"{money(usd)} and {unpriced:,} calls of unknown price"


def summary(folder: Path, results: Mapping[str, Any]) -> list[str]:
    """For the end of a run: "judges: 1,234 calls (1,000 cached), 0.9M tokens, $0.41"; [] where nobody was asked.

    Sums over all sessions on the directory, and says so where there were several.
    """
    cost, out = costs_of(folder, results), []
    if rows := _judges(cost):
        told = ", ".join(
            f"{sum(r[k] for r in rows):,} {k}" for k in ("cached", "failed") if sum(r[k] for r in rows)
        )
        calls = sum(r["calls"] for r in rows)
        parts = [f"{calls:,} call{'s' * (calls != 1)}{f' ({told})' if told else ''}"]
        if calls > sum(r["cached"] + r["failed"] for r in rows):
            about = "about " if any(r["estimated"] for r in rows) else ""
            parts += [f"{about}{short(_tokens(rows))} tokens", priced(cost["usd"], cost["unpriced"])]
        run = Run(folder)
        sessions = len(run.manifest().get("sessions") or ()) if run.exists else 1
        often = f" (over {sessions:,} sessions)" if sessions > 1 else ""
        out.append(f"judges: {', '.join(parts)}{often}")
    for row in cost.get("by_model") or ():
        if row["role"] == ASR:
            told = ", ".join(f"{row[k]:,} {k}" for k in ("cached", "failed") if row[k])
            parts = [f"{row['calls']:,} transcribed{f' ({told})' if told else ''}"]
            parts += [_pace(row)] if row["audio_seconds"] else []
            out.append(f"asr {visible(row['model'])}: {', '.join(parts)}")
    return out


def _pace(row: Mapping[str, Any]) -> str:
    """ "1.7 h of speech in 8 min (RTF 0.08)"."""
    return f"{in_words(row['audio_seconds'])} of speech in {in_words(row['seconds'])} ({_rtf(row)})"


def _rtf(row: Mapping[str, Any]) -> str:
    """Real-time factor: seconds of work for a second of speech."""
    rate = row["seconds"] / row["audio_seconds"]
    return f"RTF {rate:.2f}" if rate >= 0.095 else f"RTF {rate:.3f}"


def spent(run: RunView) -> tuple[str, str, str] | None:
    """For the head of the page: a value, its caption and a remark; None where nobody was asked."""
    cost = _cost(run)
    rows = _judges(cost)
    if not rows:
        return None
    calls, cached = (sum(r[k] for r in rows) for k in ("calls", "cached"))
    told = f"{calls:,} call{'s' * (calls != 1)}"
    if cached:
        told += f", {cached:,} from the cache" if cached < calls else ", all from the cache"
    if cost["usd"] is None:
        return f"{calls:,}", "calls to judges", "price not known"
    return priced(cost["usd"], cost["unpriced"], short_form=True), "for judging", told


def cost_table(run: RunView) -> CostTable | None:
    """The table "What judging cost"; None where nobody was asked or heard."""
    cost = _cost(run)
    if not cost.get("by_model"):
        return None
    models = [
        _row(str(r["model"]), ROLES.get(r["role"], r["role"]), r)
        for r in sorted(cost["by_model"], key=lambda r: r["role"] == ASR)
    ]
    tables = [
        _row(f"Table {r['table']}", ROLES.get(r["role"], r["role"]), r)
        for r in cost["by_table"]
        if r["role"] != ASR
    ]
    return CostTable(tuple(models), tuple(tables), tuple(_notes(run, cost)))


def _row(label: str, hint: str, r: Mapping[str, Any]) -> CostRow:
    asr, live = r["role"] == ASR, r["calls"] > r["cached"] + r["failed"]
    about = "\u2248 " if r["estimated"] else ""
    return CostRow(
        *(label, f"{hint}, {_rtf(r)}" if asr and r["audio_seconds"] else hint),
        *(r["calls"], r["cached"], r["failed"]),
        tokens="" if asr or not live else about + short(_tokens([r])),
        audio=in_words(r["audio_seconds"]) if r["audio_seconds"] else "",
        usd="" if asr else priced(r["usd"], r["unpriced"], short_form=True),
    )


def _notes(run: RunView, cost: Mapping[str, Any]) -> Iterator[str]:
    """What a reader has to know to believe the sums."""
    prices = [p for p in (run.manifest.get("prices") or {}).get("models") or () if "input" in p]
    if prices:
        told = ", ".join(f"{p['model']} {p['input']:g} / {p['output']:g}{_as_of(p)}" for p in prices)
        yield f"USD per million tokens sent / received: {told}. Replies from the cache cost nothing now."
    if cost["unpriced"]:
        unknown = f"{cost['unpriced']:,} calls went to models whose price isn't known"
        yield f"{unknown}: give it in prices.yaml, or with -J price_in and price_out."
    if any(r["estimated"] for r in cost["by_model"]):
        yield "\u2248: the endpoint counted no tokens; they are estimated from the length of the texts."
    if len({r["table"] for r in cost["by_table"]}) > 1:
        yield "A task that stands in several tables counts in each."


def _as_of(price: Mapping[str, Any]) -> str:
    told = [str(price[k]) for k in ("source", "as_of") if price.get(k)]
    return f" ({', '.join(told)})" if told else ""


def csv_rows(runs: Sequence[RunView]) -> Iterator[list[Any]]:
    """Lines of csv/costs.csv: by model, by task, by table, for each run."""
    for run in runs:
        cost = _cost(run)
        for by, name in (("by_model", "model"), ("by_task", "task"), ("by_table", "table")):
            for r in cost.get(by) or ():
                t = r["tokens"]
                yield [
                    *(run.root.name, run.label, by.removeprefix("by_"), str(r[name]), r["role"]),
                    *(r["calls"], r["cached"], r["failed"], r["replies"]),
                    *(t.get(k, 0) for k in ("input", "cached", "audio_input", "output", "reasoning")),
                    *(r["estimated"], r["audio_seconds"], r["seconds"], r["usd"], r["unpriced"]),
                ]
