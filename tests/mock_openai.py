"""A small, fast stand-in for an OpenAI-compatible server, for tests and benchmarks.

    python -m tests.mock_openai --port 0 --latency 0.1

prints ``port=NNNN`` and serves until its stdin closes or it is told to stop. HTTP/1.1 is parsed by
hand in one asyncio protocol, so that the server stays well below the cost of the client it measures.

A `Behaviour` says what every request gets. Three ways to change it for some requests only:

* rules: ``Behaviour(rules=[{"match": "cat", "set": {"status": 500}}])``; `match` is looked for in the
  prompt's text and compared with the sha256 of each piece of audio; ``"times": k`` wears a rule out
  after k requests per distinct request body;
* the request itself: a top-level field ``"mock": {...}`` (``-M extra_body='{"mock": ...}'``);
* the model name: ``"model": "echo"`` answers with the last user text.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import re
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from tests.mock_judging import encoded_logprobs, instance
from tests.mock_requests import parts_of, summary, wav_seconds
from tests.mock_requests import tone_wav as tone_wav

JSON = Any


@dataclass(frozen=True)
class Behaviour:
    """What a request gets.

    Attributes:
        latency: seconds before the reply.
        status: HTTP status; anything but 200 replies with an OpenAI-style error of `message`.
        message: text of that error; "{key}" is replaced by the key the client sent.
        headers: extra response headers ("Retry-After").
        raw: body to send as it stands instead of a completion.
        pad: blanks to append to the body, in bytes (for size limits).
        drop: close the connection "before" any reply, "midway" through the body, reset it there ("reset"), or
            keep it and "never" reply.
        slots: requests served at a time, more wait their turn; 0 for no limit.
        texts: replies, one per choice in turn; "{heard}" becomes "I heard 3.0 s", "{text}" the last
            user text.
        speak: seconds of speech (a 16 kHz tone) to reply with; 0 for none.
        audio_data: base64 to send as the speech instead, garbage included.
        content_null: give null as content (speech models do; the words are in the transcript).
        tool_calls: native tool calls to reply with.
        finish_reason: why the reply ended.
        refusal: words of a refusal, in the API's own field.
        logprobs: log-probabilities for who asks: "content" (as OpenAI), "old", "odd" (see `mock_judging`), "some"
            (not for every second choice), "none" (leaves them out), "refuse" (a 400), "five" (a 400 beyond 5).
        schema: output by JSON Schema for who asks: "keep" (the smallest value that fits, or a text that is JSON),
            "ignore", "refuse".
        usage: more fields of the usage.
        refuse_n: reply 400 to a request for more than one choice.
        needs_audio: reply 400 to a request without audio.
        min_choices, max_choices: fewest and most choices in one reply, however many are asked for.
        api_key: when set, any other bearer token gets a 401.
        fail_first: reply `status` only to the first k requests with the same body, then be well;
            0 means always.
        rules: see the module's docstring.
    """

    latency: float = 0.0
    status: int = 200
    message: str = "the mock was told to fail"
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    pad: int = 0
    drop: str = ""
    texts: list[str] = field(default_factory=lambda: ["{heard}"])
    speak: float = 0.0
    audio_data: str | None = None
    content_null: bool = False
    tool_calls: list[JSON] = field(default_factory=list)
    finish_reason: str = "stop"
    refusal: str = ""
    logprobs: str = "content"
    schema: str = "keep"
    usage: dict[str, JSON] = field(default_factory=dict)
    slots: int = 0
    min_choices: int = 1
    max_choices: int = 128
    refuse_n: bool = False
    needs_audio: bool = False
    api_key: str | None = None
    fail_first: int = 0
    rules: list[dict[str, JSON]] = field(default_factory=list)


class Mock:
    """State shared by all connections: the behaviour and the request log."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.by_path: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.seen: Counter[str] = Counter()
        self.connections = 0
        self.in_flight = 0
        self.served = 0
        self.waiting: deque[Callable[[], None]] = deque()
        self.most_in_flight = 0
        self.last: JSON = None
        self.last_headers: dict[str, str] = {}
        self.began = self.ended = 0.0
        self.marks: dict[str, str] = {}
        self.speech: dict[float, str] = {}

    def stats(self) -> dict[str, JSON]:
        """What `GET /stats` tells."""
        return {
            "requests": sum(self.by_path.values()),
            "by_path": dict(self.by_path),
            "by_status": {str(k): v for k, v in self.by_status.items()},
            "connections": self.connections,
            "most_in_flight": self.most_in_flight,
            "seconds": self.ended - self.began,
            "last": summary(self.last),
            "last_headers": self.last_headers,
        }

    def behaviour_for(self, request: dict[str, JSON], body: bytes) -> Behaviour:
        """The behaviour after rules and the request's own wishes."""
        out = self.behaviour
        if out.rules:
            texts, audios = parts_of(request)
            digests = {hashlib.sha256(base64.b64decode(a)).hexdigest() for a in audios}
            for i, rule in enumerate(out.rules):
                hit = rule["match"] in digests or any(rule["match"] in t for t in texts)
                if hit and ("times" not in rule or self._count(body, i) <= rule["times"]):
                    out = replace(out, **rule["set"])
        if "mock" in request:
            out = replace(out, **request["mock"])
        if out.fail_first and self._count(body, -1) > out.fail_first:
            out = replace(out, status=200, drop="", raw=None)
        return out

    def _count(self, body: bytes, salt: int) -> int:
        key = f"{salt}:{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"
        self.seen[key] += 1
        return self.seen[key]

    def completion(self, request: dict[str, JSON], b: Behaviour) -> dict[str, JSON]:
        """A chat completion that does what `b` says."""
        texts, audios = parts_of(request)
        choices = []
        for i in range(max(b.min_choices, min(int(request.get("n") or 1), b.max_choices))):
            text = "{text}" if request.get("model") == "echo" else b.texts[i % len(b.texts)]
            if "{heard}" in text:
                heard = [wav_seconds(a) for a in audios]
                said = (
                    " and ".join(f"{s:.1f} s" if s is not None else "something" for s in heard) or "nothing"
                )
                text = text.replace("{heard}", f"I heard {said}")
            if "{text}" in text:
                text = text.replace("{text}", texts[-1] if texts else "")
            wanted = request.get("response_format") if b.schema == "keep" else None
            if wanted and text[:1] != "{":
                text = json.dumps(instance(wanted["json_schema"]["schema"]))
            choice = {"index": i, "finish_reason": b.finish_reason, "message": self._message(text, b)}
            if request.get("logprobs") and b.logprobs != "none" and not (b.logprobs == "some" and i % 2):
                kind = "content" if b.logprobs in ("some", "five") else b.logprobs
                mark = f"@logprobs {i}@"
                self.marks[json.dumps(mark)] = encoded_logprobs(
                    text, int(request.get("top_logprobs") or 1), kind
                )
                choice["logprobs"] = mark
            choices.append(choice)
        usage = {
            "prompt_tokens": 10 + 25 * len(audios),
            "completion_tokens": 5,
            "total_tokens": 15 + 25 * len(audios),
            **b.usage,
        }
        return {
            "id": "mock", "object": "chat.completion", "model": f"{request.get('model')}-served",
            "choices": choices, "usage": usage,
        }  # fmt: skip

    def _message(self, text: str, b: Behaviour) -> dict[str, JSON]:
        message: dict[str, JSON] = {"role": "assistant", "content": None if b.content_null else text}
        if b.refusal:
            message |= {"content": None, "refusal": b.refusal}
        if b.tool_calls:
            message |= {"tool_calls": b.tool_calls, "content": None}
        if b.speak or b.audio_data is not None:
            if b.speak not in self.speech:
                self.speech[b.speak] = base64.b64encode(tone_wav(b.speak)).decode()
            data = self.speech[b.speak] if b.audio_data is None else b.audio_data
            message["audio"] = {"id": "audio_1", "data": data, "transcript": text}
        return message


