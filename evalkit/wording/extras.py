"""Public texts that no judge reads, and that a user may import all the same."""

from __future__ import annotations

from evalkit.wording.wanted import Wanted

MMSU_QUESTION = Wanted(
    "52bc9dbac33b1356ca3e123596891674982282ae58c6a64745e8238d5a438292",
    "MMSU mmsu_inference.py question_prompts",
    "dingdongwang/MMSU_Bench@f0ef334",
)
"""What MMSU's own code asks of a model before each question. MMSU sheet section 3."""

SPOKEN_S2M = Wanted(
    "9b409be9920866e52852ec85538c3cc26c84928eada66ce845f86e911b328648",
    "Fun-Audio-Chat utils/constant.py SPOKEN_S2M_PROMPT",
    "FunAudioLLM/Fun-Audio-Chat@8ba984b",
    size=209,
)
"""The system prompt of the report's VStyle runs: text and speech, with a persona. Runner specification, section 6."""

FUNCTION_CALLING = Wanted(
    "92c5e74becff91bd38543c1830a65a6212f63378ab197f175675955c373de24a",
    "Fun-Audio-Chat utils/constant.py FUNCTION_CALLING_PROMPT",
    "FunAudioLLM/Fun-Audio-Chat@8ba984b",
    ("{tools_definition}",),
    429,
)
"""The system prompt of the report's function calling. Runner specification, section 11."""

EXTRAS = (MMSU_QUESTION, SPOKEN_S2M, FUNCTION_CALLING)
