"""Build the smoke data of VStyle and of spoken style and empathy: our own words, spoken by flite and espeak-ng.

Only needed after a change of the lines below; the results are committed. Needs the programs `flite` and
`espeak-ng`. Usage: ``python benchmarks/smoke/build_style.py [FOLDER]``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.smoke.voices import speak, speak_mandarin, to_mp3

HERE = Path(__file__).parent

VSTYLE: dict[str, list[tuple[int, str, str]]] = {
    "en": [
        (1, "acoustic_attributes/speed", "Say very slowly: the kettle is on."),
        (2, "instruction/emotion", "Read this out as if you were angry: who moved my bicycle?"),
        (3, "role_play/character", "You are an old lighthouse keeper. Tell me about the fog tonight."),
        (4, "empathy/joy_excitement", "I passed my driving test at last! I can't believe it."),
    ],
    "zh": [
        (1, "acoustic_attributes/volume", "请小声地说：宝宝睡着了。"),
        (2, "instruction/variation", "先高兴再难过地说：我们到家了。"),
        (3, "empathy/anger", "邻居又在半夜装修，我真的气死了。"),
    ],
}
"""Number, ability and words of each spoken instruction."""

STYLE: list[dict[str, Any]] = [
    {
        "id": "if-1",
        "track": "speech_if",
        "category": "prosody",
        "language": "en",
        "transcript": "Whisper this to me: the cat is asleep.",
        "requirements": [{"type": "volume", "value": "whisper"}],
        "content": {"mode": "verbatim", "text": "The cat is asleep."},
        "weight": 2.0,
    },
    {
        "id": "if-2",
        "track": "speech_if",
        "category": "emotion",
        "language": "zh",
        "transcript": "请用高兴的语气说说今天的天气。",
        "requirements": [{"type": "emotion", "value": "happy"}],
        "content": {"mode": "free"},
    },
    {
        "id": "es-1",
        "track": "empathy_semantic",
        "category": "sadness_disappointment",
        "language": "en",
        "transcript": "My tomatoes died again this year, and I had tried so hard.",
        "user_state": {"emotion": "disappointed", "intensity": 60, "situation": "the harvest failed"},
        "expected_response": "comfort, and one idea for next year",
    },
    {
        "id": "es-2",
        "track": "empathy_semantic",
        "category": "anxiety_fear",
        "language": "en",
        "transcript": "My exam is tomorrow and I am scared.",
        "history": [
            {"role": "user", "text": "Can you help me to study?"},
            {"role": "assistant", "text": "Of course. What is it about?"},
        ],
        "user_state": {"emotion": "afraid"},
    },
    {
        "id": "ep-1",
        "track": "empathy_paralinguistic",
        "category": "fatigue",
        "language": "en",
        "transcript": "I am back from work.",
        "user_state": {"emotion": "tired"},
        "cue": {"type": "fatigue", "description": "speaks slowly and dully"},
        "pair_id": "home",
        "stretch": 1.7,
    },
    {
        "id": "ep-2",
        "track": "empathy_paralinguistic",
        "category": "joy_excitement",
        "language": "en",
        "transcript": "I am back from work.",
        "user_state": {"emotion": "cheerful"},
        "cue": {"type": "emotion", "description": "speaks fast and brightly"},
        "pair_id": "home",
        "stretch": 0.75,
    },
]
"""The manifest, but for the audio; `stretch` is for the voice and stays out."""


def voiced(text: str, language: str, stretch: float = 1.1) -> bytes:
    """The words as mono mp3."""
    return to_mp3(speak_mandarin(text) if language == "zh" else speak(text, "cmu_us_awb", stretch))


def write(path: Path, data: bytes) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()


def build_vstyle(folder: Path) -> int:
    """Spoken instructions in folders by language, with a metadata.jsonl each."""
    total = 0
    for language, lines in VSTYLE.items():
        rows = []
        for number, ability, text in lines:
            name = f"wav/{ability.replace('/', '-')}-{number}.mp3"
            total += write(folder / language / name, voiced(text, language))
            row = {
                "id": number,
                "instruct_id": number,
                "ability": ability,
                "instruct_text": text,
                "audio": name,
            }
            rows.append(row)
        total += write(folder / language / "metadata.jsonl", jsonl(rows))
    return total


def build_style(folder: Path) -> int:
    """A manifest with its meta file and the users' turns."""
    total, rows = 0, []
    for item in STYLE:
        told = {k: v for k, v in item.items() if k != "stretch"}
        name = f"audio/{item['id']}.mp3"
        spoken = voiced(item["transcript"], item["language"], item.get("stretch", 1.1))
        total += write(folder / name, spoken)
        rows.append({**told, "audio": name, "synthetic": True})
    manifest = jsonl(rows)
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row["track"], Counter())[row["category"]] += 1
    meta = {
        "name": "smoke",
        "version": "1",
        "created": "2026-11-25",
        "description": "six items of our own; proves the plumbing, measures nothing",
        "languages": ["en", "zh"],
        "license": "Apache-2.0",
        "sha256": hashlib.sha256(manifest).hexdigest(),
        "counts": counts,
    }
    total += write(folder / "manifest.jsonl", manifest)
    return total + write(folder / "manifest.meta.json", json.dumps(meta, indent=1).encode() + b"\n")


def main(target: Path) -> None:
    """Write both sets below `target`."""
    print(f"VStyle: {build_vstyle(target / 'zhanjun' / 'VStyle')} bytes")
    print(f"speech-style: {build_style(target / 'local' / 'speech-style')} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
