"""Clips on which DNSMOS is held against the `speechmos` package: committed audio at many lengths and levels.

python -m tests.dnsmos_cases > tests/data/dnsmos_speechmos.json      (needs speechmos and librosa)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.audio import decode, encode_mp3
from evalkit.records import Audio
from judges.dnsmos_features import SAMPLE_RATE, WINDOW, windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

ROOT = Path(__file__).parent.parent
STORED = ROOT / "tests/data/dnsmos_speechmos.json"
_COMMON_VOICE = "benchmarks/smoke/TwinkStart/CommonVoice_15/cv-corpus-15.0-2023-09-08"
FILES = {
    "espeak": "tests/data/espeak_paris.flac",
    "flite-mp3": f"{_COMMON_VOICE}/en/clips/common_voice_en_90001.mp3",
    "mandarin-mp3-22k": f"{_COMMON_VOICE}/zh-CN/clips/common_voice_zh-CN_90002.mp3",
}


@dataclass(frozen=True)
class Case:
    """One clip: a committed file, repeated or cut to so many samples at 16 kHz (0: as it is), times a gain."""

    voice: str
    length: int = 0
    gain: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.voice}/{self.length}/{self.gain}"

    def samples(self) -> Samples:
        """Mono float32 at 16 kHz in [-1, 1]; what the gain drives beyond is clipped."""
        import numpy as np

        if self.voice == "noise":
            found = np.random.default_rng(7).normal(0, 0.2, 3 * SAMPLE_RATE).astype(np.float32)
        elif self.voice == "half-silent":
            speech = decode(Audio(path=str(ROOT / FILES["espeak"])), SAMPLE_RATE)[0]
            found = np.concatenate([np.zeros(2 * SAMPLE_RATE, np.float32), speech])
        elif self.voice == "espeak-as-mp3":
            speech, rate = decode(Audio(path=str(ROOT / FILES["espeak"])))
            found = decode(Audio(data=encode_mp3(speech, rate)), SAMPLE_RATE)[0]
        else:
            found = decode(Audio(path=str(ROOT / FILES[self.voice])), SAMPLE_RATE)[0]
        if self.length:
            found = np.tile(found, -(-self.length // len(found)))[: self.length]
        return np.clip(found * np.float32(self.gain), -1.0, 1.0).astype(np.float32)


CASES = (
    *(Case(voice) for voice in FILES),
    *(Case("espeak", n) for n in (8_000, WINDOW - 1, WINDOW, WINDOW + 160, 160_000, 480_000)),
    *(Case("flite-mp3", n) for n in (1_000, WINDOW, 200_000)),
    *(Case("espeak", 0, gain) for gain in (0.003, 0.1, 30.0)),
    Case("mandarin-mp3-22k", 176_000, 0.3),
    Case("noise"),
    Case("half-silent"),
    Case("espeak-as-mp3"),
)
PAIRS = (
    *((case, "microsoft") for case in CASES),
    *((case, "ultraeval") for case in CASES),
    *((case, "personalised") for case in (*CASES[:4], CASES[-1])),
)
"""What is compared: each switch of networks makes the package load them anew, so conventions stay together."""


def by_speechmos(samples: Samples, convention: str) -> list[float]:
    """Overall, signal, background and P.808 as `speechmos` gives them."""
    from speechmos import dnsmos  # type: ignore[import-untyped, unused-ignore]

    kind = "dnsmos_personalized" if convention == "personalised" else "dnsmos"
    if convention == "ultraeval":  # its padding and cutting, then the package's networks on the one window
        samples = windows(samples, "ultraeval")[0]
    found = dnsmos.run(samples, SAMPLE_RATE, model_type=kind)
    return [float(found[k]) for k in ("ovrl_mos", "sig_mos", "bak_mos", "p808_mos")]


def computed() -> Iterator[dict[str, Any]]:
    """Every pair, by the package."""
    for case, convention in PAIRS:
        yield {
            "case": case.name,
            "convention": convention,
            "scores": by_speechmos(case.samples(), convention),
        }


if __name__ == "__main__":
    by = {name: version(name) for name in ("speechmos", "librosa", "onnxruntime", "numpy")}
    lines = ",\n  ".join(json.dumps(row) for row in computed())
    print(f'{{"by": {json.dumps(by)},\n "scores": [\n  {lines}\n]}}')
