"""`show`: the samples of a task, as the model would be asked and as the judges see them."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from evalkit.cli.options import pairs
from evalkit.cli.run import asking, data_options, reading
from evalkit.cli.score import one_task
from evalkit.engine.loading import Item, items
from evalkit.engine.opening import opened
from evalkit.engine.state import TaskState
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.plan import ScoringPlan
from evalkit.records import Audio
from evalkit.registry import catalogue, make_runner


def call(args: argparse.Namespace) -> int:
    """Print the samples asked for, or what judges were sent of a run's answers."""
    if args.run:
        from evalkit.cli import show_judged

        return show_judged.call(args)
    if args.sample:
        raise UsageError("--sample picks answers of a run; name it with --run RUN.")
    found = samples(args)
    runner = make_runner(args.model, pairs(args.M, "-M")) if args.model else None
    for item in found:
        sent = asyncio.run(preview(runner, item)) if runner else None
        if args.ids:
            print(item.sample.id)
        elif args.json:
            print(json.dumps({**plain(item), **({"sent": sent} if runner else {})}, ensure_ascii=False))
        else:
            print("\n".join(described(item)))
            print("  -- sent\n" + indented(sent) + "\n" if runner else "")
    return 0


async def preview(runner: Runner, item: Item) -> Any:
    """What this model would be sent. Raises UsageError when its runner can't say."""
    if item.broken is not None:
        return None
    try:
        sent = await runner.preview(item.sample, item.state.plan.task.modality)
    except RunnerError as exc:
        raise UsageError(exc.message) from exc
    finally:
        await runner.close()
    if sent is None:
        raise UsageError(f"the runner {runner.name!r} can't show what it sends; leave --model out.")
    return sent


def indented(value: Any) -> str:
    """JSON for reading, two blanks in."""
    return "\n".join(f"  {line}" for line in json.dumps(value, ensure_ascii=False, indent=1).splitlines())


def samples(args: argparse.Namespace) -> Iterator[Item]:
    """The first --limit samples of the task, loaded. Raises UsageError."""
    [task] = reading(asking([one_task(args.task)], args.prompt), args.data_repo)
    suite = catalogue().suite(args.suite) if args.suite else None
    protocol, variant = task.variant(None)
    source, _ = opened(task, data_options(args, suite))
    state = TaskState(ScoringPlan(task, protocol, variant, (), source.describe()), source)
    return islice(items(state, None), args.limit if not args.ids else None)


def described(item: Item) -> Iterator[str]:
    """One sample in words: what the model is asked, then what the judges see beside its answer."""
    sample = item.sample
    yield f"{sample.id}  ({sample.task})"
    asked = [(t.role, heard(p) if isinstance(p, Audio) else p) for t in sample.turns for p in t.parts]
    asked += [("tool", json.dumps(dict(tool), ensure_ascii=False)) for tool in sample.tools]
    asked += [("broken", item.broken.message)] if item.broken is not None else []
    seen = [("question", sample.question)]
    if sample.target is not None:
        seen.append(("target", json.dumps(sample.target, ensure_ascii=False)))
    meta = {k: v for k, v in sample.meta.items() if k != "question"}
    seen += [(k, json.dumps(v, ensure_ascii=False)[:200]) for k, v in meta.items()]
    width = max(len(name) for name, _ in (*asked, *seen))
    yield from (field(name, text, width) for name, text in asked)
    yield "  -- judges see"
    yield from (field(name, text, width) for name, text in seen)


def field(name: str, text: str, width: int) -> str:
    """A name and its text, whose further lines stand below the first."""
    return f"  {name:<{width}} " + text.replace("\n", "\n" + " " * (width + 3))


def heard(audio: Audio) -> str:
    """A piece of audio in words."""
    if audio.seconds is None:
        return f"audio {audio.origin or audio.path or ''}"
    return f"audio, {audio.seconds:.2f} s at {audio.sample_rate} Hz, {audio.format}, sha256 {audio.digest()[:12]}"


def plain(item: Item) -> dict[str, Any]:
    """One sample as JSON, the audio by digest and place."""
    item.drop_audio()
    out = item.sample.to_json()
    for turn in out["turns"]:
        for part in turn["parts"]:
            part.get("audio", {}).pop("data", None)
    return {**out, "input": item.input}
