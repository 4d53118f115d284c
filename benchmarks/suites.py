"""Suites that cut across benchmarks: the report's tables, and the suites that bring data of our own."""

from __future__ import annotations

from evalkit.task import Suite

VOICEBENCH = tuple(
    f"voicebench/{s}"
    for s in ("alpacaeval_full", "commoneval", "sd-qa", "mmsu", "openbookqa", "ifeval", "advbench")
)
SPOKEN = tuple(
    f"ultraeval-audio/{s}" for s in ("alpaca-eval", "llama-questions", "triviaqa", "web-questions")
)
QUESTIONS = ("openaudiobench/*", *VOICEBENCH, *SPOKEN)
UNDERSTANDING = ("mmau/test-mini", "mmau-pro/single-audio", "mmsu/all")
DEMO = (*VOICEBENCH, "voicebench/wildvoice", "voicebench/bbh", *SPOKEN)
OWN = "benchmarks/smoke"

SUITES = (
    Suite(
        "table1", QUESTIONS, "spoken questions: OpenAudioBench, VoiceBench, UltraEval-Audio (large models)"
    ),
    Suite("table2", QUESTIONS, "the same sets (models of about 8B)"),
    Suite("table3", (*UNDERSTANDING, "asr/*"), "audio understanding and speech recognition"),
    Suite("table4", ("speech-fc/*",), "speech function calling"),
    Suite("table5", ("vstyle/*",), "VStyle, English and Chinese"),
    Suite("table6", ("speech-style/*",), "the internal test set's three measures, on recordings of your own"),
    Suite("table7", tuple(f"{t}-s2m" for t in SPOKEN), "text and speech of one answer (without turn-taking)"),
    Suite(
        "smoke",
        (
            *("openaudiobench/*", *DEMO, *(f"{t}-s2m" for t in SPOKEN), *UNDERSTANDING),
            *("asr/*", "speech-fc/*", "vstyle/*", "speech-style/*"),
        ),
        "a few questions of our own in every benchmark's layout; proves the plumbing, measures nothing",
        data_dir=OWN,
        smoke=True,
    ),
    Suite(
        "demo",
        DEMO,
        "the part of smoke that the embedded model runs in a minute: VoiceBench and UltraEval-Audio",
        data_dir=OWN,
        smoke=True,
    ),
)
