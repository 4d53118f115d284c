"""evalkit: evaluate large audio language models, and say how every number was made."""

__version__ = "0.1.0"
