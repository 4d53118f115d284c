"""The rules from logits to ids, against plain loops, and draws against the distribution they come from."""

from __future__ import annotations

import math
import random

import pytest

from tests.fun_audio_chat_fixtures import needs_torch

pytestmark = needs_torch


def decoding(**settings):
    from evalkit.runners.fun_audio_chat.requests import Decoding

    return Decoding(speech=True, max_new_tokens=1, **settings)


def plain(scores: list[float], temperature: float, top_k: int, top_p: float) -> list[float]:
    """The distribution after the processors, one row, in ordinary arithmetic."""
    scaled = [s / temperature for s in scores]
    kept = set(range(len(scaled)))
    if 0 < top_k < len(scaled):
        least = sorted(scaled, reverse=True)[top_k - 1]
        kept = {i for i in kept if scaled[i] >= least}
    total = sum(math.exp(scaled[i]) for i in kept)
    share = {i: math.exp(scaled[i]) / total for i in kept}
    below = 0.0
    rising = sorted(kept, key=lambda i: scaled[i])
    dropped = set()
    for i in rising[:-1]:
        below += share[i]
        if below <= 1 - top_p:
            dropped.add(i)
    left = sum(share[i] for i in kept - dropped)
    return [share[i] / left if i in kept - dropped else 0.0 for i in range(len(scaled))]


@pytest.mark.parametrize("seed", range(20))
def test_processors_agree_with_plain_loops(seed: int) -> None:
    import torch

    from evalkit.runners.fun_audio_chat.decoding.sampling import warped

    rng = random.Random(seed)
    settings = {
        "temperature": rng.choice([0.5, 0.8, 1.0, 1.7]),
        "top_k": rng.choice([0, 1, 5, 50]),
        "top_p": rng.choice([0.3, 0.9, 1.0]),
    }
    rows = [[rng.gauss(0, 2) for _ in range(rng.choice([4, 30]))] for _ in range(1)] * 2
    got = warped(torch.tensor(rows), decoding(**settings)).softmax(-1)
    for row, ours in zip(rows, got, strict=True):
        assert ours.tolist() == pytest.approx(plain(row, **settings), abs=1e-5)


def test_the_penalty_counts_each_id_once_and_knows_signs() -> None:
    import torch

    from evalkit.runners.fun_audio_chat.decoding.sampling import penalised

    scores = torch.tensor([[2.0, -2.0, 3.0, 0.0], [2.0, -2.0, 3.0, 0.0]])
    seen = torch.tensor([[True, True, False, True], [False, False, True, False]])
    expected = torch.tensor([[2.0 / 1.2, -2.4, 3.0, 0.0], [2.0, -2.0, 2.5, 0.0]])
    assert torch.allclose(penalised(scores, seen, 1.2), expected)
    assert penalised(scores, seen, 1.0) is scores


def test_bad_words_forbid_what_follows_and_nothing_else() -> None:
    import torch

    from evalkit.runners.fun_audio_chat.decoding.sampling import without_bad_words

    scores = torch.zeros(2, 6)
    got = without_bad_words(scores, torch.tensor([4, 1]), ((4, 2), (5,)))
    assert got.isinf().nonzero().tolist() == [[0, 2], [0, 5], [1, 5]]
    assert not scores.isinf().any()
    with pytest.raises(ValueError, match="one or two tokens, not 3"):
        without_bad_words(scores, torch.tensor([4, 1]), ((4, 2, 5),))


@pytest.mark.parametrize("how", ["uniform", "multinomial"])
def test_draws_follow_the_distribution(how: str) -> None:
    import torch

    from evalkit.runners.fun_audio_chat.decoding.sampling import by_multinomial, by_uniforms

    weights = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05, 0.0])
    n = 20_000
    generator = torch.Generator().manual_seed(5)
    scores = weights.log().expand(n, -1)
    if how == "uniform":
        drawn = by_uniforms(scores, torch.rand(n, dtype=torch.float64, generator=generator))
    else:
        drawn = torch.cat([by_multinomial(scores[:1], [generator]) for _ in range(n // 4)])
    shares = torch.bincount(drawn, minlength=6) / len(drawn)
    # Five standard deviations.
    assert torch.all((shares - weights).abs() <= 5 * (weights * (1 - weights) / len(drawn)).sqrt())


def test_the_ends_of_the_unit_interval_never_draw_the_impossible() -> None:
    import torch

    from evalkit.runners.fun_audio_chat.decoding.sampling import by_uniforms

    scores = torch.tensor([[float("-inf"), 1.0, float("-inf"), 2.0, float("-inf")]]).expand(3, -1)
    uniforms = torch.tensor([0.0, 0.5, math.nextafter(1.0, 0.0)], dtype=torch.float64)
    assert by_uniforms(scores, uniforms).tolist() == [1, 3, 3]
