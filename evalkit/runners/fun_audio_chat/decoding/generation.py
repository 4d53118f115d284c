"""Prefill and one step of joint generation, for all rows of a batch at once.

Source: runner specification, sections 7 to 9. The numbers in comments are the steps of its section 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evalkit.runners.fun_audio_chat.decoding.rows import Prompt, Rows
from evalkit.runners.fun_audio_chat.decoding.sampling import (
    by_multinomial,
    by_uniforms,
    penalised,
    warped,
    without_bad_words,
)


@torch.inference_mode()
def prefill(rows: Rows, prompts: Sequence[Prompt], start: int) -> None:
    """Run prompts into the slots from `start` on, and pick their first text ids (step s = 0).

    What it said stands in `rows.out`. The caches must have room for the longest prompt and one step more.
    """
    model, decoding = rows.model, rows.decoding
    rows.enter(list(prompts), start)
    stop = start + len(prompts)
    lengths = rows.place[start:stop]
    ids = torch.nn.utils.rnn.pad_sequence([p.ids for p in prompts], batch_first=True)
    embedded = model.text_embeddings[ids]
    inside = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    heard = (ids == model.config.audio_token_index) & inside
    audio = torch.cat([p.audio for p in prompts]).to(embedded.dtype)
    inputs = embedded.masked_scatter(heard[..., None], audio)  # 1
    states = model.stack.prefill(inputs, rows.text_cache, start)  # 2
    last = states[torch.arange(len(prompts), device=ids.device), lengths - 1]
    if decoding.speech:  # 3, 4: the group itself is discarded
        u = model.head.rows(states + embedded)
        picked = model.head.prefill(
            u,
            lengths,
            rows.speech_cache,
            start,
            rows.k * ids.shape[1],
            model.speech_embeddings,
            _Picker(rows, start, stop),
        )
        rows.before[start:stop] = picked[:, -1]
    text = _text(rows, model.text_logits(last), start, stop)  # 5
    if decoding.speech and decoding.force_text_abos:
        text = torch.full_like(text, model.config.audio_bos_index)
    rows.out[start:stop, 2] = False  # nobody speaks yet, whoever had the slot before
    _append(rows, text, _among(text, rows.stops), start, stop)  # 6


@torch.inference_mode()
def step(rows: Rows, n: int, length: int) -> None:
    """One more step of the rows in the slots 0 to n - 1; what it said stands in `rows.out`.

    Args:
        length: positions of the language model's cache to look at; above every active row's place.
    """
    model, decoding = rows.model, rows.decoding
    config = model.config
    token = rows.token[:n]
    place = rows.place[:n]
    embedded = model.text_embeddings[token]
    inputs = embedded
    if decoding.speech:  # 1
        spoken = model.audio_tower.speech_average(rows.group[:n]).to(embedded.dtype)
        inputs = torch.where(rows.on[:n, None], (embedded + spoken) / 2, embedded)
        rows.on[:n] |= token == config.audio_bos_index
    states = model.stack.decode(inputs, rows.text_cache, 0, place, length, apart=rows.apart)  # 2
    picked = None
    if decoding.speech:  # 3, 4
        u = model.head.rows((states + embedded)[:, None])
        picked = model.head.group(
            u,
            rows.before[:n],
            rows.speech_cache,
            rows.k * place,
            rows.k * length,
            model.speech_embeddings,
            _Picker(rows, 0, n),
        )
        rows.before[:n] = picked[:, -1]
    text = _text(rows, model.text_logits(states), 0, n)  # 5
    stopped = _among(text, rows.stops)  # 6: an id that step 7 overwrites stops the row all the same
    rows.place[:n] += 1
    if picked is not None:  # 7
        on = rows.on[:n]
        ends = on & (picked == config.audio.eos_token_id).any(dim=1)
        group = torch.where(ends[:, None], config.audio.eos_token_id, picked)
        text = torch.where(ends, config.audio_eos_index, text)
        rows.group[:n] = torch.where(on[:, None], group, rows.group[:n])
        if rows.seen_speech.shape[1] > 1:
            said = rows.seen_speech[:n].scatter(1, group, True)
            rows.seen_speech[:n] = torch.where(on[:, None], said, rows.seen_speech[:n])
        rows.out[:n, 2] = on
        rows.out[:n, 3:] = group
        rows.on[:n] = on & ~ends
    _append(rows, text, stopped, 0, n)


def _among(ids: Tensor, few: Tensor) -> Tensor:
    """Which of the ids are among these few."""
    return (ids[:, None] == few).any(dim=1)


def _append(rows: Rows, text: Tensor, stopped: Tensor, start: int, stop: int) -> None:
    """Put the text ids of a step on record."""
    rows.token[start:stop] = text
    rows.drawn[start:stop] += 1
    if rows.seen_text.shape[1] > 1:
        rows.seen_text[start:stop].scatter_(1, text[:, None], True)
    rows.out[start:stop, 0] = text
    rows.out[start:stop, 1] = stopped


def _text(rows: Rows, logits: Tensor, start: int, stop: int) -> Tensor:
    """The text ids of a step, shape (rows,), of raw logits in float32."""
    decoding = rows.decoding
    if decoding.text_greedy:
        return logits.argmax(dim=-1)
    scores = penalised(logits, rows.seen_text[start:stop], decoding.repetition_penalty)
    latest = rows.token[start:stop].clone()
    if decoding.bad_words:
        scores = without_bad_words(scores, latest, decoding.bad_words)
    return _drawn(rows, scores, start, stop, rows.k)


def _drawn(rows: Rows, scores: Tensor, start: int, stop: int, which: int) -> Tensor:
    """An id per row of processed scores: the likeliest, or a draw; `which` of the k + 1 draws of a step."""
    if not rows.decoding.do_sample:
        return scores.argmax(dim=-1)
    scores = warped(scores, rows.decoding)
    if rows.decoding.draws == "multinomial":
        return by_multinomial(scores, rows.generators[start:stop])
    step = rows.drawn[start:stop].clamp(max=rows.uniforms.shape[1] - 1)
    each = torch.arange(start, stop, device=scores.device)
    return by_uniforms(scores, rows.uniforms[each, step, which])


class _Picker:
    """Picks the head's tokens of one step, with the penalty over the history and this very group."""

    def __init__(self, rows: Rows, start: int, stop: int) -> None:
        self.rows, self.start, self.stop = rows, start, stop
        self.seen = rows.seen_speech[start:stop]
        self.penalties = self.seen.shape[1] > 1

    def __call__(self, i: int, logits: Tensor) -> Tensor:
        scores = logits
        if self.penalties:
            scores = penalised(scores, self.seen, self.rows.decoding.repetition_penalty)
        found = _drawn(self.rows, scores, self.start, self.stop, i)
        if self.penalties:
            self.seen = self.seen.scatter(1, found[:, None], True)
        return found
