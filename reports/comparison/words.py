"""A comparison in words and numbers as people read them; the same in every format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from evalkit.inference import Difference
from evalkit.truncation import compared
from reports.cells import DASH, number
from reports.comparison.model import Comparison, Line, Part, Side
from reports.safe import visible

MINUS = "\u2212"
MARKS = {
    "not-meaningful": "judge not meaningful",
    "demo": "embedded demo",
    "smoke": "smoke data",
    "limited": "partial data",
    "own-data": "data of your own",
    "withheld": "withheld",
    "misprint": "a misprint is known",
    "footnote": "see note",
    "decoding": "decoding differs",
    "truncated": "answers cut off",
    "changed": "questions or targets changed",
    "partial": "verdicts of one run alone left out",
}
VERDICTS = {
    "better": "better",
    "worse": "WORSE",
    "undecided": "undecided",
    "untested": "not tested",
    "refused": "not comparable",
}
LONG = 160
"""Characters of a signature's part in a sentence."""


def signed(value: float | None, decimals: int) -> str:
    """ "+0.40", "\u22122.70", "0.00"; a dash for None, words for what has no end."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "+\u221e" if value > 0 else f"{MINUS}\u221e"
    text = number(abs(value), decimals)
    sign = "" if float(text) == 0 else "+" if value > 0 else MINUS
    return sign + text


def signed_pair(ends: Sequence[float] | None, decimals: int) -> str:
    """ "[\u22124.40, \u22121.00]", or "" for None."""
    return f"[{signed(ends[0], decimals)}, {signed(ends[1], decimals)}]" if ends else ""


def p_text(p: float | None) -> str:
    """ "0.031", "<0.001", "1"; a dash where there is no test. Nothing is rounded to a limit it isn't at."""
    if p is None:
        return DASH
    if p < 0.001:
        return "<0.001"
    if p >= 0.9995:
        return "1"
    return f"{p:.4f}" if 0.0495 <= p < 0.0505 or p < 0.00995 else f"{p:.3f}"


def effect_text(d: Difference) -> str:
    """ "odds ratio 0.52"; "" where there is none."""
    if d.effect is None or not math.isfinite(d.effect):
        return ""
    return f"{d.effect_name} {d.effect:.2f}".replace("-", MINUS) if d.effect_name else f"{d.effect:.2f}"


def percent(level: float) -> str:
    """ "95 %" for 0.95."""
    return f"{100 * level:g}\u00a0%"


def unit(line: Line) -> str:
    """What stands behind a difference of two numbers: percentages differ by points."""
    return "points" if line.unit in ("%", "0-100") else line.unit


def told(line: Line, alpha: float) -> str:
    """The verdict as it is printed; "alike" where no sample differs."""
    return "alike" if _alike(line) else VERDICTS[line.verdict(alpha)]


def clusters(line: Line) -> str:
    """ "by speaker, 40 clusters", or ""."""
    if not line.clustered or line.difference is None:
        return ""
    return f"by {line.clustered}, {_several(line.difference.clusters, 'cluster')}"


def counts(line: Line) -> str:
    """ "16/31/506": won, lost, tied; "" where samples aren't paired."""
    d = line.difference
    return f"{d.wins}/{d.losses}/{d.ties}" if d is not None and line.paired else ""


def missing(line: Line) -> Iterator[str]:
    """What either run lacks: "a: 2 errored, 1 unscored"."""
    for key, c in ((line.a, line.coverage_a), (line.b, line.coverage_b)):
        if c is None:
            continue
        named = (
            (c.unscored, "unscored"),
            (c.errored, "errored"),
            (c.pending, "not run yet"),
            (c.only, "not in the other"),
        )
        if said := [f"{k:,} {word}" for k, word in named if k]:
            yield f"{key}: {', '.join(said)}"


def remarks(line: Line, shared: Iterable[str] = ()) -> list[str]:
    """Short remarks beside a line; `shared` are marks told once for all."""
    out = []
    if not line.paired and line.difference is not None and line.kind != "overall":
        out.append("unpaired" + (f", printed of {line.printed_n:,}" if line.printed_n else ""))
    if said := clusters(line):
        out.append(said)
    out += missing(line)
    if line.bound is not None:
        out.append(f"bounds {signed_pair(line.bound, line.decimals)}")
    if line.allowed:
        out.append(
            f"{', '.join(p.name for p in line.allowed)} {'differs' if len(line.allowed) == 1 else 'differ'}, allowed"
        )
    out += [MARKS[m] for m in line.marks if m in MARKS and m not in shared]
    if line.why and line.difference is None:
        out.append(line.why)
    return out


