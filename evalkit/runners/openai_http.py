"""The wire: POST {base_url}/chat/completions, as cheaply as Python allows, with errors as `RunnerError`.

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
import base64
import ssl
import urllib.request
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from evalkit.errors import RunnerError, UsageError
from evalkit.runners.openai_errors import http_error, redirect_error, unreachable

if TYPE_CHECKING:
    import httpx

    Send = Callable[[httpx.Request], Awaitable[httpx.Response]]

MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Replies beyond this are refused: ten minutes of 24 kHz speech as base64 take 38 MB."""

MAX_ERROR_BYTES = 256 * 1024
CONNECT_SECONDS = 20.0
MIN_SECRET = 8
"""Shorter keys ("EMPTY", "none") are dummies; taking them out of an answer would change it."""


class ChatEndpoint:
    """A connection pool to one chat/completions endpoint.

    Args:
        base_url: up to and including "/v1"; user:password in it is sent as basic auth, a query string
            is kept. Neither ever shows in messages or in `shown_url`.
        api_key: bearer token; None sends none.
        api_key_env: where the key came from, for messages.
        model: for messages.
        concurrency: most requests under way; more wait their turn.
        timeout: s from sending a request to the end of its reply.

    Raises:
        UsageError: a base_url or key that can't be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        api_key_env: str,
        model: str,
        concurrency: int = 32,
        timeout: float = 300.0,
    ) -> None:
        self.shown_url, self._url, login = split_url(base_url)
        self.api_key_env = api_key_env
        self.model = model
        self.concurrency = concurrency
        self.timeout = timeout
        self.reached = False
        self._key = clean_key(api_key, api_key_env)
        password = login.partition(":")[2]
        self._secrets = tuple(s for s in (self._key, password, unquote(password)) if s)
        self._headers = {"User-Agent": "evalkit", "Content-Type": "application/json"}
        if login:
            self._headers["Authorization"] = f"Basic {_b64(login)}"
        elif self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, body: bytes) -> bytes:
        """One attempt: send `body`, return the reply's bytes (HTTP 200, keys taken out).

        Raises:
            RunnerError: anything else; see `evalkit.runners.openai_errors` for the kinds.
        """
        from evalkit.runners.httpx_module import httpx

        self._open()
        async with self._turns:
            try:
                async with asyncio.timeout(self.timeout):
                    return await self._exchange(body)
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

    async def _exchange(self, body: bytes) -> bytes:
        from evalkit.runners.httpx_module import httpx

        # The timeout of the whole exchange is kept in `post`, once, and not per read and write.
        extensions = {"timeout": {"connect": min(CONNECT_SECONDS, self.timeout)}}
        request = httpx.Request(
            "POST", self._target, headers=self._headers, content=body, extensions=extensions
        )
        response = await self._send(request)
        self.reached = True
        status = response.status_code
        try:
            limit = MAX_REPLY_BYTES if status == 200 else MAX_ERROR_BYTES
            data, whole = await read_up_to(response, limit)
        finally:
            await response.aclose()
        if status == 200 and not whole:
            raise RunnerError("reply-too-large", f"the reply is larger than {limit >> 20} MiB")
        data = self._redact_bytes(data)
        if status == 200:
            return data
        text = self.redact(data.decode("utf-8", "replace"))
        if 300 <= status < 400:
            raise redirect_error(status, self.shown_url, self.redact(response.headers.get("location", "")))
        raise http_error(
            status,
            text,
            response.headers,
            url=self.shown_url,
            model=self.model,
            api_key_env=self.api_key_env,
            has_key=self._key is not None,
        )

    def redact(self, text: str) -> str:
        """`text` without the key and the password, for messages; even most dummies go."""
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
        self._target = httpx.URL(self._url)  # parsing it for each request would cost 0.05 ms
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
            plain = self._url.startswith("http:")
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True
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


def split_url(base_url: str) -> tuple[str, str, str]:
    """Split a base_url: what may be shown, the full URL to post to, and "user:password" or "".

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
        raise UsageError(
            "base_url must look like http://host:port/v1 or https://host/v1: "
            "check -M base_url or OPENAI_BASE_URL"
        )
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    shown = urlunsplit((parts.scheme, netloc, path, "", ""))
    full = urlunsplit((parts.scheme, netloc, path + "/chat/completions", parts.query, ""))
    return shown, full, parts.netloc.rpartition("@")[0]


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


def _b64(login: str) -> str:
    return base64.b64encode(unquote(login).encode()).decode()
