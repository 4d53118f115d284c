"""The checkpoint's tokenizer: its special ids checked, prompts spelled, answers read.

Source: runner specification, sections 2, 6, 7 and 10. The tokenizer file is read as it is, without transformers where
it can be: no code of the checkpoint runs, and every version reads the same ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.records import JSON
from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig
from evalkit.runners.fun_audio_chat.folder.fields import Fields, read_json
from evalkit.runners.fun_audio_chat.prompting.chatml import END_OF_TEXT, IM_END, IM_START

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SIL, AUDIO_PAD = "<|sil|>", "<|audio_pad|>"

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_SURROGATES = re.compile("[\ud800-\udfff]")
_PROBE = (
    "\n You are asked to generate text tokens.\n 请转写这段音频。"
    " <tool_call>\n{}\n</tool_call> \n\n  a1, it's \n"
)
"""Blanks at both ends: a tokenizer may be told to take them away beside a special token."""


class Tokens:
    """The tokenizer of a checkpoint folder. Safe to share between threads: nothing changes after the start.

    Attributes:
        im_start, im_end, end_of_text, audio, audio_bos, audio_eos: ids of the special tokens.
        sil: id of silence in the text; None where the checkpoint has none.
        stops: ids that end an answer of text: `<|im_end|>`, `<|endoftext|>`, and those of generation_config.json.

    Raises:
        UsageError: no tokenizer, or its ids are not those of config.json; it names both.
    """

    def __init__(self, config: CheckpointConfig) -> None:
        self._folder = config.folder
        self._parsing = _load(config)
        self.im_start, self.im_end, self.end_of_text = (self._id(n) for n in (IM_START, IM_END, END_OF_TEXT))
        self.audio = self._checked(config.audio_token, config.audio_token_index, "audio_token_index")
        self.audio_bos = self._checked(
            config.audio_bos_token, config.audio_bos_index, "text_config.audio_bos_index"
        )
        self.audio_eos = self._checked(
            config.audio_eos_token, config.audio_eos_index, "text_config.audio_eos_index"
        )
        self.sil = self._parsing.token_to_id(SIL)
        if config.sil_index is not None:
            self.sil = self._checked(SIL, config.sil_index, "text_config.sil_index")
        controls = {
            IM_START: self.im_start,
            IM_END: self.im_end,
            END_OF_TEXT: self.end_of_text,
            config.audio_token: self.audio,
            config.audio_bos_token: self.audio_bos,
            config.audio_eos_token: self.audio_eos,
        }
        for name in (SIL, AUDIO_PAD):
            if (found := self._parsing.token_to_id(name)) is not None:
                controls[name] = found
        if (largest := max(controls.values())) >= config.vocab_size:
            raise UsageError(
                f"{self._folder}: the tokenizer has a special token {largest}, and the text model only "
                f"{config.vocab_size} embeddings (text_config.vocab_size)"
            )
        self._controls = frozenset(controls.values())
        self._spelling = _spelling(self._parsing, controls)
        self._stated = _stops(config)
        self._check_ends(config)
        self._check_pieces(controls)

    @cached_property
    def stops(self) -> tuple[int, ...]:
        """Ids that end an answer of text."""
        return tuple(dict.fromkeys((self.im_end, self.end_of_text, *self._stated)))

    @property
    def text_eos(self) -> tuple[int, ...]:
        """The same as `stops`: what `Decoding.text_eos` takes."""
        return self.stops

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt as one call of the tokenizer gives them: special tokens in the text are special."""
        return list(self._parsing.encode(_whole(text), add_special_tokens=False).ids)

    def spell(self, text: str) -> list[int]:
        """Ids of text that is data: what looks like a special token in it is spelled like any other text.

        Tags that are tokens without being special (`<tool_call>`) are those tokens. Lone surrogates become U+FFFD.
        """
        return list(self._spelling.encode(_whole(text), add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of an answer, without special tokens, whether the tokenizer flags them as special or not.

        Tags that are no special tokens (`<tool_call>`) stay; ids that no token has are passed over.
        """
        kept = [int(i) for i in ids if int(i) not in self._controls]
        return str(self._parsing.decode(kept, skip_special_tokens=True))

    def _id(self, name: str) -> int:
        found = self._parsing.token_to_id(name)
        if found is None:
            raise UsageError(f"{self._folder}: the tokenizer has no token {name}, which this model needs")
        return int(found)

    def _checked(self, name: str, stated: int, field: str) -> int:
        if (found := self._id(name)) != stated:
            raise UsageError(
                f"{self._folder}: config.json has {field} {stated}, and the tokenizer has {name} at {found}: "
                "they belong to different checkpoints"
            )
        return found

    def _check_ends(self, config: CheckpointConfig) -> None:
        """What is stated to end an answer must be a token of its own, or an answer would end at some word."""
        own = self._parsing.get_added_tokens_decoder()
        for name, stated in (
            ("config.json has text_config.eos_token_id", config.text_ends),
            ("generation_config.json has eos_token_id", self._stated),
        ):
            if words := [end for end in stated if end not in own]:
                raise UsageError(
                    f"{self._folder}: {name} {words[0]}, which is no special token of the tokenizer: they belong to "
                    "different checkpoints"
                )

    def _check_pieces(self, controls: Mapping[str, int]) -> None:
        """Prompts are put together from pieces; a tokenizer that sees a whole prompt otherwise would be misread."""
        pieces: list[int] = []
        for number in controls.values():
            pieces += [number, *self.spell(_PROBE)]
        whole = self.encode("".join(name + _PROBE for name in controls))
        spelled = self.spell("".join(controls))
        if pieces != whole or self._controls & set(spelled):
            raise UsageError(
                f"{self._folder}: the tokenizer treats special tokens in a way this runner does not know (they "
                "change the text beside them, or can't be spelled)"
            )


def _whole(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text)


def _load(config: CheckpointConfig) -> Tokenizer:
    """The tokenizer as upstream would have it: its file, then the tokens that tokenizer_config.json adds."""
    folder = config.folder
    try:
        from tokenizers import Tokenizer
    except ImportError as exc:
        raise UsageError('Fun-Audio-Chat needs tokenizers: pip install "evalkit[local]"') from exc
    if not (folder / "tokenizer.json").is_file():
        return _from_parts(config)
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as exc:  # the library raises plain Exception
        raise UsageError(f"{folder / 'tokenizer.json'} is no tokenizer: {_line(exc)}") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _add(tokenizer, read_json(folder / "tokenizer_config.json", missing_ok=True))
    return tokenizer


def _add(tokenizer: Tokenizer, own: Fields) -> None:
    """Tokens that tokenizer_config.json has beside those of the tokenizer's file, at the ids it says."""
    from tokenizers import AddedToken

    if own.values.get("added_tokens_decoder") is None:
        return
    added = own.part("added_tokens_decoder")
    for key, value in sorted(added.values.items(), key=lambda item: (len(item[0]), item[0])):
        token = added.part(key)
        name = token.text("content", "")
        if not re.fullmatch("[0-9]{1,9}", key) or not name:
            raise added.error(key, f"must be an id with the content of its token, not {value!r}")
        flags = {flag: token.flag(flag, False) for flag in _FLAGS}
        tokenizer.add_tokens([AddedToken(name, **flags)])
        if (found := tokenizer.token_to_id(name)) != int(key):
            raise added.error(key, f"is {name}, which the tokenizer has at {found}")


def _from_parts(config: CheckpointConfig) -> Tokenizer:
    """A tokenizer that lies in parts (vocab.json, merges.txt): transformers puts it together."""
    folder = config.folder
    if not (folder / "vocab.json").is_file():
        raise UsageError(f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt")
    try:
        from transformers import AutoTokenizer, logging
    except ImportError as exc:
        raise UsageError('Fun-Audio-Chat needs transformers: pip install "evalkit[local]"') from exc
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # it says that it does not know the model, and need not
    try:
        loaded = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        tokenizer: Tokenizer | None = getattr(loaded, "backend_tokenizer", None)
    except Exception as exc:  # it raises what it likes
        raise UsageError(f"the tokenizer in {folder} can't be loaded: {_line(exc)}") from exc
    finally:
        logging.set_verbosity(before)
    if tokenizer is None:
        raise UsageError(f"the tokenizer in {folder} has no fast form: add its tokenizer.json")
    return tokenizer


def _spelling(tokenizer: Tokenizer, controls: Iterable[str]) -> Tokenizer:
    """A copy that spells special tokens; the model's own count as special, whatever the tokenizer's file says."""
    from tokenizers import AddedToken, Tokenizer

    copy = Tokenizer.from_str(tokenizer.to_str())
    flags = {str(token.content): token for token in tokenizer.get_added_tokens_decoder().values()}
    for name in controls:
        known = flags.get(name)
        kept = {flag: bool(getattr(known, flag)) for flag in _FLAGS[:-1]} if known is not None else {}
        copy.add_special_tokens([AddedToken(name, special=True, **kept)])
    copy.encode_special_tokens = True
    return copy


def _stops(config: CheckpointConfig) -> Sequence[int]:
    """Stop ids of generation_config.json (their type was checked when the config was read)."""
    stated: JSON = config.generation.get("eos_token_id")
    if stated is None:
        return ()
    return tuple(stated) if isinstance(stated, list) else (int(stated),)


def _line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0][:200]
