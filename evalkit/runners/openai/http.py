"""The wire of OpenAI-compatible servers: POST {base_url}/chat/completions on the pool of `http_endpoint`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, unquote

from evalkit.runners.http_endpoint import AGENT, MAX_REPLY_BYTES, Base, Endpoint, clean_key, split_base
from evalkit.runners.http_errors import redirect_error
from evalkit.runners.openai.errors import http_error
from evalkit.runners.secret_fields import SECRET_LENGTH

ROUTE = "/chat/completions"


class ChatEndpoint(Endpoint):
    """A connection pool to one chat/completions endpoint.

    Args:
        base_url: up to and including "/v1"; user:password in it is sent as basic auth, a query string
            is kept. Neither ever shows in messages or in `shown_url`.
        api_key: bearer token; None sends none.
        api_key_env: where the key came from, for messages.
        model: for messages.
        secrets: what else must show in no message and no reply: values in the body of requests.
        concurrency, timeout: see `Endpoint`.

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
        secrets: Iterable[str] = (),
        concurrency: int = 32,
        timeout: float = 300.0,
    ) -> None:
        shown, self._url, login = split_url(base_url)
        self.api_key_env = api_key_env
        self.model = model
        self._key = clean_key(api_key, api_key_env)
        base = _base(base_url)
        super().__init__(
            base,
            secrets=(self._key or "", *_of_login(login), *_of_query(base.query), *secrets),
            concurrency=concurrency,
            timeout=timeout,
        )
        self.shown_url = shown
        self._headers = {"User-Agent": AGENT, "Content-Type": "application/json"}
        if login:
            self._headers["Authorization"] = f"Basic {_b64(login)}"
        elif self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"

    async def post(self, body: bytes) -> bytes:
        """One attempt: send `body`, return the reply's bytes (HTTP 200, keys taken out).

        Raises:
            RunnerError: anything else; see `evalkit.runners.openai.errors` for the kinds.
        """
        answered = await self.exchange("POST", self._url, self._headers, body, limit=MAX_REPLY_BYTES)
        if answered.status == 200:
            return answered.body
        if 300 <= answered.status < 400:
            where = self.redact(answered.headers.get("location", ""))
            raise redirect_error(answered.status, self.shown_url, where)
        raise http_error(
            answered.status,
            answered.text,
            answered.headers,
            url=self.shown_url,
            model=self.model,
            api_key_env=self.api_key_env,
            has_key=self._key is not None,
        )


def _base(base_url: str) -> Base:
    return split_base(
        base_url, example="http://host:port/v1 or https://host/v1", where="base_url or OPENAI_BASE_URL"
    )


def split_url(base_url: str) -> tuple[str, str, str]:
    """Split a base_url: what may be shown, the full URL to post to, and "user:password" or "".

    Raises:
        UsageError: not an http(s) URL with a host.
    """
    base = _base(base_url)
    path = base.path.removesuffix(ROUTE)
    return base.origin + path, base.at(path + ROUTE), base.login


def _of_login(login: str) -> Iterator[str]:
    """What is secret of "user:password", in every spelling; of a user alone, who then is a token, the same."""
    user, colon, password = login.partition(":")
    yield from (secret := password if colon else user, unquote(secret), _b64(login) if login else "")


def _of_query(query: str) -> Iterator[str]:
    """What may be secret of a query string: every longer value, but of a version."""
    for name, value in parse_qsl(query):
        if "version" not in name.lower() and len(value) >= SECRET_LENGTH:
            yield from (value, quote(value, safe=""))


def _b64(login: str) -> str:
    return base64.b64encode(unquote(login).encode()).decode()
