"""The vocoder, in a process of its own: blocks of speech ids in, 16-bit PCM at 24 kHz out.

Run by `vocoder.py` as a program, by any Python from 3.9 on that has the CosyVoice checkout's packages: nothing of
evalkit is imported here. Global seeds and standard output belong to the checkout; neither reaches the harness.

Protocol, on standard input and output; every frame is a line of JSON, an object (the header), then the `bytes`
bytes that the header announces:
    {"op": "load", "cosyvoice", "weights", "speaker", "voice", "device"}   <- once, the first frame
    {"ready": true, "rate": Hz, "device", "torch"}                         -> or {"error": "..."} and the end
    {"op": "speak", "blocks": [n, ...], "bytes": 4 x sum} + ids            <- int32, little-endian
    {"bytes": N, "rate": Hz} + PCM                                         -> mono, int16, little-endian, joined
    {"error": "...", "again": bool, "dead": bool}   -> or that: worth another try? is the process no use any more?
It ends when standard input does.

Source: runner specification, section 10 (the light loading path: flow and vocoder, no LLM, no ONNX model).
"""

from __future__ import annotations

import inspect
import json
import os
import random
import re
import signal
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

RATE = 24_000
SAMPLES_PER_TOKEN = 960
SEED = 0
"""Every call draws from here on, so that no answer depends on what was spoken before it."""
PACKAGES = {"hydra": "hydra-core", "x_transformers": "x-transformers", "yaml": "PyYAML"}
"""Where a package is called otherwise than its module."""


class Unusable(Exception):
    """One sentence for the user: what is wrong with what they named, and what to do."""


