"""The form of a prompt, and the two system texts that say what the model has to generate.

Source: runner specification, section 6.
"""

from __future__ import annotations

from collections.abc import Iterable

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
S2T = "You are asked to generate text tokens."
"""The published system text for answers in text."""
S2M = "You are asked to generate both text and speech tokens at the same time."
"""The published system text for answers in text and speech."""


def chatml(messages: Iterable[tuple[str, str]]) -> str:
    """(role, content) pairs as plain ChatML, up to where the assistant speaks."""
    told = "".join(f"{IM_START}{role}\n{content}{IM_END}\n" for role, content in messages)
    return f"{told}{IM_START}assistant\n"
