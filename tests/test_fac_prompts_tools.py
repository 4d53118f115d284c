"""Tools in a Fun-Audio-Chat prompt, in the checkpoint's own words; and what its chat template does otherwise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.records import Audio, Turn
from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig, read_config
from evalkit.runners.fun_audio_chat.prompting import prompts
from evalkit.runners.fun_audio_chat.prompting.prompts import S2T, Frame, chat, prompt_identity, tools_frame
from evalkit.runners.fun_audio_chat.prompting.templates import template_note
from evalkit.runners.tool_prompt import OWN_FRAME, PLACEHOLDER
from evalkit.wording import store
from tests.fun_audio_chat_fixtures import DENSE
from tests.test_fac_tokens import copy
from tests.test_speech_fc import TEMPLATE

SOUND = Audio(data=b"RIFF")
TEMPLATE_SOUND = "<|audio_bos|><|AUDIO|><|audio_eos|>"
TOOLS = (
    {"type": "function", "function": {"name": "时钟", "description": "<|im_end|>", "parameters": {"type": "dict"}}},
    {"type": "function", "function": {"name": "f", "description": "{}", "parameters": {}}},
)  # fmt: skip


@cache
def config() -> CheckpointConfig:
    return read_config(DENSE)


@pytest.fixture(autouse=True)
def nothing_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path / "evalkit-config"))


def user(*parts: str | Audio) -> Turn:
    return Turn("user", parts)


def text_of(*turns: Turn, system: str = S2T, **options: Any) -> str:
    return chat(turns, system=system, **options).text(config())


# --- function calling ----------------------------------------------------------------------------


def with_template(at: Path, template: str | None, where: str = "chat_template.jinja") -> CheckpointConfig:
    """The tiny checkpoint with another chat template, or with none."""
    folder = copy(at)
    (folder / "chat_template.jinja").unlink()
    if template is not None and where.endswith(".jinja"):
        (folder / where).write_text(template)
    elif template is not None:
        path = folder / where
        held = json.loads(path.read_text()) if path.exists() else {}
        value: Any = (
            template if where != "processor_config.json" else [{"name": "default", "template": template}]
        )
        path.write_text(json.dumps(held | {"chat_template": value}))
    return read_config(folder)


@pytest.mark.parametrize(
    "where", ["chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json"]
)
def test_tools_are_told_in_the_words_of_the_checkpoints_template(tmp_path: Path, where: str) -> None:
    frame = tools_frame(with_template(tmp_path / "c", TEMPLATE, where))
    assert frame.origin == "template"
    assert frame.section.startswith("# Tools\n\nCall {these}:\n<tools>\n{tools_definition}\n</tools>")
    said = text_of(user(SOUND), tools=TOOLS, frame=frame)
    lines = "\n".join(json.dumps(t, ensure_ascii=False) for t in TOOLS)
    assert said.startswith(
        f"<|im_start|>system\n{S2T}\n# Tools\n\nCall {{these}}:\n<tools>\n{lines}\n</tools>\n\nSay "
    )
    assert said.endswith(
        f"</tool_call><|im_end|>\n<|im_start|>user\n{TEMPLATE_SOUND}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_stand_below_a_dialogues_own_system_text() -> None:
    said = text_of(
        Turn("system", ("今天是星期四。",)),
        user(SOUND),
        tools=TOOLS,
        frame=Frame("T {tools_definition}", "own"),
    )
    assert said.startswith(f"<|im_start|>system\n{S2T}\n今天是星期四。\nT {{")


def test_a_template_without_tools_leaves_our_own_words(tmp_path: Path) -> None:
    for n, template in enumerate((None, "{% broken", "{{ messages[0].content }}")):
        frame = tools_frame(with_template(tmp_path / str(n), template))
        assert frame == Frame(OWN_FRAME, "own")
    assert tools_frame(config()).origin == "own", "the tiny checkpoint's template is plain ChatML"


def test_the_official_words_once_they_were_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = f"{S2T}\n# Tools\n\nstand-in {PLACEHOLDER} for the official words"
    digest = hashlib.sha256(official.encode()).hexdigest()
    monkeypatch.setattr(prompts, "FUNCTION_CALLING", replace(prompts.FUNCTION_CALLING, sha256=digest))
    described = with_template(tmp_path / "c", TEMPLATE)
    assert tools_frame(described).origin == "template"
    store.keep(official)
    frame = tools_frame(described)
    assert frame.origin == "official"
    assert f"{S2T}\n{frame.section}" == official
    store.path_of(digest).write_text("altered")
    with pytest.raises(UsageError, match="was altered"):
        tools_frame(described)


def test_a_template_with_the_official_words_is_official(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = with_template(tmp_path / "c", TEMPLATE)
    whole = f"{S2T}\n{tools_frame(described).section}"
    monkeypatch.setattr(prompts, "FUNCTION_CALLING_SHA256", hashlib.sha256(whole.encode()).hexdigest())
    assert tools_frame(described).origin == "official"


def test_tools_without_a_frame_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="frame"):
        chat([user("a")], system=S2T, tools=TOOLS)


def test_the_identity_tells_one_wording_from_another(tmp_path: Path) -> None:
    own, theirs = Frame(OWN_FRAME, "own"), tools_frame(with_template(tmp_path / "c", TEMPLATE))
    assert prompt_identity(own) != prompt_identity(theirs)
    assert prompt_identity(own) == {
        "chat": "chatml",
        "s2t": "102d3d94",
        "s2m": "7fe12b9d",
        "tools": f"own@{hashlib.sha256(OWN_FRAME.encode()).hexdigest()[:8]}",
    }


# --- the checkpoint's template -------------------------------------------------------------------

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
)


def test_plain_chatml_is_no_news(tmp_path: Path) -> None:
    assert template_note(config()) == ""
    assert template_note(with_template(tmp_path / "a", None)) == "", "upstream falls back to ChatML, too"
    assert (
        template_note(with_template(tmp_path / "b", f"{CHATML}{{% endif %}}", "tokenizer_config.json")) == ""
    )


def test_another_template_is_told(tmp_path: Path) -> None:
    thinking = template_note(with_template(tmp_path / "a", f"{CHATML}<think>\n\n</think>\n\n{{% endif %}}"))
    assert "chat_template.jinja is not plain ChatML, which the runner uses" in thinking
    assert r"<|im_start|>assistant\n' it has '<think>" in thinking
    listing = template_note(
        with_template(
            tmp_path / "b", CHATML.replace("{{ m['content']", "Audio 1: {{ m['content']") + "{% endif %}"
        )
    )
    assert "it has 'Audio 1: You are asked" in listing
    assert r"ChatML 'You are asked" in listing


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no') }}",
        "{% broken",
        "{{ 1 // 0 }}",
        "{% for i in range(10 ** 9) %}a{% endfor %}",
        "{{ x.y.z }}",
    ],
)
def test_a_template_that_cannot_be_rendered_is_told(tmp_path: Path, template: str) -> None:
    note = template_note(with_template(tmp_path / "c", template))
    assert note.startswith("plain ChatML is used: the checkpoint's chat template can't be rendered")
    assert "\n" not in note
