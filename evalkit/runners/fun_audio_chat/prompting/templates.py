"""The checkpoint's own chat template: where it lies, and whether it is plain ChatML.

The runner writes ChatML itself, as the model was trained; the template is only looked at. Source: runner specification,
sections 6, 11 and 17.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig
from evalkit.runners.fun_audio_chat.folder.fields import read_json
from evalkit.runners.fun_audio_chat.prompting.chatml import S2T, chatml
from evalkit.runners.tool_prompt import rendered

_SHOWN = 40
"""Characters shown of what a template writes otherwise."""


def templates(folder: Path) -> Iterator[tuple[str, str]]:
    """(file, Jinja source) of each chat template of a folder; the one that transformers would take comes first.

    Raises:
        UsageError: a file that can't be read.
    """
    plain = folder / "chat_template.jinja"
    if plain.is_file():
        try:
            yield plain.name, plain.read_text(encoding="utf-8")
        except (OSError, ValueError) as exc:
            raise UsageError(f"{plain} can't be read: {exc}") from exc
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        held = read_json(folder / name, missing_ok=True).values.get("chat_template")
        # A list names several: {"name": "default", "template": ...}.
        several = held if isinstance(held, list) else [{"name": "default", "template": held}]
        for one in several:
            if (
                isinstance(one, dict)
                and one.get("name") == "default"
                and isinstance(one.get("template"), str)
            ):
                yield name, one["template"]


def template_note(config: CheckpointConfig) -> str:
    """What the checkpoint's template does otherwise than plain ChatML, in a sentence; "" when nothing.

    Without a template upstream's processor falls back to plain ChatML, so there is nothing to say then.
    """
    sound = f"{config.audio_bos_token}{config.audio_token}{config.audio_eos_token}"
    talk = [("system", S2T), ("user", sound), ("assistant", "ok"), ("user", f"{sound}\nwords")]
    try:
        found = next(templates(config.folder), None)
        if found is None:
            return ""
        messages = [{"role": role, "content": content} for role, content in talk]
        theirs = rendered(found[1], messages, add_generation_prompt=True)
    except UsageError as exc:
        return f"plain ChatML is used: {exc}"
    ours = chatml(talk)
    if theirs == ours:
        return ""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False)))
    return (
        f"the checkpoint's {found[0]} is not plain ChatML, which the runner uses: after "
        f"{ours[:same][-_SHOWN:]!r} it has {theirs[same : same + _SHOWN]!r}, ChatML {ours[same : same + _SHOWN]!r}"
    )
