"""Multiple choice put into words: the prompt templates of the audio understanding benchmarks.

Sources: MMAU sheet section 3 and MMSU sheet section 3. Letters follow the list order; options pass through
unchanged (blanks at their ends, numbers of their own), and None prints as "None", as a plain f-string does.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.records import Gap, Sample


def letter(place: int) -> str:
    """The letter of the option at `place`, from 0: A to Z, then AA, AB, ... Raises ValueError below 0."""
    if place < 0:
        raise ValueError("places count from 0")
    name = ""
    place += 1
    while place:
        place, last = divmod(place - 1, 26)
        name = chr(ord("A") + last) + name
    return name


def report_prompt(question: str, options: Sequence[str | None]) -> str:
    """The template of the Fun-Audio-Chat report: one blank before "Choose", none after the bracket."""
    listed = "".join(f"\n({letter(i)}){option}" for i, option in enumerate(options))
    return f"{question} Choose the correct option from the following options:{listed}"


def kimi_prompt(question: str, options: Sequence[str | None]) -> str:
    """Kimi-Audio-Evalkit's: the question, then all options on one line. Its judge reads the same words."""
    return question + "\n" + " ".join(f"({letter(i)}) {option}" for i, option in enumerate(options))


def lmms_prompt(question: str, options: Sequence[str | None]) -> str:
    """lmms-eval's: an option a line after "A. ", then a request for the letter alone."""
    listed = "".join(f"\n{letter(i)}. {option}" for i, option in enumerate(options))
    return f"{question}{listed}\nAnswer with the option's letter from the given choices directly."


def has_prefixes(options: Sequence[str | None]) -> bool:
    """True when every option begins with its own letter in brackets and a blank: "(A) a dog", "(B) a cat"."""
    return bool(options) and all(
        isinstance(option, str) and option.startswith(f"({letter(i)}) ") for i, option in enumerate(options)
    )


def without_prefix(text: str, count: int) -> str:
    """`text` without the bracketed letter of one of `count` options before it; unchanged if it has none."""
    head = text[: text.find(") ") + 2]
    known = head and any(head == f"({letter(i)}) " for i in range(count))
    return text[len(head) :] if known else text


def without_prefixes(options: Sequence[str]) -> list[str]:
    """Each option without its own letter, if all have one (`has_prefixes`); else as they are."""
    if not has_prefixes(options):
        return list(options)
    return [option[len(letter(i)) + 3 :] for i, option in enumerate(options)]


def no_words(sample: Sample, gap: Gap) -> str:
    """Our strict protocols take a missing answer for an empty one, which is wrong."""
    return ""
