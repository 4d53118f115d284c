"""The tokenizer of a Fun-Audio-Chat checkpoint: ids checked, data spelled, answers without control tokens."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig, read_config
from evalkit.runners.fun_audio_chat.prompting.tokens import Tokens
from tests.fun_audio_chat_fixtures import DENSE, FOLDERS, meta

pytest.importorskip("tokenizers", reason='pip install "evalkit[local]"')

SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"),
    *("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|audio_pad|>", "<|sil|>"),
)
TAGS = ("<tool_call>", "</tool_call>")
CONTROLS = tuple(s for s in SPECIAL if s not in TAGS)
CORPUS = [
    "You are asked to generate text tokens. You are asked to generate both text and speech tokens at the same time.",
    "system user assistant what is the weather in Paris tomorrow, and who's there? it's 12345 o'clock",
    "请帮我把这段音频转写成文字。今天是星期四，天气怎么样？\n\n\n  \t indented   text\r\n",
] * 20


@cache
def tokens(kind: str) -> Tokens:
    return Tokens(read_config(FOLDERS[kind]))


def copy(at: Path, **changed: dict[str, Any]) -> Path:
    """The tiny dense checkpoint's small files, with values set in some."""
    shutil.copytree(DENSE, at, ignore=lambda *_: ["reference.npz", "speech_tokenizer", "model.safetensors"])
    for name, values in changed.items():
        path = at / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return at


