"""IFEval as VoiceBench scores it: 25 verifiable instructions, strict and loose (VoiceBench sheet, section 8).

What is where:
    arguments   which arguments an instruction takes, and what the public scorer draws when one is missing
    keywords, length, content, layout, wording   the check functions, by family
    registry    instruction id -> check function and the tools it needs
    patterns    regular expressions that come with the data set, run so that none can hang a run
    texttools   sentences, words and language of a text; `punkt` finds the sentence model
    scoring     cleaning, loose variants, pooling: plain functions
    judge       the `Judge`
"""

from __future__ import annotations

from judges.ifeval.judge import IFEval
from judges.ifeval.scoring import pool_final

__all__ = ["IFEval", "pool_final"]
