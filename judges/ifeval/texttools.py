"""Sentences, words and language of a text, with NLTK and langdetect loaded once and on demand.

Both packages are in the extra ``voicebench``. Everything here gives the same answer for the same text in
every thread: langdetect, unseeded in the public scorer, is seeded anew for each detection (VoiceBench
sheet, section 8).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from judges.ifeval.errors import Unscorable
from judges.ifeval.punkt import find_punkt

LANGDETECT_SEED = 0

_EXTRA = 'pip install "evalkit[voicebench]"'

_lock = threading.Lock()
_loaded: dict[str, Any] = {}


def sentences(text: str) -> list[str]:
    """The sentences of an English text by NLTK's Punkt model.

    Raises `Unscorable` when NLTK or the model is missing, or when NLTK gives up on the text.
    """
    return _within_limits(sentence_tokenizer().tokenize, text)


def words(text: str) -> list[str]:
    """Tokens as `nltk.word_tokenize` gives them: Punkt sentences, then Treebank-style words.

    Raises `Unscorable` like `sentences`.
    """
    tokenizer = word_tokenizer()
    return [word for sentence in sentences(text) for word in _within_limits(tokenizer.tokenize, sentence)]


def language(text: str) -> str | None:
    """The language code langdetect finds ("en", "zh-cn", "unknown"), or None when it finds no features.

    Raises `Unscorable` when langdetect is missing.
    """
    factory = language_profiles()
    from langdetect.lang_detect_exception import LangDetectException

    try:
        detector = factory.create()
        detector.append(text)
        return str(detector.detect())
    except LangDetectException:
        return None


def sentence_tokenizer() -> Any:
    """NLTK's Punkt tokenizer with the English model, loaded once. Raises `Unscorable`."""
    return _once("sentences", _load_sentence_tokenizer)


def word_tokenizer() -> Any:
    """NLTK's improved Treebank tokenizer, loaded once. Raises `Unscorable`."""
    return _once("words", _load_word_tokenizer)


def language_profiles() -> Any:
    """langdetect's factory with its 55 language profiles, loaded once. Raises `Unscorable`."""
    return _once("languages", _load_language_profiles)


def _once(key: str, load: Callable[[], Any]) -> Any:
    with _lock:
        if key not in _loaded:
            _loaded[key] = load()
        return _loaded[key]


def _within_limits(tokenize: Callable[[str], Any], text: str) -> list[str]:
    """Newer NLTK bounds the time of its own patterns; a text that hits the bound is unscorable."""
    try:
        return cast(list[str], list(tokenize(text)))
    except TimeoutError as exc:
        raise Unscorable("nltk-timeout", "NLTK gave up splitting this response; look at its text") from exc


def _load_sentence_tokenizer() -> Any:
    try:
        from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    except ImportError as exc:
        raise Unscorable("missing-tool", f"sentences are counted with NLTK; {_EXTRA}") from exc
    folder = find_punkt()
    parameters = PunktParameters()
    parameters.abbrev_types = set(_lines(folder / "abbrev_types.txt"))
    parameters.sent_starters = set(_lines(folder / "sent_starters.txt"))
    parameters.collocations = {(first, second) for first, second in _rows(folder / "collocations.tab")}
    for word, context in _rows(folder / "ortho_context.tab"):
        parameters.ortho_context[word] = int(context)
    return PunktSentenceTokenizer(parameters)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in _lines(path)]


def _load_word_tokenizer() -> Any:
    try:
        from nltk.tokenize import NLTKWordTokenizer
    except ImportError as exc:
        raise Unscorable("missing-tool", f"words are found with NLTK; {_EXTRA}") from exc
    return NLTKWordTokenizer()


def _load_language_profiles() -> Any:
    try:
        from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
    except ImportError as exc:
        raise Unscorable("missing-tool", f"languages are told apart with langdetect; {_EXTRA}") from exc
    factory = DetectorFactory()
    # Sorted, since langdetect's own loader takes the order of the file system.
    profiles = sorted(p for p in Path(PROFILES_DIRECTORY).iterdir() if p.is_file() and p.name[:1] != ".")
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles])
    factory.seed = LANGDETECT_SEED
    return factory
