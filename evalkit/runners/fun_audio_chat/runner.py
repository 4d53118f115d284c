"""`--model fun-audio-chat/FOLDER`: a published checkpoint folder (or a hub id) on a device of one's own.

Audio is decoded in worker threads, one thread of the scheduler's generates, the vocoder is a process of its own: many
requests are under way, so that the three work at the same time and the scheduler finds prompts of similar length.
Source: runner specification.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Runner
from evalkit.records import JSON, Audio, Modality, Response, Sample
from evalkit.runners.fun_audio_chat.folder.checkpoint import resolve
from evalkit.runners.fun_audio_chat.folder.config import read_config
from evalkit.runners.fun_audio_chat.folder.digests import digest
from evalkit.runners.fun_audio_chat.folder.shards import check_whole
from evalkit.runners.fun_audio_chat.frontend import SAMPLE_RATE, speech_slots
from evalkit.runners.fun_audio_chat.hearing import hear, wave_of
from evalkit.runners.fun_audio_chat.options import SLOTS_CPU, SLOTS_CUDA, WINDOW, parse_options
from evalkit.runners.fun_audio_chat.place import need_packages, place_of, torch_place, weight_bytes
from evalkit.runners.fun_audio_chat.prompting.chatml import S2M, S2T
from evalkit.runners.fun_audio_chat.prompting.persona import MISSING, SETTING, Persona, persona_of
from evalkit.runners.fun_audio_chat.prompting.prompts import Chat, Frame, chat, prompt_identity, tools_frame
from evalkit.runners.fun_audio_chat.prompting.templates import template_note
from evalkit.runners.fun_audio_chat.prompting.tokens import Tokens
from evalkit.runners.fun_audio_chat.requests import Generated, Request
from evalkit.runners.fun_audio_chat.speech.segments import audible

if TYPE_CHECKING:
    from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine
    from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig
    from evalkit.runners.fun_audio_chat.speech.vocoder import Vocoder

T = TypeVar("T")

LISTENERS = 2
"""Threads that decode audio: it takes a hundredth of what answering takes."""
LARGE = 4_000_000_000
"""Bytes of weights from which on nobody runs a model on a CPU without being told."""
ATTENTION = "sdpa"
"""torch's scaled dot product attention, in every part of the model."""


@dataclass(eq=False)
class _Loaded:
    """What answers: tokenizer and scheduler, with the model inside."""

    tokens: Tokens
    engine: Engine
    listeners: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(LISTENERS, thread_name_prefix="fun-audio-chat-audio")
    )
    mouth: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="fun-audio-chat-speech")
    )


