"""Judge rubrics: Jinja2 files with a YAML head, found beside this module, named by the hash of their text.

A rubric file is

    ---
    name, role, placeholders, contract, stands_for, tree     (YAML)
    ---
    the text the judge is sent                         (Jinja2)

`stands_for` lists the public wordings the rubric takes the place of, by what they are and by the sha256
the protocol sheets give, with how the public code fills them (`judges.official` does, once a user imported
them). The text is ours; the numbers it asks for are theirs. `tree`, where a rubric leads through steps to a
score, is the same steps as data; it is not sent. `system`, in a user's rubric, is the system message that goes
with it, in place of the judge's own.

Values are data: they are inserted as they are and never rendered as templates. Each text has `fence`, a
mark that occurs in none of the values, so that no answer can close the block it stands in.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.records import digest_of

if TYPE_CHECKING:
    from jinja2 import Template

_HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_NAME = re.compile(r"[a-z0-9_]+")
_FENCE = "fence"
_MARK = 16
"""Hex digits of a fence's mark."""
_NO_SIGN = re.compile(r"[\W_]+")
_LOOK_ALIKES = {
    ord(other): plain
    for plain, others in {
        **{"a": "\u0430\u03b1", "b": "\u0432\u03b2\u044c", "c": "\u0441", "d": "\u0501", "e": "\u0435\u03b5"},
        **{"0": "o\u043e\u03bf", "1": "il\u0131\u04cf", "3": "\u0437"},
    }.items()
    for other in others
}
"""Cyrillic and Greek letters that look like hex digits, and letters that look like numbers."""

FILLS = ("replace", "format", "jinja", "fstring")
"""Ways of public code to fill a text: one `str.replace` after the other, `str.format`, Jinja2, an f-string."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A check of a filled text: the values by the public names, and the sha256 of what comes out."""

    fields: Mapping[str, str]
    sha256: str


@dataclass(frozen=True, slots=True)
class StandsFor:
    """A public wording a rubric takes the place of.

    Attributes:
        what: toolkit, file and variable.
        sha256: of the unfilled text, UTF-8.
        source: where the toolkit is to be had, with the commit that was read.
        protocol: which public scorer's it is, where a rubric stands for several; else "".
        fill: how the public code fills it; one of FILLS.
        fields: the public placeholders in the order they are filled, and our field for each.
        fixed: public placeholders whose value is always the same.
        system: the system message the public code sends with it; "" for none.
        no_system_for: models that the public code sends none to.
        rendered: a check of the filled text, where the sheets give one.
        characters: about how long it is.
    """

    what: str
    sha256: str
    source: str = ""
    protocol: str = ""
    fill: str = "format"
    fields: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    system: str = ""
    no_system_for: tuple[str, ...] = ()
    rendered: Rendered | None = None
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Rubric:
    """A judge's instructions.

    Attributes:
        name: file name without suffix.
        role: chat role the filled text is sent as.
        placeholders: the fields `render` wants, no more and no fewer.
        contract: what the judge has to write, in words.
        stands_for: the public wordings it takes the place of.
        body: the template.
        tree: the steps to a score as data, where there are some.
        origin: whose wording: "own", "official" or "user".
        system: the system message that goes with this text; "" for none, None for the judge's own.
    """

    name: str
    role: str
    placeholders: tuple[str, ...]
    contract: str
    stands_for: tuple[StandsFor, ...]
    body: str
    origin: str = "own"
    tree: Mapping[str, Any] = field(default_factory=dict, compare=False)
    system: str | None = None

    def public(self, protocol: str = "") -> StandsFor | None:
        """The public text it stands for under a protocol; None when it stands for nothing public.

        Raises ValueError when it stands for several texts, none of them for this protocol.
        """
        fitting = [s for s in self.stands_for if s.protocol in ("", protocol)]
        if len(fitting) == 1 or not self.stands_for:
            return fitting[0] if fitting else None
        known = ", ".join(s.protocol for s in self.stands_for)
        raise ValueError(f"rubric {self.name} stands for a text of each of {known}, not of {protocol!r}")

    def system_for(self, model: str) -> str | None:
        """The system message that goes with this text to a model of that name; None for the judge's own."""
        return self.system

    @property
    def text_hash(self) -> str:
        """First 8 hex digits of the sha256 of the template text (UTF-8, without the head)."""
        return hashlib.sha256(self.body.encode()).hexdigest()[:8]

    @property
    def label(self) -> str:
        """For signatures: ``voicebench_open:own@1b7c9f0e``."""
        return f"{self.name}:{self.origin}@{self.text_hash}"

    def render(self, **fields: str) -> str:
        """The filled text. Raises ValueError when a field is missing, unknown or no string."""
        self.check(fields)
        return _template(self.body).render(fields | {_FENCE: fence_for(fields)})

    def check(self, fields: Mapping[str, str]) -> None:
        """Raises ValueError when a field is missing, unknown or no string."""
        if set(fields) != set(self.placeholders):
            wanted, given = sorted(self.placeholders), sorted(fields)
            raise ValueError(f"rubric {self.name} wants the fields {wanted}, got {given}")
        if wrong := sorted(k for k, v in fields.items() if not isinstance(v, str)):
            raise ValueError(f"rubric {self.name}: the fields {wrong} must be text")


