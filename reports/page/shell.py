"""The frame of a page: head, policy, style, navigation, data blocks, script. Nothing in it asks for anything.

All text goes through autoescaping or, as JSON, through `safe.script_json`; the page's own policy (CSP) allows
exactly the one script and the one style sheet in it, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from reports.cells import number, pair
from reports.overview import place
from reports.page.blocks import Data
from reports.safe import slug
from reports.templating import static, templates

if TYPE_CHECKING:
    from jinja2 import Environment

STYLES = ("base.css", "tables.css", "samples.css", "small.css")
SCRIPTS = (
    *("core.js", "theme.js", "tables.js", "grid.js", "sound.js", "calls.js", "card.js", "versus.js"),
    *("virtual.js", "samples.js", "keys.js"),
)
FOLD, FOLDED = 20, 12
"""Rows of a group table beyond which it is folded, and how many of them it then shows."""
MARK = "<!--data-->"
"""Where in the frame the data blocks go; templates can't write it, as all they are given is escaped."""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") + "'"


def policy(script: str, style: str, *, folder: bool = False) -> str:
    """The content security policy: this script, this style sheet, sound of the page's own, nothing else.

    Args:
        folder: the sound lies in files beside the page, rather than in the page. "'self'" is then the page's own
            site; for a page opened from disk it is the scheme file:, which alone has to be said for some browsers.
    """
    sound = "'self' file:" if folder else "data:"
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        f"media-src {sound}; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def environment() -> Environment:
    """The templates, compiled once."""
    env = templates()
    env.filters |= {"number": number, "pair": pair, "thousands": lambda n: f"{n:,}", "slug": slug}
    env.filters["printed_marks"] = lambda t: {
        m for r in t.rows() for c in r.cells if c.n is None for m in c.marks
    }
    env.globals |= {"place": place, "FOLD": FOLD, "FOLDED": FOLDED}
    return env


def pieces(
    title: str,
    template: str,
    data: Iterable[Data] = (),
    sounds: Mapping[str, str] | None = None,
    *,
    folder: bool = False,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    **context: Any,
) -> Iterator[str]:
    """A page in pieces, to be written one after the other. See `page`."""
    from markupsafe import Markup

    style = "\n" + "\n".join(static(s) for s in (*STYLES, *styles))
    script = "\n".join(static(s) for s in (*SCRIPTS, *scripts))
    script = "\n(() => {\n'use strict';\n" + script + "\nstart();\n})();\n"
    frame = (
        environment()
        .get_template(template)
        .render(
            title=title,
            policy=policy(script, style, folder=folder),
            style=Markup(style),
            script=Markup(script),
            mark=Markup(MARK),
            **context,
        )
    )
    head, _, tail = frame.rpartition(MARK)
    yield head
    for held in data:
        yield from held.pieces()
    for digest, uri in (sounds or {}).items():
        yield f'<script type="text/plain" id="a-{slug(digest)}">{uri}</script>\n'
    yield tail


def page(
    title: str,
    template: str,
    data: Iterable[Data] = (),
    sounds: Mapping[str, str] | None = None,
    *,
    folder: bool = False,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    **context: Any,
) -> str:
    """A page as text: the frame all pages of evalkit share, round a body of your own.

    Your template in reports/templates extends `page.html.j2` and fills its blocks: `nav` (links with `data-nav`,
    the route of the view they lead to), `main` (one `<section class="view" data-route="..." data-title="...">` per
    view with an `<h1 tabindex="-1">`; the first one has `class="view on"` and the route ""), and `foot`. No `style=`
    and no `on...=` attributes: the policy forbids them. Colours are the variables at the top of static/base.css.

    A list of samples with search, filters, cards and players stands wherever you put
    `<div class="samples" data-block="ID" data-route="ROUTE" data-whole="1"></div>` (ROUTE: that of the view it is
    in) and give the block ID of `reports.pagedata.task_json`. One card alone is `sampleBody(sample, block, link)`
    in the script.

    Args:
        title: window title.
        template: name of your template.
        data: data blocks (`reports.page.block`, or `plain_block` for what the script reads at once).
        sounds: digest to data URI (`SoundBox.clips`); leave it out when `folder` is true.
        folder: sound lies in files beside the page.
        styles, scripts: more files of reports/static, after the shared ones. A script that is to run names a
            function and pushes it: `starters.push(function)`.
        context: what your template reads.

    Returns:
        The page; `"\\ufffd"` and not a lone surrogate, so it can be written as UTF-8.
    """
    found = pieces(title, template, data, sounds, folder=folder, styles=styles, scripts=scripts, **context)
    return "".join(found)
