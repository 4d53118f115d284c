"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError

SCORING_OPTIONS = {
    "seed": "seed of draws that a public scorer makes at random (default 0)",
    "mcq_fill": "letter for an answer no template fits: seeded, expected or none (default seeded)",
    "pedant_weights": "folder with PEDANT's two classifier files",
    "utmos_weights": "UTMOS22-strong checkpoint (TorchScript or state dict), or hub: fetched by torch.hub",
    "utmos_checkout": "checkout of SpeechMOS, for a UTMOS state dict",
    "utmos_device": "cpu (default) or cuda",
    "distillmos": "yes or no: DistillMOS beside the other quality scores of spoken answers (default no)",
    "dnsmos_personalised": "yes or no: DNSMOS's personalised P.835 network, too (default no)",
    "dnsmos_weights": "folder with the DNSMOS ONNX files",
    "judge_scoring": "of judges that rate: plain (the number in the reply), or geval (the mean over the numbers it "
    "might have given, by the log-probabilities of its tokens; by 20 replies where the endpoint tells none)",
    "judge_output": "text (the protocol's form of reply), or json (held to a JSON Schema, where the endpoint can)",
    "judge_votes": "replies of a judge per answer, mean or majority as the contract says (default: the protocol's; "
    "G-Eval by log-probabilities takes one)",
    "judge_runs": "the same for LALM judges alone (default 1)",
    "judge_user_audio": "yes or no: does a LALM judge hear the user, too? (default: as the protocol has it)",
    "control_gap": "yes or no (default): speech-style's paralinguistic track is judged without user audio and cue, "
    "too; the difference says how far the row measures text",
    "pair_sensitivity": "yes or no (default): of speech-style's pairs, the share whose scores fall when their answers "
    "are swapped",
    "dnsmos_convention": "ultraeval (first 9.01 s) or microsoft (mean over windows)",
    "embedder": "what matches answers with options (MMAU-Pro): hub id or folder (default nvidia/NV-Embed-v2)",
    "wer_tokens": "generation of compute-wer's tokeniser, A to E (default C: release 0.2.3)",
    "wer_char": "every letter and digit is a token: yes or no (default no)",
    "normalizer": "of transcripts: none, whisper-english, whisper-english-openai, whisper-basic, "
    "whisper-basic-letters or whisper-basic-bare (default: the recipe's)",
    "reasoning_threshold": "OpenAudioBench Reasoning QA: lowest rating that counts as right, 1 to 5 (default 4)",
    "dotted_names": "function calling: exact, or underscore as the public scorer compares models called gpt-4o",
}

CHOICES = {
    "judge_scoring": ("plain", "geval"),
    "judge_output": ("text", "json"),
    "mcq_fill": ("seeded", "expected", "none"),
    "wer_tokens": ("A", "B", "C", "D", "E"),
    "wer_char": ("yes", "no"),
    "distillmos": ("yes", "no"),
    "dnsmos_personalised": ("yes", "no"),
    "utmos_device": ("cpu", "cuda"),
    "dnsmos_convention": ("ultraeval", "microsoft"),
    "normalizer": (
        *("none", "whisper-english", "whisper-english-openai"),
        *("whisper-basic", "whisper-basic-letters", "whisper-basic-bare"),
    ),
    "dotted_names": ("exact", "underscore"),
}


def pairs(given: Sequence[str] | None, flag: str) -> dict[str, str]:
    """`["a=1", "b=2"]` as a dict. Raises UsageError for a word without "="."""
    out = {}
    for word in given or ():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {word!r}: write {flag} NAME=VALUE")
        out[key.strip().replace("-", "_")] = value
    return out


def scoring_options(given: Sequence[str] | None) -> dict[str, str]:
    """The -O options. Raises UsageError for an unknown one."""
    options = pairs(given, "-O")
    if unknown := sorted(set(options) - set(SCORING_OPTIONS)):
        known = ", ".join(SCORING_OPTIONS)
        raise UsageError(
            f"there is no scoring option {unknown[0]!r}; known: {known}. `run_eval.py list options` explains them."
        )
    for name, allowed in CHOICES.items():
        if options.get(name, allowed[0]) not in allowed:
            raise UsageError(f"-O {name} is {', '.join(allowed[:-1])} or {allowed[-1]}")
    if not re.fullmatch(r"-?\d+", options.get("seed", "0")):
        raise UsageError("-O seed is a whole number")
    if options.get("reasoning_threshold", "4") not in tuple("12345"):
        raise UsageError("-O reasoning_threshold is a whole number from 1 to 5")
    return options


def add_scoring(p: argparse.ArgumentParser) -> None:
    """--judge, --asr, --protocol and their options."""
    group = p.add_argument_group("scoring")
    group.add_argument(
        "--judge", metavar="RUNNER/MODEL", help="text model that judges, e.g. openai/gpt-4o-mini"
    )
    group.add_argument(
        "-J",
        action="append",
        metavar="NAME=VALUE",
        help="option of the judge, e.g. base_url=...; price_in=, price_out=: USD per million tokens",
    )
    group.add_argument(
        "--asr", metavar="ENGINE/MODEL", help="ASR for spoken answers, e.g. faster-whisper/large-v3"
    )
    group.add_argument(
        "--lalm-judge", metavar="RUNNER/MODEL", help="model that hears answers and judges them"
    )
    group.add_argument("-L", action="append", metavar="NAME=VALUE", help="option of the LALM judge")
    group.add_argument("-A", action="append", metavar="NAME=VALUE", help="option of the ASR engine")
    group.add_argument(
        "--judge-budget",
        metavar="USD|Ncalls",
        help="what judges may cost in this call: money (2.50) or requests (1000calls); the rest stays unscored",
    )
    group.add_argument("--protocol", help="scoring protocol; default: the one the report used")
    add_prompts(group)
    options = "; ".join(f"{k}: {v}" for k, v in SCORING_OPTIONS.items())
    group.add_argument("-O", action="append", metavar="NAME=VALUE", help=f"scoring option ({options})")


