"""The wire of the Gemini API: generateContent, and audio through the File API (resumable upload, then a URI).

The key goes in the header `x-goog-api-key`, never into a URL.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from evalkit.errors import RunnerError, UsageError
from evalkit.runners.gemini.errors import api_error
from evalkit.runners.gemini.request import Piece
from evalkit.runners.http_endpoint import AGENT, Answered, Endpoint, clean_key, split_base

POLL_SECONDS = 0.5
"""First wait for an uploaded file to be ready; doubles up to 5 s."""
DELETE_SECONDS = 10.0


class GeminiEndpoint(Endpoint):
    """A connection pool to the Gemini API.

    Args:
        base_url: up to and including the version.
        api_key: None sends none.
        api_key_env: where it came from, for messages.
        model: as the API calls it, without "models/".
        concurrency, timeout: see `Endpoint`.

    Raises:
        UsageError: a base_url (one with a key in it, too) or key that can't be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        api_key_env: str,
        model: str,
        concurrency: int,
        timeout: float,
    ) -> None:
        base = split_base(base_url, example="https://host/v1beta", where="base_url")
        if "key" in parse_qs(base.query):
            raise UsageError(
                f"base_url must not hold a key: put it in the environment variable {api_key_env}"
            )
        if base.login:
            raise UsageError("base_url must not hold a login: the Gemini API knows keys only")
        self._key = clean_key(api_key, api_key_env)
        super().__init__(base, secrets=(self._key or "",), concurrency=concurrency, timeout=timeout)
        self.api_key_env = api_key_env
        self.model = model
        self._headers = {"User-Agent": AGENT, "Content-Type": "application/json"}
        if self._key:
            self._headers["x-goog-api-key"] = self._key
        self._generate = base.url(f"/models/{quote(model, safe='')}:generateContent")
        above, _, version = base.path.rpartition("/")
        self._upload = base.at(f"{above}/upload/{version}/files")

    async def generate(self, body: bytes) -> bytes:
        """One attempt at a reply: its bytes. Raises RunnerError; see `gemini.errors` for the kinds."""
        return (await self._ok("POST", self._generate, body)).body

    async def _ok(self, method: str, url: str, body: bytes = b"", **headers: str) -> Answered:
        named = {f"X-Goog-Upload-{k.replace('_', '-')}": v for k, v in headers.items()}
        answered = await self.exchange(
            method, url, {**self._headers, **named}, body, lasting=url == self._generate
        )
        if answered.status != 200:
            raise self._error(answered)
        return answered

    def _error(self, answered: Answered) -> RunnerError:
        return api_error(
            answered,
            url=self.shown_url,
            model=self.model,
            key_env=self.api_key_env,
            has_key=self._key is not None,
        )

    @asynccontextmanager
    async def uploaded(self, pieces: Sequence[Piece]) -> AsyncIterator[list[str]]:
        """Within, the pieces lie at the File API; yields their URIs, in order. Deleted afterwards.

        Raises:
            RunnerError: "bad-audio", when the API can't process a piece; "timeout", when it takes too long;
                or as for any request.
        """
        files: list[dict[str, Any]] = []
        try:
            for piece in pieces:
                files.append(await self._put(piece))
            yield [str((await self._active(f))["uri"]) for f in files]
        finally:
            for file in files:
                with suppress(RunnerError, TimeoutError):  # files go by themselves after two days
                    async with asyncio.timeout(DELETE_SECONDS):
                        await self._ok("DELETE", self.base.url(f"/{file['name']}"))

    async def _put(self, piece: Piece) -> dict[str, Any]:
        """Upload one piece: a start that gives an address, then all bytes at once."""
        start = await self._ok(
            "POST",
            self._upload,
            json.dumps({"file": {"display_name": f"evalkit-{piece.sent.sha256[:12]}"}}).encode(),
            Protocol="resumable",
            Command="start",
            Header_Content_Length=str(len(piece.data)),
            Header_Content_Type=piece.mime,
        )
        where = start.headers.get("x-goog-upload-url", "")
        if urlsplit(where).scheme not in ("https", urlsplit(self.base.origin).scheme):
            raise RunnerError("bad-reply", "the File API gave no address to upload to", retryable=True)
        # The address is a secret of its own: no key goes there.
        headers = {
            "User-Agent": AGENT,
            "X-Goog-Upload-Offset": "0",
            "X-Goog-Upload-Command": "upload, finalize",
        }
        done = await self.exchange("POST", where, headers, piece.data, lasting=False)
        if done.status != 200:
            raise self._error(done)
        if (state := done.headers.get("x-goog-upload-status", "final")) != "final":
            raise RunnerError("bad-reply", f"the File API left an upload {state}", retryable=True)
        return _file(done)

    async def _active(self, file: dict[str, Any]) -> dict[str, Any]:
        """The file once the API can use it."""
        end, pause = time.monotonic() + self.timeout, POLL_SECONDS
        while file.get("state") == "PROCESSING":
            if time.monotonic() > end:
                raise RunnerError(
                    "timeout", f"an uploaded file was not ready within {self.timeout:g} s", retryable=True
                )
            await asyncio.sleep(pause)
            pause = min(5.0, 2 * pause)
            file = _file(await self._ok("GET", self.base.url(f"/{file['name']}")))
        if file.get("state") == "FAILED":
            raise RunnerError("bad-audio", "Gemini could not process the uploaded audio: is it a sound file?")
        return file


def _file(answered: Answered) -> dict[str, Any]:
    """The file of a reply of the File API. Raises RunnerError "bad-reply" when there is none."""
    try:
        found = json.loads(answered.body)
    except (ValueError, RecursionError):
        found = None
    found = found.get("file", found) if isinstance(found, dict) else None
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(name, str) or not isinstance(found.get("uri"), str):
        raise RunnerError("bad-reply", "the File API's reply names no file", retryable=True)
    if not name.startswith("files/") or not name.removeprefix("files/").replace("-", "").isalnum():
        raise RunnerError("bad-reply", "the File API's reply names a file oddly", retryable=True)
    return found