class Connection(asyncio.Protocol):
    """One keep-alive connection: bytes in, one reply per request, in order."""

    def __init__(self, mock: Mock) -> None:
        self.mock = mock
        self.transport: asyncio.Transport | None = None
        self.chunks: list[bytes] = []
        self.held = 0
        self.need = 0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.mock.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        if data[:1] == b"\x16" and not self.held:  # a TLS greeting, which plain servers answer like this
            return self._reply(400, b"plain HTTP only", midway=True)
        self.chunks.append(data)
        self.held += len(data)
        if self.held >= self.need and not self.busy:
            self._next()

    def _next(self) -> None:
        """Take one whole request off the buffer, if there is one."""
        data = b"".join(self.chunks) if len(self.chunks) > 1 else self.chunks[0]
        self.chunks = [data]
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = data[:end]
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        self.need = end + 4 + (int(length[1]) if length else 0)
        if len(data) < self.need:
            return
        body, rest = data[end + 4 : self.need], data[self.need :]
        self.chunks, self.held, self.need = ([rest] if rest else []), len(rest), 0
        self._handle(head, body)

    def _handle(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        mock = self.mock
        if path == "/stats":
            return self._reply(200, json.dumps(mock.stats()).encode(), count=False)
        mock.by_path[path] += 1
        mock.began = mock.began or time.perf_counter()
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        mock.last_headers = headers
        if path.endswith("/models") and method == "GET":
            return self._reply(200, json.dumps({"object": "list", "data": [{"id": "mock"}]}).encode())
        if not path.endswith("/v1/chat/completions") or method != "POST":
            return self._reply(404, _error(f"no route {method} {path}"))
        try:
            request = json.loads(body)
        except ValueError as exc:
            return self._reply(400, _error(f"the body is not JSON: {exc}"))
        mock.last = request
        key = headers.get("authorization", "").removeprefix("Bearer ")
        b = mock.behaviour_for(request, body)
        if b.api_key is not None and key != b.api_key:
            b = replace(b, status=401, message="Incorrect API key provided: {key}")
        if b.refuse_n and int(request.get("n") or 1) > 1:
            b = replace(b, status=400, message="only n=1 is supported")
        if b.needs_audio and not parts_of(request)[1]:
            b = replace(b, status=400, message="This model requires that input content contain audio.")
        if b.logprobs == "refuse" and request.get("logprobs"):
            b = replace(b, status=400, message="You are not allowed to request logprobs from this model")
        if b.logprobs == "five" and int(request.get("top_logprobs") or 0) > 5:
            b = replace(b, status=400, message="Requested 20 sample logprobs, more than the max allowed: 5")
        if b.schema == "refuse" and request.get("response_format"):
            b = replace(b, status=400, message="'response_format' of type 'json_schema' is not supported")
        mock.in_flight += 1
        mock.most_in_flight = max(mock.most_in_flight, mock.in_flight)
        self.busy = True
        if b.drop == "never":
            return
        if b.slots and mock.served >= b.slots:
            mock.waiting.append(lambda: self._serve(request, b, key))
        else:
            self._serve(request, b, key)

    def _serve(self, request: dict[str, JSON], b: Behaviour, key: str) -> None:
        self.mock.served += 1
        if b.latency > 0:
            asyncio.get_running_loop().call_later(b.latency, self._answer, request, b, key)
        else:
            self._answer(request, b, key)

    def _answer(self, request: dict[str, JSON], b: Behaviour, key: str) -> None:
        mock = self.mock
        mock.in_flight -= 1
        mock.served -= 1
        mock.ended = time.perf_counter()
        self.busy = False
        if mock.waiting:
            mock.waiting.popleft()()
        if self.transport is None:
            return
        if b.drop == "before":
            self.transport.abort()
            return
        if b.status != 200:
            body = b.raw.encode() if b.raw is not None else _error(b.message.replace("{key}", key))
        elif b.raw is not None:
            body = b.raw.encode()
        else:
            # ensure_ascii: lone surrogates travel as \udXXX escapes, as real servers send them.
            text = json.dumps(mock.completion(request, b))
            for mark, encoded in mock.marks.items():
                text = text.replace(mark, encoded)
            mock.marks.clear()
            body = text.encode()
        self._reply(b.status, body + b" " * b.pad, b.headers, midway=b.drop in ("midway", "reset"))
        if b.drop == "reset" and self.transport is not None:
            socket = self.transport.get_extra_info("socket")
            socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        if self.chunks:
            self._next()

    def _reply(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        midway: bool = False,
        count: bool = True,
    ) -> None:
        if self.transport is None:
            return
        if count:
            self.mock.by_status[status] += 1
        extra = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
        extra += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"HTTP/1.1 {status} Mock\r\n{extra}\r\n"
        if midway:
            self.transport.write(head.encode("latin-1") + body[: len(body) // 2])
            self.transport.close()
        else:
            self.transport.write(head.encode("latin-1") + body)


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "mock_error", "code": None}}).encode()


