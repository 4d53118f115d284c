"""Error rates the way compute-wer counts them (ASR sheet section 4): tokens, case, tags, one corpus rate.

The alignment is that of every release up to 0.2.4 and of the repository's head; PyPI's 0.2.5 aligns with
RapidFuzz, whose total is the same and whose split into substitutions, deletions and insertions may not be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.records import digest_of
from judges.wer.compute_wer_tokens import Generation, strip_tags, tokenize
from judges.wer.counts import Alignment, ErrorCounts, align


@dataclass(frozen=True, slots=True)
class ComputeWer:
    """Options of compute-wer; the defaults are those of its command line at release 0.2.3.

    Attributes:
        generation: of the tokeniser, "A" to "E".
        char: every letter and digit is a token.
        case_sensitive: don't fold case.
        remove_tag: drop `<...>`; on in the command line, off in the Python API. E has lost the feature.
        ignore_punctuation: drop punctuation and symbols; D and E only.
        ignore: words that don't count, in any case unless `case_sensitive`.

    Raises:
        ValueError: no such generation, or one without `ignore_punctuation`.
    """

    generation: Generation = "C"
    char: bool = False
    case_sensitive: bool = False
    remove_tag: bool = True
    ignore_punctuation: bool = False
    ignore: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        tokenize("", self.generation, ignore_punctuation=self.ignore_punctuation)
        object.__setattr__(self, "ignore", frozenset(self.fold(w) for w in self.ignore))

    @property
    def label(self) -> str:
        """For signatures: "compute-wer-C", with the options that are not the command line's defaults."""
        flags = {
            "char": self.char,
            "case": self.case_sensitive,
            "keep-tags": not self.remove_tag,
            "no-punct": self.ignore_punctuation,
            f"ignore-{digest_of(sorted(self.ignore))[:6]}": bool(self.ignore),
        }
        return "+".join([f"compute-wer-{self.generation}", *(name for name, on in flags.items() if on)])

    def fold(self, token: str) -> str:
        """The token as it is compared."""
        return token if self.case_sensitive else token.upper()

    def tokens(self, text: str) -> list[str]:
        """Tokens of a text that count, spelled as in the text (see `fold`)."""
        found = tokenize(text, self.generation, char=self.char, ignore_punctuation=self.ignore_punctuation)
        if self.remove_tag:
            found = [strip_tags(t) if "<" in t else t for t in found]
        return [t for t in found if t and not (self.ignore and self.fold(t) in self.ignore)]

    def align(self, reference: str, hypothesis: str) -> Alignment:
        """Align two texts; `counts.rate` is None without a reference token (see `rate_of`)."""
        folded = ([self.fold(t) for t in self.tokens(text)] for text in (reference, hypothesis))
        return align(*folded)


def rate_of(counts: ErrorCounts) -> float:
    """Rate of one utterance: 0 without a reference token, even when tokens were inserted (section 4.1)."""
    return counts.rate or 0.0


@dataclass(frozen=True, slots=True)
class CorpusRate:
    """What compute-wer prints of a corpus.

    Attributes:
        counts: summed over the utterances that count; `counts.rate` is the corpus rate.
        utterances: how many count.
        wrong: those with a rate other than 0.
        over_limit: ids left out because their rate reached `max_wer`.
        missing: reference ids without a hypothesis.
    """

    counts: ErrorCounts
    utterances: int
    wrong: int
    over_limit: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def sentence_error_rate(self) -> float | None:
        """Share of utterances with a rate other than 0; None without utterances."""
        return self.wrong / self.utterances if self.utterances else None


def score_pairs(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    options: ComputeWer | None = None,
    *,
    align_to_hyp: bool = False,
    max_wer: float | None = None,
) -> CorpusRate:
    """Score `id text` pairs as the command line does; the texts are taken as they are, normalise them before.

    Args:
        align_to_hyp: leave a reference without a hypothesis out; else its hypothesis is empty (all deletions).
        max_wer: leave out utterances whose rate reaches this (1.0 is 100 %).

    Hypotheses without a reference are ignored.
    """
    options = options or ComputeWer()
    missing = tuple(key for key in references if key not in hypotheses)
    ids: Sequence[str] = [k for k in references if k in hypotheses] if align_to_hyp else list(references)
    total, wrong, over = ErrorCounts(), 0, []
    for key in ids:
        counts = options.align(references[key], hypotheses.get(key, "")).counts
        if max_wer is not None and rate_of(counts) >= max_wer:
            over.append(key)
            continue
        total += counts
        wrong += rate_of(counts) > 0
    return CorpusRate(total, len(ids) - len(over), wrong, tuple(over), missing)
