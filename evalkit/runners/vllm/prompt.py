"""A sample made into what vLLM is asked, and the proof of the audio in it.

Fun-Audio-Chat gets the prompt it was trained with, ids and all, as its own runner writes it; vLLM only expands the
placeholders. Other models get messages, which vLLM puts through their own chat template.
Source: runner specification, sections 6, 11 and 13.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.audio import AudioError, decode
from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON, Audio, Sample, SentAudio, digest_of
from evalkit.runners.audio_limits import AudioLimits
from evalkit.runners.openai.options import Options as MessageOptions
from evalkit.runners.openai.request import Encoded, encode_all, messages_of, tools_of
from evalkit.runners.tool_prompt import OWN_FRAME, in_own_words
from evalkit.runners.vllm import engine
from evalkit.runners.vllm.engine import Reply
from evalkit.runners.vllm.options import Options
from evalkit.runners.vllm.source import Source

if TYPE_CHECKING:
    from evalkit.runners.fun_audio_chat.prompting.prompts import Chat, Frame
    from evalkit.runners.fun_audio_chat.prompting.tokens import Tokens

RATE = 16_000
"""Hz, of what Fun-Audio-Chat hears."""
SLOTS_PER_SECOND = 25
MOST_SLOTS = 7500
"""Speech slots of 300 s: vLLM takes no longer clip, and one of just that length only with flash_attn."""
FAC_MODEL_LEN = 8192
"""Tokens of prompt and answer by default: 300 s of audio are 1500. The config's 262144 would need the memory of many
GPUs, which vLLM reserves at its start."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What vLLM is asked, and what of the sample's audio is in it."""

    prompt: engine.Tokens | engine.Chat
    sent: tuple[SentAudio, ...]


class Prompts(Protocol):
    """How a model is asked."""

    def identity(self) -> Mapping[str, JSON]:
        """What of the prompts decides answers, texts by their sha256. Raises UsageError."""
        ...

    def engine_args(self) -> Mapping[str, Any]:
        """Engine arguments that this model needs; the user's own come after them."""
        ...

    def sampling(self) -> Mapping[str, Any]:
        """Arguments of `vllm.SamplingParams` that this model needs."""
        ...

    async def prepare(self, sample: Sample) -> Prepared:
        """Raises RunnerError when the sample can't be asked."""
        ...

    async def preview(self, sample: Sample) -> JSON:
        """What would be sent, audio by its facts. Raises RunnerError."""
        ...

    def text_of(self, reply: Reply) -> str:
        """The answer in words."""
        ...


class FunAudioChatPrompts:
    """ChatML, the published system text for answers in text, one placeholder for each piece of audio.

    Raises:
        UsageError: the checkpoint's description is wrong, or its text model is none that vLLM has.
    """

    def __init__(self, source: Source, options: Options) -> None:
        from evalkit.runners.fun_audio_chat.folder.config import read_config
        from evalkit.runners.fun_audio_chat.prompting.chatml import S2T

        if options.chat_template is not None or options.template_args:
            raise UsageError(
                "chat_template and template_args are for other models: Fun-Audio-Chat gets plain ChatML"
            )
        self.options = options
        self.config = read_config(source.folder)
        if self.config.text_kind == "qwen3_moe":
            raise UsageError(
                f"vLLM can't run {source.label}: its Fun-Audio-Chat has a dense Qwen3 as text model, and this "
                f"checkpoint is a mixture of experts (qwen3_moe); take --model fun-audio-chat/{source.name}"
            )
        self.system = options.system or S2T

    @cached_property
    def tokens(self) -> Tokens:
        """The checkpoint's tokenizer. Raises UsageError."""
        from evalkit.runners.fun_audio_chat.prompting.tokens import Tokens

        return Tokens(self.config)

    @cached_property
    def frame(self) -> Frame:
        """How tools are told. Raises UsageError."""
        from evalkit.runners.fun_audio_chat.prompting.prompts import Frame, tools_frame

        return Frame(OWN_FRAME, "own") if self.options.tools == "prompt" else tools_frame(self.config)

    def identity(self) -> Mapping[str, JSON]:
        return {
            "chat": "chatml",
            "system": _sha8(self.system),
            "tools": f"{self.frame.origin}@{self.frame.sha256[:8]}",
        }

    def engine_args(self) -> Mapping[str, Any]:
        from evalkit.runners.vllm.mend import QUALNAME

        length = min(self.options.audio_seconds, float(self.config.chunk_length), 299.0)
        return {
            "max_model_len": min(
                FAC_MODEL_LEN, int(self.config.text.get("max_position_embeddings") or 32768)
            ),
            # vLLM would size its memory with a clip of 300 s, which its model refuses without flash_attn.
            "limit_mm_per_prompt": {
                "audio": {"count": self.options.limit_audio, "length": int(length * RATE)}
            },
            "worker_extension_cls": QUALNAME,
        }

    def sampling(self) -> Mapping[str, Any]:
        return {"stop_token_ids": list(self.tokens.stops), "detokenize": False}

    async def prepare(self, sample: Sample) -> Prepared:
        chat = self._chat(sample)
        waves, sent = [], []
        for audio in chat.audios:
            wave = await asyncio.to_thread(_decoded, audio, sample)
            self._fits(len(wave), sample)
            waves.append((wave, RATE))
            heard = min(len(wave) / RATE, float(self.config.chunk_length))
            sent.append(
                SentAudio(
                    audio.digest(),
                    heard,
                    RATE,
                    truncated=heard * RATE < len(wave),
                    origin=audio.origin or audio.path,
                    converted=audio.sample_rate != RATE,
                )
            )
        return Prepared(engine.Tokens(chat.ids(self.tokens), tuple(waves)), tuple(sent))

    async def preview(self, sample: Sample) -> JSON:
        chat, ready = self._chat(sample), await self.prepare(sample)
        return {"prompt": chat.text(self.config), "audio": [_facts(s) for s in ready.sent]}

    def text_of(self, reply: Reply) -> str:
        return self.tokens.decode(reply.ids)

    def _chat(self, sample: Sample) -> Chat:
        from evalkit.runners.fun_audio_chat.prompting.prompts import chat

        return chat(sample.turns, system=self.system, tools=sample.tools, frame=self.frame)

    def _fits(self, samples: int, sample: Sample) -> None:
        from evalkit.runners.fun_audio_chat.frontend import speech_slots

        group = self.config.audio.group_size
        slots, groups = speech_slots(samples, group)
        most = MOST_SLOTS if find_spec("flash_attn") is not None else MOST_SLOTS - group
        if groups * group > most:
            why = "" if slots > MOST_SLOTS else " without the package flash_attn"
            raise RunnerError(
                "audio-too-long",
                f"sample {sample.id}: {samples / RATE:.1f} s of audio are more than the {most / SLOTS_PER_SECOND:g} s "
                f"that vLLM's Fun-Audio-Chat takes{why}; the runner fun-audio-chat takes it",
                unsent=True,
            )


