"""Gemini through Google's own API: as the model under test (``--model gemini/NAME``), and as a judge."""

from evalkit.runners.gemini.chat import GeminiChat, make_chat
from evalkit.runners.gemini.runner import GeminiRunner

__all__ = ["GeminiChat", "GeminiRunner", "make_chat"]
