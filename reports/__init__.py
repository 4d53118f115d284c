"""Reports: read run directories, write tables, pages and CSV. Nothing here runs a model or a judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalkit.errors import UsageError

FORMATS = ("html", "csv", "md", "latex", "xlsx")


def write_report(
    runs: Sequence[Path | str],
    out: Path | str,
    formats: Sequence[str] = ("html", "csv"),
    *,
    published: Sequence[str] | None = None,
    title: str | None = None,
    max_samples_per_task: int | None = None,
    max_audio_mb: float | None = None,
    max_audio_samples: int | None = None,
    reference: str = "Fun-Audio-Chat-8B",
    sample_csv: bool = True,
    bundle: bool = False,
) -> list[Path]:
    """Write a report on one or more runs.

    Args:
        runs: run directories; each is a column, in this order.
        out: a folder (report.html, report.md, report.tex, report.xlsx and csv/ go into it), or the name of the
            .html file.
        formats: any of "html", "csv", "md", "latex", "xlsx".
        published: numbers of the report's tables to print beside ours ("1", "2"); None takes those the tasks
            fill, and Table 2 rather than 1.
        title: heading of the page.
        max_samples_per_task: samples shown per task in the page, the worst first; None shows all, as CSV does.
        max_audio_mb: MB of audio over all tasks; 0 leaves audio out; None takes 24 in one file, 500 in a bundle.
        max_audio_samples: samples per task that carry audio; None takes 24 in one file, all in a bundle.
        reference: the printed model the verdict compares with.
        sample_csv: with "csv", also a file of samples per task, beside the results.
        bundle: the page is `index.html` in the folder `out`, with the audio as files in `audio/` beside it; the
            folder can be moved, packed and hosted as it is.

    Returns:
        The files written, the page first.

    Raises:
        UsageError: no run given, a folder that is no run, an unknown format, or a bundle into a run directory.
    """
    if unknown := [f for f in formats if f not in FORMATS]:
        raise UsageError(f"no report format {unknown[0]!r}; there are: {', '.join(FORMATS)}. Check --format.")
    from reports.runs import load_runs
    from reports.tables import build_tables

    views = load_runs([Path(r) for r in runs])
    tables = build_tables(views, published)
    target = Path(out)
    page = (
        target if target.suffix in (".html", ".htm") else target / ("index.html" if bundle else "report.html")
    )
    written: list[Path] = []
    if "html" in formats:
        from reports.html import PageOptions, write_page

        options = PageOptions(title, max_samples_per_task, max_audio_mb, max_audio_samples, reference, bundle)
        written.append(write_page(views, tables, page, options))
    if "md" in formats:
        from reports.plaintext import markdown

        path = page.with_suffix(".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(markdown(t) for t in tables), encoding="utf-8", errors="replace")
        written.append(path)
    if "latex" in formats:
        from reports.renderers.latex import several

        path = page.with_suffix(".tex")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(several(tables, "Benchmark tables"), encoding="utf-8", errors="replace")
        written.append(path)
    if "xlsx" in formats:
        from reports.renderers.xlsx import xlsx

        written.append(xlsx(tables, page.with_suffix(".xlsx")))
    if "csv" in formats:
        from reports.csvout import write_csv

        written += write_csv(views, tables, page.parent / "csv", samples=sample_csv)
    return written


def warm_up() -> None:
    """Import and compile what `write_report` needs, so that a report after a long wait is there at once."""
    from reports import csvout, html, runs, tables, terminal  # noqa: F401

    html.environment().get_template("report.html.j2")


__all__ = ["FORMATS", "warm_up", "write_report"]
