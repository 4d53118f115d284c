"""Speech recognition: LibriSpeech and Common Voice (lower half of Table 3).

Rules, data and what the report used: ASR sheet. The model hears the audio and an instruction; its reply, as it
stands, is the hypothesis. Protocols: `report` (whisper-normalizer, then compute-wer), `kimi-evalkit` and
`ultraeval` (those suites' own normalisation and tokens). There is no `strict`: no recipe draws or drops here
but Kimi's, and that one counts what it leaves out.
"""

from __future__ import annotations

import math
from typing import Any

from benchmarks._kimi import null_word, skip_by_length
from benchmarks._speech_corpora import common_voice, common_voice_data, librispeech, librispeech_data
from evalkit.interfaces import Judge, Roles
from evalkit.pools import Pool, pooled
from evalkit.records import Modality
from evalkit.sources import HubData
from evalkit.task import Cell, Metric, Suite, Task, Variant
from judges.asr import CorpusWer, SuiteWer
from judges.wer import ComputeWer

PROMPTS = {
    "report": "Please help me transcribe the audio.",
    "plain": "Write down what is said, word for word, and nothing else.",
}

# --- protocols -----------------------------------------------------------------------------------

DELETIONS = Pool(
    *("pooled(errors/length)", ("errors", "length"), pooled("errors", "length").formula),
    best=lambda lo, hi, mean: (0.0, mean[1]),
    worst=lambda lo, hi, mean: (max(mean), mean[1]),
)
"""The corpus rate; what an utterance that was not reached would add at worst is its deletions, all of them, or as
many errors as the others have where those are more."""


def _rate(name: str, label: str, pool: Pool, *sources: str, primary: bool = False) -> Metric:
    return Metric(
        name, label, pool=pool, hi=math.inf, higher_is_better=False, sources=sources, primary=primary
    )


WER = (
    _rate("wer", "WER", DELETIONS, primary=True),
    *(
        _rate(n[:3], n.capitalize(), pooled(n, "length"), "wer")
        for n in ("substitutions", "deletions", "insertions")
    ),
    _rate("ser", "Sentence error rate", pooled("wrong", "n"), "wer"),
)
CER = _rate("cer", "CER (every letter and digit a token)", pooled("errors", "length"))
T2S = _rate("wer_t2s", "WER (traditional folded to simplified)", pooled("errors", "length"))


def _variants(language: str) -> dict[str, Variant]:
    zh = language == "zh"
    default = "whisper-basic" if zh else "whisper-english"

    def report(roles: Roles) -> list[Judge]:
        given = roles.options
        options = ComputeWer(given.get("wer_tokens", "C"), char=given.get("wer_char") == "yes")
        normalize = given.get("normalizer", default)
        folded = [CorpusWer(normalize, options, simplify=True, metrics=("wer_t2s",))] if zh else []
        return [CorpusWer(normalize, options), *folded]

    rule = "Errors over reference tokens of the whole set; {}."
    missing = "; a request that failed counts as an empty answer"
    kind = "basic normaliser, one token per Han character" if zh else "English normaliser"
    return {
        "report": Variant(
            report,
            (*WER, CER, *((T2S,) if zh else ())),
            rule.format(f"whisper-normalizer ({kind}), tokens and alignment of compute-wer 0.2.3{missing}"),
        ),
        "kimi-evalkit": Variant(
            lambda r: [SuiteWer("kimi-evalkit", language)],
            WER,
            rule.format("Kimi-Audio-Evalkit's normalisation, sacreBLEU zh tokens without punctuation")[:-1]
            + ", predictions that are the word null left out.",
            skip=skip_by_length,
            missing=null_word,
        ),
        "ultraeval": Variant(
            lambda r: [SuiteWer("ultraeval", language)],
            WER,
            rule.format("UltraEval-Audio's normalisation and sacreBLEU tokens, punctuation kept"),
        ),
    }


def _task(subset: str, title: str, rows: Any, data: HubData, expected: int | None, language: str) -> Task:
    """`rows` makes a converter of rows for an instruction."""
    prompts = {name: rows(text) for name, text in PROMPTS.items()}
    return Task(
        name=f"asr/{subset}",
        title=title,
        modality=Modality.S2T,
        data=data,
        to_sample=prompts["report"],
        variants=_variants(language),
        expected=expected,
        groups=("gender", "age") if rows is common_voice else (),
        cluster="speaker",
        cells=(Cell("3", "Speech Recognition", title, language=language, printed="wer"),),
        sheet="ASR sheet",
        prompts=prompts,
        languages=(language,),
    )


TASKS = (
    *(
        _task(f"librispeech-{part}", f"LibriSpeech test-{part}", librispeech, librispeech_data(part), n, "en")
        for part, n in (("clean", 2620), ("other", 2939))
    ),
    *(
        _task(
            f"common-voice-{x}",
            f"Common Voice {x.upper()}",
            common_voice,
            common_voice_data(x, locale),
            None,
            x,
        )
        for x, locale in (("en", "en"), ("zh", "zh-CN"))
    ),
)

SUITES = (Suite("asr", tuple(t.name for t in TASKS), "speech recognition: the lower half of Table 3"),)
