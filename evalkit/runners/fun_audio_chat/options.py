"""Options of the Fun-Audio-Chat runner: `-M name=value` strings made into checked values. No torch here.

Decoding defaults are the published ones: text greedy in every mode, speech sampled at temperature 0.8, top-p 0.9 and
repetition penalty 1.2. Source: runner specification, sections 7 to 9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.errors import UsageError
from evalkit.records import JSON
from evalkit.runners.fun_audio_chat.requests import Decoding
from evalkit.runners.option_values import Parse, check_known, choice, integer, number, text, yes_no

MAX_NEW_TOKENS = 2048
"""As the published speech example. Text answers get as much: their example sets no limit at all, and the longest known
answers of it have some 700 tokens."""
SLOTS_CUDA, SLOTS_CPU = 32, 4
WINDOW = 3
"""Requests under way per slot: those that wait let the scheduler put prompts of similar length together."""

_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


@dataclass(frozen=True)
class Options:
    """What the user may set with -M.

    Attributes:
        device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
        dtype: "auto" (bfloat16 on a GPU, float32 on a CPU), "float32", "bfloat16" or "float16".
        batch: rows decoded together; None: 32 on a GPU, 4 on a CPU. Halved when memory runs out.
        concurrency: requests under way; None: 3 per row.
        max_new_tokens: most text tokens of an answer; in speech, one of them is 0.2 s.
        temperature, top_p, top_k, repetition_penalty, do_sample: of what is sampled: speech, and text unless
            `text_greedy`. top_k 0: none.
        text_greedy: text is the argmax of the raw logits, whatever else is set.
        force_text_abos: speech begins at once, with the first text token.
        seed: of the run; each request draws from a generator of its own, made of it and the request's content.
        speech: "audio" (24 kHz, made by the vocoder) or "ids" (kept as they are, for a vocoder elsewhere or later).
        cosyvoice, vocoder, speaker, voice, python, vocoder_device: the vocoder's parts, see `vocoder_setup`; they are
            a CosyVoice checkout, its weights folder, a file of speaker embeddings and the name of one in it, the
            Python that runs them, and where it runs.
        system_s2t, system_s2m: system prompts in the place of the published ones.
        persona: "auto" (the published persona, if it was imported), "none", or a file that holds one.
        graphs: CUDA graphs: "auto", "yes" or "no".
        compile: fuse decoding with torch.compile: minutes at the start, faster at small batches.
        invariant: kernels see the same shapes whatever else is in the batch; slower.
        max_seconds: most seconds of a piece of audio that are given to the model; None: all.
    """

    device: str = "auto"
    dtype: str = "auto"
    batch: int | None = None
    concurrency: int | None = None
    max_new_tokens: int = MAX_NEW_TOKENS
    temperature: float = 0.8
    top_p: float = 0.9
    top_k: int = 0
    repetition_penalty: float = 1.2
    do_sample: bool = True
    text_greedy: bool = True
    force_text_abos: bool = True
    seed: int = 0
    speech: str = "audio"
    cosyvoice: str | None = None
    vocoder: str | None = None
    speaker: str | None = None
    voice: str | None = None
    python: str | None = None
    vocoder_device: str = "auto"
    system_s2t: str | None = None
    system_s2m: str | None = None
    persona: str = "auto"
    graphs: str = "auto"
    compile: bool = False
    invariant: bool = False
    max_seconds: float | None = None

    def decoding(self, *, speech: bool, text_eos: tuple[int, ...]) -> Decoding:
        """How requests are decoded: joint text and speech, or text alone.

        Args:
            text_eos: text ids that stop a row.
        """
        return Decoding(
            speech=speech,
            max_new_tokens=self.max_new_tokens,
            text_greedy=self.text_greedy,
            do_sample=self.do_sample,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            force_text_abos=self.force_text_abos,
            text_eos=text_eos,
        )

    def decoding_told(self) -> dict[str, JSON]:
        """All that decides how is decoded, by our names; `gen=` of signatures."""
        return {
            "max_new_tokens": self.max_new_tokens,
            "text": "greedy" if self.text_greedy else "sampled" if self.do_sample else "argmax",
            "speech": "sampled" if self.do_sample else "argmax",
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
            "force_text_abos": self.force_text_abos,
            "seed": self.seed,
        }


def _device(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _DEVICE.fullmatch(value):
        raise UsageError(f"{name} must be auto, cpu, cuda or cuda:N, not {value!r}")
    return value


def _words(name: str, value: Any) -> str:
    """Words that can stand in a prompt: none of them may end a turn."""
    words = text(name, value)
    if "<|im_" in words:
        raise UsageError(f"{name} must not hold <|im_start|> or <|im_end|>: the runner sets them")
    return words


PARSERS: Mapping[str, Parse] = {
    "device": _device,
    "dtype": choice("auto", "float32", "bfloat16", "float16"),
    "batch": integer(1, 1024),
    "concurrency": integer(1, 4096),
    "max_new_tokens": integer(1, 1_000_000),
    "temperature": number(0, 100, open_low=True),
    "top_p": number(0, 1, open_low=True),
    "top_k": integer(0, 1_000_000),
    "repetition_penalty": number(0, 100, open_low=True),
    "do_sample": yes_no,
    "text_greedy": yes_no,
    "force_text_abos": yes_no,
    "seed": integer(-(2**63), 2**63 - 1),
    "speech": choice("audio", "ids"),
    "cosyvoice": text,
    "vocoder": text,
    "speaker": text,
    "voice": text,
    "python": text,
    "vocoder_device": _device,
    "system_s2t": _words,
    "system_s2m": _words,
    "persona": text,
    "graphs": choice("auto", "yes", "no"),
    "compile": yes_no,
    "invariant": yes_no,
    "max_seconds": number(0, 86_400, open_low=True),
}


def parse_options(given: Mapping[str, Any]) -> Options:
    """Check the user's options.

    Args:
        given: values as strings, or as they are when called from Python.

    Raises:
        UsageError: unknown name or unusable value.
    """
    check_known(given, PARSERS, "fun-audio-chat")
    return Options(**{name: PARSERS[name](name, value) for name, value in given.items() if value is not None})
