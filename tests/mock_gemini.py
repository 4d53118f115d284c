"""A small Gemini API on loopback that checks what it is sent as the real one does, File API included.

with FakeGemini(texts=["[[4]]"]) as fake:
    ... base_url=fake.url ...
    assert fake.asked[-1]["contents"]

What comes back is told by `texts` (taken in turn), or step by step by `script`: each step a dict that
overrides fields of `Step`; after the last step, `texts` go on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = Any
KEY = "AIzaSy-a-very-secret-key-0123456789"
BODY = {"contents", "systemInstruction", "generationConfig", "safetySettings", "tools", "toolConfig"}
CONFIG = {
    *(
        "temperature",
        "topP",
        "topK",
        "maxOutputTokens",
        "seed",
        "candidateCount",
        "responseLogprobs",
        "logprobs",
    ),
    *("responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig", "stopSequences"),
}
MIMES = {"audio/wav", "audio/mp3", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac"}


@dataclass(frozen=True)
class Step:
    """How one generateContent request is answered.

    Attributes:
        text: of each candidate; None leaves out `content`.
        finish: `finishReason`.
        block: `promptFeedback.blockReason`, and no candidates.
        status, error, details: an error instead, as google.rpc.Status has it.
        raw: this body instead of all.
        wait: seconds before the answer.
        drop: close the connection without an answer.
    """

    text: str | None = "[[3]]"
    finish: str = "STOP"
    block: str = ""
    status: int = 200
    error: str = ""
    details: tuple[JSON, ...] = ()
    raw: str | None = None
    wait: float = 0.0
    drop: bool = False
    candidates: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class FakeGemini:
    """The server; a context manager. Thread-safe enough for tests."""

    texts: Sequence[str] = ("[[3]]",)
    script: Sequence[dict[str, Any]] = ()
    key: str | None = KEY
    most_candidates: int = 1
    knows_json_schema: bool = True
    tells_logprobs: bool = False
    file_state: tuple[str, ...] = ("ACTIVE",)
    upload_status: str = "final"
    model: str = "x"
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    heard: list[list[str]] = field(default_factory=list)
    """sha256 of the audio of each request, in order, inline or from files."""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.pending: dict[str, dict[str, str]] = {}

    def __enter__(self) -> FakeGemini:
        fake = self

        class Handler(_Handler):
            server_state = fake

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1beta"

    def step(self) -> Step:
        """How the next request is answered."""
        with self.lock:
            k = len(self.asked)
            if k < len(self.script):
                return replace(Step(), **self.script[k])
            return Step(text=self.texts[(k - len(self.script)) % len(self.texts)])

    def reply(self, body: dict[str, Any], step: Step) -> JSON:
        """The reply to a request that was understood."""
        usage: dict[str, JSON] = {
            "promptTokenCount": 100,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 20,
            "totalTokenCount": 127,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 36},
                {"modality": "AUDIO", "tokenCount": 64},
            ],
        }
        out: dict[str, JSON] = {
            "usageMetadata": usage,
            "modelVersion": f"{self.model}-001",
            "responseId": "r",
        }
        if step.block:
            return out | {"promptFeedback": {"blockReason": step.block}}
        config = body.get("generationConfig", {})
        n = step.candidates if step.candidates is not None else config.get("candidateCount", 1)
        candidates = []
        for k in range(n):
            candidate: dict[str, JSON] = {"finishReason": step.finish, "index": k}
            if step.text is not None:
                thought = {"text": "I think [[1]].", "thought": True}
                candidate["content"] = {"role": "model", "parts": [thought, {"text": step.text}]}
            if config.get("responseLogprobs") and step.text:
                top = config.get("logprobs", 0)
                candidate["logprobsResult"] = {
                    "chosenCandidates": [
                        {"token": c, "tokenId": 1, "logProbability": -0.5} for c in step.text
                    ],
                    "topCandidates": [
                        {"candidates": [{"token": c}, {"token": "?", "logProbability": -2.5}][:top]}
                        for c in step.text
                    ],
                }
            candidates.append(candidate)
        return out | {"candidates": candidates}

    def refuse(self, body: dict[str, Any]) -> str:
        """What is wrong with a request, in the API's words; "" when nothing is."""
        if odd := set(body) - BODY:
            return f'Invalid JSON payload received. Unknown name "{sorted(odd)[0]}": Cannot find field.'
        config = body.get("generationConfig", {})
        if odd := set(config) - CONFIG:
            return f'Invalid JSON payload received. Unknown name "{sorted(odd)[0]}" at generation_config'
        if "responseJsonSchema" in config and not self.knows_json_schema:
            return "Unknown name \"responseJsonSchema\" at 'generation_config': Cannot find field."
        if "responseSchema" in config and "additionalProperties" in json.dumps(config["responseSchema"]):
            return 'Unknown name "additionalProperties" at generation_config.response_schema'
        if config.get("candidateCount", 1) > self.most_candidates:
            return "Multiple candidates is not enabled for this model"
        if config.get("responseLogprobs") and not self.tells_logprobs:
            return f"Logprobs is not enabled for models/{self.model}"
        heard = []
        for content in body.get("contents", ()):
            if content.get("role") not in ("user", "model"):
                return "Please use a valid role: user, model."
            for part in content["parts"]:
                if set(part) == {"text"} and isinstance(part["text"], str):
                    continue
                if set(part) == {"inlineData"} and set(part["inlineData"]) == {"mimeType", "data"}:
                    try:
                        data = base64.b64decode(part["inlineData"]["data"], validate=True)
                    except binascii.Error:
                        return "Base64 decoding failed"
                    mime = part["inlineData"]["mimeType"]
                elif set(part) == {"fileData"} and set(part["fileData"]) == {"mimeType", "fileUri"}:
                    found = self.files.get(part["fileData"]["fileUri"])
                    if found is None or found["state"] != "ACTIVE":
                        return "The File is not in an ACTIVE state and usage is not allowed."
                    data, mime = found["data"], part["fileData"]["mimeType"]
                    if mime != found["mime"]:
                        return "mime type of the file differs"
                else:
                    return f"Invalid part {sorted(part)}"
                if mime not in MIMES:
                    return f"Unsupported MIME type: {mime}"
                heard.append(hashlib.sha256(data).hexdigest())
        self.heard.append(heard)
        return ""


