"""A Fun-Audio-Chat checkpoint's description: read, defaults of upstream's classes, one sentence for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.config import read_config
from tests.fun_audio_chat_fixtures import DENSE, FOLDERS, MOE, meta

FILES = ("config.json", "preprocessor_config.json", "processor_config.json", "generation_config.json")
GIVEN: dict[str, dict[str, Any]] = {name: json.loads((DENSE / name).read_text()) for name in FILES}
MIXTURE: dict[str, Any] = json.loads((MOE / "config.json").read_text())
GONE = object()


def folder(at: Path, **changed: dict[str, Any]) -> Path:
    """A folder of the four files; `config={"a.b": value}` sets a field of config.json, GONE takes it out."""
    at.mkdir(exist_ok=True)
    for name in FILES:
        values = deepcopy(GIVEN[name])
        for path, value in changed.get(name.removesuffix(".json"), {}).items():
            put(values, path.split("."), value)
        (at / name).write_text(json.dumps(values))
    return at


def put(values: Any, path: list[str], value: Any) -> None:
    for key in path[:-1]:
        values = values[key]
    if value is GONE:
        del values[path[-1]]
    else:
        values[path[-1]] = value


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_both_kinds_are_read(kind: str) -> None:
    config = read_config(FOLDERS[kind])
    ids = meta()["special_ids"]
    assert config.text_kind == {"dense": "qwen3", "moe": "qwen3_moe"}[kind]
    assert config.hidden_size == config.audio.output_dim == {"dense": 64, "moe": 32}[kind]
    assert (config.audio_token_index, config.audio_bos_index) == (ids["<|AUDIO|>"], ids["<|audio_bos|>"])
    assert (config.audio_eos_index, config.sil_index) == (ids["<|audio_eos|>"], ids["<|sil|>"])
    assert config.chunk_length == 300
    assert (config.audio.group_size, config.audio.codebook_size, config.audio.sounds) == (5, 6565, 6561)
    assert config.audio.head["num_hidden_layers"] == 2
    assert config.vocab_size == 272
    assert config.generation["eos_token_id"] == 258
    assert not config.tied_text_head
    assert config.stored_dtype == "bfloat16"


def test_absent_fields_have_the_values_of_upstreams_classes(tmp_path: Path) -> None:
    kept = ("codebook_size", "bos_token_id", "eos_token_id", "pad_token_id", "crq_transformer_config")
    audio = {k: v for k, v in GIVEN["config.json"]["audio_config"].items() if k in kept}
    text = {
        "model_type": "qwen3",
        "hidden_size": 3584,
        "audio_bos_index": 151670,
        "audio_eos_index": 151671,
    }
    config = {"model_type": "funaudiochat", "audio_config": audio, "text_config": text}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text('{"feature_size": 128}')
    read = read_config(tmp_path)
    own = read.audio
    assert (own.num_mel_bins, own.d_model, own.encoder_layers) == (128, 1280, 32)
    assert (own.encoder_attention_heads, own.encoder_ffn_dim, own.activation_function) == (20, 5120, "gelu")
    assert (own.max_source_positions, own.n_window, own.output_dim, own.group_size) == (1500, 100, 3584, 5)
    assert own.continuous_features_mode == "replace"
    assert (read.audio_token_index, read.sil_index, read.vocab_size) == (151646, None, 151936)
    assert (read.audio_token, read.audio_bos_token) == ("<|AUDIO|>", "<|audio_bos|>")
    assert (read.audio_eos_token, read.generation, read.stored_dtype) == ("<|audio_eos|>", {}, None)
    assert read.chunk_length == 30, "the class default of a Whisper feature extractor"


WRONG = [
    (
        "config",
        "model_type",
        "qwen2_audio",
        r'config\.json: model_type is "qwen2_audio".*reads "funaudiochat"',
    ),
    ("config", "model_type", GONE, r'model_type is ""'),
    ("config", "text_config.model_type", "qwen2", r'text_config\.model_type is "qwen2".*qwen3 and qwen3_moe'),
    ("config", "text_config.model_type", GONE, r'text_config\.model_type is "qwen2"'),
    ("config", "audio_config.enable_audio_invert_tower", False, r"enable_audio_invert_tower is false"),
    ("config", "audio_config.group_size", 4, r"processor_config\.json: audio_group_size is 5 .*group_size 4"),
    (
        "config",
        "audio_config.output_dim",
        32,
        r"text_config\.hidden_size is 64 and audio_config\.output_dim is 32",
    ),
    ("config", "hidden_size", 65, r"config\.json: hidden_size is 65"),
    ("config", "audio_config.codebook_size", 6563, r"audio_config\.codebook_size is 6563: too small"),
    ("config", "audio_config.codebook_size", GONE, r"audio_config\.codebook_size is missing"),
    ("config", "audio_config.bos_token_id", 6562, r"bos_token_id and its like must differ"),
    ("config", "audio_config.d_model", 33, r"audio_config\.d_model is 33: it must be even"),
    ("config", "audio_config.encoder_attention_heads", 3, r"multiple of 3 attention heads"),
    ("config", "audio_config.activation_function", "relu", r'activation_function is "relu"; supported: gelu'),
    ("config", "audio_config.continuous_features_mode", "mix", r'is "mix"; supported: replace, add'),
    ("config", "audio_config.max_source_positions", 50, r"max_source_positions is 50, fewer than the 100"),
    ("config", "audio_config.crq_transformer_config", None, r"crq_transformer_config is missing"),
    ("config", "audio_config.crq_transformer_config.model_type", "llama", r'is "llama"; supported: qwen3'),
    ("config", "audio_config.crq_transformer_config.num_key_value_heads", 4, r"does not divide 2 heads"),
    ("config", "text_config.audio_bos_index", GONE, r"text_config\.audio_bos_index is missing"),
    ("config", "text_config.audio_eos_index", 262, r"must differ"),
    ("config", "text_config.sil_index", 272, r"sil_index is 272, and the text model has 272 embeddings"),
    ("config", "text_config.use_sliding_window", True, r"use_sliding_window is true"),
    ("config", "text_config.rope_scaling", {"rope_type": "yarn"}, r'rope_type is "yarn"'),
    ("config", "text_config", [], r"text_config must be an object, not \[\]"),
    ("config", "quantization_config", {"quant_method": "fp8"}, r"quantised weights are not supported"),
    ("config", "audio_token_index", True, r"audio_token_index must be a whole number"),
    ("preprocessor_config", "feature_size", 80, r"preprocessor_config\.json: feature_size is 80.*takes 128"),
    ("preprocessor_config", "sampling_rate", 24000, r"sampling_rate is 24000.*takes 16000"),
    ("preprocessor_config", "chunk_length", 0, r"chunk_length must be a whole number from 1"),
    ("preprocessor_config", "dither", 0.1, r"dither is 0\.1"),
    ("preprocessor_config", "feature_extractor_type", "Other", r'feature_extractor_type is "Other"'),
    ("processor_config", "audio_token", "<|audio_bos|>", r"three different strings"),
    ("generation_config", "eos_token_id", "258", r"generation_config\.json: eos_token_id must be a token id"),
]


@pytest.mark.parametrize(("file", "path", "value", "said"), WRONG)
def test_each_wrong_field_is_named(tmp_path: Path, file: str, path: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_config(folder(tmp_path, **{file: {path: value}}))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / f"{file}.json") in str(caught.value) or file == "config", "the file is named, too"


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "added_tokens.json"])
def test_ids_that_the_config_leaves_out_are_the_tokenizers(tmp_path: Path, file: str) -> None:
    at = folder(tmp_path, config={"text_config.audio_bos_index": GONE, "text_config.audio_eos_index": GONE})
    with pytest.raises(UsageError, match=r"audio_bos_index is missing"):
        read_config(at)
    ids = {"<|audio_bos|>": 262, "<|audio_eos|>": 263}
    (at / "added_tokens.json").write_text(json.dumps(ids))
    if file != "added_tokens.json":
        (at / "added_tokens.json").unlink()
        (at / file).write_text((DENSE / file).read_text())
    config = read_config(at)
    assert (config.audio_bos_index, config.audio_eos_index) == (262, 263)


def test_a_mixture_that_asks_for_more_experts_than_there_are(tmp_path: Path) -> None:
    folder(tmp_path)
    values = deepcopy(MIXTURE)
    values["text_config"]["num_experts_per_tok"] = 5
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match="num_experts_per_tok is 5, more than the 4"):
        read_config(tmp_path)


def test_places_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        read_config(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a file, not a folder"):
        read_config(tmp_path / "file")
    with pytest.raises(UsageError, match=r"no config\.json"):
        read_config(tmp_path)
    folder(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UsageError, match="how many seconds of a clip"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'"text"',
        b"\xff\xfe\x00",
        b"{'a': 1}",
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_json_object(tmp_path: Path, name: str, content: bytes) -> None:
    (folder(tmp_path) / name).write_bytes(content)
    with pytest.raises(UsageError, match=name.replace(".", r"\.")) as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (folder(tmp_path) / "generation_config.json").unlink()
    (tmp_path / "generation_config.json").mkdir()
    with pytest.raises(UsageError, match=r"generation_config\.json can't be read"):
        read_config(tmp_path)


ODD: tuple[Any, ...] = (
    GONE, None, True, False, -1, 0, 1, 7, 3.5, 1e300, -1e300, float("nan"), float("inf"), 10**400, "", "x", "7", [],
    [1], {}, {"a": {}}, [[]], 2**31, 2**63,
)  # fmt: skip


def paths(values: Any, above: tuple[str, ...] = ()) -> Iterator[list[str]]:
    for key, value in values.items():
        yield [*above, key]
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def test_whatever_a_field_holds_only_one_kind_of_error_comes_out(tmp_path: Path) -> None:
    """Every field of every file, deleted and set to values of every type."""
    read = refused = 0
    folder(tmp_path)
    for name, given in (*GIVEN.items(), ("config.json", MIXTURE)):
        for path in paths(given):
            for odd in ODD:
                values = deepcopy(given)
                put(values, path, odd)
                (tmp_path / name).write_text(json.dumps(values))
                try:
                    read_config(tmp_path)
                    read += 1
                except UsageError as error:
                    refused += 1
                    assert "\n" not in str(error)
                    assert len(str(error)) < 500 + len(str(tmp_path))
        (tmp_path / name).write_text(json.dumps(GIVEN[name]))
    assert read > 500
    assert refused > 500


def test_no_torch_is_needed() -> None:
    code = (
        "import sys; from pathlib import Path; from evalkit.runners.fun_audio_chat.folder.config import read_config; "
        f"read_config(Path({str(DENSE)!r})); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
