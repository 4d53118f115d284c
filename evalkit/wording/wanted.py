"""What is looked for: public texts by their digest, and what a text in somebody's file has to go through to be one."""

from __future__ import annotations

import hashlib
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

_PLACE = re.compile(r"\{\{[^{}\n]{1,80}\}\}|\{[^{}\n]{0,80}\}")
_QUOTED_WORD = re.compile(r'"[A-Za-z]{1,20}"')
_SHORT, _LONG = 20, 40_000
"""Characters of a text whose placeholders are tried under other names."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A public text.

    Attributes:
        sha256: of its UTF-8 bytes, unfilled.
        what: toolkit, file and variable.
        source: where the toolkit is to be had, with the commit that was read.
        names: its placeholders as they stand in it, e.g. "{question}".
        size: about how many characters it has; 0: not known.
    """

    sha256: str
    what: str
    source: str = ""
    names: tuple[str, ...] = ()
    size: int = 0


class Digests:
    """Compares texts with everything that is wanted."""

    def __init__(self, wanted: Iterable[Wanted]) -> None:
        self.wanted: Mapping[str, Wanted] = {w.sha256: w for w in wanted}
        self._named: dict[tuple[str, ...], list[int]] = {}
        for one in self.wanted.values():
            if len(one.names) > 1:
                self._named.setdefault(one.names, []).append(one.size)

    def match(self, text: str) -> Iterator[tuple[str, str, str]]:
        """(sha256, the text that has it, how it differs from the one given) of everything wanted."""
        yield from self._plain(text, "")
        if not (_SHORT <= len(text) <= _LONG and "{" in text):
            return
        found = tuple(dict.fromkeys(_PLACE.findall(text)))
        for names, sizes in self._named.items():
            if len(names) == len(found) <= 4 and any(_near(len(text), size) for size in sizes):
                for order in itertools.permutations(names):
                    renamed = dict(zip(found, order, strict=True))
                    other = _PLACE.sub(lambda m, new=renamed: new[m.group()], text)  # type: ignore[misc]
                    how = "" if other == text else "placeholders renamed"
                    for variant, shape in retyped(other):
                        yield from self._plain(shape, ", ".join(filter(None, (how, variant))))

    def _plain(self, text: str, how: str) -> Iterator[tuple[str, str, str]]:
        for variant, shape in shapes(text):
            digest = hashlib.sha256(shape.encode("utf-8", "surrogatepass")).hexdigest()
            if digest in self.wanted:
                yield digest, shape, ", ".join(filter(None, (how, variant)))


def _near(length: int, size: int) -> bool:
    """May a text of this length, retyped, have that size?"""
    return not size or abs(length - size) <= 40 + size // 8


def shapes(text: str) -> Iterator[tuple[str, str]]:
    """(how it differs, text) of a text and of what editors, checkouts and callers make of it; each once."""
    seen = set()
    unix = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for how, shape in (
        ("", text),
        ("line ends and byte order mark as in the original", unix),
        ("without the final line break", unix.removesuffix("\n")),
        ("without line breaks around it", unix.strip("\n")),
        ("stripped", unix.strip()),
        ("with a final line break", unix + "\n"),
        ("with line breaks around it", f"\n{unix.strip()}\n"),
        ("dedented", textwrap.dedent(unix) if "\n " in unix or "\n\t" in unix else unix),
    ):
        if shape not in seen and len(shape) > 8:
            seen.add(shape)
            yield how, shape


def retyped(text: str) -> Iterator[tuple[str, str]]:
    """(how it differs, text) of a prompt as people retype it: quotation marks, blanks at line ends, case of quoted
    words, lines run together. Whether one is the original, only its digest says."""
    seen = set()
    for chosen in itertools.product((False, True), repeat=len(_RETYPING)):
        shape, how = text, []
        for (name, change), made in zip(_RETYPING, chosen, strict=True):
            if made:
                shape = change(shape)
                how.append(name)
        if shape not in seen:
            seen.add(shape)
            yield ", ".join(how), shape


def _curly(text: str) -> str:
    return text.replace("'", "\u2019")


def _no_blanks(text: str) -> str:
    *lines, last = text.split("\n")
    return "\n".join([*(line.rstrip(" \t") for line in lines), last])


def _lower_quoted(text: str) -> str:
    return _QUOTED_WORD.sub(lambda m: m.group().lower(), text)


def _one_line(text: str) -> str:
    return text.replace("\n", " ")


_RETYPING: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("curly apostrophes", _curly),
    ("no blanks at line ends", _no_blanks),
    ("quoted words in lower case", _lower_quoted),
    ("lines run together", _one_line),
)