class _Handler(BaseHTTPRequestHandler):
    server_state: FakeGemini
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        return None

    def do_GET(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_DELETE(self) -> None:
        self._any()

    def _any(self) -> None:
        fake = self.server_state
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {k.lower(): v for k, v in self.headers.items()}
        with fake.lock:
            fake.paths.append(f"{self.command} {self.path}")
            fake.headers.append(headers)
        if self.path.startswith("/put/"):  # an upload's own address: no key there
            return self._put(body, headers)
        if fake.key is not None and headers.get("x-goog-api-key") != fake.key:
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            said = f"API key not valid: {headers.get('x-goog-api-key')}. Please pass a valid API key."
            return self._error(400, said, (info,))
        if self.path == "/upload/v1beta/files" and self.command == "POST":
            return self._start(body, headers)
        if re.fullmatch(r"/v1beta/files/[a-z0-9-]+", self.path):
            return self._file()
        match = re.fullmatch(r"/v1beta/models/([^/:]+):generateContent", self.path)
        if match is None or self.command != "POST" or match[1] != fake.model:
            return self._error(404, f"{self.path} is not found for API version v1beta")
        self._generate(json.loads(body))

    def _generate(self, body: dict[str, Any]) -> None:
        fake = self.server_state
        step = fake.step()
        with fake.lock:
            fake.asked.append(body)
        if step.drop:
            self.close_connection = True
            return
        if step.wait:
            time.sleep(step.wait)
        if step.raw is not None:
            return self._send(step.status, step.raw.encode(), step.headers)
        if step.status != 200:
            return self._error(step.status, step.error, step.details, step.headers)
        if why := fake.refuse(body):
            return self._error(400, why)
        self._send(200, json.dumps(fake.reply(body, step)).encode())

    def _start(self, body: bytes, headers: dict[str, str]) -> None:
        fake = self.server_state
        name = {k: headers.get(f"x-goog-upload-{k}") for k in ("protocol", "command")}
        if (
            name != {"protocol": "resumable", "command": "start"}
            or "display_name" not in json.loads(body)["file"]
        ):
            return self._error(400, "not a start of a resumable upload")
        key = f"f{len(fake.pending)}"
        fake.pending[key] = headers
        self._send(200, b"", (("X-Goog-Upload-URL", f"{fake.root}/put/{key}?upload_id=secret"),))

    def _put(self, body: bytes, headers: dict[str, str]) -> None:
        fake = self.server_state
        key = self.path.split("?")[0].removeprefix("/put/")
        start = fake.pending[key]
        fits = (
            headers.get("x-goog-upload-command") == "upload, finalize"
            and headers.get("x-goog-upload-offset") == "0"
            and start["x-goog-upload-header-content-length"] == str(len(body))
            and "x-goog-api-key" not in headers
        )
        if not fits:
            return self._error(400, "not the bytes that were announced")
        uri = f"{fake.url}/files/{key}"
        fake.files[uri] = {
            "data": body,
            "mime": start["x-goog-upload-header-content-type"],
            "state": fake.file_state[0],
            "states": list(fake.file_state[1:]),
        }
        self._send(
            200,
            json.dumps({"file": self._told(uri)}).encode(),
            (("X-Goog-Upload-Status", fake.upload_status),),
        )

    def _told(self, uri: str) -> JSON:
        file = self.server_state.files[uri]
        return {
            "name": "files/" + uri.rpartition("/")[2],
            "uri": uri,
            "mimeType": file["mime"],
            "state": file["state"],
        }

    def _file(self) -> None:
        fake = self.server_state
        uri = fake.root + self.path
        if uri not in fake.files:
            return self._error(403, "You do not have permission to access the File or it may not exist.")
        if self.command == "DELETE":
            fake.deleted.append(uri)
            del fake.files[uri]
            return self._send(200, b"{}")
        file = fake.files[uri]
        if file["states"]:
            file["state"] = file["states"].pop(0)
        self._send(200, json.dumps(self._told(uri)).encode())

    def _error(
        self, status: int, said: str, details: Sequence[JSON] = (), headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        names = {
            400: "INVALID_ARGUMENT",
            403: "PERMISSION_DENIED",
            404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED",
        }
        error = {"code": status, "message": said, "status": names.get(status, "UNAVAILABLE")}
        self._send(
            status,
            json.dumps({"error": error | ({"details": list(details)} if details else {})}).encode(),
            headers,
        )

    def _send(self, status: int, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        with suppress(BrokenPipeError, ConnectionResetError):  # a client that gave up
            self.end_headers()
            self.wfile.write(body)
