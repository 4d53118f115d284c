"""Official wordings: public texts that the user imported, filled just as the public code fills them.

A value is data here, too: what it holds is never read as a placeholder, but where the public code itself does so
(VoiceBench replaces one placeholder after the other, and meets those in earlier values).
"""

from __future__ import annotations

import ast
import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.wording import store
from evalkit.wording.wanted import Wanted
from judges.prompts import FILLS, Rubric, StandsFor, load_rubric, rubric_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

IMPORT = "run_eval.py prompts import PATH"
"""The command that brings missing texts."""


class MissingWording(UsageError):
    """Official texts that were not imported, by their digests."""

    def __init__(self, missing: Iterable[StandsFor]) -> None:
        self.missing = tuple({m.sha256: m for m in missing}.values())
        listed = "; ".join(f"{m.what} ({m.source}, sha256 {m.sha256[:8]})" for m in self.missing)
        super().__init__(
            f"--prompts official: not imported yet: {listed}. Get the toolkit, then: {IMPORT} "
            "(a checkout, a file or an archive of it); --prompts own judges in this project's words."
        )


@dataclass(frozen=True, slots=True)
class OfficialRubric(Rubric):
    """A public text in the place of a rubric of ours; takes the same fields.

    Attributes:
        original: which text, and how it is filled.
    """

    original: StandsFor = field(default_factory=lambda: StandsFor("", ""))

    def render(self, **fields: str) -> str:
        """The filled text, byte for byte as the public code sends it. Fields it has no place for are left out.

        Raises:
            ValueError: a field is missing, unknown or no string.
        """
        self.check(fields)
        values = {name: fields[ours] for name, ours in self.original.fields.items()}
        return fill(self.body, self.original.fill, values | dict(self.original.fixed))

    def system_for(self, model: str) -> str | None:
        """The public code's system message for a model of that name; "" for none."""
        return "" if model in self.original.no_system_for else self.original.system


def fill(text: str, how: str, values: Mapping[str, str]) -> str:
    """A public text with its values, put in the way `how` says; a mapping's order is that of "replace".

    Raises:
        ValueError: the text is not of this kind, or has a placeholder without a value.
    """
    if how not in _FILL:
        raise ValueError(f"a text is filled by {', '.join(FILLS)}, not {how!r}")
    try:
        return _FILL[how](text, values)
    except (KeyError, IndexError, AttributeError) as exc:
        raise ValueError(f"the text has a placeholder that nothing fills: {exc}") from exc


def _replace(text: str, values: Mapping[str, str]) -> str:
    """One placeholder after the other; one inside an earlier value is replaced, too. VoiceBench sheet section 4."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def _format(text: str, values: Mapping[str, str]) -> str:
    """As `str.format` does it, for texts with plain names in braces alone."""
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None and (spec or conversion or not name.isidentifier()):
            raise ValueError(f"the text has {name!r} for a placeholder, which is no plain name")
    return text.format(**values)


def _jinja(text: str, values: Mapping[str, str]) -> str:
    """As Jinja2 with StrictUndefined does it. UltraEval-Audio sheet section 4.3."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    try:
        env = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        return env.from_string(text).render(dict(values))
    except TemplateError as exc:
        raise ValueError(f"the text is no template for these values: {exc}") from exc


def _fstring(text: str, values: Mapping[str, str]) -> str:
    """As Python does it with an f-string that has this source between its quotes, and names alone in its braces.

    Nothing is run: the parts are taken from the syntax tree. MMAU-Pro sheet section 4.2.
    """
    try:
        tree = ast.parse(f'f"""{text}"""' if '"""' not in text else f"f'''{text}'''", mode="eval").body
    except SyntaxError as exc:
        raise ValueError(f"the text is not the source of an f-string: {exc.msg}") from exc
    out = []
    for part in tree.values if isinstance(tree, ast.JoinedStr) else [tree]:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            out.append(part.value)
        elif _plain_name(part):
            out.append(values[part.value.id])  # type: ignore[attr-defined]
        else:
            raise ValueError("the text has something other than a plain name in its braces")
    return "".join(out)


def _plain_name(part: ast.expr) -> bool:
    return (
        isinstance(part, ast.FormattedValue)
        and isinstance(part.value, ast.Name)
        and part.conversion == -1
        and part.format_spec is None
    )


_FILL: Mapping[str, Callable[[str, Mapping[str, str]], str]] = {
    "replace": _replace,
    "format": _format,
    "jinja": _jinja,
    "fstring": _fstring,
}


def official_rubric(ours: Rubric, protocol: str) -> OfficialRubric | None:
    """The imported text that this rubric stands for under a protocol; None when it stands for nothing public.

    Raises:
        MissingWording: it was not imported.
        UsageError: it was altered since.
        ValueError: it stands for several and `protocol` is none of theirs.
    """
    public = ours.public(protocol)
    if public is None:
        return None
    text = store.read(public.sha256)
    if text is None:
        raise MissingWording([public])
    return OfficialRubric(
        name=ours.name,
        role="user",
        placeholders=ours.placeholders,
        contract=ours.contract,
        stands_for=(public,),
        body=text,
        origin="official",
        system=public.system,
        original=public,
    )


def rendered_wrongly(public: StandsFor, text: str) -> str | None:
    """What is wrong with how an imported text renders, going by the published digest; None when nothing is."""
    names = dict.fromkeys([*public.fields, *public.fixed], "x")
    try:
        fill(text, public.fill, names)
        if public.rendered is None:
            return None
        rendered = fill(text, public.fill, {**public.rendered.fields, **public.fixed})
    except ValueError as exc:
        return str(exc)
    found = hashlib.sha256(rendered.encode()).hexdigest()
    return None if found == public.rendered.sha256 else f"it renders with sha256 {found[:8]}"


def state_of(public: StandsFor) -> str:
    """ "ok", "missing", "altered", or what is wrong with how the imported text renders."""
    try:
        text = store.read(public.sha256)
    except UsageError:
        return "altered"
    if text is None:
        return "missing"
    return rendered_wrongly(public, text) or "ok"


def imported_by_source() -> dict[str, tuple[list[StandsFor], list[StandsFor], list[StandsFor]]]:
    """Of each toolkit the texts that are there, those that aren't, and, of these, those that are altered."""
    out: dict[str, tuple[list[StandsFor], list[StandsFor], list[StandsFor]]] = {}
    for public in public_texts().values():
        have, lack, bad = out.setdefault(public.source, ([], [], []))
        state = state_of(public)
        (have if state == "ok" else lack).append(public)
        bad += [public] if state not in ("ok", "missing") else []
    return out


def public_texts() -> dict[str, StandsFor]:
    """Every public text that a rubric stands for, by sha256; of one that several stand for, the first entry."""
    out: dict[str, StandsFor] = {}
    for name in rubric_names():
        for public in load_rubric(name).stands_for:
            out.setdefault(public.sha256, public)
    return out


def wanted_texts() -> list[Wanted]:
    """The same for a search."""
    return [
        Wanted(p.sha256, p.what, p.source, tuple(_spelled(p, n) for n in (*p.fields, *p.fixed)), p.characters)
        for p in public_texts().values()
    ]


def _spelled(public: StandsFor, name: str) -> str:
    return "{{" + name + "}}" if public.fill == "jinja" else "{" + name + "}"
