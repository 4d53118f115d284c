"""The model: towers, language model and speech head, filled from a checkpoint folder.

Module names are the checkpoint's. Everything is built without memory, then filled tensor by tensor from safetensors,
every key accounted for. Source: runner specification, sections 1 to 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from evalkit.runners.fun_audio_chat.network.backbone import Stack, qwen3
from evalkit.runners.fun_audio_chat.network.encoder import ContinuousTower, DiscreteTower, embed_clips
from evalkit.runners.fun_audio_chat.network.head import SpeechHead
from evalkit.runners.fun_audio_chat.requests import Clip

if TYPE_CHECKING:
    from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig


class FunAudioChat(nn.Module):
    """Parameters named as in the checkpoint; no gradients, evaluation only."""

    def __init__(self, config: CheckpointConfig) -> None:
        super().__init__()
        self.config = config
        self.continuous_audio_tower = ContinuousTower(config.audio)
        self.audio_tower = DiscreteTower(config.audio)
        self.audio_invert_tower = SpeechHead(config.audio)
        self.language_model = nn.Module()
        self.language_model.model = qwen3(config.text, config.text_kind)
        self.language_model.lm_head = nn.Linear(
            config.hidden_size, int(config.text["vocab_size"]), bias=False
        )
        self._stack: Stack | None = None

    @classmethod
    def load(
        cls, config: CheckpointConfig, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> FunAudioChat:
        """The model of a checkpoint folder, on a device.

        Raises:
            UsageError: a checkpoint that is broken, or of another kind.
        """
        from evalkit.runners.fun_audio_chat.folder.checkpoint import load_state

        with torch.device("meta"):
            model = cls(config)
        expected = {name: tuple(p.shape) for name, p in model.state_dict().items()}
        state = load_state(config, expected, dtype=dtype, device=device)
        model.load_state_dict(state, strict=True, assign=True)
        del state  # what is joined next would stand there twice
        return model.ready()

    @classmethod
    def random(
        cls,
        config: CheckpointConfig,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> FunAudioChat:
        """The same model with random weights, for benches: nothing is read but the config."""
        with torch.device("meta"):
            model = cls(config)
        model = model.to(dtype).to_empty(device=device)
        generator = torch.Generator(device).manual_seed(seed)
        for name, parameter in model.named_parameters():
            with torch.no_grad():
                if name.endswith(("norm.weight", "ln_post.weight")):
                    parameter.fill_(1.0)
                else:
                    parameter.normal_(0.0, 0.02, generator=generator)
        return model.ready()

    def ready(self) -> FunAudioChat:
        """No dropout, no gradients; float32 means float32 on a GPU, too."""
        self.eval()
        self.requires_grad_(False)
        if self.device.type == "cuda" and self.dtype == torch.float32:
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        _ = self.stack, self.head.stack  # joins their layers' weights
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # what the single ones took
            # cuDNN's attention makes a plan for every new length, which is slow.
            torch.backends.cuda.enable_cudnn_sdp(False)
        return self

    def compiled(self) -> FunAudioChat:
        """The same model, its decoding layers fused by torch.compile."""
        self.stack.compiled()
        self.head.stack.compiled()
        return self

    @property
    def device(self) -> torch.device:
        return self.text_embeddings.device

    @property
    def dtype(self) -> torch.dtype:
        return self.text_embeddings.dtype

    @property
    def stack(self) -> Stack:
        """The language model's layers on a cache."""
        if self._stack is None:
            self._stack = Stack(self.language_model.model)  # type: ignore[arg-type]
        return self._stack

    @property
    def head(self) -> SpeechHead:
        """The speech head."""
        return self.audio_invert_tower

    @property
    def text_embeddings(self) -> Tensor:
        """E_t, shape (vocabulary, H)."""
        weight: Tensor = self.language_model.model.embed_tokens.weight  # type: ignore[union-attr,assignment]
        return weight

    @property
    def speech_embeddings(self) -> Tensor:
        """E_s, shape (codebook, H)."""
        weight: Tensor = self.audio_tower.embed_tokens.weight
        return weight

    def text_logits(self, states: Tensor) -> Tensor:
        """Hidden states after the final norm, shape (rows, H) -> logits in float32, shape (rows, vocabulary)."""
        out: Tensor = self.language_model.lm_head(states)  # type: ignore[operator]
        return out.float()

    def audio_vectors(self, clips: Sequence[Clip]) -> Tensor:
        """The vectors that take the place of the placeholders, shape (sum of groups, H), clips in order."""
        return embed_clips(self.continuous_audio_tower, self.audio_tower, clips)
