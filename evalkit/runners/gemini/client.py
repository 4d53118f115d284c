"""What the Gemini runner and the Gemini judge share: the endpoint, the limits, and how audio travels."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evalkit.errors import RunnerError, UsageError
from evalkit.records import JSON
from evalkit.runners.gemini.http import GeminiEndpoint
from evalkit.runners.gemini.options import GEMINI_LIMITS, INLINE_BYTES, Options
from evalkit.runners.gemini.reply import Reply, parse_reply
from evalkit.runners.gemini.request import Messages, Piece, contents_of, merged
from evalkit.runners.secret_fields import without_secrets
from evalkit.runners.spliced import splice


class GeminiClient:
    """One Gemini model at one address, with the user's options.

    Raises:
        UsageError: no name of a model, or an address or key that can't be used.
    """

    def __init__(self, model: str, options: Options) -> None:
        self.model = model.strip().removeprefix("models/")
        if not self.model:
            raise UsageError("which model? Write gemini/NAME, e.g. gemini/gemini-2.5-pro")
        self.options = options
        key, env = options.api_key()
        self.endpoint = GeminiEndpoint(
            options.base_url,
            api_key=key,
            api_key_env=env,
            model=self.model,
            concurrency=options.concurrency,
            timeout=options.timeout,
        )

    def identity(self) -> dict[str, JSON]:
        """What decides replies beside the request. No keys."""
        o = self.options
        out: dict[str, JSON] = {"model": self.model, "base_url": self.endpoint.shown_url}
        if o.limits.formats != GEMINI_LIMITS.formats:
            out["audio_formats"] = list(o.limits.formats or ())
        if o.extra_body:
            out["extra_body"] = without_secrets(o.extra_body)
        return out

    def body(
        self, messages: Messages, pieces: Sequence[Piece], files: Sequence[str], config: dict[str, JSON]
    ) -> JSON:
        """The request's body, with marks in the place of audio that goes inline."""
        contents = contents_of(messages, pieces, files, self.options.system)
        return merged({**contents, "generationConfig": config}, self.options.extra_body)

    def goes_up(
        self, messages: Messages, pieces: Sequence[Piece], config: dict[str, JSON], whose: str
    ) -> bool:
        """Does the audio of this request go through the File API?

        Raises:
            RunnerError: "audio-too-large", when it may not, and is too large to go inline.
        """
        if not pieces or self.options.upload == "always":
            return bool(pieces)
        size = len(json.dumps(self.body(messages, pieces, (), config)))
        size += sum(4 * ((len(p.data) + 2) // 3) for p in pieces)
        if size > INLINE_BYTES and self.options.upload == "auto":
            return True
        self.options.limits.check_request(whose, size)
        if size > INLINE_BYTES:
            raise RunnerError(
                "audio-too-large",
                f"{whose}: the request with its audio has {size / 1e6:.1f} MB, a Gemini request takes "
                f"{INLINE_BYTES / 1e6:g} MB: leave out upload=never, so that it goes through the File API; "
                "nothing was sent or cut",
                unsent=True,
            )
        return False

    async def ask(
        self, messages: Messages, pieces: Sequence[Piece], files: Sequence[str], config: dict[str, JSON]
    ) -> Reply:
        """One request. Raises RunnerError."""
        body = self.body(messages, pieces, files, config)
        return parse_reply(
            await self.endpoint.generate(splice(body, () if files else [p.data for p in pieces]))
        )


def decoding(
    temperature: float | None, top_p: float | None, max_tokens: int | None, seed: int | None
) -> dict[str, JSON]:
    """`generationConfig` of what is set; what is None is left to the API."""
    named = {"temperature": temperature, "topP": top_p, "maxOutputTokens": max_tokens, "seed": seed}
    return {k: v for k, v in named.items() if v is not None}
