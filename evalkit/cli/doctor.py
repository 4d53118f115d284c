"""`doctor`: what is installed, which weights, keys, GPUs and data are found, what would mend the rest."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.cli.listing import table
from evalkit.config import cache_dir, config_dir, offline
from evalkit.errors import UsageError

Check = dict[str, Any]


def call(args: argparse.Namespace) -> int:
    """Print what was found."""
    found = {"machine": machine(), "extras": extras(), "weights": weights(), "keys": keys(), "data": data()}
    found["official prompts"] = prompts()
    if getattr(args, "ray_address", None):
        found["Ray cluster"] = cluster(args.ray_address)
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    for name, rows in found.items():
        print(f"{name}\n{'-' * len(name)}\n{table(rows)}\n")
    return 0


def cluster(address: str) -> list[Check]:
    """Machines of a Ray cluster. Raises UsageError: it can't be reached."""
    from evalkit.engine.replicas.cluster import Cluster, check_installed

    check_installed()
    there = Cluster(address)
    try:
        there.open()
        return [
            {"machine": k, "CPU cores": f"{n['CPU']:g}", "GPUs": f"{n['GPU']:g}"}
            for k, n in enumerate(there.nodes(), 1)
        ]
    finally:
        there.close()


def machine() -> list[Check]:
    """Versions, cores, GPUs, folders."""
    cache = cache_dir()
    return [
        {"what": "evalkit", "found": __version__},
        {"what": "python", "found": f"{platform.python_version()} on {platform.platform()}"},
        {"what": "cores", "found": os.cpu_count()},
        {"what": "GPU", "found": gpus()},
        {"what": "cache", "found": f"{cache}" + ("" if cache.exists() else " (not there yet)")},
        {
            "what": "config",
            "found": f"{config_dir()}" + ("" if config_dir().exists() else " (not there yet)"),
        },
        {
            "what": "network",
            "found": "forbidden by EVALKIT_OFFLINE or HF_HUB_OFFLINE" if offline() else "allowed",
        },
    ]


def gpus() -> str:
    """Names and memory of NVIDIA GPUs."""
    if shutil.which("nvidia-smi") is None:
        return "none found (no nvidia-smi)"
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as exc:
        return f"nvidia-smi failed: {exc}"
    return "; ".join(out.splitlines()) or "none found"


ADDS = {
    "data": "hub data sets and parquet files",
    "embedded": "the demo model: ASR, LLM and TTS on a CPU",
    "voicebench": "IFEval's sentence and language checks, PEDANT",
    "speech": "DNSMOS, faster-whisper, voice activity",
    "asr": "sacreBLEU tokenisers for UltraEval's and Kimi's WER",
    "stats": "SciPy, statsmodels, krippendorff: how far to trust a judge (judge-audit)",
    "png": "figures as PNG (report --figure 1 --format png)",
    "mlflow": "exports to MLflow (local SQLite store or a server)",
    "wandb": "exports to Weights & Biases",
    "xlsx": "tables as Excel workbooks",
    "whisper": "openai-whisper, the reference ASR",
    "utmos": "UTMOS (torch)",
    "distillmos": "DistillMOS, a learned quality score with its weights (torch)",
    "embedder": "MMAU-Pro's match of answers with options (NV-Embed-v2 or any sentence-transformers model)",
    "local": "local models on torch and transformers",
    "vllm": "local serving with vLLM",
    "ray": "more than one GPU or machine",
    "vocoder": "speech ids as sound, where this Python runs CosyVoice (HyperPyYAML, torch)",
    "dev": "tests, lint, types",
}


