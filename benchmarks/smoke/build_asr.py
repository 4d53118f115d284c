"""Rebuild the speech recognition smoke data: LibriSpeech (parquet and OpenSLR's tree), a Common Voice archive.

Sentences were written for this project; speakers, chapters and clips have numbers of our own. English by flite,
Mandarin by espeak-ng. Only needed after a change of what is said; the files are committed.
Usage: ``python benchmarks/smoke/build_asr.py [FOLDER]``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.smoke.voices import speak, speak_mandarin, to_flac, to_mp3

HERE = Path(__file__).parent
LIBRISPEECH = "openslr/librispeech_asr"
ARCHIVE = "TwinkStart/CommonVoice_15/cv-corpus-15.0-2023-09-08"

CLEAN = (
    ("7001-2001-0000", "THE BAKER'S CART IS HERE"),
    ("7001-2001-0001", "SHUT THE DOOR MISTER HALL"),
)
OTHER = (
    ("7002-2002-0000", "WE WENT HOME BY BOAT"),
    ("7003-2003-0000", "NOBODY'S LAMP WAS LIT"),
)
COLUMNS = (
    *("client_id", "path", "sentence", "up_votes", "down_votes"),
    *("age", "gender", "accent", "locale", "segment", "variant"),
)
# Sentence, age, gender. Quotation marks stand as they are: Common Voice escapes nothing.
COMMON_VOICE = {
    "en": (
        ('"Mind the step," said the porter.', "thirties", "male"),
        ('He calls his boat the "Kettle".', "", ""),
        ("It's half past nine, isn't it?", "twenties", "female"),
    ),
    "zh-CN": (
        ("他買了三本書。", "twenties", "female"),  # traditional characters
        ("今天下午3点开会，别忘了。", "", ""),
        ("“你好”，她笑着说。", "forties", "female"),
        ("我用GPS找路", "twenties", "male"),
    ),
}


def librispeech(target: Path) -> None:
    """test-clean as the hub has it, test-other as OpenSLR's tarball unpacks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def flac(text: str) -> bytes:
        return to_flac(speak(text.lower(), "awb", 0.85))

    clips = [{"bytes": flac(text), "path": f"{key}.flac"} for key, text in CLEAN]
    numbers = [[int(x) for x in key.split("-")] for key, _ in CLEAN]
    table = pa.table(
        {
            "file": pa.array([f"{key}.flac" for key, _ in CLEAN]),
            "audio": pa.array(clips, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "text": pa.array([text for _, text in CLEAN]),
            "speaker_id": pa.array([n[0] for n in numbers], pa.int64()),
            "chapter_id": pa.array([n[1] for n in numbers], pa.int64()),
            "id": pa.array([key for key, _ in CLEAN]),
        }
    )
    path = target / LIBRISPEECH / "clean/test/0000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    for key, text in OTHER:
        speaker, chapter, _ = key.split("-")
        folder = target / LIBRISPEECH / "LibriSpeech/test-other" / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{key}.flac").write_bytes(flac(text))
        (folder / f"{speaker}-{chapter}.trans.txt").write_text(f"{key} {text}\n", encoding="utf-8")


def common_voice(target: Path) -> None:
    """`<locale>/test.tsv` and `<locale>/clips/*.mp3`, as Mozilla's archives unpack."""
    for locale, sentences in COMMON_VOICE.items():
        folder = target / ARCHIVE / locale
        (folder / "clips").mkdir(parents=True, exist_ok=True)
        lines = ["\t".join(COLUMNS)]
        for number, (sentence, age, gender) in enumerate(sentences, 1):
            clip = f"common_voice_{locale}_9000{number}.mp3"
            wav = speak_mandarin(sentence, 230) if locale == "zh-CN" else speak(sentence, "awb", 1.0)
            (folder / "clips" / clip).write_bytes(to_mp3(wav))
            lines.append(
                "\t".join((f"ours-{number}", clip, sentence, "2", "0", age, gender, "", locale, "", ""))
            )
        (folder / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(target: Path) -> None:
    """Write everything below `target` and say how much it is."""
    librispeech(target)
    common_voice(target)
    files = [p for place in (LIBRISPEECH, ARCHIVE) for p in (target / place).rglob("*") if p.is_file()]
    print(f"{len(files)} files, {sum(p.stat().st_size for p in files)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