def shown(value: str) -> str:
    """A part of a signature in a sentence."""
    text = visible(value) or "(none)"
    return text if len(text) <= LONG else f"{text[: LONG // 2]}\u2026{text[-LONG // 2 :]}"


_PARTS = {
    "protocol": "the protocol differs",
    "prompt": "the question is put in another way",
    "data": "the data differ",
    "n": "the number of samples differs",
    "judges": "the judges differ",
    "evalkit": "evalkit's version differs",
}


def part_words(part: Part, a: Side, b: Side) -> str:
    """ "the judges differ (judges): X in main, Y in pr-412"."""
    said = _PARTS.get(part.name, "the signatures differ")
    text = f"{said} ({part.name}): {shown(part.a)} in {place(a, b)}, {shown(part.b)} in {place(b, a)}"
    digests = {x.rpartition("#")[2] for x in (part.a, part.b)} if part.name == "data" else set()
    if len(digests) == 1 and "#" in part.a and "#" in part.b:
        text += " (one digest: the questions and targets are the same)"
    return text


def place(side: Side, other: Side) -> str:
    """How a sentence calls a side: its label, or its folder where the labels don't tell."""
    return visible(side.label if side.label != other.label else side.folder or side.key)


def refusals(c: Comparison) -> list[str]:
    """Why lines were refused, one sentence each; lines with the same reason share one. The remedy comes last."""
    found: dict[tuple[str, str, tuple[Part, ...], str], list[Line]] = {}
    tasks = {(x.a, x.b, name) for x in c.refused if x.kind == "task" for name in (x.task, x.benchmark)}
    for x in c.refused:
        if (
            x.kind in ("group", "overall")
            and (x.a, x.b, x.benchmark if x.kind == "overall" else x.task) in tasks
        ):
            continue  # said of its tasks
        found.setdefault((x.a, x.b, x.refused, _limits(c, x)), []).append(x)
    out = []
    for (a, b, parts, more), lines in found.items():
        names = list(dict.fromkeys(_called(x) for x in lines))
        reasons = "; ".join(part_words(p, c.by_key[a], c.by_key[b]) for p in parts)
        verb = "is" if len(names) == 1 else "are"
        out.append(f"{', '.join(names)} {verb} not compared: {reasons}.{more}")
    return out


def _called(line: Line) -> str:
    """A line in a sentence: the task, the subset, the metric where it isn't the headline."""
    if line.kind == "overall":
        return f"{line.task} overall"
    return f"{line.name} {line.label}" if line.kind == "metric" else line.name


def remedy(c: Comparison) -> str:
    """What to do about refusals; "" where there are none."""
    names = dict.fromkeys(p.name for x in c.refused for p in x.refused if p.name not in c.allowed)
    if "data" in names:
        names.pop("n", None)
    if not names:
        return ""
    every = ",".join(
        dict.fromkeys((*c.allowed, *names))
    )  # to be typed as it stands: what is allowed already, too
    return f"Make both numbers in the same way, or compare them all the same, marked as such, with --allow {every}."


def _limits(c: Comparison, line: Line) -> str:
    """That a run is of part of the data, in words."""
    if not any(p.name in ("data", "n") for p in line.refused):
        return ""
    said = []
    for key, coverage in ((line.a, line.coverage_a), (line.b, line.coverage_b)):
        side = c.by_key[key]
        if side.view is None or coverage is None:
            continue
        entry = side.view.tasks.get(line.task) or {}
        if entry.get("limited"):
            said.append(f"{visible(side.label)} has {coverage.n:,} samples, by --limit")
        elif coverage.pending:
            said.append(
                f"{visible(side.label)} isn't finished: {coverage.pending:,} of {coverage.n:,} samples are not run"
            )
    return f" {'; '.join(said)}." if said else ""


