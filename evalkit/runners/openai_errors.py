"""What went wrong, in one sentence and one code: replies of an endpoint made into `RunnerError`.

| what | kind | retryable | fatal |
|---|---|---|---|
| 401, 403 | http-401 | no | yes |
| 404, 405, redirect | http-404 | no | yes |
| 408, 409, 429, 5xx | http-429 | yes, after Retry-After | no |
| 429 because the account's quota is spent | quota | no | yes |
| other 4xx | http-400 | no | no |
| refused, unknown host, TLS | unreachable | yes | until the endpoint has answered once |
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from evalkit.errors import RunnerError

SHOWN = 300
"""Most characters of a server's own words in a message."""


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
    said, code = server_message(body)
    tail = f": {said}" if said else ""
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
            f"HTTP {status} from {url}/chat/completions{tail}. "
            "Check -M base_url (most servers want it to end in /v1) "
            f"and the model name {model!r}"
        )
        return RunnerError(kind, message, fatal=True)
    if status == 429 and code in ("insufficient_quota", "billing_hard_limit_reached"):
        return RunnerError(
            "quota", f"the account behind {api_key_env} has no quota left (HTTP 429){tail}", fatal=True
        )
    if status in (408, 409, 429) or status >= 500:
        return RunnerError(
            kind, f"HTTP {status} from {url}{tail}", retryable=True, retry_after=retry_after(headers)
        )
    return RunnerError(kind, f"HTTP {status} from {url}{tail}")


def redirect_error(status: int, url: str, location: str) -> RunnerError:
    """The error for a redirect, which is never followed: it would carry the key elsewhere."""
    where = one_line(re.sub(r"//[^/@]*@", "//", location.partition("?")[0]))
    return RunnerError(
        f"http-{status}", f"{url} redirects to {where or 'nowhere'}: give the right -M base_url", fatal=True
    )


def unreachable(url: str, exc: Exception, *, reached: bool) -> RunnerError:
    """The error for a connection that never came about; fatal until the endpoint has answered once."""
    reason = connect_reason(exc)
    hint = "" if reached else ". Is the server running? Check -M base_url"
    return RunnerError("unreachable", f"can't reach {url}: {reason}{hint}", retryable=True, fatal=not reached)


def connect_reason(exc: BaseException) -> str:
    """Plain words for a failed connection, found in the chain of exceptions."""
    chain: list[BaseException] = []
    seen: BaseException | None = exc
    while seen is not None and seen not in chain:
        chain.append(seen)
        if isinstance(seen, BaseExceptionGroup):
            chain.extend(seen.exceptions)
        seen = seen.__cause__ or seen.__context__
    names = {type(e).__name__ for e in chain}
    text = " ".join(str(e) for e in chain)
    if "ConnectionRefusedError" in names or "refused" in text:
        return "connection refused"
    if "gaierror" in names or "Name or service" in text or "getaddrinfo" in text:
        return "the host name is unknown"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its TLS certificate can't be verified (set SSL_CERT_FILE to your authority's certificates)"
    if "SSL" in text:
        return "no TLS there (http:// instead of https://?)"
    if "ProxyError" in names:
        return "the proxy from the environment (HTTP_PROXY, HTTPS_PROXY) refused"
    if any("Timeout" in n for n in names):
        return "no connection in time"
    return one_line(str(exc)) or type(exc).__name__


def server_message(body: str) -> tuple[str, str]:
    """The server's own words and its error code, from the usual shapes of error bodies."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return one_line(body), ""
    code = ""
    for _ in range(3):
        if not isinstance(found, dict):
            break
        code = str(found.get("code") or found.get("type") or code)
        found = next((found[k] for k in ("error", "message", "detail") if found.get(k)), "")
    return one_line(found if isinstance(found, str) else json.dumps(found)), code


def one_line(text: str, limit: int = SHOWN) -> str:
    """`text` on one line, printable, without markup, at most `limit` characters."""
    text = re.sub(r"<[^<>]{0,200}>", " ", text[: 20 * limit])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait: `retry-after-ms`, or `Retry-After` as seconds or HTTP date."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = (headers.get(name) or "").strip()
        try:
            seconds = float(value) / scale
        except ValueError:
            continue
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        when = parsedate_to_datetime((headers.get("retry-after") or "").strip())
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, when.timestamp() - time.time())
