"""`--replicas N`: the model in several processes, on several GPUs or machines."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping

from evalkit.cli import options
from evalkit.errors import UsageError
from evalkit.interfaces import Runner


def add(p: argparse.ArgumentParser) -> None:
    """The arguments, for `run` and what runs like it."""
    group = p.add_argument_group("more than one GPU or machine (docs/replicas.md)")
    group.add_argument(
        "--replicas",
        type=options.positive,
        metavar="N",
        help="copies of the model, in Ray actors; one GPU each",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDR",
        help="Ray cluster to run them on: HOST:PORT, ray://HOST:PORT or auto (default: this machine, for this run)",
    )
    group.add_argument(
        "--gpus-per-replica",
        type=amount,
        metavar="X",
        help="GPUs of each copy (default: 1 where there are any; 0 for a model that needs none)",
    )
    group.add_argument(
        "--cpus-per-replica",
        type=amount,
        metavar="X",
        help="CPU cores of each copy (default: this machine's shared out; 1 on a cluster)",
    )


def amount(text: str) -> float:
    """A number from zero on, for argparse."""
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from zero on")
    return float(text)


def replicated(runner: Runner, args: argparse.Namespace, given: Mapping[str, str]) -> Runner:
    """The runner in as many copies as --replicas asks for; itself where it asks for none.

    Raises:
        UsageError: another flag of the group without --replicas; no Ray; a key that would travel.
    """
    flags = ("ray_address", "gpus_per_replica", "cpus_per_replica")
    address, gpus, cpus = (getattr(args, f, None) for f in flags)
    if getattr(args, "replicas", None) is None:
        if alone := [f for f in flags if getattr(args, f, None) is not None]:
            raise UsageError(
                f"--{alone[0].replace('_', '-')} needs --replicas N: how many copies of the model to run."
            )
        return runner
    # Ray's own variable: set by hand, and in what `ray job submit` starts.
    address = address or os.environ.get("RAY_ADDRESS") or None
    secrets = [k for k, v in options.without_secrets(given).items() if v == options.HIDDEN]
    if address is not None and secrets:
        raise UsageError(
            f"-M {secrets[0]}=... would travel through the Ray cluster in the clear: set the key in the environment "
            "of its machines, and name the variable (-M api_key_env=NAME)."
        )
    from evalkit.engine.replicas.runner import Replicated

    return Replicated(
        runner,
        args.model,
        given,
        args.replicas,
        address=address,
        gpus=gpus,
        cpus=cpus,
        concurrency=args.concurrency,
    )
