"""Rebuild the smoke data of MMAU and MMSU: questions of our own about sounds made here, in the published layouts.

MMAU twice: the JSON of GitHub with `test-mini-audios/`, and the hub's parquet, whose options carry letters. MMSU as
the hub's parquet. flite speaks, NumPy makes the rest. Needs flite, pyarrow and soundfile. Usage:
``python benchmarks/smoke/build_understanding.py [FOLDER]``.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.smoke.voices import speak, to_mp3

HERE = Path(__file__).parent
RATE = 8000
GITHUB, HUB, MMSU = "Sakshi113/MMAU", "gamma-lab-umd/MMAU-test-mini", "ddwang2000/MMSU"


def wav(samples: Any, rate: int = RATE) -> bytes:
    """Samples in -1..1 as a mono wav file."""
    import soundfile as sf

    out = io.BytesIO()
    sf.write(out, samples, rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


def knocks(n: int) -> bytes:
    """`n` bursts of decaying noise, a third of a second apart."""
    noise = np.random.default_rng(7).standard_normal(RATE // 3)
    fall = np.exp(-np.arange(RATE // 3) / 300)
    return wav(np.tile(0.25 * noise * fall, n))


def notes(*hz: float) -> bytes:
    """Plucked notes one after another, 0.3 s each, with two overtones."""
    time = np.arange(int(0.3 * RATE)) / RATE
    plucks = [sum(np.sin(2 * np.pi * f * k * time) / k for k in (1, 2, 3)) for f in hz]
    return wav(np.concatenate([0.25 * p * np.exp(-4 * time) for p in plucks]))


def said(text: str, voice: str = "slt") -> bytes:
    """The text spoken, as wav at 8 kHz."""
    import soundfile as sf
    import soxr

    samples, rate = sf.read(io.BytesIO(speak(text, voice, 1.0)), dtype="float32")
    return wav(soxr.resample(samples, rate, RATE))


MMAU_ROWS: list[dict[str, Any]] = [
    {
        "id": "smoke-knocks",
        "sound": lambda: knocks(3),
        "question": "What is most likely happening in the recording?",
        "choices": ["A kettle boils", "Somebody knocks on a door", "A car drives by", "Rain falls"],
        "answer": "Somebody knocks on a door",
        "task": "sound",
        "category": ["Reasoning"],
        "sub-category": "Acoustic Source Inference",
        "difficulty": "easy",
    },
    {
        "id": "smoke-scale",
        "sound": lambda: notes(262, 294, 330, 349),
        "question": "How does the melody move?",
        "choices": ["It falls", "It stays on one note", "It rises step by step", "It jumps up and down"],
        "answer": "It rises step by step",
        "task": "music",
        "category": "Information Extraction",
        "sub-category": "Melodic Structure Interpretation",
        "difficulty": "medium",
    },
    {
        "id": "smoke-market",
        "sound": lambda: said("I bought three lemons and a melon."),
        "question": "How many kinds of fruit does the speaker name?",
        "choices": ["One", "Two"],
        "answer": "Two",
        "task": "speech",
        "category": "Reasoning",
        "sub-category": "Counting",
        "difficulty": "hard",
    },
    {
        "id": "smoke-bus",
        "sound": lambda: said("Hurry up, our bus leaves at nine.", "awb"),
        "question": "Why does the speaker urge the other one on?",
        "choices": [
            "The shop closes",
            "A guest arrives",
            "The bus leaves",
            "It gets dark",
            "The food is cold",
        ],
        "answer": "The bus leaves",
        "task": "speech",
        "category": "Reasoning",
        "sub-category": "Event-Based Knowledge Retrieval",
        "difficulty": "easy",
    },
]

MMSU_ROWS: list[dict[str, Any]] = [
    {
        "id": "content_grounding_smoke",
        "say": ("The keys are under the blue pot.", "slt"),
        "place": ("Perception", "Linguistics", "Semantics"),
        "question": "Where are the keys?",
        "choices": ("In the drawer", "Under the blue pot", "On the hook", "Behind the door"),
        "answer": "Under the blue pot",
    },
    {
        "id": "gender_prediction_smoke",
        "say": ("Good morning to all of you.", "awb"),
        "place": ("Perception", "Paralinguistics", "Speaker Traits"),
        "question": "Is the speaker a man or a woman?",
        "choices": (None, "A woman", None, "A man"),
        "answer": "A man",
    },
    {
        "id": "deixis_resolution_smoke",
        "say": ("Tom gave his sister a book, and she thanked him.", "slt"),
        "place": ("Reasoning", "Linguistics", "Semantics"),
        "question": "Who was thanked?",
        "choices": ("Tom", "Tom's sister", "The writer", "None"),
        "answer": "Tom",
    },
    {
        "id": "sarcasm_detection_smoke",
        "say": ("Oh great, another hour in this queue.", "rms"),
        "place": ("Reasoning", "Paralinguistics", "Speaker Traits & Speaking Style"),
        "question": "What does the speaker think of the wait?",
        "choices": ("It is a pleasure", "It is too long", "It is over", "It is a pleasure"),
        "answer": "It is too long",
    },
]
"""Two rows with options at odd letters: two nulls, and two equal texts; "None" is an option's text in one."""


