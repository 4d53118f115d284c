"""Models to time: the 8B's sizes, tiny ones, and what a step of decoding has to read of them.

Source: runner specification, sections 1, 2 and 8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.records import JSON
from evalkit.runners.fun_audio_chat.folder.config import AudioConfig, CheckpointConfig, read_config

if TYPE_CHECKING:
    from torch import nn

    from evalkit.runners.fun_audio_chat.decoding.rows import Rows
    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

PARAMETERS_8B = 9_424_246_784
"""Unique parameters of the released model (runner specification, section 1)."""
TINY = Path(__file__).resolve().parent.parent / "tests/data/fun_audio_chat/dense"
SIZES = ("8b", "0.5b", "tiny")


def config_8b() -> CheckpointConfig:
    """The released model's config, without its folder."""
    head = _qwen3(1024, 3072, 28, 16, 8, 128, 1e6, 32768, 151936)
    text = _qwen3(4096, 12288, 36, 32, 8, 128, 5e6, 262144, 151936)
    audio = _audio(1280, 32, 20, 5120, 4096, head)
    return _config(audio, text)


def config_half() -> CheckpointConfig:
    """About 0.5 B parameters: the 8B's shape in small, for a CPU."""
    head = _qwen3(512, 1536, 6, 8, 4, 64, 1e6, 32768, 151936)
    text = _qwen3(1024, 3072, 8, 16, 8, 64, 5e6, 262144, 151936)
    audio = _audio(384, 4, 6, 1536, 1024, head)
    return _config(audio, text)


def config_of(size: str, checkpoint: Path | None) -> CheckpointConfig:
    """The config to time. Raises UsageError: a checkpoint folder that is none."""
    if checkpoint is not None:
        return read_config(checkpoint)
    return {"8b": config_8b, "0.5b": config_half, "tiny": lambda: read_config(TINY)}[size]()


def _audio(d_model: int, layers: int, heads: int, ffn: int, width: int, head: dict[str, JSON]) -> AudioConfig:
    """Towers of these sizes; all else as released."""
    return AudioConfig(
        num_mel_bins=128,
        d_model=d_model,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=ffn,
        activation_function="gelu",
        max_source_positions=1500,
        n_window=100,
        output_dim=width,
        codebook_size=6565,
        bos_token_id=6561,
        eos_token_id=6562,
        pad_token_id=6563,
        group_size=5,
        continuous_features_mode="replace",
        head=head,
    )


def _qwen3(
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    kv_heads: int,
    dim: int,
    theta: float,
    positions: int,
    vocab: int,
) -> dict[str, JSON]:
    return {
        "model_type": "qwen3",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": dim,
        "rope_theta": theta,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": positions,
        "vocab_size": vocab,
        "attention_bias": False,
        "tie_word_embeddings": False,
    }


def _config(audio: AudioConfig, text: dict[str, JSON]) -> CheckpointConfig:
    return CheckpointConfig(
        folder=Path(),
        audio=audio,
        text=text,
        text_kind="qwen3",
        hidden_size=int(text["hidden_size"]),
        vocab_size=int(text["vocab_size"]),
        audio_token_index=151669,
        audio_bos_index=151670,
        audio_eos_index=151671,
        sil_index=151673,
        chunk_length=300,
        audio_token="<|AUDIO|>",
        audio_bos_token="<|audio_bos|>",
        audio_eos_token="<|audio_eos|>",
        generation={},
        tied_text_head=False,
        stored_dtype="bfloat16",
    )


def parameters(config: CheckpointConfig) -> int:
    """Unique parameters of the model as it is built, without memory for them."""
    import torch

    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

    with torch.device("meta"):
        return sum(p.numel() for p in FunAudioChat(config).parameters())


@cache
def parameters_8b() -> int:
    """`parameters` of the 8B."""
    return parameters(config_8b())


@dataclass(frozen=True, slots=True)
class StepBytes:
    """What one step of decoding reads at least, in bytes.

    Attributes:
        weights: every matrix once, those of the speech head's k sub-steps k times.
        text_position, head_position: keys and values of one position of one row; the head's k sub-steps each read them.
        held_position: what a position keeps in memory.
    """

    weights: int
    text_position: int
    head_position: int
    held_position: int

    def cache(self, rows: int, length: float) -> float:
        """Keys and values of a step of so many rows, each of this mean length in positions of the language model."""
        return rows * length * (self.text_position + self.head_position)


def step_bytes(model: FunAudioChat, rows: Rows, *, speech: bool) -> StepBytes:
    """Count it from the modules themselves.

    Rows of embeddings that are looked up, activations and the new keys are left out: a bound may be too low, not too
    high. For the same reason a mixture counts only as many experts as one token uses.
    """
    language = model.language_model
    weights = sum(_decoder(layer, model) for layer in language.model.layers)
    weights += size_of(language.model.norm.parameters()) + size_of(language.lm_head.parameters())
    head = model.head
    text_position = rows.text_cache.bytes_per_position
    held = rows.per_position()
    if speech:
        weights += size_of(model.audio_tower.output_matching.parameters())
        weights += size_of(head.pre_matching.parameters())
        each = size_of(
            p
            for m in (head.input_matching, head.crq_transformer, head.output_matching)
            for p in m.parameters()
        )
        weights += head.k * (each + size_of([model.speech_embeddings]))
    return StepBytes(weights, text_position, head.k * (held - text_position), held)


def size_of(parameters: Iterable[nn.Parameter]) -> int:
    """Bytes of parameters."""
    return sum(p.numel() * p.element_size() for p in parameters)


def _decoder(layer: nn.Module, model: FunAudioChat) -> int:
    """Bytes that a layer of the language model reads for one token."""
    total = size_of(layer.parameters())
    experts = getattr(layer.mlp, "experts", None)
    if experts is None:
        return total
    text = model.config.text
    all_, used = int(text.get("num_experts", 128)), int(text.get("num_experts_per_tok", 8))
    held = size_of(experts.parameters())
    return total - held + held * used // all_
