"""A copy of a checkpoint with noise on its weights: something that a gate should notice.

python examples/perturb_checkpoint.py CHECKPOINT COPY [--noise 0.5] [--seed 0]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def perturb(source: Path, target: Path, noise: float, seed: int = 0) -> None:
    """Copy a checkpoint folder; to each weight is added normal noise of `noise` times its tensor's deviation."""
    shutil.copytree(source, target)
    generator = torch.Generator().manual_seed(seed)
    for shard in sorted(target.glob("*.safetensors")):
        weights = load_file(shard)
        for name, weight in weights.items():
            if weight.is_floating_point() and weight.numel() > 1:
                drawn = torch.randn(weight.shape, generator=generator) * weight.float().std() * noise
                weights[name] = (weight.float() + drawn).to(weight.dtype)
        save_file(weights, shard, metadata={"format": "pt"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--noise", type=float, default=0.5, help="in standard deviations of each tensor")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    perturb(args.source, args.target, args.noise, args.seed)
