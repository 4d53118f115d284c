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

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries, keys, values), each (rows, heads, n, head_dim) -> (rows, n, heads * head_dim)."""


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

    def grow(self, length: int) -> None:
        """Room for more positions, layer by layer, so that old and new never stand side by side as a whole."""
        for kept in (self.keys, self.values):
            for i, old in enumerate(kept):
                new = torch.zeros(
                    (self.slots, self.heads, length, self.dim), device=self.device, dtype=self.dtype
                )
                new[:, :, : self.length] = old
                kept[i] = new
        self.length = length

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
        place = torch.arange(n, device=x.device).expand(rows, n)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            cache.keys[layer][start : start + rows, :, :n] = k
            cache.values[layer][start : start + rows, :, :n] = v
            out = F.scaled_dot_product_attention(q, k, v, is_causal=n > 1, enable_gqa=True)
            return out.transpose(1, 2).reshape(rows, n, -1)

        return self._run(x, place, attend)

    def decode(self, x: Tensor, cache: KVCache, start: int, place: Tensor, length: int) -> Tensor:
        """Run one more position of each row.

        Args:
            x: inputs, shape (rows, width), of the slots from `start` on.
            place: position of each row, shape (rows,), below `length`.
            length: positions of the cache to look at.

        Returns:
            Hidden states after the final norm, shape (rows, width).
        """
        rows = x.shape[0]
        each = torch.arange(start, start + rows, device=x.device)
        seen = torch.arange(length, device=x.device) <= place[:, None]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.keys[layer], cache.values[layer]
            keys[each, :, place] = k[:, :, 0]
            values[each, :, place] = v[:, :, 0]
            # The queries that share a key head stand as so many positions of it: nothing has to be repeated.
            shared = q.reshape(rows, self.kv_heads, -1, self.dim)
            out = F.scaled_dot_product_attention(
                shared,
                keys[start : start + rows, :, :length],
                values[start : start + rows, :, :length],
                attn_mask=seen[:, None, None, :],
            )
            return out.reshape(rows, 1, -1)

        return self._run(x[:, None], place[:, None], attend)[:, 0]

    def _run(self, x: Tensor, place: Tensor, attend: Attend) -> Tensor:
        cos, sin = self._rotation(place, x.dtype)
        for index, layer in enumerate(self.layers):
            a = layer.self_attn
            h = layer.input_layernorm(x)
            shape = (*h.shape[:-1], -1, self.dim)
            q = _rotated(a.q_norm(a.q_proj(h).view(shape)).transpose(1, 2), cos, sin)
            k = _rotated(a.k_norm(a.k_proj(h).view(shape)).transpose(1, 2), cos, sin)
            v = a.v_proj(h).view(shape).transpose(1, 2)
            x = x + a.o_proj(attend(index, q, k, v))
            added = layer.mlp(layer.post_attention_layernorm(x))
            x = x + (added[0] if isinstance(added, tuple) else added)
        normed: Tensor = self.model.norm(x)  # type: ignore[operator]
        return normed

    def _rotation(self, place: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the rotary positions, shape (rows, 1, n, head_dim), computed in float32."""
        if self._inverse is None or self._inverse.device != place.device:
            even = torch.arange(0, self.dim, 2, dtype=torch.float32, device=place.device)
            self._inverse = 1.0 / (self.theta ** (even / self.dim))
        angle = place[:, None, :, None].float() * self._inverse
        angle = torch.cat((angle, angle), dim=-1)
        return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin
