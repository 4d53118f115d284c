"""Random Fun-Audio-Chat checkpoints of odd shapes, random prompts, random decodings, for tests; all of a seed.

Vocabularies and codebooks are tiny, so that ids with a meaning (begin and end of speech, stops) come up by chance.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

from evalkit.runners.fun_audio_chat.requests import Clip, Decoding, Request
from tests.fun_audio_chat_fixtures import DENSE

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

COPIED = ("processor_config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json")


def write_checkpoint(r: Random, folder: Path) -> dict[str, Any]:
    """Write a checkpoint in the published layout (runner specification, sections 2 and 3); returns its config."""
    config = _config(r)
    audio = config["audio_config"]
    folder.mkdir(parents=True)
    for name in COPIED:
        shutil.copy(DENSE / name, folder / name)
    for name, changed in (
        ("processor_config.json", {"audio_group_size": audio["group_size"]}),
        ("preprocessor_config.json", {"feature_size": audio["num_mel_bins"]}),
    ):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | changed))
    (folder / "config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(r.randrange(2**31))
    weights = {}
    for name, shape in _shapes(config).items():
        drawn = torch.randn(shape, generator=generator)
        scale = 1.0 if "embed_tokens" in name else shape[-1] ** -0.5
        weights[name] = 1 + 0.3 * drawn if "norm" in name and "bias" not in name else drawn * scale
    save_file(weights, folder / "model.safetensors")
    return config


def _config(r: Random) -> dict[str, Any]:
    width, vocabulary, codebook = r.choice([8, 12, 24]), r.randint(14, 40), r.choice([7, 13, 29, 97])
    bos, eos, pad = r.sample(range(1, codebook), 3)
    begin, end, silence, placeholder = r.sample(range(vocabulary), 4)

    def qwen3(hidden: int) -> dict[str, Any]:
        shared = r.choice([1, 2])
        return {
            "model_type": "qwen3",
            "hidden_size": hidden,
            "intermediate_size": r.choice([8, 20]),
            "num_hidden_layers": r.randint(1, 3),
            "num_attention_heads": shared * r.choice([1, 2, 4]),
            "num_key_value_heads": shared,
            "head_dim": r.choice([2, 4, 10]),
            "rope_theta": r.choice([50, 1e4, 5e6]),
            "rms_norm_eps": r.choice([1e-6, 1e-2]),
            "max_position_embeddings": 4096,
        }

    text = qwen3(width) | {
        "vocab_size": vocabulary,
        "attention_bias": r.random() < 0.2,
        "tie_word_embeddings": r.random() < 0.3,
        "audio_bos_index": begin,
        "audio_eos_index": end,
        "sil_index": silence,
    }
    if r.random() < 0.5:
        experts = r.randint(2, 8)
        text |= {
            "model_type": "qwen3_moe",
            "num_experts": experts,
            "num_experts_per_tok": r.randint(1, min(3, experts)),
            "moe_intermediate_size": r.choice([4, 12]),
            "norm_topk_prob": r.random() < 0.5,
            "decoder_sparse_step": 1,
            "mlp_only_layers": r.choice([[], [0]]),
        }
    audio = {
        "num_mel_bins": 4,
        "d_model": 8,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 8,
        "n_window": 5,
        "output_dim": width,
        "codebook_size": codebook,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "group_size": r.choice([1, 2, 3, 5, 5, 7]),
        "continuous_features_mode": r.choice(["replace", "add"]),
        "crq_transformer_config": qwen3(r.choice([8, 20])),
    }
    return {
        "model_type": "funaudiochat",
        "audio_token_index": placeholder,
        "audio_config": audio,
        "text_config": text,
    }


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The table of section 3."""
    audio, text = config["audio_config"], config["text_config"]
    crq = audio["crq_transformer_config"]
    d, wide, k, inner = audio["d_model"], audio["output_dim"], audio["group_size"], crq["hidden_size"]
    book, ffn = audio["codebook_size"], audio["encoder_ffn_dim"]
    tower, layer = "continuous_audio_tower.", "continuous_audio_tower.layers.0."
    shapes: dict[str, tuple[int, ...]] = {
        f"{tower}conv1.weight": (d, audio["num_mel_bins"], 3),
        f"{tower}conv2.weight": (d, d, 3),
        **{f"{layer}self_attn.{n}_proj.weight": (d, d) for n in ("q", "k", "v", "out")},
        f"{layer}fc1.weight": (ffn, d),
        f"{layer}fc2.weight": (d, ffn),
        **{f"{layer}{n}_layer_norm.weight": (d,) for n in ("self_attn", "final")},
        f"{tower}ln_post.weight": (d,),
        f"{tower}proj.weight": (wide, d),
        f"{tower}audio_bos_eos_token.weight": (2, wide),
        "audio_tower.embed_tokens.weight": (book, wide),
        "audio_tower.output_matching.weight": (wide, wide),
        "audio_tower.continual_output_matching.weight": (wide, wide),
        "audio_invert_tower.pre_matching.weight": (k * wide, wide),
        "audio_invert_tower.input_matching.weight": (inner, wide),
        "audio_invert_tower.output_matching.weight": (wide, inner),
        "language_model.model.embed_tokens.weight": (text["vocab_size"], wide),
    }
    without = ("k_proj.weight", "token.weight", "r.input_matching.weight", "r.output_matching.weight")
    for name in [
        n for n in shapes if n.startswith((tower, "audio_invert_tower")) and not n.endswith(without)
    ]:
        shapes[name.replace("weight", "bias")] = shapes[name][:1]
    if not text["tie_word_embeddings"]:
        shapes["language_model.lm_head.weight"] = (text["vocab_size"], wide)
    return shapes | _qwen3(text, "language_model.model.") | _qwen3(crq, "audio_invert_tower.crq_transformer.")


