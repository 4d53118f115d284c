"""Two judges, or one judge with two wordings, on the same answers: how far they agree, and where they don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.audit.figures import (
    DRAWS,
    SUBSET_DRAWS,
    Figure,
    Scale,
    joint_scale,
    mean_of,
    of_pair,
    paired,
    scale_of,
    sign_test,
)
from evalkit.audit.shelf import Asked, Shelf, Verdicts, examples, replies_of
from evalkit.errors import UsageError
from evalkit.records import JSON

PAIR = "first-second"


@dataclass(frozen=True)
class Versus:
    """Two judges compared.

    Attributes:
        ids: samples with a verdict of both on the same answer.
        only: how many answers only the first, only the second has a verdict on (the other failed or wasn't asked).
        differing: samples they differ on, the farthest apart first.
    """

    one: Verdicts
    two: Verdicts
    ids: tuple[str, ...]
    scale: Scale
    figures: list[Figure]
    only: tuple[int, int]
    differing: tuple[str, ...]


def compare(
    one: Verdicts,
    two: Verdicts,
    subsets: Mapping[str, Sequence[str]] | None = None,
    draws: int = DRAWS,
) -> Versus:
    """All figures of two judges on the answers that both judged: equal sample id and equal response digest.

    Raises:
        UsageError: they have no answer in common, or a library is missing.
    """
    import numpy as np

    mine, theirs = one.values, two.values
    common = sorted(
        i for i in mine.keys() & theirs.keys() if one.scores[i].response == two.scores[i].response
    )
    if not common:
        raise UsageError(
            f"the two judges of {one.task} {one.metric} have no answer in common; a verdict is matched by the "
            f"sample's id and its answer (the first has {examples(sorted(mine))}, the second "
            f"{examples(sorted(theirs))})."
        )
    same = [
        i for i in one.scores.keys() & two.scores.keys() if one.scores[i].response == two.scores[i].response
    ]
    only = (
        sum(i in mine and i not in theirs for i in same),
        sum(i in theirs and i not in mine for i in same),
    )
    a, b = np.asarray([mine[i] for i in common]), np.asarray([theirs[i] for i in common])
    same_range = (one.lo, one.hi) == (two.lo, two.hi)
    scale = (
        scale_of([*a, *b], one.lo, one.hi)
        if same_range
        else joint_scale(a.tolist(), b.tolist(), one.lo, one.hi)
    )
    figures = _figures(a, b, scale, "all", draws)
    place = {i: k for k, i in enumerate(common)}
    for name, members in (subsets or {}).items():
        rows = [place[i] for i in members if i in place]
        if rows:
            figures += _figures(a[rows], b[rows], scale, name, min(draws, SUBSET_DRAWS))
    apart = sorted((i for i in common if mine[i] != theirs[i]), key=lambda i: (-abs(mine[i] - theirs[i]), i))
    return Versus(one, two, tuple(common), scale, figures, only, tuple(apart))


def _figures(a: Any, b: Any, scale: Scale, subset: str, draws: int) -> list[Figure]:
    found = of_pair(a, b, scale, ("the first", "the second"), draws)
    if scale.kind != "mixed":
        found.append(sign_test(a, b, scale))
    means = [
        mean_of("mean_first", a.tolist(), draws=draws),
        mean_of("mean_second", b.tolist(), draws=draws),
    ]
    return [*paired(found, PAIR, subset), *paired(means, PAIR, subset)]


def differences(found: Versus, asked: Mapping[str, Asked], most: int) -> list[dict[str, JSON]]:
    """The samples they differ on as data: question, target, answer, both verdicts and both replies."""
    out = []
    for i in found.differing[:most]:
        one, two, about = found.one.scores[i], found.two.scores[i], asked.get(i, Asked())
        out.append(difference(i, one.value, two.value, about, replies_of(one), replies_of(two)))
    return out


def difference(
    sample: str,
    first: float | None,
    second: float | None,
    about: Asked,
    replies_first: Sequence[str] = (),
    replies_second: Sequence[str] = (),
) -> dict[str, JSON]:
    """One sample on which two differ."""
    gap = None if first is None or second is None else round(first - second, 6)
    return {
        "sample_id": sample,
        "first": first,
        "second": second,
        "difference": gap,
        "question": about.question,
        "target": about.target,
        "answer": about.answer,
        "replies_first": list(replies_first),
        "replies_second": list(replies_second),
    }


def sources(shelf: Shelf, other: Shelf) -> None:
    """Do two runs hold answers in common? Raises UsageError that says what they have instead."""
    both = shelf.digests.keys() & other.digests.keys()
    if not both:
        raise UsageError(
            f"{shelf.run} and {other.run} have no sample of {shelf.task} in common: the one has "
            f"{examples(sorted(shelf.digests))}, the other {examples(sorted(other.digests))}."
        )
    if not any(shelf.digests[i] == other.digests[i] for i in both):
        why = (
            "the questions or targets differ"
            if any(shelf.answers[i] == other.answers[i] for i in both)
            else "the answers differ"
        )
        raise UsageError(
            f"{shelf.run} and {other.run} share {len(both)} samples of {shelf.task} but not one answer ({why}); "
            "two judges are compared on the same answers: score one file of predictions twice."
        )
