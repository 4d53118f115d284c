"""What tests of the vLLM runner share: samples, another model, answers of a runner that is closed after them."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import soundfile as sf

from evalkit.audio import materialise
from evalkit.errors import RunnerError
from evalkit.records import Audio, Modality, Response, Sample, Turn
from evalkit.runners.vllm import VllmRunner

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "dict", "properties": {}}},
}


def wav(samples: Any, rate: int = 16_000) -> Audio:
    held = io.BytesIO()
    sf.write(held, samples, rate, format="WAV", subtype="PCM_16")
    return materialise(Audio(data=held.getvalue(), origin="q.wav"))


def asked(*parts: str | Audio, id: str = "q1", tools: Any = ()) -> Sample:
    return Sample(id, "t/t", (Turn("user", parts),), tools=tuple(tools))


def lalm(folder: Path) -> Path:
    """A model in `folder` that is not Fun-Audio-Chat."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2_audio"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def answers(runner: VllmRunner, *samples: Sample) -> list[Response | RunnerError]:
    """What comes of samples asked at once; the runner is closed after them."""

    async def go() -> list[Any]:
        try:
            return await asyncio.gather(
                *(runner.generate(s, Modality.S2T) for s in samples), return_exceptions=True
            )
        finally:
            await runner.close()

    runner.prepare(Modality.S2T)
    out = asyncio.run(go())
    for one in out:
        if isinstance(one, BaseException) and not isinstance(one, RunnerError):
            raise one
    return out
