"""A judge with a character, behind an OpenAI-compatible endpoint in this process: fair, fond of length, obedient, ...

with judge_server(lambda seen: "5" if len(seen.answer) > 200 else "3") as url:
    ... --judge openai/scripted -J base_url={url} ...
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PART = re.compile(
    r"<<<(?P<mark>\S+) (?P<name>[A-Z0-9' ]+)\n(?P<text>.*?)\n(?P=mark) END OF (?P=name)>>>", re.DOTALL
)


@dataclass(frozen=True)
class SeenRequest:
    """What the judge was asked: the prompt, its fenced parts by name, and which request it is."""

    prompt: str
    number: int
    parts: dict[str, str] = field(default_factory=dict)
    audio: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """The answer to judge: the last part whose name holds ANSWER."""
        return [text for name, text in self.parts.items() if "ANSWER" in name][-1]

    @property
    def reference(self) -> str:
        """The answer that is known to be right."""
        return next(t for name, t in self.parts.items() if name in ("ANSWER ON FILE", "KNOWN ANSWER"))

    @property
    def pair(self) -> tuple[str, str] | None:
        """Both answers of a comparison."""
        found = self.parts.get("ANSWER 1"), self.parts.get("ANSWER 2")
        return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


@dataclass
class JudgeServer:
    """A running one; `seen` is what it was asked."""

    url: str = ""
    seen: list[SeenRequest] = field(default_factory=list)


@contextmanager
def judge_server(
    says: Callable[[SeenRequest], str | int], name: Callable[[], str] = lambda: "scripted"
) -> Iterator[JudgeServer]:
    """Serve replies made by `says`; a number instead of a text is an HTTP status to fail with. `name` gives the model's
    name that the next reply reports."""
    server, lock = JudgeServer(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": "scripted"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            texts, audio = [], []
            for message in body["messages"]:
                content = message["content"]
                for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                    if part["type"] == "text":
                        texts.append(part["text"])
                    elif part["type"] == "input_audio":
                        audio.append(part["input_audio"]["data"])
            prompt = "\n".join(texts)
            with lock:
                parts = {m["name"]: m["text"] for m in _PART.finditer(prompt)}
                seen = SeenRequest(prompt, len(server.seen), parts, tuple(audio))
                server.seen.append(seen)
            said = says(seen)
            if isinstance(said, int):
                return self._send(said, {"error": {"message": "told to fail"}})
            message = {"role": "assistant", "content": said}
            choices = [
                {"index": k, "finish_reason": "stop", "message": message} for k in range(body.get("n") or 1)
            ]
            usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
            self._send(
                200,
                {
                    "id": "x",
                    "object": "chat.completion",
                    "model": name(),
                    "choices": choices,
                    "usage": usage,
                },
            )

        def _send(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(ConnectionError):  # a client that was told to stop
                self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            return None

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # a judge's client opens many connections at once

    httpd = Server(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
