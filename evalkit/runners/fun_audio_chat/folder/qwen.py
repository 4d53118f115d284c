"""The config of a Qwen3 transformer, checked: the text model's, and the speech head's.

Only what decides what is computed is handed on, so that no other field can trip up the class that takes it; what is
absent is left to that class. Source: runner specification, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.records import JSON
from evalkit.runners.fun_audio_chat.folder.fields import Fields

DENSE, MIXTURE = "qwen3", "qwen3_moe"
VOCABULARY = 151936
"""The vocabulary both classes have where a config says nothing."""

_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)
_MIXTURE_SIZES = ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "decoder_sparse_step")


def qwen3_fields(own: Fields, kind: str) -> Mapping[str, JSON]:
    """The fields of a transformer that decide what it computes; hidden and vocabulary size are always among them.

    Args:
        own: the object in the file.
        kind: DENSE or MIXTURE.

    Raises:
        UsageError: a field that is wrong, or that asks for what the runner does not have.
    """
    mixture = kind == MIXTURE
    out: dict[str, JSON] = {"model_type": kind}
    for name in (*_SIZES, "max_position_embeddings", *(_MIXTURE_SIZES if mixture else ())):
        _put(out, own, name, own.integer(name, 1, 1))
    out.setdefault("hidden_size", 2048 if mixture else 4096)
    out["vocab_size"] = own.integer("vocab_size", VOCABULARY, 1)
    _put(out, own, "head_dim", own.integer("head_dim", 2, 2))
    if out.get("head_dim", 2) % 2:
        raise own.error("head_dim", f"is {out['head_dim']}: rotary positions need an even number")
    heads, groups = out.get("num_attention_heads", 32), out.get("num_key_value_heads", 4 if mixture else 32)
    if heads % groups:
        raise own.error("num_key_value_heads", f"is {groups}, which does not divide {heads} heads")
    if "head_dim" not in out and out["hidden_size"] % heads:
        raise own.error(
            "num_attention_heads", f"is {heads}, which does not divide {out['hidden_size']} (hidden_size)"
        )
    _put(out, own, "rms_norm_eps", own.number("rms_norm_eps", 1e-6, above=0))
    _put(out, own, "hidden_act", own.choice("hidden_act", "silu", ("silu",)))
    for name in ("attention_bias", "tie_word_embeddings", *(("norm_topk_prob",) if mixture else ())):
        _put(out, own, name, own.flag(name, False))
    if mixture:
        _mixture(out, own)
    _positions(out, own)
    _windows(own)
    return out


def _put(out: dict[str, JSON], own: Fields, name: str, value: JSON) -> None:
    """A checked value, where the file has one; null is as good as absent."""
    if own.values.get(name) is not None:
        out[name] = value


def _mixture(out: dict[str, JSON], own: Fields) -> None:
    experts, used = out.get("num_experts", 128), out.get("num_experts_per_tok", 8)
    if used > experts:
        raise own.error("num_experts_per_tok", f"is {used}, more than the {experts} there are (num_experts)")
    plain = own.values.get("mlp_only_layers")
    if plain is None:
        return
    if not isinstance(plain, list) or any(
        not isinstance(i, int) or isinstance(i, bool) or i < 0 for i in plain
    ):
        raise own.error("mlp_only_layers", "must be a list of layer numbers")
    out["mlp_only_layers"] = plain


def _positions(out: dict[str, JSON], own: Fields) -> None:
    """Plain rotary positions, as configs of transformers 4 and 5 have them; scaled ones are not supported."""
    _put(out, own, "rope_theta", own.number("rope_theta", 1e4, above=0))
    for name in ("rope_scaling", "rope_parameters"):
        if own.values.get(name) is None:
            continue
        rope = own.part(name)
        rope.choice("rope_type", rope.text("type", "default"), ("default",))
        _put(out, rope, "rope_theta", rope.number("rope_theta", 1e4, above=0))


def _windows(own: Fields) -> None:
    if own.flag("use_sliding_window", False):
        raise own.error("use_sliding_window", "is true: attention in windows is not supported")
    layers = own.values.get("layer_types")
    if layers is None:
        return
    if not isinstance(layers, list) or any(kind != "full_attention" for kind in layers):
        raise own.error("layer_types", "must all be full_attention: attention in windows is not supported")
