"""One HTTP API and its connection pool, as cheaply as Python allows, with what goes wrong as `RunnerError`.

Shared by all runners that speak HTTP: time limits, sizes of replies, proxies, redirects that are not followed,
keys that show in no message and no answer. What a status means is the API's own affair.

Why not the `openai` client: measured on 2 cores against a mock with 100 ms latency (3 s wavs as base64,
concurrency 32, 3 x 1000 requests, medians), CPU per request was

    AsyncOpenAI                                          3.2 ms
    AsyncClient of its transport: httpx2 / httpx         1.3 / 1.7 ms
    the transport's connection pool: httpx2 / httpx      1.1 / 1.3 ms
    httpcore2 below that                                 0.9 ms
    this file with rendering and parsing (`generate`)    1.3 ms

The whole harness may spend 4 ms, so this file uses the pool (`AsyncHTTPTransport`), which still knows
timeouts, TLS and typed errors; where a proxy is set in the environment it uses `AsyncClient`, which
knows the NO_PROXY rules.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from evalkit.errors import RunnerError, UsageError
from evalkit.runners.http_errors import unreachable

if TYPE_CHECKING:
    import httpx

    Send = Callable[[httpx.Request], Awaitable[httpx.Response]]

MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Replies beyond this are refused: ten minutes of 24 kHz speech as base64 take 38 MB."""

MAX_ERROR_BYTES = 256 * 1024
CONNECT_SECONDS = 20.0
MIN_SECRET = 8
"""Shorter keys ("EMPTY", "none") are dummies; taking them out of an answer would change it."""

AGENT = "evalkit"


@dataclass(frozen=True, slots=True)
class Base:
    """A base_url in pieces.

    Attributes:
        origin: scheme, host and port, without a login.
        path: without a slash at its end.
        query: kept for every request, shown nowhere.
        login: "user:password", or "".
    """

    origin: str
    path: str
    query: str = ""
    login: str = ""

    @property
    def shown(self) -> str:
        """What messages and records may show: no login, no query."""
        return self.origin + self.path

    @property
    def plain(self) -> bool:
        """True without TLS."""
        return self.origin.startswith("http:")

    def url(self, path: str) -> str:
        """The full URL of `path` (with its own "/") below the base."""
        return self.at(self.path + path)

    def at(self, path: str) -> str:
        """The full URL of `path` at the host."""
        return self.origin + path + (f"?{self.query}" if self.query else "")


def split_base(base_url: str, *, example: str, where: str) -> Base:
    """Split a base_url.

    Args:
        example: what it should look like, for the message.
        where: what to check, for the message.

    Raises:
        UsageError: not an http(s) URL with a host.
    """
    from evalkit.runners.httpx_module import httpx

    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
        httpx.URL(base_url.strip())
    except (ValueError, httpx.InvalidURL):
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"base_url must look like {example}: check {where}")
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    origin = urlunsplit((parts.scheme, netloc, "", "", ""))
    return Base(origin, parts.path.rstrip("/"), parts.query, parts.netloc.rpartition("@")[0])


