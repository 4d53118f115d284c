"""Formats that a table is written in. Each is one file that takes the table object and nothing else."""

from __future__ import annotations

from pathlib import Path

from reports.cells import Table
from reports.safe import slug

FORMATS = ("html", "csv", "md", "latex", "xlsx", "json")
ENDINGS = {"html": "html", "csv": "csv", "md": "md", "latex": "tex", "xlsx": "xlsx", "json": "json"}


def text_of(table: Table, name: str) -> str:
    """The table as text in a format; not for "xlsx", which is no text."""
    if name == "html":
        from reports.renderers.html import html

        return html(table)
    if name == "md":
        from reports.renderers.markdown import markdown

        return markdown(table)
    if name == "latex":
        from reports.renderers.latex import latex

        return latex(table)
    from reports.renderers.tidy import csv_text, json_text

    return {"csv": csv_text, "json": json_text}[name](table)


def write_table(table: Table, name: str, folder: Path, file: str = "") -> Path:
    """Write a table in a format, as `<key>.<ending>` unless the file is named; the file.

    Raises:
        UsageError: for "xlsx", when XlsxWriter is not installed.
    """
    path = folder / (file or f"{slug(table.key)}.{ENDINGS[name]}")
    if name == "xlsx":
        from reports.renderers.xlsx import xlsx

        return xlsx([table], path)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(table, name), encoding="utf-8", errors="replace", newline="")
    return path


__all__ = ["ENDINGS", "FORMATS", "text_of", "write_table"]
