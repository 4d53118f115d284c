"""Rebuild MMAU-Pro's smoke data: six questions of our own about sounds made here, in the published layout.

`test.parquet` beside `data/*.wav`, and nothing else; flite speaks, NumPy makes the rest. Needs flite, pyarrow
and soundfile. Usage: ``python benchmarks/smoke/build_mmau_pro.py [FOLDER]``.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.smoke.voices import speak

HERE = Path(__file__).parent
REPO = "gamma-lab-umd/MMAU-Pro"
RATE = 8000


def tone(*hz: float) -> bytes:
    """Short tones one after another, as wav (8 kHz mono, 0.35 s each)."""
    import soundfile as sf

    time = np.arange(int(0.35 * RATE)) / RATE
    samples = np.concatenate([0.3 * np.sin(2 * np.pi * f * time) for f in hz])
    out = io.BytesIO()
    sf.write(out, samples, RATE, format="WAV", subtype="PCM_16")
    return out.getvalue()


def said(text: str) -> bytes:
    """The text spoken, as wav at 8 kHz."""
    import soundfile as sf
    import soxr

    samples, rate = sf.read(io.BytesIO(speak(text, "awb", 1.0)), dtype="float32")
    out = io.BytesIO()
    sf.write(out, soxr.resample(samples, rate, RATE), RATE, format="WAV", subtype="PCM_16")
    return out.getvalue()


SOUNDS: dict[str, Callable[[], bytes]] = {
    "smoke-tone-low": lambda: tone(220),
    "smoke-tone-up": lambda: tone(330, 660),
    "smoke-tone-down": lambda: tone(660, 330),
    "smoke-parcel": lambda: said("The parcel is on the kitchen table."),
    "smoke-train": lambda: said("The train is late again."),
}

ROWS: list[dict[str, Any]] = [
    {
        **{"id": "smoke-1", "sounds": ["smoke-tone-up"], "category": "music", "sub": "Pitch"},
        "question": "How do the two notes follow each other?",
        "choices": ["The second is lower", "The second is higher", "They are the same"],
        "answer": "The second is higher",
    },
    {
        **{"id": "smoke-2", "sounds": ["smoke-parcel"], "category": "speech", "sub": "Content"},
        "question": "Where is the parcel?",
        "choices": ["On the kitchen table", "In the car", "At the door", "Under the stairs"],
        "answer": "On the kitchen table",
    },
    {
        **{"id": "smoke-3", "sounds": ["smoke-tone-low"], "category": "sound", "sub": "Source"},
        "question": "Which machine can be heard?",
        "choices": ["A drill", "A kettle"],
        "answer": "A sewing machine",
    },
    {
        **{"id": "smoke-4", "sounds": ["smoke-train"], "category": "open", "sub": "Content"},
        "question": "What is the speaker annoyed about?",
        "choices": ["A train that is late, and not for the first time"],
        "answer": "A train that is late, and not for the first time",
    },
    {
        **{"id": "smoke-5", "sounds": ["smoke-parcel"], "category": "instruction following", "sub": None},
        "question": "Say what you hear in at most eight words.",
        **{"choices": None, "answer": None},
        **{"task_identifier": "Number Words (at most)", "kwargs": {"N": 8}},
    },
    {
        **{
            "id": "smoke-6",
            "sounds": ["smoke-tone-up", "smoke-tone-down"],
            "category": "multi",
            "sub": "Order",
        },
        "question": "In which recording does the pitch fall?",
        "choices": ["In the first", "In the second", "In both"],
        "answer": "In the second",
    },
]
"""Smoke-3 is a row that can't be answered right: its reference is none of its options."""


def row_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the published columns."""
    return {
        "id": row["id"],
        "audio_path": [f"data/{name}.wav" for name in row["sounds"]],
        "question": row["question"],
        "answer": row["answer"],
        "choices": row["choices"],
        "length_type": "short",
        "perceptual_skills": [],
        "reasoning_skills": [],
        "category": row["category"],
        "transcription": None,
        "task_classification": None,
        "task_identifier": row.get("task_identifier"),
        "kwargs": row.get("kwargs"),
        "sub-cat": row["sub"],
    }


def schema() -> Any:
    """Column types of the published table, as far as they are known."""
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    kinds = {"audio_path": texts, "choices": texts, "perceptual_skills": texts, "reasoning_skills": texts}
    kinds["kwargs"] = pa.struct([("N", pa.int64()), ("keywords", text)])
    return pa.schema([(name, kinds.get(name, text)) for name in row_of(ROWS[0])])


def main(target: Path) -> None:
    """Write the table and its sounds below `target`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = target / REPO
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, make in SOUNDS.items():
        (folder / "data" / f"{name}.wav").write_bytes(make())
    table = pa.Table.from_pylist([row_of(row) for row in ROWS], schema())
    pq.write_table(table, folder / "test.parquet", compression="zstd", use_dictionary=False)
    sizes = {str(f.relative_to(folder)): f.stat().st_size for f in sorted(folder.rglob("*.*"))}
    print(f"{len(ROWS)} rows, {sum(sizes.values())} bytes: {json.dumps(sizes)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
