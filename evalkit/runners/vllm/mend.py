"""A fault of vLLM's Fun-Audio-Chat class, mended in its worker processes.

Seen in vLLM 0.32.0 and 0.33.0: the attention of the audio tower is given its weights under names like "q_proj.weight",
but looks for ".q_proj" with a dot before it, so no checkpoint loads ("no module or parameter named 'k_proj'"). vLLM
imports a worker extension (engine argument `worker_extension_cls`) in each worker before the model is built: importing
this module is the mending. It looks before it acts; a vLLM without the fault is left as it is.

Served: ``vllm serve ... --worker-extension-cls evalkit.runners.vllm.mend.Mended``.
"""

from __future__ import annotations

import re
from typing import Any

QUALNAME = "evalkit.runners.vllm.mend.Mended"
"""What `worker_extension_cls` is set to."""
_BARE = re.compile(r"^(?=[qkv]_proj\.)")
"""Matches nothing, before a bare "q_proj.": where the missing dot goes."""


class Mended:
    """An empty worker extension: it adds no method to the worker."""


def mend(attention: Any, mapper: Any) -> bool:
    """Give the attention class a mapper that knows its own weights' names.

    Args:
        attention: vLLM's class of the tower's attention; changed in place.
        mapper: vLLM's class of mappers of weight names.

    Returns:
        True when it had the fault; False when there was nothing to mend.
    """
    held = getattr(attention, "hf_to_vllm_mapper", None)
    if held is None or held.map_name("q_proj.weight") != "q_proj.weight":
        return False
    attention.hf_to_vllm_mapper = mapper(
        orig_to_new_regex={_BARE: "."},  # first, so that the class's own patterns fit
        orig_to_new_stacked=held.orig_to_new_stacked,
        orig_to_new_prefix={".": ""},  # last
    )
    return True


def _mend_installed() -> None:
    try:
        from vllm.model_executor.models.funaudiochat import FunAudioChatAudioAttention
        from vllm.model_executor.models.utils import WeightsMapper
    except ImportError:  # another vLLM: if it has the fault, it says so itself when it loads the weights
        return
    mend(FunAudioChatAudioAttention, WeightsMapper)


_mend_installed()
