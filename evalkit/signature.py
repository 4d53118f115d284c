"""The line that says how a number was made, in the spirit of sacreBLEU.

`voicebench/sd-qa|protocol=official|data=hlt-lab/voicebench@9f1c2d3e:usa#5d0a77b1|n=553|runner=...|gen=...|
judges=...|evalkit=0.1.0`. Two numbers are comparable when their signatures agree up to runner and gen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit import __version__
from evalkit.records import JSON, digest_of

RUNNER_PARTS = ("runner", "gen")


def clean(text: object) -> str:
    """A value that can stand in a signature: no separators, no line breaks."""
    return " ".join(str(text).replace("|", "/").split())


def fingerprint(identity: Mapping[str, JSON]) -> str:
    """8 hex digits that name a runner with its model, checkpoint and decoding."""
    return digest_of(dict(identity))[:8]


def unlike(old: JSON, new: JSON, name: str = "") -> list[str]:
    """Where two identities differ, in words: "decoding.seed (0, now 1)"; digests and long values by name alone."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(k for k in new if k not in old)]
        inside = [unlike(old.get(k), new.get(k), f"{name}.{k}" if name else str(k)) for k in keys]
        return [one for found in inside for one in found]
    if old == new or not name:
        return []
    values = ["none" if v is None else str(v) for v in (old, new)]
    short = all(len(v) <= 24 for v in values)
    return [f"{name} ({values[0]}, now {values[1]})" if short else name]


def data_part(data: Mapping[str, JSON], digest: str) -> str:
    """`repo@revision:config/splits#digest`."""
    revision = str(data.get("revision") or data.get("kind") or "local")[:12]
    splits = data.get("splits") or []
    where = "+".join(map(str, splits)) if len(splits) <= 3 else f"{len(splits)}splits"
    config = data.get("config")
    if edition := data.get("edition"):
        config = f"{config or ''} ed. {edition}".strip()
    return clean(f"{data.get('repo')}@{revision}:{config + '/' if config else ''}{where}#{digest[:8]}")


def signature(
    task: str,
    *,
    protocol: str,
    data: str,
    n: int,
    runner: str,
    generation: Mapping[str, JSON] | None,
    judges: Sequence[str],
    prompt: str = "",
) -> str:
    """The signature line of one number; `prompt` names the way a question was put, where there are several."""
    gen = ",".join(f"{k}={clean(v)}" for k, v in sorted((generation or {}).items())) or "default"
    parts = {
        "protocol": protocol,
        **({"prompt": prompt} if prompt else {}),
        "data": data,
        "n": n,
        "runner": runner,
        "gen": gen,
        "judges": "+".join(clean(j) for j in judges) or "none",
        "evalkit": __version__,
    }
    return "|".join([task, *(f"{k}={clean(v)}" for k, v in parts.items())])


def parse(line: str) -> dict[str, str]:
    """The parts of a signature by name; the task under "task"."""
    task, *parts = line.split("|")
    return {"task": task} | dict(p.split("=", 1) for p in parts if "=" in p)


def differences(a: str, b: str) -> list[str]:
    """Names of the parts, beside the runner's, in which two signatures differ."""
    left, right = parse(a), parse(b)
    names = [*left, *(k for k in right if k not in left)]
    return [k for k in names if k not in RUNNER_PARTS and left.get(k) != right.get(k)]
