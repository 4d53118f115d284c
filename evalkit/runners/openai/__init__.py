"""Any OpenAI-compatible endpoint: as the model under test (``--model openai/NAME``), and as a judge."""

from evalkit.runners.openai.chat import OpenAIChat, make_chat
from evalkit.runners.openai.runner import OpenAIRunner

__all__ = ["OpenAIChat", "OpenAIRunner", "make_chat"]
