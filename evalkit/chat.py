"""Asking a model that helps to score: the request, the reply, and what a model behind a role can do. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from evalkit.errors import RunnerError
from evalkit.records import JSON, Audio, SentAudio, digest_of


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A text request to a model that helps to score.

    `messages` is a tuple of (role, content); content is text, or parts of text and audio in order for a model
    that hears (``--lalm-judge``). `n` is the number of independent replies wanted. `choices` are
    replies the reader surely understands; a model that is too weak to keep to a form may be held to them
    (the embedded one is), others ignore them. A `temperature` of None leaves it to the endpoint.

    `top_logprobs` asks for the log-probability of each token of a reply and of so many likely others (0: for
    none). `schema` is a JSON Schema that replies have to keep to. Both only reach models that say they can
    (`abilities_of`); one that can't raises `RunnerError` of kind "no-logprobs" or "no-schema".
    """

    messages: tuple[tuple[str, str | tuple[str | Audio, ...]], ...]
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = None
    n: int = 1
    seed: int | None = None
    choices: tuple[str, ...] = ()
    top_logprobs: int = 0
    schema: Mapping[str, JSON] | None = None

    def texts(self) -> tuple[tuple[str, str], ...]:
        """The messages for a model that reads. Raises RunnerError when one holds audio."""
        out = []
        for role, content in self.messages:
            parts = (content,) if isinstance(content, str) else content
            words = [p for p in parts if isinstance(p, str)]
            if len(words) < len(parts):
                raise RunnerError("no-ears", "this model can't hear; bind one that can with --lalm-judge")
            out.append((role, "\n".join(words)))
        return tuple(out)

    def to_json(self) -> dict[str, JSON]:
        return {
            "messages": [[role, _told(content)] for role, content in self.messages],
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "n": self.n,
            "seed": self.seed,
            "choices": list(self.choices),
            # Left out while unset: replies cached before these fields were there keep their keys.
            **({"top_logprobs": self.top_logprobs} if self.top_logprobs else {}),
            **({"schema": dict(self.schema)} if self.schema is not None else {}),
        }


def _told(content: str | tuple[str | Audio, ...]) -> JSON:
    """Content of a message for a digest: audio by its own digest."""
    if isinstance(content, str):
        return content
    return [p if isinstance(p, str) else {"audio": p.digest()} for p in content]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply.

    Attributes:
        text: its characters; U+FFFD where a token ends inside a character.
        logprob: natural logarithm of its probability.
        top: the likeliest tokens in its place with their logarithms, as far as the model tells them; () where
            neither one of them nor the token before holds a digit, because numbers are what is weighed.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a model replied.

    Attributes:
        texts: one reply per vote asked for.
        model: the name the server says it used.
        usage: counts as the API names them ("prompt_tokens", "completion_tokens", ...), summed over the requests.
        finish: why each reply ended ("stop", "length", ...), in the order of `texts`; () when nobody says.
        refused: places in `texts` of replies that the API itself marks as a refusal.
        tokens: the tokens of each reply, when `ChatRequest.top_logprobs` asked for them; () otherwise.
        cached: True for a reply kept from an earlier request: it cost nothing now.
        sent: each piece of audio of the request as it was sent, in order; () when nobody says.
    """

    texts: tuple[str, ...]
    model: str = ""
    usage: Mapping[str, JSON] = field(default_factory=dict)
    finish: tuple[str, ...] = ()
    refused: tuple[int, ...] = ()
    tokens: tuple[tuple[Token, ...], ...] = ()
    cached: bool = False
    sent: tuple[SentAudio, ...] = ()


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model behind a role can do beside replying: tell log-probabilities, keep to a JSON Schema.

    `tops` is how many likely tokens of a place it tells at most; None: as many as anybody asks for.
    """

    logprobs: bool = False
    schema: bool = False
    tops: int | None = None


@runtime_checkable
class ChatModel(Protocol):
    """A model bound to a role: a text model (``--judge``), or one that hears (``--lalm-judge``).

    A model that takes no audio may say so with ``hears = False``; then it can't be bound as a LALM judge. One whose
    replies the user's options change says so with `bent`: those options by name (see `named`).
    """

    @property
    def label(self) -> str:
        """Short name for signatures and tables, e.g. "gpt-4o-mini"."""
        ...

    @property
    def meaningful(self) -> bool:
        """False for stand-ins whose verdicts only exercise the plumbing; tables must say so."""
        ...

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Reply. Raises `RunnerError`."""
        ...


def named(model: ChatModel) -> str:
    """The model in a signature: its label, and the options that change its replies, by name and digest.

    For example ``gpt-4o-mini`` and ``gpt-4o-mini[extra_body@1f3a09bc]``. An address is no such option: a model that
    moved to another port is the same.
    """
    bent = getattr(model, "bent", None)
    return f"{model.label}[{','.join(sorted(bent))}@{digest_of(dict(bent))[:8]}]" if bent else model.label


async def abilities_of(model: ChatModel) -> Abilities:
    """What the model says it can do; a model without a coroutine method `abilities` can do nothing beside replying.

    Finding out may take a request, and happens before anything is judged. Raises RunnerError when that fails.
    """
    tell = getattr(model, "abilities", None)
    found = await tell() if tell is not None else Abilities()
    return found if isinstance(found, Abilities) else Abilities()