class FunAudioChatRunner(Runner):
    """A Fun-Audio-Chat checkpoint, batched.

    Options are the fields of `options.Options`.

    Args:
        model: the checkpoint's folder, or OWNER/NAME[@REVISION] on the hub.

    Raises:
        UsageError: unknown or unusable option.
    """

    name = "fun-audio-chat"
    modalities = frozenset({Modality.S2T, Modality.S2S, Modality.T2T})

    def __init__(self, model: str, **options: Any) -> None:
        if not model.strip():
            raise UsageError(
                "name the checkpoint: fun-audio-chat/FOLDER, or fun-audio-chat/OWNER/NAME of the hub"
            )
        self.model = model
        self.options = parse_options(options)
        self.place = place_of(self.options.device, self.options.dtype)
        if self.options.graphs == "yes" and not self.place.cuda:
            raise UsageError("graphs=yes are CUDA graphs and need a GPU; leave it at auto")
        self.slots = self.options.batch or (SLOTS_CUDA if self.place.cuda else SLOTS_CPU)
        self.concurrency = self.options.concurrency or WINDOW * self.slots
        self._loading = threading.Lock()
        self._loaded: _Loaded | None = None
        self._vocoder: Vocoder | None = None
        self._told: set[str] = set()

    # --- who it is -------------------------------------------------------------------------------

    @cached_property
    def folder(self) -> Path:
        """The checkpoint's folder; fetched from the hub when the model was named so. Raises UsageError."""
        return resolve(self.model)

    @cached_property
    def label(self) -> str:
        """What tables call it: the folder's name, or the hub id. Not part of the identity: copies are the same."""
        path = Path(self.model).expanduser()
        return self.model if not path.exists() else path.resolve().name or self.model

    @cached_property
    def config(self) -> CheckpointConfig:
        """The checkpoint's description, checked. Raises UsageError."""
        return read_config(self.folder)

    @cached_property
    def frame(self) -> Frame:
        """How tools are told. Raises UsageError."""
        return tools_frame(self.config)

    @cached_property
    def persona(self) -> Persona:
        """The system text where a persona is wanted. Raises UsageError."""
        return persona_of(self.options.persona, self.options.system_s2m or S2M)

    @cached_property
    def vocoder(self) -> Vocoder:
        """What makes sound of speech ids; its process starts later. Raises UsageError."""
        from evalkit.runners.fun_audio_chat.speech.vocoder import Vocoder
        from evalkit.runners.fun_audio_chat.speech.vocoder_setup import VocoderSetup

        o = self.options
        try:
            setup = VocoderSetup.of(
                o.cosyvoice,
                o.vocoder,
                speaker=o.speaker,
                voice=o.voice,
                python=o.python,
                device=o.vocoder_device,
            )
        except UsageError as exc:
            raise UsageError(
                f"{str(exc).rstrip('.')}; or keep the ids for later with -M speech=ids."
            ) from exc
        return Vocoder(setup)

    @cached_property
    def _identity(self) -> dict[str, JSON]:
        o = self.options
        config = self.config  # first: what is no checkpoint, or a torn one, is said before 18 GB are hashed
        check_whole(self.folder)
        out: dict[str, JSON] = {
            "runner": self.name,
            "checkpoint": digest(self.folder),
            "dtype": self.place.dtype,
            "attention": ATTENTION,
            "decoding": o.decoding_told(),
            "prompts": {
                **prompt_identity(self.frame),
                "s2t": _sha256(o.system_s2t or S2T),
                "s2m": _sha256(o.system_s2m or S2M),
                "persona": self.persona.sha256,
            },
            "audio": {
                "sample_rate": SAMPLE_RATE,
                "chunk_length": config.chunk_length,
                "max_seconds": o.max_seconds,
            },
            "speech": o.speech,
        }
        if o.compile:  # fused kernels round in other places
            out["compile"] = True
        if o.invariant:  # then the number of rows decides the kernels
            out["invariant"] = self.slots
        if o.speech == "audio" and (o.cosyvoice or o.vocoder):
            out["vocoder"] = dict(self.vocoder.identity())
        return out

    def identity(self) -> Mapping[str, JSON]:
        """All that decides the answers; torch is not loaded, and where the checkpoint lies plays no part.

        Raises:
            UsageError: the checkpoint is not there, or is none.
        """
        return self._identity

    # --- loading ---------------------------------------------------------------------------------

    def prepare(self, modality: Modality) -> None:
        """Load the model, once; for speech start the vocoder. Safe to call from several threads.

        Raises:
            UsageError: a broken checkpoint, a missing package, no such device, too little memory, no vocoder.
        """
        with self._loading:
            speaks = modality.wants_audio and self.options.speech == "audio"
            if speaks:
                _ = self.vocoder  # what is missing is said before the model is loaded
            if self._loaded is None:
                self._loaded = self._load()
            if speaks:
                self.vocoder.prepare()
                if (remark := self.vocoder.setup.speaker.remark()) is not None:
                    self._tell(f"fun-audio-chat: {remark}")

    def _load(self) -> _Loaded:
        need_packages()
        most = int(self.config.text.get("max_position_embeddings") or 0)
        if 0 < most <= self.options.max_new_tokens:  # else every sample would fail, one by one
            raise UsageError(
                f"max_new_tokens={self.options.max_new_tokens} leaves no room for a prompt: the model has {most} "
                "positions (max_position_embeddings)"
            )
        tokens = Tokens(self.config)
        if note := template_note(self.config):
            self._tell(f"note: {note}")
        size = weight_bytes(self.folder, self.config.stored_dtype, self.place)
        device, dtype = torch_place(self.place, asked=self.options.device, weights=size)
        if self.options.device == "auto" and device == "cpu" and size > LARGE:
            self._tell(
                f"fun-audio-chat: no GPU that torch can use: {size / 1e9:.0f} GB run on the CPU, slowly "
                "(say device=cpu where that is meant)"
            )
        import torch

        from evalkit.runners.fun_audio_chat.decoding.scheduler import Engine
        from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

        try:
            model = FunAudioChat.load(self.config, device=device, dtype=dtype)
        except (torch.OutOfMemoryError, MemoryError) as exc:
            raise UsageError(
                f"the weights ({size / 1e9:.1f} GB in {self.place.dtype}) do not fit on {device}: free its memory, or "
                "take another device or dtype"
            ) from exc
        if self.options.compile:
            model.compiled()
        graphs = {"yes": True, "no": False}.get(self.options.graphs)
        engine = Engine(model, slots=self.slots, invariant=self.options.invariant, graphs=graphs)
        return _Loaded(tokens, engine)

    async def close(self) -> None:
        """End the scheduler and the vocoder's process, whatever they are at; a later request loads again."""
        with self._loading:
            loaded, self._loaded = self._loaded, None
        vocoder: Vocoder | None = self.__dict__.get("vocoder")
        if loaded is not None:
            loaded.listeners.shutdown(wait=False, cancel_futures=True)
            loaded.mouth.shutdown(wait=False, cancel_futures=True)
        if vocoder is not None:
            pid = vocoder.pid
            if pid is not None:  # it may be speaking for minutes; nobody wants to hear the rest
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            vocoder.close()
        if loaded is not None:
            from evalkit.runners.fun_audio_chat.decoding.memory import give_back

            loaded.engine.close()
            device = loaded.engine.model.device
            loaded = None
            gc.collect()  # importing transformers can leave a cycle that holds the model
            give_back(device)  # the next model looks whether there is room

    # --- answering -------------------------------------------------------------------------------

    def chat(self, sample: Sample, modality: Modality) -> tuple[Chat, str]:
        """The prompt, and which one it is: "s2t", "s2m", "persona" or "tools". Raises RunnerError, UsageError."""
        if not modality.wants_audio:
            system, which = self.options.system_s2t or S2T, "tools" if sample.tools else "s2t"
        elif sample.setting == SETTING and self.persona.system is not None:
            system, which = self.persona.system, "persona"
        else:
            system, which = self.options.system_s2m or S2M, "s2m"
            if sample.setting == SETTING and self.persona.origin == "missing":
                self._tell(MISSING)
        frame = self.frame if sample.tools else None
        return chat(sample.turns, system=system, tools=sample.tools, frame=frame), which

    def _tell(self, line: str) -> None:
        """Say something on stderr, once."""
        if line not in self._told:
            self._told.add(line)
            print(line, file=sys.stderr, flush=True)

    async def preview(self, sample: Sample, modality: Modality) -> JSON:
        """The prompt as text, and each piece of audio by its facts. Loads no weights. Raises RunnerError."""
        prompt, which = self.chat(sample, modality)
        text = prompt.text(self.config)
        audio: list[JSON] = []
        for piece in prompt.audios:
            wave, _, _ = await asyncio.to_thread(
                wave_of, piece, self.options.max_seconds, f"sample {sample.id}"
            )
            samples = len(wave)
            slots, groups = speech_slots(samples, self.config.audio.group_size)
            audio.append({"seconds": samples / SAMPLE_RATE, "speech_tokens": slots, "placeholders": groups})
        return {
            "prompt": which,
            "text": text,
            "audio": audio,
            "placeholders": sum(int(a["placeholders"]) for a in audio),
            "decoding": self.options.decoding_told(),
        }

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        """Answer one sample.

        Raises:
            RunnerError: "bad-audio", "bad-prompt", "out-of-memory" (a prompt that does not fit alone), "vocoder".
            UsageError: the model can't be loaded (where `prepare` was not called).
        """
        began = time.perf_counter()
        if self._loaded is None:
            await asyncio.to_thread(self.prepare, modality)
        loaded = self._loaded
        if loaded is None:
            raise RunnerError("closed", "the model was closed", fatal=True)
        prompt, which = self.chat(sample, modality)
        whose, most = f"sample {sample.id}", self.options.max_seconds
        clips, sent = await _in(loaded.listeners, lambda: hear(prompt.audios, self.config, most, whose))
        listened = time.perf_counter() - began
        ids = prompt.ids(loaded.tokens, [c.groups for c in clips])
        speech = modality.wants_audio
        stops = (loaded.tokens.im_end,) if speech else loaded.tokens.stops
        request = Request(
            ids, clips, self.options.decoding(speech=speech, text_eos=stops), self._seed(sample, which)
        )
        made = await asyncio.wrap_future(loaded.engine.submit(request))
        usage = _usage(request, made)
        meta: dict[str, JSON] = {"finish_reason": made.finish, "prompt": which}
        if made.finish == "length":
            meta["truncated"] = True
        if which == "s2m" and sample.setting == SETTING:
            meta["persona"] = "none"
        if unheard := sum(not c.groups for c in clips):
            meta["unheard"] = unheard
        timing = {"audio": listened, **made.timing}
        audio: Audio | None = None
        if speech:
            audio, facts = await self._speech(loaded, made.speech_ids, timing)
            meta |= facts
        timing["generate"] = time.perf_counter() - began
        text = loaded.tokens.decode(made.text_ids)
        return Response(sample.id, text=text, audio=audio, sent=sent, usage=usage, timing=timing, meta=meta)

    async def _speech(
        self, loaded: _Loaded, ids: Sequence[int], timing: dict[str, float]
    ) -> tuple[Audio | None, dict[str, JSON]]:
        """The sound of speech ids, or the ids for later, and what the response says of that."""
        if not audible(ids):
            return None, {"speech": "empty"}
        if self.options.speech == "ids":
            return None, {"speech": "ids", "speech_ids": list(ids)}
        before = time.perf_counter()
        audio = await _in(loaded.mouth, lambda: self.vocoder.speak(ids))
        timing["vocoder"] = time.perf_counter() - before
        return audio, {"speech": "empty"} if audio is None else {}

    def _seed(self, sample: Sample, which: str) -> int:
        """Of a request's own draws: the same wherever and beside whatever it is asked.

        Made of what is asked, not of the sample's id: equal questions share an answer in the cache, too.
        """
        told = f"{self.options.seed}\0{which}\0{sample.content_digest()}"
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big") >> 1


async def _in(executor: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    """Run a call in one of the runner's threads. Raises what it raises, or RunnerError when the runner was closed."""
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, call)
    except RuntimeError as exc:
        if "shutdown" not in str(exc):
            raise
        raise RunnerError("closed", "the model was closed", fatal=True) from exc


def _usage(request: Request, made: Generated) -> dict[str, JSON]:
    """Counts by the names of `evalkit.usage`; of text and speech together, and of speech."""
    heard = sum(c.groups for c in request.clips)
    return {
        "prompt_tokens": len(request.ids),
        "prompt_audio_tokens": heard,
        "completion_tokens": len(made.text_ids) + len(made.speech_ids),
        **({"completion_audio_tokens": len(made.speech_ids)} if request.decoding.speech else {}),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
