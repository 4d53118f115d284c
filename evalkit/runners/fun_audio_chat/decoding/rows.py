"""The rows under way: what each has said, where it stands in the caches, the history its penalties look at.

One slot a row, active rows in the slots 0 to n - 1. All of it stays on the device in tensors that never move, so that a
step can be captured as a CUDA graph and replayed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evalkit.runners.fun_audio_chat.network.backbone import KVCache
from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
from evalkit.runners.fun_audio_chat.requests import Decoding, Request

BLOCK = 256
"""Caches grow by this many positions of the language model."""
FILL = 0.97
"""Share of the free memory that caches may take: while a layer grows, old and new stand side by side."""

STATE = ("place", "token", "drawn", "before", "on", "group", "seen_speech", "seen_text", "uniforms")
"""Tensors of a row's own, one row a slot."""

Said = tuple[int, bool, tuple[int, ...]]
"""What one step gave a row: text id, did it stop, its group of speech ids (empty when speech is off)."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request made ready: ids on the device, and the vectors of its audio, shape (placeholders, H)."""

    request: Request
    ids: Tensor
    audio: Tensor


class Rows:
    """Static state of a batch of at most `slots` rows that are decoded alike.

    Attributes:
        place: positions of the language model's cache that are taken, (slots,); the head's are k times as many.
        token: latest text id, (slots,).
        on: is the row speaking?
        before: the head's latest pick, (slots,).
        group: the latest group of speech ids, (slots, k).
        drawn: steps done, (slots,).
        seen_text, seen_speech: ids of the histories.
        uniforms: the draws of each row, (slots, max_new_tokens, k + 1), text last.
        apart: does a step keep the rows' experts apart?
        out: what the latest step said, int64 (slots, k + 3): text, stopped, speaking, speech ids.
    """

    def __init__(self, model: FunAudioChat, decoding: Decoding, slots: int) -> None:
        self.model, self.decoding, self.slots = model, decoding, slots
        device, k = model.device, model.head.k
        self.k = k
        self.apart = False
        audio, vocabulary = model.config.audio, model.text_embeddings.shape[0]
        self.place = torch.zeros(slots, dtype=torch.long, device=device)
        self.token = torch.zeros_like(self.place)
        self.drawn = torch.zeros_like(self.place)
        self.before = torch.full_like(self.place, audio.bos_token_id)
        self.on = torch.zeros(slots, dtype=torch.bool, device=device)
        self.group = torch.full((slots, k), audio.bos_token_id, dtype=torch.long, device=device)
        self.out = torch.zeros(slots, k + 3, dtype=torch.long, device=device)
        self.stops = torch.tensor(sorted(set(decoding.text_eos)), dtype=torch.long, device=device)
        penalties = decoding.repetition_penalty != 1.0
        self.seen_speech = torch.zeros(
            (slots, audio.codebook_size if decoding.speech and penalties else 1),
            dtype=torch.bool,
            device=device,
        )
        self.seen_text = torch.zeros(
            (slots, vocabulary if penalties and not decoding.text_greedy else 1),
            dtype=torch.bool,
            device=device,
        )
        self.draws = decoding.do_sample and (decoding.speech or not decoding.text_greedy)
        steps = decoding.max_new_tokens if self.draws else 1
        self.uniforms = torch.zeros((slots, steps, k + 1), dtype=torch.float64, device=device)
        self.generators = [torch.Generator() for _ in range(slots)]
        self.text_cache = model.stack.cache(device, model.dtype)
        self.speech_cache = model.head.stack.cache(device, model.dtype)

    def per_position(self) -> int:
        """Bytes that one more position of one row takes in the caches."""
        head = self.k * self.speech_cache.bytes_per_position if self.decoding.speech else 0
        return self.text_cache.bytes_per_position + head

    @property
    def length(self) -> int:
        """Positions of the language model that the caches have room for."""
        return self.text_cache.length

    def fitting(self, length: int, free: int) -> int:
        """Slots, at least one, for which caches of `length` positions fit into `free` bytes and what they hold now."""
        room, each = -(-length // BLOCK) * BLOCK, self.per_position()
        return max(1, min(self.slots, int(FILL * (free + self.slots * self.length * each)) // (room * each)))

    def cut(self, slots: int) -> None:
        """Give up the slots from `slots` on, which nobody is in; the caches follow when they grow next."""
        self.slots = slots
        self.generators = self.generators[:slots]
        for name in (*STATE, "out"):
            setattr(self, name, getattr(self, name)[:slots].clone())

    def reserve(self, length: int) -> bool:
        """Make room for `length` positions; True when tensors of the caches moved.

        Raises:
            torch.OutOfMemoryError: it does not fit.
        """
        if length <= self.length:
            return False
        room = -(-length // BLOCK) * BLOCK
        fresh = not self.text_cache.slots
        self._room(self.text_cache, room, fresh=fresh)
        if self.decoding.speech:
            self._room(self.speech_cache, self.k * room, fresh=fresh)
        return True

    def _room(self, cache: KVCache, length: int, *, fresh: bool) -> None:
        if fresh:
            cache.allocate(self.slots, length)
        else:
            cache.grow(self.slots, length)

    def release(self) -> None:
        """Give the caches' memory back."""
        self.text_cache.clear()
        self.speech_cache.clear()

    def enter(self, prompts: list[Prompt], start: int) -> None:
        """Set the slots from `start` on for new rows; their prompts are still to be run."""
        audio = self.model.config.audio
        if self.model.dtype == torch.float16:
            self._wipe(start, start + len(prompts))
        for slot, prompt in enumerate(prompts, start):
            self.place[slot] = len(prompt.ids)
            self.token[slot] = prompt.ids[-1]
            self.before[slot] = audio.bos_token_id
            self.group[slot] = audio.bos_token_id
            self.on[slot] = False
            self.drawn[slot] = 0
            self.seen_speech[slot] = False
            self.seen_text[slot] = False
            if self.seen_text.shape[1] > 1:
                self.seen_text[slot, prompt.ids] = True
            if self.draws:
                generator = self.generators[slot].manual_seed(prompt.request.seed)
                if self.decoding.draws == "uniform":
                    shape = self.uniforms.shape[1:]
                    self.uniforms[slot] = torch.rand(shape, dtype=torch.float64, generator=generator)

    def _wipe(self, start: int, stop: int) -> None:
        """Forget all keys and values of these slots. Whoever overflowed left NaN there, which no mask takes away."""
        for cache in (self.text_cache, self.speech_cache):
            for tensor in (*cache.keys, *cache.values):
                tensor[start:stop].zero_()

    def move(self, source: int, target: int, length: int) -> None:
        """Put a row into another slot; `length` positions of the language model are taken."""
        for name in STATE:
            tensor = getattr(self, name)
            tensor[target] = tensor[source]
        swap = self.generators
        swap[source], swap[target] = swap[target], swap[source]
        self.text_cache.move(source, target, length)
        if self.decoding.speech:
            self.speech_cache.move(source, target, self.k * length)

    def said(self, start: int, stop: int) -> list[Said]:
        """What the latest step said, row by row; waits for the device."""
        found = []
        for text, stopped, speaking, *group in self.out[start:stop].tolist():
            found.append((text, bool(stopped), tuple(group) if speaking else ()))
        return found