def extras() -> list[Check]:
    """What each extra brings, and which of its packages are missing."""
    try:
        required = metadata("evalkit").get_all("Requires-Dist") or []
    except PackageNotFoundError:
        return [{"extra": "evalkit", "state": "not installed", "adds": 'pip install -e "." in the checkout'}]
    rows = []
    for extra, adds in ADDS.items():
        marker = f'extra == "{extra}"'
        names = [r.partition(";")[0] for r in required if marker in r.replace("'", '"')]
        missing = [n for n in map(_bare, names) if _version(n) is None]
        state = "complete" if not missing else f"lacks {', '.join(missing)}"
        mend = "" if not missing else f'pip install "evalkit[{extra}]"'
        rows.append({"extra": extra, "adds": adds, "state": state, "mend": mend})
    return rows


def _bare(requirement: str) -> str:
    import re

    return re.split(r"[\s<>=!~\[(]", requirement.strip(), maxsplit=1)[0]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def weights() -> list[Check]:
    """Weights that some judges and the demo need."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("PEDANT 0.2.17 (SD-QA)", _pedant),
        ("UTMOS22-strong", _utmos),
        ("DNSMOS", _dnsmos),
        ("DistillMOS", _distillmos),
        ("Punkt sentences (IFEval)", _punkt),
        ("SmolLM2-135M (demo)", _smollm),
    ]
    rows = []
    for what, check in checks:
        try:
            state, note = "found", check()
        except Exception as exc:  # a doctor reports, it does not fail
            state, note = "missing", str(exc).splitlines()[0][:200] if str(exc) else type(exc).__name__
        rows.append({"weights": what, "state": state, "where or why": note})
    return rows


def _pedant() -> str:
    from judges.pedant_weights import default_folder, load

    load(default_folder())
    return str(default_folder())


def _utmos() -> str:
    from judges.utmos_model import weights_path

    return str(weights_path(None))


def _dnsmos() -> str:
    from judges.dnsmos import weights_folder

    return str(weights_folder(None))


def _distillmos() -> str:
    from judges.distillmos import weights_file

    return str(weights_file())


def _punkt() -> str:
    kept = cache_dir() / "nltk_data"
    places = [kept, *(Path(p) for p in os.environ.get("NLTK_DATA", "").split(os.pathsep) if p)]
    for place in places:
        if (place / "tokenizers" / "punkt_tab" / "english").is_dir():
            return str(place)
    raise UsageError("fetched at first use, or set NLTK_DATA")


def _smollm() -> str:
    found = sorted(cache_dir().glob("**/*.gguf"))
    given = os.environ.get("EVALKIT_LLM_GGUF")
    if given or found:
        return given or str(found[0])
    raise UsageError("fetched at first use (93 MB), or set EVALKIT_LLM_GGUF")


def prompts() -> list[Check]:
    """How many of the public judge prompts are imported, by the toolkit they come with."""
    from judges.official import IMPORT, imported_by_source

    return [
        {
            "toolkit": source,
            "imported": f"{len(have)} of {len(have) + len(lack)}" + (f", {len(bad)} altered" if bad else ""),
            "mend": IMPORT if lack else "",
        }
        for source, (have, lack, bad) in imported_by_source().items()
    ]


def keys() -> list[Check]:
    """Which keys are set; never their values."""
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY", "GOOGLE_API_KEY", "HF_TOKEN")
    return [{"variable": n, "state": "set" if os.environ.get(n) else "not set"} for n in names]


def data() -> list[Check]:
    """Which data sets are in the local hub cache."""
    from evalkit.registry import catalogue

    home = Path(
        os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
    )
    rows = []
    # What no hub has is not looked for in its cache.
    tasks = [t for t in catalogue().tasks.values() if not t.data.withdrawn and t.data.opener is None]
    for repo in dict.fromkeys((t.data if t.data.hosted else t.data.mirrors[0]).repo for t in tasks):
        kept = home.expanduser() / f"datasets--{repo.replace('/', '--')}" / "snapshots"
        held = sorted(p.name[:12] for p in kept.iterdir()) if kept.is_dir() else []
        rows.append({"data set": repo, "in the hub cache": ", ".join(held) or "no (fetched at first use)"})
    return rows
