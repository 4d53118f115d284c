"""Gemini through Google's own API: as the model under test (``--model gemini/NAME``), and as a judge."""

from evalkit.runners.gemini.runner import GeminiChat, GeminiRunner, make_chat

__all__ = ["GeminiChat", "GeminiRunner", "make_chat"]
