"""A policy to start from, commented, with every task of a baseline in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evalkit.gate.policy import Policy
from evalkit.gate.terms import MAX_LOST, default_margin

_HEAD = """\
# A gate's policy: what a candidate has to hold against this baseline. docs/gates.md explains every key.
#
#   python run_eval.py gate --baseline RUN --candidate RUN --policy gate.yaml
#
# Of entries that speak of a task the most specific decides, field by field:
# an exact name before a glob, a glob before `benchmarks`, all of them before `defaults`.
version: 1

level: 0.95            # of the intervals
seed: 0                # the same call gives the same verdict
draws: {draws}
correction: none       # holm: a regression has to survive a correction over all differences

defaults:
  rule: non-inferiority          # or no-significant-drop, superiority, point
  on_inconclusive: inconclusive  # exit code 4; or fail (1), or pass (0)
  max_lost: {max_lost}                 # share of the baseline's scored samples that may be without a score
  # allow: [evalkit]             # parts of the signature that may differ
  # latency: {{p95_ratio: 1.5}}    # at most 1.5 times the baseline's seconds to an answer

# margin: printed points that a number may get worse by (an error rate: rise by).
tasks:
"""


def starting_policy(results: Mapping[str, Any]) -> str:
    """The text of gate.yaml for a run's results.json. It reads back as a policy that gates just as none would."""
    out = [_HEAD.format(draws=Policy().draws, max_lost=MAX_LOST)]
    for task, entry in (results.get("tasks") or {}).items():
        out.append(_task(task, entry))
    if not results.get("tasks"):
        out.append("  {}\n")
    overalls = list(results.get("overall") or {})
    if overalls:
        out.append("\n# The means of whole benchmarks; remove the # to gate them.\n# overall:\n")
        out += [f"#   {_key(name)}: {{margin: 1.0}}\n" for name in overalls]
    return "".join(out)


def _task(task: str, entry: Mapping[str, Any]) -> str:
    found = entry["metrics"][entry["headline"]]
    margin = default_margin(
        str(found.get("unit") or ""),
        bool(found["higher_is_better"]),
        found.get("lo"),
        found.get("hi"),
        float(found.get("scale", 1.0)),
    )
    value, decimals = found["value"], int(found["decimals"])
    now = "no value yet" if value is None else f"{value:.{decimals}f}"
    ci = found.get("ci")
    spread = f" [{ci[0]:.{decimals}f}, {ci[1]:.{decimals}f}]" if ci and None not in ci else ""
    lines = [
        f"  {_key(task)}:  # {_comment(found['label'])}: {now}{spread}, {found['n_scored']} of {found['n']} scored",
        f"    margin: {margin:g}",
    ]
    if value is not None:
        bound = "floor" if found["higher_is_better"] else "ceiling"
        lines.append(f"    # {bound}: {value:.{decimals}f}")
    others = [m for m in entry["metrics"] if m != entry["headline"]]
    if others:
        more = f"  # also: {_comment(', '.join(others[1:]))}" if others[1:] else ""
        lines.append(f"    # metrics: {{{_key(others[0])}: {{margin: ...}}}}{more}")
    for key, members in (entry.get("groups") or {}).items():
        if 1 < len(members) <= 50:
            lines.append(f"    # groups: {{{_key(key)}: {{margin: ...}}}}  # {len(members)} of them")
    return "\n".join(lines) + "\n"


def _comment(text: object) -> str:
    """Text that stays in its comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _key(name: str) -> str:
    """A name as a YAML key: quoted where it has to be."""
    plain = name.isascii() and all(c.isalnum() or c in "_-/." for c in name) and name[:1].isalpha()
    if plain and name.lower() not in ("yes", "no", "on", "off", "true", "false", "null", "y", "n"):
        return name
    return json.dumps(name)
