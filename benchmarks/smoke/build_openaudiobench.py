"""Rebuild the OpenAudioBench smoke data: a CSV and a folder of audio per subset, as the published repository.

Questions, options and answers were written for this project. English by flite, Mandarin by espeak-ng. Only needed
after a change of ROWS; the files are committed. Usage: ``python benchmarks/smoke/build_openaudiobench.py [FOLDER]``.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.smoke.voices import speak, speak_mandarin, to_mp3

HERE = Path(__file__).parent
REPO = "baichuan-inc/OpenAudioBench"

ROWS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "alpaca_eval": (
        ("instruction", "output"),
        (
            (
                "How do I keep bread fresh?",
                "Keep it in a paper bag, away from the sun, and freeze what is left.",
            ),
            ("Name a good gift for a gardener.", "A sharp pair of shears."),
            ("Why is the sea salty?", "Rivers carry salts from the rocks, and only the water leaves again."),
        ),
    ),
    "llama_questions": (
        ("Questions", "Answer"),
        (
            ("What is the capital of Italy?", "Rome"),
            ("How many legs has a spider?", "8"),
            # Its answer reads like a missing value.
            ("Which two letters are the country code of Namibia?", "NA"),
        ),
    ),
    "reasoning_qa": (
        ("Prompt", "参考答案"),
        (
            ("三个苹果加五个苹果是几个?", "8个"),
            ("今天星期一,后天星期几?", "星期三"),
            ("边长四米的正方形,面积多大?", "16平方米"),
        ),
    ),
    "trivia_qa": (
        ("question", "answer_normalized_aliases", "answer_normalized_value"),
        (
            ("Which planet is known for its rings?", "saturn,planet saturn", "saturn"),
            ("Which metal is liquid in a warm room?", "mercury,quicksilver", "mercury"),
            ("Who painted sunflowers in Arles?", "van gogh,vincent van gogh", "van gogh"),
        ),
    ),
    "web_questions": (
        ("question", "answers"),
        (
            ("What language do they speak in Austria?", "German;German Language"),
            ("Where does the Rhine begin?", "Switzerland;Swiss Alps"),
            ("What do koalas eat?", "Eucalyptus"),
        ),
    ),
}


def sound(subset: str, text: str) -> bytes:
    """The question as mp3."""
    return to_mp3(speak_mandarin(text, 240) if subset == "reasoning_qa" else speak(text, "awb", 1.0))


def main(target: Path) -> None:
    """Write every subset below `target`."""
    total = 0
    for subset, (columns, rows) in ROWS.items():
        folder = target / REPO / "eval_datas" / subset
        (folder / "audios").mkdir(parents=True, exist_ok=True)
        with (folder / f"{subset}.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow([*columns, "audio_filename"])
            for number, row in enumerate(rows):
                data = sound(subset, row[0])
                # One suffix is wrong on purpose: a file is opened by the name in the CSV, and says what it is.
                name = f"{subset}_{number}.{'wav' if (subset, number) == ('web_questions', 2) else 'mp3'}"
                (folder / "audios" / name).write_bytes(data)
                writer.writerow([*row, name])
                total += len(data)
    print(f"{sum(len(rows) for _, rows in ROWS.values())} rows, {total} bytes of audio")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
