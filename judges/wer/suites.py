"""The error rates of two public suites, each with its own normalisation and tokens.

UltraEval-Audio: `WER`/`CER` row of the UltraEval sheet section 8. Kimi-Audio-Evalkit: last row there and ASR
sheet section 5. Both pool counts over a corpus; both crash on an empty reference, where evalkit returns
counts of length 0 (rate None).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib import import_module

from evalkit.errors import UsageError
from judges.wer.cn_textnorm import text_norm
from judges.wer.counts import ErrorCounts, align
from judges.wer.normalizers import normalizer

_LATIN_IN_WIDE_BRACKETS = re.compile(r"（[a-zA-Z\s]+）")
_BLANK_BEFORE_MARK = re.compile(r" ?([!,.?;:])")
_TOKENIZERS = {
    "13a": ("tokenizer_13a", "Tokenizer13a"),
    "zh": ("tokenizer_zh", "TokenizerZh"),
    "ja-mecab": ("tokenizer_ja_mecab", "TokenizerJaMecab"),
}


def ue_wer(ref: str, hyp: str, lang: str = "en") -> ErrorCounts:
    """UltraEval-Audio's `WER` (or `CER` for Chinese): punctuation stays where the normaliser leaves it.

    Args:
        lang: "zh" and "yue" go through Chinese normalisation ("yue" is folded to simplified first) and the
            sacreBLEU `zh` tokeniser, "jp" through `ja-mecab`, everything else through `13a`.

    Raises:
        UsageError: an optional package is missing.
        NormalizationError: a text the normaliser can't digest.
    """
    return align(ue_tokens(ref, lang), ue_tokens(hyp, lang)).counts


def kimi_wer(ref: str, hyp: str, lang: str = "en") -> ErrorCounts:
    """Kimi-Audio-Evalkit's rate: punctuation tokens dropped, sacreBLEU `zh` tokens for every language.

    The suite skips items whose hypothesis is the string "null": that is the caller's to do.

    Raises:
        UsageError: an optional package is missing.
        NormalizationError: a text the normaliser can't digest.
    """
    return align(kimi_tokens(ref, lang), kimi_tokens(hyp, lang)).counts


def ue_tokens(text: str, lang: str) -> list[str]:
    """The tokens that `ue_wer` compares; raises as it does."""
    if lang == "yue":
        text = _to_simplified()(text)
    text = normalizer("whisper-english-openai")(_LATIN_IN_WIDE_BRACKETS.sub("", text))
    if lang in ("zh", "yue"):
        text = text_norm(text)
    tokenizer = {"zh": "zh", "yue": "zh", "jp": "ja-mecab"}.get(lang, "13a")
    return _tokenizer(tokenizer)(text).lower().split()


def kimi_tokens(text: str, lang: str) -> list[str]:
    """The tokens that `kimi_wer` compares; raises as it does."""
    text = remove_special(text, lang)
    if lang == "zh":
        text = text_norm(text)
    else:
        text = normalizer("whisper-basic")(normalizer("whisper-english-openai")(text))
    tokens = _tokenizer("zh")(text).split(" ")
    kept = " ".join(t for t in tokens if not all(unicodedata.category(c)[0] == "P" for c in t))
    return kept.lower().split()


def remove_special(text: str, lang: str) -> str:
    """Kimi's first step: special tokens out, blanks squeezed, none before a mark, none at all for Chinese."""
    text = re.sub(r"\s+", " ", drop_special_tokens(text))
    text = _BLANK_BEFORE_MARK.sub(r"\1", text).lstrip(" ")
    return re.sub(r"\s+", "", text) if lang == "zh" else text


def drop_special_tokens(text: str) -> str:
    """Each `<|...|>` (shortest, within one line) becomes one blank. Linear in the length of the text."""
    return "\n".join(_drop_in_line(line) for line in text.split("\n"))


def _drop_in_line(line: str) -> str:
    out: list[str] = []
    at = 0
    while (start := line.find("<|", at)) >= 0 and (end := line.find("|>", start + 2)) >= 0:
        out += [line[at:start], " "]
        at = end + 2
    return "".join([*out, line[at:]])


@cache
def _tokenizer(name: str) -> Callable[[str], str]:
    """A sacreBLEU tokeniser; its output is tokens joined by blanks."""
    module, cls = _TOKENIZERS[name]
    try:
        made: Callable[[str], str] = getattr(import_module(f"sacrebleu.tokenizers.{module}"), cls)()
    except (ImportError, RuntimeError) as exc:
        raise UsageError(
            f'this recipe needs the sacreBLEU tokeniser "{name}": pip install "evalkit[asr]"'
            + (" mecab-python3 ipadic" if name == "ja-mecab" else "")
        ) from exc
    return made


@cache
def _to_simplified() -> Callable[[str], str]:
    try:
        convert = import_module("zhconv").convert
    except ImportError as exc:
        raise UsageError("Cantonese is folded to simplified characters first: pip install zhconv") from exc
    return lambda text: str(convert(text, "zh-cn"))