def fence_for(fields: Mapping[str, str]) -> str:
    """A mark that stands in none of the values: from their hash, so the same values give the same mark.

    Nor does anything that could be taken for it stand there: in capitals, with blanks, dashes or invisible characters
    in between, in letters of other alphabets that look like these. To foresee what an answer's own mark will be takes
    2**63 tries, and what was found would not be used.
    """
    folded = [_folded(value) for value in fields.values()]
    turn = 0
    while True:
        digits = digest_of([turn, dict(fields)])[:_MARK]
        if not any(digits in value for value in folded):
            return f"data-{digits}"
        turn += 1


def _folded(text: str) -> str:
    """The letters and digits of a text, so that what looks alike is alike."""
    # Marks go first: a long run of them would be sorted in quadratic time.
    plain = unicodedata.normalize("NFKD", _NO_SIGN.sub("", text)).casefold().translate(_LOOK_ALIKES)
    return _NO_SIGN.sub("", plain)


@lru_cache(maxsize=64)
def _template(body: str) -> Template:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # What is sent is plain text for a model, not HTML: escaping would alter the answer it grades.
    env = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    return env.from_string(body)


def parse_rubric(text: str, origin: str = "own") -> Rubric:
    """A rubric from the text of its file. Raises ValueError when the head is missing or incomplete."""
    import yaml

    head = _HEAD.match(text)
    if head is None:
        raise ValueError("a rubric starts with a YAML head between two lines of three dashes")
    try:
        meta: Any = yaml.safe_load(head.group(1))
        return Rubric(
            name=_text(meta["name"]),
            role=_text(meta["role"]),
            placeholders=tuple(map(_text, meta["placeholders"])),
            contract=_text(meta["contract"]),
            stands_for=tuple(_stands_for(s) for s in meta["stands_for"]),
            body=text[head.end() :].strip("\n"),
            origin=origin,
            tree=dict(meta.get("tree") or {}),
            system=None if meta.get("system") is None else _text(meta["system"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, yaml.YAMLError) as exc:
        raise ValueError(f"the head of a rubric lacks or garbles a field: {exc}") from exc


def _text(value: Any) -> str:
    """A value of a head that is one word or number. Raises TypeError for a list or map, however large: made into text,
    a few lines of YAML with aliases would fill the memory."""
    if not isinstance(value, str | int | float):
        raise TypeError(f"a {type(value).__name__} where a text belongs")
    return str(value)


def _stands_for(entry: Mapping[str, Any]) -> StandsFor:
    """One entry of a head. Raises KeyError, TypeError, ValueError for one that is garbled."""
    check = entry.get("rendered")
    fill = _text(entry.get("fill", "format"))
    if fill not in FILLS:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}, not {fill!r}")
    return StandsFor(
        what=_text(entry["what"]),
        sha256=_text(entry["sha256"]),
        source=_text(entry.get("source", "")),
        protocol=_text(entry.get("protocol", "")),
        fill=fill,
        fields=_texts(entry.get("fields")),
        fixed=_texts(entry.get("fixed")),
        system=_text(entry.get("system") or ""),
        no_system_for=tuple(map(_text, entry.get("no_system_for") or ())),
        rendered=Rendered(_texts(check["fields"]), _text(check["sha256"])) if check else None,
        characters=int(entry.get("characters", 0)),
    )


def _texts(value: Mapping[str, Any] | None) -> dict[str, str]:
    return {_text(k): _text(v) for k, v in (value or {}).items()}


@lru_cache(maxsize=64)
def load_rubric(name: str) -> Rubric:
    """The rubric of that name from this package. Raises UsageError when there is none."""
    return parse_rubric(rubric_file(name))


def rubric_file(name: str) -> str:
    """The file of a rubric in this package, head and all. Raises UsageError when there is none."""
    from importlib import resources

    file = resources.files("judges").joinpath("prompts", f"{name}.j2")
    if not _NAME.fullmatch(name) or not file.is_file():
        raise UsageError(f"no judge rubric {name!r}; there are: {', '.join(rubric_names())}")
    return file.read_text(encoding="utf-8")


class NoSuchFile(UsageError):
    """Rubrics that a user's folder lacks, by name."""

    def __init__(self, folder: str | Path, names: Sequence[str]) -> None:
        self.names = tuple(names)
        listed, first = ", ".join(f"{n}.j2" for n in names), names[0]
        super().__init__(
            f"--prompts {folder}: there is no {listed} in it; start from ours: "
            f"run_eval.py prompts show {first} > {Path(folder) / first}.j2"
        )


def user_rubric(folder: str | Path, name: str) -> Rubric:
    """The user's wording of a rubric of this package: `<name>.j2` in a folder, of the same form, with the same fields.

    Raises:
        UsageError: the file is missing, can't be read, or does not do as the rubric it stands in for.
    """
    ours, path = load_rubric(name), Path(folder) / f"{name}.j2"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise NoSuchFile(folder, [name]) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the rubric {path} can't be read ({exc})") from exc
    try:
        rubric = parse_rubric(text.replace("\r\n", "\n"), origin="user")
        _check_like(rubric, ours)
    except ValueError as exc:
        raise UsageError(f"the rubric {path}: {exc}") from exc
    return rubric


def _check_like(rubric: Rubric, ours: Rubric) -> None:
    """Raises ValueError when a rubric can't take the place of ours."""
    from jinja2 import Environment, TemplateError, meta

    if rubric.name != ours.name:
        raise ValueError(f"its head names {rubric.name!r}, not {ours.name!r}")
    if rubric.role not in ("user", "system"):
        raise ValueError(f"its role is user or system, not {rubric.role!r}")
    if set(rubric.placeholders) != set(ours.placeholders):
        raise ValueError(f"its placeholders must be {', '.join(sorted(ours.placeholders))}")
    if rubric.system is not None and "response" not in ours.placeholders:
        raise ValueError("it can't have a system message: this rubric is sent without one")
    try:
        used = meta.find_undeclared_variables(Environment().parse(rubric.body))
        _template(rubric.body)
    except (TemplateError, RecursionError) as exc:
        raise ValueError(f"its text is no Jinja2 template: {exc}") from exc
    if unknown := sorted(used - set(ours.placeholders) - {_FENCE}):
        raise ValueError(
            f"its text has {unknown[0]!r}, which nothing fills; it may have {', '.join(ours.placeholders)}"
        )
    try:
        rubric.render(**dict.fromkeys(rubric.placeholders, "x"))
    except Exception as exc:  # whatever a template may do
        raise ValueError(f"its text can't be filled: {exc or type(exc).__name__}") from exc
    if unused := sorted(set(ours.placeholders) - used):
        raise ValueError(f"its text never shows {{{{ {unused[0]} }}}}")


def rubric_names() -> list[str]:
    """The names of all rubrics in this package, sorted."""
    from importlib import resources

    folder = resources.files("judges").joinpath("prompts")
    return sorted(f.name.removesuffix(".j2") for f in folder.iterdir() if f.name.endswith(".j2"))
