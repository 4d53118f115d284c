"""A comparison written: the page, Markdown, JSON, CSV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import UsageError
from reports.comparison.model import Comparison

NAME = "compare"


def text_of(c: Comparison, form: str, *, samples: int | None = None) -> str:
    """The comparison as one text: "json", "md" or "csv" (its lines).

    Raises:
        UsageError: the format is no text.
    """
    if form == "json":
        from reports.comparison.jsonout import json_text

        return json_text(c)
    if form == "md":
        from reports.comparison.markdown import markdown

        return markdown(c, samples=samples)
    if form == "csv":
        from reports.comparison.csvout import write_lines

        file = io.StringIO()
        write_lines(c, file)
        return file.getvalue()
    raise UsageError(f"a comparison can't be printed as {form!r}; these can: md, csv, json.")


def write_comparison(
    c: Comparison,
    out: Path,
    formats: Sequence[str] = ("html", "csv", "md", "json"),
    *,
    name: str = NAME,
    samples: int | None = None,
    max_audio_mb: float = 24.0,
) -> list[Path]:
    """Write a comparison into a folder.

    Args:
        out: the folder; made where there is none.
        formats: any of "html", "csv", "md", "json".
        name: of the files ("compare" gives compare.html, compare.csv, compare_pairs.csv, compare.md, compare.json).
        samples: lost and won samples that Markdown lists per line.
        max_audio_mb: MB of audio in the page.

    Returns:
        The files written, the page first.

    Raises:
        UsageError: `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; --out names a folder to write into.")
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    if "html" in formats:
        from reports.comparison.page import write_page

        written.append(write_page(c, out / f"{name}.html", max_audio_mb=max_audio_mb))
    for form in ("md", "json"):
        if form in formats:
            path = out / f"{name}.{form}"
            path.write_text(
                text_of(c, form, samples=samples), encoding="utf-8", errors="replace", newline="\n"
            )
            written.append(path)
    if "csv" in formats:
        from reports.comparison.csvout import write_lines, write_pairs

        for path, write in ((out / f"{name}.csv", write_lines), (out / f"{name}_pairs.csv", write_pairs)):
            with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
                write(c, file)
            written.append(path)
    return written
