"""Where pyarrow isn't installed (a core install), parquet is told in a sentence, or does without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.formats._records import plain_columns


@pytest.fixture(autouse=True)
def no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)


def test_columns_of_parquet_are_unknown_not_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"PAR1....PAR1")
    assert plain_columns(file, file.read_bytes()) == []


@pytest.mark.parametrize("task", ["mmsu", "voicebench/ifeval"])
def test_a_data_set_in_parquet_names_the_extra(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", task, "--data-dir", "benchmarks/smoke", "--limit", "1"]) != 0
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and 'pip install "evalkit[data]"' in said[0], said
