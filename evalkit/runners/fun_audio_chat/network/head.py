"""The speech refined head (SRH): from a hidden state to a group of speech tokens, one after the other.

Source: runner specification, sections 3 and 8. At every step of the language model the head takes k rows for each
position of that step's call and picks k tokens; it keeps a cache of its own, k times as long as the language model's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from evalkit.runners.fun_audio_chat.network.backbone import KVCache, Stack, qwen3

if TYPE_CHECKING:
    from evalkit.runners.fun_audio_chat.folder.config import AudioConfig

Pick = Callable[[int, Tensor], Tensor]
"""(which of the k tokens, raw logits (rows, codebook) in float32) -> ids (rows,)."""


class SpeechHead(nn.Module):
    """Parameters named as in the checkpoint below `audio_invert_tower.`; its output matrix is the speech embedding."""

    def __init__(self, audio: AudioConfig) -> None:
        super().__init__()
        width, self.k = audio.output_dim, audio.group_size
        self.crq_transformer = qwen3(audio.head, str(audio.head.get("model_type", "qwen3")), embeddings=False)
        inner = int(audio.head["hidden_size"])
        self.pre_matching = nn.Linear(width, self.k * width)
        self.input_matching = nn.Linear(width, inner, bias=False)
        self.output_matching = nn.Linear(inner, width, bias=False)
        self.bos = audio.bos_token_id
        self._stack: Stack | None = None

    @property
    def stack(self) -> Stack:
        """Its transformer on a cache."""
        if self._stack is None:
            self._stack = Stack(self.crq_transformer)
        return self._stack

    def rows(self, states: Tensor) -> Tensor:
        """Input rows: (rows, n, H) hidden states plus text embeddings -> (rows, n * k, H)."""
        rows, n, width = states.shape
        out: Tensor = self.pre_matching(states).view(rows, n * self.k, width)
        return out

    def prefill(
        self,
        rows: Tensor,
        lengths: Tensor,
        cache: KVCache,
        start: int,
        look: int,
        speech: Tensor,
        pick: Pick,
    ) -> Tensor:
        """The k tokens that go with the prompt; upstream discards them, but they stay in the cache.

        Args:
            rows: shape (rows, k * L, H), padded on the right.
            lengths: L of each row, shape (rows,).
            look: positions of the cache to look at, k * L of the longest row at least.
            speech: speech embeddings E_s, shape (codebook, H).

        Returns:
            Picked ids, shape (rows, k).
        """
        last = self.k * (lengths - 1)
        first = rows[:, : rows.shape[1] - self.k + 1] + speech[self.bos]
        out = self.stack.prefill(self.input_matching(first), cache, start)
        each = torch.arange(len(lengths), device=rows.device)
        picked = [pick(0, self._logits(out[each, last], speech))]
        for i in range(1, self.k):
            picked.append(
                self._one(rows[each, last + i], picked[-1], cache, start, last + i, look, speech, pick, i)
            )
        return torch.stack(picked, dim=1)

    def group(
        self,
        rows: Tensor,
        before: Tensor,
        cache: KVCache,
        place: Tensor,
        length: int,
        speech: Tensor,
        pick: Pick,
    ) -> Tensor:
        """The k tokens of a later step, of the slots from 0 on.

        Args:
            rows: shape (rows, k, H).
            before: the token picked last, shape (rows,).
            place: the head's next position of each row, shape (rows,).
            length: positions of the head's cache to look at.

        Returns:
            Picked ids, shape (rows, k).
        """
        picked: list[Tensor] = []
        for i in range(self.k):
            before = self._one(rows[:, i], before, cache, 0, place + i, length, speech, pick, i)
            picked.append(before)
        return torch.stack(picked, dim=1)

    def _one(
        self,
        row: Tensor,
        before: Tensor,
        cache: KVCache,
        start: int,
        place: Tensor,
        length: int,
        speech: Tensor,
        pick: Pick,
        i: int,
    ) -> Tensor:
        inputs = self.input_matching(row + speech[before])
        return pick(i, self._logits(self.stack.decode(inputs, cache, start, place, length), speech))

    def _logits(self, states: Tensor, speech: Tensor) -> Tensor:
        logits: Tensor = self.output_matching(states) @ speech.T
        return logits.float()
