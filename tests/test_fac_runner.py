"""The Fun-Audio-Chat runner on the tiny checkpoint: upstream's answers, proofs, odd audio, batches, order, shutdown."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit.audio import encode_wav, materialise
from evalkit.errors import RunnerError, UsageError
from evalkit.records import Audio, Modality, Response, Sample, Turn
from evalkit.runners.fun_audio_chat.prompting.chatml import S2M, S2T
from evalkit.runners.fun_audio_chat.prompting.persona import MISSING
from evalkit.runners.fun_audio_chat.runner import FunAudioChatRunner
from evalkit.usage import tokens_of
from tests.fun_audio_chat_fixtures import DENSE, FOLDERS, clip_wave, needs_torch, reference
from tests.vocoder_fixtures import make

pytestmark = needs_torch
S2TEXT, S2SPEECH, T2TEXT = Modality.S2T, Modality.S2S, Modality.T2T
GREEDY = {"do_sample": "no", "repetition_penalty": "1", "speech": "ids", "device": "cpu"}


def wav(samples: Any, rate: int = 16_000) -> Audio:
    """As the engine hands it to runners."""
    return materialise(Audio(data=encode_wav(np.asarray(samples, dtype=np.float32), rate)))


def asked(*parts: str | Audio, key: str = "q", **more: Any) -> Sample:
    return Sample(key, "t/t", (Turn("user", parts),), **more)


def clip(i: int, key: str = "q", **more: Any) -> Sample:
    """One of the three reference clips as the question."""
    return asked(wav(clip_wave(i)), key=key, **more)


def answers(
    samples: Sequence[Sample], modality: Modality = S2TEXT, folder: Path = DENSE, **options: str
) -> list[Response]:
    """All at once, in order."""

    async def all_at_once() -> list[Response]:
        runner = FunAudioChatRunner(str(folder), **{"max_new_tokens": "8", **options})
        try:
            return list(await asyncio.gather(*(runner.generate(s, modality) for s in samples)))
        finally:
            await runner.close()

    return asyncio.run(all_at_once())


def said(response: Response) -> tuple[Any, ...]:
    return response.text, response.meta.get("speech_ids"), response.meta["finish_reason"]


def text_of(kind: str, ids: Sequence[int], stops: tuple[int, ...]) -> str:
    """Reference ids as text, up to where the runner stops."""
    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.fun_audio_chat.prompting.tokens import Tokens

    end = next((i for i, t in enumerate(ids) if t in stops), len(ids))
    return Tokens(read_config(FOLDERS[kind])).decode(ids[:end])


# --- what upstream answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_spoken_answers_are_upstreams(kind: str) -> None:
    """All three clips beside each other, and an early one again: sound in, ids out, exact."""
    held = reference(kind)
    samples = [clip(i, key=f"c{i}") for i in (0, 1, 2)]
    made = answers(samples, S2SPEECH, FOLDERS[kind], **GREEDY, max_new_tokens="24")
    for i, response in enumerate(made):
        assert response.meta["speech_ids"] == held[f"s2m{i}_norep.speech_ids"].ravel().tolist()
        ids = held[f"s2m{i}_norep.text_ids"].ravel().tolist()
        assert response.text == text_of(kind, ids, (258,))
        assert response.meta["speech"] == "ids" and response.audio is None


def test_written_answers_are_upstreams() -> None:
    held = reference("dense")
    instruction = "Please help me transcribe the audio."
    samples = [clip(0), clip(1), clip(2), asked(wav(clip_wave(1)), instruction)]
    made = answers(samples, max_new_tokens="32")
    for name, response in zip(("s2t0", "s2t1", "s2t2", "s2t_instr"), made, strict=True):
        ids = held[f"{name}.text_ids"].ravel().tolist()
        assert response.text == text_of("dense", ids, (258, 256)), name  # <|endoftext|> is our own safety
        assert "speech" not in response.meta and response.meta["prompt"] == "s2t"


def test_the_prompt_is_upstreams() -> None:
    held = reference("dense")
    made = answers([clip(i) for i in range(3)], max_new_tokens="1")
    for i, response in enumerate(made):
        ids = held[f"in{i}.input_ids"].ravel()
        assert response.usage["prompt_tokens"] == len(ids)
        assert response.usage["prompt_audio_tokens"] == int((ids == 261).sum())


def test_batch_order_and_company_change_nothing() -> None:
    """Sampled speech of six questions, alone, four at a time, backwards: the same ids."""
    samples = [
        replace(clip(i % 3), id=f"s{i}", turns=(Turn("user", (wav(clip_wave(i % 3)[: 9000 + 4000 * i]),)),))
        for i in range(5)
    ]
    alone = answers(samples, S2SPEECH, speech="ids", batch="1", concurrency="1")
    four = answers(samples, S2SPEECH, speech="ids", batch="4")
    turned = answers(samples[::-1], S2SPEECH, speech="ids", batch="3", invariant="yes")[::-1]
    assert [said(r) for r in alone] == [said(r) for r in four] == [said(r) for r in turned]
    assert (
        alone[0].meta["speech_ids"]
        != answers(samples[:1], S2SPEECH, speech="ids", seed="1")[0].meta["speech_ids"]
    )


def test_equal_questions_share_an_answer_whatever_they_are_called() -> None:
    """The cache knows a question by its content, so the draws do, too."""
    one, other = answers([clip(0, "a"), clip(0, "b")], S2SPEECH, speech="ids")
    assert said(one) == said(other)


# --- proofs and odd audio -----------------------------------------------------------------------------


def test_what_was_sent_is_proved() -> None:
    source = wav(clip_wave(1))
    [whole] = answers([asked(source)])
    [proof] = whole.sent
    assert (proof.sha256, proof.seconds, proof.sample_rate) == (source.sha256, 37117 / 16000, 16000)
    assert not proof.truncated and not proof.converted
    [cut] = answers([asked(source)], max_seconds="1")
    assert (cut.sent[0].seconds, cut.sent[0].truncated, cut.sent[0].sha256) == (1.0, True, source.sha256)
    assert cut.usage["prompt_audio_tokens"] == 5
    tokens = tokens_of(whole.usage)
    assert (
        tokens is not None and tokens.audio_input == 12 and tokens.output == whole.usage["completion_tokens"]
    )
    assert set(whole.timing) == {"audio", "queue", "prefill", "decode", "generate"}


def test_audio_of_every_kind() -> None:
    """8 kHz stereo mp3 (runner specification, section 4.1: any container, resampled), too short, none at all."""
    import soundfile as sf

    tone = np.sin(np.arange(8000) / 5.0).astype(np.float32) / 2
    held = io.BytesIO()
    sf.write(held, np.stack([tone, tone / 3], axis=1), 8000, format="MP3", subtype="MPEG_LAYER_III")
    mp3 = materialise(Audio(data=held.getvalue()))
    assert mp3.sample_rate == 8000
    samples = [asked(mp3), asked(wav(np.zeros(639))), asked(wav(np.zeros(640))), asked(wav([]))]
    for modality in (S2TEXT, S2SPEECH):
        stereo, short, shortest, empty = answers(samples, modality, speech="ids")
        assert stereo.sent[0].converted and stereo.usage["prompt_audio_tokens"] == 5
        assert stereo.sent[0].seconds == pytest.approx(1.0, abs=0.15)
        assert (short.meta["unheard"], empty.meta["unheard"]) == (1, 1) and "unheard" not in shortest.meta
        assert [r.usage["prompt_audio_tokens"] for r in (short, shortest, empty)] == [0, 1, 0]
        assert (short.sent[0].seconds, empty.sent[0].seconds) == (639 / 16000, 0.0)
        if modality is S2TEXT:  # begin and end stand side by side in both prompts
            assert said(short) == said(empty)


def test_beyond_the_window_is_told_as_not_sent(tmp_path: Path) -> None:
    """Runner specification, section 4: the mel is cut, the placeholders are not."""
    folder = tmp_path / "short-window"
    shutil.copytree(DENSE, folder)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chunk_length": 1}))
    [made] = answers([clip(1)], folder=folder)
    assert (made.sent[0].seconds, made.sent[0].truncated) == (1.0, True)
    assert made.usage["prompt_audio_tokens"] == 12


def test_broken_audio_and_broken_prompts_are_failed_samples() -> None:
    with pytest.raises(RunnerError, match="sample q"):
        answers([asked(Audio(data=b"RIFF no wave"))])
    with pytest.raises(RunnerError, match="nothing is asked"):
        answers([Sample("q", "t/t", ())])
    with pytest.raises(RunnerError, match="more than the 4096 positions"):
        answers([clip(0)], max_new_tokens="4090")


# --- prompts ------------------------------------------------------------------------------------------


def previewed(sample: Sample, modality: Modality, **options: str) -> Any:
    return asyncio.run(FunAudioChatRunner(str(DENSE), **options).preview(sample, modality))


def test_each_way_of_asking_has_its_prompt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path))
    sound = "<|audio_bos|><|AUDIO|><|audio_eos|>"

    def expected(system: str, user: str) -> str:
        return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"

    heard = previewed(asked(wav(clip_wave(2)), "What is it?"), S2TEXT)
    assert heard["text"] == expected(S2T, f"{sound}\nWhat is it?") and heard["prompt"] == "s2t"
    assert heard["audio"] == [{"seconds": 4.64, "speech_tokens": 115, "placeholders": 23}]
    assert previewed(clip(0), S2SPEECH)["text"] == expected(S2M, sound)
    assert previewed(asked("Hello"), T2TEXT)["text"] == expected(S2T, "Hello")
    assert previewed(clip(0), S2TEXT, system_s2t="Mine.")["text"] == expected("Mine.", sound)
    tooled = previewed(clip(0, tools=({"name": "look_up"},)), S2TEXT)
    assert tooled["prompt"] == "tools" and '{"name": "look_up"}' in tooled["text"] and S2T in tooled["text"]
    persona = tmp_path / "p.txt"
    persona.write_text("You are a pilot.")
    spoken = clip(0, setting="spoken-persona")
    assert previewed(spoken, S2SPEECH, persona=str(persona))["text"] == expected(
        f"{S2M} You are a pilot.", sound
    )
    assert previewed(spoken, S2SPEECH)["text"] == expected(S2M, sound)


def test_a_dialogue_goes_back_in_order() -> None:
    turns = (
        Turn("user", (wav(clip_wave(0)),)),
        Turn("assistant", ("ok",)),
        Turn("user", (wav(clip_wave(2)),)),
    )
    [made] = answers([Sample("q", "t/t", turns)], max_new_tokens="32")
    held = reference("dense")
    assert made.text == text_of("dense", held["s2t_multi.text_ids"].ravel().tolist(), (258, 256))
    assert [round(s.seconds, 2) for s in made.sent] == [0.5, 4.64]


def test_a_missing_persona_is_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path))
    spoken = [clip(i, key=f"s{i}", setting="spoken-persona") for i in range(2)]
    made = answers(spoken, S2SPEECH, speech="ids")
    assert [r.meta["persona"] for r in made] == ["none", "none"]
    assert capsys.readouterr().err.count(MISSING) == 1
    answers(spoken, S2SPEECH, speech="ids", persona="none")
    answers(spoken, S2TEXT)
    assert MISSING not in capsys.readouterr().err


# --- identity -----------------------------------------------------------------------------------------


def test_identity_is_the_checkpoint_not_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path))
    copy = tmp_path / "elsewhere"
    shutil.copytree(DENSE, copy)
    first, second = FunAudioChatRunner(str(DENSE)), FunAudioChatRunner(str(copy), batch="9", graphs="no")
    assert first.identity() == second.identity() and (first.label, second.label) == ("dense", "elsewhere")
    assert str(tmp_path) not in json.dumps(second.identity())
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert FunAudioChatRunner(str(copy)).identity() != first.identity()
    seen = [dict(first.identity())]
    persona = tmp_path / "p.txt"
    persona.write_text("You are a pilot.")
    for option in (
        {"seed": "1"},
        {"dtype": "bfloat16"},
        {"speech": "ids"},
        {"top_k": "3"},
        {"invariant": "yes"},
        {"max_seconds": "30"},
        {"system_s2m": "Mine."},
        {"persona": str(persona)},
        {"force_text_abos": "no"},
    ):
        seen.append(dict(FunAudioChatRunner(str(DENSE), **option).identity()))
        assert seen.count(seen[-1]) == 1, option


# --- speech -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    checkout, weights = make(tmp_path_factory.mktemp("vocoder"))
    return {"cosyvoice": str(checkout), "vocoder": str(weights), "vocoder_device": "cpu"}


def test_speech_is_made_beside_generation(vocoder: dict[str, str]) -> None:
    made = answers([clip(i, key=f"s{i}") for i in range(3)], S2SPEECH, **vocoder)
    ids = answers([clip(i, key=f"s{i}") for i in range(3)], S2SPEECH, speech="ids")
    for spoken, kept in zip(made, ids, strict=True):
        audible = [t for t in kept.meta["speech_ids"] if t < 6561]
        assert spoken.audio is not None and spoken.audio.seconds == pytest.approx(len(audible) / 25)
        assert spoken.text == kept.text and "speech_ids" not in spoken.meta and spoken.timing["vocoder"] > 0


def test_no_speech_is_empty_and_marked(vocoder: dict[str, str]) -> None:
    """Without the forced begin of audio nothing is spoken in eight steps (runner specification, section 10)."""
    for more in ({"speech": "ids"}, vocoder):
        [made] = answers([clip(1)], S2SPEECH, force_text_abos="no", **more)
        assert made.audio is None and made.meta["speech"] == "empty" and "speech_ids" not in made.meta


def test_a_vocoder_that_is_missing_is_said_before_loading() -> None:
    runner = FunAudioChatRunner(str(DENSE))
    with pytest.raises(UsageError, match=r"cosyvoice=DIR; or keep the ids for later with -M speech=ids"):
        runner.prepare(S2SPEECH)
    assert runner._loaded is None
    runner.prepare(S2TEXT)
    asyncio.run(runner.close())


# --- the end ------------------------------------------------------------------------------------------


def test_an_answer_longer_than_the_model_is_said_before_loading() -> None:
    with pytest.raises(
        UsageError, match="max_new_tokens=4096 leaves no room for a prompt: the model has 4096"
    ):
        FunAudioChatRunner(str(DENSE), max_new_tokens="4096").prepare(S2TEXT)


def test_closing_ends_what_is_under_way_at_once() -> None:
    async def interrupted() -> float:
        runner = FunAudioChatRunner(str(DENSE), max_new_tokens="3000", speech="ids", batch="2")
        runner.prepare(S2SPEECH)
        tasks = [asyncio.create_task(runner.generate(clip(i % 3, f"s{i}"), S2SPEECH)) for i in range(5)]
        await asyncio.sleep(0.5)
        assert not any(t.done() for t in tasks)
        for task in tasks:
            task.cancel()
        began = time.perf_counter()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.close()
        await runner.close()
        return time.perf_counter() - began

    assert asyncio.run(interrupted()) < 15  # answering takes a minute
    assert not [t.name for t in threading.enumerate() if t.name == "fun-audio-chat"]


def test_closing_waits_for_no_vocoder(vocoder: dict[str, str]) -> None:
    """One that is at it for minutes (here: stopped) is ended, and what waited for it with it."""

    async def interrupted() -> float:
        runner = FunAudioChatRunner(str(DENSE), max_new_tokens="8", **vocoder)
        runner.prepare(S2SPEECH)
        pid = runner.vocoder.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        tasks = [asyncio.create_task(runner.generate(clip(i, f"s{i}"), S2SPEECH)) for i in range(3)]
        await asyncio.sleep(1)
        assert not any(t.done() for t in tasks)
        for task in tasks:
            task.cancel()
        began = time.perf_counter()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.close()
        return time.perf_counter() - began

    assert asyncio.run(interrupted()) < 5
