"""Rebuild the smoke records of SpeechFCEval: requests of our own, spoken by flite (English) or espeak-ng (Mandarin).

Only needed after a change of the records below; the files are committed. Needs the programs `flite` and `espeak-ng`.
The folders, file names and fields are the published ones (speech function calling sheet, sections 1 and 2), with one
data set key per source category. Usage: ``python benchmarks/smoke/build_speech_fc.py [FOLDER]``.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.smoke.voices import speak, speak_mandarin

HERE = Path(__file__).parent
REPO = "FunAudioLLM/SpeechFCEval"
RATE = 8000
"""Hz; the published container is wav, so short utterances at a low rate keep the files small."""
STRETCH, SPEED, MARGIN = 0.7, 320, 0.02
"""flite's duration factor, espeak-ng's words per minute, s of silence left at both ends."""


def tool(
    name: str, about: str, required: list[str], outer: str = "object", **properties: Any
) -> dict[str, Any]:
    """A tool definition in its wrapper."""
    parameters = {"type": outer, "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


def of(kind: str, about: str, **more: Any) -> dict[str, Any]:
    """The schema of one parameter."""
    return {"type": kind, "description": about, **more}


DIM = tool(
    *("lamp.dim", "Set the brightness of a lamp.", ["percent"], "dict"),
    percent=of("integer", "Brightness in percent."),
    room=of("string", "Which room; default all."),
)
TIMER = tool(
    *("start_timer", "Start a kitchen timer.", ["minutes"], "dict"),
    minutes=of("float", "Length in minutes."),
    labels=of("array", "Labels to show.", items={"type": "string"}),
)
ADD = tool(
    *("list_add", "Put something on a list.", ["entry"], "dict"),
    entry=of("dict", "What to add.", properties={"what": {"type": "string"}, "count": {"type": "integer"}}),
)
WATER = tool(
    *("浇花", "给植物浇水。", ["植物"]),
    植物=of("string", "植物的名称。"),
    毫升=of("integer", "水量，单位毫升。"),
)
BOOK = tool(
    *("library_reserve", "预约图书馆的座位。", ["seat"]),
    seat=of(
        "object",
        "座位的要求。",
        properties={"floor": of("integer", "楼层。"), "window": of("boolean", "靠窗。")},
    ),
    tags=of("array", "备注。", items={"type": "string"}),
)
SWEEP = tool(
    *("robot_sweep", "让扫地机器人打扫。", ["rooms"]),
    rooms=of("array", "房间。", items={"type": "string"}),
    power=of("number", "吸力，从1到3。"),
)
CURTAIN = tool(
    *("curtain_set", "控制窗帘。", ["position"]),
    position=of("number", "打开的百分比。"),
    scene=of("object", "联动的场景。", properties={"name": of("string", "名称。")}),
)

RECORDS: dict[str, list[dict[str, Any]]] = {
    "SpeechFC_BFCL_Single": [
        {
            "dataset_key": "simple_python_900",
            "utterance": "Dim the lamp to ten.",
            "function": [DIM],
            "ground_truth": [{"lamp.dim": {"percent": [10], "room": ["", "all"]}}],
        },
        {
            "dataset_key": "multiple_900",
            "utterance": "Timer, two minutes.",
            "function": [DIM, TIMER],
            "ground_truth": [{"start_timer": {"minutes": [2.0], "labels": [[], ""]}}],
        },
        {
            "dataset_key": "multiple_901",
            "utterance": "Three eggs on the list.",
            "function": [TIMER, ADD],
            "ground_truth": [{"list_add": {"entry": [{"what": ["eggs", "egg"], "count": [3]}]}}],
        },
    ],
    "SpeechFC_BFCL_Parallel": [
        {
            "dataset_key": "parallel_900",
            "utterance": "Timers, two and five.",
            "function": [TIMER],
            "ground_truth": [
                {"start_timer": {"minutes": [2.0, 5.0], "labels": [[], ""]}},
                {"start_timer": {"minutes": [2.0], "labels": [[], ""]}},
            ],
        },
        {
            "dataset_key": "parallel_multiple_900",
            "utterance": "Lamp off, timer one.",
            "function": [DIM, TIMER],
            "ground_truth": [
                {"lamp.dim": {"percent": [0], "room": ["", "all"]}},
                {"start_timer": {"minutes": [1.0], "labels": [[], ""]}},
            ],
        },
    ],
    "SpeechFC_ACEBench_Single": [
        {
            "dataset_key": "normal_single_turn_single_function_900_speaker1",
            "utterance": "浇绿萝。",
            "time": "今天是星期二。",
            "function": [WATER, BOOK],
            "ground_truth": {"浇花": {"植物": "绿萝"}},
        },
        {
            "dataset_key": "normal_atom_bool_900_speaker2",
            "utterance": "二楼靠窗座位。",
            "function": [BOOK],
            "ground_truth": {"library_reserve": {"seat": {"floor": 2, "window": True}}},
        },
    ],
    "SpeechFC_ACEBench_Parallel": [
        {
            "dataset_key": "normal_single_turn_parallel_function_900_speaker3",
            "utterance": "浇绿萝和茉莉。",
            "function": [WATER, SWEEP],
            "ground_truth": {"浇花_1": {"植物": "绿萝"}, "浇花_2": {"植物": "茉莉"}},
        },
        {
            "dataset_key": "normal_single_turn_parallel_function_901_speaker1",
            "utterance": "扫厨房，浇茉莉。",
            "time": "今天是星期五。",
            "function": [WATER, SWEEP],
            "ground_truth": {"robot_sweep": {"rooms": ["厨房"]}, "浇花": {"植物": "茉莉"}},
        },
    ],
    "SpeechFC_SmartInteract": [
        {
            "dataset_key": "smart_interact_900",
            "utterance": "窗帘开一半。",
            "function": [CURTAIN, SWEEP],
            "ground_truth": [{"curtain_set": {"position": [50], "scene": [""]}}],
        },
        {
            "dataset_key": "smart_interact_901",
            "utterance": "扫客厅。",
            "function": [CURTAIN, SWEEP],
            "ground_truth": [{"robot_sweep": {"rooms": [["客厅"]], "power": ["", 2]}}],
        },
    ],
}
ROOTED = "SpeechFC_BFCL_Parallel"
"""The subset whose `file_name` starts at the root of the data set, as the published prediction file has it."""


def row_of(folder: str, index: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metadata.jsonl: tools and answers as JSON text, fields in the published order."""
    key = record["dataset_key"]
    return {
        "utterance": record["utterance"],
        "file_name": f"wav/{folder}/{key}.wav" if folder == ROOTED else f"wav/{key}.wav",
        "function": json.dumps(record["function"], ensure_ascii=False),
        "time": record.get("time", ""),
        "ground_truth": json.dumps(record["ground_truth"], ensure_ascii=False),
        "category": folder,
        "dataset_key": key,
        "index": index,
    }


