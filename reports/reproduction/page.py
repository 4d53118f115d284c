"""The ledger as a page of its own, and as a section for the page of a run. No script, no network request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit import __version__
from reports.reproduction.book import of_run
from reports.reproduction.shown import Sheet, sheets
from reports.templating import static, templates

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@cache
def _environment() -> Environment:
    return templates()


def page(found: Sequence[Sheet]) -> str:
    """The page as text, to be written as UTF-8."""
    from markupsafe import Markup

    style = "\n" + static("base.css") + "\n" + static("reproductions.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    text = (
        _environment()
        .get_template("reproductions.html.j2")
        .render(sheets=found, policy=policy, style=Markup(style), version=__version__)
    )
    return text.encode("utf-8", "replace").decode("utf-8")


def section(root: Path) -> Markup | None:
    """What the ledger holds of one run, as HTML for the run's own page (style: static/reproductions.css); None when
    there is none, or nothing in it."""
    from markupsafe import Markup

    found = sheets(of_run(root))
    if not found:
        return None
    parts = _environment().get_template("reproduction_parts.html.j2").module
    return Markup("<h2>Reproductions</h2>\n") + Markup("").join(Markup(parts.sheet(s, 3)) for s in found)  # type: ignore[attr-defined]