class ChatPrompts:
    """Messages, for the model's own chat template; audio as 16-bit mono wav."""

    def __init__(self, source: Source, options: Options) -> None:
        self.source, self.options = source, options
        self._message = MessageOptions(
            system=options.system, sample_rate=options.sample_rate, limits=AudioLimits(formats=("wav",))
        )

    def identity(self) -> Mapping[str, JSON]:
        o = self.options
        out: dict[str, JSON] = {"chat": "template", "sample_rate": o.sample_rate}
        if o.chat_template is not None:
            out["chat"] = f"template@{_sha8(o.chat_template)}"  # the model's own is part of the model
        if o.system is not None:
            out["system"] = _sha8(o.system)
        if o.template_args:
            out["template_args"] = dict(o.template_args)
        if o.tools == "prompt":
            out["tools"] = f"prompt@{digest_of(OWN_FRAME)[:8]}"
        return out

    def engine_args(self) -> Mapping[str, Any]:
        length = int(self.options.audio_seconds * self.options.sample_rate)
        audio = {"count": self.options.limit_audio, "length": length}
        # No sample has images: memory for them is not set aside.
        return {"limit_mm_per_prompt": {"audio": audio, "image": 0, "video": 0}}

    def sampling(self) -> Mapping[str, Any]:
        return {}

    async def prepare(self, sample: Sample) -> Prepared:
        encoded = await encode_all(sample, self._message)
        data = [b64encode(e.data).decode("ascii") for e in encoded]
        return Prepared(self._chat(sample, encoded, data), tuple(e.sent for e in encoded))

    async def preview(self, sample: Sample) -> JSON:
        encoded = await encode_all(sample, self._message)
        chat = self._chat(sample, encoded, [f"<base64 of wav, {_facts(e.sent)}>" for e in encoded])
        return {"messages": list(chat.messages), "template": dict(chat.arguments)}

    def text_of(self, reply: Reply) -> str:
        return reply.text

    def _chat(self, sample: Sample, encoded: list[Encoded], data: list[str]) -> engine.Chat:
        told = bool(sample.tools) and self.options.tools == "prompt"
        turns = in_own_words(sample.turns, sample.tools) if told else sample.turns
        messages = messages_of(turns, [e.format for e in encoded], self._message)
        parts = [p for m in messages if isinstance(m["content"], list) for p in m["content"]]
        sounds = [p for p in parts if p["type"] == "input_audio"]
        for part, text in zip(sounds, data, strict=True):
            part["input_audio"]["data"] = text
        arguments = dict(self.options.template_args)
        if sample.tools and not told:
            arguments["tools"] = tools_of(sample.tools, strict_names=False)[0]
        return engine.Chat(messages, self.options.chat_template, arguments)


def prompts_for(source: Source, options: Options) -> FunAudioChatPrompts | ChatPrompts:
    """How this model is asked. Raises UsageError."""
    return FunAudioChatPrompts(source, options) if source.fun_audio_chat else ChatPrompts(source, options)


def _decoded(audio: Audio, sample: Sample) -> Any:
    """Mono float32 samples at 16 kHz, shape (N,). Raises RunnerError."""
    try:
        return decode(audio, RATE)[0]
    except (AudioError, OSError) as exc:
        raise RunnerError("bad-audio", f"sample {sample.id}: {exc}", unsent=True) from exc


def _facts(sent: SentAudio) -> str:
    return f"{sent.seconds:.2f} s at {sent.sample_rate} Hz, sha256 {sent.sha256[:12]}"


def _sha8(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
