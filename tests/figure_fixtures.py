"""Reading pictures back: elements, places, texts; and that nothing is in them that has no business there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
TAGS = {
    *("svg", "title", "desc", "defs", "pattern", "g", "rect", "line", "path", "circle", "polygon", "text"),
}
ATTRIBUTES = {
    *(
        "id",
        "class",
        "role",
        "aria-labelledby",
        "viewBox",
        "width",
        "height",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
    ),
    *("cx", "cy", "r", "d", "points", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity"),
    *("stroke-dasharray", "stroke-linejoin", "font-size", "font-weight", "font-family", "text-anchor"),
    *("transform", "data-part", "patternUnits"),
}


def parse(svg: str) -> ET.Element:
    """The picture, once it is known to hold nothing that a strict page, or a reader of images, must fear."""
    root = ET.fromstring(svg)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for e in root.iter():
        assert e.tag.removeprefix(SVG) in TAGS, e.tag
        assert set(e.attrib) <= ATTRIBUTES, e.attrib
        assert e is root or "class" not in e.attrib
        for value in e.attrib.values():
            for target in re.findall(r"url\(([^)]*)\)", value):
                assert target.removeprefix("#") in ids
    assert root.get("role") == "img"
    named = [e for e in root if e.get("id") in (root.get("aria-labelledby") or "").split()]
    assert [e.tag for e in named] == [SVG + "title", SVG + "desc"] and all(e.text for e in named)
    return root


def parts(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if e.get("data-part") == name]


def titled(root: ET.Element, start: str) -> ET.Element:
    """The group whose title starts with these words."""
    found = [
        e for e in root.iter(SVG + "g") for t in e.findall(SVG + "title") if (t.text or "").startswith(start)
    ]
    assert len(found) == 1, start
    return found[0]


def at(e: ET.Element, *names: str) -> list[float]:
    return [float(e.attrib[n]) for n in names]


def corners(e: ET.Element) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in (p.split(",") for p in e.attrib["points"].split())]


def texts(root: ET.Element) -> list[str]:
    return ["".join(e.itertext()) for e in root.iter(SVG + "text")]


def middle(mark: ET.Element) -> tuple[float, float]:
    """The point a marker stands at: its shapes are drawn around the spot that `data` of the shape name."""
    if mark.tag == SVG + "circle":
        return float(mark.attrib["cx"]), float(mark.attrib["cy"])
    found = corners(mark)
    top, bottom = min(y for _, y in found), max(y for _, y in found)
    x = (min(x for x, _ in found) + max(x for x, _ in found)) / 2
    r = 4.5
    if len(found) == 3:  # triangles stand on their centre of mass
        up = sum(y == bottom for _, y in found) == 2
        return x, top + 1.1 * r if up else bottom - 1.1 * r
    if len(found) == 5:
        return x, top + 1.15 * r
    return x, (top + bottom) / 2
