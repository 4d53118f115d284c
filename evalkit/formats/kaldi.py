"""Kaldi's `id text` a line: hypotheses of speech recognition, with a file of references or the data set's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.files import numbered_lines
from evalkit.formats import Converted, Format, Head, Reading
from evalkit.formats._records import bad, text_of

REMEDY = "Each line is an utterance's id, a blank, and its words."
REFERENCES = ("text", "sentence", "answer", "gt", "reference")
"""Names under which the copies of the ASR sets keep the reference."""


def sniff(head: Head) -> bool:
    """Plain text whose lines begin with words that look like ids: they hold a digit, "-" or "_"."""
    data = head.data[:65536]
    if (
        data.lstrip()[:1] in (b"{", b"[", b"")
        or b"\x00" in data
        or head.path.suffix.lower() in (".csv", ".tsv")
    ):
        return False
    lines = [n for n in data.decode("utf-8", "replace").split("\n")[:20] if n.strip()]
    return all(_like_an_id(n.split(maxsplit=1)[0]) for n in lines)


def _like_an_id(word: str) -> bool:
    return any(c.isdigit() or c in "-_" for c in word)


def pairs(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, id, words) of every line; the words may be none. Raises UsageError for a line without an id."""
    for number, line in numbered_lines(path):
        key, _, words = text_of(line, path, number, REMEDY).strip().replace("\t", " ").partition(" ")
        if "\x00" in key:
            raise bad(path, number, "the id holds a NUL character", REMEDY)
        if "\r" in words:
            raise bad(path, number, "a carriage return inside the line; end lines with a line feed", REMEDY)
        yield number, key, words.strip()


def references(path: Path) -> dict[str, tuple[int, str]]:
    """id -> (line, words) of a file of references. Raises UsageError: no such file, an id twice, none at all."""
    found: dict[str, tuple[int, str]] = {}
    try:
        for line, key, words in pairs(path):
            if key in found:
                raise bad(path, line, f"the id {key!r} stands on line {found[key][0]} already", REMEDY)
            found[key] = line, words
    except OSError as exc:
        raise UsageError(f"the references {path} can't be read: {exc.strerror or exc}") from exc
    if not found:
        raise UsageError(f"{path} holds no references")
    return found


def read(path: Path, reading: Reading) -> Iterator[Converted]:
    """Hypotheses; with references also utterances that have none, as those without an answer.

    A line with an id and no words is an empty hypothesis. Raises UsageError for one without a reference.
    """
    known = references(reading.ref) if reading.ref else {}
    seen: set[str] = set()
    for line, key, words in pairs(path):
        row = None
        if reading.ref is not None:
            if key not in known:
                raise bad(path, line, f"{reading.ref} has no utterance {key!r}", "Check --ref and the ids.")
            row = _row(key, known[key][1])
        seen.add(key)
        yield Converted(line, id=key, text=words, row=row)
    for key, (_, words) in known.items():
        if key not in seen:
            yield Converted(0, id=key, row=_row(key, words), error=f"{path.name} has no line for it")


def _row(key: str, words: str) -> dict[str, str]:
    return {"id": key, **dict.fromkeys(REFERENCES, words)}


FORMAT = Format(
    name="kaldi",
    about="hypotheses of speech recognition; --ref FILE gives the references, else the data set does",
    files="hyp, text, *.txt",
    known_by="plain lines that begin with an id; needs --task",
    tasks=("asr/*",),
    sniff=sniff,
    read=read,
)
