"""What went wrong at the Gemini API, in one sentence and one code.

| what | kind | retryable | fatal |
|---|---|---|---|
| key missing or refused: 401, 403, 400 API_KEY_INVALID | http-401 | no | yes |
| no such model (404), redirect, 400 FAILED_PRECONDITION (place, billing) | http-404 | no | yes |
| 429, a daily quota spent | quota | no | yes |
| 429 otherwise | http-429 | yes, after RetryInfo.retryDelay | no |
| 408, 409, 499, 5xx | http-503 | yes | no |
| request too large | audio-too-large | no | no |
| MIME type not supported | audio-format | no | no |
| more tokens than the model takes | audio-too-long | no | no |
| 403 of an uploaded file that is gone | file-gone | yes | no |
| other 4xx | http-400 | no | no |
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from evalkit.errors import RunnerError
from evalkit.runners.http_endpoint import Answered
from evalkit.runners.http_errors import one_line, redirect_error, retry_after

LIMITS = (
    (re.compile(r"(?i)payload size exceeds|request (entity|payload)? ?(is )?too large"), "audio-too-large"),
    (re.compile(r"(?i)unsupported (mime ?type|file)|mime ?type .{0,80}not supported"), "audio-format"),
    (
        re.compile(r"(?i)token count .{0,60}exceeds|audio .{0,60}(too long|exceeds the maximum)"),
        "audio-too-long",
    ),
)
"""Sentences of the API that are about the size of what was sent, and their codes."""

_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def details_of(body: str) -> tuple[str, str, list[Mapping[str, Any]]]:
    """The message, the status ("RESOURCE_EXHAUSTED") and the details of an error's body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return one_line(body), "", []
    if isinstance(found, list):  # streaming front ends wrap it
        found = found[0] if found else {}
    error = found.get("error") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return one_line(body), "", []
    details = error.get("details")
    listed: list[Mapping[str, Any]] = []
    if isinstance(details, list):
        listed += [d for d in details if isinstance(d, dict)]
    return one_line(str(error.get("message") or "")), str(error.get("status") or ""), listed


def retry_delay(details: list[Mapping[str, Any]]) -> float | None:
    """Seconds of RetryInfo.retryDelay ("37s", "0.5s"), if the API names some."""
    for detail in details:
        told = _SECONDS.fullmatch(str(detail.get("retryDelay", "")).strip())
        if str(detail.get("@type", "")).endswith("RetryInfo") and told:
            return float(told[1])
    return None


def _reasons(details: list[Mapping[str, Any]]) -> set[str]:
    return {str(d.get("reason")) for d in details if d.get("reason")}


def _daily(details: list[Mapping[str, Any]]) -> bool:
    """Is it a quota of the day that is spent? Waiting a minute won't mend that."""
    listed = [d["violations"] for d in details if isinstance(d.get("violations"), list)]
    violations = [v for found in listed for v in found if isinstance(v, dict)]
    return any("PerDay" in str(v.get("quotaId", "")) for v in violations)


def api_error(answered: Answered, *, url: str, model: str, key_env: str, has_key: bool) -> RunnerError:
    """The error for a reply that is not 200; its body has no key in it any more."""
    status, kind = answered.status, f"http-{answered.status}"
    if 300 <= status < 400:
        return redirect_error(status, url, answered.headers.get("location", ""))
    said, name, details = details_of(answered.text)
    tail = f" (HTTP {status}{f' {name}' if name else ''}){f': {said}' if said else ''}"
    if status == 403 and "file" in said.lower():
        return RunnerError("file-gone", f"an uploaded file is gone{tail}", retryable=True)
    if status in (401, 403) or _reasons(details) & {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED"}:
        what = (
            f"rejected the API key in {key_env}" if has_key else f"wants an API key, and {key_env} is not set"
        )
        return RunnerError(kind, f"the Gemini API {what}{tail}", fatal=True)
    if status in (404, 405):
        message = (
            f"{url} knows no model {model!r}, or is no Gemini API{tail}. Check the model's name and base_url"
        )
        return RunnerError(kind, message, fatal=True)
    if status == 400 and name == "FAILED_PRECONDITION":
        return RunnerError(
            kind, f"the Gemini API can't be used from here or by this account{tail}", fatal=True
        )
    if status == 429 and _daily(details):
        return RunnerError(
            "quota", f"the day's quota of the account behind {key_env} is spent{tail}", fatal=True
        )
    if status in (408, 409, 429, 499) or status >= 500:
        wait = retry_delay(details)
        wait = retry_after(answered.headers) if wait is None else wait
        return RunnerError(kind, f"{url} can't answer now{tail}", retryable=True, retry_after=wait)
    if status == 413:
        kind = "audio-too-large"
    kind = next((code for pattern, code in LIMITS if pattern.search(said)), kind)
    return RunnerError(kind, f"{url} refused the request{tail}")
