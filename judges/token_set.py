"""MMAU's official string match: which words an answer has, whatever their order (MMAU sheet section 4.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict

_WORD = re.compile(r"\b\w+\b")


@lru_cache(maxsize=16384)
def _of_option(text: str) -> frozenset[str]:
    return frozenset(tokens(text))


def tokens(text: str) -> set[str]:
    """The set of words of the lower-cased text: runs of letters, digits and "_"."""
    return set(_WORD.findall(text.lower()))


def string_match(answer: str, prediction: str, choices: Sequence[str]) -> bool:
    """Does the prediction hold all words of the answer, and none that only other options have?

    A prediction without words is wrong. A letter counts as a word ("A" is "a"). MMAU sheet section 4.1.
    """
    said = tokens(prediction)
    if not said:
        return False
    wanted = _of_option(answer)
    return wanted <= said and not any((_of_option(c) - wanted) & said for c in choices)


class TokenSet(Judge):
    """MMAU's string match.

    The options are `meta["options"]` and the answer is the target; where the data has letters before its options
    (`meta["prefixed"]`: "options" and "answer"), those are compared, letters and all. Detail: "match", "missing"
    and "excess" (words).
    """

    def __init__(self, metric: str = "string_match") -> None:
        self.metrics = (metric,)

    @property
    def signature(self) -> str:
        return "mmau-string-match@110127f5"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        given = sample.meta.get("prefixed") or {
            "options": sample.meta.get("options"),
            "answer": sample.target,
        }
        options, target = given["options"], given["answer"]
        if not isinstance(options, list) or not all(isinstance(o, str) for o in options):
            return self.unscored(
                "bad-options: the options must be a list of texts; mend the sample's options"
            )
        if not isinstance(target, str):
            return self.unscored("bad-target: the target must be the right option's text; mend the target")
        match = string_match(target, answer.text, options)
        said, wanted = tokens(answer.text), _of_option(target)
        bad = set().union(*map(_of_option, options)) - wanted
        detail: dict[str, JSON] = {"missing": sorted(wanted - said)[:20], "excess": sorted(bad & said)[:20]}
        return [Verdict(self.metrics[0], float(match), detail=detail)]
