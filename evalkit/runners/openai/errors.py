"""What went wrong, in one sentence and one code: replies of an endpoint made into `RunnerError`.

| what | kind | retryable | fatal |
|---|---|---|---|
| the filter of the endpoint stopped question (400, 403, 422) or answer (200) | content-filter | no | no |
| more tokens than the model's context holds (400, 413, 422) | context-overflow | no | no |
| log-probabilities refused (400, 422), or left out of a 200 | no-logprobs | no | no |
| output by JSON Schema refused (400, 422) | no-schema | no | no |
| 401, 403 | http-401 | no | yes |
| 404, 405, redirect | http-404 | no | yes |
| 408, 409, 429, 5xx | http-429 | yes, after Retry-After | no |
| 429 because the account's quota is spent | quota | no | yes |
| 413, or a 400 or 422 about the audio of the request | audio-too-large, audio-too-long, audio-format | no | no |
| a 400 or 422: the model takes no audio | no-ears | no | no |
| other 4xx; a hint where a field of the request is not taken | http-400 | no | no |
| refused, unknown host, TLS | unreachable | yes | until the endpoint has answered once |
| no reply in time | timeout | yes | no |
| the connection broke in the middle | connection-lost | yes | no |
| a 200 that is no chat completion, or can't be unpacked | bad-reply | yes | no |
| a 200 beyond 64 MiB | reply-too-large | no | no |

The kind of an HTTP status is "http-" and its number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.errors import RunnerError
from evalkit.runners.http_errors import one_line, retry_after

FILTER_CODES = frozenset(
    {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "data_inspection_failed"}
)
"""Codes of endpoints whose filter stopped a request: Azure, OpenAI, DashScope."""
_FILTERED = re.compile(
    r"content management policy|content exists risk|input was flagged|flagged as potentially violating"
    r"|may contain inappropriate content",
    re.I,
)
OVERFLOW_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
"""Codes for more tokens than the context holds: OpenAI, llama.cpp."""
_OVERFLOW = re.compile(
    r"maximum context|context (length|size|window)|prompt is too long|input is too long|`inputs` tokens", re.I
)
_LOGPROBS = re.compile(r"log_?probs?\b|log.?probabilit", re.I)
_SCHEMA = re.compile(r"response.?format|json.?schema|structured.?output|guided", re.I)
_FIELD = re.compile(r"\b(max_tokens|temperature|top_p|seed|stop)\b")
_NOT_TAKEN = re.compile(r"(\bun|\bnot |n't )(support|allow|recogni|known|permit)|does not|deprecated", re.I)

_AUDIO = (
    ("no-ears", r"audio input is not supported|not support\w* audio|not a multimodal"),
    ("no-ears", r"(invalid value|unsupported|unknown)\W+(input_audio|audio_url)\b(?!\.)"),
    (
        "audio-format",
        r"(invalid|unsupported|unrecogni[sz]ed) (audio|format)|audio[^.]{0,40}(format|decode|corrupt)",
    ),
    ("audio-too-long", r"audio[^.]{0,80}(too long|longer than|duration)|duration[^.]{0,40}(exceed|limit)"),
    (
        "audio-too-large",
        r"audio[^.]{0,80}(too large|too big|exceed|size)|(file|payload|request) \w{0,8} ?too large",
    ),
)
"""What servers say of audio that they don't take, the plainest first."""
_ABOUT_AUDIO = tuple((kind, re.compile(words, re.I)) for kind, words in _AUDIO)


