"""An endpoint's own tool calls, in OpenAI's shape, made into the calls that a text would give.

Ours: the public scorers read text only. A line break inside a string argument counts as a blank, as it does
there; what that rule breaks in texts (an escaped backslash before an n) is left whole here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from evalkit.records import JSON
from judges.calls.parsing import Decoded, Undecodable, to_call

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def decode_native(tool_calls: Sequence[Mapping[str, JSON]], tool_names: JSON = None) -> Decoded:
    """Native calls decoded; never raises.

    Args:
        tool_calls: as `Response.tool_calls` holds them; arguments are JSON text, or an object on some servers.
        tool_names: names that had to be sent in another spelling (sent name -> own name).
    """
    names = tool_names if isinstance(tool_names, Mapping) else {}
    try:
        return Decoded(tuple(to_call(_body(c, names)) for c in tool_calls))
    except Undecodable as exc:
        return Decoded(None, failure=str(exc))


def _body(call: Mapping[str, JSON], names: Mapping[str, JSON]) -> dict[str, JSON]:
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise Undecodable("a tool call names no function")
    name = function.get("name")
    own = names.get(name, name) if isinstance(name, str) else name
    return {"name": own, "arguments": _arguments(function.get("arguments"))}


def _arguments(given: JSON) -> JSON:
    """The arguments decoded. No text at all is how some servers spell "none"."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    try:
        text = given if isinstance(given, str) else json.dumps(given)
        return json.loads(_ESCAPE.sub(lambda m: " " if m[1] == "n" else m[0], text))
    except (TypeError, ValueError, RecursionError) as exc:
        raise Undecodable("the arguments of a tool call are no JSON") from exc
