"""Qwen3 layers over a static key/value cache: the language model and the speech head's transformer.

Modules, and so weights and their names, are those of transformers; attention, positions and the cache are ours, because
a row has to have a slot and a position of its own. Rows are padded on the right: under a causal mask no token ever
sees padding behind it, and what padding left in a slot is overwritten or masked before anybody attends to it. So a
row's result does not depend on its neighbours. Source: runner specification, sections 3, 8 and 12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.network.fused import decode_layer, join


def qwen3(config: Mapping[str, Any], kind: str, *, embeddings: bool = True) -> nn.Module:
    """The Qwen3 or Qwen3-MoE decoder that a raw config describes, with weights that are still to be loaded.

    Args:
        config: `text_config`, or `crq_transformer_config`.
        kind: "qwen3" or "qwen3_moe".
        embeddings: False for the speech head's, which has none.

    Raises:
        UsageError: a kind or a setting that this runner does not have.
    """
    from transformers.models.qwen3 import Qwen3Config, Qwen3Model
    from transformers.models.qwen3_moe import Qwen3MoeConfig, Qwen3MoeModel

    known = {"qwen3": (Qwen3Config, Qwen3Model), "qwen3_moe": (Qwen3MoeConfig, Qwen3MoeModel)}
    if kind not in known:
        raise UsageError(
            f"the checkpoint's text model is a {kind!r}; this runner knows {' and '.join(known)}."
        )
    given = {k: v for k, v in config.items() if k not in ("model_type", "torch_dtype", "dtype")}
    if not embeddings:
        given |= {"vocab_size": 1, "pad_token_id": None}  # it gets none, whatever its config says
    make, build = known[kind]
    made = make(**given)
    rope = getattr(made, "rope_parameters", None) or {}
    if (form := rope.get("rope_type", "default")) != "default":
        raise UsageError(
            f"the checkpoint's rotary positions are of type {form!r}; this runner knows the plain ones."
        )
    if any(t != "full_attention" for t in getattr(made, "layer_types", None) or ()):
        raise UsageError(
            "the checkpoint's text model has layers with a sliding window; this runner has none."
        )
    model: nn.Module = build(made)
    if not embeddings:
        del model.embed_tokens
    return model


class KVCache:
    """Keys and values of every layer: tensors of shape (slots, key/value heads, length, head_dim), one slot a row."""

    def __init__(
        self, layers: int, heads: int, dim: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.layers, self.heads, self.dim = layers, heads, dim
        self.device, self.dtype = device, dtype
        self.slots = self.length = 0
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    @property
    def bytes_per_position(self) -> int:
        """Bytes that one position of one row takes."""
        return 2 * self.layers * self.heads * self.dim * self.dtype.itemsize

    def clear(self) -> None:
        """Give the memory back."""
        self.keys, self.values = [], []
        self.slots = self.length = 0

    def allocate(self, slots: int, length: int) -> None:
        """Room for so many rows and positions, nothing in it."""
        self.clear()
        shape = (slots, self.heads, length, self.dim)
        # Zeros, not what was in memory: 0 x NaN of a masked place would be NaN.
        for kept in (self.keys, self.values):
            kept += [torch.zeros(shape, device=self.device, dtype=self.dtype) for _ in range(self.layers)]
        self.slots, self.length = slots, length

    def grow(self, slots: int, length: int) -> None:
        """Room for more positions in the first `slots` slots, others are given up; layer by layer, so that old and new
        never stand side by side as a whole."""
        for kept in (self.keys, self.values):
            for i, old in enumerate(kept):
                new = torch.zeros((slots, self.heads, length, self.dim), device=self.device, dtype=self.dtype)
                new[:, :, : self.length] = old[:slots]
                kept[i] = new
        self.slots, self.length = slots, length

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot into another."""
        for kept in (self.keys, self.values):
            for tensor in kept:
                tensor[target, :, :length] = tensor[source, :, :length]


