"""The body of a generateContent reply made into values that are safe to store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.chat import Token
from evalkit.errors import RunnerError
from evalkit.records import JSON
from evalkit.runners.http_errors import one_line
from evalkit.runners.openai.reply import load

FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "LANGUAGE",
        "IMAGE_SAFETY",
        "MODEL_ARMOR",
    }
)
"""Why a candidate was withheld, or cut short, by the API itself."""

FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": "", "": ""}
"""`finishReason` in the words of `ChatReply.finish`; others in lower case."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One reply: its words without the model's thoughts, why it ended, its tokens where they were asked for."""

    text: str
    finish: str
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """All candidates and what was said about them."""

    candidates: tuple[Candidate, ...]
    model: str = ""
    usage: Mapping[str, JSON] = field(default_factory=dict)


def parse_reply(body: bytes) -> Reply:
    """Read a reply (HTTP 200).

    Raises:
        RunnerError: "content-filter", when the prompt or a candidate was blocked (the reason is named);
            "bad-reply" (retryable), when it is no reply, or has no candidate.
    """
    obj, _ = load(body)
    if not isinstance(obj, dict) or not ({"candidates", "promptFeedback", "usageMetadata"} & set(obj)):
        start = one_line(body[:20_000].decode("utf-8", "replace"), 120) or "nothing"
        raise RunnerError(
            "bad-reply",
            f"the endpoint replied with something that is no Gemini reply: {start}",
            retryable=True,
        )
    feedback = obj.get("promptFeedback")
    blocked = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if blocked and "UNSPECIFIED" not in str(blocked):
        raise RunnerError(
            "content-filter", f"Gemini's filter blocked the request ({one_line(str(blocked), 60)})"
        )
    found = obj.get("candidates")
    if not isinstance(found, list) or not found:
        raise _bad("no candidates")
    model = obj.get("modelVersion")
    return Reply(
        tuple(_candidate(c) for c in found),
        model if isinstance(model, str) else "",
        usage_of(obj.get("usageMetadata")),
    )


def _bad(what: str) -> RunnerError:
    return RunnerError("bad-reply", f"Gemini's reply holds {what}", retryable=True)


def _candidate(found: JSON) -> Candidate:
    if not isinstance(found, dict):
        raise _bad("a candidate that is no object")
    reason = found.get("finishReason")
    reason = reason if isinstance(reason, str) else ""
    if reason in FILTERED:
        raise RunnerError("content-filter", f"Gemini's filter stopped the answer ({reason})")
    content = found.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    words = [
        p["text"]
        for p in (parts if isinstance(parts, list) else ())
        if isinstance(p, dict) and isinstance(p.get("text"), str) and not p.get("thought")
    ]
    if not words and reason not in FINISH:
        message = found.get("finishMessage")
        told = f": {one_line(message)}" if isinstance(message, str) and message else ""
        raise _bad(f"no words, for the reason {one_line(reason, 60)}{told}")
    return Candidate("".join(words), FINISH.get(reason, reason.lower()), _tokens(found.get("logprobsResult")))


def _tokens(result: JSON) -> tuple[Token, ...]:
    """The chosen tokens with the likeliest ones in their places; () when there are none, or they can't be read."""
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(chosen, list):
        return ()
    tops = result.get("topCandidates")
    tops = tops if isinstance(tops, list) else []
    out = []
    for k, token in enumerate(chosen):
        read = _token(token)
        if read is None:
            return ()
        place = tops[k].get("candidates") if k < len(tops) and isinstance(tops[k], dict) else None
        others = [t for t in map(_token, place if isinstance(place, list) else ()) if t is not None]
        out.append(Token(*read, tuple(others)))
    return tuple(out)


def _token(found: JSON) -> tuple[str, float] | None:
    if not isinstance(found, dict) or not isinstance(found.get("token"), str):
        return None
    logprob = found.get("logProbability", 0.0)  # a probability of 1 is left out of proto JSON
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or math.isnan(logprob):
        return None
    return found["token"], float(logprob)


def usage_of(meta: JSON) -> dict[str, JSON]:
    """Counts under the names `ChatReply.usage` has.

    "completion_tokens" are all that is paid for as output: the reply's and the thoughts', which also stand in
    "reasoning_tokens". "audio_tokens" are those of the prompt.
    """
    if not isinstance(meta, dict):
        return {}
    count = {k: v for k, v in meta.items() if isinstance(v, int) and not isinstance(v, bool)}
    out: dict[str, JSON] = {}
    if "promptTokenCount" in count:
        out["prompt_tokens"] = count["promptTokenCount"]
    thoughts = count.get("thoughtsTokenCount", 0)
    if "candidatesTokenCount" in count or thoughts:
        out["completion_tokens"] = count.get("candidatesTokenCount", 0) + thoughts
    if "totalTokenCount" in count:
        out["total_tokens"] = count["totalTokenCount"]
    if thoughts:
        out["reasoning_tokens"] = thoughts
    if cached := count.get("cachedContentTokenCount"):
        out["cached_tokens"] = cached
    details = meta.get("promptTokensDetails")
    heard = sum(
        int(d["tokenCount"])
        for d in (details if isinstance(details, list) else ())
        if isinstance(d, dict) and d.get("modality") == "AUDIO" and isinstance(d.get("tokenCount"), int)
    )
    if heard:
        out["audio_tokens"] = heard
    return out
