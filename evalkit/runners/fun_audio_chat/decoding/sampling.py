"""From logits to ids: penalty, bad words, temperature, top-k, top-p, draws of each request's own.

Source: runner specification, section 9. All of it works on rows of a batch at once, without a branch on values, so that
a step can be captured as a CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from evalkit.runners.fun_audio_chat.requests import Decoding

NEVER = float("-inf")


def penalised(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Repetition penalty: once for each id that is in the history.

    Args:
        scores: float32, shape (rows, ids).
        seen: True for the ids of the history, same shape.
    """
    if penalty == 1.0:
        return scores
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def without_bad_words(scores: Tensor, last: Tensor, words: tuple[tuple[int, ...], ...]) -> Tensor:
    """Forbid the last token of each bad word where the tokens before it were just said.

    Args:
        scores: shape (rows, ids).
        last: the latest token of each row, shape (rows,).

    Raises:
        ValueError: a word that has neither one nor two tokens.
    """
    for word in words:
        if len(word) not in (1, 2):
            raise ValueError(f"bad words have one or two tokens, not {len(word)}: {word}")
        *before, banned = word
        hit = last == before[0] if before else torch.ones_like(last, dtype=torch.bool)
        ban = torch.zeros_like(scores, dtype=torch.bool)
        ban[:, banned] = hit
        scores = scores.masked_fill(ban, NEVER)
    return scores


def warped(scores: Tensor, decoding: Decoding) -> Tensor:
    """Temperature, then top-k, then top-p; float32, shape (rows, ids)."""
    if decoding.temperature != 1.0:
        scores = scores / decoding.temperature
    if 0 < decoding.top_k < scores.shape[-1]:
        least = torch.topk(scores, decoding.top_k, dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < least, NEVER)
    if decoding.top_p < 1.0:
        ordered, order = torch.sort(scores, dim=-1)
        drop = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1.0 - decoding.top_p
        drop[:, -1].fill_(False)
        scores = scores.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), NEVER)
    return scores


def by_uniforms(scores: Tensor, uniforms: Tensor) -> Tensor:
    """Draw an id per row from softmax(scores) by inverting its distribution function.

    One number of a request's own generator decides each draw: the same on every device, whoever shares the batch.

    Args:
        scores: float32, shape (rows, ids).
        uniforms: float64 in [0, 1), shape (rows,).

    Returns:
        Ids, shape (rows,); never one whose probability is 0.
    """
    weights = scores.softmax(dim=-1).double()
    heights = weights.cumsum(dim=-1)
    found = (heights <= uniforms[:, None] * heights[:, -1:]).sum(dim=-1, keepdim=True)
    found = found.clamp(max=scores.shape[-1] - 1)
    # Rounding can lift the mark to the very top, behind the last id that can be drawn.
    empty = weights.gather(-1, found) == 0
    return torch.where(empty, weights.argmax(dim=-1, keepdim=True), found)[:, 0]


def by_multinomial(scores: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Draw an id per row with torch's own `multinomial`, each row from its generator: upstream's draws at batch 1."""
    weights = scores.softmax(dim=-1).cpu()
    drawn = [torch.multinomial(w[None], 1, generator=g)[0] for w, g in zip(weights, generators, strict=True)]
    return torch.cat(drawn).to(scores.device)
