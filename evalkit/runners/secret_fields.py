"""Which fields of a request's body hold secrets: never written down, and taken out of what a server says back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from evalkit.records import JSON

SECRET_NAMES = frozenset(
    {"api_key", "apikey", "key", "token", "access_token", "secret", "password", "authorization"}
)
SECRET_WORDS = re.compile(r"key|token|secret|passw|auth(?!or(?!i[sz]))|cookie|credential|bearer", re.I)
"""In names of fields whose values, when they are words of some length, are taken for secrets."""
SECRET_LENGTH = 8
"""Characters below which a value under a secret name is taken for a setting."""


def is_secret(name: str, value: JSON) -> bool:
    """Is this a field whose value must not be written down? "max_tokens" and "stop_token_ids" are none."""
    if name.lower() in SECRET_NAMES:
        return True
    return isinstance(value, str) and len(value) >= SECRET_LENGTH and SECRET_WORDS.search(name) is not None


def without_secrets(value: JSON) -> JSON:
    """`value` with everything under a name such as "api_key" blanked, for identities."""
    if isinstance(value, Mapping):
        return {k: "[hidden]" if is_secret(str(k), v) else without_secrets(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_secrets(v) for v in value]
    return value


def secrets_in(value: JSON) -> Iterator[str]:
    """The words that `without_secrets` blanks: a server may say them back."""
    if isinstance(value, list):
        for inner in value:
            yield from secrets_in(inner)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, str) and is_secret(str(name), inner):
                yield inner
            else:
                yield from secrets_in(inner)
