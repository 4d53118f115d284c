"""The stand-in CosyVoice checkout of tests/data/vocoder, with weights made for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).parent / "data" / "vocoder"

_MAKE = """
import sys, torch, torch.nn as nn
sys.stdout = sys.stderr
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/third_party/Matcha-TTS"]
from cosyvoice.flow.flow import CausalMaskedDiffWithDiT
from cosyvoice.flow.flow_matching import CausalConditionalCFM, DiT
from cosyvoice.hifigan.generator import CausalHiFTGenerator
torch.manual_seed(7)
out = sys.argv[2]
flow = CausalMaskedDiffWithDiT(80, 80, 192, 6561, 2, CausalConditionalCFM(80, DiT(80)))
torch.manual_seed(8)
for p in flow.parameters():
    nn.init.normal_(p, std=0.1)
hift = CausalHiFTGenerator(80, 24000)
torch.save(flow.state_dict(), out + "/flow.pt")
torch.save({"generator." + k: v for k, v in hift.state_dict().items()}, out + "/hift.pt")
voices = {v: {"embedding": torch.randn(1, 192), "speech_token": torch.zeros(1, 3)} for v in ("中文女", "中文男")}
torch.save(voices, out + "/new_spk2info.pt")
"""


def make(folder: Path) -> tuple[Path, Path]:
    """A copy of the stand-in with fresh weights: (checkout, weights folder)."""
    checkout, weights = folder / "CosyVoice", folder / "Fun-CosyVoice3"
    shutil.copytree(DATA / "checkout", checkout, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(DATA / "weights", weights)
    done = subprocess.run(
        [sys.executable, "-c", _MAKE, str(checkout), str(weights)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return checkout, weights
