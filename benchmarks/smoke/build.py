"""Rebuild the smoke data set from questions.yaml: speech by flite, encoded as mp3, written as parquet.

Only needed after a change of questions.yaml; the parquet files are committed. Needs the program `flite`
(Debian package of that name) with its CMU voices and pyarrow. The same versions of flite, libsndfile and
pyarrow give the same bytes. Usage: ``python benchmarks/smoke/build.py [FOLDER]``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.smoke.voices import speak, to_mp3

HERE = Path(__file__).parent
IFEVAL_ARGUMENTS = {
    "capital_frequency": "int64",
    "capital_relation": "string",
    "end_phrase": "string",
    "first_word": "string",
    "forbidden_words": "list<string>",
    "frequency": "int64",
    "keyword": "string",
    "keywords": "list<string>",
    "language": "string",
    "let_frequency": "int64",
    "let_relation": "string",
    "letter": "string",
    "nth_paragraph": "int64",
    "num_bullets": "int64",
    "num_highlights": "int64",
    "num_paragraphs": "int64",
    "num_placeholders": "int64",
    "num_sections": "int64",
    "num_sentences": "int64",
    "num_words": "int64",
    "postscript_marker": "string",
    "prompt_to_repeat": "string",
    "relation": "string",
    "section_spliter": "string",
}
"""The 24 argument names of the VoiceBench sheet's list of IFEval checks, all nullable."""


def arrow_type(name: str) -> Any:
    """The Arrow type that questions.yaml calls `name`."""
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "list<string>": pa.list_(pa.string())}
    types["ifeval_kwargs"] = pa.list_(pa.struct([(k, types[t]) for k, t in IFEVAL_ARGUMENTS.items()]))
    return types[name]


def build_table(table: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """One table of the data set: the spoken column `audio` as {bytes, path}, then the others."""
    import pyarrow as pa

    clips = []
    for number, row in enumerate(table["rows"]):
        text = row.get("say") or row[table["audio_of"]]
        wav = speak(text, row.get("voice", defaults["voice"]), row.get("stretch", defaults["stretch"]))
        clips.append({"bytes": to_mp3(wav), "path": f"{table['folder']}-{table['split']}-{number}.mp3"})
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"audio": pa.array(clips, audio)}
    for name, kind in table["columns"].items():
        columns[name] = pa.array([row[name] for row in table["rows"]], arrow_type(kind))
    return pa.table(columns)


def main(target: Path) -> None:
    """Write every table below `target`, in the layout of the published data sets."""
    import pyarrow.parquet as pq

    questions = yaml.safe_load((HERE / "questions.yaml").read_text(encoding="utf-8"))
    total = rows = 0
    for table in questions["tables"]:
        path = target / table["repo"] / table["folder"] / f"{table['split']}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Speech is compressed already; dictionaries and statistics would only store it twice.
        pq.write_table(
            build_table(table, questions),
            path,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
        )
        total, rows = total + path.stat().st_size, rows + len(table["rows"])
        print(f"{path.relative_to(target)}: {len(table['rows'])} rows, {path.stat().st_size} bytes")
    print(f"{rows} rows, {total} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
