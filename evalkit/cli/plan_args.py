"""The arguments of `plan`; declared apart, so that a bare start imports nothing of it."""

from __future__ import annotations

import argparse
import math

RULES = ("non-inferiority", "superiority", "two-sided")


def add(p: argparse.ArgumentParser) -> None:
    """Everything `plan` takes."""
    p.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="a run, or baseline and candidate, whose samples show how much a difference varies (default: the report's "
        "printed numbers)",
    )
    group = p.add_argument_group("what")
    group.add_argument(
        "--task", action="append", metavar="GLOB", help="tasks, e.g. 'voicebench/*'; may be repeated"
    )
    group.add_argument("--suite", help="a named list of tasks (default: the runs' tasks; without runs, all)")
    group.add_argument("--metric", metavar="NAME", help="another number of the tasks than the headline")
    group = p.add_argument_group("the question")
    group.add_argument(
        "--margin",
        type=_percent,
        metavar="POINTS",
        help="points of a 0-100 scale (default 1.0), which stand for 0.05 of a 1-5 rating and 0.5 points of an error "
        "rate each",
    )
    group.add_argument("--margin-rating", type=_above_zero, metavar="POINTS", help="instead, on 1-5 scales")
    group.add_argument("--margin-wer", type=_above_zero, metavar="POINTS", help="instead, of error rates")
    group.add_argument(
        "--policy", metavar="FILE", help="take margins, rules, level and power from this policy of `gate`"
    )
    group.add_argument(
        "--rule",
        choices=RULES,
        help="non-inferiority (default): a candidate as good as the baseline is shown to be no more than the margin "
        "worse; superiority: one better by the margin is shown to be better; two-sided: a difference of the margin is "
        "found",
    )
    group.add_argument("--power", type=_share, metavar="P", help="probability of that (default 0.8)")
    group.add_argument(
        "--alpha",
        type=_share,
        metavar="P",
        help="level of the test; intervals are at 1 - alpha (default 0.05)",
    )
    group.add_argument(
        "--unpaired",
        action="store_true",
        help="two different sets of samples, or a printed number, instead of the same samples in two runs",
    )
    group = p.add_argument_group("what to assume")
    group.add_argument(
        "--correlation",
        type=_correlation,
        default=0.5,
        metavar="R",
        help="of two checkpoints' values on one sample, where no pair of runs shows it (default 0.5)",
    )
    group.add_argument(
        "--sd",
        type=_above_zero,
        metavar="POINTS",
        help="standard deviation of ratings without samples, in points of 1-5; stretched to other scales (default: "
        "guessed from the mean)",
    )
    group.add_argument(
        "--reference",
        metavar="MODEL",
        help="whose printed numbers stand in for a run (default Fun-Audio-Chat-8B)",
    )
    group = p.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="for machines")
    group.add_argument(
        "--format", metavar="NAME[,NAME]", help="text (default), md or csv; several need --out"
    )
    group.add_argument("--out", metavar="DIR", help="write plan.md, plan.csv, ... there instead of printing")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _above_zero(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return value


def _percent(text: str) -> float:
    value = _above_zero(text)
    if value >= 100:
        raise argparse.ArgumentTypeError(
            f"{text!r} is the whole scale; a margin is a small part of it, e.g. 1.0"
        )
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} does not lie between 0 and 1")
    return value


def _correlation(text: str) -> float:
    value = _number(text)
    if not -1 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} does not lie between -1 and 1")
    return value