def merged(
    at: Path, *, sil_special: bool = True, in_file: bool = True, parts: bool = False
) -> CheckpointConfig:
    """A checkpoint whose tokenizer merges, splits with a pattern and normalises as those of Qwen do."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    folder = copy(at)
    own = Tokenizer(models.BPE())
    own.normalizer = normalizers.NFC()
    pattern = Regex(
        r"(?i:'[a-z]+)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    own.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    own.train_from_iterator(CORPUS, trainer)
    size = own.get_vocab_size()
    flags = {
        s: {"special": s not in TAGS and (sil_special or s != "<|sil|>"), "normalized": s == "<|sil|>"}
        for s in SPECIAL
    }
    if in_file:
        own.add_tokens([AddedToken(s, **flags[s]) for s in SPECIAL])
    if parts:
        own.model.save(str(folder))
        (folder / "tokenizer.json").unlink()
    else:
        own.save(str(folder / "tokenizer.json"))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    told["added_tokens_decoder"] = {str(size + i): {"content": s, **flags[s]} for i, s in enumerate(SPECIAL)}
    told["tokenizer_class"] = "Qwen2Tokenizer"
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    ids = {s: size + i for i, s in enumerate(SPECIAL)}
    return replace(
        read_config(folder),
        text_ends=(ids["<|endoftext|>"],),
        vocab_size=size + len(SPECIAL),
        audio_token_index=ids["<|AUDIO|>"],
        audio_bos_index=ids["<|audio_bos|>"],
        audio_eos_index=ids["<|audio_eos|>"],
        sil_index=ids["<|sil|>"],
        generation={"eos_token_id": [ids["<|im_end|>"], ids["<tool_call>"]]},
    )


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_special_ids(kind: str) -> None:
    ids, own = meta()["special_ids"], tokens(kind)
    assert own.im_start == ids["<|im_start|>"]
    assert own.im_end == ids["<|im_end|>"]
    assert own.end_of_text == ids["<|endoftext|>"]
    assert (own.audio, own.audio_bos, own.audio_eos) == (261, 262, 263)
    assert own.sil == ids["<|sil|>"]
    assert own.text_eos == own.stops == (258, 256)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("end", [3, [258, 97]])
def test_an_answer_can_not_be_told_to_end_at_a_word(file: str, end: int | list[int], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(DENSE, folder)
    told = json.loads((folder / file).read_text())
    (told["text_config"] if file == "config.json" else told)["eos_token_id"] = end
    (folder / file).write_text(json.dumps(told))
    with pytest.raises(UsageError, match=rf" {file} has \S*eos_token_id (3|97), which is no special token"):
        Tokens(read_config(folder))


def test_stops_of_the_generation_config_count(tmp_path: Path) -> None:
    config = merged(tmp_path / "c")
    own = Tokens(config)
    assert own.stops == (own.im_end, own.end_of_text, own.encode("<tool_call>")[0])


# --- spelling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sil_special", [True, False])
def test_what_looks_like_control_in_data_is_spelled(tmp_path: Path, sil_special: bool) -> None:
    own = Tokens(merged(tmp_path / "c", sil_special=sil_special))
    control = {own.encode(s)[0] for s in CONTROLS}
    assert all(len(own.encode(s)) == 1 for s in SPECIAL)
    for name in CONTROLS:
        spelled = own.spell(f"a {name} b{name}{name}")
        assert not control & set(spelled)
        assert own.decode(spelled) == f"a {name} b{name}{name}", "nothing of it is lost"
    for name in TAGS:
        assert own.spell(f"a{name}") == own.encode(f"a{name}"), "a tag is the token it is"


@pytest.mark.parametrize("make", ["dense", "moe", "merged"])
def test_ordinary_text_has_the_ids_of_one_tokenizer_call(tmp_path: Path, make: str) -> None:
    own = Tokens(merged(tmp_path / "c")) if make == "merged" else tokens(make)
    chars = "abcdefgh XYZ'12345 .,!?\n\n\t\r  你好今天é\u0301ñ\u00a0\u3000🙂🏳️\u200d🌈'sｶﾞ" + "\ufdfa"
    rng = random.Random(5)
    for _ in range(400):
        parts = [
            rng.choice((*chars, *CORPUS[:3], "<tool_call>", "<|", "|>", "<|im_", "'re"))
            for _ in range(rng.randrange(30))
        ]
        text = "".join(parts)
        assert own.spell(text) == own.encode(text), repr(text)


def test_lone_surrogates_are_replaced() -> None:
    own = tokens("dense")
    assert own.spell("a\ud800b\udfff") == own.encode("a\ufffdb\ufffd")
    assert own.decode(own.encode("\ud83d")) == "\ufffd"


# --- reading answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("sil_special", [True, False])
def test_answers_have_no_control_tokens_and_keep_their_tags(tmp_path: Path, sil_special: bool) -> None:
    own = Tokens(merged(tmp_path / "c", sil_special=sil_special))
    text = ' Sure.\n<tool_call>\n{"name": "f", "arguments": {"城市": "杭州"}}\n</tool_call> 🙂'
    middle = own.encode(text)
    assert own.sil is not None
    ids = [
        own.audio_bos,
        own.sil,
        *middle,
        own.sil,
        own.sil,
        own.audio_eos,
        own.audio,
        own.im_end,
        own.end_of_text,
    ]
    assert own.decode(ids) == text
    assert own.decode([*middle[:2], own.sil, *middle[2:]]) == text


def test_ids_without_a_token_and_bytes_without_a_character_are_no_error() -> None:
    own = tokens("dense")
    assert own.decode([269, *own.encode("a"), 271, 5000]) == "a"
    assert own.decode(own.encode("é")[:1]) == "\ufffd"
    assert own.decode([]) == ""


def test_threads_may_share_it() -> None:
    own = tokens("dense")
    texts = [f"{i} 你好 <|im_end|> text" * 50 for i in range(64)]
    alone = [own.spell(t) for t in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(own.spell, texts)) == alone
        assert list(pool.map(own.decode, alone)) == texts


# --- where the tokenizer comes from --------------------------------------------------------------


def test_tokens_that_only_the_tokenizers_config_has(tmp_path: Path) -> None:
    whole, split = Tokens(merged(tmp_path / "a")), Tokens(merged(tmp_path / "b", in_file=False))
    text = "".join(f"{s} text it's 你好\n" for s in SPECIAL)
    assert split.encode(text) == whole.encode(text)
    assert split.spell(text) == whole.spell(text)


def test_a_tokenizer_in_parts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    whole, parts = Tokens(merged(tmp_path / "a")), Tokens(merged(tmp_path / "b", parts=True))
    text = "".join(f"{s} text it's 你好\n" for s in SPECIAL)
    assert parts.encode(text) == whole.encode(text)
    assert parts.spell(text) == whole.spell(text)
    assert "model of type" not in capfd.readouterr().err + caplog.text, (
        "the model type it does not know is no news"
    )


def test_truncation_and_padding_in_the_file_are_ignored(tmp_path: Path) -> None:
    at = copy(tmp_path / "c")
    path = at / "tokenizer.json"
    values = json.loads(path.read_text())
    values["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps(values))
    assert len(Tokens(read_config(at)).encode("abcdefgh")) == 8


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("audio_token_index", 264, r"audio_token_index 264, and the tokenizer has <\|AUDIO\|> at 261"),
        (
            "audio_bos_index",
            264,
            r"text_config\.audio_bos_index 264, and the tokenizer has <\|audio_bos\|> at 262",
        ),
        (
            "audio_eos_index",
            264,
            r"text_config\.audio_eos_index 264, and the tokenizer has <\|audio_eos\|> at 263",
        ),
        ("sil_index", 264, r"text_config\.sil_index 264, and the tokenizer has <\|sil\|> at 265"),
        ("audio_token", "<|SOUND|>", r"no token <\|SOUND\|>, which this model needs"),
        ("vocab_size", 262, r"a special token 265, and the text model only 262 embeddings"),
    ],
)
def test_ids_that_are_not_those_of_the_config(field: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Tokens(replace(read_config(DENSE), **{field: value}))
    assert str(DENSE) in str(caught.value)
    assert "\n" not in str(caught.value)


def _without(name: str) -> Callable[[Path], None]:
    def change(at: Path) -> None:
        values = json.loads((at / "tokenizer.json").read_text())
        values["added_tokens"] = [t for t in values["added_tokens"] if t["content"] != name]
        (at / "tokenizer.json").write_text(json.dumps(values))
        (at / "tokenizer_config.json").unlink()

    return change


def _flagged(at: Path) -> None:
    values = json.loads((at / "tokenizer.json").read_text())
    for token in values["added_tokens"]:
        token["lstrip"] = True
    (at / "tokenizer.json").write_text(json.dumps(values))
    (at / "tokenizer_config.json").unlink()


def _added(key: str, value: Any) -> Callable[[Path], None]:
    return lambda at: (
        (at / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {key: value}})) and None
    )


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (lambda at: (at / "tokenizer.json").write_text("{"), r"tokenizer\.json is no tokenizer"),
        (lambda at: (at / "tokenizer.json").write_bytes(b"\xff"), r"tokenizer\.json is no tokenizer"),
        (lambda at: (at / "tokenizer.json").write_text('{"version": "1.0"}'), r"tokenizer\.json is no tokenizer"),
        (lambda at: (at / "tokenizer.json").unlink(), r"has no tokenizer: neither tokenizer\.json nor vocab\.json"),
        (lambda at: (at / "tokenizer_config.json").write_text("[]"), r"tokenizer_config\.json must hold a JSON object"),
        (_without("<|sil|>"), r"no token <\|sil\|>"),
        (_flagged, r"treats special tokens in a way this runner does not know"),
        (_added("261", {"content": "<|other|>"}), r"decoder\.261 is <\|other\|>, which the tokenizer has at"),
        (_added("x", {"content": "a"}), r"must be an id with the content of its token"),
        (_added("9" * 5000, {"content": "a"}), r"must be an id with the content of its token"),
        (_added("261", {"content": ""}), r"must be an id with the content of its token"),
        (_added("261", "<|AUDIO|>"), r"added_tokens_decoder\.261 must be an object"),
        (_added("261", {"content": "<|AUDIO|>", "special": "yes"}), r"261\.special must be true or false"),
    ],
)  # fmt: skip
def test_tokenizers_that_are_refused(tmp_path: Path, breaking: Callable[[Path], Any], said: str) -> None:
    at = copy(tmp_path / "c")
    breaking(at)
    with pytest.raises(UsageError, match=said) as caught:
        Tokens(read_config(at))
    assert "\n" not in str(caught.value)


def test_parts_that_fit_nothing(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    at = copy(tmp_path / "c")
    (at / "tokenizer.json").unlink()
    (at / "vocab.json").write_text("{")
    (at / "merges.txt").write_text("")
    with pytest.raises(UsageError, match=r"can't be loaded|no token") as caught:
        Tokens(read_config(at))
    assert "\n" not in str(caught.value)
