"""What a `vllm serve` of Fun-Audio-Chat is sent by the `openai` runner: the prompt that our own runner makes."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fun_audio_chat_fixtures import DENSE, clip_wave

from evalkit.audio import encode_wav, materialise
from evalkit.errors import UsageError
from evalkit.records import JSON, Audio, Modality, Sample, Turn
from evalkit.runners.fun_audio_chat.folder.config import read_config
from evalkit.runners.fun_audio_chat.prompting.chatml import S2T, chatml
from evalkit.runners.fun_audio_chat.prompting.prompts import Frame, chat
from evalkit.runners.openai import OpenAIRunner
from evalkit.runners.tool_prompt import rendered

SOUND = "<|audio_bos|><|AUDIO|><|audio_eos|>"
TOOL: dict[str, JSON] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}
SECTION = "# Our tools\n{tools_definition}\nSay calls in <tool_call> tags: {}"
QWEN = (
    "{% if tools %}<|im_start|>system\n{{ messages[0]['content'] }}\n\n# Tools\n{% for t in tools %}{{ t | tojson }}\n"
    "{% endfor %}End.<|im_end|>\n{% else %}<|im_start|>system\n{{ messages[0]['content'] }}<|im_end|>\n{% endif %}"
)


def clip(i: int) -> Audio:
    return materialise(Audio(data=encode_wav(clip_wave(i), 16_000)))


def served(sample: Sample, **options: str) -> str:
    """The prompt that vLLM makes of the request: a placeholder for each piece of audio, then the text, a line each."""
    runner = OpenAIRunner("fac", base_url="http://localhost:1/v1", **options)
    body: Any = asyncio.run(runner.preview(sample, Modality.S2T))
    assert "tools" not in body
    messages = []
    for message in body["messages"]:
        parts = message["content"]
        if not isinstance(parts, str):
            sounds = [SOUND for p in parts if p["type"] == "input_audio"]
            parts = "\n".join(sounds + [p["text"] for p in parts if p["type"] == "text"])
        messages.append({"role": message["role"], "content": parts})
    template = files("evalkit").joinpath("data/chatml.jinja").read_text(encoding="utf-8")
    return rendered(template, messages, add_generation_prompt=True)


DIALOGUES = {
    "audio": (Turn("user", (clip(0),)),),
    "instruction": (Turn("user", (clip(0), "Please help me transcribe the audio.")),),
    "turns": (Turn("user", (clip(0),)), Turn("assistant", ("ok",)), Turn("user", (clip(1),))),
    "text": (Turn("user", ("Hello",)),),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_the_served_prompt_is_our_own(name: str) -> None:
    sample = Sample("q", "t/t", DIALOGUES[name])
    ours = chat(sample.turns, system=S2T).text(read_config(DENSE))
    assert served(sample, system=S2T, audio_part="input_audio") == ours


def test_the_template_that_ships_is_plain_chatml() -> None:
    talk = [("system", "a"), ("user", " b \n"), ("assistant", "c")]
    template = files("evalkit").joinpath("data/chatml.jinja").read_text(encoding="utf-8")
    messages = [{"role": role, "content": content} for role, content in talk]
    assert rendered(template, messages, add_generation_prompt=True) == chatml(talk)


@pytest.mark.parametrize("whole", [False, True])
def test_tools_from_a_file_stand_one_line_below_the_system_text(tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "frame.txt"
    path.write_text(f"{S2T}\n{SECTION}" if whole else SECTION)
    sample = Sample("q", "t/t", DIALOGUES["audio"], tools=(TOOL,))
    ours = chat(sample.turns, system=S2T, tools=sample.tools, frame=Frame(SECTION, "official"))
    assert served(sample, system=S2T, tools=str(path)) == ours.text(read_config(DENSE))
    bare = Sample("q", "t/t", DIALOGUES["audio"])
    assert served(bare, system=S2T, tools=str(path)) == served(bare, system=S2T), "no tools, no section"


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer_config.json"])
def test_tools_from_a_checkpoint_s_template(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(QWEN if name.endswith("jinja") else json.dumps({"chat_template": QWEN}))
    prompt = served(Sample("q", "t/t", DIALOGUES["audio"], tools=(TOOL,)), system=S2T, tools=str(path))
    assert prompt.startswith(
        f"<|im_start|>system\n{S2T}\n# Tools\n{json.dumps(TOOL)}\nEnd.<|im_end|>\n<|im_start|>user\n"
    )


def test_the_section_is_part_of_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "frame.txt"
    path.write_text(SECTION)

    def told(tools: str) -> JSON:
        return OpenAIRunner("m", base_url="http://localhost:1/v1", tools=tools).identity().get("tools")

    first = told(str(path))
    path.write_text(SECTION + " ")
    assert str(first).startswith("section@")
    assert first != told(str(path))
    assert told("api") is None
    assert str(told("prompt")).startswith("prompt@")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "tools must be api, prompt, or a file"),
        ("Nothing here.", "no tools section below the system text; nor is it a text with {tools_definition}"),
        ('{"chat_template": ["several"]}', "no chat template that is one text"),
    ],
)
def test_files_that_hold_no_section(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "frame.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError) as caught:
        OpenAIRunner("m", base_url="http://localhost:1/v1", tools=str(path))
    assert said in str(caught.value)
