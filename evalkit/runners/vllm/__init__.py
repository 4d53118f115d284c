"""Models that vLLM runs, in this process: ``--model vllm/PATH-OR-HUB-ID``."""

from evalkit.runners.vllm.runner import VllmRunner

__all__ = ["VllmRunner"]