async def serve(behaviour: Behaviour, port: int, *, until_stdin_closes: bool) -> None:
    """Serve on 127.0.0.1; prints ``port=NNNN`` once the socket listens."""
    loop = asyncio.get_running_loop()
    mock = Mock(behaviour)
    server = await loop.create_server(lambda: Connection(mock), "127.0.0.1", port, backlog=1024)
    print(f"port={server.sockets[0].getsockname()[1]}", flush=True)
    if until_stdin_closes:
        await loop.run_in_executor(None, sys.stdin.buffer.read)
        server.close()
    else:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--speak", type=float, default=0.0, help="reply with this many seconds of speech")
    parser.add_argument("--text", action="append", help="reply with this (repeat for n choices)")
    parser.add_argument(
        "--fail", action="append", default=[], help="prompt text or audio sha256 that always gets a 500"
    )
    parser.add_argument("--behaviour", default="{}", help="JSON of Behaviour fields; wins over the flags")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when stdin ends")
    args = parser.parse_args()
    fields = asdict(Behaviour(latency=args.latency, speak=args.speak, texts=args.text or ["{heard}"]))
    fields["rules"] = [{"match": m, "set": {"status": 500}} for m in args.fail]
    behaviour = Behaviour(**(fields | json.loads(args.behaviour)))
    asyncio.run(serve(behaviour, args.port, until_stdin_closes=args.until_stdin_closes))


if __name__ == "__main__":
    main()
