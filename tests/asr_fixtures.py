"""Tiny Whisper models with random weights, in the layouts that the real ones have on disk.

They hear nonsense, but the whole way to it is real: files, tokenizer, features, generation, batches.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

LANGUAGES = ("en", "zh", "de", "fr")
TIMESTAMPS = 1501


def torch_or_skip() -> Any:
    return pytest.importorskip("torch", reason='needs pip install "evalkit[local]"')


def _specials() -> list[str]:
    return [
        *("<|endoftext|>", "<|startoftranscript|>"),
        *(f"<|{code}|>" for code in LANGUAGES),
        *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"),
        "<|notimestamps|>",
        *(f"<|{i * 0.02:.2f}|>" for i in range(TIMESTAMPS)),
    ]


def _bytes() -> list[str]:
    """The 256 letters that byte-level tokenizers write bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    for n, b in enumerate(b for b in range(256) if b not in letters):
        letters[b] = chr(256 + n)
    return [letters[b] for b in range(256)]


def tiny_transformers_whisper(
    folder: Path, *, multilingual: bool = True, seed: int = 0, words: int = 0, positions: int = 64
) -> Path:
    """A Whisper of two thin layers as transformers saves it: config, generation config, tokenizer, weights.

    Args:
        words: made-up words in the vocabulary beside the bytes.
        positions: tokens that the decoder can place.
    """
    torch = torch_or_skip()
    transformers = pytest.importorskip("transformers", reason='needs pip install "evalkit[local]"')
    vocab = {token: i for i, token in enumerate([*_bytes(), *(f"w{i}" for i in range(words))])}
    specials = _specials()
    ids = {token: len(vocab) + i for i, token in enumerate(specials)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab | {"<|endoftext|>": ids["<|endoftext|>"]}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.WhisperTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token="<|endoftext|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": specials[1:]})
    assert tokenizer.convert_tokens_to_ids("<|notimestamps|>") == ids["<|notimestamps|>"]
    tokenizer.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    config = transformers.WhisperConfig(
        vocab_size=len(vocab) + len(specials),
        num_mel_bins=80,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=positions,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(seed)
    model = transformers.WhisperForConditionalGeneration(config)
    with torch.no_grad():  # sharper than at birth, so that batches and single pieces agree on each token
        for parameter in model.parameters():
            parameter.mul_(3.0)
    languages = {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES}
    settings = {
        "max_length": 40,
        "eos_token_id": end,
        "pad_token_id": end,
        "bos_token_id": end,
        "decoder_start_token_id": start,
        "is_multilingual": multilingual,
        "lang_to_id": languages,
        "task_to_id": {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "max_initial_timestamp_index": 50,
        "return_timestamps": False,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
        "alignment_heads": [[0, 0]],
    }
    model.generation_config._from_model_config = False
    for name, value in settings.items():
        if multilingual or name not in ("lang_to_id", "task_to_id"):
            setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    return folder


def tiny_ctc(folder: Path) -> Path:
    """A wav2vec 2.0 with a CTC head over a few letters, as transformers saves it."""
    torch = torch_or_skip()
    transformers = pytest.importorskip("transformers", reason='needs pip install "evalkit[local]"')
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefgh"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(letters)}))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        feat_extract_norm="layer",
        conv_dim=(16, 16),
        conv_stride=(20, 16),
        conv_kernel=(40, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        do_stable_layer_norm=True,
    )
    model = transformers.Wav2Vec2ForCTC(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(30.0)
    model.save_pretrained(folder)
    return folder


def tiny_openai_whisper(path: Path, *, multilingual: bool = True, seed: int = 0) -> Path:
    """A checkpoint as openai-whisper's `load_model` reads it: dimensions and weights."""
    torch = torch_or_skip()
    whisper = pytest.importorskip("whisper.model", reason='needs pip install "evalkit[whisper]"')
    torch.manual_seed(seed)
    dims = whisper.ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=32,
        n_audio_head=2,
        n_audio_layer=1,
        n_vocab=51865 if multilingual else 51864,
        n_text_ctx=48,
        n_text_state=32,
        n_text_head=2,
        n_text_layer=1,
    )
    model = whisper.Whisper(dims)
    with torch.no_grad():  # louder than at birth, so that what is heard is written
        for parameter in model.parameters():
            parameter.mul_(3.0)
        model.decoder.positional_embedding.normal_(0, 1)
    torch.save({"dims": dims.__dict__, "model_state_dict": model.state_dict()}, path)
    return path