def ask(read: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next frame; None at the end of the input."""
    line = read.readline()
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    return header, read.read(int(header.get("bytes", 0)))


def say(out: BinaryIO, header: Mapping[str, object], body: bytes = b"") -> None:
    """Write one frame whole."""
    out.write(json.dumps(header).encode() + b"\n" + body)
    out.flush()


def seed(value: int) -> None:
    """Seed every global generator of this process."""
    import numpy
    import torch

    random.seed(value)
    numpy.random.seed(value)
    torch.manual_seed(value)  # the GPUs', too


# --- loading ------------------------------------------------------------------------------------------


def nodes_of(text: str) -> dict[str, Any]:
    """The top-level entries of a YAML text as nodes: tags are read, nothing is made of them."""
    import yaml

    try:
        root = yaml.compose(text)
    except yaml.YAMLError as exc:
        raise Unusable("cosyvoice3.yaml is not valid YAML: " + " ".join(str(exc).split())[:200]) from exc
    if not isinstance(root, yaml.MappingNode):
        raise Unusable("cosyvoice3.yaml holds no mapping: is the weights folder Fun-CosyVoice3-0.5B-2512?")
    return {str(key.value): value for key, value in root.value}


def below(node: Any) -> Iterable[Any]:
    """A node and all nodes in it."""
    yield node
    for child in node.value if isinstance(node.value, list) else ():
        for part in child if isinstance(child, tuple) else (child,):
            yield from below(part)


def overrides(entries: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """What to load the YAML with, so that only flow and hift (and what they refer to) are made.

    `llm` is null and `qwen_pretrain_path` the weights folder, where the file has them; other entries that would
    import or build something (tokenizer, data pipeline, discriminators) are null. Seeds (`__set_seed...`) are kept.
    """
    needed, new = set(), {"flow", "hift"}
    while new:
        name = new.pop()
        needed.add(name)
        for node in below(entries[name]):
            if node.tag in ("!ref", "!copy"):
                found = {re.split(r"[.\[]", r)[0] for r in re.findall(r"<([^<>]+)>", str(node.value))}
                new |= (found & set(entries)) - needed
    out: dict[str, Any] = {}
    for name, entry in entries.items():
        builds = name == "llm" or any(node.tag.startswith("!") for node in below(entry))
        if builds and name not in needed and not name.startswith("__"):
            out[name] = None
    if "qwen_pretrain_path" in entries:
        out["qwen_pretrain_path"] = str(weights / "CosyVoice-BlankEN")
    return out


def build(weights: Path) -> tuple[Any, Any]:
    """Flow and vocoder as cosyvoice3.yaml describes them, with random weights."""
    path = weights / "cosyvoice3.yaml"
    text = path.read_text(encoding="utf-8")
    entries = nodes_of(text)
    if lacking := [name for name in ("flow", "hift") if name not in entries]:
        raise Unusable(f"{path} has no entry {lacking[0]!r}; is it that of Fun-CosyVoice3?")
    from hyperpyyaml import load_hyperpyyaml

    seed(SEED)  # the YAML and the checkout seed again; this is for one that does not
    made = load_hyperpyyaml(text, overrides=overrides(entries, weights))
    rate = made.get("sample_rate", RATE)
    if rate != RATE:
        raise Unusable(f"{path} says sample_rate {rate!r}; speech ids stand for 24000 Hz.")
    return made["flow"], made["hift"]


def read(path: Path, what: str) -> dict[str, Any]:
    """A .pt file that holds a mapping; nothing is unpickled but tensors and plain values."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:
        first = (str(exc).splitlines() or [""])[0][:200]
        raise Unusable(
            f"{path} can't be read as {what} (weights_only): {first or type(exc).__name__}"
        ) from exc
    if not isinstance(found, dict):
        raise Unusable(f"{path} holds a {type(found).__name__}, not {what}.")
    return {str(key): value for key, value in found.items()}


def fill(module: Any, path: Path, prefix: str = "") -> None:
    """Load a module's weights: every key accounted for, `prefix` stripped."""

    found = read(path, "weights")
    for name in ("epoch", "step"):  # training scripts put these two numbers beside the weights
        found.pop(name, None)
    found = {k[len(prefix) :] if prefix and k.startswith(prefix) else k: v for k, v in found.items()}
    wanted = module.state_dict()
    misshapen = sorted(
        k for k, v in wanted.items() if k in found and v.shape != getattr(found[k], "shape", None)
    )
    # Torch itself knows older names of some keys (of weight norm), so it says what is missing.
    known = {k: v for k, v in found.items() if k not in misshapen}
    missing, unexpected = module.load_state_dict(known, strict=False)
    problems = [
        ("lacks", sorted(set(missing) - set(misshapen))),
        ("has, but the model has not,", sorted(unexpected)),
        ("has in another shape", misshapen),
    ]
    told = [
        f"{what} {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        for what, keys in problems
        if keys
    ]
    if told:
        raise Unusable(
            f"{path.name} does not fit the checkout's model: it {'; it '.join(told)}. "
            "Take the checkout and the weights that belong together."
        )


def speaker_of(path: Path, voice: str) -> Any:
    """The embedding of a voice: (1, 192) float32."""
    import torch

    voices = read(path, "speaker embeddings")
    if voice not in voices:
        raise Unusable(f"{path} has no voice {voice!r}; it has: {', '.join(sorted(voices)) or 'none'}.")
    found = voices[voice].get("embedding") if isinstance(voices[voice], dict) else None
    if not torch.is_tensor(found) or tuple(found.shape) != (1, 192) or not torch.isfinite(found).all():
        raise Unusable(f"{path}: the voice {voice!r} has no embedding of shape (1, 192) and finite numbers.")
    return found.float()


def device_for(wanted: str) -> Any:
    """The torch device; "auto" is a GPU where there is one."""
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise Unusable(f"the vocoder's Python ({sys.executable}) sees no GPU: give it device cpu.")
    return torch.device(wanted)


# --- speaking -----------------------------------------------------------------------------------------


def accepted(function: Any, offered: Mapping[str, Any], needed: Iterable[str]) -> dict[str, Any]:
    """Of the offered arguments those that a function takes.

    CosyVoice's commits differ in them: an argument it wants beyond those offered, or one of `needed` that it does not
    take, is an error that names it.
    """
    name = getattr(function, "__qualname__", str(function))
    parameters = inspect.signature(function).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    wanted = {k: p for k, p in parameters.items() if p.kind in named}
    unknown = [k for k, p in wanted.items() if p.default is inspect.Parameter.empty and k not in offered]
    refused = [k for k in needed if k not in wanted and not open_ended]
    if unknown or refused:
        what = f"wants {unknown[0]!r}" if unknown else f"does not take {refused[0]!r}"
        raise Unusable(f"this CosyVoice checkout is another than those known here: {name} {what}.")
    return {k: v for k, v in offered.items() if k in wanted}


class Voice:
    """Flow, vocoder and the speaker's embedding, ready on their device."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        import torch

        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        self.torch = torch
        self.device = device_for(str(settings["device"]))
        weights = Path(str(settings["weights"]))
        self.flow, self.hift = build(weights)
        fill(self.flow, weights / "flow.pt")
        fill(self.hift, weights / "hift.pt", "generator.")
        for module in (self.flow, self.hift):
            module.to(self.device).eval()
        self.speaker = speaker_of(Path(str(settings["speaker"])), str(settings["voice"])).to(self.device)
        accepted(self.flow.inference, self._flow_arguments([0]), ("token", "embedding", "finalize"))

    def _flow_arguments(self, ids: list[int]) -> dict[str, Any]:
        torch, to = self.torch, self.device
        return {
            "token": torch.tensor([ids], dtype=torch.int32, device=to),
            "token_len": torch.tensor([len(ids)], dtype=torch.int32, device=to),
            "prompt_token": torch.zeros(1, 0, dtype=torch.int32, device=to),
            "prompt_token_len": torch.zeros(1, dtype=torch.int32, device=to),
            "prompt_feat": torch.zeros(1, 0, 80, device=to),
            "prompt_feat_len": torch.zeros(1, dtype=torch.int32, device=to),
            "embedding": self.speaker.clone(),
            "streaming": False,
            "stream": False,
            "finalize": True,
        }

    def block(self, ids: list[int]) -> Any:
        """One call of flow and vocoder, not streaming: float32 (960 x len(ids),)."""
        torch = self.torch
        seed(SEED)
        with torch.inference_mode():
            needed = ("token", "embedding", "finalize")
            mel = first(
                self.flow.inference(**accepted(self.flow.inference, self._flow_arguments(ids), needed))
            )
            offered = {
                "speech_feat": mel,
                "finalize": True,
                "cache_source": torch.zeros(1, 1, 0, device=self.device),
            }
            wave = first(self.hift.inference(**accepted(self.hift.inference, offered, ("speech_feat",))))
        wave = wave.detach().float().cpu().reshape(-1)
        if abs(len(wave) - SAMPLES_PER_TOKEN * len(ids)) >= SAMPLES_PER_TOKEN:
            raise ValueError(
                f"it gave {len(wave)} samples for {len(ids)} tokens of {SAMPLES_PER_TOKEN} samples each"
            )
        if not torch.isfinite(wave).all():
            raise ValueError("it gave numbers that are not finite")
        return wave

    def speak(self, ids: list[int], blocks: list[int]) -> bytes:
        """PCM of all blocks, joined without a cross-fade."""
        waves, at = [], 0
        for size in blocks:
            waves.append(self.block(ids[at : at + size]))
            at += size
        wave = self.torch.cat(waves).clamp(-1.0, 1.0)
        pcm: bytes = (wave * 32767.0).round().numpy().astype("<i2").tobytes()
        return pcm


def first(result: Any) -> Any:
    """The first of what a function gives, where it gives several."""
    return result[0] if isinstance(result, tuple) else result


# --- serving ------------------------------------------------------------------------------------------


def reason(exc: BaseException | None) -> str:
    """One sentence on a failed start; a missing package is named, however deep its import was wrapped."""
    seen: set[int] = set()
    told, at = exc, exc
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if isinstance(at, Unusable):
            return str(at)
        if isinstance(at, ModuleNotFoundError) and at.name:
            return missing(at.name)
        value = getattr(at, "value", None)  # pydoc.ErrorDuringImport keeps the cause there
        at = value if isinstance(value, BaseException) else at.__cause__ or at.__context__
    text = " ".join(str(told).split())[:300]
    return f"{type(told).__name__}: {text}"


def missing(name: str) -> str:
    """What to do about a module that isn't there."""
    top = name.split(".")[0]
    if top in ("cosyvoice", "matcha"):
        return (
            f"the CosyVoice checkout has no module {name}; is it CosyVoice3's, with its submodules "
            "(`git submodule update --init --recursive`)?"
        )
    package = PACKAGES.get(top, top)
    return (
        f"the vocoder needs the Python package {package}, and {sys.executable} has none: install it "
        f"(`{sys.executable} -m pip install {package}`), or name a Python that has all that CosyVoice requires: "
        "python=PATH."
    )


def trouble(exc: Exception, tokens: int) -> dict[str, object]:
    """The answer to a request that failed."""
    text = " ".join(str(exc).split())[:300]
    memory = type(exc).__name__ == "OutOfMemoryError" or "out of memory" in text
    # After an error on the device every further call fails, too.
    dead = not memory and ("CUDA error" in text or "cuDNN" in text or "device-side assert" in text)
    what = text if isinstance(exc, Unusable) else f"{type(exc).__name__}: {text}"
    return {
        "error": f"{tokens} token{'' if tokens == 1 else 's'}: {what}",
        "again": memory or dead,
        "dead": dead,
    }


def serve(requests: BinaryIO, out: BinaryIO) -> int:
    """Answer requests until there are no more. Returns the exit status."""
    opened = ask(requests)
    if opened is None:
        return 0
    try:
        settings = opened[0]
        checkout = Path(str(settings["cosyvoice"]))
        sys.path[:0] = [str(checkout), str(checkout / "third_party" / "Matcha-TTS")]
        voice = Voice(settings)
    except (
        BaseException
    ) as exc:  # whatever it is (a checkout may call sys.exit), the parent has to hear of it
        say(out, {"error": reason(exc)})
        return 1
    say(
        out, {"ready": True, "rate": RATE, "device": str(voice.device), "torch": str(voice.torch.__version__)}
    )
    while (asked := ask(requests)) is not None:
        header, body = asked
        ids = list(struct.unpack(f"<{len(body) // 4}i", body))
        try:
            pcm = voice.speak(ids, [int(n) for n in header["blocks"]])
        except Exception as exc:  # one answer must not end the worker
            told = trouble(exc, len(ids))
            if told["again"] and voice.device.type == "cuda" and not told["dead"]:
                voice.torch.cuda.empty_cache()
            say(out, told)
            if told["dead"]:
                return 1
            continue
        say(out, {"bytes": len(pcm), "rate": RATE}, pcm)
    return 0


def main() -> int:
    # Ctrl-C reaches the whole process group; the parent ends us by closing our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the checkout reads nothing of ours ...
    os.dup2(2, 1)  # ... and its prints go to standard error, not into the protocol
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != here]  # neighbours have common names
    return serve(requests, out)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # every answer is flushed; taking torch down object by object takes seconds
