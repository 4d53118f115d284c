"""Templates as all pages use them: everything is escaped, odd characters are made visible, nothing may be undefined."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from reports.safe import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def static(name: str) -> str:
    """A script or style sheet of reports/static."""
    return resources.files("reports").joinpath("static", name).read_text(encoding="utf-8")


def templates() -> Environment:
    """A new environment over reports/templates; keep it, as it compiles a template once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: visible(v) if type(v) is str else v,
    )
