"""Text normalisers by name, run before tokens are compared.

    none                    the text as it is
    whisper-english         English normaliser of the PyPI package whisper-normalizer
    whisper-english-openai  the same without the four rewrites that package added (kinda, sorta, dunno, cause)
    whisper-basic           basic normaliser of the same package
    whisper-basic-letters   the same, blanks between all letters (its option split_letters)
    whisper-basic-bare      the same, letters without their marks (its option remove_diacritics)

Source: ASR sheet section 4.3. Neither Whisper normaliser strips: a blank may be left at either end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

Normalizer = Callable[[str], str]

_PYPI_ONLY = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")
_ANGLE_SPAN = re.compile(r"[<\[][^>\]]*[>\]]")
_WHOLE_WORD = re.compile(r"\\b[a-z]+\\b")
_LONG_GAP = re.compile(r"\s{3,}")


class NormalizationError(ValueError):
    """A text the normaliser can't digest (thousands of digits in a row), or an absent normaliser."""


def normalizer(name: str) -> Normalizer:
    """The normaliser called `name`, built once per process.

    Raises:
        NormalizationError: unknown name, or the package is not installed.
    """
    if name not in NORMALIZERS:
        raise NormalizationError(f"unknown normaliser {name!r}; there are {', '.join(NORMALIZERS)}")
    return NORMALIZERS[name]()


def normalizer_version() -> str:
    """ "whisper-normalizer 0.1.15", or without number when the package is absent; for signatures."""
    try:
        return f"whisper-normalizer {version('whisper-normalizer')}"
    except PackageNotFoundError:
        return "whisper-normalizer"


def _none() -> Normalizer:
    return str


@cache
def _english() -> Normalizer:
    return _guarded(_sparing({}))


@cache
def _english_openai() -> Normalizer:
    return _guarded(_sparing(dict.fromkeys(_PYPI_ONLY)))


def _sparing(without: Mapping[str, None]) -> Normalizer:
    """The English normaliser without these rewrites, which tries its rewrites only where one can apply.

    They are 60 searches a text, half of its time. All but the ones of whole words need an apostrophe; where a
    text has none, no bracket and none of those words, no rewrite applies, and one without any gives the same.
    """
    full, light = _load("english", "EnglishTextNormalizer"), _load("english", "EnglishTextNormalizer")
    rewrites = {p: r for p, r in full.replacers.items() if p not in without}
    plain = [p for p in rewrites if "'" not in p]
    full.replacers, light.replacers = rewrites, {}
    if not all(_WHOLE_WORD.fullmatch(p) for p in plain):  # a release that we don't know
        return full  # type: ignore[no-any-return]
    needed = re.compile("|".join([r"['<>\[\]()]", *plain]))
    return lambda text: str((full if needed.search(text) else light)(text))


@cache
def _basic() -> Normalizer:
    return _guarded(_load("basic", "BasicTextNormalizer"))


@cache
def _basic_letters() -> Normalizer:
    return _guarded(_load("basic", "BasicTextNormalizer", split_letters=True))


@cache
def _basic_bare() -> Normalizer:
    return _guarded(_load("basic", "BasicTextNormalizer", remove_diacritics=True))


NORMALIZERS: dict[str, Callable[[], Normalizer]] = {
    "none": _none,
    "whisper-english": _english,
    "whisper-english-openai": _english_openai,
    "whisper-basic": _basic,
    "whisper-basic-letters": _basic_letters,
    "whisper-basic-bare": _basic_bare,
}


def _load(module: str, name: str, **options: bool) -> Any:
    from importlib import import_module

    try:
        return getattr(import_module(f"whisper_normalizer.{module}"), name)(**options)
    except ImportError as exc:
        raise NormalizationError(
            "whisper-normalizer is not installed; pip install whisper-normalizer brings it"
        ) from exc


def _guarded(inner: Normalizer) -> Normalizer:
    def run(text: str) -> str:
        try:
            return inner(tame(text))
        except (AssertionError, ValueError, ArithmeticError, LookupError) as exc:
            raise NormalizationError(
                f"the normaliser failed on a text of {len(text)} characters: {exc}"
            ) from exc

    return run


def tame(text: str) -> str:
    """The same text to a Whisper normaliser, in a form its patterns get through in linear time.

    Three of its patterns are quadratic on brackets that never close and on long blanks. Bracketed spans are
    deleted here first (as the normaliser does), openers without a closer become "|" (another character that
    it turns into a blank), and blanks of three or more become two (its patterns tell only one from many).
    """
    text = _LONG_GAP.sub("  ", text.lower())
    text = _ANGLE_SPAN.sub("", _bar_openers(text, "<[", ">]"))
    return _bar_openers(text, "(", ")")


def _bar_openers(text: str, openers: str, closers: str) -> str:
    end = max(text.rfind(c) for c in closers) + 1
    return text[:end] + text[end:].translate({ord(c): "|" for c in openers})