def add_judges(p: argparse._ActionsContainer, why: str) -> None:
    """Who judges, by which protocol, in what words and how, where nobody is asked; `why` they are named."""
    for flag, letter, role in (("--judge", "-J", "judge"), ("--lalm-judge", "-L", "LALM judge")):
        p.add_argument(flag, metavar="RUNNER/MODEL", help=f"the {role}, {why}")
        p.add_argument(letter, action="append", metavar="NAME=VALUE", help=f"option of the {role}")
    p.add_argument("--protocol", help="another scoring protocol than the run's")
    add_prompts(p)
    p.add_argument("-O", action="append", metavar="NAME=VALUE", help="scoring option (see `list options`)")


def add_prompts(p: argparse._ActionsContainer) -> None:
    """--prompts."""
    p.add_argument(
        "--prompts",
        metavar="own|official|DIR",
        help="whose rubrics judges use: ours (default), the public texts (see `prompts import`), or a folder's",
    )


def add_data(p: argparse.ArgumentParser) -> None:
    """Where data comes from."""
    group = p.add_argument_group("data")
    group.add_argument(
        "--data-dir",
        metavar="DIR",
        help="local copy of the data in its published layout; for one task, also a file of its rows",
    )
    group.add_argument("--data-repo", metavar="REPO", help="another hub id to read the data from (a mirror)")
    group.add_argument(
        "--prompt",
        metavar="NAME",
        help="how a question is put, where a task knows several ways; default: the report's",
    )
    group.add_argument("--revision", help="commit or tag of the hub data set")
    group.add_argument("--stream", action="store_true", help="stream from the hub instead of downloading")
    group.add_argument("--limit", type=positive, metavar="N", help="only the first N samples of each task")


def add_output(p: argparse.ArgumentParser) -> None:
    """Where results go, and how they are shown."""
    group = p.add_argument_group("output")
    group.add_argument(
        "--out", metavar="DIR", help="run directory (default: runs/<model>_<suite or tasks>-<hash>)"
    )
    group.add_argument("--json", action="store_true", help="print results.json (of a dry run: what is ahead)")
    group.add_argument("--no-report", action="store_true", help="write no HTML and CSV")
    group.add_argument(
        "--progress", choices=("auto", "bars", "lines", "none"), default="auto", help="how progress is shown"
    )


def add_how(p: argparse.ArgumentParser) -> None:
    """How a model is asked, for `run` and what runs like it."""
    group = p.add_argument_group("how")
    group.add_argument("--concurrency", type=positive, metavar="N", help="requests under way at once")
    group.add_argument("--judge-concurrency", type=positive, default=32, metavar="N")
    group.add_argument(
        "--retries", type=positive, default=5, metavar="N", help="tries per request (default 5)"
    )
    group.add_argument(
        "--resume", action="store_true", default=True, help="go on where the run stopped (default)"
    )
    group.add_argument(
        "--no-resume", dest="resume", action="store_false", help="refuse to go on with an old run"
    )
    group.add_argument(
        "--no-cache", action="store_true", help="neither use nor fill the cache of earlier answers"
    )
    group.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")


def positive(text: str) -> int:
    """A whole number above zero, for argparse."""
    value = int(text) if re.fullmatch(r"\d+", text) else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return value


def slug(text: str) -> str:
    """A name that can stand in a path."""
    return re.sub(r"[^\w.\-]+", "-", text).strip("-.")[:60] or "run"


def default_out(model: str, what: str, identity: Mapping[str, object]) -> Path:
    """`runs/<model>_<what>-<hash>`: the same command finds the same run again, so it can resume."""
    from evalkit.records import digest_of

    return Path("runs") / f"{slug(model)}_{slug(what)}-{digest_of(dict(identity))[:6]}"


SECRET = re.compile(r"key|token|secret|passw|auth(?!or(?!i[sz]))|cookie|credential|bearer", re.IGNORECASE)
"""Names of secrets; an author is none, an authorization is."""
HARMLESS = re.compile(r"_env$|^max_(\w+_)?tokens$")
HIDDEN = "(not recorded)"


def without_secrets(options: Mapping[str, str]) -> dict[str, str]:
    """Options as they may be written down: no values of secret-looking names, at any depth; no logins in URLs."""
    return {k: HIDDEN if _secret(k) else _safe(v) for k, v in options.items()}


def _secret(name: str) -> bool:
    return bool(SECRET.search(name)) and not HARMLESS.search(name)


def _safe(value: str) -> str:
    """One option's value: JSON is searched for secrets, a URL loses its login and its query."""
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if isinstance(found, dict | list):
        return json.dumps(_cleaned(found))
    return _unnamed(value.partition("?")[0] if "://" in value else value)


def _unnamed(value: str) -> str:
    """Text without the secrets that stand in values: logins and keys in URLs, what an Authorization header says."""
    value = re.sub(r"(\w://)[^\s/@,]*@", r"\1", value)
    value = re.sub(r"([?&#]([\w.-]+)=)[^\s&#]+", lambda m: m[1] + HIDDEN if _secret(m[2]) else m[0], value)
    return re.sub(r"(?i)^(\s*([\w-]*authorization\W+)?(bearer|basic)\s+)\S+$", lambda m: m[1] + HIDDEN, value)


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: HIDDEN if _secret(str(k)) else _cleaned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_cleaned(v) for v in value]
    return _unnamed(value) if isinstance(value, str) else value
