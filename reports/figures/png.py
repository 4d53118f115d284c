"""PNG from SVG, by resvg (extra `png`)."""

from __future__ import annotations

from functools import lru_cache

from evalkit.errors import UsageError
from reports.figures.svg import PAPER, el, text

ZOOM = 2.0
"""Pixels per unit of a picture: a figure of 1,200 units printed 17 cm wide has some 350 dpi."""


def to_png(svg: str, zoom: float = ZOOM) -> bytes:
    """The picture as PNG, on the background the SVG has. The fonts are the machine's own.

    Raises:
        UsageError: the package isn't installed; or there is no font, and all text would be missing.
    """
    try:
        import resvg_py  # noqa: F401
    except ImportError:
        raise UsageError(
            'PNG needs the package resvg-py: pip install "evalkit[png]", or take --format svg.'
        ) from None
    if not _fonts():
        raise UsageError(
            "PNG needs a font, and this machine has none: the picture would have no text. Install one "
            "(Debian: apt-get install fonts-dejavu-core), or take --format svg."
        )
    return _render(svg, zoom)


def _render(svg: str, zoom: float) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom))


@lru_cache(maxsize=1)
def _fonts() -> bool:
    """Does a letter leave anything on the paper? resvg leaves text out without a word where it finds no font."""
    head = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": "0 0 20 20", "font_family": PAPER.fonts}
    letter, nothing = (_render(el("svg", text(2, 16, t, size=16), **head), 1.0) for t in ("M", " "))
    return letter != nothing