def verdict_sentence(c: Comparison, a: Side, b: Side) -> str:
    """One sentence on two sides: on how many tasks one is better or worse, and how many are undecided."""
    lines = [x for x in c.lines if (x.a, x.b) == (a.key, b.key)]
    heads = [x for x in lines if x.kind == "task"] or [x for x in lines if x.kind in ("group", "metric")]
    what = "task" if any(x.kind == "task" for x in lines) else "number"
    verdicts = [x.verdict(c.alpha) for x in heads]
    name, other = visible(b.label), visible(a.label)
    if not heads:
        return f"{name} and {other} have nothing in common to compare."
    if all(v == "refused" for v in verdicts):
        return f"{name} and {other} are not comparable: their numbers were made in different ways."
    if all(_alike(x) for x in heads):
        where = heads[0].name if len(heads) == 1 else f"all {_several(len(heads), what)}"
        return f"{name} and {other} are alike in {where}: no sample differs."
    if len(heads) == 1:
        return _single(heads[0], verdicts[0], name, other) + _care(heads)
    said = []
    for verdict, word in (("worse", "worse"), ("better", "better")):
        found = [x for x, v in zip(heads, verdicts, strict=True) if v == verdict]
        if found:
            said.append(f"{word} on {len(found)} ({_most(found)})")
    undecided, rest = verdicts.count("undecided"), verdicts.count("untested") + verdicts.count("refused")
    if not said:
        if not undecided:
            return f"{name} and {other} are compared, but not tested, on {_several(len(heads), what)}."
        more = (
            f" {len(verdicts) - undecided} are not tested or not comparable."
            if undecided < len(verdicts)
            else ""
        )
        shown_of = _several(undecided, what)
        proof = "that is no proof that there is none"
        return f"No difference between {name} and {other} is shown on any of {shown_of}; {proof}.{more}{_care(heads)}"
    tail = [f"{undecided} undecided"] if undecided else []
    tail += [f"{verdicts.count('untested')} not tested"] if "untested" in verdicts else []
    tail += [f"{verdicts.count('refused')} not comparable"] if "refused" in verdicts else []
    text = f"Of {_several(len(heads), what)}, {name} is {' and '.join(said)} against {other}"
    return f"{text}{'; ' + ', '.join(tail) if tail and (undecided or rest) else ''}.{_care(heads)}"


def _care(lines: Sequence[Line]) -> str:
    """That the sentence before means nothing, or little."""
    found = [x for x in lines if x.difference is not None]
    marks = [m for m in ("not-meaningful", "demo", "smoke") if found and all(m in x.marks for x in found)]
    return f" This measures nothing: {', '.join(MARKS[m] for m in marks)}." if marks else ""


def _alike(line: Line) -> bool:
    """Does no sample differ?"""
    d = line.difference
    return d is not None and line.paired and d.wins == d.losses == 0 and d.delta == 0


def _single(line: Line, verdict: str, name: str, other: str) -> str:
    """The sentence where there is one line."""
    d = line.difference
    if d is None:
        return f"{name} and {other} can't be compared on {line.name}: {line.why}."
    gap = f"{signed(d.delta, line.decimals)} {signed_pair(d.ci, line.decimals)}".rstrip()
    if verdict in ("better", "worse"):
        return f"{name} is {verdict} than {other} on {line.name}: {gap}."
    if verdict == "untested":
        return f"{name} differs from {other} on {line.name} by {gap}, untested."
    return f"Whether {name} is better or worse than {other} on {line.name} is undecided: {gap}."


def _most(found: Sequence[Line]) -> str:
    """The one with the smallest p, in short."""
    line = min(found, key=lambda x: (x.p_holm if x.p_holm is not None else 1.0, x.name))
    d = line.difference
    assert d is not None
    first = "" if len(found) == 1 else "first of all "
    return f"{first}{line.name} {signed(d.delta, line.decimals)} {signed_pair(d.ci, line.decimals)}"


def _several(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def tests_said(c: Comparison) -> list[str]:
    """What the columns mean: the interval's level, and over how many tests p is corrected."""
    sizes: dict[str, int] = {}
    for x in c.lines:
        if x.difference is not None and x.difference.p is not None:
            sizes[x.family] = sizes.get(x.family, 0) + 1
    if not sizes:
        return []
    over = ", ".join(f"{_several(n, 'test')} of {name}" for name, n in sizes.items())
    return [
        f"p: two-sided. Holm: p corrected for {over}. better, WORSE: Holm below {c.alpha:g}. "
        "undecided: the data don't tell; that is no proof of no difference."
    ]


def cut_off(c: Comparison) -> list[str]:
    """How many answers the limit of tokens ended, a sentence per task and pair of sides."""
    found: dict[str, None] = {}
    for x in (x for x in c.lines if "truncated" in x.marks):
        views = {k: view for k in (x.a, x.b) if (view := c.by_key[k].view) is not None}
        found[f"{x.task}: {compared({k: view.tasks[x.task] for k, view in views.items()})}"] = None
    return list(found)


def alone(c: Comparison) -> list[str]:
    """Tasks that only one of two sides has, a sentence per side."""
    found: dict[str, dict[str, None]] = {}
    for _, _, task, key in c.alone:
        found.setdefault(key, {})[task] = None
    return [
        f"only in {key} ({visible(c.by_key[key].label)}), so not compared: {', '.join(tasks)}"
        for key, tasks in found.items()
    ]


def shared_marks(c: Comparison) -> list[str]:
    """Marks that every line has, told once."""
    live = [x for x in c.lines if not x.refused]
    return [m for m in MARKS if live and len(live) > 1 and all(m in x.marks for x in live)]