class Stack:
    """A decoder's layers, run on slots of a cache."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        config: Any = model.config
        self.dim = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        self.heads, self.kv_heads = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.layers: list[Any] = list(model.layers)  # type: ignore[arg-type]
        self.theta = float(config.rope_parameters["rope_theta"])
        self._inverse: Tensor | None = None
        self.joined = [join(layer, self.dim) for layer in self.layers]  # from here on the weights are views
        self._decode_layer: Callable[..., Tensor] = decode_layer

    def cache(self, device: torch.device, dtype: torch.dtype) -> KVCache:
        """An empty cache for this stack."""
        return KVCache(len(self.layers), self.kv_heads, self.dim, device=device, dtype=dtype)

    def prefill(self, x: Tensor, cache: KVCache, start: int) -> Tensor:
        """Run whole prompts into the slots from `start` on.

        Args:
            x: inputs, shape (rows, n, width), padded on the right.

        Returns:
            Hidden states after the final norm, shape (rows, n, width); those of padding mean nothing.
        """
        rows, n, _ = x.shape
        cos, sin = self._rotation(torch.arange(n, device=x.device)[None], x.dtype)
        slots = slice(start, start + rows)
        for i, layer in enumerate(self.layers):
            x = _prefill_layer(layer, x, cos, sin, cache.keys[i][slots], cache.values[i][slots], self.dim)
        normed: Tensor = self.model.norm(x)  # type: ignore[operator]
        return normed

    def decode(
        self, x: Tensor, cache: KVCache, start: int, place: Tensor, length: int, *, apart: bool = False
    ) -> Tensor:
        """Run one more position of each row.

        Args:
            x: inputs, shape (rows, width), of the slots from `start` on.
            place: position of each row, shape (rows,), below `length`.
            length: positions of the cache to look at.
            apart: no row's experts are run together with another's, so that nothing depends on neighbours.

        Returns:
            Hidden states after the final norm, shape (rows, width).
        """
        rows, half = x.shape[0], self.dim // 2
        cos, sin = (t[:, 0] for t in self._rotation(place[:, None], x.dtype))
        sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        each = torch.arange(rows, device=x.device)
        behind = torch.arange(length, device=x.device) > place[:, None]
        mask = torch.zeros_like(behind, dtype=x.dtype).masked_fill(behind, float("-inf"))[:, None, None]
        slots = slice(start, start + rows)
        for i, (layer, joined) in enumerate(zip(self.layers, self.joined, strict=True)):
            keys, values = cache.keys[i][slots, :, :length], cache.values[i][slots, :, :length]
            x = self._decode_layer(layer, joined, x, cos, sin, keys, values, each, place, mask, apart)
        normed: Tensor = self.model.norm(x)  # type: ignore[operator]
        return normed

    def compiled(self) -> None:
        """Let torch.compile fuse what lies between the matrix products of a decoding layer. One compilation serves all
        layers; a new number of rows costs another one."""
        self._decode_layer = torch.compile(decode_layer, dynamic=None)

    def _rotation(self, place: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the rotary positions, shape (rows, 1, n, head_dim), computed in float32."""
        if self._inverse is None or self._inverse.device != place.device:
            even = torch.arange(0, self.dim, 2, dtype=torch.float32, device=place.device)
            self._inverse = 1.0 / (self.theta ** (even / self.dim))
        angle = place[:, None, :, None].float() * self._inverse
        angle = torch.cat((angle, angle), dim=-1)
        return angle.cos().to(dtype), angle.sin().to(dtype)


def _prefill_layer(
    layer: Any, x: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, dim: int
) -> Tensor:
    """One layer over whole prompts; keys and values are put at the front of the slots."""
    q, k, v = _projected(layer, x, cos, sin, dim)
    n = x.shape[1]
    keys[:, :, :n] = k
    values[:, :, :n] = v
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=n > 1, enable_gqa=True)
    return _finished(layer, x, mixed.transpose(1, 2).reshape(*x.shape[:2], -1))


def _projected(layer: Any, x: Tensor, cos: Tensor, sin: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, shape (rows, heads, n, head_dim), in their positions."""
    a = layer.self_attn
    h = layer.input_layernorm(x)
    shape = (*h.shape[:-1], -1, dim)
    q = _rotated(a.q_norm(a.q_proj(h).view(shape)).transpose(1, 2), cos, sin)
    k = _rotated(a.k_norm(a.k_proj(h).view(shape)).transpose(1, 2), cos, sin)
    return q, k, a.v_proj(h).view(shape).transpose(1, 2)


def _finished(layer: Any, x: Tensor, mixed: Tensor) -> Tensor:
    """What follows attention; `mixed` has the shape (rows, n, heads * head_dim)."""
    x = x + layer.self_attn.o_proj(mixed)
    added = layer.mlp(layer.post_attention_layernorm(x))
    out: Tensor = x + (added[0] if isinstance(added, tuple) else added)
    return out


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin
