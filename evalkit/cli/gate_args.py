"""The arguments of `gate`; declared apart, so that a bare start imports nothing of it."""

from __future__ import annotations

import argparse

EPILOG = """exit codes:
  0    pass: every number holds what the policy asks
  1    regression: at least one number does not
  2    usage: bad arguments, a policy that can't be read, a folder that is no run
  3    internal error, or the disk is full
  4    inconclusive: nothing is a regression, but the data cannot tell for at least one number
  5    not comparable: numbers were made in different ways, or are missing in the candidate
Of several, the gravest counts: 1 before 5 before 4 before 0. docs/gates.md explains the policy.
"""


def add(p: argparse.ArgumentParser) -> None:
    """What is held against what, by which policy, and where the verdict goes."""
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.epilog = EPILOG
    group = p.add_argument_group("what")
    group.add_argument(
        "--baseline", metavar="RUN", required=True, help="the run to hold the candidate against"
    )
    group.add_argument("--candidate", metavar="RUN", help="the run that has to pass")
    group.add_argument(
        "--policy",
        metavar="FILE",
        help="gate.yaml; without it, every task's headline with the default margins",
    )
    group.add_argument(
        "--task", action="append", metavar="GLOB", help="only these tasks of the baseline; may be repeated"
    )
    group = p.add_argument_group("policy (in place of what `defaults` says)")
    group.add_argument(
        "--margin", type=_margin, metavar="POINTS", help="printed points that a number may get worse by"
    )
    group.add_argument(
        "--on-inconclusive",
        choices=("inconclusive", "fail", "pass"),
        help="what counts where the data cannot tell (default inconclusive: exit code 4)",
    )
    group.add_argument(
        "--allow",
        action="append",
        metavar="PART",
        help="a part of the signature that may differ: protocol, prompt, data, n, judges, evalkit; may be repeated",
    )
    group = p.add_argument_group("output")
    group.add_argument("--junit", metavar="FILE", help="JUnit XML: a test case per check")
    group.add_argument("--markdown", metavar="FILE", help="the table as Markdown (- prints it)")
    group.add_argument(
        "--summary",
        metavar="FILE",
        help='append the same Markdown to a file: --summary "$GITHUB_STEP_SUMMARY"',
    )
    group.add_argument(
        "--json", action="store_true", help="print the verdict for machines instead of the table"
    )
    group.add_argument("--json-out", metavar="FILE", help="the same JSON into a file")
    group.add_argument(
        "--html",
        metavar="FILE",
        help="page of what got worse, with audio (default: gate.html in the candidate)",
    )
    group.add_argument("--no-html", action="store_true", help="write no page")
    group = p.add_argument_group("instead of the table")
    group.add_argument(
        "--explain",
        metavar="TASK",
        help="print the numbers behind a task's verdict; the exit code is that of the gate",
    )
    group.add_argument(
        "--write-policy",
        metavar="FILE",
        help="write a policy to start from, with every task of the baseline in it, and stop",
    )
    group.add_argument("--force", action="store_true", help="let --write-policy replace a file")


def _margin(text: str) -> float:
    """A number of points, not negative, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of points, 0 or more")
    return value
