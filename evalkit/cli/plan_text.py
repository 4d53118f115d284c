"""A plan as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from evalkit.sizing import OverallSizing, Question, Sizing

HEAD = (
    "task",
    "metric",
    "n now",
    "value",
    "disagree",
    "sd of diff",
    "margin",
    "n needed",
    "enough",
    "MDE",
    "from",
)
WORDS = {
    "non-inferiority": "a candidate as good as the baseline is shown to be no more than the margin worse",
    "superiority": "a candidate better by the margin is shown to be better",
    "two-sided": "a difference of the margin is found",
}


@dataclass(frozen=True)
class Plan:
    """What was asked, of which runs, and the answers; of overalls left out, why."""

    asked: Question
    runs: tuple[str, ...]
    tasks: tuple[Sizing, ...]
    overalls: tuple[OverallSizing, ...]
    left_out: tuple[str, ...] = ()


# --- words -----------------------------------------------------------------------------------------


def intro(plan: Plan) -> str:
    """What the numbers mean, in one sentence."""
    asked = plan.asked
    level = (
        f"{100 * (1 - asked.alpha):g} % intervals" if asked.rule != "two-sided" else f"alpha {asked.alpha:g}"
    )
    sets = "different samples in the two runs" if asked.unpaired else "the same samples in both runs"
    how = f"with {100 * asked.power:g} % power ({level}, {sets})"
    rules = sorted({asked.rule_for(s.number) for s in plan.tasks}) or [asked.rule]
    return "; ".join(f"{rule}: {WORDS[rule]}" for rule in rules) + f", {how}."


def advice(plan: Plan) -> list[str]:
    """What more samples, pairing and several decodings would help."""
    out = []
    if not plan.asked.unpaired and any(s.basis.source != "pair of runs" and s.noise for s in plan.tasks):
        out.append(
            f"r: {plan.asked.correlation:g} is assumed for how far two checkpoints' values on one sample go together "
            "(--correlation); 0.75 halves what 0.5 needs. Two runs show it: plan BASELINE CANDIDATE."
        )
    factors = [s.unpaired_factor for s in plan.tasks if s.unpaired_factor is not None]
    if factors:
        low, high = f"{min(factors):.1f}", f"{max(factors):.1f}"
        times = low if low == high else f"{low} to {high}"
        out.append(
            f"Pairing: two different sets of samples, or a printed number, need {times} times as many."
            if not plan.asked.unpaired
            else f"Pairing: different sets of samples need {times} times as many as the same samples in both runs."
        )
        if (k := len(factors)) > 1 and plan.asked.rule == "non-inferiority":
            power, each = plan.asked.power, plan.asked.power ** (1 / k)
            out.append(
                f"Together: on sets of just the size needed, an equal candidate passes all {k} tasks "
                f"{100 * power**k:.2g} % of the time; --power {each:.3f} for each makes that {100 * power:g} %."
            )
        out.append("Samples: four times as many halve what can be detected.")
        out.append(
            "Decodings: averaging k of each sample divides only the part of the variance that is chance in decoding, "
            "by k; plan RUN SAME_MODEL_AGAIN shows that part, and greedy decoding has none."
        )
    return out


def notes(plan: Plan) -> list[str]:
    """What is to be told of single tasks; the same thing said of many is said once."""
    from reports.safe import visible

    said = [n for s in plan.tasks for n in s.notes] + list(plan.left_out)
    gathered: dict[str, list[str]] = {}
    for note in said:
        task, colon, rest = note.partition(": ")
        gathered.setdefault(rest if colon else note, []).append(task)
    told = [f"{', '.join(tasks)}: {rest}" for rest, tasks in gathered.items()]
    return [" ".join(visible(line).split()) for line in told]


def _points(x: float | None, unit: str) -> str:
    """Printed points: two decimals, more where they are small."""
    if x is None or not math.isfinite(x):
        return "-"
    return f"{x:.2f}" if x >= 0.1 or x == 0 else f"{x:.2g}"


def _count(n: int | None) -> str:
    return "-" if n is None else f"{n:,}"


def _enough(x: bool | None) -> str:
    return "-" if x is None else "yes" if x else "no"


def rows(plan: Plan) -> list[tuple[str, ...]]:
    """The table's lines, overalls last; a run's own words on one line, without control characters."""
    from reports.safe import visible

    return [tuple(" ".join(visible(c).split()) for c in line) for line in _rows(plan)]


def _rows(plan: Plan) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = []
    for s in plan.tasks:
        psi = s.basis.noise.discordance if s.basis.noise and not plan.asked.unpaired else None
        unit, value = s.number.unit, s.basis.value
        out.append(
            (
                s.number.task,
                f"{s.number.label} ({unit})",
                _count(s.n),
                "-" if value is None or not math.isfinite(value) else f"{value:.2f}",
                "-" if psi is None else f"{100 * psi:.1f} %",
                _points(s.noise.sd if s.noise else None, unit),
                _points(s.margin, unit),
                "unknown" if s.noise is None else "never" if s.needed is None else _count(s.needed),
                _enough(s.enough),
                _points(s.mde, unit),
                s.basis.told,
            )
        )
    for o in plan.overalls:
        out.append(
            (
                f"{o.name}: {o.label}",
                "",
                _count(o.n),
                "-",
                "-",
                "-",
                _points(o.margin, ""),
                f"{math.ceil(o.factor * 10) / 10:,.1f} x",
                _enough(o.enough),
                _points(o.mde, ""),
                f"{len(o.tasks)} tasks, all of them x times as large",
            )
        )
    return out


# --- formats ---------------------------------------------------------------------------------------


def text(plan: Plan) -> str:
    """Plain text; numbers to the right."""
    lines = [HEAD, *rows(plan)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    right = range(2, len(HEAD) - 1)
    shown = [
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    told = notes(plan) + advice(plan)
    blocks = [intro(plan), "\n".join(line.rstrip() for line in shown), "\n".join(told)]
    return "\n\n".join(b for b in blocks if b) + "\n"


def markdown(plan: Plan) -> str:
    """A Markdown table with its sentences."""

    def escaped(words: str) -> str:
        return re.sub(r"([\\\\|*_`<\[])", r"\\\1", words)

    lines = [
        "| " + " | ".join(HEAD) + " |",
        "|---|---|" + "---:|" * (len(HEAD) - 3) + "---|",
        *("| " + " | ".join(escaped(c) for c in row) + " |" for row in rows(plan)),
    ]
    told = [f"- {escaped(line)}" for line in notes(plan) + advice(plan)]
    return "\n".join([escaped(intro(plan)), "", *lines, "", *told]) + "\n"


def csv_text(plan: Plan) -> str:
    """A line per number, numbers as numbers; loads in pandas without options."""
    from reports.safe import guard

    out = io.StringIO()
    records = [_record(s, plan) for s in plan.tasks] + [_whole(o) for o in plan.overalls]
    names = [k for k in records[0] if k != "notes"] if records else []
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for record in records:
        cells = ["" if record.get(k) is None else record[k] for k in names]
        writer.writerow([guard(c) if isinstance(c, str) else c for c in cells])
    return out.getvalue()


def _whole(o: OverallSizing) -> dict[str, Any]:
    """An overall as a line of the CSV; its tasks need `times_as_many` samples."""
    return {
        "task": o.name,
        "metric": "overall",
        "label": o.label,
        "n": o.n,
        "source": "tasks",
        "from": f"{len(o.tasks)} tasks",
        "margin": o.margin,
        "enough": o.enough,
        "mde": _float(o.mde),
        "times_as_many": _float(o.factor),
    }


def as_json(plan: Plan) -> dict[str, Any]:
    """Everything, for machines."""
    asked = {k: v for k, v in asdict(plan.asked).items() if v is not None and k not in ("margins", "rules")}
    return {
        **asked,
        "runs": list(plan.runs),
        "tasks": [_record(s, plan) for s in plan.tasks],
        "overall": [
            {
                "overall": o.name,
                "label": o.label,
                "tasks": list(o.tasks),
                "n": o.n,
                "margin": o.margin,
                "mde": _float(o.mde),
                "times_as_many": _float(o.factor),
                "enough": o.enough,
            }
            for o in plan.overalls
        ],
        "notes": list(plan.left_out),
        "advice": advice(plan),
    }


def _record(s: Sizing, plan: Plan) -> dict[str, Any]:
    """One number with all that it rests on."""
    paired = s.basis.noise
    return {
        "task": s.number.task,
        "metric": s.number.metric,
        "label": s.number.label,
        "unit": s.number.unit,
        "n": s.n,
        "n_set": s.number.expected,
        "value": _float(s.basis.value),
        "discordance": _float(paired.discordance if paired else None),
        "sd": _float(s.noise.sd if s.noise else None),
        "correlation": _float(s.basis.correlation),
        "clusters": s.basis.clusters,
        "icc": _float(s.basis.icc),
        "design_effect": _float(s.noise.design_effect if s.noise else None),
        "source": s.basis.source,
        "from": s.basis.told,
        "rule": plan.asked.rule_for(s.number),
        "margin": s.margin,
        "needed": s.needed,
        "times_as_many": None if s.needed is None or not s.n else _float(s.needed / s.n),
        "enough": s.enough,
        "mde": _float(s.mde),
        "mde_set": _float(s.mde_set),
        "unpaired_needed": s.unpaired_needed,
        "unpaired_mde": _float(s.unpaired_mde),
        "notes": list(s.notes),
    }


def _float(x: float | None) -> float | None:
    """Six significant digits; None for what is no number."""
    return None if x is None or not math.isfinite(x) else float(f"{x:.6g}")