def http_error(
    status: int,
    body: str,
    headers: Mapping[str, str],
    *,
    url: str,
    model: str,
    api_key_env: str,
    has_key: bool,
) -> RunnerError:
    """The error for a reply with HTTP `status` (not 200); `body` has no key in it any more."""
    kind = f"http-{status}"
    found = complaint(body)
    tail = f": {found.said}" if found.said else ""
    if status in (400, 403, 422) and found.is_one_of(FILTER_CODES, _FILTERED):
        return RunnerError(
            "content-filter", f"the endpoint's content filter stopped the request (HTTP {status}){tail}"
        )
    if status in (401, 403):
        what = (
            f"rejected the API key in {api_key_env}"
            if has_key
            else f"wants an API key, and {api_key_env} is not set"
        )
        if status == 403:
            what = (
                f"denies access with the API key in {api_key_env}"
                if has_key
                else "denies access without an API key"
            )
        return RunnerError(kind, f"the endpoint {what} (HTTP {status}){tail}", fatal=True)
    if status in (404, 405):
        message = (
            f"HTTP {status} from {url}/chat/completions{tail.rstrip('.')}. "
            "Check -M base_url (most servers want it to end in /v1) "
            f"and the model name {model!r}"
        )
        return RunnerError(kind, message, fatal=True)
    if status == 429 and found.codes & {"insufficient_quota", "billing_hard_limit_reached"}:
        return RunnerError(
            "quota", f"the account behind {api_key_env} has no quota left (HTTP 429){tail}", fatal=True
        )
    if status in (408, 409, 429) or status >= 500:
        return RunnerError(
            kind, f"HTTP {status} from {url}{tail}", retryable=True, retry_after=retry_after(headers)
        )
    if status in (400, 413, 422):
        kind, tail = _refusal(kind, found), tail.rstrip(".") + _hint(found)
    return RunnerError(kind, f"HTTP {status} from {url}{tail}")


def _refusal(kind: str, found: Complaint) -> str:
    """What a 400 is about, as a kind of its own where there is one."""
    if found.is_one_of(OVERFLOW_CODES, _OVERFLOW):
        return "context-overflow"
    about = found.about or found.said
    if _LOGPROBS.search(about):
        return "no-logprobs"
    return "no-schema" if _SCHEMA.search(about) else kind


def of_audio(error: RunnerError) -> RunnerError:
    """The same error of a request with audio in it: with a kind of its own where it is about the audio."""
    kind = "audio-too-large" if error.kind == "http-413" else None
    if error.kind in ("http-400", "http-422"):
        kind = next((kind for kind, words in _ABOUT_AUDIO if words.search(error.message)), None)
    return error if kind is None else RunnerError(kind, error.message)


def _hint(found: Complaint) -> str:
    """What to do about a field that the endpoint doesn't take; "" for other complaints."""
    field = _FIELD.search(found.about or found.said)
    if field is None or not _NOT_TAKEN.search(found.said):
        return ""
    wish: dict[str, int | None] = {field[1]: None}
    if field[1] == "max_tokens" and "max_completion_tokens" in found.said:
        wish["max_completion_tokens"] = 1024
    return f". Leave the field out: extra_body='{json.dumps(wish)}' (-J for a judge, -L, -M)"


@dataclass(frozen=True, slots=True)
class Complaint:
    """The body of an error.

    Attributes:
        said: the server's words, on one line.
        codes: its codes and types, lower-cased.
        about: the fields of the request that it names, if it names them apart from its words.
    """

    said: str
    codes: frozenset[str] = frozenset()
    about: str = ""

    def is_one_of(self, codes: frozenset[str], words: re.Pattern[str]) -> bool:
        """Has it one of these codes, or such words?"""
        return bool(self.codes & codes) or words.search(self.said) is not None


def complaint(body: str) -> Complaint:
    """Pick an error apart, in the usual shapes: OpenAI's, FastAPI's list of details, plain text."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return Complaint(one_line(body))
    codes: set[str] = set()
    about: list[str] = []
    for _ in range(3):
        if isinstance(found, list) and found and all(isinstance(d, dict) and "msg" in d for d in found):
            # Not the "input" beside them: that is our own request.
            about += [" ".join(map(str, d["loc"])) for d in found if isinstance(d.get("loc"), list)]
            found = "; ".join(f"{'.'.join(map(str, d.get('loc') or ()))}: {d['msg']}" for d in found)
        if not isinstance(found, dict):
            break
        told: list[Any] = [found.get("code"), found.get("type")]
        if isinstance(inner := found.get("innererror"), dict):
            told.append(inner.get("code"))
        codes |= {t.lower() for t in told if isinstance(t, str)}
        if isinstance(found.get("param"), str):
            about.append(found["param"])
        found = next((found[k] for k in ("error", "message", "detail") if found.get(k)), "")
    said = one_line(found if isinstance(found, str) else json.dumps(found))
    return Complaint(said, frozenset(codes), " ".join(about))
