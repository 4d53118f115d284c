"""Fun-Audio-Chat towers: the references alone and packed, an implementation of its own in float64, the edges."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from evalkit.runners.fun_audio_chat.folder.config import AudioConfig, read_config
from evalkit.runners.fun_audio_chat.frontend import log_mel, speech_slots
from evalkit.runners.fun_audio_chat.requests import Clip
from tests.fun_audio_chat_fixtures import CLIPS, FOLDERS, MISSING, clip_wave, needs_torch, reference
from tests.fun_audio_chat_naive import naive_fit, naive_rows

if not MISSING:
    import torch
    from safetensors.torch import load_file

    from evalkit.runners.fun_audio_chat.network.encoder import ContinuousTower, DiscreteTower, embed_clips

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = needs_torch

Mode = Literal["replace", "add"]
FEATURES = {"rtol": 2**-22, "atol": 2e-6}
"""Tolerance of 25 Hz and 5 Hz features: theirs (the references are 2.2e-6 from float64 themselves), held alone by
kernels for AVX-512; others round one or two units in the last place away."""
EXACT = {"rtol": 0, "atol": 1e-12}
"""In float64, where another order of sums can't hide that something differs."""
KINDS = ("dense", "moe")


@cache
def weights(kind: str) -> Mapping[str, Tensor]:
    """Every tensor of a tiny checkpoint in float32."""
    return {k: v.float() for k, v in load_file(FOLDERS[kind] / "model.safetensors").items()}


@cache
def towers(kind: str, mode: Mode = "replace") -> tuple[ContinuousTower, DiscreteTower]:
    """Both towers, built on the meta device and filled, with nothing missing and nothing left over."""
    config = dataclasses.replace(read_config(FOLDERS[kind]).audio, continuous_features_mode=mode)
    with torch.device("meta"):
        built = ContinuousTower(config), DiscreteTower(config)
    for module, prefix in zip(built, ("continuous_audio_tower.", "audio_tower."), strict=True):
        own = {k.removeprefix(prefix): v for k, v in weights(kind).items() if k.startswith(prefix)}
        module.load_state_dict(own, strict=True, assign=True)
        module.requires_grad_(False)
    return built


@cache
def doubled(kind: str, mode: Mode = "replace") -> list[Any]:
    """The same two towers in float64."""
    return cast_copies(torch.float64, towers(kind, mode))


def cast_copies(dtype: torch.dtype, modules: Sequence[torch.nn.Module]) -> list[Any]:
    return [copy.deepcopy(m).to(dtype) for m in modules]


def known_clip(i: int) -> Clip:
    """Clip `i` with the reference's mel."""
    slots, groups = speech_slots(len(clip_wave(i)))
    return Clip(reference("dense")[f"in{i}.mel"].copy(), slots, groups, len(clip_wave(i)))


def random_tower(config: AudioConfig, seed: int = 0, **more: Any) -> ContinuousTower:
    """A tower of random weights large enough that every part of it matters."""
    tower = ContinuousTower(config, **more).requires_grad_(False)
    draws = torch.Generator().manual_seed(seed)
    for name, weight in tower.named_parameters():
        scale = 0.3 if name.endswith("bias") else 1.5 / math.sqrt(weight[0].numel())
        weight.copy_(torch.randn(weight.shape, generator=draws) * scale)
    return tower


def sizes(**changed: Any) -> AudioConfig:
    """A small tower unlike the tiny checkpoints'."""
    small = {
        "d_model": 24,
        "encoder_layers": 3,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 40,
        "output_dim": 28,
        "num_mel_bins": 20,
    }
    return dataclasses.replace(read_config(FOLDERS["dense"]).audio, **{**small, **changed})


def random_mel(frames: int, bins: int = 128, seed: int = 0) -> Tensor:
    return torch.randn(bins, frames, generator=torch.Generator().manual_seed(seed * 100_003 + frames))


# ---- references


