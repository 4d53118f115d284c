"""What a Fun-Audio-Chat checkpoint folder says of itself, read as JSON and checked.

Source: runner specification, sections 1 to 3. transformers knows no such model, so none of its config classes is asked
for it; a field that is absent has the value that upstream's class gives it. No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalkit.errors import UsageError
from evalkit.records import JSON
from evalkit.runners.fun_audio_chat.folder.fields import Fields, read_json
from evalkit.runners.fun_audio_chat.folder.qwen import DENSE, MIXTURE, qwen3_fields

MODEL_TYPE = "funaudiochat"
TEXT_KINDS = (DENSE, MIXTURE)
SAMPLE_RATE = 16000
HOP = 160
N_FFT = 400

TextKind = Literal["qwen3", "qwen3_moe"]


@dataclass(frozen=True)
class AudioConfig:
    """Both audio towers and the speech head. Source: runner specification, section 2.

    Attributes:
        num_mel_bins: of the log-mel.
        d_model, encoder_layers, encoder_attention_heads, encoder_ffn_dim, activation_function: continuous tower.
        max_source_positions: most positions of a piece.
        n_window: half the mel frames of a piece.
        output_dim: H, width of speech embeddings and of the text model.
        codebook_size: speech ids, those of bos, eos and pad included.
        bos_token_id, eos_token_id, pad_token_id: speech ids that are no sound.
        group_size: k, speech tokens per text token.
        continuous_features_mode: "replace", or "add" for both towers.
        head: the fields of the speech head's transformer (Qwen3) that decide what it computes.
    """

    num_mel_bins: int
    d_model: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    activation_function: str
    max_source_positions: int
    n_window: int
    output_dim: int
    codebook_size: int
    bos_token_id: int
    eos_token_id: int
    pad_token_id: int
    group_size: int
    continuous_features_mode: Literal["replace", "add"]
    head: Mapping[str, JSON]

    @property
    def sounds(self) -> int:
        """Speech ids below this one are sound, all others are not (6561 in the released checkpoint)."""
        return min(self.bos_token_id, self.eos_token_id, self.pad_token_id)


@dataclass(frozen=True)
class CheckpointConfig:
    """A checkpoint folder. Source: runner specification, sections 1 and 2.

    Attributes:
        folder: where it is.
        audio: the towers and the speech head.
        text: the fields of the text model that decide what it computes, as its class of transformers takes them.
        text_kind: "qwen3" (dense) or "qwen3_moe".
        hidden_size: H, of the text model.
        vocab_size: rows of the text embedding.
        audio_token_index, audio_bos_index, audio_eos_index: text ids of the placeholder and what stands around it.
        sil_index: text id of silence; None where the config has none.
        chunk_length: seconds of a clip that are heard, from preprocessor_config.json.
        audio_token, audio_bos_token, audio_eos_token: the same as strings, from processor_config.json.
        generation: generation_config.json as it is; {} where there is none.
        tied_text_head: the text model's output matrix is its embedding.
        stored_dtype: "bfloat16", ... as config.json has it; None where it doesn't say.
        text_ends: text_config.eos_token_id. Nothing stops at it; it has to be a special token of the tokenizer.
    """

    folder: Path
    audio: AudioConfig
    text: Mapping[str, JSON]
    text_kind: TextKind
    hidden_size: int
    vocab_size: int
    audio_token_index: int
    audio_bos_index: int
    audio_eos_index: int
    sil_index: int | None
    chunk_length: int
    audio_token: str
    audio_bos_token: str
    audio_eos_token: str
    generation: Mapping[str, JSON]
    tied_text_head: bool
    stored_dtype: str | None
    text_ends: tuple[int, ...] = ()


def read_config(folder: Path) -> CheckpointConfig:
    """The checkpoint's description, every field that matters checked.

    Raises:
        UsageError: the folder is none, lacks a file, or a field is wrong; it names the file and the field.
    """
    if not folder.is_dir():
        raise UsageError(
            f"the checkpoint {folder} is {'a file, not a folder' if folder.exists() else 'not there'}"
        )
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"the checkpoint {folder} has no config.json: is it the folder of a Fun-Audio-Chat model?"
        )
    top = read_json(folder / "config.json")
    kind = top.text("model_type", "")
    if kind != MODEL_TYPE:
        raise top.error("model_type", f'is "{kind}", and this runner reads "{MODEL_TYPE}"')
    if top.values.get("quantization_config") is not None:
        raise top.error(
            "quantization_config", "is set: quantised weights are not supported, take the bfloat16 ones"
        )
    audio = _audio(top.part("audio_config"))
    text = top.part("text_config")
    text_kind, text_fields = _text(text)
    hidden, vocab = text_fields["hidden_size"], text_fields["vocab_size"]
    if hidden != audio.output_dim:
        raise text.error(
            "hidden_size", f"is {hidden} and audio_config.output_dim is {audio.output_dim}: they differ"
        )
    if (stated := top.integer("hidden_size", hidden, 1)) != hidden:
        raise top.error("hidden_size", f"is {stated} and text_config.hidden_size is {hidden}: they differ")
    strings = _processor(folder, audio)
    ids = _special_ids(top, text, strings, vocab)
    return CheckpointConfig(
        folder=folder,
        audio=audio,
        text=text_fields,
        text_kind=text_kind,
        hidden_size=hidden,
        vocab_size=vocab,
        audio_token_index=ids["audio_token_index"],
        audio_bos_index=ids["audio_bos_index"],
        audio_eos_index=ids["audio_eos_index"],
        sil_index=ids.get("sil_index"),
        chunk_length=_chunk_length(folder, audio),
        audio_token=strings[0],
        audio_bos_token=strings[1],
        audio_eos_token=strings[2],
        generation=_generation(folder),
        tied_text_head=text.flag("tie_word_embeddings", False),
        stored_dtype=_stored_dtype(top),
        text_ends=_ends(text),
    )


def _special_ids(top: Fields, text: Fields, strings: tuple[str, str, str], vocab: int) -> dict[str, int]:
    """Text ids of what stands for audio by the names of their fields, "sil_index" only where there is one.

    Ids of begin and end that the config leaves out are the tokenizer's: the released config was not seen.
    """
    ids = {"audio_token_index": top.integer("audio_token_index", 151646, 0)}
    for name, string in (("audio_bos_index", strings[1]), ("audio_eos_index", strings[2])):
        found = None if text.values.get(name) is not None else _tokenizers_id(top.path.parent, string)
        ids[name] = text.integer(name, found, 0)
    if text.values.get("sil_index") is not None:
        ids["sil_index"] = text.integer("sil_index", None, 0)
    for name, value in ids.items():
        own = top if name == "audio_token_index" else text
        if value >= vocab:
            raise own.error(
                name, f"is {value}, and the text model has {vocab} embeddings (text_config.vocab_size)"
            )
    if len(set(ids.values())) < len(ids):
        raise top.error(
            "audio_token_index", f"and its like must differ: {', '.join(f'{n} {v}' for n, v in ids.items())}"
        )
    return ids


def _tokenizers_id(folder: Path, string: str) -> int | None:
    """The id that the tokenizer's files give a token; None when none of them names it."""
    listed = read_json(folder / "tokenizer.json", missing_ok=True).values.get("added_tokens")
    decoder = read_json(folder / "tokenizer_config.json", missing_ok=True).values.get("added_tokens_decoder")
    added = read_json(folder / "added_tokens.json", missing_ok=True).values
    found: list[JSON] = [added.get(string)]
    if isinstance(listed, list):
        found += [one.get("id") for one in listed if isinstance(one, dict) and one.get("content") == string]
    if isinstance(decoder, dict):
        own = (
            (key, one)
            for key, one in decoder.items()
            if isinstance(one, dict) and re.fullmatch("[0-9]{1,9}", key)
        )
        found += [int(key) for key, one in own if one.get("content") == string]
    return next((i for i in found if isinstance(i, int) and not isinstance(i, bool)), None)


