"""Judge rubrics: Jinja2 files with a YAML head, found beside this module, named by the hash of their text.

A rubric file is

    ---
    name, role, placeholders, contract, stands_for, tree     (YAML)
    ---
    the text the judge is sent                         (Jinja2)

`stands_for` lists the public wordings the rubric takes the place of, by what they are and by the sha256
the protocol sheets give. The text is ours; the numbers it asks for are theirs. `tree`, where a rubric leads
through steps to a score, is the same steps as data; it is not sent.

Values are data: they are inserted as they are and never rendered as templates. Each text has `fence`, a
mark that occurs in none of the values, so that no answer can close the block it stands in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.records import digest_of

if TYPE_CHECKING:
    from jinja2 import Template

_HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_NAME = re.compile(r"[a-z0-9_]+")
_FENCE = "fence"


@dataclass(frozen=True, slots=True)
class StandsFor:
    """A public wording a rubric takes the place of; `sha256` is that of its unfilled text."""

    what: str
    sha256: str


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
        origin: whose wording: "own", or the name of an imported set.
    """

    name: str
    role: str
    placeholders: tuple[str, ...]
    contract: str
    stands_for: tuple[StandsFor, ...]
    body: str
    origin: str = "own"
    tree: Mapping[str, Any] = field(default_factory=dict, compare=False)

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
        if set(fields) != set(self.placeholders):
            wanted, given = sorted(self.placeholders), sorted(fields)
            raise ValueError(f"rubric {self.name} wants the fields {wanted}, got {given}")
        if wrong := sorted(k for k, v in fields.items() if not isinstance(v, str)):
            raise ValueError(f"rubric {self.name}: the fields {wrong} must be text")
        return _template(self.body).render(fields | {_FENCE: fence_for(fields)})


def fence_for(fields: Mapping[str, str]) -> str:
    """A mark that stands in none of the values: from their hash, so the same values give the same mark."""
    turn = 0
    while True:
        mark = f"data-{digest_of([turn, dict(fields)])[:12]}"
        if not any(mark in value for value in fields.values()):
            return mark
        turn += 1


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
    meta: Any = yaml.safe_load(head.group(1))
    try:
        return Rubric(
            name=str(meta["name"]),
            role=str(meta["role"]),
            placeholders=tuple(meta["placeholders"]),
            contract=str(meta["contract"]),
            stands_for=tuple(StandsFor(str(s["what"]), str(s["sha256"])) for s in meta["stands_for"]),
            body=text[head.end() :].strip("\n"),
            origin=origin,
            tree=dict(meta.get("tree") or {}),
        )
    except (KeyError, TypeError) as exc:
        raise ValueError(f"the head of a rubric lacks or garbles a field: {exc}") from exc


@lru_cache(maxsize=64)
def load_rubric(name: str) -> Rubric:
    """The rubric of that name from this package. Raises UsageError when there is none."""
    from importlib import resources

    file = resources.files("judges").joinpath("prompts", f"{name}.j2")
    if not _NAME.fullmatch(name) or not file.is_file():
        raise UsageError(f"no judge rubric {name!r}; there are: {', '.join(rubric_names())}")
    return parse_rubric(file.read_text(encoding="utf-8"))


def rubric_names() -> list[str]:
    """The names of all rubrics in this package, sorted."""
    from importlib import resources

    folder = resources.files("judges").joinpath("prompts")
    return sorted(f.name.removesuffix(".j2") for f in folder.iterdir() if f.name.endswith(".j2"))
