"""The tables of `evalkit.load` as CSV or parquet files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.frames import load
from evalkit.linefiles import store_error
from reports.safe import guard

TABLES = ("samples", "scores", "results", "groups")


def to_files(runs: Sequence[Path | str], out: Path, kind: str) -> list[Path]:
    """Write samples, scores, results and groups; the files.

    In CSV, text that a spreadsheet would take for a formula gets an apostrophe before it.

    Args:
        kind: "csv" or "parquet".

    Raises:
        UsageError: no run, or no pyarrow for parquet.
        StoreError: the folder can't be written.
    """
    frames = load(*runs)
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            path = out / f"{name}.{kind}"
            _write(getattr(frames, name), path, kind)
            written.append(path)
    except OSError as exc:
        raise store_error(out, exc) from exc
    except ImportError as exc:
        raise UsageError('exporting to parquet needs pyarrow: pip install "evalkit[data]"') from exc
    return written


def _write(table: Any, path: Path, kind: str) -> None:
    if kind == "parquet":
        table.to_parquet(path, index=False)
        return
    texts = [c for c in table.columns if str(table[c].dtype) in ("string", "object")]
    safe = table.assign(**{c: table[c].map(_cell, na_action="ignore") for c in texts})
    safe.to_csv(path, index=False, lineterminator="\n", encoding="utf-8", errors="replace")


def _cell(value: Any) -> str:
    """Text for a spreadsheet; a list as JSON."""
    return guard(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
