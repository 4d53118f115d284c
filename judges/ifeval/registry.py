"""The 25 instructions by id: the check, the tools it needs, the patterns it makes of data-set text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evalkit.records import JSON
from judges.ifeval import content, keywords, layout, length, patterns, texttools, wording

Check = Callable[[str, Mapping[str, JSON]], bool]
"""(response, complete arguments) -> followed? Pure; may raise `Unscorable` for a runaway pattern."""

CHECKS: Mapping[str, Check] = {
    "keywords:existence": keywords.existence,
    "keywords:frequency": keywords.frequency,
    "keywords:forbidden_words": keywords.forbidden_words,
    "keywords:letter_frequency": keywords.letter_frequency,
    "language:response_language": wording.response_language,
    "length_constraints:number_sentences": length.number_sentences,
    "length_constraints:number_paragraphs": length.number_paragraphs,
    "length_constraints:number_words": length.number_words,
    "length_constraints:nth_paragraph_first_word": length.nth_paragraph_first_word,
    "detectable_content:number_placeholders": content.number_placeholders,
    "detectable_content:postscript": content.postscript,
    "detectable_format:number_bullet_lists": layout.number_bullet_lists,
    "detectable_format:constrained_response": layout.constrained_response,
    "detectable_format:number_highlighted_sections": layout.number_highlighted_sections,
    "detectable_format:multiple_sections": layout.multiple_sections,
    "detectable_format:json_format": layout.json_format,
    "detectable_format:title": layout.title,
    "combination:two_responses": wording.two_responses,
    "combination:repeat_prompt": wording.repeat_prompt,
    "startend:end_checker": wording.end_checker,
    "startend:quotation": wording.quotation,
    "change_case:capital_word_frequency": wording.capital_word_frequency,
    "change_case:english_capital": wording.english_capital,
    "change_case:english_lowercase": wording.english_lowercase,
    "punctuation:no_comma": wording.no_comma,
}

Tool = Callable[[], object]

TOOLS: Mapping[str, tuple[Tool, ...]] = {
    "language:response_language": (texttools.language_profiles,),
    "length_constraints:number_sentences": (texttools.sentence_tokenizer,),
    "change_case:capital_word_frequency": (texttools.sentence_tokenizer, texttools.word_tokenizer),
    "change_case:english_capital": (texttools.language_profiles,),
    "change_case:english_lowercase": (texttools.language_profiles,),
}
"""What must load before an instruction can be checked."""

PATTERNS: Mapping[str, Callable[[Mapping[str, JSON]], list[tuple[str, str]]]] = {
    "keywords:existence": lambda args: [(word, word) for word in args["keywords"]],
    "keywords:frequency": lambda args: [(word := args["keyword"].strip(), word)],
    "keywords:forbidden_words": lambda args: [
        (keywords.forbidden_pattern(word), word) for word in args["forbidden_words"]
    ],
    "detectable_content:postscript": lambda args: [
        (content.marker_pattern(marker := args["postscript_marker"].strip()), marker)
    ],
    "detectable_format:multiple_sections": lambda args: [
        (layout.splitter_pattern(splitter := args["section_spliter"].strip()), splitter)
    ],
}
"""The (pattern, data-set text) pairs that a check will run."""


def require(instruction: str, args: Mapping[str, JSON]) -> None:
    """Load what the check needs and compile its patterns, so that no verdict depends on what is missing.

    Raises `Unscorable`: a package or model is missing, or data-set text is no valid pattern.
    """
    for load in TOOLS.get(instruction, ()):
        load()
    if pairs := PATTERNS.get(instruction):
        for pattern, source in pairs(args):
            patterns.check_pattern(pattern, source)
