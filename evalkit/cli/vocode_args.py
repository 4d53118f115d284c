"""The arguments of `vocode`; declared apart, so that a bare start imports nothing of it."""

from __future__ import annotations

import argparse


def add(p: argparse.ArgumentParser) -> None:
    """Which run, by which vocoder, and where to."""
    p.add_argument("run", metavar="RUN", help="a run whose model was called with -M speech=ids")
    p.add_argument("--task", action="append", metavar="GLOB", help="only these tasks; may be repeated")
    p.add_argument("--out", metavar="DIR", help="where predictions and audio go (default: RUN/vocoded)")
    p.add_argument("--json", action="store_true", help="print what was made as JSON")
    p.add_argument("--progress", choices=("auto", "bars", "lines", "none"), default="auto")
    group = p.add_argument_group("vocoder (docs/vocoder.md)")
    group.add_argument(
        "--cosyvoice", metavar="DIR", required=True, help="a checkout of CosyVoice with its submodules"
    )
    group.add_argument(
        "--vocoder", metavar="DIR", required=True, help="the weights folder Fun-CosyVoice3-0.5B-2512"
    )
    group.add_argument(
        "--speaker",
        metavar="FILE",
        help="speaker embeddings (default: new_spk2info.pt in the weights folder)",
    )
    group.add_argument("--voice", metavar="NAME", help="which of them speaks (default: 中文女)")
    group.add_argument(
        "--python", metavar="PATH", help="the Python that has CosyVoice's requirements (default: this one)"
    )
    group.add_argument(
        "--device",
        metavar="DEVICE",
        default="auto",
        help="auto (a GPU where there is one), cpu, cuda, cuda:N",
    )
    group.add_argument(
        "--timeout", type=float, metavar="S", help="seconds for each 30 s of speech (default: 600)"
    )
