"""Public texts that no judge reads, and that a user may import all the same."""

from __future__ import annotations

from evalkit.wording.wanted import Wanted

MMSU_QUESTION = Wanted(
    "52bc9dbac33b1356ca3e123596891674982282ae58c6a64745e8238d5a438292",
    "MMSU mmsu_inference.py question_prompts",
    "dingdongwang/MMSU_Bench@f0ef334",
)
"""What MMSU's own code asks of a model before each question. MMSU sheet section 3."""

EXTRAS = (MMSU_QUESTION,)