def mmau_facts(row: dict[str, Any]) -> dict[str, Any]:
    """What both shapes say of a row beside question and options."""
    names = ("id", "task", "category", "sub-category", "difficulty")
    return {**{n: row[n] for n in names}, "dataset": "synthetic", "split": "test-mini"}


def write_github(target: Path) -> None:
    """The JSON array and one wav file a row."""
    folder = target / GITHUB / "test-mini-audios"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in MMAU_ROWS:
        (folder / f"{row['id']}.wav").write_bytes(row["sound"]())
        asked = {k: row[k] for k in ("question", "choices", "answer")}
        rows.append({"audio_id": f"./test-mini-audios/{row['id']}.wav", **asked, **mmau_facts(row)})
    (folder.parent / "mmau-test-mini.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def write_hub(target: Path) -> None:
    """The parquet copy: letters before options and answer, facts as a JSON text, wav and mp3 mixed."""
    rows = []
    for k, row in enumerate(MMAU_ROWS[:3]):
        sound = row["sound"]()
        lettered = [f"({chr(65 + i)}) {c}" for i, c in enumerate(row["choices"])]
        rows.append(
            {
                "context": {"bytes": to_mp3(sound) if k == 2 else sound, "path": None},
                "instruction": row["question"],
                "choices": lettered,
                "answer": lettered[row["choices"].index(row["answer"])],
                "other_attributes": json.dumps(mmau_facts(row)),
            }
        )
    write(target / HUB / "data" / "test-00000-of-00001.parquet", rows, "context")


def write_mmsu(target: Path) -> None:
    """The parquet copy, split `train`."""
    rows = []
    for row in MMSU_ROWS:
        names = ("category", "sub-category", "sub-sub-category")
        text, voice = row["say"]
        rows.append(
            {
                "id": row["id"],
                "audio": {"bytes": to_mp3(speak(text, voice, 1.0)), "path": f"{row['id']}.mp3"},
                "task_name": row["id"].removesuffix("_smoke"),
                "question": row["question"],
                **dict(zip(("choice_a", "choice_b", "choice_c", "choice_d"), row["choices"], strict=True)),
                "answer_gt": row["answer"],
                **dict(zip(names, row["place"], strict=True)),
                "linguistics_sub_discipline": "None",
            }
        )
    write(target / MMSU / "data" / "train-00000-of-00001.parquet", rows, "audio")


def write(path: Path, rows: list[dict[str, Any]], sound: str) -> None:
    """Rows as parquet; what is compressed already isn't dictionary-coded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {
        sound: pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "choices": pa.list_(pa.string()),
    }
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in rows[0]])
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)


def main(target: Path) -> None:
    """Write all three below `target`."""
    write_github(target)
    write_hub(target)
    write_mmsu(target)
    for repo in (GITHUB, HUB, MMSU):
        size = sum(f.stat().st_size for f in (target / repo).rglob("*.*") if f.is_file())
        print(f"{repo}: {size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
