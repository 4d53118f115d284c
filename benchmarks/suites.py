"""Suites that cut across benchmarks: the blocks of a table, and the smoke suite with data of our own."""

from __future__ import annotations

from evalkit.task import Suite

SUITES = (
    Suite(
        "table2",
        (
            *(
                f"voicebench/{s}"
                for s in ("alpacaeval_full", "commoneval", "sd-qa", "mmsu", "openbookqa", "ifeval")
            ),
            "voicebench/advbench",
            *(
                f"ultraeval-audio/{s}"
                for s in ("alpaca-eval", "llama-questions", "triviaqa", "web-questions")
            ),
        ),
        "the VoiceBench and UltraEval-Audio blocks of Tables 1 and 2",
    ),
    Suite(
        "smoke",
        (
            *(
                f"voicebench/{s}"
                for s in ("alpacaeval_full", "commoneval", "sd-qa", "mmsu", "openbookqa", "ifeval")
            ),
            *(f"voicebench/{s}" for s in ("advbench", "wildvoice", "bbh")),
            *(
                f"ultraeval-audio/{s}"
                for s in ("alpaca-eval", "llama-questions", "triviaqa", "web-questions")
            ),
        ),
        "a few dozen questions of our own in both benchmarks' layouts; proves the plumbing, measures nothing",
        data_dir="benchmarks/smoke",
        smoke=True,
    ),
)
