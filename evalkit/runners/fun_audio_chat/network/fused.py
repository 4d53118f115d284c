"""A decoding layer in few kernels: joined projections, one norm and one rotation for queries and keys.

Decoding is bound by launching kernels and by reading weights. Joined, a layer takes about a third of the kernels that
its modules would; its weights stay where they are read once, for the modules' own are views of the joined ones. The
numbers are those of the modules up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True, slots=True)
class Joined:
    """Weights of a layer, joined.

    Attributes:
        qkv: of queries, keys and values, shape ((heads + 2 * key heads) * head_dim, width).
        bias: of the same, where the config wants biases.
        norms: of the norms of queries and keys, a row per head, shape (heads + key heads, head_dim).
        gate_up: of the feed-forward's first two, shape (2 * inner, width); None for a mixture of experts.
        heads, dim: number of query heads, width of a head.
    """

    qkv: Tensor
    bias: Tensor | None
    norms: Tensor
    gate_up: Tensor | None
    heads: int
    dim: int


def join(layer: Any, dim: int) -> Joined:
    """Join a layer's weights, and make its own views of them."""
    a, mlp = layer.self_attn, layer.mlp
    three = (a.q_proj, a.k_proj, a.v_proj)
    bias = None if a.q_proj.bias is None else torch.cat([p.bias.detach() for p in three])
    heads, kv_heads = (p.weight.shape[0] // dim for p in three[:2])
    norms = torch.cat((a.q_norm.weight.expand(heads, -1), a.k_norm.weight.expand(kv_heads, -1)))
    gate_up = _joined((mlp.gate_proj, mlp.up_proj)) if hasattr(mlp, "gate_proj") else None
    return Joined(_joined(three), bias, norms, gate_up, heads, dim)


def _joined(modules: tuple[Any, ...]) -> Tensor:
    weight = torch.cat([m.weight.detach() for m in modules])
    parts = weight.split([m.weight.shape[0] for m in modules])
    for module, part in zip(modules, parts, strict=True):
        module.weight = nn.Parameter(part, requires_grad=False)
    return weight


def decode_layer(
    layer: Any,
    joined: Joined,
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    each: Tensor,
    place: Tensor,
    mask: Tensor,
    apart: bool = False,
) -> Tensor:
    """One layer over one position of each row; its key and value are put in their place.

    Args:
        x: shape (rows, width).
        cos, sin: rotations, shape (rows, 1, head_dim); the first half of `sin` is negated.
        keys, values: the rows' slots as far as they are looked at, shape (rows, key heads, length, head_dim).
        each, place: 0 to rows - 1, and each row's position.
        mask: 0, or minus infinity where a row has nothing yet, shape (rows, 1, 1, length).
        apart: experts are applied row by row, see `experts_apart`.

    Returns:
        Shape (rows, width).
    """
    a, dim, heads = layer.self_attn, joined.dim, joined.heads
    rows, n = x.shape[0], joined.norms.shape[0]
    y = F.linear(_norm(layer.input_layernorm, x), joined.qkv, joined.bias).view(rows, -1, dim)
    qk = F.rms_norm(y[:, :n], (dim,), None, a.q_norm.variance_epsilon) * joined.norms
    qk = torch.addcmul(qk * cos, qk.roll(dim // 2, -1), sin)
    keys[each, :, place] = qk[:, heads:]
    values[each, :, place] = y[:, n:]
    # The queries that share a key head stand as so many positions of it: nothing has to be repeated.
    shared = qk[:, :heads].reshape(rows, keys.shape[1], -1, dim)
    mixed = F.scaled_dot_product_attention(shared, keys, values, attn_mask=mask)
    x = torch.addmm(x, mixed.reshape(rows, -1), a.o_proj.weight.T)
    if a.o_proj.bias is not None:
        x = x + a.o_proj.bias
    h = _norm(layer.post_attention_layernorm, x)
    mlp = layer.mlp
    if joined.gate_up is None:
        if apart:
            return x + experts_apart(mlp, h)
        added = mlp(h[:, None])
        out: Tensor = x + (added[0] if isinstance(added, tuple) else added)[:, 0]
        return out
    gate, up = F.linear(h, joined.gate_up).chunk(2, dim=-1)
    return torch.addmm(x, mlp.act_fn(gate) * up, mlp.down_proj.weight.T)


def experts_apart(mlp: Any, h: Tensor) -> Tensor:
    """A mixture of experts, each row with copies of its own experts' weights; shape (rows, width) as `h`.

    The module brings the rows of an expert together: then how many rows meet there, and with it the kernel and the last
    bits, is the neighbours' doing. Here every product has the shape that it always has. Slower.
    """
    _, shares, chosen = mlp.gate(h)
    out = torch.zeros_like(h)
    for share, which in zip(shares.T, chosen.T, strict=True):
        gate_up = torch.bmm(mlp.experts.gate_up_proj[which], h[:, :, None])[:, :, 0]
        gate, up = gate_up.chunk(2, dim=-1)
        inner = mlp.experts.act_fn(gate) * up
        out = out + torch.bmm(mlp.experts.down_proj[which], inner[:, :, None])[:, :, 0] * share[:, None]
    return out


def _norm(module: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), module.weight, module.variance_epsilon)
