"""Binding roles: who judges, who transcribes; what judging costs and may cost."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from evalkit.cache import Cache
from evalkit.chat import ChatModel
from evalkit.cli import options, wording
from evalkit.errors import MissingKey, UsageError
from evalkit.interfaces import Roles
from evalkit.prices import OPTIONS as PRICES
from evalkit.prices import PriceTable, given_price, load_prices
from evalkit.registry import default_transcriber, make_chat, make_transcriber
from evalkit.task import Task

if TYPE_CHECKING:  # most runs have no judge
    from evalkit.engine.budget import Budget

HARMLESS = frozenset(
    {
        *("concurrency", "timeout", "api_key", "api_key_env", "base_url"),
        *("upload", "max_audio_seconds", "max_audio_mb"),
    }
)
"""Options that don't decide replies, or that the model tells of itself: they are left out of the cache's keys."""


def bind(
    args: argparse.Namespace,
    cache: Cache | None,
    needed: Collection[str],
    extra: Mapping[str, Any] | None = None,
) -> tuple[Roles, dict[str, str]]:
    """The roles of this call, and how the user named them.

    Args:
        needed: roles the tasks need; an unnamed ASR engine is chosen only for tasks that transcribe.
        extra: scoring options beside the user's.

    Raises:
        UsageError: an unknown model, engine or option; a budget of money for a judge without a price.
    """
    budget = _budget(getattr(args, "judge_budget", None))
    prices = load_prices() if args.judge or args.lalm_judge else PriceTable({})
    scoring: dict[str, Any] = {**options.scoring_options(args.O), **wording.chosen(args), **(extra or {})}
    names: dict[str, str] = {}
    asr = None
    dry = bool(getattr(args, "dry_run", False))
    judge = _chat("judge", args.judge, options.pairs(args.J, "-J"), cache, prices, budget, dry)
    lalm = _chat("lalm-judge", args.lalm_judge, options.pairs(args.L, "-L"), cache, prices, budget, dry)
    if lalm is not None and not getattr(lalm, "hears", True):
        raise UsageError(
            f"{args.lalm_judge} can't hear, so it is no LALM judge; bind one that can: openai/MODEL."
        )
    names |= {"judge": args.judge} if judge else {}
    names |= {"lalm-judge": args.lalm_judge} if lalm else {}
    engine = args.asr or (default_transcriber() if "asr" in needed else None)
    if engine:
        asr = make_transcriber(engine, options.pairs(args.A, "-A"))
        names["asr"] = asr.signature
    return Roles(judge, asr, lalm, scoring), names


def _budget(text: str | None) -> Budget | None:
    """Of ``--judge-budget``. Raises UsageError."""
    if not text:
        return None
    from evalkit.engine.budget import Budget

    return Budget.parse(text)


def _chat(
    role: str,
    spec: str | None,
    given: Mapping[str, str],
    cache: Cache | None,
    prices: PriceTable,
    budget: Budget | None,
    dry: bool,
) -> ChatModel | None:
    """The model bound to a role that judges: its calls on record, its replies cached, within the budget.

    Raises:
        UsageError: as `bind`.
    """
    if not spec:
        return None
    from evalkit.engine.budget import Budgeted
    from evalkit.engine.judgecache import CachedChat
    from evalkit.engine.metering import MeteredChat

    flag = "-J" if role == "judge" else "-L"
    told = {k: v for k, v in given.items() if k not in PRICES}
    try:
        model = _made(role, spec, told, dry)
    except UsageError as exc:  # the model's own options are named as of the model under test
        raise UsageError(str(exc).replace("-M ", f"{flag} ")) from exc
    listed = prices.of(model.label)
    price = given_price(given, flag, listed) or listed
    chain: ChatModel = model
    if budget is not None:
        if price is None and not budget.calls:
            raise UsageError(
                f"--judge-budget {budget.given} needs a price of {model.label}, and there is none: give it with "
                f"{flag} price_in=USD {flag} price_out=USD (per million tokens; 0 for what costs nothing) or in "
                f"{prices.file}, or give the budget as --judge-budget 1000calls."
            )
        chain = Budgeted(chain, budget, price)
    if cache is not None:
        chain = CachedChat(chain, _identity(spec, told, model), cache)
    return MeteredChat(chain, role, price)


def _made(role: str, spec: str, told: Mapping[str, str], dry: bool) -> ChatModel:
    """The model itself. An estimate needs no key: a dry run says that none is set, and goes on without. Raises
    UsageError."""
    try:
        return make_chat(spec, told)
    except MissingKey as exc:
        if not dry:
            raise
        print(f"the {role}: {exc}", file=sys.stderr)
        os.environ[exc.variable] = "none"  # nothing is sent
        try:
            return make_chat(spec, told)
        finally:
            del os.environ[exc.variable]


def _identity(spec: str, given: Mapping[str, str], model: ChatModel) -> dict[str, Any]:
    """What decides a judge's replies beside the request, secrets out.

    The address may come from the environment: what the model says of itself counts, too.
    """
    told: Mapping[str, Any] = getattr(model, "identity", dict)()
    kept = {k: v for k, v in given.items() if k not in HARMLESS or (k == "base_url" and k not in told)}
    return {"model": spec, **options.without_secrets(kept), "identity": dict(told)}


def needs(tasks: Iterable[Task], protocol: str | None) -> set[str]:
    """The roles these tasks need under a protocol."""
    return {role for t in tasks for role in t.variant(protocol)[1].roles}