def _audio(own: Fields) -> AudioConfig:
    d_model = own.integer("d_model", 1280, 2)
    heads = own.integer("encoder_attention_heads", 20, 1)
    if d_model % heads or d_model % 2:
        raise own.error("d_model", f"is {d_model}: it must be even and a multiple of {heads} attention heads")
    if not own.flag("enable_audio_invert_tower", True):
        raise own.error(
            "enable_audio_invert_tower", "is false: a checkpoint without speech head can't generate"
        )
    n_window = own.integer("n_window", 100, 1)
    positions = own.integer("max_source_positions", 1500, 1)
    if positions < n_window:
        raise own.error(
            "max_source_positions", f"is {positions}, fewer than the {n_window} of a piece (n_window)"
        )
    codebook = own.integer("codebook_size", None, 1)
    bos, eos, pad = (own.integer(f"{n}_token_id", None, 1) for n in ("bos", "eos", "pad"))
    if max(bos, eos, pad) >= codebook:
        raise own.error(
            "codebook_size", f"is {codebook}: too small for bos, eos and pad {bos}, {eos} and {pad}"
        )
    if len({bos, eos, pad}) < 3:
        raise own.error(
            "bos_token_id", f"and its like must differ: bos, eos and pad are {bos}, {eos} and {pad}"
        )
    mode = own.choice("continuous_features_mode", "replace", ("replace", "add"))
    head = own.part("crq_transformer_config")
    head.choice("model_type", None, (DENSE,))
    return AudioConfig(
        num_mel_bins=own.integer("num_mel_bins", 128, 1),
        d_model=d_model,
        encoder_layers=own.integer("encoder_layers", own.integer("num_hidden_layers", 32, 1), 1),
        encoder_attention_heads=heads,
        encoder_ffn_dim=own.integer("encoder_ffn_dim", 5120, 1),
        activation_function=own.choice("activation_function", "gelu", ("gelu",)),
        max_source_positions=positions,
        n_window=n_window,
        output_dim=own.integer("output_dim", 3584, 1),
        codebook_size=codebook,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
        group_size=own.integer("group_size", 5, 1),
        continuous_features_mode="add" if mode == "add" else "replace",
        head=qwen3_fields(head, DENSE),
    )


