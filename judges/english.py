"""Two metrics (ASR-WER, UTMOS) are defined for English only: is this English?

By what is certain, because a false refusal is as bad as a false score. Another script is certain where it
carries a third of the text: an English sentence about 北京 stays English. Latin script is taken for English
unless the small words of another language fill it and English ones are missing. A language that an ASR engine
guessed from short audio is not believed against the words it heard.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from evalkit.records import Transcript
from judges.wer.suites import drop_special_tokens

if TYPE_CHECKING:
    import regex

FOREIGN_SHARE = 1 / 3
"""Share of words in another script from which a text is not English; each CJK character counts as a word."""
FUNCTION_SHARE, FEWEST, LONG_ENOUGH = 0.3, 3, 6
"""Another language in Latin script: this share of its words are small words of that language, at least so many of
them, in a text of at least so many words."""

_SMALL_WORDS = {
    "English": "the of and to is that it by at if for was are with this you be from or not have but they his her we "
    "he she my your there were which their been has had will would can could what who how when where its our these",
    "French": "le la les de des du et est un une que qui dans pour sur il elle nous vous je ne pas avec sont au aux ce",
    "German": "der die das und ist von ein eine nicht mit den dem zu auf sich es ich sie wir im für hat sind auch wie",
    "Spanish": "el la los las de del y es en un una que por con se su para no al lo como más pero son está yo",
    "Italian": "il lo la gli le di del della e è in un una che per con si non sono al da come più ma anche io",
    "Portuguese": "o a os as de do da dos das e é em um uma que por com se não no na para como mais mas são eu",
    "Dutch": "de het een en van is in op te dat die voor met niet zijn aan er ook als maar naar bij ik je wij",
    "Polish": "i w na z do się nie jest to że o jak po za od przez dla są czy ale co tak jako",
    "Turkish": "ve bir bu da de için ile çok olarak olan daha ne var en gibi kadar sonra ama o şu",
    "Indonesian": "yang dan di dari ini itu dengan untuk tidak adalah pada ke dalam akan saya ada juga oleh",
    "Vietnamese": "là của và có trong một được không cho các người với này đã những khi từ để tôi",
}
_BOTH = "as no do in an to on at so me per for is am had men"
"""Small words elsewhere that English has, too, as it has single letters."""
_ENGLISH = frozenset(_SMALL_WORDS.pop("English").split())
_SMALL = {
    name: frozenset(w for w in words.split() if len(w) > 1 or not w.isascii()) - {*_BOTH.split()}
    for name, words in _SMALL_WORDS.items()
}


def text_not_english(text: str) -> str | None:
    """A clause when `text` is in another language for certain, else None; no letters at all say nothing."""
    latin, other = _words(drop_special_tokens(text))
    if other >= FOREIGN_SHARE * (len(latin) + other) and other:
        return "the text is not English"
    if (language := _in_latin_script(latin)) is not None:
        return f"the text is not English (it reads like {language})"
    return None


def speech_not_english(transcript: Transcript | None, written: str = "") -> str | None:
    """A clause when another language was spoken; None for English, unknown or no transcript.

    Args:
        written: the text that was to be spoken: where half of the words heard are in it, its language is theirs.
    """
    if transcript is None:
        return None
    heard = drop_special_tokens(transcript.text)
    language = (transcript.language or "en").lower().replace("_", "-").split("-")[0]
    if language in ("en", "english"):
        return "the speech was heard as another language" if text_not_english(heard) else None
    if text_not_english(heard) is None and _reads_english(heard, written):
        return None
    return f"the speech was heard as {(transcript.language or '')[:20]!r}"


def not_english(text: str, transcript: Transcript | None) -> str | None:
    """A clause when the text, or else the speech, is not English; None when nothing speaks against it."""
    return text_not_english(text) or speech_not_english(transcript, text)


def _reads_english(heard: str, written: str) -> bool:
    """Do the words heard speak for English, whatever language they were taken for?"""
    latin, other = _words(heard)
    if not latin and not other:
        return not heard.strip() or any(c.isdigit() for c in heard)
    known = set(_words(written)[0])
    same = sum(w in known for w in latin)
    return 2 * same >= len(latin) + other or sum(w in _ENGLISH for w in latin) >= max(2, len(latin) / 4)


def _in_latin_script(words: list[str]) -> str | None:
    """The language whose small words fill a text of Latin words without English ones; None when none does."""
    if len(words) < LONG_ENOUGH:
        return None
    english = sum(w in _ENGLISH for w in words)
    for language, small in _SMALL.items():
        hits = [w for w in words if w in small]
        if len(hits) < max(FEWEST, FUNCTION_SHARE * len(words)) or len(set(hits)) < 2:
            continue
        if len(hits) > 3 * english:
            return language
    return None


def _words(text: str) -> tuple[list[str], int]:
    """Words in Latin script, lower-cased, and how many words or CJK characters there are in others.

    A single letter of another alphabet is a symbol (π, Δ), not a word.
    """
    latin = [w.lower() for w in _pattern("latin").findall(text)]
    dense = len(_pattern("dense").findall(text))
    others = sum(len(w) > 1 for w in _pattern("other").findall(text))
    return latin, dense + others


_DENSE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_PATTERNS = {
    "latin": r"\p{Latin}[\p{Latin}\p{M}'’]*",
    "dense": rf"[{_DENSE}]",
    "other": rf"[\p{{L}}--[\p{{Latin}}{_DENSE}]][\p{{L}}\p{{M}}--[\p{{Latin}}{_DENSE}]]*",
}


@cache
def _pattern(name: str) -> regex.Pattern[str]:
    import regex

    return regex.compile(_PATTERNS[name], regex.V1)
