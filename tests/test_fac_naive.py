"""Batched generation against a naive reading of the specification, on random checkpoints beside the reference ones."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fun_audio_chat_fixtures import DATA, FOLDERS, needs_torch, reference

pytestmark = needs_torch

META = json.loads((DATA / "meta.json").read_text())
IM_END = 258
GROWS, MOVES = 3, 3


class Checkpoint:
    """A random one: the runner's model, and the naive one."""

    def __init__(self, r: random.Random, folder: Path) -> None:
        from evalkit.runners.fun_audio_chat.folder.config import read_config
        from evalkit.runners.fun_audio_chat.network.model import FunAudioChat
        from tests.fun_audio_chat_random import write_checkpoint
        from tests.fun_audio_chat_reference import Reference

        self.config = write_checkpoint(r, folder)
        self.model = FunAudioChat.load(read_config(folder))
        self.naive = Reference.read(folder)

    def told(self, request):
        """What the naive model says to it; the seeds of these tests are such that no pick is a close one."""
        import torch

        from tests.fun_audio_chat_naive import naive_rows

        heads = self.config["audio_config"]["encoder_attention_heads"]
        audio = [torch.zeros(0, self.config["audio_config"]["output_dim"])]
        for clip in (c for c in request.clips if c.groups):
            rows = naive_rows(self.model.continuous_audio_tower, torch.from_numpy(clip.mel), heads)
            audio.append(self.naive.vectors(torch.from_numpy(rows).float(), clip.groups))
        told = self.naive.generate(request.ids, torch.cat(audio), request.decoding, request.seed)
        assert told.margin > 2e-4 and told.nearest_draw > 2e-6, (told.margin, told.nearest_draw)
        return told

    def check(self, requests, order: random.Random, **options) -> None:
        """Every request, in some order, comes to what the naive model says."""
        from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine

        engine = Engine(self.model, **options)
        try:
            shuffled = order.sample(requests, len(requests))
            futures = {id(r): engine.submit(r) for r, _ in shuffled}
            for request, told in requests:
                got = futures[id(request)].result(timeout=120)
                assert (list(got.text_ids), list(got.speech_ids), got.finish) == (
                    told.text,
                    told.speech,
                    told.finish,
                )
        finally:
            engine.close()


@pytest.mark.parametrize(
    ("kind", "run", "clip", "settings"),
    [
        ("dense", "s2m1_finish", 1, {}),
        ("moe", "s2m1_textproc", 1, {"repetition_penalty": 1.2, "text_greedy": False}),
        ("moe", "s2t2", 2, {"speech": False, "max_new_tokens": 32}),
    ],
)
def test_the_naive_reading_says_what_upstream_said(kind: str, run: str, clip: int, settings: dict) -> None:
    import torch

    from evalkit.runners.fun_audio_chat.requests import Decoding
    from tests.fun_audio_chat_reference import Reference

    said = reference(kind)
    base = {"speech": True, "max_new_tokens": 24, "do_sample": False, "repetition_penalty": 1.0}
    asked = Decoding(**(base | {"text_eos": (IM_END,)} | settings))
    end = META["runs"][f"{kind}/{run}"]["audio_eos_override"] if run.endswith("finish") else None
    naive = Reference.read(FOLDERS[kind], end)
    prompt = said[f"{'s2m' if asked.speech else 'in'}{clip}.input_ids"].reshape(-1).tolist()
    told = naive.generate(prompt, torch.from_numpy(np.array(said[f"s2t{clip}.audio5"])), asked)
    assert told.text == said[f"{run}.text_ids"].tolist()
    if asked.speech:
        assert told.speech == said[f"{run}.speech_ids"].tolist()


# Between them: dense and mixtures, k from 1 to 7, each mode, up to three clips, stops, speech that ends and restarts.
SEEDS = (1, 2, 3, 4, 5, 7, 9, 13, 15, 17, 18, 19, 22, 23, 25, 28)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_checkpoints_prompts_and_decodings(seed: int, tmp_path: Path) -> None:
    from tests.fun_audio_chat_random import decoding, request

    r = random.Random(seed)
    one = Checkpoint(r, tmp_path / "checkpoint")
    ways = [decoding(r, one.config, steps=12) for _ in range(2)]
    asked = [request(r, one.config, r.choice(ways), r.randint(1, 40)) for _ in range(4)]
    told = [(a, one.told(a)) for a in asked]
    one.check(told, r, slots=1)
    one.check(told, r, slots=3)


def test_caches_that_grow_while_rows_are_under_way(tmp_path: Path) -> None:
    from evalkit.runners.fun_audio_chat.decoding.rows import BLOCK
    from tests.fun_audio_chat_random import decoding, request

    r = random.Random(GROWS)
    one = Checkpoint(r, tmp_path / "checkpoint")
    way = replace(decoding(r, one.config, 8), speech=True, max_new_tokens=5, text_eos=())
    lengths = (3, BLOCK - 4, BLOCK - 3, BLOCK - 1, BLOCK, BLOCK + 1)
    told = [(a, one.told(a)) for a in (request(r, one.config, way, n) for n in lengths)]
    one.check(told, r, slots=1)
    one.check(told, r, slots=3)
    one.check(told, r, slots=4, invariant=True)


def test_rows_that_change_places_many_times(tmp_path: Path) -> None:
    from tests.fun_audio_chat_random import decoding, request

    r = random.Random(MOVES)
    one = Checkpoint(r, tmp_path / "checkpoint")
    way = replace(decoding(r, one.config, 8), speech=True, max_new_tokens=8)
    asked = [request(r, one.config, way, r.randint(1, 30)) for _ in range(4)]
    often = [t for a in asked for t in one.told(a).text[1:]]
    way = replace(way, text_eos=tuple(sorted(set(often), key=often.count)[-3:]))
    asked = [request(r, one.config, way, r.randint(1, 30)) for _ in range(16)]
    told = [(a, one.told(a)) for a in asked]
    assert len({len(t.text) for _, t in told}) > 3  # rows stop at all times
    one.check(told, r, slots=5)
    one.check(told, r, slots=3, invariant=True)
