"""Does an item belong to its empathy track? A model that only reads must name the emotion, or must fail to.

Source: internal-set sheet section 2.1. Majority of five replies over the emotions of the manifest and "unclear".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks._style_manifest import Item
from evalkit.chat import ChatModel, ChatRequest
from judges.manner import PLAIN, Manner

RUNS = 5
AT_ONCE = 8
UNCLEAR = "unclear"
TEMPERATURE = 0.7
"""Above 0, or five replies would be one reply five times."""


@dataclass(frozen=True)
class Separation:
    """What a reader made of one item's words.

    Attributes:
        named: what most replies named, or "unclear".
        fits: does that agree with the track: named for the semantic one, not named for the paralinguistic?
    """

    item: Item
    named: str
    fits: bool
    replies: tuple[str, ...]


def emotions_of(items: Iterable[Item]) -> list[str]:
    """The closed list: every emotion of the manifest, sorted, in lower case."""
    return sorted({i.user_state.emotion.strip().lower() for i in items if i.user_state})


def majority(replies: Sequence[str], emotions: Sequence[str]) -> str:
    """The choice of more than half of the replies; "unclear" when there is none, or none that is in the list."""
    chosen = Counter(r.strip().strip(".\"'`*").strip().lower() for r in replies)
    [(named, n)] = chosen.most_common(1) or [("", 0)]
    return named if named in emotions and 2 * n > len(replies) else UNCLEAR


def judged(item: Item, replies: Sequence[str], emotions: Sequence[str]) -> Separation:
    """The verdict on one item of an empathy track."""
    named = majority(replies, emotions)
    told = item.user_state is not None and named == item.user_state.emotion.strip().lower()
    return Separation(item, named, told == (item.track == "empathy_semantic"), tuple(replies))


async def separate(items: Sequence[Item], model: ChatModel, manner: Manner = PLAIN) -> list[Separation]:
    """Ask about every item of the two empathy tracks, in order. Raises RunnerError, UsageError."""
    asked = [i for i in items if i.track != "speech_if"]
    emotions = emotions_of(asked)
    rubric = manner.rubric("style_separation")
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Separation:
        text = rubric.render(transcript=item.transcript, emotions="\n".join(emotions))
        request = ChatRequest(
            ((rubric.role, text),),
            temperature=TEMPERATURE,
            n=RUNS,
            seed=0,
            choices=(*emotions, UNCLEAR),
        )
        async with gate:
            reply = await model.chat(request)
        return judged(item, reply.texts[:RUNS], emotions)

    return list(await asyncio.gather(*(one(i) for i in asked)))
