"""The voice, in a process of its own: text lines in, 16-bit PCM out.

Run by `tts.py` as a program; nothing of evalkit is imported here, and Piper (GPL-3.0-or-later) is imported
nowhere else. Start: ``tts_worker.py VOICE.onnx VOICE.onnx.json``.

Protocol, on standard input and output:
    at the start   -> {"ready": true, "rate": Hz} and a newline, or {"error": "..."}
    {"text": "..."} and a newline   <- a request
    {"bytes": N, "rate": Hz} and a newline, then N bytes of mono little-endian PCM   -> its answer
    {"error": "..."} and a newline  -> or that
It ends when standard input does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO


def load(voice: str, config: str) -> Any:
    """The voice on one thread: its output depends on the number of threads."""
    import onnxruntime
    from piper import PiperVoice
    from piper.config import PiperConfig

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(voice, options, providers=["CPUExecutionProvider"])
    settings = json.loads(Path(config).read_text(encoding="utf-8"))
    return PiperVoice(session=session, config=PiperConfig.from_dict(settings))


def speak(voice: Any, text: str) -> bytes:
    """PCM of the text; empty where nothing can be spoken. Noise scales 0: Piper's noise takes no seed."""
    from piper.config import SynthesisConfig

    if not text.strip():
        return b""
    settings = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    return b"".join(chunk.audio_int16_bytes for chunk in voice.synthesize(text, settings))


def say(out: BinaryIO, header: dict[str, object], body: bytes = b"") -> None:
    """Write one answer whole."""
    out.write(json.dumps(header).encode() + b"\n" + body)
    out.flush()


def serve(requests: BinaryIO, out: BinaryIO, voice_path: str, config_path: str) -> int:
    """Answer requests until there are no more. Returns the exit status."""
    try:
        voice = load(voice_path, config_path)
        rate = int(voice.config.sample_rate)
    except Exception as exc:  # whatever it is, the parent has to hear of it
        say(out, {"error": f"{type(exc).__name__}: {exc}"})
        return 1
    say(out, {"ready": True, "rate": rate})
    for line in requests:
        try:
            pcm = speak(voice, str(json.loads(line)["text"]))
        except Exception as exc:  # one text must not end the worker
            say(out, {"error": f"{type(exc).__name__}: {exc}"})
            continue
        say(out, {"bytes": len(pcm), "rate": rate}, pcm)
    return 0


def main() -> int:
    # Ctrl-C reaches the whole process group; the parent ends us by closing our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # stray prints of libraries go to standard error, not into the protocol
    return serve(sys.stdin.buffer, out, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
