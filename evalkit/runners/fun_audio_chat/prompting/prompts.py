"""Prompts: ChatML with a placeholder for each piece of audio, as text and as ids.

Source: runner specification, sections 6 and 11. What a data set says is data: special tokens in it are spelled as text,
so that no sample can end its turn or bring placeholders of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON, Audio, Turn
from evalkit.runners.fun_audio_chat.folder.config import CheckpointConfig
from evalkit.runners.fun_audio_chat.prompting.chatml import IM_END, IM_START
from evalkit.runners.fun_audio_chat.prompting.chatml import S2M as S2M
from evalkit.runners.fun_audio_chat.prompting.chatml import S2T as S2T
from evalkit.runners.fun_audio_chat.prompting.templates import templates
from evalkit.runners.fun_audio_chat.prompting.tokens import Tokens
from evalkit.runners.tool_prompt import FUNCTION_CALLING_SHA256, OWN_FRAME, fill, frame_from
from evalkit.wording.extras import FUNCTION_CALLING, SPOKEN_S2M
from evalkit.wording.store import read

ROLES = ("system", "user", "assistant")


class Mark(Enum):
    """Special tokens of a prompt. AUDIO stands for a whole piece of audio: begin, placeholders, end."""

    START = IM_START
    END = IM_END
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Frame:
    """The tools section of a function-calling system prompt, below the system text.

    Attributes:
        section: with the placeholder `{tools_definition}` still in it.
        origin: "official" (below the published system text it has the sha256 of the report's prompt), "template" (of
            the checkpoint's chat template, another wording), or "own" (our words: the template has no such section).
    """

    section: str
    origin: Literal["official", "template", "own"]

    @property
    def sha256(self) -> str:
        """sha256 (hex) of the section."""
        return _sha256(self.section)


@dataclass(frozen=True, slots=True)
class Chat:
    """A prompt.

    Attributes:
        pieces: text that is data, and marks, in order.
        audios: one for each Mark.AUDIO.
    """

    pieces: tuple[str | Mark, ...]
    audios: tuple[Audio, ...]

    def text(self, config: CheckpointConfig) -> str:
        """ChatML with one placeholder for each piece of audio: for a reader, and for engines that take text."""
        sound = f"{config.audio_bos_token}{config.audio_token}{config.audio_eos_token}"
        return "".join(
            p if isinstance(p, str) else sound if p is Mark.AUDIO else str(p.value) for p in self.pieces
        )

    def ids(self, tokens: Tokens, groups: Sequence[int] | None = None) -> tuple[int, ...]:
        """Prompt ids.

        Args:
            groups: for each piece of audio the number of its placeholders, 0 for audio too short to be heard; None
                puts one for each, for engines that expand them.

        Raises:
            ValueError: not as many numbers as pieces of audio.
        """
        counts = iter([1] * len(self.audios) if groups is None else groups)
        if groups is not None and len(groups) != len(self.audios):
            raise ValueError(f"{len(groups)} group counts for {len(self.audios)} pieces of audio")
        out: list[int] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                out += tokens.spell(piece)
            elif piece is Mark.AUDIO:
                out += [tokens.audio_bos, *[tokens.audio] * next(counts), tokens.audio_eos]
            else:
                out.append(tokens.im_start if piece is Mark.START else tokens.im_end)
        return tuple(out)


def chat(
    turns: Sequence[Turn],
    *,
    system: str,
    tools: Sequence[Mapping[str, JSON]] = (),
    frame: Frame | None = None,
) -> Chat:
    """The prompt for a dialogue, up to where the assistant speaks.

    A message is its parts in order, a line break between two of them: audio, then the instruction. The assistant's
    earlier turns go back as text. The system message is `system_text`, with the tools below it.

    Args:
        system: the run's system text.
        tools: as the data set has them; frame: how they are told (`tools_frame`), needed when there are any.

    Raises:
        RunnerError: nothing is asked; an unknown role; audio where this model takes text.
    """
    leading = _leading(turns)
    own = ["\n".join(words) for turn in leading if (words := _words(turn))]
    rest = turns[len(leading) :]
    if not any(t.role == "user" and t.parts for t in rest):
        raise _bad("nothing is asked: the sample has no user turn with something in it")
    head = system_text(system, own)
    if tools:
        if frame is None:
            raise ValueError("tools need a frame")
        head = f"{head}\n{fill(frame.section, tools)}"
    messages: list[tuple[str, tuple[str | Audio, ...]]] = [("system", (head,))]
    messages += [(turn.role, _parts(turn)) for turn in rest]
    pieces: list[str | Mark] = []
    audios: list[Audio] = []
    for role, parts in messages:
        pieces += [Mark.START, f"{role}\n"]
        for i, part in enumerate(parts):
            pieces += ["\n"] if i else []
            pieces.append(part if isinstance(part, str) else Mark.AUDIO)
            audios += [part] if isinstance(part, Audio) else []
        pieces += [Mark.END, "\n"]
    return Chat(_merged([*pieces, Mark.START, "assistant\n"]), tuple(audios))


def system_text(system: str, own: Sequence[str]) -> str:
    """The run's system text, then what the dialogue's own system turns say, each on a line of its own.

    The mode ("generate text tokens") has to stay, for the model was trained with it. After the published text for
    speech comes one blank, as before the published persona. A dialogue's own text that begins with a published mode
    stands alone; and the published persona gives way to a dialogue's own one.
    """
    if not own:
        return system
    words = "\n".join(own)
    if words.startswith((S2T, S2M)):
        return words
    if system == S2M or _sha256(system) == SPOKEN_S2M.sha256:
        return f"{S2M} {words}"
    return f"{system}\n{words}"


def tools_frame(config: CheckpointConfig) -> Frame:
    """How tools are told: in the official words if the user imported them, else in those of the checkpoint's own chat
    template, else in our own.

    Raises:
        UsageError: an imported text was altered; a template file can't be read.
    """
    found = read(FUNCTION_CALLING.sha256)
    if found is not None:
        return Frame(found.removeprefix(f"{S2T}\n"), "official")
    for _, source in templates(config.folder):
        try:
            whole = frame_from(source, S2T)
        except UsageError:
            continue
        return Frame(
            whole.removeprefix(f"{S2T}\n"),
            "official" if _sha256(whole) == FUNCTION_CALLING_SHA256 else "template",
        )
    return Frame(OWN_FRAME, "own")


def prompt_identity(frame: Frame) -> Mapping[str, JSON]:
    """What of the prompts decides answers, beside the system texts that the run sets: for the fingerprint."""
    return {
        "chat": "chatml",
        "s2t": _sha256(S2T)[:8],
        "s2m": _sha256(S2M)[:8],
        "tools": f"{frame.origin}@{frame.sha256[:8]}",
    }


def _leading(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The system turns a dialogue begins with."""
    count = next((i for i, t in enumerate(turns) if t.role != "system"), len(turns))
    return turns[:count]


def _parts(turn: Turn) -> tuple[str | Audio, ...]:
    if turn.role not in ROLES:
        raise _bad(f'a turn has the role "{turn.role}"; this model knows {", ".join(ROLES)}')
    return turn.parts if turn.role == "user" else _words(turn)


def _words(turn: Turn) -> tuple[str, ...]:
    """The texts of a turn that can't be heard. Raises RunnerError where it has none but audio."""
    texts = tuple(p for p in turn.parts if isinstance(p, str))
    if len(texts) < len(turn.parts) and not any(texts):
        raise _bad(f"a turn of the role {turn.role} is audio alone, and this model takes it as text")
    return texts


def _merged(pieces: Iterable[str | Mark]) -> tuple[str | Mark, ...]:
    """Neighbouring texts made one, for the tokenizer sees across their seam; empty ones left out."""
    out: list[str | Mark] = []
    for piece in pieces:
        if isinstance(piece, str) and out and isinstance(last := out[-1], str):
            out[-1] = last + piece
        elif piece != "":
            out.append(piece)
    return tuple(out)


def _bad(message: str) -> RunnerError:
    return RunnerError("bad-prompt", message, unsent=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