def clean_key(key: str | None, env: str) -> str | None:
    """The key as a header can carry it; blanks around it are a copy-and-paste slip.

    Raises:
        UsageError: it holds something other than visible ASCII.
    """
    key = (key or "").strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError(f"the API key in {env} holds blanks or characters no key has: set it again")
    return key


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: status, headers, and the (unpacked) body without any key."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Endpoint:
    """A connection pool to one API.

    Args:
        base: where it is.
        secrets: what must show in no message and no answer.
        concurrency: most requests under way; more wait their turn.
        timeout: s from sending a request to the end of its reply.

    Attributes:
        reached: has it ever answered? Until then an endpoint that can't be reached is fatal.
    """

    def __init__(
        self, base: Base, *, secrets: tuple[str, ...] = (), concurrency: int = 32, timeout: float = 300.0
    ) -> None:
        self.base = base
        self.shown_url = base.shown
        self.concurrency = concurrency
        self.timeout = timeout
        self.reached = False
        self._secrets = tuple(s for s in secrets if s)
        self._urls: dict[str, httpx.URL] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit: int = MAX_REPLY_BYTES,
        lasting: bool = True,
    ) -> Answered:
        """One request and its reply, whatever its status.

        Args:
            limit: most bytes of a good reply (status 200).
            lasting: the URL will be used again (parsing one costs 0.05 ms).

        Raises:
            RunnerError: "timeout", "unreachable", "connection-lost", "bad-reply" (can't be unpacked),
                "reply-too-large".
        """
        from evalkit.runners.httpx_module import httpx

        self._open()
        async with self._turns:
            try:
                async with asyncio.timeout(self.timeout):
                    return await self._exchange(method, url, headers, body, limit, lasting)
            except (TimeoutError, httpx.TimeoutException) as exc:
                if isinstance(exc, httpx.ConnectTimeout):
                    raise unreachable(self.shown_url, exc, reached=self.reached) from None
                raise RunnerError(
                    "timeout", f"no reply from {self.shown_url} within {self.timeout:g} s", retryable=True
                ) from None
            except (httpx.ConnectError, httpx.ProxyError) as exc:
                raise unreachable(self.shown_url, exc, reached=self.reached) from None
            except httpx.DecodingError:
                raise RunnerError(
                    "bad-reply", f"the reply from {self.shown_url} can't be unpacked", retryable=True
                ) from None
            except httpx.TransportError as exc:
                reason = self.redact(str(exc)) or type(exc).__name__
                raise RunnerError(
                    "connection-lost", f"lost the connection to {self.shown_url}: {reason}", retryable=True
                ) from None

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, limit: int, lasting: bool
    ) -> Answered:
        from evalkit.runners.httpx_module import httpx

        # The timeout of the whole exchange is kept in `exchange`, once, and not per read and write.
        extensions = {"timeout": {"connect": min(CONNECT_SECONDS, self.timeout)}}
        target = self._urls.get(url)
        if target is None:
            target = httpx.URL(url)
            if lasting:
                self._urls[url] = target
        request = httpx.Request(method, target, headers=headers, content=body, extensions=extensions)
        response = await self._send(request)
        self.reached = True
        status = response.status_code
        try:
            data, whole = await read_up_to(response, limit if status == 200 else MAX_ERROR_BYTES)
        finally:
            await response.aclose()
        if status == 200 and not whole:
            raise RunnerError("reply-too-large", f"the reply is larger than {limit >> 20} MiB")
        data = self._redact_bytes(data)
        if status != 200:
            data = self.redact(data.decode("utf-8", "replace")).encode()
        return Answered(status, response.headers, data)

    def redact(self, text: str) -> str:
        """`text` without keys and passwords, for messages; even most dummies go."""
        for secret in self._secrets:
            if len(secret) >= MIN_SECRET // 2:
                text = text.replace(secret, "[key]")
        return text

    def _redact_bytes(self, data: bytes) -> bytes:
        for secret in self._secrets:
            if len(secret) >= MIN_SECRET:
                for spelling in {secret, secret.replace("/", "\\/")}:
                    data = data.replace(spelling.encode(), b"[key]")
        return data

    def _open(self) -> None:
        """Make the pool on first use; anew when another event loop runs, whose sockets would be dead."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        from evalkit.runners.httpx_module import httpx

        self._loop = loop
        self._turns = asyncio.Semaphore(self.concurrency)
        limits = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        self._pool: httpx.AsyncClient | httpx.AsyncHTTPTransport
        if any(scheme in ("http", "https", "all") for scheme in urllib.request.getproxies()):
            try:
                client = httpx.AsyncClient(limits=limits)
            except (ImportError, ValueError) as exc:  # SOCKS without socksio, or no URL at all
                self._loop = None
                raise RunnerError(
                    "proxy", f"the proxy set in the environment can't be used: {exc}", fatal=True
                ) from exc
            self._pool = client
            self._send: Send = lambda request: client.send(request, stream=True)
        else:
            # Plain HTTP needs no certificates: an empty context spares loading them, and trusts nobody.
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.base.plain else True
            self._pool = httpx.AsyncHTTPTransport(limits=limits, verify=verify)
            self._send = self._pool.handle_async_request

    async def close(self) -> None:
        """Close all connections; the endpoint may be used again afterwards."""
        if self._loop is not None and self._loop is asyncio.get_running_loop():
            await self._pool.aclose()
        self._loop = None


async def read_up_to(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """The (unpacked) body up to `limit` bytes, and whether that is all of it."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            return b"".join(chunks)[:limit], False
    return chunks[0] if len(chunks) == 1 else b"".join(chunks), True
