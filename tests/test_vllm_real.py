"""The vLLM runner against the real vLLM, where it is installed (a build for this machine's device): skipped otherwise.

Seen to pass with the CPU build of vLLM 0.32.0: see docs/vllm.md.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import io
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from fun_audio_chat_fixtures import DENSE, clip_wave, reference
from vllm_stand_in import NAMES, AsyncEngineArgs, AsyncLLMEngine

from evalkit.audio import materialise
from evalkit.records import Audio, Modality, Sample, Turn

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason='needs vLLM: pip install "evalkit[vllm]"')

ROOT = Path(__file__).resolve().parents[1]


def test_the_stand_in_has_the_real_one_s_names_and_signatures() -> None:
    for module, names in NAMES.items():
        real = importlib.import_module(module)
        for name in names:
            assert hasattr(real, name), f"{module}.{name}"
    vllm: Any = importlib.import_module("vllm")
    known = set(inspect.signature(vllm.AsyncEngineArgs).parameters)
    assert set(inspect.signature(AsyncEngineArgs).parameters) <= known
    taken = set(inspect.signature(vllm.SamplingParams).parameters)
    assert set(inspect.signature(NAMES["vllm"]["SamplingParams"]).parameters) <= taken
    for name in ("generate", "from_engine_args", "shutdown"):
        ours = list(inspect.signature(getattr(AsyncLLMEngine, name)).parameters)
        theirs = list(inspect.signature(getattr(vllm.AsyncLLMEngine, name)).parameters)
        assert theirs[: len(ours)] == ours, name
    base: Any = importlib.import_module("vllm.renderers.base")
    render = inspect.signature(base.BaseRenderer.render_chat_async).parameters
    assert list(render)[:4] == ["self", "conversations", "chat_params", "tok_params"]


def test_our_names_are_not_vllm_s() -> None:
    """`evalkit.runners.vllm` is ours, `vllm` is theirs, whichever is imported first."""
    code = (
        "import evalkit.runners.vllm as ours, vllm as theirs;"
        "assert ours is not theirs and 'evalkit' not in theirs.__file__"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def question(*clips: int, text: str = "") -> tuple[Turn, ...]:
    parts: list[str | Audio] = []
    for i in clips:
        held = io.BytesIO()
        sf.write(held, clip_wave(i), 16_000, format="WAV", subtype="PCM_16")
        parts.append(materialise(Audio(data=held.getvalue())))
    return (Turn("user", (*parts, *([text] if text else []))),)


ASKED = {
    "s2t0": question(0),
    "s2t1": question(1),
    "s2t2": question(2),
    "s2t_instr": question(1, text="Please help me transcribe the audio."),
    "s2t_multi": (*question(0), Turn("assistant", ("ok",)), *question(2)),
}


def main() -> None:
    """Answers `ASKED` all at once with the dense checkpoint in float32; ids as JSON on stdout."""
    from evalkit.runners.vllm import VllmRunner

    runner = VllmRunner(
        str(DENSE),
        dtype="float32",
        max_tokens="32",
        max_model_len="2048",
        enforce_eager="yes",
        **dict(a.split("=", 1) for a in sys.argv[1:]),
    )
    runner.prepare(Modality.S2T)

    async def one(name: str) -> list[int]:
        sample = Sample(name, "t/t", ASKED[name])
        ready = await runner.prompts.prepare(sample)
        assert runner._engine is not None
        # The reference run stops at <|im_end|> alone.
        reply = await runner._engine.answer(
            ready.prompt, {**runner._sampling(sample), "stop_token_ids": [258]}
        )
        return list(reply.ids)

    async def go() -> list[list[int]]:
        try:
            return await asyncio.gather(*map(one, ASKED))
        finally:
            await runner.close()

    print(json.dumps(dict(zip(ASKED, asyncio.run(go()), strict=True))))


@pytest.mark.skipif("CI" in os.environ, reason="starts vLLM, which takes a minute")
def test_greedy_ids_are_the_reference_s_whatever_else_is_asked() -> None:
    """Five prompts of different lengths in one batch, in float32."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, __file__],
        env={"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ, "PYTHONPATH": paths},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    got = json.loads(done.stdout)  # and nothing else on stdout
    for name, ids in got.items():
        assert ids == [int(i) for i in reference("dense")[f"{name}.text_ids"].ravel()], name


if __name__ == "__main__":
    main()