def to_small_wav(wav: bytes) -> bytes:
    """The speech at 8 kHz, 16 bit, without the silence around it."""
    samples, rate = sf.read(io.BytesIO(wav), dtype="float32")
    samples = soxr.resample(samples, rate, RATE)
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    margin = int(MARGIN * RATE)
    out = io.BytesIO()
    sf.write(out, samples[max(0, loud[0] - margin) : loud[-1] + margin], RATE, format="WAV", subtype="PCM_16")
    return out.getvalue()


def main(target: Path) -> None:
    """Write every subset below `target`."""
    total = 0
    for folder, records in RECORDS.items():
        home = target / REPO / folder
        (home / "wav").mkdir(parents=True, exist_ok=True)
        rows = [row_of(folder, k, record) for k, record in enumerate(records)]
        for row in rows:
            english = row["utterance"].isascii()
            wav = (
                speak(row["utterance"], "awb", STRETCH)
                if english
                else speak_mandarin(row["utterance"], SPEED)
            )
            small = to_small_wav(wav)
            (home / "wav" / f"{row['dataset_key']}.wav").write_bytes(small)
            total += len(small)
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        (home / "metadata.jsonl").write_text(text, encoding="utf-8")
        total += len(text.encode())
        print(f"{folder}: {len(rows)} records")
    print(f"{total} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
