"""How fast the Fun-Audio-Chat runner is, on random weights of the 8B's real size: nothing is downloaded.

    python -m bench.runner                                   on the GPU; without one, tiny sizes on the CPU
    python -m bench.runner --record                          the same, kept in bench/RESULTS.md
    python -m bench.runner --checkpoint DIR --vllm           real weights, and vLLM on them beside ours
    python -m bench.runner --batches 1,32 --modes s2m --variants none --steps 32

Ratios are taken within the run: of our own batch 1, and of the time it takes to read a step's weights and cache once at
the bandwidth that was measured at the start (bound ms, x bound). "decode x" is decoding alone of decoding at batch 1;
samples/s and tokens/s are the whole engine's, audio towers and prefill included, log-mel not. Medians after a warm-up;
the capture of CUDA graphs and compilation are in the first steps, which are told apart.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import runner_device, runner_report, runner_sizes, runner_timing
from bench.runner_report import Measured
from bench.runner_timing import MODES, VARIANTS, Load
from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.place import Place, need_packages, place_of, torch_place

BATCHES = (1, 2, 4, 8, 16, 32, 64)
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MIDDLE = 32
"""Variants are compared at the least batch size and at the largest up to this one."""
VLLM_SECONDS = 1200.0


def chosen(args: argparse.Namespace) -> tuple[Place, str]:
    """Where, and which size. Raises UsageError."""
    need_packages()
    place = place_of(args.device, args.dtype)
    if args.checkpoint is not None:
        if args.size:
            raise UsageError(
                "--size is of random weights; --checkpoint brings its own size: give one of them"
            )
        return place, args.checkpoint.name
    if args.vllm:
        raise UsageError("--vllm needs weights that vLLM can load too: add --checkpoint DIR")
    if args.size:
        return place, args.size
    return place, "8b" if place.cuda else "tiny"


def build(config: Any, place: Place, args: argparse.Namespace, count: int) -> Any:
    """The model, loaded or random. Raises UsageError: no such device, not enough memory."""
    import torch

    from evalkit.runners.fun_audio_chat.network.model import FunAudioChat

    device, dtype = torch_place(place, asked=args.device, weights=count * BYTES[place.dtype])
    if place.cuda:
        torch.cuda.set_device(device)
    if args.checkpoint is not None or config.folder == runner_sizes.TINY:
        model = FunAudioChat.load(config, device=device, dtype=dtype)
    else:
        model = FunAudioChat.random(config, device=device, dtype=dtype)
    runner_timing.never_silent(model)
    return model


def plan(batches: list[int], modes: list[str], variants: list[str]) -> list[tuple[str, int, str]]:
    """(mode, batch, variant) in the order of measuring; compiling changes the model, so it comes last."""
    few = sorted({min(batches), max(b for b in batches if b <= max(MIDDLE, min(batches)))})
    order = [("plain", batches), ("eager", few), ("invariant", few[-1:]), ("compiled", few)]
    return [
        (mode, batch, variant)
        for variant, some in order
        if variant == "plain" or variant in variants
        for mode in modes
        for batch in some
    ]


def run(args: argparse.Namespace, say: Any) -> Measured:
    """All of it. Raises UsageError."""
    place, size = chosen(args)
    config = runner_sizes.config_of(size, args.checkpoint)
    import torch

    say("counting the 8B's parameters as this code builds it ...")
    counted = runner_sizes.parameters_8b()
    if counted != runner_sizes.PARAMETERS_8B:
        say(f"warning: {counted:,}, and the released 8B has {runner_sizes.PARAMETERS_8B:,}")
    count = counted if size == "8b" else runner_sizes.parameters(config)
    started = time.perf_counter()
    model = build(config, place, args, count)
    built = sum(p.numel() for p in model.parameters())
    device = model.device
    runner_device.wait(device)
    steps = args.steps or (64 if place.cuda else 8)
    load = Load(args.prompt_seconds, steps, args.repeats)
    clip, mel_ms = _clip(config, load)
    length = len(runner_timing.prompt_ids(config, clip.groups))
    most = int(config.text.get("max_position_embeddings") or 0)
    if most and length + steps > most:
        raise UsageError(
            f"{length} prompt tokens and --steps {steps} are more than the model's {most} positions"
        )
    bandwidth = runner_device.bandwidth(device)
    measured = Measured(runner_device.name_of(device), place.cuda, size, place.dtype, built, {}, bandwidth)
    measured.facts = {
        "date, commit": f"{args.date}, {runner_report.commit()}",
        "versions": f"Python {sys.version.split()[0]}, torch {torch.__version__}, "
        f"transformers {_version('transformers')}" + (f", CUDA {torch.version.cuda}" if place.cuda else ""),
        "weights": f"{_weights(args, size)}, {built:,} unique parameters",
        "the 8B as built here": f"{counted:,} unique parameters",
        "load": f"a clip of {args.prompt_seconds:g} s in a prompt of {length} tokens, {steps} text tokens each, "
        f"no stop; medians of {args.repeats}",
        "bandwidth": f"{runner_report.rates(bandwidth)}; the larger makes the bound",
        "log-mel": f"{mel_ms:.1f} ms per clip on the CPU, in no row",
    }
    if told := runner_report.warning(measured):
        say(told)
    for name, value in measured.facts.items():
        say(f"{name}: {value}")
    say(f"model made in {time.perf_counter() - started:.1f} s\n")
    try:
        _measure_all(measured, model, args, place, clip, load, say)
    except KeyboardInterrupt:
        say("interrupted: what follows is what was measured so far")
        return measured
    except RuntimeError as exc:  # a device that is lost; what was measured stands
        say(f"broke off: {runner_timing.told(exc)}")
        return measured
    del model
    runner_device.clean(device)
    if args.vllm:
        _beside_vllm(measured, args, place, load, say)
    return measured


def _measure_all(
    measured: Measured, model: Any, args: argparse.Namespace, place: Place, clip: Any, load: Load, say: Any
) -> None:
    """Every row, told as soon as it is there."""
    bandwidth = max(measured.bandwidth.values())
    for mode, batch, variant in plan(args.batches, args.modes, _variants(args, place, say)):
        if variant == "compiled":
            model.compiled()
        row = runner_timing.measure(model, mode, batch, variant, clip, load, bandwidth)
        name = f"{mode.upper()}, a step reads"
        if row.weights and name not in measured.facts:
            measured.facts[name] = runner_report.traffic(row)
            say(f"{name}: {measured.facts[name]}")
        measured.rows.append(row)
        say(runner_report.line(measured, row))


def _clip(config: Any, load: Load) -> tuple[Any, float]:
    runner_timing.clip_and_wave(config, load.seconds)  # tables are made once
    started = time.perf_counter()
    clip, _ = runner_timing.clip_and_wave(config, load.seconds)
    return clip, (time.perf_counter() - started) * 1e3


def _variants(args: argparse.Namespace, place: Place, say: Any) -> list[str]:
    """What to compare with the default; on a CPU there are no graphs, and compiling takes minutes for nothing."""
    if args.variants is None:
        return ["eager", "invariant", "compiled"] if place.cuda else ["invariant"]
    if "eager" in args.variants and not place.cuda:
        say("eager: on a CPU there are no CUDA graphs to leave out, the default is eager")
    return [v for v in args.variants if place.cuda or v != "eager"]


def _beside_vllm(measured: Measured, args: argparse.Namespace, place: Place, load: Load, say: Any) -> None:
    from bench.runner_vllm import compare

    if find_spec("vllm") is None:
        measured.vllm_problem = "vllm is not installed here"
    else:
        say("vLLM on the same weights, prompts and lengths ...")
        asked = {
            "checkpoint": str(args.checkpoint.resolve()),
            "dtype": place.dtype,
            "batches": args.batches,
            "steps": load.steps,
            "repeats": load.repeats,
            "seconds": load.seconds,
            "share": args.vllm_memory,
        }
        measured.vllm, measured.vllm_problem = compare(asked, VLLM_SECONDS)
    for batch, row in sorted(measured.vllm.items()):
        say(f"vLLM S2T batch {batch:>2}: samples/s {row['samples']:.2f}, text tok/s {row['text']:,.0f}")
    if measured.vllm_problem:
        say(f"vLLM: {measured.vllm_problem}")


def _weights(args: argparse.Namespace, size: str) -> str:
    if args.checkpoint is not None:
        return f"of the checkpoint {args.checkpoint.name}"
    return "of the tiny checkpoint in tests/data" if size == "tiny" else "random"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _whole(least: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number, at least {least}: not {text!r}")
        return int(text)

    return parse


def _batches(text: str) -> list[int]:
    parts = [p.strip() for p in text.split(",")]
    if not all(p.isdigit() and 1 <= int(p) <= 1024 for p in parts):
        raise argparse.ArgumentTypeError(f"must be batch sizes from 1 to 1024 like 1,8,32: not {text!r}")
    return sorted({int(p) for p in parts})


def _several(known: tuple[str, ...], none: bool = False) -> Any:
    def parse(text: str) -> list[str]:
        if none and text == "none":
            return []
        parts = [p.strip().lower() for p in text.split(",")]
        if unknown := [p for p in parts if p not in known]:
            also = ', or "none"' if none else ""
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}{also}")
        return list(dict.fromkeys(parts))

    return parse


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 300:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 (no clip) to 300: not {text!r}")
    return found


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError(f"must be a share between 0 and 1: not {text!r}")
    return found


def _date(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a date like 2026-01-31: not {text!r}") from None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m bench.runner",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--batches", type=_batches, default=list(BATCHES), metavar="1,8,32")
    p.add_argument("--modes", type=_several(MODES), default=list(MODES), metavar="s2t,s2m")
    p.add_argument("--steps", type=_whole(4), metavar="N", help="text tokens each (GPU 64, CPU 8)")
    p.add_argument("--repeats", type=_whole(1), default=3, metavar="N", help="medians of so many (3)")
    p.add_argument("--prompt-seconds", type=_seconds, default=5.0, metavar="S", help="length of a clip (5)")
    p.add_argument("--device", default="auto", metavar="auto|cpu|cuda|cuda:N")
    p.add_argument("--dtype", default="auto", choices=("auto", *BYTES))
    p.add_argument("--size", choices=runner_sizes.SIZES, help="of random weights (GPU 8b, CPU tiny)")
    p.add_argument("--checkpoint", type=Path, metavar="DIR", help="weights of a checkpoint folder instead")
    p.add_argument(
        "--variants",
        type=_several(VARIANTS[1:], none=True),
        metavar="eager,invariant,compiled|none",
        help="what to compare with the default at the least and at a middle batch size",
    )
    p.add_argument("--vllm", action="store_true", help="also vLLM on the checkpoint, S2T")
    p.add_argument(
        "--vllm-memory", type=_share, default=0.8, metavar="SHARE", help="of the GPU, for vLLM (0.8)"
    )
    p.add_argument("--record", action="store_true", help="keep the table in bench/RESULTS.md")
    p.add_argument("--date", type=_date, default=datetime.date.today().isoformat(), metavar="YYYY-MM-DD")
    p.add_argument("--json", action="store_true", help="the result as JSON on stdout, progress on stderr")
    return p


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def say(text: str) -> None:
        print(text, file=sys.stderr if args.json else sys.stdout, flush=True)

    try:
        if args.device not in ("auto", "cpu", "cuda") and not (
            args.device.startswith("cuda:") and args.device[5:].isdigit()
        ):
            raise UsageError(f"--device must be auto, cpu, cuda or cuda:N, not {args.device!r}")
        measured = run(args, say)
    except UsageError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(measured.as_json(), indent=1))
    else:
        print("\n" + runner_report.section(measured))
    if args.record:
        runner_report.record(measured)
        say(f"recorded in {runner_report.RESULTS.relative_to(runner_report.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
