"""Tools put into a prompt: as Fun-Audio-Chat is told of them, and in our own words for anybody else.

Source: speech function calling sheet, section 3. The wording that Fun-Audio-Chat knows is the tools section of its
checkpoint's own chat template, one line break below the system text; it is taken from there, none of it is here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.records import JSON, Turn

PLACEHOLDER = "{tools_definition}"
"""Where a frame takes the tool lines; put in by plain replacement, for frames hold other braces."""

FUNCTION_CALLING_SHA256 = "92c5e74becff91bd38543c1830a65a6212f63378ab197f175675955c373de24a"
"""sha256 of the frame that the report's own function-calling prompt is."""

_SYSTEM, _USER, _TOOL = "evalkit system text", "evalkit user text", "evalkit_tool"

OWN_FRAME = f"""Some requests need a tool. These are the tools, one JSON object per line:
<tools>
{PLACEHOLDER}
</tools>
Answer with calls only. Write each call as one JSON object with the function's name and its arguments, between \
these tags:
<tool_call>{{"name": "...", "arguments": {{...}}}}</tool_call>
One pair of tags per call. Leave out optional arguments that the request says nothing about."""
"""Our own words for the same contract, for endpoints that have no tool parser."""


def tool_lines(tools: Sequence[Mapping[str, JSON]]) -> str:
    """One line of JSON per tool, as the data set has it, the wrapper included."""
    return "\n".join(json.dumps(dict(t), ensure_ascii=False) for t in tools)


def fill(frame: str, tools: Sequence[Mapping[str, JSON]]) -> str:
    """The frame with the tools where its placeholder stands."""
    return frame.replace(PLACEHOLDER, tool_lines(tools))


def frame_from(chat_template: str, system: str) -> str:
    """The function-calling system prompt of a checkpoint, with the placeholder still in it.

    Args:
        chat_template: Jinja source of the checkpoint's chat template; rendered in a sandbox.
        system: the system text that stands before the tools.

    Raises:
        UsageError: the template can't be rendered, or says nothing of tools.
    """
    asked = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
    bare, tooled = rendered(chat_template, asked), rendered(chat_template, asked, [{"name": _TOOL}])
    head, _, rest = tooled.partition(_SYSTEM)
    bare_head, _, end = bare.partition(_SYSTEM)
    line = tool_lines([{"name": _TOOL}])
    if head != bare_head or not end or not rest.endswith(end) or rest.count(line) != 1:
        raise UsageError("the checkpoint's chat template has no tools section below the system text")
    section = rest[: len(rest) - len(end)].lstrip("\n")
    return f"{system}\n{section.replace(line, PLACEHOLDER)}"


def section_of(path: str) -> str:
    """The tools section in a file, with the placeholder still in it; it stands one line break below the system text.

    Args:
        path: a text with the placeholder (the report's own prompt, which begins with its system text, or anybody's), or
            a checkpoint's chat template: chat_template.jinja, or the JSON file that holds it.

    Raises:
        UsageError: no such file, or neither of these is in it.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise UsageError(f"{path} can't be read: {exc}") from exc
    if PLACEHOLDER in text and "{%" not in text:
        return text
    try:
        held = json.loads(text)
        text = held["chat_template"] if isinstance(held, dict) else text
    except (ValueError, KeyError, RecursionError):
        pass
    if not isinstance(text, str):
        raise UsageError(f"{path} has no chat template that is one text")
    try:
        return frame_from(text, "").removeprefix("\n")
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}; nor is it a text with {PLACEHOLDER} in it") from exc


def rendered(
    chat_template: str,
    messages: Sequence[Mapping[str, JSON]],
    tools: Sequence[Mapping[str, JSON]] | None = None,
    *,
    add_generation_prompt: bool = False,
) -> str:
    """Messages in the form that a chat template gives them; rendered in a sandbox.

    Raises:
        UsageError: the template can't be rendered.
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    jinja = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    jinja.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    try:
        return jinja.from_string(chat_template).render(
            messages=messages, tools=tools, add_generation_prompt=add_generation_prompt
        )
    except Exception as exc:  # a template is a program: it raises what it likes
        line = (str(exc).strip() or type(exc).__name__).splitlines()[0][:200]
        raise UsageError(f"the checkpoint's chat template can't be rendered: {line}") from exc


def in_own_words(turns: Sequence[Turn], tools: Sequence[Mapping[str, JSON]]) -> tuple[Turn, ...]:
    """The turns with the tools described in a system turn before them."""
    return (Turn("system", (fill(OWN_FRAME, tools),)), *turns)
