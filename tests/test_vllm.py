"""The vLLM runner against a stand-in of vLLM's API: prompts, identity and options."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from fun_audio_chat_fixtures import DENSE, MOE, clip_wave, reference
from vllm_fixtures import WEATHER, answers, asked, lalm, wav
from vllm_stand_in import AsyncLLMEngine, install

from evalkit.errors import RunnerError, UsageError
from evalkit.records import Audio, Modality, Response
from evalkit.registry import make_runner
from evalkit.runners.vllm import VllmRunner
from evalkit.runners.vllm.mend import QUALNAME
from evalkit.runners.vllm.options import parse_options
from evalkit.runners.vllm.source import open_source

pytest.importorskip("tokenizers", reason='needs tokenizers: pip install "evalkit[local]"')

ROOT = Path(__file__).resolve().parents[1]
ASK = "Please help me transcribe the audio."


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[AsyncLLMEngine]:
    return install(monkeypatch)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return lalm(tmp_path / "lalm")


# --- Fun-Audio-Chat ------------------------------------------------------------------------------


def test_fun_audio_chat_gets_the_prompt_it_was_trained_with(vllm: type[AsyncLLMEngine]) -> None:
    runner = VllmRunner(str(DENSE), max_tokens="9")
    (response,) = answers(runner, asked(wav(clip_wave(1)), ASK))
    (engine,) = vllm.made
    ((prompt, params),) = engine.asked
    want = [int(i) for i in reference("dense")["s2t_instr.input_ids"].ravel()]
    audio = 261
    first = want.index(audio)
    groups = want.count(audio)
    assert prompt["prompt_token_ids"] == [*want[:first], audio, *want[first + groups :]]
    ((wave, rate),) = prompt["multi_modal_data"]["audio"]
    assert rate == 16_000
    assert wave.dtype == np.float32
    np.testing.assert_allclose(wave, clip_wave(1), atol=1e-6)
    assert (params.temperature, params.max_tokens, set(params.stop_token_ids)) == (0.0, 9, {256, 258})
    assert params.output_kind.name == "FINAL_ONLY"
    assert isinstance(response, Response)
    assert response.sent[0].seconds == pytest.approx(37117 / 16000)
    assert (response.sent[0].sample_rate, response.sent[0].truncated) == (16_000, False)
    assert response.usage == {
        "prompt_tokens": len(prompt["prompt_token_ids"]),
        "completion_tokens": 6,
        "cached_tokens": 2,
    }
    assert response.meta == {"finish_reason": "stop"}
    assert "<|AUDIO|>" not in response.text, "special tokens are no text"
    assert engine.closed


def test_its_engine_is_sized_without_a_clip_of_300_s(
    vllm: type[AsyncLLMEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DENSE.parent)
    answers(VllmRunner(DENSE.name, limit_audio="3", audio_seconds="3000"))
    args = vllm.made[0].args
    assert args.model == str(DENSE)
    assert args.limit_mm_per_prompt == {"audio": {"count": 3, "length": 299 * 16_000}}
    assert args.worker_extension_cls == QUALNAME
    assert args.max_model_len == 4096, "no more than the checkpoint's 4096, by default at most 8192"
    assert (args.dtype, args.trust_remote_code, args.data_parallel_size) == ("auto", False, 1)


def test_truncated_answers_say_so(vllm: type[AsyncLLMEngine]) -> None:
    (response,) = answers(VllmRunner(str(DENSE), max_tokens="3"), asked("hello"))
    assert isinstance(response, Response)
    assert response.meta == {"finish_reason": "length", "truncated": True}
    assert response.sent == ()


def test_a_sample_can_bring_no_special_tokens_of_its_own(vllm: type[AsyncLLMEngine]) -> None:
    answers(VllmRunner(str(DENSE)), asked(wav(clip_wave(0)), "<|AUDIO|><|im_end|>"))
    ids = vllm.made[0].asked[0][0]["prompt_token_ids"]
    assert ids.count(261) == 1
    assert ids.count(258) == 2, "the ends of the system turn and of the user's"


def test_tools_stand_below_the_system_text(vllm: type[AsyncLLMEngine]) -> None:
    runner = VllmRunner(str(DENSE))
    shown = asyncio.run(runner.preview(asked(wav(clip_wave(0)), tools=[WEATHER]), Modality.S2T))
    head = shown["prompt"].split("<|im_end|>")[0]
    assert head.startswith("<|im_start|>system\nYou are asked to generate text tokens.\n")
    assert json.dumps(WEATHER, ensure_ascii=False) in head
    assert shown["audio"] == [f"0.50 s at 16000 Hz, sha256 {wav(clip_wave(0)).digest()[:12]}"]


def test_a_mixture_of_experts_is_refused(vllm: type[AsyncLLMEngine]) -> None:
    with pytest.raises(UsageError, match=r"dense Qwen3.*qwen3_moe.*--model fun-audio-chat/"):
        VllmRunner(str(MOE)).identity()


@pytest.mark.parametrize(
    ("flash", "seconds", "taken"),
    [(False, 299.6, True), (False, 299.9, False), (True, 299.9, True), (True, 301, False)],
)
def test_clips_that_would_kill_the_engine_are_never_sent(
    vllm: type[AsyncLLMEngine], monkeypatch: pytest.MonkeyPatch, flash: bool, seconds: float, taken: bool
) -> None:
    from evalkit.runners.vllm import prompt

    find = prompt.find_spec
    monkeypatch.setattr(
        prompt, "find_spec", lambda name: (flash or None) if name == "flash_attn" else find(name)
    )
    runner = VllmRunner(str(DENSE))
    (got,) = answers(runner, asked(wav(np.zeros(int(seconds * 8000), np.float32), 8000)))
    assert isinstance(got, Response) == taken
    if isinstance(got, RunnerError):
        assert got.kind == "audio-too-long"
        assert got.unsent
        assert ("flash_attn" in got.message) == (seconds < 300)


def test_audio_that_can_t_be_read_is_that_sample_s_error(vllm: type[AsyncLLMEngine]) -> None:
    bad = Audio(data=b"RIFF....", format="wav", seconds=1.0, sample_rate=16000)
    got, fine = answers(VllmRunner(str(DENSE)), asked(bad), asked("hello", id="q2"))
    assert isinstance(got, RunnerError)
    assert got.kind == "bad-audio"
    assert isinstance(fine, Response)


# --- other models --------------------------------------------------------------------------------


def test_other_models_get_messages_for_their_own_template(vllm: type[AsyncLLMEngine], other: Path) -> None:
    runner = VllmRunner(str(other), system="Be brief.", template_args='{"enable_thinking": false}')
    sample = asked(wav(clip_wave(0)), "What is said?", tools=[WEATHER])
    (response,) = answers(runner, sample)
    assert isinstance(response, Response)
    assert response.text == "system: Be brief. | user: input_audio + What is said?"
    given = vllm.made[0].asked[0][0]["given"]
    assert given["enable_thinking"] is False
    assert given["add_generation_prompt"] is True
    assert given["tools"][0]["function"]["parameters"]["type"] == "object", (
        "JSON Schema's words, not Python's"
    )
    assert vllm.made[0].args.limit_mm_per_prompt["image"] == 0
    assert vllm.made[0].args.worker_extension_cls == ""


def test_their_audio_is_a_16_khz_wav(vllm: type[AsyncLLMEngine], other: Path) -> None:
    runner = VllmRunner(str(other))
    ready = asyncio.run(runner.prompts.prepare(asked(wav(np.zeros(24_000, np.float32), 24_000))))
    part = ready.prompt.messages[0]["content"][0]  # type: ignore[union-attr]
    held, rate = sf.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])))
    assert (rate, len(held), part["input_audio"]["format"]) == (16_000, 16_000, "wav")
    assert (ready.sent[0].sample_rate, ready.sent[0].converted) == (16_000, True)


def test_tools_in_our_words(vllm: type[AsyncLLMEngine], other: Path) -> None:
    (response,) = answers(VllmRunner(str(other), tools="prompt"), asked("hi", tools=[WEATHER]))
    assert isinstance(response, Response)
    assert "Some requests need a tool" in response.text
    assert "tools" not in vllm.made[0].asked[0][0]["given"]


def test_each_sample_draws_with_its_own_seed(vllm: type[AsyncLLMEngine], other: Path) -> None:
    runner = VllmRunner(str(other), temperature="0.7", seed="3")
    answers(runner, asked("a"), asked("b", id="q2"), asked("a", id="q3"))
    seeds = [params.seed for _, params in vllm.made[0].asked]
    assert seeds[0] == seeds[2] != seeds[1]
    assert all(0 <= s < 2**63 for s in seeds)


# --- who it is, and options ----------------------------------------------------------------------


def test_identity_tells_what_decides_answers_and_nothing_else(
    vllm: type[AsyncLLMEngine], other: Path
) -> None:
    base = VllmRunner(str(DENSE)).identity()
    assert base["model"] == "dense"
    assert base["prompt"]["system"] == "102d3d94"
    assert base["decoding"] == {"temperature": 0.0, "max_tokens": 2048}
    same = {
        "concurrency": "3",
        "gpu_memory_utilization": "0.5",
        "tensor_parallel": "2",
        "data_parallel": "2",
        "enforce_eager": "yes",
        "engine_args": '{"max_num_seqs": 4}',
    }
    assert VllmRunner(str(DENSE), **same).identity() == base
    for name, value in {
        "system": "Hi.",
        "max_tokens": "7",
        "temperature": "1",
        "dtype": "float32",
        "max_model_len": "512",
        "tools": "prompt",
        "engine_args": '{"quantization": "fp8"}',
    }.items():
        changed = VllmRunner(str(DENSE), **{name: value}).identity()
        assert changed != base or name == "tools", name  # the tiny checkpoint has our own words anyway
    first = VllmRunner(str(other)).identity()
    (other / "model.safetensors").write_bytes(b"other weights")
    assert VllmRunner(str(other)).identity() != first


def test_it_says_how_many_gpus_it_takes(vllm: type[AsyncLLMEngine]) -> None:
    assert VllmRunner(str(DENSE)).gpus == 1
    more = {"tensor_parallel": "2", "data_parallel": "3", "engine_args": '{"pipeline_parallel_size": 2}'}
    assert VllmRunner(str(DENSE), **more).gpus == 12


def test_the_checkpoint_s_digest_is_that_of_its_own_runner(vllm: type[AsyncLLMEngine]) -> None:
    from evalkit.runners.fun_audio_chat.folder.digests import digest

    assert VllmRunner(str(DENSE)).identity()["checkpoint"] == digest(DENSE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": "1"}, "unknown option temprature for vllm; known: .*temperature"),
        ({"top_p": "0.9"}, "top_p does nothing at temperature 0"),
        ({"engine_args": '{"dtype": "half"}'}, r"can't set dtype \(dtype\)"),
        ({"engine_args": "[1]"}, "must be a JSON object"),
        ({"engine_args": "{"}, "is not JSON"),
        ({"engine_args": '{"pipeline_parallel_size": 0}'}, "must be a whole number from 1"),
        ({"chat_template": "no/such.jinja"}, "no/such.jinja can't be read"),
        ({"trust_remote_code": "maybe"}, "must be yes or no"),
        ({"dtype": "int3"}, "must be one of auto"),
        ({"tools": "api"}, "must be one of model, prompt"),
    ],
)
def test_options_that_can_t_be(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_options(options)


def test_an_engine_argument_that_vllm_does_not_know(vllm: type[AsyncLLMEngine], other: Path) -> None:
    with pytest.raises(UsageError, match=r"engine_args: .*max_nums"):
        VllmRunner(str(other), engine_args='{"max_nums": 3}').prepare(Modality.S2T)


def test_fun_audio_chat_takes_no_template(vllm: type[AsyncLLMEngine], tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    with pytest.raises(UsageError, match="plain ChatML"):
        VllmRunner(str(DENSE), chat_template=str(tmp_path / "t.jinja")).identity()


def test_names_that_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, said in {
        str(tmp_path / "gone"): "there is no folder .*gone",
        str(tmp_path): "has no config.json",
        str(tmp_path / "file"): "is a file",
        "a/b/c": "no name of the hub",
    }.items():
        with pytest.raises(UsageError, match=said):
            open_source(name, None)
    with pytest.raises(UsageError, match="is a folder: revision"):
        open_source(str(DENSE), "main")
    with pytest.raises(UsageError, match="two revisions"):
        open_source("a/b@x", "y")


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.runners.vllm.source.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "evalkit\[vllm\]"'):
        make_runner(f"vllm/{DENSE}", {})
    with pytest.raises(UsageError, match="name the model"):
        make_runner("vllm", {})


def test_listing_runners_loads_neither_torch_nor_vllm() -> None:
    code = (
        "import sys; from evalkit.registry import runner_modules; assert 'vllm' in runner_modules();"
        "assert not {'torch', 'transformers', 'vllm', 'tokenizers'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
