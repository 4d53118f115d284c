"""The audio towers of Fun-Audio-Chat once more, for tests: one piece after the other, float64, loops, NumPy alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from evalkit.runners.fun_audio_chat.network.encoder import ContinuousTower, DiscreteTower


def naive_rows(tower: ContinuousTower, mel: Tensor, heads: int) -> NDArray[np.float64]:
    """25 Hz rows of one clip, shape (T25, H). Source: runner specification, sections 4.3 to 4.5.

    Args:
        mel: shape (mel bins, F), F > 0.
    """
    p = {k: v.double().numpy() for k, v in tower.named_parameters()}
    layers = 1 + max(int(k.split(".")[1]) for k in p if k.startswith("layers."))
    erf = np.vectorize(math.erf)

    def gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(1, keepdims=True)
        return (
            centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * p[f"{name}.weight"]
            + p[f"{name}.bias"]
        )

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ p[f"{name}.weight"].T + p.get(f"{name}.bias", 0.0)

    def convolve(x: NDArray[np.float64], name: str, stride: int) -> NDArray[np.float64]:
        wide = np.pad(x, ((1, 1), (0, 0)))
        return np.array(
            [
                sum(wide[t + tap] @ p[f"{name}.weight"][:, :, tap].T for tap in range(3)) + p[f"{name}.bias"]
                for t in range(0, len(x), stride)
            ]
        )

    everything = []
    for start in range(0, mel.shape[1], tower.piece):
        x = mel[:, start : start + tower.piece].double().numpy().T
        x = gelu(convolve(gelu(convolve(x, "conv1", 1)), "conv2", 2))
        width = x.shape[1]
        for row in range(len(x)):
            for j in range(width // 2):
                angle = row * math.exp(-j * math.log(10000) / (width / 2 - 1))
                x[row, j] += math.sin(angle)
                x[row, width // 2 + j] += math.cos(angle)
        for i in range(layers):
            y = norm(x, f"layers.{i}.self_attn_layer_norm")
            q, k, v = (linear(y, f"layers.{i}.self_attn.{n}_proj") for n in "qkv")
            mixed = np.zeros_like(q)
            for h in range(heads):
                s = slice(h * width // heads, (h + 1) * width // heads)
                scores = np.exp(q[:, s] @ k[:, s].T * (width // heads) ** -0.5)
                mixed[:, s] = scores / scores.sum(1, keepdims=True) @ v[:, s]
            x = x + linear(mixed, f"layers.{i}.self_attn.out_proj")
            x = x + linear(
                gelu(linear(norm(x, f"layers.{i}.final_layer_norm"), f"layers.{i}.fc1")), f"layers.{i}.fc2"
            )
        everything.append(x)
    x = np.concatenate(everything)
    if len(x) > 1:
        x = np.array([(x[t] + x[t + 1]) / 2 for t in range(0, len(x) - 1, 2)])
    return linear(norm(x, "ln_post"), "proj")


def naive_fit(tower: DiscreteTower, rows: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """The vectors of one clip's placeholders, shape (groups, H). Source: section 4.7."""
    p = {k: v.double().numpy() for k, v in tower.named_parameters()}
    found = []
    for g in range(groups):
        five = [rows[t] if t < len(rows) else np.zeros(rows.shape[1]) for t in range(5 * g, 5 * g + 5)]
        vector = p["continual_output_matching.weight"] @ (sum(five) / 5)
        if tower.add:
            vector = vector + p["output_matching.weight"] @ p["embed_tokens.weight"][tower.pad]
        found.append(vector)
    return np.array(found).reshape(groups, rows.shape[1])
