"""PNG from SVG, by resvg (extra `png`)."""

from __future__ import annotations

from evalkit.errors import UsageError

ZOOM = 2.0
"""Pixels per unit of a picture: sharp at 300 dpi up to about 18 cm width for a figure of 1,060 units."""


def to_png(svg: str, zoom: float = ZOOM) -> bytes:
    """The picture as PNG, on the background the SVG has.

    Raises:
        UsageError: the package isn't installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise UsageError(
            'PNG needs the package resvg-py: pip install "evalkit[png]", or take --format svg.'
        ) from None
    made: bytes = bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom))
    return made
