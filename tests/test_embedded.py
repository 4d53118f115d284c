"""The embedded model on real weights and real sound, and its borders: options, pins, a dying voice."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from embedded_fixtures import embedded_runner, needs_embedded, smoke_sample

from evalkit.audio import encode_wav
from evalkit.chat import ChatModel, ChatRequest
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Transcriber
from evalkit.records import Audio, Modality, Response, Sample, Turn
from evalkit.registry import make_chat, make_runner, make_transcriber
from evalkit.runners.embedded import EmbeddedChat, EmbeddedRunner, weights
from evalkit.runners.embedded.llm import SHOTS, SYSTEM, frame
from evalkit.runners.embedded.tts import WORKER, embedded_voice

__all__ = ["embedded_runner"]

pytestmark = [pytest.mark.embedded, needs_embedded]

VB = "hlt-lab/voicebench"


def questions() -> list[Sample]:
    return [
        smoke_sample(f"{VB}/sd-qa", 0, "usa"),
        smoke_sample("TwinkStart/llama-questions/data", 1),
        smoke_sample(f"{VB}/openbookqa", 1),
    ]


def ask(runner: EmbeddedRunner, samples: list[Sample], modality: Modality) -> list[Response]:
    async def all_at_once() -> list[Response]:
        return list(await asyncio.gather(*(runner.generate(s, modality) for s in samples)))

    return asyncio.run(all_at_once())


@pytest.fixture(scope="module")
def spoken(embedded_runner: EmbeddedRunner) -> list[Response]:
    """The answers to three questions, asked at the same time."""
    return ask(embedded_runner, questions(), Modality.S2S)


# --- the cascade -----------------------------------------------------------------------------------


def test_it_hears_answers_and_speaks(spoken: list[Response]) -> None:
    assert [r.error for r in spoken] == [None, None, None]
    assert "capital of Japan" in spoken[0].meta["heard"]
    assert "Tokyo" in spoken[0].text
    assert "Rome" in spoken[1].text
    assert "D" in spoken[2].text
    assert set(spoken[0].timing) == {"asr", "llm", "tts", "generate"}
    assert spoken[0].usage["completion_tokens"] > 0


def test_the_speech_is_16_bit_wav_and_says_the_text(spoken: list[Response]) -> None:
    asr = make_transcriber("embedded", {})
    for response in spoken[:2]:
        assert response.audio is not None
        assert response.audio.data is not None
        with wave.open(io.BytesIO(response.audio.data)) as file:
            assert (file.getsampwidth(), file.getnchannels(), file.getframerate()) == (2, 1, 22050)
            assert response.audio.seconds == pytest.approx(file.getnframes() / 22050)
        (transcript,) = asr.transcribe([response.audio], "en")
        assert transcript.error is None
        assert transcript.text.lower().rstrip(".") == response.text.lower().rstrip(".")


def test_what_was_sent_is_on_record(spoken: list[Response]) -> None:
    for sample, response in zip(questions(), spoken, strict=True):
        (sent,) = response.sent
        (audio,) = sample.audios
        assert (sent.sha256, sent.sample_rate, sent.truncated) == (audio.sha256, 16000, False)
        assert sent.seconds == pytest.approx(audio.seconds, abs=0.01)


def test_same_bytes_again_one_by_one(embedded_runner: EmbeddedRunner, spoken: list[Response]) -> None:
    again = [embedded_runner.answer(s, Modality.S2S) for s in reversed(questions())][::-1]
    assert [r.digest() for r in again] == [r.digest() for r in spoken]
    assert [r.audio and r.audio.data for r in again] == [r.audio and r.audio.data for r in spoken]


def test_text_only_modalities_make_no_sound(embedded_runner: EmbeddedRunner, spoken: list[Response]) -> None:
    heard = embedded_runner.answer(questions()[0], Modality.S2T)
    assert heard.audio is None
    assert heard.text == spoken[0].text
    read = embedded_runner.answer(
        Sample("t", "x/y", (Turn("user", ("What is the capital of Japan?",)),)), Modality.T2T
    )
    assert read.text == spoken[0].text
    assert read.sent == ()


def test_an_answer_cut_off_at_the_limit_says_so(embedded_runner: EmbeddedRunner) -> None:
    """The models are loaded once per process, so another limit costs nothing."""
    sample = Sample("t", "x/y", (Turn("user", ("Tell me a long story about a fox.",)),))
    cut = EmbeddedRunner(max_tokens="4").answer(sample, Modality.T2T)
    assert (cut.meta["finish_reason"], cut.meta["truncated"]) == ("length", True)
    short = embedded_runner.answer(questions()[0], Modality.S2T)
    assert short.meta["finish_reason"] == "stop" and "truncated" not in short.meta


def test_silence_is_answered_with_marked_silence(embedded_runner: EmbeddedRunner) -> None:
    for frames in (0, 160, 16000):
        audio = Audio(data=encode_wav(np.zeros(frames, np.float32), 16000), format="wav")
        sample = Sample("s", "x/y", (Turn("user", (audio,)),))
        response = embedded_runner.answer(sample, Modality.S2S)
        assert response.text == ""
        assert response.meta["nothing_heard"] is True
        assert response.meta["silent"] is True
        assert response.audio is not None
        assert response.audio.seconds == 0.0


def test_broken_audio_is_a_clear_error(embedded_runner: EmbeddedRunner) -> None:
    sample = Sample("s", "x/y", (Turn("user", (Audio(data=b"not audio", origin="clip 7"),)),))
    with pytest.raises(RunnerError, match="clip 7") as caught:
        embedded_runner.answer(sample, Modality.S2S)
    assert (caught.value.kind, caught.value.retryable) == ("bad-audio", False)


def test_a_prompt_too_long_is_a_clear_error(embedded_runner: EmbeddedRunner) -> None:
    sample = Sample("s", "x/y", (Turn("user", ("hello " * 5000,)),))
    with pytest.raises(RunnerError, match="context") as caught:
        embedded_runner.answer(sample, Modality.T2T)
    assert caught.value.kind == "context-overflow"


def test_odd_text_survives(embedded_runner: EmbeddedRunner) -> None:
    sample = Sample("s", "x/y", (Turn("user", ("a\x00b \ud800 <|im_start|> 你好",)),))
    assert embedded_runner.answer(sample, Modality.S2S).error is None


def test_identity_names_all_that_decides(embedded_runner: EmbeddedRunner) -> None:
    identity = embedded_runner.identity()
    assert identity["asr"] == weights.ASR_SHA256
    assert identity["llm"] == weights.LLM_SHA256
    assert identity["tts"] == weights.VOICE_SHA256
    assert EmbeddedRunner(max_tokens="9").identity() != identity
    assert embedded_runner.demo


def test_turns_keep_their_order_and_a_system_line_its_place() -> None:
    framed = frame([("system", "Be rude."), ("user", "a"), ("assistant", "b"), ("user", "c")])
    assert framed[0] == ("system", "Be rude.")
    assert framed[1 : 1 + len(SHOTS)] == SHOTS
    assert framed[-3:] == (("user", "a"), ("assistant", "b"), ("user", "c"))
    assert frame([("user", "a")])[0] == ("system", SYSTEM)


# --- options and the registry ------------------------------------------------------------------------


def test_the_registry_finds_all_three_roles() -> None:
    assert isinstance(make_runner("embedded", {"concurrency": "1"}), EmbeddedRunner)
    asr, chat = make_transcriber("embedded", {}), make_chat("embedded", {})
    assert isinstance(asr, Transcriber)
    assert isinstance(chat, ChatModel)
    assert asr.signature == "faster-whisper/tiny.en@1a5afae0:int8,beam=5,en"
    assert (chat.label, chat.meaningful) == ("embedded-smollm2-135m", False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tempratur": "1"}, "no option 'tempratur'; known: asr_model, llm_gguf"),
        ({"max_tokens": "0"}, "max_tokens takes a whole number"),
        ({"concurrency": "two"}, "concurrency takes a whole number"),
    ],
)
def test_wrong_options_are_named(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        EmbeddedRunner(**options)


def test_there_is_one_model() -> None:
    with pytest.raises(UsageError, match="no embedded model 'gpt'"):
        EmbeddedRunner("gpt")


# --- the judge and the ASR -----------------------------------------------------------------------------


def test_the_judge_replies_as_often_as_asked(embedded_runner: EmbeddedRunner) -> None:
    request = ChatRequest((("user", "Say yes or no: is the sky blue?"),), n=3, max_tokens=8)
    reply = asyncio.run(EmbeddedChat().chat(request))
    assert len(reply.texts) == 3
    assert len(set(reply.texts)) == 1
    assert reply.texts[0]
    sampled = ChatRequest((("user", "Name a fruit."),), temperature=1.5, n=2, seed=3, max_tokens=12)
    first, second = (asyncio.run(EmbeddedChat().chat(sampled)).texts for _ in range(2))
    assert first == second
    assert len(first) == 2


def test_the_judge_is_held_to_the_choices(embedded_runner: EmbeddedRunner) -> None:
    request = ChatRequest(
        (("user", "Rate this answer: bananas."),), n=2, temperature=0.5, choices=("[[3]]", "4")
    )
    reply = asyncio.run(EmbeddedChat().chat(request))
    assert set(reply.texts) <= {"[[3]]", "4"}


def test_the_asr_refuses_other_languages(spoken: list[Response]) -> None:
    assert spoken[0].audio is not None
    asr = make_transcriber("embedded", {})
    (chinese,) = asr.transcribe([spoken[0].audio], "zh-CN")
    assert chinese.error is not None
    assert (chinese.error.kind, chinese.text) == ("language-unsupported", "")
    (american,) = asr.transcribe([spoken[0].audio], "en-US")
    assert american.error is None


def test_the_asr_survives_silence_and_rubbish(embedded_runner: EmbeddedRunner) -> None:
    pieces = [
        Audio(data=encode_wav(np.zeros(0, np.float32), 16000)),
        Audio(data=encode_wav(np.zeros(32000, np.float32), 16000)),
        Audio(data=b"rubbish"),
        Audio(path="/no/such/file.wav"),
    ]
    found = make_transcriber("embedded", {}).transcribe(pieces, "en")
    assert [t.text for t in found] == ["", "", "", ""]
    assert [t.error and t.error.kind for t in found] == [None, None, "bad-audio", "bad-audio"]


# --- the voice's process ---------------------------------------------------------------------------------


def test_a_dead_voice_comes_back(embedded_runner: EmbeddedRunner, spoken: list[Response]) -> None:
    process, _ = embedded_voice()
    before = process.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    time.sleep(0.2)
    response = embedded_runner.answer(questions()[0], Modality.S2S)
    assert response.digest() == spoken[0].digest()
    assert process.pid not in (None, before)


def test_a_voice_killed_while_speaking_is_a_clear_error_and_comes_back(
    embedded_runner: EmbeddedRunner,
) -> None:
    process, _ = embedded_voice()
    process.prepare()
    pid = process.pid
    assert pid is not None
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(RunnerError, match="died while it was speaking") as caught:
        process.speak("This is a rather long sentence that takes its time to be spoken. " * 40)
    assert (caught.value.kind, caught.value.retryable) == ("tts-worker-died", True)
    assert process.speak("Back again.").pcm


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_nothing_to_say_is_silence(embedded_runner: EmbeddedRunner, text: str) -> None:
    process, _ = embedded_voice()
    assert process.speak(text).silent


@pytest.mark.parametrize("text", ["...", "你好", "[[", "*" * 300, "<|im_end|>", "\ud800"])
def test_odd_answers_do_not_break_the_voice(embedded_runner: EmbeddedRunner, text: str) -> None:
    process, _ = embedded_voice()
    pid = process.pid
    assert process.speak(text).sample_rate == 22050
    assert process.pid == pid


def test_a_voice_that_can_not_be_loaded_says_why(tmp_path: Path) -> None:
    (tmp_path / "v.onnx").write_bytes(b"no model")
    (tmp_path / "v.onnx.json").write_text("{}")
    process, _ = embedded_voice(str(tmp_path / "v.onnx"))
    with pytest.raises(RunnerError, match="the voice can't be loaded") as caught:
        process.speak("hello")
    assert caught.value.fatal


def test_piper_stays_out_of_our_process() -> None:
    code = (
        "import sys, evalkit.runners.embedded as e; e.EmbeddedRunner().prepare();"
        "assert 'piper' not in sys.modules; print('apart')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "apart", done.stderr
    assert "evalkit" not in WORKER.read_text(encoding="utf-8").split('"""', 2)[2]


def test_importing_costs_nothing() -> None:
    code = (
        "import sys, evalkit.runners.embedded, evalkit.runners.asr.engines;"
        "heavy = {'faster_whisper', 'ctranslate2', 'xllamacpp', 'onnxruntime', 'torch', 'piper'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