def _qwen3(c: dict[str, Any], prefix: str) -> dict[str, tuple[int, ...]]:
    hidden, dim = c["hidden_size"], c["head_dim"]
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}norm.weight": (hidden,)}

    def mlp(stem: str, inner: int) -> None:
        shapes.update({f"{stem}{n}_proj.weight": (inner, hidden) for n in ("gate", "up")})
        shapes[f"{stem}down_proj.weight"] = (hidden, inner)

    for i in range(c["num_hidden_layers"]):
        layer = f"{prefix}layers.{i}."
        heads, shared = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
        for n, rows in (("q", heads), ("k", shared), ("v", shared)):
            shapes[f"{layer}self_attn.{n}_proj.weight"] = (rows, hidden)
            if c.get("attention_bias"):
                shapes[f"{layer}self_attn.{n}_proj.bias"] = (rows,)
        shapes[f"{layer}self_attn.o_proj.weight"] = (hidden, heads)
        if c.get("attention_bias"):
            shapes[f"{layer}self_attn.o_proj.bias"] = (hidden,)
        shapes.update({f"{layer}self_attn.{n}_norm.weight": (dim,) for n in "qk"})
        shapes.update({f"{layer}{n}_layernorm.weight": (hidden,) for n in ("input", "post_attention")})
        if "num_experts" in c and i not in c["mlp_only_layers"]:
            shapes[f"{layer}mlp.gate.weight"] = (c["num_experts"], hidden)
            for e in range(c["num_experts"]):
                mlp(f"{layer}mlp.experts.{e}.", c["moe_intermediate_size"])
        else:
            mlp(f"{layer}mlp.", c["intermediate_size"])
    return shapes


def decoding(r: Random, config: dict[str, Any], steps: int) -> Decoding:
    """Some way to decode; sampled or not, processed or not, with stops that come up by chance."""
    text = config["text_config"]
    ids = range(text["vocab_size"])
    words = [(text["audio_bos_index"], text["sil_index"])] if r.random() < 0.2 else []
    words += [tuple(r.choices(ids, k=r.choice([1, 2]))) for _ in range(r.choice([0, 1, 3]))]
    return Decoding(
        speech=r.random() < 0.8,
        max_new_tokens=r.randint(steps // 2, steps),
        text_greedy=r.random() < 0.4,
        do_sample=r.random() < 0.6,
        temperature=r.choice([0.3, 0.8, 1.0, 2.0]),
        top_p=r.choice([0.5, 0.9, 1.0]),
        top_k=r.choice([0, 1, 3, 1000]),
        repetition_penalty=r.choice([1.0, 1.2, 1.2, 0.7, 2.5]),
        force_text_abos=r.random() < 0.7,
        bad_words=tuple(words),
        text_eos=tuple(r.sample(ids, r.choice([0, 1, 2]))),
        draws=r.choice(["uniform", "uniform", "multinomial"]),
    )


def request(r: Random, config: dict[str, Any], asked: Decoding, length: int) -> Request:
    """A prompt of about so many tokens: text alone, or up to three clips, some too short for a placeholder."""
    audio, placeholder = config["audio_config"], config["audio_token_index"]
    words = [i for i in range(config["text_config"]["vocab_size"]) if i != placeholder]
    noise = np.random.default_rng(r.randrange(2**31))
    clips, prompt = [], r.choices(words, k=r.randint(1, 3))
    for _ in range(r.choice([0, 0, 1, 1, 2, 3])):
        n = r.choice([0, *range(1, 4 * audio["group_size"])])
        frames = max(1, 4 * n + r.randint(-8, 6))  # fewer than its slots: a clip beyond the window
        mel = noise.standard_normal((audio["num_mel_bins"], frames)).astype(np.float32)
        clips.append(Clip(mel, n, -(-n // audio["group_size"]), 640 * n))
        prompt += [placeholder] * clips[-1].groups + r.choices(words, k=r.randint(0, 3))
    prompt += r.choices(words, k=max(0, length - len(prompt)))
    return Request(tuple(prompt), tuple(clips), asked, seed=r.randrange(2**63))
