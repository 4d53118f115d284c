"""Errors of HTTP that are the same for every API: no connection, a redirect, how long to wait, a server's own words."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from evalkit.errors import RunnerError

SHOWN = 300
"""Most characters of a server's own words in a message."""


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