def _text(own: Fields) -> tuple[TextKind, Mapping[str, JSON]]:
    """Kind and fields of the text model."""
    kind = own.text("model_type", "qwen2")
    if kind not in TEXT_KINDS:
        raise own.error("model_type", f'is "{kind}": text models are {" and ".join(TEXT_KINDS)}')
    return ("qwen3_moe" if kind == MIXTURE else "qwen3"), qwen3_fields(own, kind)


def _processor(folder: Path, audio: AudioConfig) -> tuple[str, str, str]:
    """Strings of placeholder, begin and end of audio."""
    own = read_json(folder / "processor_config.json", missing_ok=True)
    size = own.integer("audio_group_size", 5, 1)
    if size != audio.group_size:
        raise own.error(
            "audio_group_size",
            f"is {size} and config.json has audio_config.group_size {audio.group_size}: they differ",
        )
    strings = (
        own.text("audio_token", "<|AUDIO|>"),
        own.text("audio_bos_token", "<|audio_bos|>"),
        own.text("audio_eos_token", "<|audio_eos|>"),
    )
    if "" in strings or len(set(strings)) < 3:
        raise own.error("audio_token", f"and its like must be three different strings: {', '.join(strings)}")
    return strings


def _chunk_length(folder: Path, audio: AudioConfig) -> int:
    """Seconds of a clip that are heard; what else the front end takes for granted is checked."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise UsageError(f"{path} is not there: it says how many seconds of a clip the model hears")
    own = read_json(path)
    own.choice("feature_extractor_type", "WhisperFeatureExtractor", ("WhisperFeatureExtractor",))
    taken = {
        "feature_size": audio.num_mel_bins,
        "sampling_rate": SAMPLE_RATE,
        "hop_length": HOP,
        "n_fft": N_FFT,
    }
    for name, value in taken.items():
        if (found := own.integer(name, 80 if name == "feature_size" else value, 1)) != value:
            raise own.error(name, f"is {found}, and this model takes {value}")
    if own.flag("do_normalize", False):
        raise own.error("do_normalize", "is true: this model takes waves as they are")
    for name in ("dither", "padding_value"):
        if found_number := own.number(name, 0.0):
            raise own.error(name, f"is {found_number:g}, and this model takes 0")
    return own.integer("chunk_length", 30, 1)


def _generation(folder: Path) -> Mapping[str, JSON]:
    own = read_json(folder / "generation_config.json", missing_ok=True)
    _ends(own)
    return own.values


def _ends(own: Fields) -> tuple[int, ...]:
    """Ids of eos_token_id, of which there may be none, one or several."""
    stops = own.values.get("eos_token_id")
    listed = stops if isinstance(stops, list) else [stops]
    for stop in listed:
        if stop is not None and (not isinstance(stop, int) or isinstance(stop, bool) or stop < 0):
            raise own.error("eos_token_id", f"must be a token id or a list of them, not {stops!r}")
    return tuple(stop for stop in listed if stop is not None)


def _stored_dtype(top: Fields) -> str | None:
    for name in ("torch_dtype", "dtype"):
        if top.values.get(name) is not None:
            return top.text(name, "")
    return None