@pytest.mark.parametrize("order", [p for n in (1, 2, 3) for p in itertools.permutations(range(CLIPS), n)])
@pytest.mark.parametrize("kind", KINDS)
def test_reference_features(kind: str, order: tuple[int, ...]) -> None:
    continuous, discrete = towers(kind)
    clips = [known_clip(i) for i in order]
    rows = continuous([torch.from_numpy(c.mel) for c in clips])
    for i, own in zip(order, rows, strict=True):
        known = reference(kind)[f"s2t{i}.tower25"]
        held = min(len(own), len(known))
        np.testing.assert_allclose(own[:held], known[:held], **FEATURES)
        assert not known[held:].any()
    expected = np.concatenate([reference(kind)[f"s2t{i}.audio5"] for i in order])
    np.testing.assert_allclose(discrete.fit(rows, clips), expected, **FEATURES)
    np.testing.assert_allclose(embed_clips(continuous, discrete, clips), expected, **FEATURES)


@pytest.mark.parametrize("kind", KINDS)
def test_reference_features_from_the_waves(kind: str) -> None:
    """Our own mel: the quietest bins of pure tones differ with the machine's Fourier transform."""
    continuous, discrete = towers(kind)
    clips = [log_mel(clip_wave(i), chunk_length=300) for i in range(CLIPS)]
    expected = np.concatenate([reference(kind)[f"s2t{i}.audio5"] for i in range(CLIPS)])
    np.testing.assert_allclose(embed_clips(continuous, discrete, clips), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_add_mode_gives_the_references_logits(mode: Mode) -> None:
    """The text model says whether the vectors are right: the reference has logits of the prefill in both modes.

    They are the same in both: the tiny checkpoints' pad embedding is zero.
    """
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = read_config(FOLDERS["dense"])
    with torch.device("meta"):
        text = Qwen3ForCausalLM(Qwen3Config(**{**config.text, "attn_implementation": "eager"}))
    prefix = "language_model."
    own = {k.removeprefix(prefix): v for k, v in weights("dense").items() if k.startswith(prefix)}
    text = text.to_empty(device="cpu").float()
    text.model.rotary_emb.__init__(text.config)
    text.load_state_dict(own, strict=True)
    ids = torch.from_numpy(reference("dense")["in1.input_ids"].copy())
    inputs = text.get_input_embeddings()(ids).detach()
    inputs[ids == config.audio_token_index] = embed_clips(*towers("dense", mode), [known_clip(1)])
    with torch.no_grad():
        logits = text(inputs_embeds=inputs[None]).logits[0, -1]
    name = {"replace": "s2t1", "add": "s2t1_addmode"}[mode]
    np.testing.assert_allclose(logits, reference("dense")[f"{name}.prefill_logits_last"], rtol=0, atol=2e-5)


# ---- an implementation of its own


@pytest.mark.parametrize("n_window", [100, 17])  # 17: pieces of 34 frames, so that pairs straddle pieces
@pytest.mark.parametrize("heads", [4, 3])
def test_against_loops_in_float64(n_window: int, heads: int) -> None:
    tower = random_tower(sizes(encoder_attention_heads=heads, n_window=n_window), seed=heads)
    piece = 2 * n_window
    lengths = (1, 2, 3, 7, piece - 1, piece, piece + 1, piece + 2, 2 * piece, 2 * piece + 13)
    mels = [random_mel(n, bins=20) for n in lengths]
    for mel, rows in zip(mels, tower(mels), strict=True):
        expected = naive_rows(tower, mel, heads)
        assert rows.shape == expected.shape == (max(1, -(-mel.shape[1] // 2) // 2), 28)
        np.testing.assert_allclose(rows, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_fit_against_loops_in_float64(mode: Mode) -> None:
    tower = copy.deepcopy(doubled("dense", mode)[1])
    draws = torch.Generator().manual_seed(3)
    assert not tower.embed_tokens.weight[tower.pad].any()  # so "add" adds nothing in the tiny checkpoints
    tower.embed_tokens.weight[tower.pad] = torch.randn(64, generator=draws, dtype=torch.float64)
    cases = [(0, 0), (1, 0), (12, 3), (58, 12), (116, 23), (50, 23), (0, 4), (51, 10)]
    rows = [torch.randn(t, 64, generator=draws, dtype=torch.float64) for t, _ in cases]
    clips = [Clip(np.zeros((128, 0), np.float32), 5 * g, g, 3200 * g) for _, g in cases]
    expected = [naive_fit(tower, r.numpy(), c.groups) for r, c in zip(rows, clips, strict=True)]
    np.testing.assert_allclose(tower.fit(rows, clips), np.concatenate(expected), **EXACT)


# ---- packing


@pytest.mark.parametrize("seed", range(12))
def test_a_clips_rows_do_not_depend_on_the_others(seed: int) -> None:
    kind = "moe" if seed % 2 else "dense"
    continuous, _ = doubled(kind)
    draw = np.random.default_rng(seed)
    lengths = [int(n) for n in draw.choice([0, 1, 2, 3, 99, 199, 200, 201, 400, 777], 3)]
    lengths += [int(n) for n in draw.integers(1, 900, 4)]
    mels = [random_mel(n, seed=seed) for n in lengths]
    mels += [m * 30 for m in mels[:2]]  # the same clips much louder beside them
    draw.shuffle(mels)
    mels = [m.double() for m in mels]
    together = continuous(mels)
    for mel, rows in zip(mels, together, strict=True):
        np.testing.assert_allclose(rows, continuous([mel])[0], **EXACT)
    for rows, single in zip(together, towers(kind)[0]([m.float() for m in mels]), strict=True):
        np.testing.assert_allclose(single, rows, rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    "lengths",
    [
        (73, 51, 73),
        (51, 72, 51),
        (1, 2, 1),
        (199, 200, 199),
        (200, 199),
        (3, 3),
        (200, 7, 200),
        (273, 150, 473),
    ],
)
def test_pieces_of_few_lengths(lengths: tuple[int, ...]) -> None:
    """Whole pieces, none, equal ones: each has its own way through the mask."""
    continuous, _ = doubled("dense")
    mels = [random_mel(n, seed=i).double() for i, n in enumerate(lengths)]
    for mel, rows in zip(mels, continuous(mels), strict=True):
        alone = continuous([mel])[0]
        np.testing.assert_allclose(rows, alone, **EXACT)
        np.testing.assert_allclose(alone, naive_rows(continuous, mel, 2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_limit_on_pieces_changes_nothing(limit: int) -> None:
    lengths = [450, 0, 1, 1500, 200, 399, 13, 601]
    mels = [random_mel(n, bins=20).double() for n in lengths]
    whole, some = random_tower(sizes()).double(), random_tower(sizes(), pieces_per_pass=limit).double()
    seen: list[int] = []
    some.conv1.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    for a, b in zip(whole(mels), some(mels), strict=True):
        np.testing.assert_allclose(a, b, **EXACT)
    assert max(seen) <= limit


def test_runs_of_clips_fill_a_pass() -> None:
    tower = random_tower(sizes(), pieces_per_pass=4)
    assert tower.runs([]) == []
    found = tower.runs([200, 200, 400, 1, 2000, 0, 0, 800])
    assert [(r.start, r.stop) for r in found] == [(0, 3), (3, 4), (4, 5), (5, 8)]


def test_no_clips() -> None:
    continuous, discrete = towers("dense")
    assert continuous([]) == []
    assert embed_clips(continuous, discrete, []).shape == (0, 64)
    assert [r.shape for r in continuous([random_mel(0), random_mel(0)])] == [(0, 64), (0, 64)]


def test_a_mel_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(128, frames\), not \(80, 300\)"):
        towers("dense")[0]([torch.zeros(80, 300)])


# ---- fitting


@pytest.mark.parametrize("kind", KINDS)
def test_groups_beyond_the_window_are_exactly_zero(kind: str) -> None:
    clip = log_mel(clip_wave(2), chunk_length=2)  # 4.64 s cut to 2 s: 50 rows, 10 groups of 23
    alone = embed_clips(*towers(kind), [clip])
    assert alone.shape[0] == 23 and not alone[10:].any() and alone[:10].any(dim=1).all()
    both = embed_clips(*doubled(kind), [known_clip(1), clip, known_clip(0)])
    assert both.shape[0] == 38 and not both[22:35].any()
    np.testing.assert_allclose(both[12:35], embed_clips(*doubled(kind), [clip]), **EXACT)


def test_clips_without_a_slot_take_no_place() -> None:
    continuous, discrete = doubled("dense")
    short = [log_mel(clip_wave(0)[:n], chunk_length=300) for n in (0, 1, 639)]
    mixed = [short[0], known_clip(0), short[1], short[2]]
    assert embed_clips(continuous, discrete, short).shape == (0, 64)
    expected = embed_clips(continuous, discrete, [known_clip(0)])
    np.testing.assert_allclose(embed_clips(continuous, discrete, mixed), expected, **EXACT)
    rows = continuous([torch.from_numpy(c.mel) for c in mixed])
    np.testing.assert_allclose(discrete.fit(rows, mixed), expected, **EXACT)


def test_speech_average() -> None:
    _, tower = towers("dense")
    ids = torch.tensor([[1, 2, 3, 4, 6564], [6561] * 5])
    table, matrix = weights("dense")["audio_tower.embed_tokens.weight"], tower.output_matching.weight
    for row, own in zip(ids, tower.speech_average(ids), strict=True):
        expected = matrix @ sum(table[int(t)] for t in row) / 5
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-6)


def test_wrong_calls_of_fit() -> None:
    _, tower = towers("dense")
    with pytest.raises(ValueError, match="1 clips' rows for 0 clips"):
        tower.fit([torch.zeros(3, 64)], [])
    with pytest.raises(ValueError, match="replace or add"):
        DiscreteTower(dataclasses.replace(sizes(), continuous_features_mode="mean"))  # type: ignore[arg-type]


# ---- number formats


@pytest.mark.parametrize(("name", "slack"), [("bfloat16", 0.15), ("float16", 0.02)])
def test_lower_precision_stays_near(name: str, slack: float) -> None:
    clips = [known_clip(i) for i in range(CLIPS)]
    dtype = getattr(torch, name)
    for kind in KINDS:
        exact = embed_clips(*towers(kind), clips)
        found = embed_clips(*cast_copies(dtype, towers(kind)), clips)
        assert found.dtype == dtype
        assert (found.float() - exact).abs().max() < slack * exact.abs().max()
        alone = embed_clips(*cast_copies(dtype, towers(kind)), clips[:1])
        assert (found[: len(alone)].float() - alone.float()).abs().max() < slack * exact.abs().max()


@pytest.mark.parametrize(("name", "bound"), [("float16", 64504.0), ("bfloat16", None), ("float32", None)])
def test_layers_are_clamped_in_float16_only(name: str, bound: float | None) -> None:
    tower = random_tower(sizes(encoder_layers=2)).to(getattr(torch, name))
    for layer in tower.layers:
        layer.fc2.bias.fill_(60_000.0)
    seen: list[float] = []
    tower.layers[1].register_forward_hook(lambda _m, _x, out: seen.append(float(out.float().abs().max())))
    rows = tower([random_mel(250, bins=20)])[0]
    assert torch.isfinite(rows).all()
    assert (seen[0] <= 64512.0) if bound else (seen[0] > 100_000)


def test_positions_are_computed_once_and_in_float32() -> None:
    tower = random_tower(sizes())
    cpu = torch.device("cpu")
    full = tower._sinusoids(cpu, torch.float32)
    assert tower._sinusoids(cpu, torch.float32) is full
    assert torch.equal(tower._sinusoids(cpu, torch.bfloat16), full.to(torch.bfloat16))
    assert full.shape == (100, 24) and torch.equal(full[0], torch.tensor([0.0] * 12 + [1.0] * 12))
    assert not any("position" in name for name in tower.state_dict())
