"""The embedded model: a small speech-to-speech cascade on the CPU, its ears as an ASR, its head as a judge.

``--model embedded``, ``--asr embedded``, ``--judge embedded``.
"""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.chat import ChatModel
from evalkit.runners.embedded.asr import EmbeddedAsr
from evalkit.runners.embedded.llm import EmbeddedChat
from evalkit.runners.embedded.runner import EmbeddedRunner

__all__ = ["EmbeddedAsr", "EmbeddedChat", "EmbeddedRunner", "make_chat"]


def make_chat(model: str, options: Mapping[str, str]) -> ChatModel:
    """The text model behind `--judge embedded`. Raises UsageError."""
    return EmbeddedChat(model, **options)
