"""The committed smoke data set: layouts of the protocol sheets, size, audio that decodes, source in step."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.audio import decode, probe
from evalkit.records import Audio

pq = pytest.importorskip("pyarrow.parquet", reason='needs pyarrow: pip install "evalkit[data]"')

SMOKE = Path(__file__).parent.parent / "benchmarks" / "smoke"
MAX_BYTES = 1_500_000

# Folder, split, rows, columns as in VoiceBench sheet section 2 and UltraEval-Audio sheet section 1.
VB, UE = "hlt-lab/voicebench", "TwinkStart"
TABLES: list[tuple[str, str, int, dict[str, str]]] = [
    (f"{VB}/alpacaeval_full", "test", 4, {"prompt": "string"}),
    (f"{VB}/commoneval", "test", 2, {"prompt": "string"}),
    (f"{VB}/wildvoice", "test", 2, {"prompt": "string"}),
    (f"{VB}/sd-qa", "usa", 5, {"prompt": "string", "reference": "string"}),
    (f"{VB}/mmsu", "biology", 3, {"prompt": "string", "reference": "string"}),
    (f"{VB}/mmsu", "physics", 3, {"prompt": "string", "reference": "string"}),
    (f"{VB}/openbookqa", "test", 3, {"prompt": "string", "reference": "string"}),
    (
        f"{VB}/ifeval",
        "test",
        4,
        {"key": "int64", "prompt": "string", "instruction_id_list": "list", "kwargs": "list"},
    ),
    (f"{VB}/advbench", "test", 3, {"prompt": "string"}),
    (f"{VB}/bbh", "test", 4, {"id": "string", "prompt": "string", "reference": "string"}),
    (f"{UE}/speech-chatbot-alpaca-eval/data", "test", 3, {"instruction": "string", "output": "string"}),
    (f"{UE}/llama-questions/data", "test", 3, {"Answer": "string"}),
    (f"{UE}/speech-triavia-qa/data", "test", 3, {"answer": "list"}),
    (f"{UE}/speech-web-questions/data", "test", 3, {"answers": "list"}),
]
IDS = [f"{folder.split('/')[1]}-{folder.split('/')[-1]}-{split}" for folder, split, _, _ in TABLES]


def path_of(folder: str, split: str) -> Path:
    return SMOKE / folder / f"{split}-00000-of-00001.parquet"


def rows_of(folder: str, split: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path_of(folder, split)).to_pylist()
    return rows


@pytest.mark.parametrize(("folder", "split", "count", "columns"), TABLES, ids=IDS)
def test_layout(folder: str, split: str, count: int, columns: dict[str, str]) -> None:
    table = pq.read_table(path_of(folder, split))
    assert table.num_rows == count
    assert str(table.schema.field("audio").type) == "struct<bytes: binary, path: string>"
    for name, kind in columns.items():
        assert str(table.schema.field(name).type).startswith(kind), name
        assert table.column(name).null_count == 0, name


@pytest.mark.parametrize(("folder", "split", "count", "columns"), TABLES, ids=IDS)
def test_audio_decodes(folder: str, split: str, count: int, columns: dict[str, str]) -> None:
    for row in rows_of(folder, split):
        data = row["audio"]["bytes"]
        info = probe(data)
        assert (info.format, info.sample_rate, info.channels) == ("mp3", 16000, 1)
        assert row["audio"]["path"].endswith(".mp3")
        samples, rate = decode(Audio(data=data, format="mp3"), 16000)
        assert rate == 16000
        assert 1.0 < len(samples) / rate < 15.0
        assert 0.05 < abs(samples).max() <= 1.0


def test_size() -> None:
    files = [
        path_of(folder, split) for folder, split, _, _ in TABLES
    ]  # what build.py makes; others have their own
    assert sum(p.stat().st_size for p in files) <= MAX_BYTES


def test_references_are_what_the_scorers_expect() -> None:
    for folder, split in (("mmsu", "biology"), ("mmsu", "physics"), ("openbookqa", "test")):
        rows = rows_of(f"{VB}/{folder}", split)
        assert {r["reference"] for r in rows} <= set("ABCD")
        assert all(f" {letter}: " in r["prompt"] for r in rows for letter in "ABCD")
    bbh = rows_of(f"{VB}/bbh", "test")
    assert {r["reference"] for r in bbh} <= {"yes", "no", "(a)", "(b)"}
    chains = ("sports_understanding", "hyperbaton", "navigate", "web_of_lies")
    assert [next(c for c in chains if c in r["id"]) for r in bbh] == list(chains)


def test_ifeval_arguments() -> None:
    rows = rows_of(f"{VB}/ifeval", "test")
    assert len({r["key"] for r in rows}) == len(rows)
    for row in rows:
        assert len(row["kwargs"]) == len(row["instruction_id_list"])
        assert all(len(arguments) == 24 for arguments in row["kwargs"])
    given = [{k: v for k, v in a.items() if v is not None} for r in rows for a in r["kwargs"]]
    assert {"num_words": 40, "relation": "less than"} in given


def test_parquet_is_in_step_with_its_source() -> None:
    source = yaml.safe_load((SMOKE / "questions.yaml").read_text(encoding="utf-8"))
    tables = {(f"{t['repo']}/{t['folder']}", t["split"]): t for t in source["tables"]}
    assert set(tables) == {(folder, split) for folder, split, _, _ in TABLES}
    for (folder, split), table in tables.items():
        stored = rows_of(folder, split)
        for column in set(table["columns"]) - {"kwargs"}:
            assert [r[column] for r in stored] == [r[column] for r in table["rows"]], (folder, column)


def test_questions_are_all_different() -> None:
    source = yaml.safe_load((SMOKE / "questions.yaml").read_text(encoding="utf-8"))
    asked = [row[t["audio_of"]] for t in source["tables"] for row in t["rows"]]
    assert len(set(asked)) == len(asked)


def test_builder_imports_nothing_of_ours() -> None:
    """build.py is a tool beside the data: it must run without evalkit and pull nothing heavy in at import."""
    tree = ast.parse((SMOKE / "build.py").read_text(encoding="utf-8"))
    top = {a.name.split(".")[0] for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    top |= {n.module.split(".")[0] for n in tree.body if isinstance(n, ast.ImportFrom) and n.module}
    assert not top & {"evalkit", "pyarrow", "soundfile"}
